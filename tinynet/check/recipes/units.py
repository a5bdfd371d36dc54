"""Recipes of the blocks in blocks/units."""

import numpy as np

from tinynet import ops
from tinynet.check.recipes.valves import positive, softmax_of, tanh
from tinynet.engine import Tensor


def maximum(valve, a, b):
    return ops.where(valve.side("which is larger", a.data > b.data), a, b)


def minimum(valve, a, b):
    return ops.where(valve.side("which is smaller", a.data < b.data), a, b)


def absolute(valve, x):
    return ops.where(valve.side("threshold at 0", x.data > 0), x, -x)


def relu(valve, x):
    return positive(valve, "threshold at 0", x)


def leaky_relu(valve, x, slope=0.01):
    return ops.where(valve.side("threshold at 0", x.data > 0), x, valve("the slope of negative entries", x * slope))


def elu(valve, x, alpha=1.0):
    negative = valve("the exponential of negative entries", alpha * (x.exp() - 1))
    return ops.where(valve.side("threshold at 0", x.data > 0), x, negative)


def gelu(valve, x):
    from tinynet.blocks.units.activations import gelu as ours
    Phi = Tensor(ours.forward(np.where(x.data == 0, 1, x.data))[0] / np.where(x.data == 0, 1, x.data))
    density = np.exp(-0.5 * x.data ** 2) / np.sqrt(2 * np.pi)
    return valve("Phi itself", x * Phi) + valve("the slope of Phi", x * (x.data * density))


def dropout(valve, x, mask, p=0.5):
    keep = np.broadcast_to(mask.astype(bool), x.shape)
    return ops.where(valve.side("mask", keep), x / (1 - p), 0.0 * x)


def softmax(valve, x, axis=-1):
    return softmax_of(valve, x, axis=axis)


def layer_norm(valve, x, gain, bias, eps=1e-5):
    centred = x - valve("the mean", x.mean(axis=-1, keepdims=True))
    variance = valve("the variance", (centred * centred).mean(axis=-1, keepdims=True))
    return gain * (centred / (variance + eps).sqrt()) + bias


def maxout(valve, x, W, b=None):
    C, K, D = W.shape
    z = x.reshape(*x.shape[:-1], 1, D) @ W.reshape(C * K, D).T
    z = z.reshape(*x.shape[:-1], C, K)
    z = z if b is None else z + b
    wins = z.data.argmax(axis=-1)[..., None] == np.arange(K)
    return (z * valve.side("which piece wins", wins)).sum(axis=-1)


def lp_unit(valve, x, c, r):
    d = x - c
    a = d * np.where(valve.side("the sign of x - c", d.data > 0), 1.0, -1.0)
    size = Tensor(abs(d.data)) + a - a.data                 # |x - c| whichever way the sign is turned
    p = (r.exp() + 1).log() + 1
    power = valve("the order inside the mean", p).reshape(-1, 1)
    return ((power * size.log()).exp().mean(axis=-1).log() / valve("the order of the root", p)).exp()


def residual(valve, x, W1, W2, b1=None, activation="relu"):
    z = valve("the path through the weights", x) @ W1.T
    z = z if b1 is None else z + b1
    h = (positive(valve, "threshold at 0", z) if activation == "relu" else
         tanh(z) if activation == "tanh" else 1 / ((-z).exp() + 1))
    return valve("identity path", x) + h @ W2.T


def residual_stack(valve, x, W1, W2, b1=None, activation="relu"):
    for l in range(W1.shape[0]):
        x = residual(valve, x, W1[l], W2[l], None if b1 is None else b1[l], activation)
    return x


def apl(valve, x, a, b):
    y = valve("the ReLU", positive(valve, "threshold at 0", x))
    for s in range(a.shape[0]):
        d = b[s] - x
        y = y + valve("the hinges", a[s] * ops.where(valve.side("hinge thresholds", d.data > 0), d, 0.0 * d))
    return y


RECIPES = (maximum, minimum, absolute, relu, leaky_relu, elu, gelu, dropout, softmax, layer_norm, maxout, lp_unit,
           residual, residual_stack, apl)
