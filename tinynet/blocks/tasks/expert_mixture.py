"""Mixture of experts for several tasks: each task and example takes a weighted sum of all experts' features.

    (1)  Y[t,n] = sum_e P[t,n,e] X[e,n]             Ma et al. 2018, MMoE
    (2)  dX[e,n] = sum_t P[t,n,e] dY[t,n]
    (3)  dP[t,n,e] = sum_d dY[t,n,d] X[e,n,d]

X (E, N, D)   features of E experts for N examples
P (T, N, E)   how much task t takes from expert e for example n; a softmax over e in MMoE and CGC
Y (T, N, D)   features of T tasks
A cross-stitch unit takes the same mixture for all examples; here each example chooses.
Ma et al. 2018, Modeling task relationships in multi-task learning with multi-gate mixture-of-experts;
Tang et al. 2020, Progressive layered extraction (CGC).   Lesson: nddr
"""

import numpy as np

from tinynet.engine import Op
from tinynet.shapes import sizes


# %% 1. The mathematics: one small product for each example
def _by_example(x):
    return x.transpose(1, 0, 2)


def expert_mixture_forward(X, P):
    sizes("X: E N D, P: T N E", X, P)
    Y = _by_example(P) @ _by_example(X)                                 # (1)
    return np.ascontiguousarray(_by_example(Y)), (X, P)


def expert_mixture_backward(dY, cache):
    x, p, dy = (_by_example(a) for a in (*cache, dY))
    dX = p.swapaxes(1, 2) @ dy                                          # (2)
    dP = dy @ x.swapaxes(1, 2)                                          # (3)
    return np.ascontiguousarray(_by_example(dX)), np.ascontiguousarray(_by_example(dP))


# %% 2. The fast twin: none, NumPy's products of small matrices win already

# %% 3. The op
expert_mixture = Op(expert_mixture_forward, expert_mixture_backward)

# %% 4. The module: none, the gates are softmaxes of linear layers
