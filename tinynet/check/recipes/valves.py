"""Our blocks written out with valves: closing one leaves the gradient of someone who forgot a path.

`valve("name", t)` marks one path by which a gradient flows back.  Closed, t counts as a constant,
so the gradient that is left lacks exactly that term.  `valve.side(condition)` marks a threshold or
mask; turned, the gradient flows on the wrong side of it.  The diagnosis closes and turns them in
all ways and looks which one gives the wrong gradient.
"""

import numpy as np

from tinynet import ops
from tinynet.engine import Op


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


# %% Pieces of several blocks
def _tanh_backward(dy, y):
    return dy * (1 - y * y)


tanh = Op(lambda x: (np.tanh(x),) * 2, _tanh_backward)


def positive(valve, name, x):
    """max(0, x)"""
    return ops.where(valve.side(name, x.data > 0), x, 0.0 * x)


def softmax_of(valve, s, hidden=None, axis=-1):
    """e^s over its sum; the sum's own entry and the others have valves of their own."""
    top = s.data.max(axis=axis, keepdims=True, initial=-np.inf, where=True if hidden is None else ~hidden)
    e = (s - np.where(np.isfinite(top), top, 0)).exp()
    if hidden is not None:
        e = ops.where(valve.side("mask", ~hidden), e, 0.0 * e)
    total = e.sum(axis=axis, keepdims=True)
    others = valve("softmax, other entries in the normaliser", total - e)
    own = valve("softmax, own entry in the normaliser", e)
    return valve("softmax, numerator", e) / (own + others + (total.data == 0))
