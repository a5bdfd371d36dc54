"""Layer normalisation: each example's features get mean 0 and variance 1, then a learned scale and shift.

    (1)  mu = 1/D sum_d x[d]                                Ba et al. 2016, eq. 3
    (2)  r = 1 / sqrt(1/D sum_d (x[d] - mu)^2 + eps)        Ba et al. 2016, eq. 3
    (3)  z[d] = (x[d] - mu) r
    (4)  y[d] = gain[d] z[d] + bias[d]                      Ba et al. 2016, eq. 4
    (5)  dgain[d] = sum_n dy[n,d] z[n,d]
    (6)  dbias[d] = sum_n dy[n,d]
    (7)  dz[d] = dy[d] gain[d]
    (8)  dx[d] = r (dz[d] - mean(dz) - z[d] mean(dz z))     mean over d

x, y (..., D)   gain, bias (D)    D features, N rows (all leading axes together); (1)-(4), (7), (8) hold for each row
Ba, Kiros and Hinton 2016, arXiv:1607.06450.
"""

import numpy as np

from tinynet import nn
from tinynet.backend import at_least
from tinynet.engine import Op
from tinynet.jit import contiguous, parts_of, prange, reordering_jit
from tinynet.ops.broadcasting import summed
from tinynet.shapes import sizes


def _check(x, gain, bias):
    D, = sizes("x: ... D, gain: D, bias: D", x, gain, bias)
    if D == 0:
        raise ValueError(f"layer_norm: x has shape {x.shape}, and no features have no mean; give it at least 1")


# %% 1. The mathematics
def layer_norm_forward(x, gain, bias, eps=1e-5):
    """Normalise x (..., D) over its last axis, then scale by gain (D) and shift by bias (D)."""
    _check(x, gain, bias)
    mu = x.mean(axis=-1)                                                # (1)
    z = x - mu[..., None]
    r = 1 / np.sqrt((z * z).mean(axis=-1) + eps)                        # (2)
    z *= r[..., None]                                                   # (3)
    return gain * z + bias, (x, gain, mu, r)                            # (4)


def layer_norm_backward(dy, cache):
    x, gain, mu, r = cache
    z = (x - mu[..., None]) * r[..., None]                              # (3)
    rows = tuple(range(x.ndim - 1))
    dgain, dbias = summed(dy * z, rows), summed(dy, rows)               # (5) (6)
    dz = dy * gain                                                      # (7)
    dx = dz - dz.mean(axis=-1, keepdims=True) - z * (dz * z).mean(axis=-1, keepdims=True)   # (8)
    return dx * r[..., None], dgain, dbias                              # (8)


# %% 2. The fast twin
@reordering_jit
def _normalise(X, gain, bias, eps, Y, mu, r):
    N, D = X.shape
    for n in prange(N):
        total = square = X.dtype.type(0)
        for d in range(D):
            total += X[n, d]                                            # (1)
        mu[n] = mean = total / X.dtype.type(D)                          # (1)
        for d in range(D):
            square += (X[n, d] - mean) * (X[n, d] - mean)               # (2)
        r[n] = 1 / np.sqrt(square / X.dtype.type(D) + eps)              # (2)
        for d in range(D):
            Y[n, d] = gain[d] * ((X[n, d] - mu[n]) * r[n]) + bias[d]    # (3) (4)


@reordering_jit
def _through_norm(dY, X, gain, mu, r, dX, dgain, dbias):
    """dX, and for each part of the rows a dgain and dbias."""
    (N, D), parts = X.shape, len(dgain)
    for part in prange(parts):
        for n in range(part * N // parts, (part + 1) * N // parts):
            total = products = X.dtype.type(0)
            for d in range(D):
                dz = dY[n, d] * gain[d]                                 # (7)
                total += dz                                             # (8)
                products += dz * ((X[n, d] - mu[n]) * r[n])             # (8)
            mean, slope = total / X.dtype.type(D), products / X.dtype.type(D)   # (8)
            for d in range(D):
                z = (X[n, d] - mu[n]) * r[n]                            # (3)
                dX[n, d] = r[n] * (dY[n, d] * gain[d] - mean - z * slope)       # (8)
                dgain[part, d] += dY[n, d] * z                          # (5)
                dbias[part, d] += dY[n, d]                              # (6)


def layer_norm_forward_fast(x, gain, bias, eps=1e-5):
    _check(x, gain, bias)
    x, gain, bias = contiguous(x, gain, bias)
    y, mu, r = np.empty_like(x), np.empty(x.shape[:-1], x.dtype), np.empty(x.shape[:-1], x.dtype)
    N, D = mu.size, gain.size
    _normalise(x.reshape(N, D), gain, bias, x.dtype.type(eps), y.reshape(N, D), mu.reshape(N), r.reshape(N))
    return y, (x, gain, mu, r)


def layer_norm_backward_fast(dy, cache):
    dy, x, gain, mu, r = contiguous(dy, *cache)
    N, D = mu.size, gain.size
    dx, dgain, dbias = np.empty_like(x), *np.zeros((2, parts_of(N), D), x.dtype)
    _through_norm(dy.reshape(N, D), x.reshape(N, D), gain, mu.reshape(N), r.reshape(N), dx.reshape(N, D), dgain, dbias)
    return dx, summed(dgain, (0,)), summed(dbias, (0,))


# %% 3. The op
layer_norm = Op(layer_norm_forward, layer_norm_backward,
                fast=(layer_norm_forward_fast, layer_norm_backward_fast), fast_when=at_least(65536))


# %% 4. The module
class LayerNorm(nn.Module):
    """x (..., D) -> y (..., D); gain (D) starts at 1 and bias (D) at 0, so y starts with mean 0 and variance 1."""

    def __init__(self, features, eps=1e-5, dtype=np.float32):
        self.gain = nn.Parameter(np.ones(features, dtype))
        self.bias = nn.Parameter(np.zeros(features, dtype))
        self.eps = eps

    def forward(self, x):
        return layer_norm(x, self.gain, self.bias, eps=self.eps)
