"""Rules in `fit`: the same steps as by hand, and the second look of rules that want one."""

import numpy as np

from tinynet import nn, optim, train
from tinynet.balancing.famo import FAMO
from tinynet.balancing.mgda import MGDA
from tinynet.train.batches import Whole


class Point(nn.Module):
    """Two numbers, and two tasks: parabolas with their minima at (1, 0) and (-1, -1)."""

    def __init__(self):
        self.w = nn.Parameter(np.array([4.0, 0.0]))


def parabolas(scale=1.0):
    return lambda point: [((point.w - np.array([1.0, 0.0])) ** 2).sum() + 0.1, scale * ((point.w + 1) ** 2).sum() + 0.1]


def trained(losses, lr, steps, rule=None):
    """(point, losses (steps, 2) before each step)"""
    point = Point()
    history = train.fit(point, losses, Whole((), 1), optim.SGD([point.w], lr), steps=steps, every=1, balance=rule,
                        progress=False)
    return point, np.array([history["loss_0"], history["loss_1"]]).T


def test_without_a_rule_the_sum_is_descended():
    point, losses = trained(parabolas(), 0.1, 100)
    np.testing.assert_allclose(point.w.data, [0, -0.5], atol=1e-6)
    np.testing.assert_allclose(losses[0], [9.1, 26.1])


def test_mgda_lets_no_task_rise_and_ends_between_the_minima():
    point, losses = trained(parabolas(scale=100), 0.01, 2000, MGDA())
    assert (np.diff(losses, axis=0) <= 1e-9).all()
    toward = point.w.data - [1, 0]                  # a point of the segment between (1, 0) and (-1, -1)
    np.testing.assert_allclose(toward[0], 2 * toward[1], atol=1e-3)


def test_a_rule_that_looks_again_sees_the_losses_after_the_step():
    seen = []

    class Sees(FAMO):
        def after_step(self, after):
            seen.append(after)
            super().after_step(after)
    _, losses = trained(parabolas(), 0.05, 5, Sees(2))
    np.testing.assert_allclose(seen[:-1], losses[1:])
