"""The two halves of graph attention's score: what a node says as the one that looks, and as the one that is looked at.

    (1)  s[i] = a[1] h[i] + b[1],  r[i] = a[2] h[i] + b[2]         shi 2.4
    (2)  dh[i] = ds[i] a[1] + dr[i] a[2],  da[1] = sum_i ds[i] h[i],  db[1] = sum_i ds[i],  da[2], db[2] likewise

h (N, M, F)      features of the nodes
a (2, M, F)      the two halves of a in a . [h[i] || h[j]] of shi 2.4
b (2, M)         a bias for each half
s (2, N, M)      s and, behind it, r
N nodes, M heads, F features of a head.   Lesson: graph_attention
"""

import numpy as np

from tinynet.backend import at_least
from tinynet.engine import Op
from tinynet.jit import contiguous, parallel_jit, parts_of, prange, reordering_jit
from tinynet.ops.broadcasting import summed
from tinynet.shapes import sizes


# %% 1. The mathematics
def half_scores_forward(h, a, b):
    """(2, N, M): s and r.  Raises ShapeError where h (N M F), a (2 M F) and b (2 M) don't fit."""
    sizes("h: N M F, a: 2 M F, b: 2 M", h, a, b)
    return np.einsum("imf,smf->sim", h, a) + b[:, None], (h, a)             # (1)


def half_scores_backward(ds, cache):
    h, a = cache
    return np.einsum("sim,smf->imf", ds, a), np.einsum("sim,imf->smf", ds, h), ds.sum(axis=1)       # (2)


# %% 2. The fast twin
@reordering_jit
def _half_scores(h, a, b, s):
    N, M, F = h.shape
    for i in prange(N):
        for half in range(2):
            for m in range(M):
                s[half, i, m] = b[half, m]
                for f in range(F):
                    s[half, i, m] += a[half, m, f] * h[i, m, f]             # (1)


@parallel_jit
def _back_to_halves(ds, h, a, dh, da):
    (N, M, F), parts = h.shape, len(da)
    for part in prange(parts):
        for i in range(part * N // parts, (part + 1) * N // parts):
            for m in range(M):
                for f in range(F):
                    dh[i, m, f] = ds[0, i, m] * a[0, m, f] + ds[1, i, m] * a[1, m, f]       # (2)
                    da[part, 0, m, f] += ds[0, i, m] * h[i, m, f]                           # (2)
                    da[part, 1, m, f] += ds[1, i, m] * h[i, m, f]                           # (2)


def half_scores_forward_fast(h, a, b):
    sizes("h: N M F, a: 2 M F, b: 2 M", h, a, b)
    h, a, b = contiguous(h, a, b)
    s = np.empty((2, *h.shape[:2]), h.dtype)
    _half_scores(h, a, b, s)                                                # (1)
    return s, (h, a)


def half_scores_backward_fast(ds, cache):
    ds, h, a = contiguous(ds, *cache)
    dh, da = np.empty_like(h), np.zeros((parts_of(len(h)), *a.shape), h.dtype)
    _back_to_halves(ds, h, a, dh, da)                                       # (2)
    return dh, summed(da, (0,)), summed(ds, (1,))                          # (2)


# %% 3. The op
half_scores = Op(half_scores_forward, half_scores_backward,
                 fast=(half_scores_forward_fast, half_scores_backward_fast), fast_when=at_least(10_000))

# %% 4. The module: none, it is part of the graph attention layer
