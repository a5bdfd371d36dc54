"""Soft sharing: every task has parameters of its own, and a penalty keeps them near each other.

    (1)  squared = sum_{s<t} |W[s] - W[t]|^2 = T sum_t |W[t] - mean_s W[s]|^2       shi fig12
    (2)  dW[t] = dloss 2 T (W[t] - mean_s W[s])
    (3)  absolute = sum_{s<t} sum_p |W[s,p] - W[t,p]|                               shi fig12
    (4)  dW[t,p] = dloss sum_s sign(W[t,p] - W[s,p])                                0 where two are equal

W (T, ...)   the parameters of T tasks, of any shape
Both are 0 for one task and for equal tasks.  The squared distance pulls far tasks most, so it never
makes two parameters equal; the absolute one pulls at one strength, and does.
The third usual penalty, the trace norm of the stacked layers, is in trace_norm.
Duong et al. 2015 (squared distance).   Lesson: where_to_split
"""

import numpy as np

from tinynet.engine import Op
from tinynet.shapes import ShapeError


def _check(W, name):
    if W.ndim < 1:
        raise ShapeError(f"{name}: W has shape {W.shape}, but needs the axes (T, ...) with T tasks first; "
                         "stack the tasks' parameters first")


# %% 1. The mathematics
def squared_distance_forward(W):
    """The sum of squared distances between all pairs of tasks."""
    _check(W, "squared_distance")
    away = W - W.mean(axis=0) if len(W) else W
    return np.square(away).sum() * away.dtype.type(len(W)), away            # (1)


def squared_distance_backward(dloss, away):
    return away * (dloss * away.dtype.type(2 * len(away)))                  # (2)


def absolute_distance_forward(W):
    """The sum of absolute differences between all pairs of tasks."""
    _check(W, "absolute_distance")
    total = sum((np.abs(W[t + 1:] - W[t]).sum() for t in range(len(W))), W.dtype.type(0))       # (3)
    return total, W


def absolute_distance_backward(dloss, W):
    pulls = [np.sign(W[t] - W).sum(axis=0) for t in range(len(W))]          # (4)
    return dloss * np.array(pulls, W.dtype).reshape(W.shape)


# %% 2. The fast twin: none, NumPy runs it at the speed of memory

# %% 3. The op
squared_distance = Op(squared_distance_forward, squared_distance_backward)
absolute_distance = Op(absolute_distance_forward, absolute_distance_backward)

# %% 4. The module: none, a penalty has nothing to learn
