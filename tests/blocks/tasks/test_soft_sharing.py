"""The penalties of soft sharing: by hand, for one task and for equal ones."""

import numpy as np
import pytest

from tinynet.blocks.tasks.soft_sharing import (
    absolute_distance,
    absolute_distance_forward,
    squared_distance,
    squared_distance_forward,
)
from tinynet.engine import Tensor
from tinynet.shapes import ShapeError

W = np.random.default_rng(0).normal(size=(4, 3, 2))
PAIRS = [(s, t) for s in range(4) for t in range(s + 1, 4)]


def test_both_are_sums_over_all_pairs():
    np.testing.assert_allclose(squared_distance_forward(W)[0], sum(((W[s] - W[t]) ** 2).sum() for s, t in PAIRS))
    np.testing.assert_allclose(absolute_distance_forward(W)[0], sum(np.abs(W[s] - W[t]).sum() for s, t in PAIRS))


@pytest.mark.parametrize("penalty", [squared_distance, absolute_distance])
@pytest.mark.parametrize("equal", [W[:1], np.tile(W[:1], (3, 1, 1)), W[:0]])
def test_one_task_equal_tasks_and_no_task_cost_nothing(penalty, equal):
    leaf = Tensor(equal, requires_grad=True)
    value = penalty(leaf)
    value.backward()
    np.testing.assert_allclose(value.data, 0, atol=1e-14)
    np.testing.assert_allclose(leaf.grad, 0, atol=1e-14)


def test_two_tasks_pull_on_each_other_with_opposite_forces():
    for penalty in (squared_distance, absolute_distance):
        leaf = Tensor(W[:2], requires_grad=True)
        penalty(leaf).backward()
        np.testing.assert_allclose(leaf.grad[0], -leaf.grad[1])


def test_parameters_that_were_not_stacked_are_refused():
    for penalty in (squared_distance, absolute_distance):
        with pytest.raises(ShapeError, match="stack the tasks' parameters first"):
            penalty(np.array(1.0))
