"""A matrix times one matrix a head, the input dropped for each head on its own.

    (1)  y[n,m,f] = sum_d x[n,d] c[m,n,d] W[d,m,f]          shi 2.1
    (2)  dx[n,d] = sum_m sum_f dy[n,m,f] c[m,n,d] W[d,m,f]
    (3)  dW[d,m,f] = sum_n dy[n,m,f] x[n,d] c[m,n,d]

x (N, D)   W (D, M, F)   mask (M, N, D)   y (N, M, F)
N rows, D columns, M heads, F features of a head
mask   boolean, drawn for each head and entry with probability 1 - p of True
c      dropout of the input, each head on its own: mask / (1 - p)

What `dropout` and `matmul` do, but the loops never hold x c, which is M times as large as x.
Lesson: graph_attention
"""

import numpy as np

from tinynet.backend import at_least
from tinynet.blocks.units.dropout import apply_mask
from tinynet.engine import Op
from tinynet.jit import PARTS, contiguous, parallel_jit, prange, reordering_jit
from tinynet.masks import bits_and_scale, must_be_mask
from tinynet.shapes import sizes


def _for_each_head(x, W, mask):
    """x (M, N, D), a view, once it is sure that all fits."""
    sizes("x: N D, W: D M F, mask: M N D", x, W, mask)
    must_be_mask("dropout_matmul", mask)
    return np.broadcast_to(x, mask.shape)


# %% 1. The mathematics
def dropout_matmul_forward(x, W, mask, p=0):
    """Raises ShapeError where x, W and mask don't fit, TypeError for a mask that isn't boolean."""
    xc = apply_mask(_for_each_head(x, W, mask), mask, p)
    return (xc @ W.transpose(1, 0, 2)).transpose(1, 0, 2), (x, W, mask, p)          # (1)


def dropout_matmul_backward(dy, cache):
    x, W, mask, p = cache
    dxc = dy.transpose(1, 0, 2) @ W.transpose(1, 2, 0)
    dx = apply_mask(dxc, mask, p).sum(axis=0)                                          # (2)
    dW = np.einsum("nmf,mnd->dmf", dy, apply_mask(_for_each_head(x, W, mask), mask, p))        # (3)
    return dx, dW, None


# %% 2. The fast twin, W with its columns last: V (M, F, D); each part of the rows has a dV
@reordering_jit
def _times(x, V, mask, y):
    (N, M, F), D = y.shape, x.shape[1]
    for n in prange(N):
        for m in range(M):
            for f in range(F):
                for d in range(D):
                    y[n, m, f] += x[n, d] * np.float32(mask[m, n, d]) * V[m, f, d]           # (1)


@parallel_jit
def _back(dy, x, V, mask, dx, dV):
    (N, M, F), D, parts = dy.shape, x.shape[1], len(dV)
    for part in prange(parts):
        for n in range(part * N // parts, (part + 1) * N // parts):
            for m in range(M):
                for f in range(F):
                    for d in range(D):
                        dyc = dy[n, m, f] * np.float32(mask[m, n, d])
                        dx[n, d] += dyc * V[m, f, d]                                         # (2)
                        dV[part, m, f, d] += dyc * x[n, d]                                   # (3)


def dropout_matmul_forward_fast(x, W, mask, p=0):
    _for_each_head(x, W, mask)
    x, V = contiguous(x, W.transpose(1, 2, 0))
    bits, scale = bits_and_scale(x, mask, p)
    y = np.zeros((len(x), *W.shape[1:]), x.dtype)
    _times(x, V * scale, bits, y)                                                   # (1)
    return y, (x, W, mask, p)


def dropout_matmul_backward_fast(dy, cache):
    x, W, mask, p = cache
    dy, x, V = contiguous(dy, x, W.transpose(1, 2, 0))
    (bits, scale), dx, dV = bits_and_scale(x, mask, p), np.zeros_like(x), np.zeros((PARTS, *V.shape), V.dtype)
    _back(dy, x, V * scale, bits, dx, dV)                                           # (2) (3)
    return dx, (dV.sum(axis=0) * scale).transpose(2, 0, 1), None                    # (3)


# %% 3. The op
dropout_matmul = Op(dropout_matmul_forward, dropout_matmul_backward,
                    fast=(dropout_matmul_forward_fast, dropout_matmul_backward_fast), fast_when=at_least(10_000))


# %% 4. The module: GraphAttention, whose heads it serves
