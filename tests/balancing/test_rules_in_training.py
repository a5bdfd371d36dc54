"""Rules in `fit`: the same steps as by hand, and the second look of rules that want one."""

import numpy as np
import pytest

from tinynet import nn, optim, train
from tinynet.balancing.famo import FAMO
from tinynet.balancing.mgda import MGDA
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.linear import Linear
from tinynet.models.tasks.mrn import MRN
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


# %% The second look leaves no trace
INPUTS, TARGETS = np.random.default_rng(0).normal(size=(2, 8, 3))


class RunningMean(nn.Module):
    def __init__(self, features):
        self.mean = nn.Buffer(np.zeros(features))

    def forward(self, x):
        self.mean.data = 0.9 * self.mean.data + 0.1 * x.data.mean(axis=0)
        return x - self.mean.data


def noisy():
    return nn.Sequential(Linear(3, 6, rng=0, dtype=float), RunningMean(6), Dropout(0.5, rng=1),
                         Linear(6, 3, rng=2, dtype=float))


def errors(tasks):
    def loss(model, x, y):
        squares = (model(x) - y) ** 2
        return [squares[:, t].mean() + 0.1 for t in range(tasks)]
    return loss


def state_after(steps, loss, rule, net):
    train.fit(net, loss, (INPUTS, TARGETS), optim.SGD(net.parameters(), 0.1), steps=steps, batch_size=4, balance=rule,
              progress=False)
    return net.state_dict() | {name: rng.bit_generator.state["state"]["state"] for name, rng in net.named_rngs()}


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(a, second[name]) for name, a in first.items())


@pytest.mark.parametrize("loss", [errors(1), lambda *args: errors(1)(*args)[0]], ids=["a list of one", "a tensor"])
def test_a_single_task_trains_as_without_the_rule(loss):
    assert same(state_after(5, loss, FAMO(1), noisy()), state_after(5, loss, None, noisy()))


def test_the_second_look_changes_neither_generators_nor_state():
    """With a learning rate of 0 xi stays 0, so that nothing but the look itself could differ."""
    class FirstLook(FAMO):
        looks_again = False

    looked, once = (state_after(5, errors(3), make(3, lr=0.0), noisy()) for make in (FAMO, FirstLook))
    assert same(looked, once)


def test_mrn_counts_a_step_once_and_the_look_needs_no_tape():
    net, taped = MRN(3, (4,), (1, 1), every=2, rng=0, dtype=float), []

    def loss(model, x, y):
        penalty = model.penalty()
        taped.append(penalty.requires_grad)
        return [((output - y[:, :1]) ** 2).mean() + penalty + 0.1 for output in model(x)]

    state = state_after(5, loss, FAMO(2), net)
    assert state["steps"] == 5
    assert taped == [True, False] * 5
