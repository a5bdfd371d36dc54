"""Activation functions: what a unit does with its weighted sum, entry by entry.

    (1)  sigma(x) = 1 / (1 + e^-x)                       saha sigmoid
    (2)  sigma'(x) = y (1 - y), in [0, 0.25]             saha sigmoid
    (3)  tanh(x) = (e^x - e^-x) / (e^x + e^-x)           LeCun et al. 1998, Efficient BackProp
    (4)  tanh'(x) = 1 - y^2
    (5)  relu(x) = max(0, x)                             saha relu
    (6)  relu'(x) = 1[x > 0]
    (7)  leaky(x) = max(s x, x), s = 0.01                saha leaky-relu
    (8)  leaky'(x) = max(s, 1[x > 0])
    (9)  elu(x) = max(0, x) + a (e^min(0, x) - 1)        Clevert et al. 2016, arXiv:1511.07289
    (10)  elu'(x) = 1 if x > 0, else y + a
    (11)  gelu(x) = x Phi(x)                              Hendrycks and Gimpel 2016, arXiv:1606.08415
    (12)  Phi(x) = (1 + erf(x / sqrt(2))) / 2
    (13)  gelu'(x) = Phi(x) + x e^(-x^2 / 2) / sqrt(2 pi)

x, y (...)   y the output   s slope   a alpha   Phi the distribution function of N(0, 1)
Kinks: at x = 0 the derivative from the left is taken: 0, s and a.   Lesson: vanishing_gradients
"""

import math

import numpy as np

from tinynet import nn
from tinynet.backend import at_least
from tinynet.engine import Op
from tinynet.jit import contiguous, floating, jit, parallel_jit, prange


# %% 1. The mathematics
def sigmoid_forward(x):
    with np.errstate(over="ignore"):            # e^-x = inf gives the right 1 / inf = 0
        y = 1 / (1 + np.exp(-x))                                    # (1)
    return y, y


def sigmoid_backward(dy, y):
    return dy * (y * (1 - y))                                       # (2)


def tanh_forward(x):
    y = np.tanh(x)                                                  # (3)
    return y, y


def tanh_backward(dy, y):
    return dy * (1 - y * y)                                         # (4)


def relu_forward(x):
    return np.maximum(x, 0), x                                      # (5)


def relu_backward(dy, x):
    return dy * (x > 0)                                             # (6)


def leaky_relu_forward(x, slope=0.01):
    if not 0 <= slope <= 1:
        raise ValueError(f"leaky_relu: slope is {slope}, but must lie in [0, 1]; use e.g. slope=0.01")
    slope = float(slope)
    return np.maximum(slope * x, x), (x, slope)                     # (7)


def leaky_relu_backward(dy, cache):
    x, slope = cache
    return dy * np.maximum((x > 0).astype(dy.dtype), slope)         # (8)


def elu_forward(x, alpha=1.0):
    alpha = float(alpha)
    below = alpha * np.expm1(np.minimum(x, 0))                      # y where x <= 0, else 0
    return np.maximum(x, 0) + below, (x, below, alpha)              # (9)


def elu_backward(dy, cache):
    x, below, alpha = cache
    return dy * np.where(x > 0, below.dtype.type(1), below + below.dtype.type(alpha))         # (10)


_erf = np.vectorize(math.erf, otypes=[float])


def gelu_forward(x):
    Phi = 0.5 * (1 + _erf(x * math.sqrt(0.5)))                      # (12)
    Phi = Phi.astype(floating(x), copy=False)
    return x * Phi, (x, Phi)                                        # (11)


def gelu_backward(dy, cache):
    x, Phi = cache
    return dy * (Phi + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))       # (13)


# %% 2. The fast twin: of ELU and GELU; NumPy's exp and tanh work on several entries at once, a scalar loop doesn't
@parallel_jit
def _elu(x, alpha, c, below, y):
    """e^z - 1 without a call, so that several entries run at once: Taylor's series for z / 1024, then ten times from
    p = e^r - 1 to e^2r - 1 = p (p + 2).
    """
    for i in prange(x.size):
        z = x[i] if x[i] < 0 else x[i] - x[i]           # a NaN stays one
        r = (c[0] if z < c[0] else z) * c[1]
        p = r * (c[2] + r * (c[3] + r * (c[4] + r * (c[5] + r * (c[6] + r * (c[7] + r * c[8]))))))
        for _ in range(10):
            p = p * (p + c[9])
        below[i] = alpha * p
        y[i] = x[i] if x[i] > 0 else below[i]                       # (9)


@parallel_jit
def _elu_slope(x, below, alpha, dy, dx):
    for i in prange(x.size):
        dx[i] = dy[i] if x[i] > 0 else dy[i] * (below[i] + alpha)   # (10)


ELU_NUMBERS = (-40, 1 / 1024, 1, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040, 2)     # e^-40 is nothing beside 1


def elu_forward_fast(x, alpha=1.0):
    flat = contiguous(x).reshape(-1)
    below, y = np.empty_like(flat), np.empty_like(flat)
    _elu(flat, flat.dtype.type(alpha), np.array(ELU_NUMBERS, flat.dtype), below, y)
    return y.reshape(x.shape), (x, below.reshape(x.shape), float(alpha))


def elu_backward_fast(dy, cache):
    x, below, alpha = cache
    dy, flat, below = (a.reshape(-1) for a in contiguous(dy, x, below))
    dx = np.empty_like(dy)
    _elu_slope(flat, below, dy.dtype.type(alpha), dy, dx)
    return dx.reshape(x.shape)


@jit
def _distribution(x, Phi):
    for i in range(x.size):
        Phi[i] = 0.5 * (1 + math.erf(x[i] * math.sqrt(0.5)))        # (12)


def gelu_forward_fast(x):
    Phi = np.empty(x.shape, floating(x))
    _distribution(contiguous(x).reshape(-1), Phi.reshape(-1))
    return x * Phi, (x, Phi)                                        # (11)


# %% 3. The ops
sigmoid = Op(sigmoid_forward, sigmoid_backward)
tanh = Op(tanh_forward, tanh_backward)
relu = Op(relu_forward, relu_backward)
leaky_relu = Op(leaky_relu_forward, leaky_relu_backward)
elu = Op(elu_forward, elu_backward, fast=(elu_forward_fast, elu_backward_fast), fast_when=at_least(4096))
gelu = Op(gelu_forward, gelu_backward, fast=(gelu_forward_fast, gelu_backward), fast_when=at_least(32))


# %% 4. The modules
class Sigmoid(nn.Module):
    """x (...) -> y (...) in [0, 1]."""

    def forward(self, x):
        return sigmoid(x)


class Tanh(nn.Module):
    """x (...) -> y (...) in [-1, 1]."""

    def forward(self, x):
        return tanh(x)


class ReLU(nn.Module):
    """x (...) -> y (...), max(0, x)."""

    def forward(self, x):
        return relu(x)


class LeakyReLU(nn.Module):
    """x (...) -> y (...); entries below 0 are multiplied by `slope`, which must lie in [0, 1]."""

    def __init__(self, slope=0.01):
        self.slope = slope

    def forward(self, x):
        return leaky_relu(x, slope=self.slope)


class ELU(nn.Module):
    """x (...) -> y (...), which goes to -alpha far on the left."""

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, x):
        return elu(x, alpha=self.alpha)


class GELU(nn.Module):
    """x (...) -> y (...), x times the chance that N(0, 1) is below x; exact, not the tanh formula."""

    def forward(self, x):
        return gelu(x)
