"""Recipes of the blocks in blocks/units, and of the elementary ops that have a threshold."""

import numpy as np

from tinynet.engine import Tensor


# %% Thresholds
def maximum(valve, a, b):
    return valve.where("which is larger", a.data > b.data, a, b)


def minimum(valve, a, b):
    return valve.where("which is smaller", a.data < b.data, a, b)


def absolute(valve, x):
    return valve.where("threshold at 0", x.data > 0, x, -x)


def relu(valve, x):
    return valve.relu("threshold at 0", x)


def leaky_relu(valve, x, slope=0.01):
    return valve.where("threshold at 0", x.data > 0, x, valve("the slope of negative entries", x * slope))


def elu(valve, x, alpha=1.0):
    negative = valve("the exponential of negative entries", alpha * (x.exp() - 1))
    return valve.where("threshold at 0", x.data > 0, x, negative)


def dropout(valve, x, mask, p=0.5):
    return valve.dropout("mask", x, np.broadcast_to(mask.astype(bool), x.shape), p)


# %% Smooth functions of one number
def sigmoid(valve, x):
    return valve.activation("the sigmoid", x, "sigmoid")


def tanh(valve, x):
    return valve.activation("the tanh", x, "tanh")


def gelu(valve, x):
    from tinynet.blocks.units.activations import gelu as ours
    Phi = Tensor(ours.forward(np.where(x.data == 0, 1, x.data))[0] / np.where(x.data == 0, 1, x.data))
    density = np.exp(-0.5 * x.data ** 2) / np.sqrt(2 * np.pi)
    return valve("Phi itself", x * Phi) + valve("the slope of Phi", x * (x.data * density))


# %% Rows
def softmax(valve, x, axis=-1):
    return valve.softmax("", x, axis=axis)


def log_sum_exp(valve, x, axis=-1):
    top = x.data.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    shifted = valve("the softmax", x - top)
    return (shifted.exp().sum(axis=axis, keepdims=True).log() + top).sum(axis=axis)


def layer_norm(valve, x, gain, bias, eps=1e-5):
    centred = x - valve("the mean", x.mean(axis=-1, keepdims=True))
    variance = valve("the variance", (centred * centred).mean(axis=-1, keepdims=True))
    return gain * (centred / (variance + eps).sqrt()) + bias


def unit_rows(valve, x):
    return x / valve("the norm", (x * x).sum(axis=-1, keepdims=True).sqrt())


def _gate(name):
    """a f(b), of two arrays or of the halves of one."""
    def recipe(valve, a, b=None):
        if b is None:
            a, b = a[..., :a.shape[-1] // 2], a[..., a.shape[-1] // 2:]
        gate = valve("what the gate does", valve.activation(f"the {name}", b, name))
        return valve.gated("the gate", gate, a)
    recipe.__name__ = f"{name} gate"
    return recipe


GATES = [_gate(name) for name in ("sigmoid", "tanh")]


# %% Layers
def linear(valve, x, W, b=None):
    y = valve("the path through the weights", x) @ W.T
    return y if b is None else y + valve("the bias", b)


def _dense(hidden, last):
    """Layers x W + b as students write them, two or three deep: the arrays in any order, with biases or without."""
    def recipe(valve, x, *arrays):
        matrices, biases = ([a for a in arrays if a is not None and a.ndim == ndim] for ndim in (2, 1))
        if len(matrices) + len(biases) != len([a for a in arrays if a is not None]) or len(biases) not in (
                0, len(matrices)):
            raise ValueError("no layers")
        for depth, W in enumerate(matrices):
            z, kind = x @ W + (biases[depth] if biases else 0.0), hidden if W is not matrices[-1] else last
            at = f" of layer {depth + 1}" if len(matrices) > 1 else ""
            if kind == "softmax":
                x = valve.softmax(f"the softmax{at}" if at else "", z)
            elif kind == "relu":
                x = valve.relu(f"threshold at 0{at}", z)
            else:
                x = valve.activation(f"the {kind}{at}", z, kind) if kind else z
        return x
    recipe.__name__ = f"dense {hidden}, {last or 'linear'}"
    return recipe


DENSE = [_dense(hidden, last) for hidden in ("relu", "tanh", "sigmoid")
         for last in dict.fromkeys((hidden, None, "softmax", "sigmoid"))]


def residual(valve, x, W1, W2, b1=None, activation="relu", at=""):
    z = valve(f"the path through the weights{at}", x) @ W1.T
    z = z if b1 is None else z + b1
    h = (valve.relu(f"threshold at 0{at}", z) if activation == "relu" else
         valve.activation(f"the {activation}{at}", z, activation))
    return valve(f"identity path{at}", x, "identity") + h @ W2.T


def residual_stack(valve, x, W1, W2, b1=None, activation="relu"):
    for l in range(W1.shape[0]):
        x = residual(valve, x, W1[l], W2[l], None if b1 is None else b1[l], activation)
    return x


def apl(valve, x, a, b):
    y = valve("the ReLU", valve.relu("threshold at 0", x))
    hinges = valve.each("the hinges", x, a.shape[0], "hinge")
    for s, x_s in enumerate(hinges):
        d = b[s] - x_s
        y = y + a[s] * valve.where(("hinge thresholds", f"the threshold of hinge {s}"), d.data > 0, d, 0.0 * d)
    return y


def maxout(valve, x, W, b=None):
    C, K, D = W.shape
    z = x.reshape(*x.shape[:-1], 1, D) @ W.reshape(C * K, D).T
    z = z.reshape(*x.shape[:-1], C, K)
    z = z if b is None else z + b
    wins = z.data.argmax(axis=-1)[..., None] == np.arange(K)
    return valve.where("which piece wins", wins, z, 0.0 * z).sum(axis=-1)


def lp_unit(valve, x, c, r):
    d = x - c
    size = valve.where("the sign of x - c", d.data > 0, d, -d)
    p = (r.exp() + 1).log() + 1
    power = valve("the order inside the mean", p).reshape(-1, 1)
    return ((power * size.log()).exp().mean(axis=-1).log() / valve("the order of the root", p)).exp()


RECIPES = (maximum, minimum, absolute, relu, leaky_relu, elu, dropout, sigmoid, tanh, gelu, softmax, log_sum_exp,
           layer_norm, linear, residual, residual_stack, apl, maxout, lp_unit, unit_rows, *GATES, *DENSE)
