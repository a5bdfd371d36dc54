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
from tinynet.blocks.tasks import cross_stitch_planes
from tinynet.engine import Op
from tinynet.jit import contiguous, jit
from tinynet.ops import stack
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


# %% 2. The fast twin: one pass over X forward, one over X and dY backward; for long planes see cross_stitch_planes
LONG = 32       # entries of a plane (a channel of an example) from which on a loop along it pays


# Short planes, as in a net without images: x (T, N, Q) with Q = C P, a stretched to (T, T, Q).  The loop runs
# along Q.  One thread is right, because the linear layers around it cost far more.
@jit
def _stitch_rows(x, a, y):
    T, N, Q = x.shape
    for n in range(N):
        for i in range(T):
            to = y[i, n]
            for j in range(T):
                alpha, of = a[i, j], x[j, n]
                if j == 0:
                    for q in range(Q):
                        to[q] = alpha[q] * of[q]                            # (1)
                else:
                    for q in range(Q):
                        to[q] += alpha[q] * of[q]                           # (1)


@jit
def _unstitch_rows(dy, x, a, dx, dA):
    T, N, Q = x.shape
    for n in range(N):
        for j in range(T):
            of, to = x[j, n], dx[j, n]
            for i in range(T):
                alpha, d, total = a[i, j], dy[i, n], dA[i, j]
                if i == 0:
                    for q in range(Q):
                        to[q] = alpha[q] * d[q]                             # (2)
                        total[q] += d[q] * of[q]                            # (3)
                else:
                    for q in range(Q):
                        to[q] += alpha[q] * d[q]                            # (2)
                        total[q] += d[q] * of[q]                            # (3)


def _stretched(x, a):
    """x (T, N, C, P) as (T, N, Q) and a (C, T, T) as (T, T, Q)."""
    T, N, C, P = x.shape
    a = np.broadcast_to(a.transpose(1, 2, 0)[..., None], (T, T, C, P))
    return contiguous(x.reshape(T, N, C * P), a.reshape(T, T, C * P))


def cross_stitch_forward_fast(X, A):
    x, a = _flat(X, A)
    if x.shape[3] < LONG:
        x, a = _stretched(x, a)
        Y = np.empty_like(x)
        _stitch_rows(x, a, Y)                                               # (1)
    else:
        Y = cross_stitch_planes.forward(*contiguous(x, a))                  # (1)
    return Y.reshape(X.shape), (X, A)


def cross_stitch_backward_fast(dY, cache):
    X, A = cache
    x, a = _flat(X, A)
    T, _, C, P = x.shape
    if P < LONG:
        x, a = _stretched(x, a)
        dX, dA = np.empty_like(x), np.zeros_like(a)
        _unstitch_rows(contiguous(dY.reshape(x.shape)), x, a, dX, dA)
        dA = dA.reshape(T, T, C, P).sum(axis=3).transpose(2, 0, 1)          # (3)
    else:
        dX, dA = cross_stitch_planes.backward(*contiguous(dY.reshape(x.shape), x, a))       # (2) (3)
    return dX.reshape(X.shape), dA if A.ndim == 3 else dA.sum(axis=0)


# %% 3. The op
cross_stitch = Op(cross_stitch_forward, cross_stitch_backward,
                  fast=(cross_stitch_forward_fast, cross_stitch_backward_fast), fast_when=at_least(1024))


# %% 4. The module
class CrossStitch(nn.Module):
    """X (T, N, C, ...), or a list of T tensors (N, C, ...) -> Y (T, N, C, ...).

    channels  None shares one A (T, T) between all channels, a number gives each its own
    same      A starts with `same` on the diagonal and (1 - same) / (T - 1) beside it (tomaszewska
              init: alpha_S + alpha_D = 1); 1 is the identity; None draws rows at random, evenly
              among those of entries in [0, 1] that sum to 1, from rng (a seed or np.random.Generator)
    """

    def __init__(self, tasks, channels=None, same=0.9, rng=None, dtype=np.float32):
        if tasks < 1:
            raise ValueError(f"CrossStitch: there are {tasks} tasks; give at least 1")
        leading = () if channels is None else (channels,)
        if same is None:
            A = np.random.default_rng(rng).dirichlet(np.ones(tasks), (*leading, tasks))
        else:
            same, other = (same, (1 - same) / (tasks - 1)) if tasks > 1 else (1, 0)
            A = np.broadcast_to(other + (same - other) * np.eye(tasks), (*leading, tasks, tasks))
        self.A = nn.Parameter(A.astype(dtype))

    def forward(self, X):
        return cross_stitch(stacked(X, "cross_stitch"), self.A)


def stacked(X, block):
    """The tasks' features as one tensor (T, N, C, ...); raises ShapeError for a list of different shapes or of none."""
    if not isinstance(X, (list, tuple)):
        return X
    shapes = [np.shape(x) for x in X]
    if not shapes:
        raise ShapeError(f"{block}: the list of the tasks' features is empty; give (N, C, ...) of each task")
    if len(set(shapes)) > 1:
        raise ShapeError(f"{block}: the tasks' features have the shapes {' and '.join(map(str, shapes))}; where tasks "
                         "meet their layers must be equally wide, and the examples as many")
    return stack(*X)
