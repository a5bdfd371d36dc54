"""A sparse matrix times a full one: bags of words, of which 1 in 80 stands in a paper, and sums over neighbours.

    (1)  y[n,m] = sum_d x[n,d] c[n,d,m] W[d,m]          shi 2.1
    (2)  dW[d,m] = sum_n x[n,d] c[n,d,m] dy[n,m]

x (N, D) SparseRows with K numbers that aren't 0   W (D, M, F)   y (N, M, F)   keep (K, M) or None
N rows, D columns, M heads, F features of a head
keep   boolean, drawn for each number and head with probability 1 - p of True; without it c = 1
c      dropout of the input, each head on its own: keep / (1 - p)
x is data, it gets no gradient.   Lesson: 07_graph_attention
"""

import math

import numpy as np

from tinynet.blocks.units.dropout import bits_and_scale, drawn, dropout, must_be_mask, thinned
from tinynet.engine import Op
from tinynet.graph import SparseRows
from tinynet.jit import PARTS, contiguous, floating, parallel_jit, prange
from tinynet.shapes import ShapeError, sizes


def _checked(W, keep, x):
    """The numbers of x (K) in the dtype of W where that is floating, once it is sure that all fits."""
    if not isinstance(x, SparseRows):
        raise TypeError(f"sparse_matmul: x is a {type(x).__name__}; make SparseRows of it, or use matmul")
    D, *_ = sizes("W: D M F, keep: K M", W, keep)
    if x.shape[1] != D:
        raise ShapeError(f"sparse_matmul: W (D M F) = {W.shape} and x (N D) = {x.shape}: D is {D} and {x.shape[1]}; "
                         "make them equal")
    must_be_mask("sparse_matmul", keep)
    if keep is not None and len(keep) != len(x.values):
        raise ShapeError(f"sparse_matmul: keep (K M) = {keep.shape} and x with {len(x.values)} numbers: "
                         "draw one boolean for each number and head")
    return x.values.astype(floating(W), copy=False)


def _thinned(values, keep, p):
    """x c (K, M), one column a head, or (K, 1) where nothing is dropped."""
    values = values[:, None]
    return thinned(values if keep is None else np.broadcast_to(values, keep.shape), keep, p)


# %% 1. The mathematics
def sparse_matmul_forward(W, keep=None, x=None, p=0):
    """Raises ShapeError where W, keep and x don't fit, TypeError for an x that isn't SparseRows."""
    values = _checked(W, keep, x)
    return np.einsum("ndm,dmf->nmf", x.spread(_thinned(values, keep, p)), W), (values, keep, x, p)      # (1)


def sparse_matmul_backward(dy, cache):
    values, keep, x, p = cache
    return np.einsum("ndm,nmf->dmf", x.spread(_thinned(values, keep, p)), dy), None                     # (2)


# %% 2. The same in loops over the numbers: each row owns its part of y, and each part of the rows a dW
@parallel_jit
def _rows_times(indptr, indices, values, keep, W, y):
    N, M, F = y.shape
    for n in prange(N):
        y[n] = 0
        first, end = indptr[n], indptr[n + 1]
        for k in range(first, end - 1, 2):      # two numbers at once: y is read and written half as often
            for m in range(M):
                x_1, x_2 = values[k] * np.float32(keep[k, m]), values[k + 1] * np.float32(keep[k + 1, m])
                for f in range(F):
                    y[n, m, f] += x_1 * W[indices[k], m, f] + x_2 * W[indices[k + 1], m, f]             # (1)
        for k in range(end - (end - first) % 2, end):
            for m in range(M):
                for f in range(F):
                    y[n, m, f] += values[k] * np.float32(keep[k, m]) * W[indices[k], m, f]              # (1)


@parallel_jit
def _back_to_W(indptr, indices, values, keep, dy, dW):
    (N, M, F), parts = dy.shape, len(dW)
    for part in prange(parts):
        dW[part] = 0
        for n in range(part * N // parts, (part + 1) * N // parts):
            for k in range(indptr[n], indptr[n + 1]):
                for m in range(M):
                    for f in range(F):
                        dW[part, indices[k], m, f] += values[k] * np.float32(keep[k, m]) * dy[n, m, f]  # (2)


def _in_loops(kernel, a, shape, cache):
    """What the kernel makes of a (., M, F): (*shape, M, F).  Heads that drop nothing run as one, in longer loops."""
    values, keep, x, p = cache
    values, a = contiguous(values, a)
    heads = (1, math.prod(a.shape[1:])) if keep is None else a.shape[1:]
    keep, scale = bits_and_scale(a, keep, p, (len(values), 1))
    y = np.empty((*shape, *heads), a.dtype)
    kernel(x.indptr, x.indices, values * scale, keep, a.reshape(len(a), *heads), y)
    return y.reshape(*shape, *a.shape[1:])


def sparse_matmul_forward_loops(W, keep=None, x=None, p=0):
    cache = _checked(W, keep, x), keep, x, p
    return _in_loops(_rows_times, W, x.shape[:1], cache), cache                                         # (1)


def sparse_matmul_backward_loops(dy, cache):
    _, _, x, _ = cache
    return _in_loops(_back_to_W, dy, (PARTS, x.shape[1]), cache).sum(axis=0), None                      # (2)


# %% 3. The op
sparse_matmul = Op(sparse_matmul_forward, sparse_matmul_backward,
                   loops=(sparse_matmul_forward_loops, sparse_matmul_backward_loops))


# %% 4. The module: none, the layers over graphs are made of it
def times(A, h, keep=None, p=0):
    """A h (N, F) for A (N, D), SparseRows or full, and h (D, F).

    keep  which numbers of A stay, drawn with probability 1 - p: (K) for SparseRows, (N, D) for a full A; None: all
    """
    if isinstance(A, SparseRows):
        keep = None if keep is None else keep[:, None]
        return sparse_matmul(h[:, None], keep, x=A, p=p)[:, 0]
    return (A if keep is None else dropout(A, keep, p=p)) @ h


def kept(module, x):
    """`keep` for `times`: which numbers of x stay in a module that drops its input with chance p while it trains."""
    return drawn(module, *(x.values.shape if isinstance(x, SparseRows) else x.shape))
