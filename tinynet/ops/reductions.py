"""Reductions: many entries become one."""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinynet.engine import Op
from tinynet.ops.broadcasting import _summed
from tinynet.shapes import ShapeError


def _keep(y, ndim, axis):
    """y with the axes that a sum took away from `ndim`, as it would be with keepdims=True."""
    return y if y.ndim == ndim else np.expand_dims(y, tuple(range(ndim)) if axis is None else axis)


def _entries(x, axis, name):
    """How many entries each result is taken over: at least one."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    n = math.prod(x.shape[i] for i in axes)
    if n == 0:
        raise ShapeError(f"{name}: x has shape {x.shape}, and the {name} over no entries is undefined; "
                         "leave out empty batches")
    return n


def sum_forward(x, axis=None, keepdims=False):
    axes = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)
    y = _summed(x, axes)
    return np.expand_dims(y, axes) if keepdims else y, (x.shape, axes)


def sum_backward(dy, cache):
    shape, axis = cache
    return np.broadcast_to(_keep(dy, len(shape), axis), shape)


def mean_forward(x, axis=None, keepdims=False):
    y, (shape, axes) = sum_forward(x, axis, keepdims)
    n = _entries(x, axes, "mean")
    return y / y.dtype.type(n), (shape, axes, n)


def mean_backward(dy, cache):
    shape, axis, n = cache
    return np.broadcast_to(_keep(dy / dy.dtype.type(n), len(shape), axis), shape)


def max_forward(x, axis=None, keepdims=False):
    if not x.size:
        _entries(x, axis, "max")
    y = x.max(axis=axis, keepdims=keepdims)
    return y, (x, axis, y)


def max_backward(dy, cache):
    """Entries that tie for the maximum share the gradient equally."""
    x, axis, y = cache
    ties = (x == _keep(y, x.ndim, axis)).astype(dy.dtype)
    return _keep(dy, x.ndim, axis) * ties / ties.sum(axis=axis, keepdims=True)


sum = Op(sum_forward, sum_backward)                     # noqa: A001  (NumPy's name)
mean = Op(mean_forward, mean_backward)
max = Op(max_forward, max_backward)                     # noqa: A001
