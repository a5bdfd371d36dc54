"""Batch norm: each channel gets mean 0 and variance 1 over the batch, then a learned scale and shift.

    (1)  mu[c] = mean_nij X[n,c,i,j]                            Ioffe and Szegedy 2015, Algorithm 1
    (2)  v[c] = mean_nij (X[n,c,i,j] - mu[c])^2                 Algorithm 1
    (3)  r[c] = 1 / sqrt(v[c] + eps)
    (4)  Z = (X - mu) r
    (5)  Y = relu(gain Z + bias + skip), relu and skip where they are asked for     Algorithm 1; shi fig3
    (6)  dP = dY 1[Y > 0], dY without relu                      P what the relu gets
    (7)  dskip = dP
    (8)  dbias[c] = sum_nij dP
    (9)  dgain[c] = sum_nij dP Z
    (10)  dX = gain r (dP - mean_nij dP - Z mean_nij (dP Z))    mu and v depend on X, too
    (11)  dX = gain r dP                                        where mu and v are fixed: in evaluation

X, Y, skip (N, C, H, W)   gain, bias, mu, v, r (C)   N images, C channels
Why (10): dZ = gain dP.  A shift of X moves mu with it, so the mean of dZ has no effect; a stretch of X moves r with it,
so the part of dZ along Z has none.  What is left is dZ less its mean less its part along Z.
One pass for norm, skip and relu saves reading and writing the images twice.   Ioffe and Szegedy 2015, arXiv:1502.03167.
Lesson: convolution
"""

from numbers import Real

import numpy as np

from tinynet import nn
from tinynet.backend import at_least
from tinynet.blocks.images.batch_last import aligned, batch_first
from tinynet.blocks.images.windows import (
    dtype_of,
    must_be_of_shape,
    must_be_pixels,
    must_have_channels,
    must_not_be_negative,
)
from tinynet.engine import Op
from tinynet.jit import contiguous, inner_jit, parallel_jit, prange, reordering_inner_jit
from tinynet.shapes import ShapeError, must_be_whole, sizes


def _checked(X, gain, bias, skip, eps, fixed):
    """X in the dtype in which both twins compute, once it is sure that all fits."""
    must_not_be_negative(eps, "batch_norm")
    sizes("X: N C H W", X)
    must_be_pixels(X)
    must_have_channels(X, *sizes("gain: C", gain), f"gain (C) = {gain.shape} has")
    N, _, H, W = sizes("X: N C H W, gain: C, bias: C, skip: N C H W", X, gain, bias, skip)
    if fixed is not None:
        if len(fixed) != 2:
            raise ValueError(f"batch_norm: fixed has length {len(fixed)}; give two arrays, (mean, variance)")
        sizes("gain: C, mean: C, variance: C", gain, *map(np.asarray, fixed))
    elif N * H * W < 2:
        raise ShapeError(f"batch_norm: X (N C H W) = {X.shape} has N H W = {N * H * W} numbers a channel, and their "
                         "variance needs 2 or more; give more images, or call eval() on the net")
    return X.astype(dtype_of(X, gain, bias, skip), copy=False)


def _each(channel):
    """(C) beside (N, C, H, W)."""
    return channel[:, None, None]


# %% 1. The mathematics
def batch_norm_forward(X, gain, bias, skip=None, relu=False, eps=1e-5, fixed=None, observe=None):
    """Normalise each channel of X (N, C, H, W), scale by gain (C), shift by bias (C), add skip, and cut off below 0.

    fixed    (mean, variance), each (C), in place of the batch's own: evaluation
    observe  observe(mean, variance, M) is called with the batch's own, each (C), and with how many numbers they are of
    Raises ShapeError, e.g. where a channel has fewer than 2 numbers to take a variance of, TypeError and ValueError.
    """
    X = _checked(X, gain, bias, skip, eps, fixed)
    if fixed is None:
        mu = X.mean(axis=(0, 2, 3))                                         # (1)
        v = ((X - _each(mu)) ** 2).mean(axis=(0, 2, 3))                     # (2)
        if observe:
            observe(mu, v, len(X) * X.shape[2] * X.shape[3])
    else:
        mu, v = (np.asarray(a, X.dtype) for a in fixed)
    r = 1 / np.sqrt(v + v.dtype.type(eps))                                  # (3)
    Y = _each(gain) * ((X - _each(mu)) * _each(r)) + _each(bias)            # (4) (5)
    Y = Y if skip is None else Y + skip                                     # (5)
    Y = np.maximum(Y, 0) if relu else Y                                     # (5)
    return Y, (X, gain, mu, r, Y if relu else None, skip is not None, fixed is not None)


def batch_norm_backward(dY, cache):
    X, gain, mu, r, Y, has_skip, fixed = cache
    must_be_of_shape(dY, X.shape)
    dP = dY if Y is None else np.where(Y > 0, dY, dY.dtype.type(0))         # (6)
    Z = (X - _each(mu)) * _each(r)                                          # (4)
    dbias, dgain = dP.sum(axis=(0, 2, 3)), (dP * Z).sum(axis=(0, 2, 3))     # (8) (9)
    dX = _each(gain * r) * dP                                               # (11)
    if not fixed:
        mean, mean_Z = (_each(a.mean(axis=(0, 2, 3))) for a in (dP, dP * Z))    # dbias / M: float16 has no large M
        dX -= _each(gain * r) * (mean + Z * mean_Z)                         # (10)
    return dX, dgain, dbias, dP.copy() if has_skip else None                # (7)


# %% 2. The fast twin, on (C, H W N): a channel is one run of numbers, which stays in the cache from pass to pass
RUN = 4096      # numbers whose sum is taken in the arrays' own precision; the sums of runs are added in float64


@reordering_inner_jit
def _sum(x):
    total = x.dtype.type(0)
    for p in range(len(x)):
        total += x[p]                                                       # (1)
    return total


@reordering_inner_jit
def _squares(x, mu):
    total = x.dtype.type(0)
    for p in range(len(x)):
        total += (x[p] - mu) * (x[p] - mu)                                  # (2)
    return total


@inner_jit
def _scaled(x, mu, a, b, y, relu):
    zero = x.dtype.type(0)                  # zero >= P is false where P is nan, which so reaches y
    for p in range(len(x)):
        P = a * (x[p] - mu) + b                                             # (4) (5)
        y[p] = zero if relu and zero >= P else P                            # (5)


@inner_jit
def _scaled_and_added(x, mu, a, b, skip, y, relu):
    zero = x.dtype.type(0)
    for p in range(len(x)):
        P = a * (x[p] - mu) + b + skip[p]                                   # (4) (5)
        y[p] = zero if relu and zero >= P else P                            # (5)


@parallel_jit
def _normalise(x, gain, bias, skip, with_skip, relu, fixed, eps, mu, v, r, y):
    (C, M), number = x.shape, x.dtype.type
    for c in prange(C):
        if not fixed:
            total = square = 0.0
            for s in range(0, M, RUN):
                total += _sum(x[c, s:s + RUN])                              # (1)
            mu[c] = number(total / M)                                       # (1)
            for s in range(0, M, RUN):
                square += _squares(x[c, s:s + RUN], mu[c])                  # (2)
            v[c] = number(square / M)                                       # (2)
        r[c] = number(1 / np.sqrt(v[c] + eps))                              # (3)
        a = gain[c] * r[c]                                                  # (5)
        for s in range(0, M, RUN):
            if with_skip:
                _scaled_and_added(x[c, s:s + RUN], mu[c], a, bias[c], skip[c, s:s + RUN], y[c, s:s + RUN], relu)
            else:
                _scaled(x[c, s:s + RUN], mu[c], a, bias[c], y[c, s:s + RUN], relu)


@reordering_inner_jit
def _cut(dy, y, relu, dP):
    """dP, and its sum."""
    total = zero = dy.dtype.type(0)
    for p in range(len(dy)):
        d = dy[p] if y[p] > zero or not relu else zero                      # (6)
        dP[p] = d
        total += d                                                          # (8)
    return total


@reordering_inner_jit
def _product(dP, x, mu):
    total = x.dtype.type(0)
    for p in range(len(x)):
        total += dP[p] * (x[p] - mu)                                        # (9)
    return total


@inner_jit
def _back(dx, x, mu, a, b, k):
    """From dP to dX, in place."""
    for p in range(len(x)):
        dx[p] = a * dx[p] + b * (x[p] - mu) + k                             # (10) (11)


@inner_jit
def _copy(dP, dskip):
    for p in range(len(dP)):
        dskip[p] = dP[p]                                                    # (7)


@parallel_jit
def _through_norm(dy, x, gain, mu, r, y, relu, fixed, with_skip, dskip, dx, dgain, dbias):
    """dx holds dP until its sums are known."""
    (C, M), number = x.shape, x.dtype.type
    for c in prange(C):
        total = products = 0.0
        for s in range(0, M, RUN):
            total += _cut(dy[c, s:s + RUN], y[c, s:s + RUN], relu, dx[c, s:s + RUN])        # (8)
            products += _product(dx[c, s:s + RUN], x[c, s:s + RUN], mu[c])  # (9)
        dbias[c] = number(total)                                            # (8)
        dgain[c] = number(products * r[c])                                  # (9)
        a = gain[c] * r[c]                                                  # (11)
        b = number(0) if fixed else number(-a * r[c] * r[c] * products / M)     # (10)
        k = number(0) if fixed else number(-a * total / M)                  # (10)
        for s in range(0, M, RUN):
            if with_skip:
                _copy(dx[c, s:s + RUN], dskip[c, s:s + RUN])
            _back(dx[c, s:s + RUN], x[c, s:s + RUN], mu[c], a, b, k)


def _flat(x):
    """(C, H, W, N) as (C, H W N)."""
    return x.reshape(len(x), x[0].size if len(x) else 0)


def batch_norm_forward_fast(X, gain, bias, skip=None, relu=False, eps=1e-5, fixed=None, observe=None):
    X = _checked(X, gain, bias, skip, eps, fixed)
    x, s, g, b = contiguous(X.transpose(1, 2, 3, 0), None if skip is None else skip.transpose(1, 2, 3, 0), gain, bias)
    y, (mu, v, r) = aligned(x.shape, x.dtype), np.empty((3, len(x)), x.dtype)
    if fixed is not None:
        mu[:], v[:] = fixed
    _normalise(_flat(x), g, b, _flat(x if s is None else s), s is not None, relu, fixed is not None, eps, mu, v, r,
               _flat(y))
    if observe and fixed is None:
        observe(mu, v, len(X) * X.shape[2] * X.shape[3])
    Y = batch_first(y)
    return Y, (X, gain, mu, r, Y if relu else None, skip is not None, fixed is not None)


def batch_norm_backward_fast(dY, cache):
    X, gain, mu, r, Y, has_skip, fixed = cache
    must_be_of_shape(dY, X.shape)
    dy, x, y, gain, mu, r = contiguous(*(None if a is None else a.transpose(1, 2, 3, 0) for a in (dY, X, Y)), gain, mu,
                                       r)
    dx, dgain, dbias = aligned(x.shape, x.dtype), np.empty(len(x), x.dtype), np.empty(len(x), x.dtype)
    dskip = aligned(x.shape, x.dtype) if has_skip else dx
    _through_norm(_flat(dy), _flat(x), gain, mu, r, _flat(x if y is None else y), y is not None, fixed, has_skip,
                  _flat(dskip), _flat(dx), dgain, dbias)
    return batch_first(dx), dgain, dbias, batch_first(dskip) if has_skip else None


# %% 3. The op
batch_norm = Op(batch_norm_forward, batch_norm_backward, fast=(batch_norm_forward_fast, batch_norm_backward_fast),
                fast_when=at_least(4096))


# %% 4. The module
class BatchNorm(nn.Module):
    """X (N, C, H, W) and perhaps skip -> Y (N, C, H, W); gain starts at 1 and bias at 0.

    In training it normalises by the batch's own mean and variance and moves its buffers `mean` and `var` by the share
    `momentum` towards them (the variance with M - 1 in the denominator, as in PyTorch); in evaluation it uses these.
    relu  cut off below 0 after the norm (and after the skip)
    Raises ValueError for channels that are no whole number, a momentum that isn't a share, from 0 to 1, and a negative
    eps.
    """

    def __init__(self, channels, relu=False, eps=1e-5, momentum=0.1, dtype=np.float32):
        must_be_whole("BatchNorm", "channels", channels, 0)
        must_not_be_negative(eps, "BatchNorm")
        if not isinstance(momentum, Real) or not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm: momentum is {momentum!r}; give the share by which buffers move, from 0 to 1")
        self.gain, self.bias = nn.Parameter(np.ones(channels, dtype)), nn.Parameter(np.zeros(channels, dtype))
        self.mean, self.var = nn.Buffer(np.zeros(channels, dtype)), nn.Buffer(np.ones(channels, dtype))
        self.relu, self.eps, self.momentum = relu, eps, momentum

    def statistics(self):
        """What the op needs beside its arrays, in training or in evaluation."""
        if not self.training:
            return dict(eps=self.eps, fixed=(self.mean.data, self.var.data))
        return dict(eps=self.eps, observe=self._observe)

    def _observe(self, mean, var, count):
        for buffer, now in ((self.mean, mean), (self.var, var * (count / max(count - 1, 1)))):
            buffer.data = (buffer.data + self.momentum * (now - buffer.data)).astype(buffer.dtype)

    def forward(self, X, skip=None):
        return batch_norm(X, self.gain, self.bias, skip, relu=self.relu, **self.statistics())
