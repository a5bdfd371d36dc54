"""Our blocks written out with valves: closing one leaves the gradient of someone who forgot a path.

`valve("name", t)` marks one path by which a gradient flows back.  Closed, t counts as a constant,
so the gradient that is left lacks exactly that term.  `valve.side(condition)` marks a threshold or
mask; turned, the gradient flows on the wrong side of it.  The diagnosis closes and turns them in
all ways and looks which one gives the wrong gradient.
"""

from itertools import combinations

import numpy as np

from tinynet import ops
from tinynet.engine import Op, Tensor

# kinds of a closed path that isn't simply one of several terms
KIND_OF = {
    "identity path": "identity",
    "softmax, other entries in the normaliser": "softmax diagonal",
    "softmax, numerator": "softmax off-diagonal",
}


class Valves:
    """Which paths are closed and which thresholds turned; remembers the names it was asked for."""

    def __init__(self, closed=(), turned=()):
        self.closed, self.turned, self.paths, self.sides = closed, turned, {}, {}

    def __call__(self, name, tensor):
        self.paths[name] = True
        return tensor.detach() if name in self.closed else tensor

    def side(self, name, condition):
        self.sides[name] = True
        return ~condition if name in self.turned else condition


def alternatives(block, inputs, settings, i, dys):
    """(full, an iterator of (names, kind, gradients)) for input i by the recipe for `block`.

    full       the gradient with all valves open, one for each upstream
    gradients  the same with some closed, or with some thresholds turned
    """
    recipe, valves = RECIPES[block], Valves()
    full = _gradients(recipe, valves, inputs, settings, i, dys)
    return full, _mistaken(recipe, valves, inputs, settings, i, dys)


def _mistaken(recipe, valves, *given):
    for count in (1, 2, 3):
        for names in combinations(valves.paths, count):
            kinds = {KIND_OF[n] for n in names if n in KIND_OF}
            kind = kinds.pop() if len(kinds) == 1 and count < 3 else "term"
            yield names, kind, _gradients(recipe, Valves(names), *given)
    for count in range(1, len(valves.sides) + 1):
        for names in combinations(valves.sides, count):
            yield names, "mask", _gradients(recipe, Valves((), names), *given)


def _gradients(recipe, valves, inputs, settings, i, dys):
    """(K, *shape): the gradient of input i for every upstream."""
    leaves = [Tensor(a, requires_grad=j == i) if a is not None and a.dtype.kind == "f" else a
              for j, a in enumerate(inputs)]
    y = recipe(valves, *leaves, **settings)
    grads = []
    for dy in dys:
        leaves[i].zero_grad()
        if y.requires_grad:
            y.backward(dy)
        grads.append(np.zeros(leaves[i].shape) if leaves[i].grad is None else leaves[i].grad)
    return np.stack(grads)


# %% Pieces
def _tanh_backward(dy, y):
    return dy * (1 - y * y)


_tanh = Op(lambda x: (np.tanh(x),) * 2, _tanh_backward)


def _positive(valve, name, x):
    """max(0, x)"""
    return ops.where(valve.side(name, x.data > 0), x, 0.0 * x)


def _softmax(valve, s, hidden=None, axis=-1):
    """e^s over its sum; the sum's own entry and the others have valves of their own."""
    top = s.data.max(axis=axis, keepdims=True, initial=-np.inf, where=True if hidden is None else ~hidden)
    e = (s - np.where(np.isfinite(top), top, 0)).exp()
    if hidden is not None:
        e = ops.where(valve.side("mask", ~hidden), e, 0.0 * e)
    total = e.sum(axis=axis, keepdims=True)
    others = valve("softmax, other entries in the normaliser", total - e)
    own = valve("softmax, own entry in the normaliser", e)
    return valve("softmax, numerator", e) / (own + others + (total.data == 0))


# %% The blocks, in the order of their equations
def maximum(valve, a, b):
    return ops.where(valve.side("which is larger", a.data > b.data), a, b)


def minimum(valve, a, b):
    return ops.where(valve.side("which is smaller", a.data < b.data), a, b)


def absolute(valve, x):
    return ops.where(valve.side("threshold at 0", x.data > 0), x, -x)


def relu(valve, x):
    return _positive(valve, "threshold at 0", x)


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


def residual(valve, x, W1, W2, b1=None, activation="relu"):
    z = valve("the path through the weights", x) @ W1.T
    z = z if b1 is None else z + b1
    h = (_positive(valve, "threshold at 0", z) if activation == "relu" else
         _tanh(z) if activation == "tanh" else 1 / ((-z).exp() + 1))
    return valve("identity path", x) + h @ W2.T


def residual_stack(valve, x, W1, W2, b1=None, activation="relu"):
    for l in range(W1.shape[0]):
        x = residual(valve, x, W1[l], W2[l], None if b1 is None else b1[l], activation)
    return x


def apl(valve, x, a, b):
    y = valve("the ReLU", _positive(valve, "threshold at 0", x))
    for s in range(a.shape[0]):
        d = b[s] - x
        y = y + valve("the hinges", a[s] * ops.where(valve.side("hinge thresholds", d.data > 0), d, 0.0 * d))
    return y


def cross_stitch(valve, X, A):
    a = A if A.ndim == 3 else A.reshape(1, *A.shape)
    tasks, rows = X.shape[0], []
    each_channel = (-1, *(1,) * (X.ndim - 3))
    for i in range(tasks):
        features = [valve("the task's own features" if i == j else "the other tasks' features", X[j])
                    for j in range(tasks)]
        terms = [a[:, i, j].reshape(*each_channel) * x for j, x in enumerate(features)]
        rows.append(sum(terms[1:], terms[0]))
    return ops.stack(*rows)


def attention(valve, Q, K, V, mask=None, keep=None, causal=False, scale=None, p=0.0):
    from tinynet.blocks.sequences.attention import forbidden
    S = Q @ K.swapaxes(-1, -2) * (1 / max(Q.shape[-1], 1) ** 0.5 if scale is None else scale)
    S = S if mask is None or mask.dtype == bool else S + mask
    hidden = forbidden(mask, causal, *S.shape[-2:])
    P = _softmax(valve, S, None if hidden is None else np.broadcast_to(hidden, S.shape))
    return (P if keep is None else P * (keep / (1 - p))) @ V


def additive_attention(valve, s, h, W, U, v, mask=None):
    Ws, Uh = s @ W.T, valve("the path through the score", h) @ U.T
    Ws = Ws.reshape(*Ws.shape[:-1], 1, Ws.shape[-1])
    Uh = Uh.reshape(*Uh.shape[:-2], 1, *Uh.shape[-2:])
    e = (_tanh(Ws + Uh) * v).sum(axis=-1)
    alpha = _softmax(valve, e, None if mask is None else np.broadcast_to(~mask, e.shape))
    return alpha @ valve("the path through the mixture", h)


def softmax(valve, x, axis=-1):
    return _softmax(valve, x, axis=axis)


def cross_entropy(valve, x, t, ignore=-1, smoothing=0.0, weights=None, reduction="mean"):
    C, hard = x.shape[-1], t.dtype.kind != "f"
    counts = valve.side("ignored targets", t != ignore) if hard else np.ones(x.shape[:-1])
    target = (np.clip(t, 0, C - 1)[..., None] == np.arange(C)) if hard else t
    w = np.ones(C) if weights is None else weights
    q = target * (w * (1 - smoothing)) + w * smoothing / C
    log_sum = (x - x.data.max(axis=-1, keepdims=True)).exp().sum(axis=-1).log() + x.data.max(axis=-1)
    l = (valve("the softmax", log_sum) * q.sum(axis=-1) - valve("the target's logit", (x * q).sum(axis=-1))) * counts
    M = (w[np.clip(t, 0, C - 1)] * (t != ignore)).sum() if hard else l.size
    return l if reduction == "none" else l.sum() / (max(M, 1e-300) if reduction == "mean" else 1)


def binary_cross_entropy(valve, x, t):
    softplus = ((-abs(x)).exp() + 1).log() + ops.maximum(x, 0.0 * x)
    return (valve("the sigmoid", softplus) - valve("the target", x * t)).mean()


def mean_squared_error(valve, y, t):
    return (valve("the prediction", y * y) - valve("the target", y * t) * 2 + t * t).mean()


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


RECIPES = {f.__name__: f for f in (
    maximum, minimum, absolute,
    relu, leaky_relu, elu, gelu, dropout, softmax, cross_entropy, binary_cross_entropy, mean_squared_error, layer_norm,
    maxout, lp_unit, residual, residual_stack, apl, cross_stitch, attention, additive_attention)}
