"""Transposed convolution: what a convolution's backward does to dY, as a layer of its own; it makes images larger.

    (1)  Y[n, k, u i + e r - p, u j + e s - q] += sum_c X[n,c,i,j] W[c,k,r,s] + b[k], all r, s, i, j
    (2)  dX[n,c,i,j] = sum_krs W[c,k,r,s] dYp[n, k, u i + e r, u j + e s]        conv's equation 1
    (3)  dW[c,k,r,s] = sum_nij X[n,c,i,j] dYp[n, k, u i + e r, u j + e s]        conv's equation 3
    (4)  db[k] = sum_nij dY[n,k,i,j]

X (N, C, H, W)      images
W (C, K / G, R, S)  the filters of the convolution (K -> C channels) whose backward this is
b (K)               or None, once for each pixel of Y
Y (N, K, Ho, Wo)    Ho = (H - 1) u - 2 p + e (R - 1) + 1 + extra;  dYp is dY with the margin p, q
N images, C channels in, K channels out, u stride, e dilation, G groups
Dumoulin and Visin 2016, arXiv:1603.07285, chapter 4.
"""

import numpy as np

from tinynet import nn
from tinynet.backend import at_least
from tinynet.blocks.images.conv import (
    chosen,
    conv_forward,
    conv_forward_fast,
    filter_gradient,
    filter_gradient_fast,
    image_gradient,
    image_gradient_fast,
)
from tinynet.blocks.images.windows import (
    Windows,
    must_be_of_shape,
    must_be_pixels,
    must_fall_into_groups,
    must_have_channels,
    pair,
)
from tinynet.engine import Op
from tinynet.shapes import ShapeError, must_be_whole, sizes


def _windows(X, W, b, stride, padding, dilation, groups, extra):
    """The windows that the convolution K -> C walks over Y."""
    _, C, *image = sizes("X: N C H W", X)
    _, k, *size = sizes("W: C K R S", W)
    must_be_pixels(X)
    must_have_channels(X, len(W), f"W (C K R S) = {W.shape} has")
    must_fall_into_groups(C, groups, f"W (C K R S) = {W.shape} has C")
    if b is not None and b.shape != (k * groups,):
        raise ShapeError(f"conv_transpose: b has shape {b.shape} and Y has {k * groups} channels; give b one number "
                         "for each")
    size, stride, padding, dilation, extra = _pairs("conv_transpose", size, stride, padding, dilation, extra)
    out = tuple((h - 1) * u - 2 * p + e * (r - 1) + 1 + x for h, r, u, p, e, x in
                zip(image, size, stride, padding, dilation, extra, strict=True))
    if min(out) < 1 or 0 in image:
        raise ShapeError(f"conv_transpose: X (N C H W) = {X.shape} would give images of {out[0]} x {out[1]} pixels; "
                         "take less padding or larger images")
    return Windows(size, stride, padding, dilation, out, tuple(image))


def _pairs(block, size, stride, padding, dilation, extra):
    size, stride, dilation = (pair(name, value, 1, block) for name, value in
                              (("size", size), ("stride", stride), ("dilation", dilation)))
    padding, extra = pair("padding", padding, 0, block), pair("extra", extra, 0, block)
    if any(x >= u for x, u in zip(extra, stride, strict=True)):
        raise ValueError(f"{block}: extra is {extra} and the stride {stride}; extra must be less than the stride")
    return size, stride, padding, dilation, extra


# %% 1. The mathematics
def conv_transpose_forward(X, W, b=None, stride=1, padding=0, dilation=1, groups=1, extra=0):
    """Add X[n,c,i,j] times its filter around each place; settings as in conv.

    extra  rows and columns at the end of Y: a convolution of stride u takes u image sizes to one, and this names which
    Raises ShapeError and ValueError for arrays and settings that don't fit each other.
    """
    way = _windows(X, W, b, stride, padding, dilation, groups, extra)
    Y = image_gradient(X, W, way, groups)                               # (1)
    return Y if b is None else Y + b[:, None, None], (X, W, b is not None, way, groups, None)  # (1)


def conv_transpose_backward(dY, cache):
    X, W, has_b, way, groups, _ = cache
    must_be_of_shape(dY, (len(X), W.shape[1] * groups, *way.image))
    dX, _ = conv_forward(dY, W, None, way.stride, way.padding, way.dilation, groups)           # (2)
    return dX, filter_gradient(X, dY, way, groups), dY.sum(axis=(0, 2, 3)) if has_b else None  # (3) (4)


# %% 2. The fast twin: conv's
def conv_transpose_forward_fast(X, W, b=None, stride=1, padding=0, dilation=1, groups=1, extra=0):
    way = _windows(X, W, b, stride, padding, dilation, groups, extra)
    method = chosen(way, len(X), W.shape[1] * groups, len(W), groups)   # the backward takes the same
    Y = image_gradient_fast(X, W, way, groups, method)                  # (1)
    return Y if b is None else Y + b[:, None, None], (X, W, b is not None, way, groups, method)    # (1)


def conv_transpose_backward_fast(dY, cache):
    X, W, has_b, way, groups, method = cache
    must_be_of_shape(dY, (len(X), W.shape[1] * groups, *way.image))
    dX, _ = conv_forward_fast(dY, W, None, way.stride, way.padding, way.dilation, groups, method)  # (2)
    dW = filter_gradient_fast(X, dY, way, groups, method)               # (3)
    return dX, dW, dY.sum(axis=(0, 2, 3)) if has_b else None            # (4)


# %% 3. The op
conv_transpose = Op(conv_transpose_forward, conv_transpose_backward,
                    fast=(conv_transpose_forward_fast, conv_transpose_backward_fast), fast_when=at_least(4096))


# %% 4. The module
class ConvTranspose(nn.Module):
    """X (N, C_in, H, W) -> (N, C_out, Ho, Wo); settings as in conv_transpose.

    W starts with variance 2 / fan_in, where fan_in counts the products in one number of Y, R S C_in / (groups u v) with
    a stride of (u, v); b starts at 0; rng is a seed or np.random.Generator.
    Raises ValueError for settings that no image could fit.
    """

    def __init__(self, C_in, C_out, size, stride=1, padding=0, dilation=1, groups=1, extra=0, bias=True, rng=None,
                 dtype=np.float32):
        for count, whose in ((C_in, "C_in"), (C_out, "C_out")):
            must_be_whole("ConvTranspose", whose, count, 0)
            must_fall_into_groups(count, groups, whose, "ConvTranspose")
        (R, S), (u, v), *_ = _pairs("ConvTranspose", size, stride, padding, dilation, extra)
        W = np.random.default_rng(rng).normal(size=(C_in, C_out // groups, R, S))
        self.W = nn.Parameter((W * np.sqrt(2 * groups * u * v / max(C_in * R * S, 1))).astype(dtype))
        self.b = nn.Parameter(np.zeros(C_out, dtype)) if bias else None
        self.settings = dict(stride=stride, padding=padding, dilation=dilation, groups=groups, extra=extra)

    def forward(self, X):
        return conv_transpose(X, self.W, self.b, **self.settings)
