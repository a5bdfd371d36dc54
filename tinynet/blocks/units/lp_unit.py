"""L_p unit: pools K inputs by a norm whose order p and centre c are learned.

    (1)  a[k] = |x[k] - c[k]|
    (2)  p = 1 + softplus(r), softplus(r) = log(1 + e^r)           Gulcehre et al. 2014, arXiv:1311.1780
    (3)  y = (1/K sum_k a[k]^p)^(1/p)                              saha lp
    (4)  t[k] = a[k] / y, so that sum_k t[k]^p = K
    (5)  dx[k] = dy t[k]^(p-1) sign(x[k] - c[k]) / K
    (6)  dc[k] = -sum_n dx[n,k]
    (7)  dp = sum_n dy y/p 1/K sum_k t[k]^p log t[k]
    (8)  dr = dp sigma(r), since p' = sigma(r)

x (..., C, K)   c (C, K)   r (C)   y (..., C)   C units, K inputs a unit, n over all leading axes
Learned are the centres c and, by way of r, the order p > 1: p = 2 is the root mean square, and
p to infinity the largest |x - c|, as in maxout.
Kink: where y = 0, every input at its centre, all derivatives are 0.  One input alone at its centre
is no kink: its slope is truly 0, as p > 1.
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.units.linear import linear
from tinynet.engine import Op
from tinynet.shapes import ShapeError, sizes


# %% 1. The mathematics
def lp_unit_forward(x, c, r):
    _, K = sizes("x: ... C K, c: C K, r: C", x, c, r)
    if K == 0:
        raise ShapeError(f"lp_unit: x (... C K) = {x.shape}, and the mean over K = 0 inputs is undefined; use K >= 1")
    a = np.abs(x - c)                                                       # (1)
    p = 1 + np.logaddexp(0, r)[:, None]                                     # (2)
    largest = a.max(axis=-1, keepdims=True)                 # taken out, so that no power overflows
    y = largest * np.mean(_ratio(a, largest) ** p, axis=-1, keepdims=True) ** (1 / p)      # (3)
    return y[..., 0], (x, c, r, a, p, y)


def _ratio(a, b):
    """a / b, and 0 where b = 0."""
    return a / np.where(b > 0, b, 1)


def lp_unit_backward(dy, cache):
    x, c, r, a, p, y = cache
    K = x.shape[-1]
    t = _ratio(a, y)                                                        # (4)
    power = t ** (p - 1) / K
    dx = dy[..., None] * power * np.sign(x - c)                             # (5)
    leading = tuple(range(x.ndim - 2))
    dc = -dx.sum(axis=leading)                                              # (6)
    log_t = np.log(np.where(t > 0, t, 1))                   # t^p log t goes to 0 with t
    dp = (dy * (y / p * power * t * log_t).sum(axis=-1)).sum(axis=leading)  # (7)
    return dx, dc, dp * np.exp(-np.logaddexp(0, -r))                        # (8)


# %% 2. The fast twin: none, the powers take the time and a loop computes them no faster

# %% 3. The op
lp_unit = Op(lp_unit_forward, lp_unit_backward)


# %% 4. The module
class LpUnit(nn.Module):
    """x (..., d_in) -> y (..., d_out), each unit the L_p norm of `pieces` linear functions minus
    their centres.

    W (d_out * pieces, d_in) starts Glorot-uniform, c (d_out, pieces) zero, and r (d_out) so that p
    is `order`, which must be above 1 (ValueError otherwise); rng is a seed or Generator.
    """

    def __init__(self, d_in, d_out, pieces=2, order=2.0, rng=None, dtype=np.float32):
        if not order > 1:
            raise ValueError(f"lp_unit: order is {order}, but a learned p lies above 1; use e.g. order=2")
        self.W = nn.Parameter(nn.glorot_uniform(rng, (d_out * pieces, d_in), dtype))
        self.c = nn.Parameter(np.zeros((d_out, pieces), dtype))
        self.r = nn.Parameter(np.full(d_out, order - 1 + np.log(-np.expm1(1 - order)), dtype))

    def forward(self, x):
        z = linear(x, self.W)
        return lp_unit(z.reshape(*z.shape[:-1], *self.c.shape), self.c, self.r)
