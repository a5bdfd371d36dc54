"""Adaptive activation: every task bends what all tasks share, by slopes of its own on hinges that all share.

    (1)  h[t] = F[t](z[t]),  z[t] = W h' + c                   saha aal
    (2)  F[t](z) = max(0,z) + sum_m alpha[t,m] B[m](z)         saha aal, erratum 5
    (3)  B[m](z) = max(0, b[m] - z)                            saha aal, apl
    (4)  dz[t] = dh[t] (1[z > 0] - sum_m alpha[t,m] 1[z < b[m]])
    (5)  dalpha[t,m] = sum_n dh[t,n] B[m](z[t,n])
    (6)  db[m] = sum_t alpha[t,m] sum_n dh[t,n] 1[z[t,n] < b[m]]

z, h (T, N, ...)   what the tasks' N examples become by the shared W and c; any further axes (units, height, width)
alpha (T, M)       the coordinate matrix of the layer
b (M)              the places of the hinges, shared by the tasks and by the units
T tasks, M hinges; n runs over examples and all further axes
The gradients of W and c are those of a linear layer, from dz (block linear).
Kinks as in apl: at z = 0 and at z = b[m] every indicator is 0.
Liu, Yang, Xie and others, AAAI 2020 (TAAN).   Lesson: adaptive_layer
"""

import math

import numpy as np

from tinynet import nn
from tinynet.backend import at_least
from tinynet.blocks.units import sorted_hinges
from tinynet.blocks.units.linear import linear
from tinynet.engine import Op
from tinynet.shapes import ShapeError, sizes


def _flat(z, alpha, b):
    """z as (T, N) with all further axes in N; checks the sizes."""
    if z.ndim < 2:
        raise ShapeError(f"adaptive_activation: z has shape {z.shape}, but needs at least the axes (T, N); "
                         "stack the tasks' batches first")
    flat = z.reshape(len(z), math.prod(z.shape[1:]))
    sizes("z: T N, alpha: T M, b: M", flat, alpha, b)
    return flat


# %% 1. The mathematics: the dense form, hinge by hinge
def adaptive_activation_forward(z, alpha, b):
    """h, of the shape of z.  Raises ShapeError unless z (T N ...), alpha (T M) and b (M) fit."""
    flat = _flat(z, alpha, b)
    h = np.maximum(flat, 0)                                         # (2)
    for m in range(len(b)):
        h = h + alpha[:, m, None] * np.maximum(b[m] - flat, 0)      # (2) (3)
    return h.reshape(z.shape), (z, alpha, b, None)


def adaptive_activation_backward(dh, cache):
    z, alpha, b, _ = cache
    z, shape = _flat(z, alpha, b), z.shape
    dh = dh.reshape(z.shape)
    dz, dalpha, db = dh * (z > 0), np.empty_like(alpha), np.empty_like(b)
    for m in range(len(b)):
        dh_on = dh * (z < b[m])
        dz = dz - alpha[:, m, None] * dh_on                         # (4)
        dalpha[:, m] = (dh_on * (b[m] - z)).sum(axis=1)             # (5)
        db[m] = alpha[:, m] @ dh_on.sum(axis=1)                     # (6)
    return dz.reshape(shape), dalpha, db


# %% 2. The fast twin: the sorted form of sorted_hinges, a few steps a number whatever M is
def adaptive_activation_forward_fast(z, alpha, b):
    h, k = sorted_hinges.bend(_flat(z, alpha, b), alpha, np.broadcast_to(b, alpha.shape))       # (2) (3)
    return h.reshape(z.shape), (z, alpha, b, k)


def adaptive_activation_backward_fast(dh, cache):
    """k  where each number stands among the hinges, as the fast forward found it; None: it is found anew."""
    z, alpha, b, k = cache
    flat = _flat(z, alpha, b)
    dz, dalpha, db = sorted_hinges.unbend(dh.reshape(flat.shape), flat, alpha, np.broadcast_to(b, alpha.shape), k)
    return dz.reshape(z.shape), dalpha, db.sum(axis=0)              # (4) (5) (6)


# %% 3. The op
adaptive_activation = Op(adaptive_activation_forward, adaptive_activation_backward,
                         fast=(adaptive_activation_forward_fast, adaptive_activation_backward_fast),
                         fast_when=at_least(4096))


# %% 4. The modules
class AdaptiveActivation(nn.Module):
    """z (T, N, ...) -> h of the same shape.

    alpha (tasks, hinges) starts at .01 N(0,1), almost a ReLU for every task, and b (hinges) at U(-.5, .5), as in the
    published code; rng is a seed or np.random.Generator.  Raises ValueError for tasks or hinges below 0.
    """

    def __init__(self, tasks, hinges=64, rng=None, dtype=np.float32):
        if min(tasks, hinges) < 0:
            raise ValueError(f"AdaptiveActivation: there are {tasks} tasks and {hinges} hinges; give 0 or more of each")
        rng = np.random.default_rng(rng)
        self.alpha = nn.Parameter((0.01 * rng.normal(size=(tasks, hinges))).astype(dtype))
        self.b = nn.Parameter(rng.uniform(-0.5, 0.5, hinges).astype(dtype))

    def forward(self, z):
        return adaptive_activation(z, self.alpha, self.b)


class AdaptiveLayer(nn.Module):
    """x (T, N, d_in) -> F[t](x W' + c) (T, N, d_out): W and c are the same for all tasks.

    W (d_out, d_in) He-normal, c (d_out) zero, alpha and b as in AdaptiveActivation.
    """

    def __init__(self, d_in, d_out, tasks, hinges=64, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.W = nn.Parameter(nn.he_normal(rng, (d_out, d_in), dtype))
        self.c = nn.Parameter(np.zeros(d_out, dtype))
        self.activation = AdaptiveActivation(tasks, hinges, rng, dtype)

    def forward(self, x):
        return self.activation(linear(x, self.W, self.c))           # (1)
