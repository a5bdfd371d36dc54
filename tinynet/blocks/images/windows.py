"""How a window of R x S pixels walks over images (N, C, H, W): its size, step and margin, and whether it fits.

    >>> import numpy as np
    >>> from tinynet.blocks.images.windows import walk
    >>> way = walk(np.zeros((1, 3, 32, 32)), size=3, stride=2, padding=1)
    >>> way.out
    (16, 16)
"""

from numbers import Real
from typing import NamedTuple

import numpy as np

from tinynet.shapes import ShapeError, block_name, is_whole


class Windows(NamedTuple):
    """size, stride, padding, dilation, image and out are pairs (along the height, along the width)."""

    size: tuple         # of the window in taps, (R, S)
    stride: tuple
    padding: tuple      # rows and columns of zeros on either side of the image
    dilation: tuple     # from one tap to the next
    image: tuple        # (H, W)
    out: tuple          # how many windows there are

    def taps(self):
        """(r, s) for each tap of the window."""
        return np.ndindex(*self.size)

    def room(self):
        """(H, W) of an image with its margin."""
        return tuple(n + 2 * p for n, p in zip(self.image, self.padding, strict=True))

    def padded(self, X, value=0):
        """X (..., H, W) with its margin, in the same memory order; X itself where there is none."""
        if self.padding == (0, 0):
            return X
        Xp = np.full_like(X, value, shape=(*X.shape[:-2], *self.room()))
        self.inside(Xp)[...] = X
        return Xp

    def inside(self, Xp):
        """The view of a padded array without its margin."""
        (p, q), (H, W) = self.padding, self.image
        return Xp[..., p:p + H, q:q + W]

    def at(self, Xp, r, s):
        """The view (..., Ho, Wo) of a padded array: what tap (r, s) of each window sees."""
        rows, columns = (slice(tap * e, tap * e + (n - 1) * u + 1, u) for tap, e, n, u in
                         zip((r, s), self.dilation, self.out, self.stride, strict=True))
        return Xp[..., rows, columns]


def walk(X, size, stride=1, padding=0, dilation=1):
    """The Windows of this size, stride, padding and dilation, each a number or a pair, over X (N, C, H, W).

    Raises ShapeError and ValueError in the name of the block that called: for images without pixels, for a window
    larger than the padded image, and for settings that aren't whole numbers (0 or more for padding, else 1 or more).
    """
    size, stride, dilation = pair("size", size, 1), pair("stride", stride, 1), pair("dilation", dilation, 1)
    padding, image = pair("padding", padding, 0), X.shape[2:]
    if 0 in image:
        raise ShapeError(f"{block_name(2)}: X (N C H W) = {X.shape} has no pixels; give images of 1 x 1 or more")
    spans = [(n - 1) * e + 1 for n, e in zip(size, dilation, strict=True)]
    room = [n + 2 * p for n, p in zip(image, padding, strict=True)]
    if spans[0] > room[0] or spans[1] > room[1]:
        raise ShapeError(f"{block_name(2)}: the window covers {spans[0]} x {spans[1]} pixels and the padded image "
                         f"(H, W) has {room[0]} x {room[1]}; take a smaller window, more padding or a larger image")
    out = tuple((n - span) // u + 1 for n, span, u in zip(room, spans, stride, strict=True))
    return Windows(size, stride, padding, dilation, image, out)


# %% Settings and arrays that fit; the errors name `block`, or else the block whose function called
def pair(name, value, least, block=None):
    """The setting `name` as a pair (along the height, along the width); raises ValueError unless it is whole numbers
    of `least` or more, one or two of them.
    """
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(is_whole(n, least) for n in both):
        raise ValueError(f"{block or block_name(3)}: {name} is {value!r}; give a whole number, {least} or more, or a "
                         "pair of them (along the height, along the width)")
    return both


def must_fall_into_groups(count, groups, whose, block=None):
    """Raises ShapeError unless so many channels or filters make equal groups."""
    if not is_whole(groups, 1) or count % groups:
        raise ShapeError(f"{block or block_name(2)}: {whose} = {count}, which doesn't fall into {groups!r} groups; "
                         f"choose a whole number of groups that divides {count}")


def must_not_be_negative(eps, block):
    """Raises ValueError unless eps is a number, 0 or more."""
    if not isinstance(eps, Real) or not eps >= 0:
        raise ValueError(f"{block}: eps is {eps!r}; give 0 or more, since it is added to a variance")


def must_be_pixels(X):
    """Raises TypeError, in the name of the block that called, for bytes, whose scale nobody meant to learn from."""
    if X.dtype == np.uint8:
        raise TypeError(f"{block_name(2)}: X holds uint8, bytes of 0 to 255; convert them to floating numbers near 1 "
                        "first, e.g. (X / 255).astype(np.float32)")


def must_have_channels(X, channels, whose):
    """Raises ShapeError unless X (N, C, H, W) has so many channels; says so where they stand last."""
    if X.shape[1] == channels:
        return
    last = X.shape[3] == channels
    remedy = "X looks like (N, H, W, C), so turn it by X.transpose(0, 3, 1, 2)" if last else "make them equal"
    raise ShapeError(f"{block_name(2)}: X (N C H W) = {X.shape} has C = {X.shape[1]} channels and {whose} {channels}; "
                     f"{remedy}")


def must_be_of_shape(dY, shape):
    """Raises ShapeError unless dY has the shape of Y: a compiled loop would read beyond its end."""
    if dY.shape != shape:
        raise ShapeError(f"{block_name(2)}: dY has shape {dY.shape} and Y (N C H W) = {shape}; make them equal")


def dtype_of(*arrays):
    """The common dtype of the floating arrays, or float64: what compiled twins compute in.  None is passed over."""
    return np.result_type(*[a.dtype for a in arrays if a is not None and a.dtype.kind == "f"] or [float])
