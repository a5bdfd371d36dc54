"""Residual block: what the weights compute is added to what came in.

    (1)  y = h(x) + F(x, W),  h(x) = x                       shi 1.1; csc321 block
    (2)  F(x, W) = W2 sigma(W1 x + b1)                       shi 1.2; csc321 block
    (3)  x_{l+1} = x_l + F(x_l, W_l)                         shi 1.3; csc321 resmath
    (4)  x_L = x_l + sum_{i=l}^{L-1} F(x_i, W_i)             shi 1.4
    (5)  dE/dW_l = dE/dx_L dx_L/dW_l                         shi 1.5, erratum 2
    (6)  dE/dx_l = dE/dx_L + dE/dx_L d(sum_i F)/dx_l         shi 1.6; csc321 resmath

x, y (..., D)   W1 (H, D)   W2 (D, H)   b1 (H) or None; a stack has one more axis L in front of each
D features, H hidden units, L blocks
Where F is 0 (W2 = 0) a block is the identity.  relu'(0) is taken as 0.
He et al. 2016, arXiv:1512.03385 and arXiv:1603.05027.   Lesson: residual
"""

import math

import numpy as np

from tinynet import nn
from tinynet.engine import Op
from tinynet.ops.broadcasting import summed
from tinynet.shapes import sizes

# sigma, and its slope written with h = sigma(z)
SIGMA = dict(
    relu=(lambda z: np.maximum(z, 0), lambda h: h > 0),
    sigmoid=(lambda z: 0.5 + 0.5 * np.tanh(0.5 * z), lambda h: h * (1 - h)),
    tanh=(np.tanh, lambda h: 1 - h * h),
)


def _sigma(activation):
    if activation not in SIGMA:
        raise ValueError(f"residual: there is no activation {activation!r}; choose one of {', '.join(SIGMA)}")
    return SIGMA[activation]


def _rows(x):
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


# %% 1. The mathematics
def residual_forward(x, W1, W2, b1=None, activation="relu"):
    sizes("x: ... D, W1: H D, W2: D H, b1: H", x, W1, W2, b1)
    sigma, slope = _sigma(activation)
    z = x @ W1.T                                                    # (2)
    h = sigma(z if b1 is None else z + b1)                          # (2)
    F = h @ W2.T                                                    # (2)
    return x + F, (x, W1, W2, b1 is not None, h, slope)             # (1) (3)


def residual_terms(dy, cache):
    """The two terms of dE/dx, and dE/dz at z = W1 x + b1, which the weights' gradients share."""
    _, W1, W2, _, h, slope = cache
    dz = dy @ W2 * slope(h)
    identity_term = dy                                              # (6)
    through_weights = dz @ W1                                       # (6)
    return identity_term, through_weights, dz


def residual_backward(dy, cache):
    x, _, _, has_bias, h, _ = cache
    identity_term, through_weights, dz = residual_terms(dy, cache)
    dx = identity_term + through_weights                            # (6)
    dy, dz = _rows(dy), _rows(dz)
    dW1, dW2 = dz.T @ _rows(x), dy.T @ _rows(h)                     # (5)
    return dx, dW1, dW2, summed(dz, (0,)) if has_bias else None       # (5)


def residual_stack_forward(x, W1, W2, b1=None, activation="relu"):
    _, L, _ = sizes("x: ... D, W1: L H D, W2: L D H, b1: L H", x, W1, W2, b1)
    caches = []
    for l in range(L):
        x, cache = residual_forward(x, W1[l], W2[l], None if b1 is None else b1[l], activation)     # (4)
        caches.append(cache)
    return x, (caches, W1, W2, b1)


def residual_stack_backward(dy, cache):
    caches, W1, W2, b1 = cache
    dx, dW1, dW2 = dy, np.empty(W1.shape, dy.dtype), np.empty(W2.shape, dy.dtype)
    db1 = None if b1 is None else np.empty(b1.shape, dy.dtype)
    for l in reversed(range(len(caches))):
        dx, dW1[l], dW2[l], db = residual_backward(dx, caches[l])   # (5) (6)
        if b1 is not None:
            db1[l] = db                                             # (5)
    return dx, dW1, dW2, db1


# %% 2. The fast twin: none, all but the products costs less than a call

# %% 3. The op
residual = Op(residual_forward, residual_backward)
residual_stack = Op(residual_stack_forward, residual_stack_backward)


# %% 4. The module
def _first_weights(module, shape, hidden, activation, gain, init, rng, dtype):
    """Give `module` W1 (..., H, D), W2 (..., D, H) and b1 (..., H) for shape (..., D)."""
    _sigma(activation)
    *L, D = shape
    H = D if hidden is None else hidden
    rng = np.random.default_rng(rng)
    module.W1 = nn.Parameter(init(rng, (*L, H, D), dtype))
    module.W2 = nn.Parameter(init(rng, (*L, D, H), dtype) * float(gain))
    module.b1 = nn.Parameter(np.zeros((*L, H), dtype))
    module.activation = activation


class Residual(nn.Module):
    """x (..., d) -> x + W2 sigma(W1 x + b1) of the same shape, with `hidden` units inside (d if None).

    activation  "relu", "sigmoid" or "tanh"
    gain        W2 starts at `gain` times its first weights; 0 starts as the identity
    init        first weights: init(rng, shape, dtype), e.g. nn.he_normal or nn.glorot_uniform
    rng         a seed or np.random.Generator
    """

    def __init__(self, d, hidden=None, activation="relu", gain=1.0, init=nn.he_normal, rng=None, dtype=np.float32):
        _first_weights(self, (d,), hidden, activation, gain, init, rng, dtype)

    def forward(self, x):
        return residual(x, self.W1, self.W2, self.b1, activation=self.activation)


class ResidualStack(nn.Module):
    """`blocks` residual blocks in a row as one op: x (..., d) -> the same shape.

    gain is 1 / sqrt(blocks) if None, so that the sum in (4) starts about as large as x at any depth.
    The other arguments are those of Residual.
    """

    def __init__(self, blocks, d, hidden=None, activation="relu", gain=None, init=nn.he_normal, rng=None,
                 dtype=np.float32):
        gain = 1 / math.sqrt(max(blocks, 1)) if gain is None else gain
        _first_weights(self, (blocks, d), hidden, activation, gain, init, rng, dtype)

    def forward(self, x):
        return residual_stack(x, self.W1, self.W2, self.b1, activation=self.activation)
