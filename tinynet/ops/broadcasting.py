"""What the elementary ops share: the sum that undoes broadcasting, and one sentence for shapes that don't fit."""

import functools
import inspect

import numpy as np

from tinynet.shapes import ShapeError


def is_number(x):
    """Is it Python's own number?  It wants no gradient."""
    return type(x) is float


def shape_of(x):
    """The shape of an array; None of a number."""
    return None if is_number(x) else x.shape


def unbroadcast(d, shape):
    """Sum `d` over the axes along which an array of `shape` was stretched to d's shape; None where that is a number.

    >>> unbroadcast(np.ones((3, 2)), (2,))
    array([3., 3.])
    """
    if shape is None:
        return None
    if d.shape == shape:
        return d
    new = d.ndim - len(shape)
    stretched = (*range(new), *(new + i for i, n in enumerate(shape) if n == 1))
    return summed(d, stretched).reshape(shape)


BLOCK = 32     # so many numbers are added one after the other, then the sums of the blocks


def summed(x, axes):
    """x.sum(axes), with errors that don't grow with the number of rows.

    NumPy adds pairwise along the last axis alone.  Along the others it adds row by row, and so does einsum: a million
    float32 rows of 0.1 have the mean 0.101.  Here a long axis is cut into blocks, and the sums of the blocks are summed
    in the same way.
    """
    if x.dtype.kind != "f" or x.size <= BLOCK or not axes or (len(axes) == x.ndim and x.flags.c_contiguous):
        return x.sum(axis=axes)
    for axis in sorted(axes, reverse=True):
        x = _along(x, axis)
    return x


def _along(x, axis):
    n = x.shape[axis]
    if axis == x.ndim - 1 and n > 1 and x.strides[axis] == x.itemsize:
        return x.sum(axis=axis)                     # NumPy's pairwise sum
    whole = n - n % BLOCK
    if whole <= BLOCK:
        return _row_by_row(x, axis)
    before, blocks = (slice(None),) * axis, (*x.shape[:axis], -1, BLOCK, *x.shape[axis + 1:])
    sums = _along(_row_by_row(x[(*before, slice(whole))].reshape(blocks), axis + 1), axis)
    return sums if whole == n else sums + _row_by_row(x[(*before, slice(whole, n))], axis)


def _row_by_row(x, axis):
    """x.sum(axis).  Where the last axis stays NumPy's sum takes short rows one at a time, einsum all at once."""
    if axis < x.ndim - 1 and x.shape[-1] > 1:
        return np.einsum(x, range(x.ndim), [i for i in range(x.ndim) if i != axis])
    return x.sum(axis=axis)


def needs(what):
    """Say in one sentence which shapes met and what the op needs, where NumPy would be obscure.

    It costs almost nothing: shapes are looked at only after NumPy has raised an error.
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


broadcasts = needs("aligned at the right, their axes must be equal or 1; reshape one, e.g. to (N, 1)")
