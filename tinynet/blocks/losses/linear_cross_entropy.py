"""Cross-entropy behind an output layer, some rows at a time: the logits of all tokens never stand in memory together.

    (1)  z[n] = W x[n] + b                                        the logits of some rows, as in linear
    (2)  loss = 1/M sum_n l(z[n], t[n])                           l as in cross_entropy; M rows that count
    (3)  dz[n] = dloss/M dl/dz                                    from z, computed once more
    (4)  dx[n] = W' dz[n]
    (5)  dW = sum_n dz[n] x[n]'
    (6)  db = sum_n dz[n]

x (..., D)   what the output layer is applied to
W (C, D)     and b (C) or None: the output layer; W may be an embedding's table
t (...)      whole numbers 0..C-1, or `ignore` for rows that don't count
a            label `smoothing`, as in cross_entropy
D features, C classes (words)

4,096 tokens of a vocabulary of 50,257 have 206 million logits: 785 MiB, and as much again for their gradient.  Here
those of `rows` rows exist at a time, without the setting as many as fit into 16 MiB of float32.  The price is a second
product (1) in the backward pass, so a whole matrix of logits is faster wherever it fits (models/sequences/word_loss.py
chooses).
"""

import numpy as np

from tinynet.blocks.losses.cross_entropy import (
    cross_entropy_backward,
    cross_entropy_backward_fast,
    cross_entropy_forward,
    cross_entropy_forward_fast,
    right_targets,
)
from tinynet.blocks.units.linear import linear_backward, linear_forward
from tinynet.engine import Op
from tinynet.shapes import ShapeError, sizes

TOGETHER = 2 ** 22      # logits that exist at a time: 16 MiB in float32


def _check(x, W, b, t, smoothing, rows):
    sizes("x: ... D, W: C D, b: C", x, W, b)
    if t.shape != x.shape[:-1]:
        raise ShapeError(f"linear_cross_entropy: x (... D) = {x.shape} and t (...) = {t.shape}: t needs one class "
                         "index for each row of x, so make their leading axes equal")
    if not len(W):
        raise ValueError(f"linear_cross_entropy: W has shape {W.shape}, with no classes to choose from; give it at "
                         "least 1")
    if not 0 <= smoothing <= 1:
        raise ValueError(f"linear_cross_entropy: smoothing is {smoothing}; choose one in [0, 1]")
    if rows is not None and rows < 1:
        raise ValueError(f"linear_cross_entropy: rows is {rows}, but at least 1 must be taken at a time")


def _some(N, C, rows):
    rows = rows or max(TOGETHER // max(C, 1), 1)
    return [slice(first, first + rows) for first in range(0, N, rows)]


def _forward(loss_of, x, W, b, t, ignore, smoothing, rows):
    _check(x, W, b, t, smoothing, rows)
    keep = right_targets("linear_cross_entropy", t, len(W), ignore)
    X, T = x[keep], t[keep]
    M, loss = max(len(T), 1), np.result_type(x, W).type(0)
    for some in _some(len(T), len(W), rows):
        z = linear_forward(X[some], W, b)[0]                                # (1)
        loss += loss_of(z, T[some], smoothing=smoothing, reduction="sum")[0] / M        # (2)
    return loss, (X, W, b, T, keep, smoothing, rows)


def _backward(forward, backward, dloss, cache):
    X, W, b, T, keep, smoothing, rows = cache
    dX, dW, db = np.zeros_like(X), np.zeros_like(W), None if b is None else np.zeros_like(b)
    share = dloss / X.dtype.type(max(len(T), 1))
    for some in _some(len(T), len(W), rows):
        z, inner = linear_forward(X[some], W, b)                            # (1)
        dz = backward(share, forward(z, T[some], smoothing=smoothing, reduction="sum")[1])[0]       # (3)
        dX[some], dW_some, db_some = linear_backward(dz, inner)             # (4)
        dW += dW_some                                                       # (5)
        if b is not None:
            db += db_some                                                   # (6)
    dx = np.zeros((*keep.shape, X.shape[1]), X.dtype)
    dx[keep] = dX
    return dx, dW, db, None


# %% 1. The mathematics
def linear_cross_entropy_forward(x, W, b, t, ignore=-1, smoothing=0.0, rows=None):
    """The mean cross-entropy of softmax(x W' + b) and targets t, in nats.

    Raises ShapeError when x, W, b and t don't fit, TypeError for targets that are no whole numbers and ValueError for
    targets outside 0..C-1.
    """
    return _forward(cross_entropy_forward, x, W, b, t, ignore, smoothing, rows)


def linear_cross_entropy_backward(dloss, cache):
    return _backward(cross_entropy_forward, cross_entropy_backward, dloss, cache)


# %% 2. The fast twin: that of cross_entropy on the same rows
def linear_cross_entropy_forward_fast(x, W, b, t, ignore=-1, smoothing=0.0, rows=None):
    return _forward(cross_entropy_forward_fast, x, W, b, t, ignore, smoothing, rows)


def linear_cross_entropy_backward_fast(dloss, cache):
    return _backward(cross_entropy_forward_fast, cross_entropy_backward_fast, dloss, cache)


# %% 3. The op
linear_cross_entropy = Op(linear_cross_entropy_forward, linear_cross_entropy_backward,
                          fast=(linear_cross_entropy_forward_fast, linear_cross_entropy_backward_fast),
                          counts=lambda cache: float(max(len(cache[3]), 1)))

# %% 4. The module: none, a loss has nothing to learn
