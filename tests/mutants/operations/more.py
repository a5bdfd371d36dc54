"""Wrong backwards of the ops beyond arithmetic."""

import numpy as np

from tinynet import ops

from ..registry import mutant


@mutant("sin", None)
def sine_stays_a_sine(dy, x):
    return dy * np.sin(x)


@mutant("cos", "sign")
def minus_of_the_sine_forgotten(dy, x):
    return dy * np.sin(x)


@mutant("log1p", None)
def one_forgotten(dy, x):
    return dy / x


@mutant("softplus", "skipped")
def as_if_it_were_x(dy, x):
    return dy


@mutant("clip", "mask")
def bounds_forgotten(dy, inside):
    return dy


@mutant("var_first", "factor")
def square_without_two(dy, cache):
    return ops.var.backward(dy, cache) / 2


@mutant("norm_first", "factor")
def norm_of_the_squares(dy, cache):
    return 2 * ops.norm.backward(dy, cache)


@mutant("prod_first", None)
def product_itself(dy, cache):
    x, axes = cache
    return np.broadcast_to(np.expand_dims(dy, axes), x.shape) * x.prod(axis=axes, keepdims=True)


@mutant("cumsum", "transposed")
def summed_from_the_front_again(dy, axis):
    return np.cumsum(dy, axis=axis)


@mutant("tril", "mask")
def other_triangle(dy, k):
    return np.triu(dy, k)


@mutant("take_along_axis", "not summed")
def last_one_wins(dy, cache):
    shape, indices, axis = cache
    dx = np.zeros(shape)
    np.put_along_axis(dx, indices, dy, axis)
    return dx, None


@mutant("einsum_matmul", "swapped")
def matrices_exchanged(dy, cache):
    da, db = ops.einsum.backward(dy, cache)
    return np.resize(db, da.shape), np.resize(da, db.shape)


@mutant("einsum_summed_alone", "zero")
def sum_over_nothing(dy, cache):
    da, db = ops.einsum.backward(dy, cache)
    return np.zeros_like(da), db
