"""NDDR: each task gets its own linear layer on all tasks' features, one after the other (a 1x1 convolution).

    (1)  Z = [X[0]; X[1]; ...; X[T-1]]                   along the channels; tomaszewska fig12
    (2)  Y[t] = W[t] Z + b[t]   at every place           tomaszewska fig12
    (3)  dZ = sum_t W[t]' dY[t],  dX[t] = its t-th C channels
    (4)  dW[t] = sum of dY[t] Z'   over examples and places
    (5)  db[t] = sum of dY[t]      over examples and places

X (T, N, C, ...)   features of T tasks, N examples, C channels, any further axes (height, width)
W (T, D, T C)      D channels out; block j of the last axis takes from task j
b (T, D) or None
Y (T, N, D, ...)
A cross-stitch unit is the case where each block is a multiple of the identity.  Neural
discriminative dimensionality reduction: T C features become C again, those that tell most.
Gao et al. 2019, arXiv:1801.08297.   Lesson: nddr
"""

import math

import numpy as np

from tinynet import nn
from tinynet.blocks.tasks.cross_stitch import stacked
from tinynet.engine import Op
from tinynet.shapes import ShapeError, sizes


def _sizes(X, W, b):
    if X.ndim < 3:
        raise ShapeError(f"nddr: X has shape {X.shape}, but needs at least the axes (T, N, C); "
                         "stack the tasks' features first")
    T, N, C, *places = X.shape
    P, (_, D, K) = math.prod(places), sizes("W: T D K, b: T D", W, b)
    if len(W) != T or K != T * C:
        raise ShapeError(f"nddr: X (T N C ...) = {X.shape} and W (T D K) = {W.shape}: W needs T = {T} layers and "
                         f"K = T C = {T * C} inputs each; make them equal")
    return T, N, C, P, D


def _rows(X, T, N, C, P):
    """(T, N, C, ...) -> (N P, T C): one row a place, the tasks' channels one after the other."""
    return X.reshape(T, N, C, P).transpose(1, 3, 0, 2).reshape(N * P, T * C)


def _tasks(rows, T, N, C, P):
    """(N P, T C) -> (T, N, C, P)"""
    return np.ascontiguousarray(rows.reshape(N, P, T, C).transpose(2, 0, 3, 1))


# %% 1. The mathematics
def nddr_forward(X, W, b=None):
    T, N, C, P, D = _sizes(X, W, b)
    Z = _rows(X, T, N, C, P)                                            # (1)
    Y = Z @ W.reshape(T * D, T * C).T                                   # (2)
    Y = Y if b is None else Y + b.reshape(T * D)                        # (2)
    return _tasks(Y, T, N, D, P).reshape(T, N, D, *X.shape[3:]), (X, W, b)


def nddr_backward(dY, cache):
    X, W, b = cache
    T, N, C, P, D = _sizes(X, W, b)
    Z, dy = _rows(X, T, N, C, P), _rows(dY, T, N, D, P)
    dZ = dy @ W.reshape(T * D, T * C)                                   # (3)
    dX = _tasks(dZ, T, N, C, P).reshape(X.shape)                        # (3)
    dW = (dy.T @ Z).reshape(W.shape)                                    # (4)
    return dX, dW, None if b is None else dy.sum(axis=0).reshape(T, D)  # (5)


# %% 2. The fast twin: none, it is one BLAS product for all tasks

# %% 3. The op
nddr = Op(nddr_forward, nddr_backward)


# %% 4. The module
class NDDR(nn.Module):
    """X (T, N, C, ...), or a list of T tensors (N, C, ...) -> Y (T, N, C, ...).

    W starts near the identity: `same` times the identity in a task's own block, (1 - same) / (T - 1) times the
    identity in the others.  b starts at 0.  Nothing is drawn at random.  Normalisation and activation
    follow outside.
    """

    def __init__(self, tasks, channels, same=0.9, dtype=np.float32):
        if tasks < 1:
            raise ValueError(f"NDDR: there are {tasks} tasks; give at least 1")
        own, other = (same, (1 - same) / (tasks - 1)) if tasks > 1 else (1, 0)
        mixing = other + (own - other) * np.eye(tasks)
        W = np.kron(mixing, np.eye(channels)).reshape(tasks, channels, tasks * channels)
        self.W = nn.Parameter(W.astype(dtype))
        self.b = nn.Parameter(np.zeros((tasks, channels), dtype))

    def forward(self, X):
        return nddr(stacked(X, "nddr"), self.W, self.b)
