"""Trace norm (nuclear norm) of what T tasks stack: small when the tasks' rows span few directions.

    (1)  W = U diag(s) V'              singular value decomposition, s[1] >= s[2] >= ... >= 0
    (2)  loss = sum_k s[k]             shi fig12; saha Ltn
    (3)  dW = dloss sum_k U[:,k] V[:,k]'     over the r singular values above 0; shi fig12; saha Ltn

W (T, ...)   one row a task: a vector, or a layer's weights, whose axes after the first count as one of P entries
loss ()      sqrt(T) |w| where all rows equal w; |w| for one task; 0 for W = 0 and for an empty W
Where W has full rank, (3) is the gradient.  Where it has rank r < min(T, P), (3) is the subgradient
of smallest norm, because any U' dW V of norm at most 1 on the other directions would do as well.
A singular value counts as 0 below max(T, P) eps s[1], as in np.linalg.matrix_rank.
Fazel 2002; Yang and Hospedales 2017, arXiv:1606.04038.   Lesson: where_to_split
"""

import math

import numpy as np

from tinynet.engine import Op
from tinynet.shapes import ShapeError


def _rows(W):
    if W.ndim < 2:
        raise ShapeError(f"trace_norm: W has shape {W.shape}, but needs the axes (T, ...) with T tasks first; "
                         "stack the tasks' parameters first")
    return W.reshape(len(W), math.prod(W.shape[1:]))


# %% 1. The mathematics
def trace_norm_forward(W):
    """The sum of singular values of W (T, P); raises ShapeError on a W of fewer than two axes and ValueError
    where W holds NaN or inf, which has no singular values."""
    rows = _rows(W)
    if not np.isfinite(rows).all():
        raise ValueError("trace_norm: W has NaN or inf, which has no singular values; try a smaller learning rate")
    rows = rows.astype(np.result_type(rows, np.float32), copy=False)
    U, s, Vt = np.linalg.svd(rows, full_matrices=False)                         # (1)
    r = (s > max(rows.shape) * np.finfo(s.dtype).eps * s.max(initial=0)).sum()
    return s.sum(), (U[:, :r], Vt[:r], W.shape)                                 # (2)


def trace_norm_backward(dloss, cache):
    U, Vt, shape = cache
    return (dloss * (U @ Vt)).reshape(shape)                                    # (3)


# %% 2. The fast twin: none, LAPACK already wins

# %% 3. The op
trace_norm = Op(trace_norm_forward, trace_norm_backward)

# %% 4. The module: none, a penalty has nothing to learn
