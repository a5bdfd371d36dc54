"""Reductions: many entries become one."""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinynet.engine import Op
from tinynet.ops.broadcasting import summed
from tinynet.shapes import ShapeError


def _keep(y, ndim, axis):
    """y with the axes that a sum took away from `ndim`, as it would be with keepdims=True."""
    return y if y.ndim == ndim else np.expand_dims(y, tuple(range(ndim)) if axis is None else axis)


def _entries(x, axis, name):
    """How many entries each result is taken over: at least one."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    n = math.prod(x.shape[i] for i in axes)
    if n == 0:
        raise ShapeError(f"{name}: x has shape {x.shape}, and the {name} over no entries is undefined; "
                         "leave out empty batches")
    return n


def sum_forward(x, axis=None, keepdims=False):
    axes = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)
    y = summed(x, axes)
    return np.expand_dims(y, axes) if keepdims else y, (x.shape, axes)


def sum_backward(dy, cache):
    shape, axis = cache
    return np.broadcast_to(_keep(dy, len(shape), axis), shape)


def mean_forward(x, axis=None, keepdims=False):
    wide = x.astype(np.float32) if x.dtype == np.float16 else x         # float16 ends at 65,504
    y, (shape, axes) = sum_forward(wide, axis, keepdims)
    n = _entries(x, axes, "mean")
    y = y / y.dtype.type(n)
    return y.astype(np.float16) if x.dtype == np.float16 else y, (shape, axes, n)


def mean_backward(dy, cache):
    shape, axis, n = cache
    each = dy * np.float16(1 / n) if dy.dtype == np.float16 else dy / dy.dtype.type(n)
    return np.broadcast_to(_keep(each, len(shape), axis), shape)


def max_forward(x, axis=None, keepdims=False):
    if not x.size:
        _entries(x, axis, "max")
    axis = tuple(axis) if isinstance(axis, list) else axis
    y = x.max(axis=axis, keepdims=keepdims)
    return y, (x, axis, y)


def max_backward(dy, cache):
    """Entries that tie for the maximum share the gradient equally."""
    x, axis, y = cache
    ties = (x == _keep(y, x.ndim, axis)).astype(dy.dtype)
    return _keep(dy, x.ndim, axis) * ties / ties.sum(axis=axis, keepdims=True)


def min_forward(x, axis=None, keepdims=False):
    if not x.size:
        _entries(x, axis, "min")
    axis = tuple(axis) if isinstance(axis, list) else axis
    y = x.min(axis=axis, keepdims=keepdims)
    return y, (x, axis, y)


min_backward = max_backward         # both give the gradient to the entries that were chosen


def var_forward(x, axis=None, keepdims=False, ddof=0):
    """The mean squared distance from the mean; ddof=1 divides by n - 1, as for a sample."""
    n = _entries(x, axis, "var")
    mean, (_, axes, _) = mean_forward(x, axis, keepdims=True)
    if n <= ddof:
        raise ShapeError(f"var: x has shape {x.shape}, which leaves {n} entries to each result; with ddof={ddof} it "
                         f"needs {ddof + 1} or more")
    distance, scale = x - mean, mean.dtype.type(1 / (n - ddof))
    y, _ = sum_forward(distance * distance, axes, keepdims)
    return y * scale, (distance, axes, scale)


def var_backward(dy, cache):
    distance, axes, scale = cache
    return _keep(dy, distance.ndim, axes) * (2 * scale * distance)


def std_forward(x, axis=None, keepdims=False, ddof=0):
    """The square root of the variance."""
    var, cache = var_forward(x, axis, keepdims, ddof)
    y = np.sqrt(var)
    return y, (y, cache)


def std_backward(dy, cache):
    """Where all entries are equal there is no slope; it is taken as 0."""
    y, of_var = cache
    return var_backward(np.where(y == 0, 0, dy / np.where(y == 0, 1, 2 * y)), of_var)


def norm_forward(x, axis=None, keepdims=False):
    """The Euclidean norm; entries are divided by the largest first, so that no square over- or underflows."""
    top = np.abs(x).max(axis=axis, keepdims=True, initial=0)
    top = np.where((top == 0) | ~np.isfinite(top), top.dtype.type(1), top)
    squares, (_, axes) = sum_forward((x / top) ** 2, axis, keepdims=True)
    y = np.sqrt(squares) * top
    return y if keepdims else np.squeeze(y, axes), (x, y, axes)


def norm_backward(dy, cache):
    """x / |x|, and 0 at a row of zeros, where there is no slope: the middle of all directions."""
    x, y, axes = cache
    return _keep(dy, x.ndim, axes) * (x / np.where(y == 0, 1, y))


def prod_forward(x, axis=None, keepdims=False):
    axes = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)
    return x.prod(axis=axes, keepdims=keepdims), (x, axes)


def prod_backward(dy, cache):
    """Each entry's slope is the product of the others: those before it times those behind it, right for zeros, too."""
    x, axes = cache
    last = range(x.ndim - len(axes), x.ndim)
    moved = np.moveaxis(x, axes, last)
    rows = moved.reshape(*moved.shape[:x.ndim - len(axes)], math.prod(x.shape[i] for i in axes))
    one = np.ones_like(rows[..., :1])
    before = np.cumprod(np.concatenate([one, rows[..., :-1]], axis=-1), axis=-1)
    behind = np.cumprod(np.concatenate([one, rows[..., :0:-1]], axis=-1), axis=-1)[..., ::-1]
    others = np.moveaxis((before * behind)[..., :rows.shape[-1]].reshape(moved.shape), last, axes)
    return _keep(dy, x.ndim, axes) * others


def cumsum_forward(x, axis=-1):
    """Sums of the entries up to each one, taken in float64: each sum is rounded once."""
    return _running(x, axis), axis


def cumsum_backward(dy, axis):
    """An entry is part of its own sum and of all later ones."""
    return np.flip(_running(np.flip(dy, axis), axis), axis)


def _running(x, axis):
    return np.cumsum(x, axis=axis, dtype=np.result_type(x, np.float64)).astype(x.dtype)


sum = Op(sum_forward, sum_backward)                     # noqa: A001  (NumPy's name)
mean = Op(mean_forward, mean_backward)
max = Op(max_forward, max_backward)                     # noqa: A001
min = Op(min_forward, min_backward)                     # noqa: A001
var = Op(var_forward, var_backward)
std = Op(std_forward, std_backward)
norm = Op(norm_forward, norm_backward)
prod = Op(prod_forward, prod_backward)
cumsum = Op(cumsum_forward, cumsum_backward)
