"""Recipes of the blocks in blocks/images."""

import numpy as np

from tinynet import ops


def conv(valve, X, W, b=None, stride=1, padding=0, dilation=1, groups=1, method=None, need_dX=True):
    (u, v), (p, q), (e, f) = (n if isinstance(n, tuple) else (n, n) for n in (stride, padding, dilation))
    K, channels, R, S = W.shape
    Xp, Y = ops.pad(X, widths=((0, 0), (0, 0), (p, p), (q, q))), 0.0
    rows, columns = ((Xp.shape[2] - e * (R - 1) - 1) // u + 1, (Xp.shape[3] - f * (S - 1) - 1) // v + 1)
    for r, s in np.ndindex(R, S):
        seen = Xp[:, :, r * e:r * e + (rows - 1) * u + 1:u, s * f:s * f + (columns - 1) * v + 1:v]
        parts = [ops.einsum("nchw,kc->nkhw", seen[:, g * channels:(g + 1) * channels],
                            W[g * K // groups:(g + 1) * K // groups, :, r, s])
                 for g in range(groups)]
        Y = Y + (parts[0] if groups == 1 else ops.concatenate(*parts, axis=1))
    return Y if b is None else Y + b.reshape(1, K, 1, 1)


def batch_norm(valve, X, gain, bias, skip=None, relu=False, eps=1e-5, fixed=None, observe=None):
    axes = (0, *range(2, X.ndim))                       # all but the channels
    channels = (1, -1, *(1,) * (X.ndim - 2))
    if fixed is None:
        centred = X - valve("the mean", X.mean(axis=axes, keepdims=True))
        variance = valve("the variance", (centred * centred).mean(axis=axes, keepdims=True))
    else:
        centred, variance = X - fixed[0].reshape(channels), fixed[1].reshape(channels)
    r = (variance + eps).sqrt() if fixed is None else np.sqrt(variance + eps)
    P = gain.reshape(*channels) * (centred / r) + bias.reshape(*channels)
    P = P if skip is None else P + valve("the skip", skip, "identity")
    return valve.relu("the relu", P) if relu else P


def group_norm(valve, X, gain, bias, groups=1, eps=1e-5):
    x = X.reshape(len(X), groups, -1)
    centred = x - valve("the mean", x.mean(axis=2, keepdims=True))
    variance = valve("the variance", (centred * centred).mean(axis=2, keepdims=True))
    Z = (centred / (variance + eps).sqrt()).reshape(*X.shape)
    return gain.reshape(1, -1, 1, 1) * Z + bias.reshape(1, -1, 1, 1)


def conv_residual(valve, X, *weights, stride=1, projected=False, preactivated=False, settings=None):
    layers = [weights[i:i + 3] for i in range(0, len(weights), 3)]
    settings = [{}] * len(layers) if settings is None else settings
    if projected:
        W, gain, bias = layers.pop()
        h = batch_norm(_plain, conv(_plain, X, W, stride=stride), gain, bias, **settings[-1])
    else:
        more = len(layers[-1][0]) - X.shape[1]
        h = ops.pad(X[:, :, ::stride, ::stride], widths=((0, 0), (more // 2, more - more // 2), (0, 0), (0, 0)))
    h, Y = valve("the identity path", h, "identity"), valve("the path through the weights", X)
    for i, (W, gain, bias) in enumerate(layers):
        step = dict(stride=stride if i == len(layers) - 2 else 1, padding=W.shape[2] // 2)
        if preactivated:
            Y = conv(_plain, batch_norm(_plain, Y, gain, bias, relu=True, **settings[i]), W, **step)
        else:
            last = i == len(layers) - 1
            Y = batch_norm(_plain, conv(_plain, Y, W, **step), gain, bias, **settings[i])
            Y = valve.relu("the last relu", Y + h) if last else _plain.relu("", Y)
    return Y + h if preactivated else Y


class _Open:
    """Valves that are all open: for the parts whose own mistakes are looked for elsewhere."""

    def __call__(self, spot, tensor, kind="term"):
        return tensor

    def relu(self, spot, z):
        return ops.maximum(z, 0.0)


_plain = _Open()
RECIPES = (conv, batch_norm, group_norm, conv_residual)
