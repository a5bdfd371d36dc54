"""Soft ordering: all tasks use the same modules, each task mixes them in its own way at every depth.

    (1)  s[t] = softmax(S[t])                          Meyerson and Miikkulainen 2018, arXiv:1711.00108
    (2)  Y[t] = sum_e s[t,e] X[e,t]                    saha table1
    (3)  dX[e,t] = s[t,e] dY[t]
    (4)  ds[t,e] = sum dY[t] X[e,t], over examples and further axes
    (5)  dS[t,e] = s[t,e] (ds[t,e] - sum_f ds[t,f] s[t,f])

X (E, T, N, ...)   what E modules make of the tasks' features; any further axes
S (T, E)           the logits of the mixture at this depth; Y (T, N, ...)
E modules, T tasks, N examples.   Lesson: table_1
"""

import math

import numpy as np

from tinynet import nn, ops
from tinynet.engine import Op
from tinynet.shapes import ShapeError, sizes


def _flat(X, S):
    if X.ndim < 3:
        raise ShapeError(f"soft_order: X has shape {X.shape}, but needs at least the axes (E, T, N); "
                         "stack what the modules return first")
    X = X.reshape(*X.shape[:2], math.prod(X.shape[2:]))
    E, *_ = sizes("X: E T N, S: T E", X, S)
    if E == 0:
        raise ShapeError(f"soft_order: X (E T N) = {X.shape}, and a mixture of E = 0 modules is undefined; use E >= 1")
    return X


# %% 1. The mathematics
def soft_order_forward(X, S):
    """Y (T, N, ...).  Raises ShapeError unless X (E T N ...) and S (T E) fit and E >= 1."""
    flat = _flat(X, S)
    e = np.exp(S - S.max(axis=1, keepdims=True, initial=-np.inf))
    s = e / e.sum(axis=1, keepdims=True)                            # (1)
    Y = (s[:, None] @ flat.swapaxes(0, 1))[:, 0]                    # (2)
    return Y.reshape(X.shape[1:]), (X, s)


def soft_order_backward(dY, cache):
    X, s = cache
    flat = X.reshape(*X.shape[:2], math.prod(X.shape[2:]))
    dY = dY.reshape(flat.shape[1:])
    dX = s.T[..., None] * dY                                        # (3)
    ds = (flat * dY).sum(axis=-1).T                                 # (4)
    dS = s * (ds - (ds * s).sum(axis=1, keepdims=True))             # (5)
    return dX.reshape(X.shape), dS


# %% 2. The fast twin: none, the products are BLAS's

# %% 3. The op
soft_order = Op(soft_order_forward, soft_order_backward)


# %% 4. The module
class SoftOrder(nn.Module):
    """x (T, N, ...) -> the mixture of what `modules` make of it, of the same shape, by S (tasks, E) of this depth.

    The modules belong to whoever made them: several depths share them, each with an S of its own, .01 N(0,1) at first.
    """

    def __init__(self, modules, tasks, rng=None, dtype=np.float32):
        self.modules = modules
        self.S = nn.Parameter((0.01 * np.random.default_rng(rng).normal(size=(tasks, len(modules)))).astype(dtype))

    def forward(self, x):
        return soft_order(ops.stack(*(module(x) for module in self.modules)), self.S)
