"""Moves: entries change their place, none its value."""

import builtins
import itertools

import numpy as np

from tinynet.engine import Op, Tensor
from tinynet.ops.broadcasting import needs, summed, unbroadcast
from tinynet.shapes import ShapeError


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


def pad_forward(x, widths=0, value=0):
    """`value` around x.  widths as np.pad takes them: a number, (before, after), or such a pair for each axis."""
    widths = np.broadcast_to(widths, (x.ndim, 2))
    if (widths < 0).any():
        raise ShapeError(f"pad: widths are {widths.tolist()}; they must be 0 or more, to cut use x[start:stop]")
    inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))
    return np.pad(x, widths, constant_values=value), inside


def pad_backward(dy, inside):
    return dy[inside]


def repeat_forward(x, count=1, axis=0):
    """Each entry `count` times in a row along `axis`."""
    return np.repeat(x, count, axis), (x.shape, count, axis % max(x.ndim, 1))


def repeat_backward(dy, cache):
    shape, count, axis = cache
    return summed(dy.reshape(*shape[:axis + 1], count, *shape[axis + 1:]), (axis + 1,))


@needs("indices must have as many axes as x, and the same sizes but along `axis`")
def take_along_axis_forward(x, indices, axis=-1):
    """y[..., i, ...] = x[..., indices[..., i, ...], ...] along `axis`: PyTorch's gather."""
    return np.take_along_axis(x, indices, axis), (x.shape, indices, axis)


def take_along_axis_backward(dy, cache):
    """An entry taken several times collects the gradient of each time."""
    shape, indices, axis = cache
    place = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    place[axis] = indices
    dx = np.zeros(shape, dy.dtype)
    np.add.at(dx, tuple(place), dy)
    return dx, None


def tril_forward(x, k=0):
    """The lower triangle of the last two axes, 0 above the k-th diagonal."""
    return np.tril(x, k), k


def tril_backward(dy, k):
    return np.tril(dy, k)


def triu_forward(x, k=0):
    """The upper triangle of the last two axes, 0 below the k-th diagonal."""
    return np.triu(x, k), k


def triu_backward(dy, k):
    return np.triu(dy, k)


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
pad = Op(pad_forward, pad_backward)
repeat = Op(repeat_forward, repeat_backward)
take_along_axis = Op(take_along_axis_forward, take_along_axis_backward)
tril = Op(tril_forward, tril_backward)
triu = Op(triu_forward, triu_backward)


# %% Put together from these
def split(x, sections, axis=0):
    """Parts of x along `axis`: `sections` equal ones, or cut before each of these places.  A list of tensors.

    Raises ShapeError where a number of sections doesn't divide the axis.
    """
    n = x.shape[axis]
    if np.ndim(sections) == 0:
        if n % sections:
            raise ShapeError(f"split: x has shape {x.shape}; axis {axis} has {n} entries, which {sections} equal parts "
                             "don't share; give the places to cut at")
        sections = range(n // sections, n, n // sections) if n else [0] * (sections - 1)
    places = [0, *sections, n]
    before = (slice(None),) * (axis % x.ndim)
    return [getitem(x, index=(*before, slice(a, b))) for a, b in itertools.pairwise(places)]


def squeeze(x, axis=None):
    """x without the axes of size 1: all of them, or those named."""
    return reshape(x, shape=np.squeeze(np.empty(x.shape, bool), axis).shape)


def expand_dims(x, axis):
    """x with a new axis of size 1 at this place."""
    return reshape(x, shape=np.expand_dims(np.empty(x.shape, bool), axis).shape)


def moveaxis(x, source, destination):
    """x with some axes moved, the others in their order."""
    order = np.moveaxis(np.empty(range(x.ndim), bool), source, destination).shape
    return transpose(x, axes=tuple(order))


def tile(x, counts):
    """x as a brick laid `counts` times along each axis, as np.tile."""
    counts = (counts,) if np.ndim(counts) == 0 else tuple(counts)
    axes = builtins.max(len(counts), x.ndim)
    shape = (1,) * (axes - x.ndim) + x.shape
    counts = (1,) * (axes - len(counts)) + counts
    apart = reshape(x, shape=[size for n in shape for size in (1, n)])
    laid = broadcast_to(apart, shape=[size for pair in zip(counts, shape, strict=True) for size in pair])
    return reshape(laid, shape=[c * n for c, n in zip(counts, shape, strict=True)])


def sort(x, axis=-1):
    """x in ascending order along `axis`; each gradient goes back to where its entry came from."""
    return take_along_axis(x, np.argsort(_array(x), axis=axis, kind="stable"), axis=axis)


def topk(x, k, axis=-1):
    """(values, indices) of the k largest entries along `axis`, the largest first."""
    indices = np.flip(np.argsort(_array(x), axis=axis, kind="stable"), axis).take(range(k), axis=axis)
    return take_along_axis(x, indices, axis=axis), indices


def _array(x):
    return x.data if isinstance(x, Tensor) else np.asarray(x)
