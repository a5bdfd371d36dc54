"""The elementary ops: arithmetic with broadcasting, matmul, reductions, shape moves, indexing.

Each is a pair: forward keeps in the cache what its backward needs, backward returns one gradient
per array.  An axis that broadcasting stretched is summed away again on the way back.  The last
section hangs the ops on Tensor as operators and methods.
"""

import functools
import inspect
import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinynet import threads
from tinynet.engine import Op, Tensor
from tinynet.shapes import ShapeError


def unbroadcast(d, shape):
    """Sum `d` over the axes along which an array of `shape` was stretched to d's shape.

    >>> unbroadcast(np.ones((3, 2)), (2,))
    array([3., 3.])
    """
    if d.shape == shape:
        return d
    new = d.ndim - len(shape)
    stretched = (*range(new), *(new + i for i, n in enumerate(shape) if n == 1))
    return _summed(d, stretched).reshape(shape)


def _summed(x, axes):
    """x.sum(axes).  Where the last axis stays NumPy's sum takes short rows one at a time, einsum all at once; but other
    layouts NumPy sums more exactly, and booleans and small whole numbers einsum wouldn't widen.
    """
    stay = [i for i in range(x.ndim) if i not in axes]
    if axes and x.ndim - 1 in stay and x.shape[-1] > 1 and x.flags.c_contiguous and x.dtype.kind == "f":
        return np.einsum(x, range(x.ndim), stay)
    return x.sum(axis=axes)


def needs(what):
    """Say in one sentence which shapes met and what the op needs, where NumPy would be obscure.

    Costs nothing to speak of while the shapes fit: nothing is looked at before NumPy complains.
    """
    def decorate(forward):
        @functools.wraps(forward)
        def checked(*arrays, **settings):
            try:
                return forward(*arrays, **settings)
            except np.exceptions.AxisError:
                raise
            except ValueError as error:
                raise ShapeError(_sentence(forward, arrays, settings, what)) from error
        return checked
    return decorate


def _sentence(forward, arrays, settings, what):
    names = list(inspect.signature(forward).parameters)
    if names[0] == "arrays":
        names = [f"array {i}" for i in range(1, len(arrays) + 1)]
    given = [f"{name} has shape {np.shape(array)}" for name, array in zip(names, arrays, strict=False)]
    given += [f"{name}={value}" for name, value in settings.items()]
    return f"{forward.__name__.removesuffix('_forward')}: {', '.join(given)}; {what}"


# %% Arithmetic: two arrays, broadcast
broadcasts = needs("aligned at the right, their axes must be equal or 1; reshape one, e.g. to (N, 1)")


@broadcasts
def add_forward(a, b):
    return a + b, (a.shape, b.shape)


def add_backward(dy, cache):
    return unbroadcast(dy, cache[0]), unbroadcast(dy, cache[1])


@broadcasts
def subtract_forward(a, b):
    return a - b, (a.shape, b.shape)


def subtract_backward(dy, cache):
    return unbroadcast(dy, cache[0]), unbroadcast(-dy, cache[1])


@broadcasts
def multiply_forward(a, b):
    return a * b, (a, b)


def multiply_backward(dy, cache):
    a, b = cache
    return unbroadcast(dy * b, a.shape), unbroadcast(dy * a, b.shape)


@broadcasts
def divide_forward(a, b):
    y = a / b
    return y, (a.shape, b, y)


def divide_backward(dy, cache):
    a_shape, b, y = cache
    da = dy / b
    return unbroadcast(da, a_shape), unbroadcast(-da * y, b.shape)


@broadcasts
def maximum_forward(a, b):
    return np.maximum(a, b), (a, b)


def maximum_backward(dy, cache):
    """At a tie each side gets half, the middle of its one-sided derivatives."""
    a, b = cache
    to_a = (a > b) + (a == b) * dy.dtype.type(0.5)
    return unbroadcast(dy * to_a, a.shape), unbroadcast(dy * (1 - to_a), b.shape)


@broadcasts
def minimum_forward(a, b):
    return np.minimum(a, b), (a, b)


def minimum_backward(dy, cache):
    """At a tie each side gets half, the middle of its one-sided derivatives."""
    a, b = cache
    to_a = (a < b) + (a == b) * dy.dtype.type(0.5)
    return unbroadcast(dy * to_a, a.shape), unbroadcast(dy * (1 - to_a), b.shape)


@broadcasts
def where_forward(condition, a, b):
    condition = condition.astype(bool, copy=False)
    return np.where(condition, a, b), (condition, a.shape, b.shape)


def where_backward(dy, cache):
    condition, a_shape, b_shape = cache
    da, db = np.where(condition, dy, 0), np.where(condition, 0, dy)
    return None, unbroadcast(da, a_shape), unbroadcast(db, b_shape)


# %% Arithmetic: one array
def negative_forward(x):
    return -x, None


def negative_backward(dy, _):
    return -dy


def power_forward(x, exponent=2):
    """x ** exponent for a constant number; write exp(b * log(a)) for a variable exponent."""
    exponent = float(exponent)
    return x ** exponent, (x, exponent)


def power_backward(dy, cache):
    x, exponent = cache
    return dy * (exponent * x ** (exponent - 1)) if exponent else np.zeros_like(dy)


def exp_forward(x):
    y = np.exp(x)
    return y, y


def exp_backward(dy, y):
    return dy * y


def log_forward(x):
    return np.log(x), x


def log_backward(dy, x):
    return dy / x


def sqrt_forward(x):
    y = np.sqrt(x)
    return y, y


def sqrt_backward(dy, y):
    return dy / (2 * y)


def absolute_forward(x):
    return np.abs(x), x


def absolute_backward(dy, x):
    """sign(0) = 0, the middle of the one-sided derivatives -1 and 1."""
    return dy * np.sign(x)


# %% Matrix product
def _product(a, b):
    columns = b.shape[-1] if b.ndim > 1 else 1
    with threads.for_product(math.prod(a.shape[-2:]) * columns):        # of one product, there may be a batch of them
        return np.matmul(a, b)


@needs("a's last axis must be as long as b's last but one (or only) one, and the axes before them equal or 1; "
       "transpose one, e.g. with .swapaxes(-1, -2)")
def matmul_forward(a, b):
    return _product(a, b), (a, b)


def matmul_backward(dy, cache):
    """dA = dY B', dB = A' dY, with a vector taken as a row on the left and a column on the right."""
    a, b = cache
    A, B = (a[None, :] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    dY = dy[..., None] if b.ndim == 1 else dy
    dY = dY[..., None, :] if a.ndim == 1 else dY
    dA, dB = _product(dY, B.swapaxes(-1, -2)), _product(A.swapaxes(-1, -2), dY)
    return unbroadcast(dA, A.shape).reshape(a.shape), unbroadcast(dB, B.shape).reshape(b.shape)


# %% Reductions
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


# %% Shape moves
@needs("the new shape must hold as many entries")
def reshape_forward(x, shape=()):
    return x.reshape(shape), x.shape


def reshape_backward(dy, shape):
    return dy.reshape(shape)


@needs("axes must name each axis of x once")
def transpose_forward(x, axes=None):
    y = x.transpose(axes)
    return y, None if axes is None else [axis % x.ndim for axis in axes]


def transpose_backward(dy, axes):
    return dy.transpose(None if axes is None else np.argsort(axes))


@needs("aligned at the right, each axis of x must have the new size or 1")
def broadcast_to_forward(x, shape=()):
    return np.broadcast_to(x, shape), x.shape


def broadcast_to_backward(dy, shape):
    return unbroadcast(dy, shape)


def getitem_forward(x, index=()):
    return x[index], (x.shape, index)


def getitem_backward(dy, cache):
    """An entry taken several times collects the gradient of each time."""
    shape, index = cache
    dx = np.zeros(shape, dy.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if all(i is None or i is Ellipsis or isinstance(i, (int, np.integer, slice)) for i in parts):
        dx[index] = dy
    else:
        np.add.at(dx, index, dy)
    return dx


@needs("all axes but the joined one must be equal")
def concatenate_forward(*arrays, axis=0):
    return np.concatenate(arrays, axis=axis), (np.cumsum([a.shape[axis] for a in arrays])[:-1], axis)


def concatenate_backward(dy, cache):
    cuts, axis = cache
    return tuple(np.split(dy, cuts, axis=axis))


@needs("all shapes must be equal")
def stack_forward(*arrays, axis=0):
    return np.stack(arrays, axis=axis), axis


def stack_backward(dy, axis):
    return tuple(np.moveaxis(dy, axis, 0))


# %% The ops: NumPy already runs these at the speed of memory, so none has compiled twins
class Arithmetic(Op):
    """An op in which numbers (and lists of them) take the dtype of the floating array beside
    them, so that float32 stays float32."""

    def __call__(self, *inputs):
        for x in inputs:
            if _is_number(x):
                inputs = _alike(inputs)
                break
        return Op.__call__(self, *inputs)


_ARRAYS = (Tensor, np.ndarray)


def _alike(inputs):
    dtypes = [x.dtype for x in inputs if not _is_number(x) and x.dtype.kind == "f"]
    dtype = dtypes[0] if dtypes else None
    return [np.asarray(x, dtype) if _is_number(x) else x for x in inputs]


def _is_number(x):
    """Python's and NumPy's numbers, lists of them, and arrays and constant tensors without axes."""
    return not isinstance(x, _ARRAYS) or (x.ndim == 0 and not (isinstance(x, Tensor) and x.requires_grad))


class Joining(Op):
    """An op on any number of arrays, given one by one or as one list."""

    def __call__(self, *arrays, axis=0):
        if len(arrays) == 1 and isinstance(arrays[0], (list, tuple)):
            arrays = arrays[0]
        if not arrays:
            raise ValueError(f"{self.name}: there are no arrays; give at least one")
        return super().__call__(*arrays, axis=axis)


add = Arithmetic(add_forward, add_backward)
subtract = Arithmetic(subtract_forward, subtract_backward)
multiply = Arithmetic(multiply_forward, multiply_backward)
divide = Arithmetic(divide_forward, divide_backward)
maximum = Arithmetic(maximum_forward, maximum_backward)
minimum = Arithmetic(minimum_forward, minimum_backward)
where = Arithmetic(where_forward, where_backward)
negative = Op(negative_forward, negative_backward)
power = Op(power_forward, power_backward)
exp = Op(exp_forward, exp_backward)
log = Op(log_forward, log_backward)
sqrt = Op(sqrt_forward, sqrt_backward)
absolute = Op(absolute_forward, absolute_backward)
matmul = Op(matmul_forward, matmul_backward)
sum = Op(sum_forward, sum_backward)                     # noqa: A001  (NumPy's name)
mean = Op(mean_forward, mean_backward)
max = Op(max_forward, max_backward)                     # noqa: A001
reshape = Op(reshape_forward, reshape_backward)
transpose = Op(transpose_forward, transpose_backward)
broadcast_to = Op(broadcast_to_forward, broadcast_to_backward)
getitem = Op(getitem_forward, getitem_backward)
concatenate = Joining(concatenate_forward, concatenate_backward)
stack = Joining(stack_forward, stack_backward)


# %% Operators and methods of Tensor
def _comparison(ufunc):
    """Comparisons answer with a plain boolean array: no gradient flows through them."""
    return lambda self, other: ufunc(self.data, other.data if isinstance(other, Tensor) else other)


def _exponent(x, exponent):
    if np.ndim(exponent) or getattr(exponent, "requires_grad", False):
        raise TypeError("power: the exponent must be one constant number; for a variable one write (b * a.log()).exp()")
    return power(x, exponent=float(exponent))


def _as_exponent(x, base):
    raise TypeError("power: the exponent can't be a tensor; for a ** b write (b * a.log()).exp()")


def _index(x, index):
    """Tensors in an index count as their arrays."""
    if isinstance(index, tuple):
        index = tuple(i.data if isinstance(i, Tensor) else i for i in index)
    return getitem(x, index=index.data if isinstance(index, Tensor) else index)


def _shape(args):
    return args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args


def _swap(x, first, second):
    axes = list(range(x.ndim))
    if not (-x.ndim <= first < x.ndim and -x.ndim <= second < x.ndim):
        raise ShapeError(f"swapaxes: x has shape {x.shape}, which has no axes {first} and {second}")
    axes[first], axes[second] = axes[second], axes[first]
    return transpose(x, axes=tuple(axes))


for _name, _op in dict(add=add, sub=subtract, mul=multiply, truediv=divide, matmul=matmul).items():
    setattr(Tensor, f"__{_name}__", lambda self, other, op=_op: op(self, other))
    setattr(Tensor, f"__r{_name}__", lambda self, other, op=_op: op(other, self))
for _name, _ufunc in dict(eq=np.equal, ne=np.not_equal, lt=np.less, le=np.less_equal,
                          gt=np.greater, ge=np.greater_equal).items():
    setattr(Tensor, f"__{_name}__", _comparison(_ufunc))

Tensor.__array_ufunc__ = None          # array + tensor gives a tensor, not an array of tensors
Tensor.__neg__ = lambda self: negative(self)
Tensor.__abs__ = lambda self: absolute(self)
Tensor.__pow__ = _exponent
Tensor.__rpow__ = _as_exponent
Tensor.__getitem__ = _index
Tensor.exp = lambda self: exp(self)
Tensor.log = lambda self: log(self)
Tensor.sqrt = lambda self: sqrt(self)
Tensor.abs = lambda self: absolute(self)
Tensor.sum = lambda self, axis=None, keepdims=False: sum(self, axis=axis, keepdims=keepdims)
Tensor.mean = lambda self, axis=None, keepdims=False: mean(self, axis=axis, keepdims=keepdims)
Tensor.max = lambda self, axis=None, keepdims=False: max(self, axis=axis, keepdims=keepdims)
Tensor.reshape = lambda self, *shape: reshape(self, shape=_shape(shape))
Tensor.transpose = lambda self, *axes: transpose(self, axes=_shape(axes) or None)
Tensor.swapaxes = _swap
Tensor.T = property(lambda self: transpose(self))
