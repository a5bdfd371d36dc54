"""Pooling: one number for each window of an image, its largest or its mean.

    (1)  Y[n,c,i,j] = max_rs Xp[n, c, u i + r, u j + s]                     csc321 block
    (2)  dXp[n, c, u i + r, u j + s] += dY[n,c,i,j] where (r, s) is the first tap with that maximum
    (3)  Y[n,c,i,j] = 1 / (R S) sum_rs Xp[n, c, u i + r, u j + s]
    (4)  dXp[n, c, u i + r, u j + s] += dY[n,c,i,j] / (R S)
    (5)  Y[n,c] = 1 / (H W) sum_ij X[n,c,i,j]                               He et al. 2016, the net's last pooling
    (6)  dX[n,c,i,j] = dY[n,c] / (H W)

X (N, C, H, W)     Xp is X with a margin: of -infinity for the maximum, of zeros for the mean, which counts them (so do
                   PyTorch's); the global mean (5) has neither window nor margin
Y (N, C, Ho, Wo)   Ho = (H + 2 padding - R) // u + 1;  (N, C) for the global mean
N images, C channels, R x S window, u stride.  Where several taps tie the gradient goes to the first, as in PyTorch.
Lesson: convolution
"""

import numpy as np

from tinynet import nn
from tinynet.backend import at_least
from tinynet.blocks.images.batch_last import aligned, batch_first, batch_last
from tinynet.blocks.images.windows import must_be_of_shape, must_be_pixels, pair, walk
from tinynet.engine import Op
from tinynet.jit import floating, inner_jit, parallel_jit, prange
from tinynet.shapes import ShapeError, block_name, sizes


def _windows(X, size, stride, padding):
    sizes("X: N C H W", X)
    must_be_pixels(X)
    _must_pad_by_half(size, stride, padding, block_name(2))
    return walk(X, size, size if stride is None else stride, padding)


def _must_pad_by_half(size, stride, padding, block):
    pair("stride", 1 if stride is None else stride, 1, block)
    if any(2 * p > n for p, n in zip(pair("padding", padding, 0, block), pair("size", size, 1, block), strict=True)):
        raise ValueError(f"{block}: padding is {padding} and the window {size}; pad by at most half of the window, as "
                         "in PyTorch")


# %% 1. The mathematics
def max_pool_forward(X, size=2, stride=None, padding=0):
    """The largest number of each window; the stride is the window's size unless it is given.

    Raises ShapeError, TypeError and ValueError for images and settings that don't fit each other.
    """
    way = _windows(X, size, stride, padding)
    Xp = way.padded(X.astype(floating(X), copy=False), -np.inf)
    Y = np.full_like(way.at(Xp, 0, 0), -np.inf)
    first = np.empty_like(Y, dtype=np.min_scalar_type(way.size[0] * way.size[1]))
    top, left = (np.maximum(0, p - u * np.arange(n)) for p, u, n in zip(way.padding, way.stride, way.out, strict=True))
    first[...] = top[:, None] * way.size[1] + left      # the first tap inside: it wins where all are -infinity
    for tap, (r, s) in enumerate(way.taps()):
        seen = way.at(Xp, r, s)
        larger = (seen > Y) | np.isnan(seen)
        Y[larger], first[larger] = seen[larger], tap                        # (1)
    return Y, (first, way)


def max_pool_backward(dY, cache):
    first, way = cache
    must_be_of_shape(dY, first.shape)
    dXp = np.zeros_like(dY, shape=(*dY.shape[:2], *way.room()))
    for tap, (r, s) in enumerate(way.taps()):
        seen = way.at(dXp, r, s)
        seen += np.where(first == tap, dY, dY.dtype.type(0))                # (2)
    return way.inside(dXp)


def average_pool_forward(X, size=2, stride=None, padding=0):
    """The mean of each window; the stride is the window's size unless it is given.

    Raises ShapeError, TypeError and ValueError for images and settings that don't fit each other.
    """
    way = _windows(X, size, stride, padding)
    Xp = way.padded(X.astype(floating(X), copy=False))
    Y = np.zeros_like(way.at(Xp, 0, 0))
    for r, s in way.taps():
        Y += way.at(Xp, r, s)                                               # (3)
    return Y / Y.dtype.type(way.size[0] * way.size[1]), way                 # (3)


def average_pool_backward(dY, way):
    must_be_of_shape(dY, (*dY.shape[:2], *way.out))                         # `way` knows neither N nor C
    dXp = np.zeros_like(dY, shape=(*dY.shape[:2], *way.room()))
    share = dY / dY.dtype.type(way.size[0] * way.size[1])                   # (4)
    for r, s in way.taps():
        seen = way.at(dXp, r, s)
        seen += share                                                       # (4)
    return way.inside(dXp)


def global_average_forward(X):
    """X (N, C, H, W) -> the mean of each channel, (N, C): PyTorch's AdaptiveAvgPool2d(1) and Flatten.

    Raises ShapeError where there are no pixels.
    """
    _, _, H, W = sizes("X: N C H W", X)
    must_be_pixels(X)
    if H * W == 0:
        raise ShapeError(f"global_average: X (N C H W) = {X.shape} has no pixels, which have no mean; give it some")
    return X.mean(axis=(2, 3)), X.shape                                     # (5)


def global_average_backward(dY, shape):
    if dY.shape != shape[:2]:
        raise ShapeError(f"global_average: dY has shape {dY.shape} and Y (N C) = {shape[:2]}; make them equal")
    share = dY / shape[2] / shape[3]            # one after the other, for H W may overflow in float16
    return np.broadcast_to(share[:, :, None, None], shape)                  # (6)


FEW = 16        # images, below which a vector along them would be short


# %% 2. The fast twin: of the maximum; the means are sums of whole arrays, which NumPy does as fast as memory allows
@inner_jit
def _keep_larger(seen, tap, y, f):
    number = f.dtype.type
    tap = number(tap)
    for n in range(len(seen)):
        pixel, largest, first = seen[n], y[n], f[n]
        larger = (pixel > largest) | (pixel != pixel)
        y[n] = pixel if larger else largest                                 # (1)
        f[n] = first + number(larger) * (tap - first)       # tap where larger; a second choice would become a branch


@inner_jit
def _keep_larger_along(row, tap, v, at, y, f):
    """The same for few images, whose vectors would be short: along a row (W, N), from window to window."""
    (W, N), Wo, tap = row.shape, len(y), f.dtype.type(tap)
    for n in range(N):
        for j in range(max(0, -(at // v)), min(Wo, (W - 1 - at) // v + 1)):
            pixel = row[v * j + at, n]
            if pixel > y[j, n] or pixel != pixel:
                y[j, n], f[j, n] = pixel, tap                               # (1)


@inner_jit
def _add_where(f, tap, dy, d):
    tap, zero = f.dtype.type(tap), d.dtype.type(0)
    for n in range(len(d)):
        d[n] += dy[n] if f[n] == tap else zero                              # (2)


@parallel_jit
def _largest(x, Y, first, R, S, u, v, p, q):
    """x (C, H, W, N) -> Y, first (C, Ho, Wo, N); a channel owns its windows."""
    (C, H, W, N), (_, Ho, Wo, _) = x.shape, Y.shape
    for c in prange(C):
        for i in range(Ho):
            above = max(0, p - u * i)                                       # taps in the margin
            for j in range(Wo):
                y, f, inside = Y[c, i, j], first[c, i, j], above * S + max(0, q - v * j)
                for n in range(N):
                    y[n] = -np.inf
                    f[n] = inside
                if N >= FEW:
                    for h in range(max(0, u * i - p), min(H, u * i - p + R)):
                        for w in range(max(0, v * j - q), min(W, v * j - q + S)):
                            _keep_larger(x[c, h, w], (h - u * i + p) * S + w - v * j + q, y, f)     # (1)
            if N < FEW:
                for r in range(above, min(R, H - u * i + p)):
                    for s in range(S):
                        _keep_larger_along(x[c, u * i - p + r], r * S + s, v, s - q, Y[c, i], first[c, i])  # (1)


@parallel_jit
def _to_the_first(dY, first, dx, R, S, u, v, p, q):
    """dx (C, H, W, N) from dY; a channel owns its pixels."""
    (C, H, W, _), (_, Ho, Wo, _) = dx.shape, dY.shape
    for c in prange(C):
        dx[c] = 0
        for i in range(Ho):
            for j in range(Wo):
                dy, f = dY[c, i, j], first[c, i, j]
                for h in range(max(0, u * i - p), min(H, u * i - p + R)):
                    for w in range(max(0, v * j - q), min(W, v * j - q + S)):
                        _add_where(f, (h - u * i + p) * S + w - v * j + q, dy, dx[c, h, w])     # (2)


def max_pool_forward_fast(X, size=2, stride=None, padding=0):
    way, x = _windows(X, size, stride, padding), batch_last(X)
    out = (len(x), *way.out, x.shape[3])
    Y, first = aligned(out, x.dtype), np.empty(out, np.min_scalar_type(way.size[0] * way.size[1]))
    _largest(x, Y, first, *way.size, *way.stride, *way.padding)
    return batch_first(Y), (batch_first(first), way)


def max_pool_backward_fast(dY, cache):
    first, way = cache
    must_be_of_shape(dY, first.shape)
    dy, first = batch_last(dY), np.require(first.transpose(1, 2, 3, 0), None, ["C", "A", "W"])
    dx = aligned((len(dy), *way.image, dy.shape[3]), dy.dtype)
    _to_the_first(dy, first, dx, *way.size, *way.stride, *way.padding)
    return batch_first(dx)


# %% 3. The ops
max_pool = Op(max_pool_forward, max_pool_backward, fast=(max_pool_forward_fast, max_pool_backward_fast),
              fast_when=at_least(4096))
average_pool = Op(average_pool_forward, average_pool_backward)
global_average = Op(global_average_forward, global_average_backward)


# %% 4. The modules
class MaxPool(nn.Module):
    """X (N, C, H, W) -> (N, C, Ho, Wo), the largest number of each window; settings as in max_pool."""

    def __init__(self, size=2, stride=None, padding=0):
        _must_pad_by_half(size, stride, padding, "MaxPool")
        self.settings = dict(size=size, stride=stride, padding=padding)

    def forward(self, X):
        return max_pool(X, **self.settings)


class AveragePool(nn.Module):
    """X (N, C, H, W) -> (N, C, Ho, Wo), the mean of each window; settings as in average_pool."""

    def __init__(self, size=2, stride=None, padding=0):
        _must_pad_by_half(size, stride, padding, "AveragePool")
        self.settings = dict(size=size, stride=stride, padding=padding)

    def forward(self, X):
        return average_pool(X, **self.settings)


class GlobalAverage(nn.Module):
    """X (N, C, H, W) -> (N, C), the mean of each channel: PyTorch's AdaptiveAvgPool2d(1) and Flatten."""

    def forward(self, X):
        return global_average(X)
