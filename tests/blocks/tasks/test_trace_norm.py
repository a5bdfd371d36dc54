"""The trace norm: closed forms, low rank, and what is not the trace norm."""

import numpy as np
import pytest

from tinynet.blocks.tasks.trace_norm import trace_norm_backward, trace_norm_forward
from tinynet.check import gradcheck
from tinynet.shapes import ShapeError

rng = np.random.default_rng(0)


def value_and_gradient(W):
    value, cache = trace_norm_forward(W)
    return value, trace_norm_backward(1.0, cache)


def test_it_is_the_sum_of_singular_values_however_the_rows_are_shaped():
    W = rng.normal(size=(3, 4, 5))
    value, dW = value_and_gradient(W)
    np.testing.assert_allclose(value, np.linalg.norm(W.reshape(3, 20), "nuc"), rtol=1e-14)
    np.testing.assert_array_equal(dW.reshape(3, 20), value_and_gradient(W.reshape(3, 20))[1])


def test_one_task_has_the_euclidean_norm():
    w = rng.normal(size=(1, 7))
    value, dW = value_and_gradient(w)
    np.testing.assert_allclose(value, np.linalg.norm(w), rtol=1e-14)
    np.testing.assert_allclose(dW, w / np.linalg.norm(w), rtol=1e-13)


def test_equal_tasks_have_sqrt_T_times_the_norm_of_one():
    w = rng.normal(size=7)
    value, dW = value_and_gradient(np.tile(w, (4, 1)))
    np.testing.assert_allclose(value, 2 * np.linalg.norm(w), rtol=1e-14)
    np.testing.assert_allclose(dW, np.tile(w / np.linalg.norm(w) / 2, (4, 1)), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank", [1, 2])
def test_at_low_rank_the_gradient_is_a_subgradient(rank, dtype):
    W = (rng.normal(size=(4, rank)) @ rng.normal(size=(rank, 6))).astype(dtype)
    value, dW = value_and_gradient(W)
    assert np.linalg.matrix_rank(dW) == rank
    for scale in (1e-3, 1, 10):
        step = scale * rng.normal(size=W.shape)
        assert trace_norm_forward(W + step)[0] >= value + (dW * step).sum() - 1e-5 * scale


def test_nothing_has_norm_0_and_gradient_0():
    for W in (np.zeros((3, 5)), np.zeros((0, 5)), np.zeros((3, 0))):
        value, dW = value_and_gradient(W)
        assert value == 0
        assert dW.shape == W.shape
        assert not dW.any()


def test_the_sum_of_row_norms_is_another_norm():
    """Erratum 6: what TAAN's published code calls its trace norm."""
    W = np.tile(rng.normal(size=7), (4, 1))
    row_norms = np.linalg.norm(W, axis=1)
    np.testing.assert_allclose(row_norms.sum(), 2 * trace_norm_forward(W)[0], rtol=1e-14)       # 4 and sqrt(4)
    W = rng.normal(size=(4, 7))
    report = gradcheck(trace_norm_forward, lambda d, _: d * W / np.linalg.norm(W, axis=1, keepdims=True), W)
    assert not report.ok


def test_bad_input_is_told_in_a_sentence():
    with pytest.raises(ShapeError, match=r"trace_norm: W has shape \(5,\).* stack the tasks' parameters first"):
        trace_norm_forward(np.ones(5))
    with pytest.raises(ValueError, match="trace_norm: W has NaN or inf"):
        trace_norm_forward(np.array([[1, np.nan]]))
