"""Moves: entries change their place, none its value."""

import numpy as np

from tinynet.engine import Op
from tinynet.ops.broadcasting import needs, unbroadcast


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


class Joining(Op):
    """An op on any number of arrays, given one by one or as one list."""

    def __call__(self, *arrays, axis=0):
        if len(arrays) == 1 and isinstance(arrays[0], (list, tuple)):
            arrays = arrays[0]
        if not arrays:
            raise ValueError(f"{self.name}: there are no arrays; give at least one")
        return super().__call__(*arrays, axis=axis)


reshape = Op(reshape_forward, reshape_backward)
transpose = Op(transpose_forward, transpose_backward)
broadcast_to = Op(broadcast_to_forward, broadcast_to_backward)
getitem = Op(getitem_forward, getitem_backward)
concatenate = Joining(concatenate_forward, concatenate_backward)
stack = Joining(stack_forward, stack_backward)
