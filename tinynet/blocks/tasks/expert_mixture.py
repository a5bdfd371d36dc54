"""Mixture of experts for several tasks: each task and example takes a weighted sum of all experts' features.

    (1)  Y[t,n] = sum_e P[t,n,e] X[e,n]             Ma et al. 2018, MMoE
    (2)  dX[e,n] = sum_t P[t,n,e] dY[t,n]
    (3)  dP[t,n,e] = sum_d dY[t,n,d] X[e,n,d]

X (E, N, D)   features of E experts for N examples
P (T, N, E)   how much task t takes from expert e for example n; a softmax over e in MMoE and CGC
Y (T, N, D)   features of T tasks
A cross-stitch unit takes the same mixture for all examples; here each example chooses.
Ma et al. 2018, Modeling task relationships in multi-task learning with multi-gate mixture-of-experts;
Tang et al. 2020, Progressive layered extraction (CGC).   Lesson: where_to_split
"""

import numpy as np

from tinynet.backend import at_least
from tinynet.engine import Op
from tinynet.jit import contiguous, parallel_jit, prange
from tinynet.shapes import sizes


# %% 1. The mathematics
def expert_mixture_forward(X, P):
    sizes("X: E N D, P: T N E", X, P)
    return np.einsum("tne,end->tnd", P, X), (X, P)                      # (1)


def expert_mixture_backward(dY, cache):
    X, P = cache
    dX = np.einsum("tne,tnd->end", P, dY)                               # (2)
    dP = np.einsum("tnd,end->tne", dY, X)                               # (3)
    return dX, dP


# %% 2. The fast twin: the sums are short, so a loop without BLAS wins; an example belongs to one thread
@parallel_jit
def _mix(X, P, Y):
    E, N, D = X.shape
    for n in prange(N):
        for t in range(len(P)):
            Y[t, n] = 0
            for e in range(E):
                for d in range(D):
                    Y[t, n, d] += P[t, n, e] * X[e, n, d]               # (1)


@parallel_jit
def _unmix(dY, X, P, dX, dP):
    E, N, D = X.shape
    for n in prange(N):
        for e in range(E):
            dX[e, n] = 0
            for t in range(len(P)):
                total = X.dtype.type(0)
                for d in range(D):
                    dX[e, n, d] += P[t, n, e] * dY[t, n, d]             # (2)
                    total += dY[t, n, d] * X[e, n, d]                   # (3)
                dP[t, n, e] = total


def expert_mixture_forward_fast(X, P):
    _, N, D, T = sizes("X: E N D, P: T N E", X, P)
    x, p = contiguous(X, P)
    Y = np.empty((T, N, D), x.dtype)
    _mix(x, p, Y)
    return Y, (X, P)


def expert_mixture_backward_fast(dY, cache):
    dy, x, p = contiguous(dY, *cache)
    dX, dP = np.empty_like(x), np.empty_like(p)
    _unmix(dy, x, p, dX, dP)
    return dX, dP


# %% 3. The op
expert_mixture = Op(expert_mixture_forward, expert_mixture_backward,
                    fast=(expert_mixture_forward_fast, expert_mixture_backward_fast), fast_when=at_least(4096))

# %% 4. The module: none, the gates are softmaxes of linear layers
