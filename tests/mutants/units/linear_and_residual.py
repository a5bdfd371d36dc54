"""Wrong backwards of the linear layer and of the residual block."""

# ruff: noqa: RUF059    (a cache is unpacked whole, as its forward packed it)
import numpy as np

from tinynet.blocks.units.linear import linear_backward
from tinynet.blocks.units.residual import residual_backward, residual_stack_backward, residual_terms

from ..registry import mutant


# %% Linear
@mutant("linear", "transposed")
def weight_gradient_transposed(dy, cache):
    dx, dW, db = linear_backward(dy, cache)
    return dx, dW.T, db


@mutant("linear", "factor")
def averaged_over_the_batch(dy, cache):
    dx, dW, db = linear_backward(dy, cache)
    return dx, dW / len(dy), db / len(dy)


@mutant("linear", "not summed")
def bias_per_example(dy, cache):
    dx, dW, _ = linear_backward(dy, cache)
    return dx, dW, dy


@mutant("linear", "not summed")
def bias_of_the_first_example(dy, cache):
    dx, dW, _ = linear_backward(dy, cache)
    return dx, dW, dy[0]


@mutant("linear", "not summed")
def weights_of_the_last_example(dy, cache):
    dx, _, db = linear_backward(dy, cache)
    return dx, np.outer(dy[-1], cache[0][-1]), db


@mutant("linear", "not summed")
def outer_product_per_example(dy, cache):
    dx, _, db = linear_backward(dy, cache)
    return dx, dy[:, :, None] * cache[0][:, None, :], db


@mutant("linear", "sign")
def bias_subtracted(dy, cache):
    dx, dW, db = linear_backward(dy, cache)
    return dx, dW, -db


@mutant("linear", "upstream ignored")
def weights_see_ones(dy, cache):
    return linear_backward(np.ones_like(dy), cache)


@mutant("linear", "zero")
def weights_frozen(dy, cache):
    dx, dW, db = linear_backward(dy, cache)
    return dx, np.zeros_like(dW), db


@mutant("linear", "count")
def bias_forgotten(dy, cache):
    return linear_backward(dy, cache)[:2]


@mutant("linear", "swapped")
def input_and_weights_exchanged(dy, cache):
    dx, dW, db = linear_backward(dy, cache)
    return dW, dx, db


@mutant("linear_batch", "not summed")
def only_the_batch_axis_is_summed(dy, cache):
    dx, dW, _ = linear_backward(dy, cache)
    return dx, dW, dy.sum(axis=0)


@mutant("linear", "summed too far")
def one_gradient_for_all_inputs(dy, cache):
    dx, dW, db = linear_backward(dy, cache)
    return np.broadcast_to(dx.sum(axis=0), dx.shape), dW, db


# %% Residual
@mutant("residual", "identity")
def identity_path_forgotten(dy, cache):
    _, through_weights, _ = residual_terms(dy, cache)
    return through_weights, *residual_backward(dy, cache)[1:]


@mutant("residual_tanh", "identity")
def identity_path_forgotten_tanh(dy, cache):
    return identity_path_forgotten(dy, cache)


@mutant("residual", "identity")
def identity_path_twice(dy, cache):
    dx, *rest = residual_backward(dy, cache)
    return dx + dy, *rest


@mutant("residual_sigmoid", "term")
def identity_alone(dy, cache):
    return dy.copy(), *residual_backward(dy, cache)[1:]


@mutant("residual_stack", "term")
def stack_is_the_identity(dy, cache):
    return dy.copy(), *residual_stack_backward(dy, cache)[1:]


@mutant("residual_stack", "identity")
def stack_without_the_identity_term(dy, cache):
    dx, *rest = residual_stack_backward(dy, cache)
    return dx - dy, *rest


@mutant("residual", "sign")
def weights_path_subtracted(dy, cache):
    _, through_weights, _ = residual_terms(dy, cache)
    return dy - through_weights, *residual_backward(dy, cache)[1:]


@mutant("residual", "factor")
def weights_path_halved(dy, cache):
    _, through_weights, _ = residual_terms(dy, cache)
    return dy + through_weights / 2, *residual_backward(dy, cache)[1:]


@mutant("residual", "transposed")
def inner_weights_transposed(dy, cache):
    dx, dW1, dW2, db1 = residual_backward(dy, cache)
    return dx, dW1.T, dW2, db1


@mutant("residual", "swapped")
def two_weights_exchanged(dy, cache):
    dx, dW1, dW2, db1 = residual_backward(dy, cache)
    return dx, dW2, dW1, db1


@mutant("residual", "mask")
def relu_lets_the_dead_through(dy, cache):
    x, W1, W2, has_bias, h, slope = cache
    dx, dW1, dW2, db1 = residual_backward(dy, (x, W1, W2, has_bias, h, lambda h: h <= 0))
    return dx, dW1, dW2, db1


@mutant("residual_tanh", "skipped")
def slope_of_tanh_forgotten(dy, cache):
    x, W1, W2, has_bias, h, _ = cache
    return residual_backward(dy, (x, W1, W2, has_bias, h, np.ones_like))


@mutant("residual_without_bias", "not summed")
def outer_weights_of_the_first_batch(dy, cache):
    x, W1, W2, has_bias, h, slope = cache
    dx, dW1, _, _ = residual_backward(dy, cache)
    return dx, dW1, dy[0].T @ h[0], None


@mutant("residual_stack", "swapped")
def layers_in_reverse(dy, cache):
    dx, dW1, dW2, db1 = residual_stack_backward(dy, cache)
    order = [1, 0, *range(2, len(dW1))]
    return dx, dW1[order], dW2[order], db1[order]


@mutant("residual_stack", "term")
def all_layers_see_the_same_gradient(dy, cache):
    caches, W1, W2, b1 = cache
    each = [residual_backward(dy, c) for c in caches]
    return residual_stack_backward(dy, cache)[0], *(np.stack(g) for g in list(zip(*each, strict=True))[1:])
