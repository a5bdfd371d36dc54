"""Wrong backwards of batch norm, group norm and the residual block of convolutions."""

import numpy as np

from tinynet.blocks.images.batch_norm import batch_norm_backward
from tinynet.blocks.images.conv_residual import conv_residual_backward, residual_terms
from tinynet.blocks.images.group_norm import group_norm_backward

from ..registry import mutant


# %% Batch norm
def pieces(dY, cache):
    X, gain, mu, r, Y, *_ = cache
    r, slope = r[:, None, None], (gain * r)[:, None, None]
    dP = dY if Y is None else dY * (Y > 0)
    return (X - mu[:, None, None]) * r, dP, slope, batch_norm_backward(dY, cache)


def mean(a):
    return a.mean(axis=(0, 2, 3), keepdims=True)


@mutant("batch_norm", "term")
def mean_held_constant(dY, cache):
    Z, dP, slope, (_, *others) = pieces(dY, cache)
    return slope * (dP - Z * mean(dP * Z)), *others


@mutant("batch_norm", "term")
def variance_held_constant(dY, cache):
    _, dP, slope, (_, *others) = pieces(dY, cache)
    return slope * (dP - mean(dP)), *others


@mutant("batch_norm", "term")
def both_held_constant(dY, cache):
    _, dP, slope, (_, *others) = pieces(dY, cache)
    return slope * dP, *others


@mutant("batch_norm_relu", "mask")
def relu_forgotten(dY, cache):
    X, gain, mu, r, _, *rest = cache
    return batch_norm_backward(dY, (X, gain, mu, r, None, *rest))


@mutant("batch_norm", "sign")
def bias_turned(dY, cache):
    dX, dgain, dbias, dskip = batch_norm_backward(dY, cache)
    return dX, dgain, -dbias, dskip


@mutant("batch_norm", "swapped")
def gain_and_bias_exchanged(dY, cache):
    dX, dgain, dbias, dskip = batch_norm_backward(dY, cache)
    return dX, dbias, dgain, dskip


@mutant("batch_norm", "factor")
def gain_averaged(dY, cache):
    dX, dgain, dbias, dskip = batch_norm_backward(dY, cache)
    return dX, dgain / dY[:, 0].size, dbias, dskip


@mutant("batch_norm_skip_relu", "mask")
def skip_before_the_relu(dY, cache):
    dX, dgain, dbias, _ = batch_norm_backward(dY, cache)
    return dX, dgain, dbias, dY.copy()


@mutant("group_norm", "term")
def group_mean_held_constant(dY, cache):
    Z, r, gain = cache
    _, dgain, dbias = group_norm_backward(dY, cache)
    dz, z = ((a.reshape(*r.shape[:2], -1)) for a in (gain[:, None, None] * dY, Z))
    return (r * (dz - z * (dz * z).mean(axis=2, keepdims=True))).reshape(Z.shape), dgain, dbias


@mutant("group_norm", "sign")
def group_gain_turned(dY, cache):
    dX, dgain, dbias = group_norm_backward(dY, cache)
    return dX, -dgain, dbias


# %% Residual block
@mutant("conv_residual", "identity")
def identity_forgotten(dY, cache):
    _, through_weights, grads = residual_terms(dY, cache)
    return through_weights, *grads


@mutant("conv_residual", "term")
def only_the_identity(dY, cache):
    identity_term, _, grads = residual_terms(dY, cache)
    return identity_term, *grads


@mutant("conv_residual_bottleneck", "zero")
def projection_not_learnt(dY, cache):
    *others, dWs, dgain, dbias = conv_residual_backward(dY, cache)
    return *others, np.zeros_like(dWs), dgain, dbias


@mutant("conv_residual_preactivated", "sign")
def first_filters_turned(dY, cache):
    dX, dW, *others = conv_residual_backward(dY, cache)
    return dX, -dW, *others
