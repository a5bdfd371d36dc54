"""A sparse matrix times a full one, for bags of words (1 of 80 words occurs in a paper) and sums over neighbours.

    (1)  y[n,m] = sum_d x[n,d] c[n,d,m] W[d,m]          shi 2.1
    (2)  dW[d,m] = sum_n x[n,d] c[n,d,m] dy[n,m]

x (N, D) SparseRows with K numbers that aren't 0   W (D, M, F)   y (N, M, F)   mask (K, M) or None
N rows, D columns, M heads, F features of a head
mask   boolean, drawn for each number and head with probability 1 - p of True; without it c = 1
c      dropout of the input, each head on its own: mask / (1 - p)
x is data, it gets no gradient.   Lesson: graph_attention
"""

import math

import numpy as np

from tinynet.blocks.units.dropout import apply_mask, dropout
from tinynet.engine import Op
from tinynet.jit import PARTS, contiguous, floating, parallel_jit, prange
from tinynet.masks import bits_and_scale, module_mask, must_be_mask
from tinynet.shapes import ShapeError, sizes
from tinynet.sparse import SparseRows


def _checked(W, mask, x):
    """The numbers of x (K) in the dtype of W where that is floating, once it is sure that all fits."""
    if not isinstance(x, SparseRows):
        raise TypeError(f"sparse_matmul: x is a {type(x).__name__}; make SparseRows of it, or use matmul")
    D, *_ = sizes("W: D M F, mask: K M", W, mask)
    if x.shape[1] != D:
        raise ShapeError(f"sparse_matmul: W (D M F) = {W.shape} and x (N D) = {x.shape}: D is {D} and {x.shape[1]}; "
                         "make them equal")
    must_be_mask("sparse_matmul", mask)
    if mask is not None and len(mask) != len(x.values):
        raise ShapeError(f"sparse_matmul: mask (K M) = {mask.shape} and x with {len(x.values)} numbers: "
                         "draw one boolean for each number and head")
    return x.values.astype(floating(W), copy=False)


def _thinned(values, mask, p):
    """x c (K, M), one column a head, or (K, 1) where nothing is dropped."""
    values = values[:, None]
    return apply_mask(values if mask is None else np.broadcast_to(values, mask.shape), mask, p)


# %% 1. The mathematics
def sparse_matmul_forward(W, mask=None, x=None, p=0):
    """Raises ShapeError where W, mask and x don't fit, TypeError for an x that isn't SparseRows."""
    values = _checked(W, mask, x)
    return np.einsum("ndm,dmf->nmf", x.spread(_thinned(values, mask, p)), W), (values, mask, x, p)      # (1)


def sparse_matmul_backward(dy, cache):
    values, mask, x, p = cache
    return np.einsum("ndm,nmf->dmf", x.spread(_thinned(values, mask, p)), dy), None                     # (2)


# %% 2. The fast twin over the numbers: each row owns its part of y, and each part of the rows a dW
@parallel_jit
def _rows_times(indptr, indices, values, mask, W, y):
    N, M, F = y.shape
    for n in prange(N):
        y[n] = 0
        first, end = indptr[n], indptr[n + 1]
        for k in range(first, end - 1, 2):      # two numbers at once: y is read and written half as often
            for m in range(M):
                x_1, x_2 = values[k] * np.float32(mask[k, m]), values[k + 1] * np.float32(mask[k + 1, m])
                for f in range(F):
                    y[n, m, f] += x_1 * W[indices[k], m, f] + x_2 * W[indices[k + 1], m, f]             # (1)
        for k in range(end - (end - first) % 2, end):
            for m in range(M):
                for f in range(F):
                    y[n, m, f] += values[k] * np.float32(mask[k, m]) * W[indices[k], m, f]              # (1)


@parallel_jit
def _back_to_W(indptr, indices, values, mask, dy, dW):
    (N, M, F), parts = dy.shape, len(dW)
    for part in prange(parts):
        dW[part] = 0
        for n in range(part * N // parts, (part + 1) * N // parts):
            for k in range(indptr[n], indptr[n + 1]):
                for m in range(M):
                    for f in range(F):
                        dW[part, indices[k], m, f] += values[k] * np.float32(mask[k, m]) * dy[n, m, f]  # (2)


def _in_fast(kernel, a, shape, cache):
    """What the kernel makes of a (., M, F): (*shape, M, F).  Heads that drop nothing run as one, in longer loops."""
    values, mask, x, p = cache
    values, a = contiguous(values, a)
    heads = (1, math.prod(a.shape[1:])) if mask is None else a.shape[1:]
    mask, scale = bits_and_scale(a, mask, p, (len(values), 1))
    y = np.empty((*shape, *heads), a.dtype)
    kernel(x.indptr, x.indices, values * scale, mask, a.reshape(len(a), *heads), y)
    return y.reshape(*shape, *a.shape[1:])


def sparse_matmul_forward_fast(W, mask=None, x=None, p=0):
    cache = _checked(W, mask, x), mask, x, p
    return _in_fast(_rows_times, W, x.shape[:1], cache), cache                                         # (1)


def sparse_matmul_backward_fast(dy, cache):
    _, _, x, _ = cache
    return _in_fast(_back_to_W, dy, (PARTS, x.shape[1]), cache).sum(axis=0), None                      # (2)


# %% 3. The op
sparse_matmul = Op(sparse_matmul_forward, sparse_matmul_backward,
                   fast=(sparse_matmul_forward_fast, sparse_matmul_backward_fast))


# %% 4. The module: none, the layers over graphs are made of it
def times(A, h, mask=None, p=0):
    """A h (N, F) for A (N, D), SparseRows or full, and h (D, F).

    mask  which numbers of A stay, drawn with probability 1 - p: (K) for SparseRows, (N, D) for a full A; None: all
    """
    if isinstance(A, SparseRows):
        mask = None if mask is None else mask[:, None]
        return sparse_matmul(h[:, None], mask, x=A, p=p)[:, 0]
    return (A if mask is None else dropout(A, mask, p=p)) @ h


def input_mask(module, x):
    """Draw the dropout mask for `times`: True for each number of x that stays."""
    return module_mask(module, *(x.values.shape if isinstance(x, SparseRows) else x.shape))
