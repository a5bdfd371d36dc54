"""Arithmetic on one array, or on two that are broadcast.

Forward keeps in the cache what its backward needs, backward returns one gradient per array.  An axis
that broadcasting stretched is summed away again on the way back.
"""

import numpy as np

from tinynet.engine import Op, Tensor
from tinynet.ops.broadcasting import broadcasts, is_number, shape_of, unbroadcast


# %% Two arrays
@broadcasts
def add_forward(a, b):
    return a + b, (shape_of(a), shape_of(b))


def add_backward(dy, cache):
    return unbroadcast(dy, cache[0]), unbroadcast(dy, cache[1])


@broadcasts
def subtract_forward(a, b):
    return a - b, (shape_of(a), shape_of(b))


def subtract_backward(dy, cache):
    return unbroadcast(dy, cache[0]), unbroadcast(-dy, cache[1])


@broadcasts
def multiply_forward(a, b):
    return a * b, (a, b)


def multiply_backward(dy, cache):
    a, b = cache
    da = None if is_number(a) else unbroadcast(dy * b, a.shape)
    db = None if is_number(b) else unbroadcast(dy * a, b.shape)
    return da, db


@broadcasts
def divide_forward(a, b):
    y = a / b
    return y, (shape_of(a), b, None if is_number(b) else y)


def divide_backward(dy, cache):
    a_shape, b, y = cache
    da = dy / b
    return unbroadcast(da, a_shape), None if is_number(b) else unbroadcast(-da * y, b.shape)


@broadcasts
def maximum_forward(a, b):
    return np.maximum(a, b), (a, b)


def maximum_backward(dy, cache):
    """At a tie each side gets half, the middle of its one-sided derivatives."""
    a, b = cache
    to_a = (a > b) + (a == b) * dy.dtype.type(0.5)
    return unbroadcast(dy * to_a, shape_of(a)), unbroadcast(dy * (1 - to_a), shape_of(b))


@broadcasts
def minimum_forward(a, b):
    return np.minimum(a, b), (a, b)


def minimum_backward(dy, cache):
    """At a tie each side gets half, the middle of its one-sided derivatives."""
    a, b = cache
    to_a = (a < b) + (a == b) * dy.dtype.type(0.5)
    return unbroadcast(dy * to_a, shape_of(a)), unbroadcast(dy * (1 - to_a), shape_of(b))


@broadcasts
def where_forward(condition, a, b):
    condition = np.asarray(condition, bool)
    return np.where(condition, a, b), (condition, shape_of(a), shape_of(b))


def where_backward(dy, cache):
    condition, a_shape, b_shape = cache
    da, db = np.where(condition, dy, 0), np.where(condition, 0, dy)
    return None, unbroadcast(da, a_shape), unbroadcast(db, b_shape)


# %% One array
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


# %% The ops: NumPy already runs these at the speed of memory, so none has a fast twin
class Arithmetic(Op):
    """An op in which numbers, lists of them and arrays of whole numbers take the dtype of the floating array beside
    them, so that float32 stays float32.  A number wants no gradient, so none is computed."""

    def __call__(self, *inputs):
        for x in inputs:
            if type(x) is not float and not (isinstance(x, Tensor) and x.step) and _is_constant(x):
                inputs = _alike(inputs)
                break
        return Op.__call__(self, *inputs)

    @staticmethod
    def _array(x):
        return x if type(x) is float else np.asarray(x)


_ARRAYS = (Tensor, np.ndarray)


def _alike(inputs):
    floats = [x for x in inputs if isinstance(x, _ARRAYS) and x.dtype.kind == "f"]
    lasting = [x for x in floats if not _is_constant(x)]
    dtype = (lasting or floats)[0].dtype if floats else None        # what has axes or a gradient decides
    return [_beside(x, dtype, bool(lasting)) if _is_constant(x) else x for x in inputs]


def _beside(x, dtype, as_number):
    """A number as a Python number, which takes any array's dtype; a list or an array of whole numbers as an array.

    as_number  False: all are constants, and Python's numbers alone would make float64 of them
    """
    array = np.asarray(x)
    if array.dtype.kind not in "fiubc":
        raise TypeError(f"arithmetic on tensors takes numbers, arrays and tensors, and this is {x!r}")
    if dtype is None or array.dtype.kind == "c":
        return array
    return float(array) if as_number and not array.ndim else array.astype(dtype)


def _is_constant(x):
    """Python's and NumPy's numbers, lists of them, arrays of whole numbers, and what has no axes and no gradient."""
    if not isinstance(x, _ARRAYS):
        return True
    return (x.ndim == 0 or x.dtype.kind in "iu") and not (isinstance(x, Tensor) and x.requires_grad)


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
