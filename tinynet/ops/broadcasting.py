"""What the elementary ops share: the sum that undoes broadcasting, and one sentence for shapes that don't fit."""

import functools
import inspect

import numpy as np

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


broadcasts = needs("aligned at the right, their axes must be equal or 1; reshape one, e.g. to (N, 1)")
