"""Descent with a rule: the same steps as by hand, and the second look of rules that want one."""

import numpy as np
import pytest

from tinynet import nn, optim
from tinynet.balancing.descend import descend
from tinynet.balancing.famo import FAMO
from tinynet.balancing.mgda import MGDA


def two_parabolas(scale=1.0):
    w = nn.Parameter(np.array([4.0, 0.0]))
    return w, lambda: [((w - np.array([1.0, 0.0])) ** 2).sum() + 0.1, scale * ((w + 1) ** 2).sum() + 0.1]


def test_without_a_rule_it_descends_on_the_sum():
    w, losses = two_parabolas()
    path = descend(losses, optim.SGD([w], 0.1), 100)
    np.testing.assert_allclose(w.data, [0, -0.5], atol=1e-6)
    np.testing.assert_allclose(path.losses[0], [9.1, 26.1])
    assert (path.weights == 1).all()


def test_mgda_lets_no_task_rise_and_ends_between_the_minima():
    w, losses = two_parabolas(scale=100)
    path = descend(losses, optim.SGD([w], 0.01), 2000, MGDA())
    assert (np.diff(path.losses, axis=0) <= 1e-9).all()
    toward = w.data - [1, 0]                        # a point of the segment between (1, 0) and (-1, -1)
    np.testing.assert_allclose(toward[0], 2 * toward[1], atol=1e-3)


def test_a_rule_that_looks_again_sees_the_losses_after_the_step():
    w, losses = two_parabolas()
    seen = []

    class Sees(FAMO):
        def after_step(self, after):
            seen.append(after)
            super().after_step(after)
    path = descend(losses, optim.SGD([w], 0.05), 5, Sees(2))
    np.testing.assert_allclose(seen[:-1], path.losses[1:])


def test_nan_stops_and_names_the_task():
    w, losses = two_parabolas()
    with pytest.raises(FloatingPointError, match="the loss of task 1 is nan"):
        descend(lambda: [losses()[0], losses()[1] * float("nan")], optim.SGD([w], 0.1), 3)
