"""Adaptive piecewise linear unit: a ReLU plus S learned hinges, each unit its own.

    (1)  y = max(0,x) + sum_s a_s max(0, -x + b_s)       saha apl
    (2)  dx = dy (1[x > 0] - sum_s a_s 1[x < b_s])
    (3)  da_s = sum_n dy max(0, -x + b_s)
    (4)  db_s = a_s sum_n dy 1[x < b_s]

x, y (..., D)   a, b (S, D)    D units, S hinges; n runs over all leading axes of x
Kinks: at x = 0 and at x = b_s every indicator is 0, so the hinge that meets there adds nothing.
S = 1, b = 0, a = -0.01 is the leaky ReLU (the hinge max(0, -x) is turned, hence the minus);
S = 0, or a = 0, is the ReLU.
Agostinelli et al. 2015, arXiv:1412.6830.   Lesson: apl
"""

import numpy as np

from tinynet import nn
from tinynet.backend import at_least
from tinynet.blocks.units import sorted_hinges
from tinynet.engine import Op
from tinynet.jit import contiguous, parallel_jit, parts_of, prange
from tinynet.ops.broadcasting import summed
from tinynet.shapes import sizes


# %% 1. The mathematics
def apl_forward(x, a, b):
    sizes("x: ... D, a: S D, b: S D", x, a, b)
    y = np.maximum(x, 0)                                            # (1)
    for a_s, b_s in zip(a, b, strict=True):
        y = y + a_s * np.maximum(b_s - x, 0)                       # (1)
    return y, (x, a, b)


def apl_backward(dy, cache):
    x, a, b = cache
    dx, da, db = dy * (x > 0), np.empty_like(a), np.empty_like(b)   # (2)
    leading = tuple(range(x.ndim - 1))
    for s, (a_s, b_s) in enumerate(zip(a, b, strict=True)):
        dy_on = dy * (x < b_s)
        dx = dx - a_s * dy_on                                       # (2)
        da[s] = summed(dy_on * (b_s - x), leading)                  # (3)
        db[s] = a_s * summed(dy_on, leading)                        # (4)
    return dx, da, db


# %% 2. The fast twin: hinge by hinge along the units; sorted, unit by unit, where there are many
MANY, ROWS = 96, 1024       # hinges and rows; below them hinges in vectors take less than sorting and transposing


@parallel_jit
def _bend(x, a, b, y):
    """y row by row; the inner loop runs along the units, so that it vectorises."""
    N, D = x.shape
    zero = x.dtype.type(0)
    for n in prange(N):
        for d in range(D):
            y[n, d] = zero if x[n, d] <= zero else x[n, d]          # (1)
        for s in range(len(a)):
            for d in range(D):
                h = b[s, d] - x[n, d]
                y[n, d] += a[s, d] * (zero if h <= zero else h)     # (1)


@parallel_jit
def _unbend(dy, x, a, b, dx, da, db):
    """All three gradients in one pass over x; every part of the rows has its own da and db."""
    N, D = x.shape
    zero = x.dtype.type(0)
    parts = len(da)
    for part in prange(parts):
        for n in range(part * N // parts, (part + 1) * N // parts):
            for d in range(D):
                g = dy[n, d]
                dx[n, d] = g if x[n, d] > zero else zero            # (2)
            for s in range(len(a)):
                for d in range(D):
                    h, g = b[s, d] - x[n, d], dy[n, d]
                    on = g if h > zero else zero
                    dx[n, d] -= a[s, d] * on                        # (2)
                    da[part, s, d] += on * h                        # (3)
                    db[part, s, d] += on                            # (4)


def apl_forward_fast(x, a, b):
    sizes("x: ... D, a: S D, b: S D", x, a, b)
    x, a, b = contiguous(x, a, b)
    if _sorted(x, a):
        return sorted_hinges.bend(_rows(x).T, a.T, b.T)[0].T.reshape(x.shape), (x, a, b)       # (1)
    y = np.empty_like(x)
    _bend(_rows(x), a, b, _rows(y))
    return y, (x, a, b)


def apl_backward_fast(dy, cache):
    dy, x, a, b = contiguous(dy, *cache)
    if _sorted(x, a):
        dx, da, db = sorted_hinges.unbend(_rows(dy).T, _rows(x).T, a.T, b.T)
        return dx.T.reshape(x.shape), da.T, db.T                    # (2) (3) (4)
    dx, da, db = np.empty_like(x), *np.zeros((2, parts_of(len(_rows(x))), *a.shape), x.dtype)
    _unbend(_rows(dy), _rows(x), a, b, _rows(dx), da, db)
    return dx, summed(da, (0,)), a * summed(db, (0,))                # (3) (4)


def _sorted(x, a):
    return len(a) >= MANY and len(_rows(x)) >= ROWS


def _rows(x):
    """x as (N, D) with all leading axes in N, a view."""
    return x.reshape(x.size // max(x.shape[-1], 1), x.shape[-1])


# %% 3. The op
apl = Op(apl_forward, apl_backward, fast=(apl_forward_fast, apl_backward_fast), fast_when=at_least(4096))


# %% 4. The module
class APL(nn.Module):
    """x (..., d) -> y of the same shape, with `hinges` learned hinges for each of d units.

    a (hinges, d) starts at .01 N(0,1), almost a ReLU, and b (hinges, d) at U(-.5, .5);
    rng is a seed or np.random.Generator.
    """

    def __init__(self, d, hinges=1, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.a = nn.Parameter((0.01 * rng.normal(size=(hinges, d))).astype(dtype))
        self.b = nn.Parameter(rng.uniform(-0.5, 0.5, (hinges, d)).astype(dtype))

    def forward(self, x):
        return apl(x, self.a, self.b)
