"""Convolution: the same few weights look at every place of an image.

    (1)  Y[n,k,i,j] = b[k] + sum_crs W[k,c,r,s] Xp[n, c, u i + e r, u j + e s]          csc321 cnn-jacobian
    (2)  dXp[n, c, u i + e r, u j + e s] += sum_k W[k,c,r,s] dY[n,k,i,j], all r, s, i, j    csc321 cnn-jacobian
    (3)  dW[k,c,r,s] = sum_nij dY[n,k,i,j] Xp[n, c, u i + e r, u j + e s]               csc321 cnn-jacobian
    (4)  db[k] = sum_nij dY[n,k,i,j]

X (N, C, H, W)      images; Xp is X with a margin of zeros
W (K, C / G, R, S)  K filters of R x S taps
b (K)               or None
Y (N, K, Ho, Wo)    Ho = (H + 2 padding - e (R - 1) - 1) // u + 1
N images, C channels, H height, W width (and the filters' name), u stride, e dilation
G groups: filters k of group g see the channels c of group g alone
Dumoulin and Visin 2016, arXiv:1603.07285.   Lessons: convolution, fast_convolution
"""

import numpy as np

from tinynet import nn
from tinynet.backend import at_least
from tinynet.blocks.images.batch_last import batch_first, batch_last
from tinynet.blocks.images.conv import direct, few_images, im2col, winograd
from tinynet.blocks.images.windows import (
    dtype_of,
    must_be_of_shape,
    must_be_pixels,
    must_fall_into_groups,
    must_have_channels,
    pair,
    walk,
)
from tinynet.engine import Op, Tensor
from tinynet.jit import contiguous
from tinynet.shapes import must_be_whole, sizes

METHODS = "direct", "winograd", "few_images", "im2col"      # of the fast twin, see below


def _windows(X, W, b, stride, padding, dilation, groups, method):
    sizes("X: N C H W", X)
    K, channels, R, S = sizes("W: K C R S, b: K", W, b)
    must_fall_into_groups(K, groups, f"W (K C R S) = {W.shape} has K")
    must_be_pixels(X)
    must_have_channels(X, channels * groups, f"W (K C R S) = {W.shape} with groups={groups} needs")
    windows = walk(X, (R, S), stride, padding, dilation)
    _must_be_a_method(method)
    return windows


def _must_be_a_method(method, block="conv"):
    if method is not None and method not in METHODS:
        raise ValueError(f"{block}: there is no method {method!r}; choose one of {', '.join(METHODS)}, or None")


# %% 1. The mathematics
def conv_forward(X, W, b=None, stride=1, padding=0, dilation=1, groups=1, method=None, need_dX=True):
    """Convolve X (N, C, H, W) with the filters W (K, C / groups, R, S).

    stride, padding, dilation  numbers or pairs (along the height, along the width)
    method   of the fast twin: "winograd", "direct", "im2col", "few_images", or None for the one that was measured to
             be the fastest; winograd and few_images round more, relative to the largest numbers of a tile of 6 x 6
             pixels (see conv/winograd.py): for the last digits take another, or `use_winograd(False)` for whole nets
    need_dX  False: backward returns None for dX, e.g. at the first layer
    Raises ShapeError, TypeError and ValueError for arrays and settings that don't fit each other.
    """
    way = _windows(X, W, b, stride, padding, dilation, groups, method)
    N, K, Xp = len(X), len(W), way.padded(X)
    w = W.reshape(groups, K // groups, *W.shape[1:])
    Y = np.zeros((N, groups, K // groups, way.out[0] * way.out[1]), dtype_of(X, W, b))
    for r, s in way.taps():
        Y += w[..., r, s] @ _columns(way.at(Xp, r, s), groups)                  # (1)
    Y = Y.reshape(N, K, *way.out)
    if b is not None:
        Y += b[:, None, None]                                                   # (1)
    return Y, (X, W, b is not None, way, groups, method, need_dX)


def conv_backward(dY, cache):
    X, W, has_b, way, groups, _, need_dX = cache
    must_be_of_shape(dY, (len(X), len(W), *way.out))
    dX = image_gradient(dY, W, way, groups) if need_dX else None
    return dX, filter_gradient(dY, X, way, groups), dY.sum(axis=(0, 2, 3)) if has_b else None      # (4)


def image_gradient(dY, W, way, groups):
    w, dy = W.reshape(groups, len(W) // groups, *W.shape[1:]), _columns(dY, groups)
    dXp = np.zeros((len(dY), W.shape[1] * groups, *way.room()), dtype_of(dY, W))
    for r, s in way.taps():
        seen = way.at(dXp, r, s)
        seen += (w[..., r, s].swapaxes(1, 2) @ dy).reshape(seen.shape)          # (2)
    return way.inside(dXp)


def filter_gradient(dY, X, way, groups):
    Xp, dy = way.padded(X), _columns(dY, groups)
    dw = np.empty((groups, dy.shape[2], X.shape[1] // groups, *way.size), dtype_of(dY, X))
    for r, s in way.taps():
        dw[..., r, s] = (dy @ _columns(way.at(Xp, r, s), groups).swapaxes(2, 3)).sum(axis=0)    # (3)
    return dw.reshape(groups * dw.shape[1], *dw.shape[2:])


def _columns(X, groups):
    """X (N, C, H, W) as (N, groups, C / groups, H W)."""
    N, C, H, W = X.shape
    return X.reshape(N, groups, C // groups, H * W)


# %% 2. The fast twin: four forms, of which one rule chooses; each works on (C, H, W, N), one file each
FORMS = dict(zip(METHODS, (direct, winograd, few_images, im2col), strict=True))
_winograd = True


class use_winograd:
    """May convolutions that name no method take Winograd's forms, which round more?  They may until this says False.

    It takes effect at once and for good, inside nets, too.  As a context (`with use_winograd(False):`) it is undone at
    the end.  A backward takes the form that its forward took.  Raises TypeError unless `allowed` is True or False.
    """

    def __init__(self, allowed):
        global _winograd
        if not isinstance(allowed, bool):
            raise TypeError(f"use_winograd: allowed is {allowed!r}; give True or False")
        self.before, _winograd = _winograd, allowed

    def __enter__(self):
        return self

    def __exit__(self, *_):
        global _winograd
        _winograd = self.before


def chosen(way, N, C, K, groups, method=None):
    """The method for these windows over N images of C channels by K filters: `method` itself, or the fastest of those
    that `use_winograd` allows.  Raises ValueError for a method that doesn't do such windows.
    """
    if method is not None:
        if not FORMS[method].does(way, groups):
            raise ValueError(f"conv: the method {method} does {FORMS[method].DOES}; leave method out")
        return method
    if _winograd and N >= 16 and C >= 8 and winograd.does(way, groups):
        return "winograd"
    if N >= 16 and direct.does(way, groups):
        return "direct"
    if _winograd and few_images.does(way, groups) and few_images.worthwhile(way, N, C, K):
        return "few_images"
    return "im2col"


def conv_forward_fast(X, W, b=None, stride=1, padding=0, dilation=1, groups=1, method=None, need_dX=True):
    way = _windows(X, W, b, stride, padding, dilation, groups, method)
    method = chosen(way, *X.shape[:2], len(W), groups, method)      # the backward takes the same
    x, w, bias = contiguous(X.transpose(1, 2, 3, 0), W, b)
    y = FORMS[method].forward(x, w, way, groups)                                # (1)
    if b is not None:
        y += bias[:, None, None, None]                                          # (1)
    return batch_first(y), (X, W, b is not None, way, groups, method, need_dX)


def conv_backward_fast(dY, cache):
    X, W, has_b, way, groups, method, need_dX = cache
    must_be_of_shape(dY, (len(X), len(W), *way.out))
    dX = image_gradient_fast(dY, W, way, groups, method) if need_dX else None
    dW = filter_gradient_fast(dY, X, way, groups, method)
    return dX, dW, batch_last(dY).sum(axis=(1, 2, 3)) if has_b else None        # (4)


def image_gradient_fast(dY, W, way, groups, method=None):
    form = FORMS[chosen(way, len(dY), W.shape[1] * groups, len(W), groups, method)]
    dy, w = contiguous(dY.transpose(1, 2, 3, 0), W)
    return batch_first(form.image_gradient(dy, w, way, groups))                 # (2)


def filter_gradient_fast(dY, X, way, groups, method=None):
    form = FORMS[chosen(way, *X.shape[:2], dY.shape[1], groups, method)]
    return form.filter_gradient(*batch_last(dY, X), way, groups)                # (3)


# %% 3. The op
conv = Op(conv_forward, conv_backward, fast=(conv_forward_fast, conv_backward_fast), fast_when=at_least(4096))


# %% 4. The module
class Conv(nn.Module):
    """X (N, C_in, H, W) -> (N, C_out, Ho, Wo).

    size    of the filters, a number or a pair; stride, padding, dilation, groups and method as in conv;
            `use_winograd(False)` keeps whole nets from Winograd's rounding
    bias    False where a batch norm follows, which takes it away again
    W starts He-normal (variance 2 / fan_in, for a ReLU behind it), b at 0; rng is a seed or np.random.Generator.
    Raises ValueError for settings that no image could fit.
    """

    def __init__(self, C_in, C_out, size, stride=1, padding=0, dilation=1, groups=1, bias=True, method=None, rng=None,
                 dtype=np.float32):
        for count, whose in ((C_in, "C_in"), (C_out, "C_out")):
            must_be_whole("Conv", whose, count, 0)
            must_fall_into_groups(count, groups, whose, "Conv")
        for name, value, least in (("stride", stride, 1), ("padding", padding, 0), ("dilation", dilation, 1)):
            pair(name, value, least, "Conv")
        _must_be_a_method(method, "Conv")
        size = pair("size", size, 1, "Conv")
        fan_in = C_in // groups * size[0] * size[1]
        self.W = nn.Parameter(nn.he_normal(rng, (C_out, fan_in), dtype).reshape(C_out, C_in // groups, *size))
        self.b = nn.Parameter(np.zeros(C_out, dtype)) if bias else None
        self.settings = dict(stride=stride, padding=padding, dilation=dilation, groups=groups, method=method)

    def forward(self, X):
        wanted = isinstance(X, Tensor) and X.requires_grad
        return conv(X, self.W, self.b, **self.settings, need_dX=wanted)
