"""What the activation functions, maxout, the L_p unit and dropout promise beyond right gradients."""

import math

import numpy as np
import pytest

import tinynet as tn
from tinynet.blocks.units.activations import ELU, GELU, LeakyReLU, ReLU, Sigmoid, Tanh, elu, gelu, leaky_relu, sigmoid
from tinynet.blocks.units.dropout import Dropout, dropout, dropout_forward
from tinynet.blocks.units.linear import linear
from tinynet.blocks.units.lp_unit import LpUnit, lp_unit, lp_unit_backward, lp_unit_forward
from tinynet.blocks.units.maxout import Maxout, maxout, maxout_backward, maxout_forward
from tinynet.masks import draw_mask

MODULES = [Sigmoid(), Tanh(), ReLU(), LeakyReLU(), ELU(), GELU()]
FAR = [-1e4, -200, -20, -1, 0, 1, 20, 200, 1e4]


def slope(f, x):
    """f'(x), entry by entry, as the engine finds it."""
    x = tn.Tensor(x, requires_grad=True)
    f(x).backward(np.ones(x.shape))
    return x.grad


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("f", MODULES, ids=lambda f: type(f).__name__)
def test_far_from_zero_no_activation_warns_or_overflows(f, dtype):
    x = np.array(FAR, dtype)
    y, dx = f(tn.Tensor(x)).data, slope(f, x)
    assert y.dtype == dx.dtype == dtype
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


@pytest.mark.parametrize(("f", "formula"), [
    (Sigmoid(), lambda x: math.exp(x) / (1 + math.exp(x)) if x < 0 else 1 / (1 + math.exp(-x))),
    (Tanh(), math.tanh), (ReLU(), lambda x: max(x, 0)), (LeakyReLU(), lambda x: x if x > 0 else 0.01 * x),
    (ELU(), lambda x: x if x > 0 else math.expm1(x)), (GELU(), lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2)))),
], ids=lambda f: type(f).__name__)
def test_values_are_the_formulas(f, formula):
    np.testing.assert_allclose(f(tn.Tensor(np.array(FAR))).data, [formula(x) for x in FAR], rtol=1e-14, atol=1e-300)


def test_sigmoid_slope_lies_between_0_and_a_quarter():
    x = np.linspace(-50, 50, 100_001)
    dx = slope(sigmoid, x)
    assert dx.min() >= 0
    assert dx.max() == 0.25
    assert x[dx.argmax()] == 0


def test_conventions_at_zero_are_the_slope_from_the_left():
    zero = np.zeros(1)
    found = [slope(f, zero).item() for f in (ReLU(), LeakyReLU(0.2), ELU(0.5), GELU(), Sigmoid(), Tanh())]
    assert found == [0, 0.2, 0.5, 0.5, 0.25, 1]


def test_sigmoid_keeps_its_small_values():
    np.testing.assert_allclose(sigmoid(np.array([-20], np.float32)).data, 2.0611537e-09, rtol=1e-6)


@pytest.mark.parametrize("f", [sigmoid, elu], ids=lambda op: op.name)
def test_complex_steps_pass_through(f):
    x = np.array([-2, -0.5, 0.3, 4])
    y, _ = f.forward(x + 1e-200j)
    np.testing.assert_allclose(y.imag / 1e-200, slope(f, x), rtol=1e-14)


def test_gelu_twins_agree():
    x = np.linspace(-6, 6, 60).reshape(3, 4, 5).swapaxes(0, 2)
    for (y, cache), (z, other) in zip([gelu.forward(x)] * 2, [gelu.fast[0](x)] * 2, strict=True):
        np.testing.assert_allclose(y, z, rtol=1e-14)
        np.testing.assert_allclose(gelu.backward(x, cache), gelu.fast[1](x, other), rtol=1e-14)


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_leaky_relu_refuses_a_slope_outside_0_to_1(wrong):
    with pytest.raises(ValueError, match=r"^leaky_relu: slope is .* \[0, 1\]"):
        leaky_relu(np.ones(2), slope=wrong)


# %% maxout and L_p
def test_maxout_is_the_largest_of_its_linear_pieces():
    rng = np.random.default_rng(0)
    x, W, b = rng.normal(size=(5, 3)), rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4))
    pieces = np.stack([linear(x, W[:, k], b[:, k]).data for k in range(4)])
    np.testing.assert_allclose(maxout(x, W, b).data, pieces.max(axis=0), rtol=1e-14)


def test_maxout_gives_a_tie_to_the_first_piece():
    x, W = np.ones((1, 1)), np.ones((1, 3, 1))
    _, cache = maxout_forward(x, W)
    _, dW, _ = maxout_backward(np.ones((1, 1)), cache)
    np.testing.assert_array_equal(dW.ravel(), [1, 0, 0])


def test_maxout_of_x_and_0_is_relu():
    x = np.linspace(-2, 2, 9)[:, None]
    np.testing.assert_array_equal(maxout(x, np.array([[[1.0], [0.0]]])).data, np.maximum(x, 0))


def test_lp_unit_of_order_2_is_the_root_mean_square_and_of_a_huge_one_the_maximum():
    x = np.random.default_rng(0).normal(size=(6, 2, 3))
    net = LpUnit(6, 2, pieces=3, order=2, rng=0, dtype=np.float64)
    np.testing.assert_allclose(lp_unit(x, net.c, net.r).data, np.sqrt((x ** 2).mean(axis=-1)), rtol=1e-12)
    huge = lp_unit(x, np.zeros((2, 3)), np.full(2, 1e6)).data
    np.testing.assert_allclose(huge, np.abs(x).max(axis=-1), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("r", [-1e4, -1, 0, 5, 1e4])
@pytest.mark.parametrize("scale", [0, 1e-4, 1e4])
def test_lp_unit_is_finite_for_any_order_and_scale(dtype, r, scale):
    x = (scale * np.array([[[1, 0, -3]]])).astype(dtype)
    y, cache = lp_unit_forward(x, np.zeros((1, 3), dtype), np.full(1, r, dtype))
    for array in (y, *lp_unit_backward(np.ones_like(y), cache)):
        assert array.dtype == dtype
        assert np.isfinite(array).all()


def test_lp_unit_at_its_centres_passes_no_gradient():
    c = np.array([[1.0, 2.0]])
    _, cache = lp_unit_forward(c[None], c, np.zeros(1))
    assert [np.abs(d).max() for d in lp_unit_backward(np.ones((1, 1)), cache)] == [0, 0, 0]


@pytest.mark.parametrize("make", [Maxout, LpUnit])
def test_pooling_modules_learn_all_their_parameters(make):
    net = make(3, 4, pieces=2, rng=0)
    y = net(tn.Tensor(np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)))
    assert (y.shape, y.dtype) == ((5, 6, 4), np.float32)
    (y * y).sum().backward()
    assert all(np.abs(p.grad).max() > 0 for p in net.parameters())
    assert all((a.data == b.data).all() for a, b in zip(net.parameters(), make(3, 4, rng=0).parameters(), strict=True))


@pytest.mark.parametrize(("wrong", "says"), [
    (lambda: maxout(np.ones((2, 3)), np.ones((4, 2, 5))), r"^maxout: .*D is 3 and 5"),
    (lambda: maxout(np.ones((2, 3)), np.ones((4, 0, 3))), r"^maxout: .*K >= 1"),
    (lambda: lp_unit(np.ones((2, 3)), np.ones((2, 4)), np.ones(2)), r"^lp_unit: .*K is 3 and 4"),
    (lambda: lp_unit(np.ones((2, 0)), np.ones((2, 0)), np.ones(2)), r"^lp_unit: .*K >= 1"),
    (lambda: LpUnit(2, 2, order=1), r"^lp_unit: order is 1"),
    (lambda: dropout(np.ones((2, 3)), np.ones((2, 4), bool), p=0.5), r"^dropout: .*\(2, 3\), mask \(2, 4\)"),
    (lambda: dropout(np.ones(2), np.ones(2, bool), p=1), r"^dropout: p is 1, .*\[0, 1\)"),
    (lambda: Dropout(p=-0.1), r"^dropout: p is -0.1"),
    (lambda: Dropout(p=float("nan")), r"^dropout: p is nan"),
])
def test_errors_name_the_block_and_the_remedy(wrong, says):
    with pytest.raises(ValueError, match=says):
        wrong()


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 2.5])
def test_elu_has_slope_one_above_zero_whatever_alpha(alpha):
    x = np.array([-np.inf, -3.0, -1e-3, 1e-3, 3.0, np.inf])
    expected = np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)))
    np.testing.assert_allclose(slope(lambda x: elu(x, alpha=alpha), x), expected, rtol=1e-12)


# %% dropout
@pytest.mark.parametrize("p", [0.0, 0.1, 0.6, 0.999])
def test_a_mask_keeps_the_share_that_p_leaves_in_every_place(p):
    keep = draw_mask(np.random.default_rng(0), (7, 11, 13), p)
    assert (keep.shape, keep.dtype) == ((7, 11, 13), bool)
    rng, spread = np.random.default_rng(1), math.sqrt(p * (1 - p) / 4000)
    often = np.mean([draw_mask(rng, (5, 3), p) for _ in range(4000)], axis=0)
    assert np.abs(often - (1 - p)).max() <= 5 * spread
    assert draw_mask(rng, (0, 3), p).shape == (0, 3)


@pytest.mark.parametrize("shape", [(123, 457), (3,), (0, 2), (20_001,)])
def test_a_mask_has_the_same_bits_drawn_by_numpy_or_in_fast(shape):
    masks = []
    for backend in ("plain", "fast"):
        with tn.use_backend(backend):
            masks.append(draw_mask(np.random.default_rng(3), shape, 0.6))
    np.testing.assert_array_equal(*masks)


def test_dropout_keeps_the_mean_and_drops_the_share_p():
    x = np.ones((400, 500), np.float32)
    y = Dropout(0.2, rng=0)(tn.Tensor(x)).data
    assert y.dtype == np.float32
    assert set(np.unique(y)) == {np.float32(0), np.float32(1.25)}
    assert abs((y == 0).mean() - 0.2) < 0.005
    assert abs(y.mean() - 1) < 0.01


def test_dropout_is_the_identity_in_evaluation_and_leaves_its_rng_alone():
    layer, x = Dropout(0.5, rng=0).eval(), tn.Tensor(np.ones(5))
    before = layer.rng.bit_generator.state
    np.testing.assert_array_equal(layer(x).data, x.data)
    assert layer.rng.bit_generator.state == before


def test_dropout_continues_from_a_saved_rng_state():
    layer, x = Dropout(0.5, rng=3), tn.Tensor(np.ones(50))
    layer(x)
    state = layer.rng.bit_generator.state
    first, second = layer(x).data, layer(x).data
    assert (first != second).any(), "every call draws a fresh mask"
    layer.rng.bit_generator.state = state
    np.testing.assert_array_equal(layer(x).data, first)


def test_dropout_takes_a_mask_for_whole_rows():
    y, _ = dropout_forward(np.ones((3, 2)), np.array([[True], [False], [True]]), p=0.5)
    np.testing.assert_array_equal(y, [[2, 2], [0, 0], [2, 2]])
