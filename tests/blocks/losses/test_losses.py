"""Softmax, losses and layer norm: what the battery over all ops doesn't ask."""

import numpy as np
import pytest

import tinynet as tn
from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy
from tinynet.blocks.losses.cross_entropy import cross_entropy, cross_entropy_backward, cross_entropy_forward
from tinynet.blocks.losses.mean_squared_error import mean_squared_error
from tinynet.blocks.units.layer_norm import LayerNorm, layer_norm
from tinynet.blocks.units.softmax import log_sum_exp, softmax
from tinynet.shapes import ShapeError

BACKENDS = pytest.mark.parametrize("backend", ["plain", "fast"])


def value_and_gradient(op, x, *others, **settings):
    x = tn.Tensor(x, requires_grad=True)
    y = op(x, *others, **settings)
    y.sum().backward()
    return y.numpy(), x.grad


@BACKENDS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_minus_inf_have_no_weight_and_no_gradient(backend, dtype):
    x = np.array([[0, -np.inf, 0], [-np.inf] * 3], dtype)
    with tn.use_backend(backend):
        y, dx = value_and_gradient(softmax, x)
        L, dL = value_and_gradient(log_sum_exp, x)
    np.testing.assert_allclose(y, [[0.5, 0, 0.5], [0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(dx, np.zeros((2, 3)), atol=1e-7)
    np.testing.assert_allclose(L, [np.log(2), -np.inf], rtol=1e-6)
    np.testing.assert_allclose(dL, y, rtol=1e-6)


@BACKENDS
def test_the_exp_of_the_loops_is_exact_to_float32(backend):
    x = np.linspace(-86, 0, 5001, dtype=np.float32)
    with tn.use_backend(backend):
        y, _ = softmax.pair(x)[0](x)
    exact = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(y, exact / exact.sum(), rtol=6e-7, atol=1e-38)


@BACKENDS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits_give_finite_losses_in_their_own_dtype(backend, dtype):
    x = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 1e4]], dtype)
    with tn.use_backend(backend):
        loss, dx = value_and_gradient(cross_entropy, x, np.array([1, 2]))
        binary, dbinary = value_and_gradient(binary_cross_entropy, x, np.array([[0, 0, 1], [0, 1, 0]]))
    np.testing.assert_allclose(loss, (2e4 + np.log(2)) / 2, rtol=1e-6)
    np.testing.assert_allclose(dx, [[0.5, -0.5, 0], [0, 0.25, -0.25]], rtol=1e-6)
    np.testing.assert_allclose(binary, (2e4 + np.log(2)) / 6, rtol=1e-6)
    np.testing.assert_allclose(dbinary, np.array([[1, 0, -0.5], [0, 0, 1]]) / 6, rtol=1e-6)
    assert loss.dtype == dx.dtype == binary.dtype == dbinary.dtype == dtype


@BACKENDS
def test_ignored_targets_leave_the_mean_and_get_no_gradient(backend):
    x = np.random.default_rng(0).normal(size=(2, 2, 3)).astype(np.float32)
    x[0, 1] = np.nan
    t = np.array([[2, -1], [0, 1]])
    counted = [0, 2, 3]
    with tn.use_backend(backend):
        loss, dx = value_and_gradient(cross_entropy, x, t)
        alone, dalone = value_and_gradient(cross_entropy, x.reshape(4, 3)[counted], t.reshape(4)[counted])
    assert loss == alone
    assert not dx[0, 1].any()
    np.testing.assert_array_equal(dx.reshape(4, 3)[counted], dalone)


@BACKENDS
@pytest.mark.parametrize("rows", [0, 2])
def test_without_a_counted_row_the_loss_is_zero(backend, rows):
    with tn.use_backend(backend):
        loss, dx = value_and_gradient(cross_entropy, np.ones((rows, 3)), np.full(rows, 7), ignore=7)
    assert loss == 0
    np.testing.assert_array_equal(dx, np.zeros((rows, 3)))


@pytest.mark.parametrize(("t", "error", "said"), [
    ([0, 3], ValueError, r"cross_entropy: .*position 1 is 3, .*0\.\.2"),
    ([-2, 0], ValueError, r"cross_entropy: .*position 0 is -2, .*0\.\.2"),
    ([0.0, 1.0], TypeError, "cross_entropy: .*float64.*integers"),
    ([0], ShapeError, r"cross_entropy: .*\(2, 3\).*\(1,\)"),
])
def test_bad_targets_are_named(t, error, said):
    with pytest.raises(error, match=said):
        cross_entropy(np.zeros((2, 3)), np.array(t))


@BACKENDS
def test_smoothing_weights_and_probabilities_are_one_formula(backend):
    x, t = np.random.default_rng(0).normal(size=(4, 3)), np.array([2, 0, 1, 0])
    q = 0.9 * np.eye(3)[t] + 0.1 / 3
    with tn.use_backend(backend):
        probable = value_and_gradient(cross_entropy, x, q)
        smoothed = value_and_gradient(cross_entropy, x, t, smoothing=0.1)
        weighted, _ = value_and_gradient(cross_entropy, x, t, weights=np.array([2.0, 1, 1]))
        rows, _ = value_and_gradient(cross_entropy, x, t, reduction="none")
        total, _ = value_and_gradient(cross_entropy, x, t, reduction="sum")
    np.testing.assert_allclose(smoothed[0], probable[0])
    np.testing.assert_allclose(smoothed[1], probable[1])
    np.testing.assert_allclose(weighted, (rows * [1, 2, 1, 2]).sum() / 6)
    np.testing.assert_allclose(total, rows.sum())


def test_padding_in_the_loss_makes_a_bad_net_look_good():
    # csc321 erratum 14: the mean over all places, half of them padding, is half the mean over the tokens
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(2, 6, 9)), rng.integers(0, 9, (2, 6))
    t[:, 3:] = -1
    tokens = cross_entropy(x, t).item()
    everywhere = cross_entropy(x, t, reduction="none").data.mean()
    np.testing.assert_allclose(everywhere, tokens / 2)
    np.testing.assert_allclose(np.exp(everywhere), np.sqrt(np.exp(tokens)))


def test_a_class_of_no_weight_and_no_probability_may_have_any_logit():
    loss, dx = value_and_gradient(cross_entropy, np.array([[0.0, -np.inf]]), np.array([[1.0, 0.0]]))
    assert loss == 0
    np.testing.assert_array_equal(dx, [[0, 0]])


@pytest.mark.parametrize(("settings", "said"), [
    (dict(smoothing=1.5), "cross_entropy: smoothing is 1.5"),
    (dict(reduction="max"), "cross_entropy: .*reduction 'max'"),
    (dict(weights=np.ones(2)), r"cross_entropy: x has 3 classes and weights of shape \(2,\)"),
])
def test_bad_settings_are_named(settings, said):
    with pytest.raises(ValueError, match=said):
        cross_entropy_forward(np.zeros((2, 3)), np.array([0, 1]), **settings)


@pytest.mark.parametrize(("op", "arrays", "said"), [
    (binary_cross_entropy, ([0.0, 1.0], [0, 2]), r"binary_cross_entropy: .*position 1 is 2, .*0\.\.1"),
    (binary_cross_entropy, ([0.0], [0, 1]), "binary_cross_entropy: .*equal"),
    (binary_cross_entropy, ([], []), "binary_cross_entropy: .*no entries"),
    (mean_squared_error, ([0.0], [[0.0]]), "mean_squared_error: .*equal"),
    (mean_squared_error, ([], []), "mean_squared_error: .*no entries"),
    (softmax, (np.zeros((2, 0)),), "softmax: .*no classes"),
    (log_sum_exp, (np.zeros(()),), "log_sum_exp: .*no axis"),
    (layer_norm, (np.zeros((2, 0)), [], []), "layer_norm: .*no features"),
])
def test_what_cannot_be_computed_says_why(op, arrays, said):
    with pytest.raises(ValueError, match=said):
        op(*map(np.asarray, arrays))


def test_a_summed_loss_passes_a_softmax_backward_of_zeros_but_weights_do_not():
    y, cache = softmax.forward(np.array([0.3, -1.0, 2.0]))
    dy = np.array([1.0, -2.0, 0.5])
    expected = (np.diag(y) - np.outer(y, y)) @ dy
    np.testing.assert_allclose(softmax.backward(np.ones(3), cache), np.zeros(3), atol=1e-15)
    np.testing.assert_allclose(softmax.backward(dy, cache), expected)
    assert not np.allclose(expected, 0)


def test_a_step_down_the_gradient_lowers_the_cross_entropy():
    x, t = np.random.default_rng(1).normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
    loss, cache = cross_entropy_forward(x, t)
    dx, dt = cross_entropy_backward(np.float64(1), cache)
    assert dt is None
    assert cross_entropy_forward(x - dx, t)[0] < loss


def test_layer_norm_starts_with_mean_zero_and_variance_one():
    x = np.random.default_rng(2).normal(5, 3, (4, 64)).astype(np.float32)
    y = LayerNorm(64)(x).numpy()
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.mean(axis=1), np.zeros(4), atol=1e-5)
    np.testing.assert_allclose(y.var(axis=1), np.ones(4), rtol=1e-4)
