"""Wrong backwards of softmax and layer norm."""

# ruff: noqa: RUF059    (a cache is unpacked whole, as its forward packed it)
import numpy as np

from tinynet.blocks.units.layer_norm import layer_norm_backward
from tinynet.blocks.units.softmax import softmax_backward

from ..registry import mutant


# %% Softmax
@mutant("softmax", "softmax diagonal")
def only_diag_p(dy, cache):
    p, _ = cache
    return p * dy


@mutant("softmax_batch", "softmax diagonal")
def only_the_diagonal(dy, cache):
    p, _ = cache
    return p * (1 - p) * dy


@mutant("softmax", "softmax off-diagonal")
def only_minus_pp(dy, cache):
    p, _ = cache
    return -p * (p * dy).sum(axis=-1, keepdims=True)


@mutant("softmax_first_axis", "softmax off-diagonal")
def only_beside_the_diagonal(dy, cache):
    p, axis = cache         # with the classes last
    dy = np.moveaxis(dy, axis, -1)
    return np.moveaxis(p * (p * dy - (p * dy).sum(axis=-1, keepdims=True)), -1, axis)


@mutant("softmax", "zero")
def nothing(dy, cache):
    return np.zeros_like(dy)


@mutant("softmax", "sign")
def mean_less_own(dy, cache):
    return -softmax_backward(dy, cache)


@mutant("softmax", "upstream ignored")
def slope_of_a_sigmoid(dy, cache):
    p, _ = cache
    return p * (1 - p)


@mutant("softmax", "sign")
def plus_instead_of_minus(dy, cache):
    p, _ = cache
    return p * (dy + (p * dy).sum(axis=-1, keepdims=True))


@mutant("softmax", "softmax axis")
def sums_over_the_examples(dy, cache):
    p, _ = cache
    return p * (dy - (p * dy).sum(axis=0))


@mutant("softmax", "factor")
def temperature_forgotten(dy, cache):
    return 2 * softmax_backward(dy, cache)


@mutant("softmax_batch", "not summed")
def only_the_first_sequence(dy, cache):
    dx = softmax_backward(dy, cache)
    dx[1:] = 0
    return dx


# %% Layer norm
def pieces(dy, cache):
    x, gain, mu, r = cache
    z = (x - mu[..., None]) * r[..., None]
    dz = dy * gain
    return z, dz, r[..., None], layer_norm_backward(dy, cache)


@mutant("layer_norm", "term")
def mean_held_constant(dy, cache):
    z, dz, r, (_, dgain, dbias) = pieces(dy, cache)
    return r * (dz - z * (dz * z).mean(axis=-1, keepdims=True)), dgain, dbias


@mutant("layer_norm", "term")
def variance_held_constant(dy, cache):
    z, dz, r, (_, dgain, dbias) = pieces(dy, cache)
    return r * (dz - dz.mean(axis=-1, keepdims=True)), dgain, dbias


@mutant("layer_norm_batch", "term")
def both_held_constant(dy, cache):
    z, dz, r, (_, dgain, dbias) = pieces(dy, cache)
    return r * dz, dgain, dbias


@mutant("layer_norm", "factor")
def sums_where_means_belong(dy, cache):
    z, dz, r, (_, dgain, dbias) = pieces(dy, cache)
    return r * (dz - dz.mean(axis=-1, keepdims=True) - z * (dz * z).sum(axis=-1, keepdims=True)), dgain, dbias


@mutant("layer_norm", "sign")
def variance_term_added(dy, cache):
    z, dz, r, (_, dgain, dbias) = pieces(dy, cache)
    return (r * (dz - dz.mean(axis=-1, keepdims=True) + z * (dz * z).mean(axis=-1, keepdims=True)), dgain, dbias)


@mutant("layer_norm", "not summed")
def bias_of_the_last_row(dy, cache):
    dx, dgain, _ = layer_norm_backward(dy, cache)
    return dx, dgain, dy[-1]


@mutant("layer_norm_batch", "not summed")
def bias_for_each_place(dy, cache):
    dx, dgain, _ = layer_norm_backward(dy, cache)
    return dx, dgain, dy.sum(axis=0)


@mutant("layer_norm", "swapped")
def gain_and_bias_exchanged(dy, cache):
    dx, dgain, dbias = layer_norm_backward(dy, cache)
    return dx, dbias, dgain


@mutant("layer_norm", "factor")
def gain_averaged(dy, cache):
    dx, dgain, dbias = layer_norm_backward(dy, cache)
    return dx, dgain / len(dy), dbias


@mutant("layer_norm", None)
def gain_forgotten(dy, cache):
    x, gain, mu, r = cache
    _, dgain, dbias = layer_norm_backward(dy, cache)
    return layer_norm_backward(dy, (x, np.ones_like(gain), mu, r))[0], dgain, dbias
