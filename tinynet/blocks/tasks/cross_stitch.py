"""Cross-stitch unit: each task takes a learned mixture of all tasks' features.

    (1)  Y[i] = sum_j A[i,j] X[j]                tomaszewska fig7
    (2)  dX[j] = sum_i A[i,j] dY[i]              tomaszewska fig8
    (3)  dA[i,j] = sum_n dY[i,n] X[j,n]          tomaszewska fig8, erratum 1

X, Y (T, N, C, ...)   A (T, T) for all channels or (C, T, T) one a channel
T tasks, N examples, C channels, any further axes (height, width)
Misra et al. 2016, arXiv:1604.03539.   Lesson: cross_stitch
"""

import numpy as np

from tinynet import nn
from tinynet.backend import at_least
from tinynet.engine import Op
from tinynet.jit import contiguous, parallel_jit, prange
from tinynet.shapes import ShapeError, sizes


def _flat(X, A):
    """X as (T, N, C, P) with all further axes in P; A as (C, T, T); both views where possible."""
    if X.ndim < 3:
        raise ShapeError(f"cross_stitch: X has shape {X.shape}, but needs at least the axes (T, N, C); "
                         "stack the tasks' features first")
    X = X.reshape(*X.shape[:3], -1) if X.size else X.reshape(*X.shape[:3], 0)
    sizes("X: T N C P, A: T T" if A.ndim == 2 else "X: T N C P, A: C T T", X, A)
    return X, np.broadcast_to(A, (X.shape[2], *A.shape)) if A.ndim == 2 else A


# %% 1. The mathematics
def cross_stitch_forward(X, A):
    x, a = _flat(X, A)
    Y = np.einsum("cij,jncp->incp", a, x)                           # (1)
    return Y.reshape(X.shape), (X, A)


def cross_stitch_backward(dY, cache):
    X, A = cache
    x, a = _flat(X, A)
    dy = dY.reshape(x.shape)
    dX = np.einsum("cij,incp->jncp", a, dy)                         # (2)
    dA = np.einsum("incp,jncp->cij", dy, x)                         # (3)
    return dX.reshape(X.shape), dA if A.ndim == 3 else dA.sum(axis=0)


# %% 2. The fast twin: X (T, N, C, P), A (T, T, C, P), so that the inner loop runs along P and vectorises
@parallel_jit
def _stitch(X, A, Y):
    """Y[i] = sum_j A[i,j] X[j]; each channel belongs to one thread."""
    T, N, C, P = X.shape
    for c in prange(C):
        for n in range(N):
            for i in range(T):
                for p in range(P):
                    Y[i, n, c, p] = A[i, 0, c, p] * X[0, n, c, p]       # (1)
                for j in range(1, T):
                    for p in range(P):
                        Y[i, n, c, p] += A[i, j, c, p] * X[j, n, c, p]      # (1)


@parallel_jit
def _unstitch(dY, X, A, dX, dA):
    """Both gradients in one pass over dY and X; dA (T, T, C, P) is summed over the examples only."""
    T, N, C, P = X.shape
    for c in prange(C):
        for n in range(N):
            for j in range(T):
                for p in range(P):
                    dX[j, n, c, p] = A[0, j, c, p] * dY[0, n, c, p]     # (2)
                    dA[0, j, c, p] += dY[0, n, c, p] * X[j, n, c, p]    # (3)
                for i in range(1, T):
                    for p in range(P):
                        dX[j, n, c, p] += A[i, j, c, p] * dY[i, n, c, p]    # (2)
                        dA[i, j, c, p] += dY[i, n, c, p] * X[j, n, c, p]    # (3)


def _long(x, a):
    """Contiguous x (T, N, C, P) and a (C, T, T) stretched to (T, T, C, P); where P is 1, C takes its place."""
    T, N, C, P = x.shape
    a = np.broadcast_to(a.transpose(1, 2, 0)[..., None], (T, T, C, P))
    if P == 1:
        x, a = x.reshape(T, N, 1, C), a.reshape(T, T, 1, C)
    return contiguous(x, a)


def cross_stitch_forward_fast(X, A):
    x, a = _long(*_flat(X, A))
    Y = np.empty_like(x)
    _stitch(x, a, Y)
    return Y.reshape(X.shape), (X, A)


def cross_stitch_backward_fast(dY, cache):
    X, A = cache
    flat, per_channel = _flat(X, A)
    x, a = _long(flat, per_channel)
    dX, dA = np.empty_like(x), np.zeros_like(a)
    _unstitch(contiguous(dY.reshape(x.shape)), x, a, dX, dA)
    dA = dA.reshape(*A.shape[-2:], *flat.shape[2:]).sum(axis=3)     # (3)
    return dX.reshape(X.shape), dA.transpose(2, 0, 1) if A.ndim == 3 else dA.sum(axis=2)


# %% 3. The op
cross_stitch = Op(cross_stitch_forward, cross_stitch_backward,
                  fast=(cross_stitch_forward_fast, cross_stitch_backward_fast), fast_when=at_least(4096))


# %% 4. The module
class CrossStitch(nn.Module):
    """X (T, N, C, ...) -> Y of the same shape.

    channels  None shares one A (T, T) between all channels, a number gives each its own
    same      A starts with `same` on the diagonal and (1 - same) / (T - 1) beside it (tomaszewska
              init: alpha_S + alpha_D = 1); 1 is the identity; None draws rows at random, evenly
              among those of entries in [0, 1] that sum to 1, from rng (a seed or np.random.Generator)
    """

    def __init__(self, tasks, channels=None, same=0.9, rng=None, dtype=np.float32):
        leading = () if channels is None else (channels,)
        if same is None:
            A = np.random.default_rng(rng).dirichlet(np.ones(tasks), (*leading, tasks))
        else:
            same, other = (same, (1 - same) / (tasks - 1)) if tasks > 1 else (1, 0)
            A = np.broadcast_to(other + (same - other) * np.eye(tasks), (*leading, tasks, tasks))
        self.A = nn.Parameter(A.astype(dtype))

    def forward(self, X):
        return cross_stitch(X, self.A)
