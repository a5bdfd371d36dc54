"""Linear layers side by side: as many layers of their own, and what is left out at the first one."""

import numpy as np
import pytest

from tinynet.blocks.tasks.task_linear import task_linear, task_linear_backward, task_linear_forward
from tinynet.blocks.units.linear import linear_backward, linear_forward
from tinynet.shapes import ShapeError

rng = np.random.default_rng(0)
X, W, b, dY = (rng.normal(size=shape) for shape in ((3, 5, 4), (3, 2, 4), (3, 2), (3, 5, 2)))


@pytest.mark.parametrize("same", [False, True])
def test_it_is_a_linear_layer_for_each_task(same):
    """shi fig12: every task has layers of its own."""
    x = [X[0] if same else X[t] for t in range(3)]
    Y, cache = task_linear_forward(X[0] if same else X, W, b)
    dX, dW, db = task_linear_backward(dY, cache)
    each = [linear_forward(x[t], W[t], b[t]) for t in range(3)]
    back = [linear_backward(dY[t], c) for t, (_, c) in enumerate(each)]
    np.testing.assert_allclose(Y, [y for y, _ in each], rtol=1e-13)
    np.testing.assert_allclose(dW, [g[1] for g in back], rtol=1e-12)
    np.testing.assert_allclose(db, [g[2] for g in back], rtol=1e-12)
    np.testing.assert_allclose(dX, sum(g[0] for g in back) if same else [g[0] for g in back], rtol=1e-12, atol=1e-13)


def test_at_the_first_layer_the_gradient_of_the_examples_is_left_out():
    _, cache = task_linear_forward(X, W, b, need_dX=False)
    left_out, *others = task_linear_backward(dY, cache)
    assert left_out is None
    for ours, theirs in zip(others, task_linear_backward(dY, (X, W, True))[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_sizes_that_do_not_fit_are_told():
    with pytest.raises(ShapeError, match=r"task_linear: .*T is 3 and 2"):
        task_linear(X, W[:2], b[:2])
    with pytest.raises(ShapeError, match=r"task_linear: .*D"):
        task_linear(X[:, :, :3], W, b)
