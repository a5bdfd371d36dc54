"""A sparse matrix times a full one: bags of words, of which 1 in 80 stands in a paper, and sums over neighbours.

    (1)  y[n,m] = sum_d x[n,d] c[n,d,m] W[d,m]          shi 2.1
    (2)  dW[d,m] = sum_n x[n,d] c[n,d,m] dy[n,m]

x (N, D) SparseRows with K numbers that aren't 0   W (D, M, F)   y (N, M, F)   keep (K, M) or None
N rows, D columns, M heads, F features of a head
keep   boolean, drawn for each number and head with probability 1 - p of True; without it c = 1
c      dropout of the input, each head on its own: keep / (1 - p)
x is data, it gets no gradient.   Lesson: 07_graph_attention
"""

import numpy as np

from tinynet.blocks.dropout import drawn, dropout, must_be_mask, thinned
from tinynet.engine import Op
from tinynet.graph import SparseRows
from tinynet.jit import contiguous, parallel_jit, prange
from tinynet.shapes import ShapeError, sizes


def _checked(W, keep, x, p):
    """x c (K, M), one column a head, or (K, 1) where nothing is dropped, once it is sure that all fits."""
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
    values = x.values.astype(W.dtype, copy=False)[:, None]
    return thinned(values if keep is None else np.broadcast_to(values, keep.shape), keep, p)


# %% 1. The mathematics
def sparse_matmul_forward(W, keep=None, x=None, p=0):
    """Raises ShapeError where W, keep and x don't fit, TypeError for an x that isn't SparseRows."""
    xc = _checked(W, keep, x, p)
    return np.einsum("ndm,dmf->nmf", x.spread(xc), W), (xc, x)      # (1)


def sparse_matmul_backward(dy, cache):
    xc, x = cache
    return np.einsum("ndm,nmf->dmf", x.spread(xc), dy), None        # (2)


# %% 2. The same in loops over the numbers: by rows, and back by columns
@parallel_jit
def _rows_times(indptr, indices, values, W, y):
    N, M, F = y.shape
    for n in prange(N):
        for k in range(indptr[n], indptr[n + 1]):
            for m in range(M):
                for f in range(F):
                    y[n, m, f] += values[k, m] * W[indices[k], m, f]


def rows_times(indptr, indices, values, W):
    """y[n,m] = sum_k values[k,m] W[indices[k],m] (N, M, F), k over the places of row n.

    values  (K, M), or (K, 1) for all heads: these then run as one, in longer loops
    """
    values, W = contiguous(values, W)
    (D, M, F), N = W.shape, len(indptr) - 1
    heads = (M, F) if values.shape[1] == M else (1, M * F)
    y = np.zeros((N, *heads), W.dtype)
    _rows_times(indptr, indices, values, W.reshape(D, *heads), y)
    return y.reshape(N, M, F)


def sparse_matmul_forward_loops(W, keep=None, x=None, p=0):
    xc = _checked(W, keep, x, p)
    return rows_times(x.indptr, x.indices, xc, W), (xc, x)          # (1)


def sparse_matmul_backward_loops(dy, cache):
    xc, x = cache
    indptr, rows, order = x.transposed
    return rows_times(indptr, rows, xc.take(order, axis=0), dy), None            # (2)


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
