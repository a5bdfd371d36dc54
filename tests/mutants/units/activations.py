"""Wrong backwards of the activation functions, of the pooling units and of dropout."""

# ruff: noqa: RUF059    (a cache is unpacked whole, as its forward packed it)
import numpy as np

from tinynet.blocks.units.activations import (
    elu_backward,
    gelu_backward,
    leaky_relu_backward,
    sigmoid_backward,
    tanh_backward,
)
from tinynet.blocks.units.lp_unit import lp_unit_backward
from tinynet.blocks.units.maxout import maxout_backward

from ..registry import mutant


# %% Entry by entry
@mutant("sigmoid", "upstream ignored")
def sigmoid_slope_alone(dy, y):
    return y * (1 - y)


@mutant("sigmoid", "sign")
def sigmoid_y_minus_one(dy, y):
    return dy * y * (y - 1)


@mutant("sigmoid", None)
def sigmoid_half_a_slope(dy, y):
    return dy * y


@mutant("sigmoid", "factor")
def sigmoid_scaled_to_one(dy, y):
    return 4 * sigmoid_backward(dy, y)


@mutant("sigmoid", "zero")
def sigmoid_integer_slope(dy, y):
    return dy * (y * (1 - y)).astype(int)


@mutant("tanh", None)
def tanh_square_forgotten(dy, y):
    return dy * (1 - y)


@mutant("tanh", "factor")
def tanh_halved(dy, y):
    return tanh_backward(dy, y) / 2


@mutant("tanh", "identity")
def tanh_one_forgotten(dy, y):
    return -dy * y * y


@mutant("relu", "mask")
def relu_wrong_side(dy, x):
    return dy * (x < 0)


@mutant("relu", "mask")
def relu_lets_all_through(dy, x):
    return dy.copy()


@mutant("relu", "mask")
def relu_threshold_at_one(dy, x):
    return dy * (x > 1)


@mutant("relu", "mask")
def relu_looks_at_the_upstream(dy, x):
    return dy * (dy > 0)


@mutant("relu", "upstream ignored")
def relu_step(dy, x):
    return (x > 0).astype(float)


@mutant("relu", None)
def relu_times_x(dy, x):
    return dy * np.maximum(x, 0)


@mutant("leaky_relu", "mask")
def leaky_wrong_side(dy, cache):
    x, slope = cache
    return dy * np.where(x > 0, slope, 1)


@mutant("leaky_relu_slope", "term")
def leaky_without_leak(dy, cache):
    x, _ = cache
    return dy * (x > 0)


@mutant("leaky_relu_slope", "sign")
def leak_turned_round(dy, cache):
    x, slope = cache
    return leaky_relu_backward(dy, (x, 1.0)) * np.where(x > 0, 1, -slope)


@mutant("elu_alpha", "term")
def elu_without_exponential(dy, cache):
    x, *_ = cache
    return dy * (x > 0)


@mutant("elu_alpha", "mask")
def elu_wrong_side(dy, cache):
    x, _, alpha = cache
    return dy * np.where(x > 0, alpha * np.exp(x), 1)


@mutant("elu_alpha", "factor")
def elu_alpha_forgotten(dy, cache):
    x, y, alpha = cache
    return dy * np.where(x > 0, 1, (y + alpha) / alpha)


@mutant("elu_alpha", "upstream ignored")
def elu_without_upstream(dy, cache):
    return elu_backward(np.ones_like(dy), cache)


@mutant("gelu", "term")
def gelu_gate_held_constant(dy, cache):
    _, Phi = cache
    return dy * Phi


@mutant("gelu", "term")
def gelu_only_the_gate(dy, cache):
    return gelu_backward(dy, cache) - dy * cache[1]


@mutant("gelu", "factor")
def gelu_two_pi_without_root(dy, cache):
    x, Phi = cache
    return dy * (Phi + x * np.exp(-0.5 * x * x) / (2 * np.pi))


@mutant("gelu", None)
def gelu_without_the_half(dy, cache):
    x, Phi = cache
    return dy * (Phi + x * np.exp(-x * x) / np.sqrt(2 * np.pi))


# %% Dropout
@mutant("dropout", "factor")
def dropout_not_scaled(dy, cache):
    keep, _ = cache
    return dy * keep, None


@mutant("dropout", "mask")
def dropout_keeps_the_dropped(dy, cache):
    keep, scale = cache
    return dy * (~keep * scale), None


@mutant("dropout", "mask")
def dropout_mask_forgotten(dy, cache):
    _, scale = cache
    return dy * scale, None


@mutant("dropout", "factor")
def dropout_scaled_twice(dy, cache):
    keep, scale = cache
    return dy * (keep * scale * scale), None


# %% Maxout
@mutant("maxout", "mask")
def losers_take_all(dy, cache):
    x, W, has_bias, winner = cache
    dz = dy[..., None] * (winner != np.arange(W.shape[1]))
    dx, dW = np.einsum("nck,ckd->nd", dz, W), np.einsum("nck,nd->ckd", dz, x)
    return dx, dW, dz.sum(axis=0)


@mutant("maxout", "not summed")
def maxout_bias_of_the_first_example(dy, cache):
    x, W, has_bias, winner = cache
    dx, dW, _ = maxout_backward(dy, cache)
    return dx, dW, dy[0][:, None] * (winner[0] == np.arange(W.shape[1]))


@mutant("maxout", "not summed")
def maxout_first_unit_alone(dy, cache):
    dy = dy.copy()
    dy[:, 1:] = 0
    return maxout_backward(dy, cache)[0], *maxout_backward(dy, cache)[1:]


@mutant("maxout", "factor")
def maxout_shared_between_pieces(dy, cache):
    return tuple(g / cache[1].shape[1] for g in maxout_backward(dy, cache))


@mutant("maxout", "swapped")
def maxout_first_two_pieces_exchanged(dy, cache):
    dx, dW, db = maxout_backward(dy, cache)
    order = [1, 0, *range(2, dW.shape[1])]
    return dx, dW[:, order], db[:, order]


# %% L_p unit
@mutant("lp_unit", "sign")
def lp_centre_pulled_the_wrong_way(dy, cache):
    dx, dc, dr = lp_unit_backward(dy, cache)
    return dx, -dc, dr


@mutant("lp_unit", "sign")
def lp_sign_of_x_turned(dy, cache):
    dx, dc, dr = lp_unit_backward(dy, cache)
    return -dx, dc, dr


@mutant("lp_unit", "mask")
def lp_sign_of_x_forgotten(dy, cache):
    dx, dc, dr = lp_unit_backward(dy, cache)
    x, c, *_ = cache
    return np.where(x > c, 0, dx), dc, dr


@mutant("lp_unit", "factor")
def lp_mean_taken_as_sum(dy, cache):
    dx, dc, dr = lp_unit_backward(dy, cache)
    return dx * dx.shape[-1], dc * dx.shape[-1], dr


@mutant("lp_unit", "not summed")
def lp_centre_per_example(dy, cache):
    dx, _, dr = lp_unit_backward(dy, cache)
    return dx, -dx, dr


@mutant("lp_unit", "term")
def lp_order_of_the_root_forgotten(dy, cache):
    x, c, r, a, p, y = cache
    dx, dc, _ = lp_unit_backward(dy, cache)
    t = a / y
    dp = (dy * (y / p * t ** p * np.log(a)).mean(axis=-1)).sum(axis=0)
    return dx, dc, dp / (1 + np.exp(-r))


@mutant("lp_unit", None)
def lp_softplus_forgotten(dy, cache):
    dx, dc, dr = lp_unit_backward(dy, cache)
    return dx, dc, dr * (1 + np.exp(-cache[2]))
