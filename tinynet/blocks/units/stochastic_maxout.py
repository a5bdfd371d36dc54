"""Stochastic maxout: one of K pieces is drawn, the larger the likelier, where maxout always takes the largest.

    (1)  p[k] = exp(lam x[k]) / sum_j exp(lam x[j])                saha stochastic-maxout
    (2)  k the first with p[1] + ... + p[k] > u,  y = x[k]         saha stochastic-maxout
    (3)  dx[k] = dy where k was drawn, 0 elsewhere

x (..., C, K)   K linear pieces of C channels        y (..., C)
u (..., C)      uniform numbers in [0, 1), one draw for each channel; a setting, no gradient flows to it
lam             0: all pieces alike; to infinity: maxout.   As in the paper no gradient flows through p.
In evaluation nothing is drawn and y is the largest piece.
Springenberg and Riedmiller 2013, arXiv:1312.6116.   Lesson: maxout
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.units.linear import linear
from tinynet.engine import Op
from tinynet.shapes import ShapeError, sizes


# %% 1. The mathematics
def stochastic_maxout_forward(x, u=None, lam=1.0):
    """y (..., C); without u the largest piece.  Raises ShapeError unless x (... C K) and u (... C) fit and K >= 1."""
    _, K = sizes("x: ... C K", x)
    if K == 0:
        raise ShapeError(f"stochastic_maxout: x (... C K) = {x.shape}, and one of K = 0 pieces is undefined; "
                         "use K >= 1")
    if u is None:
        drawn = x.argmax(axis=-1)[..., None]
    elif u.shape != x.shape[:-1]:
        raise ShapeError(f"stochastic_maxout: u has shape {u.shape}, but x {x.shape} needs one draw for each channel; "
                         f"give u of shape {x.shape[:-1]}")
    else:
        p = np.exp(lam * (x - x.max(axis=-1, keepdims=True)))
        below = np.cumsum(p / p.sum(axis=-1, keepdims=True), axis=-1)       # (1)
        # rounding may leave the last sum below 1, and u above it
        passed = (below <= u[..., None]).sum(axis=-1, keepdims=True)
        drawn = np.minimum(passed, K - 1)                           # (2)
    return np.take_along_axis(x, drawn, axis=-1)[..., 0], (x.shape, drawn)      # (2)


def stochastic_maxout_backward(dy, cache):
    shape, drawn = cache
    return np.where(drawn == np.arange(shape[-1]), dy[..., None], dy.dtype.type(0))     # (3)


# %% 2. The fast twin: none, the exponentials take the time

# %% 3. The op
stochastic_maxout = Op(stochastic_maxout_forward, stochastic_maxout_backward)


# %% 4. The module
class StochasticMaxout(nn.Module):
    """x (..., d_in) -> y (..., d_out): one of `pieces` linear functions a channel, drawn while training.

    W (d_out pieces, d_in) Glorot-uniform, b zero; rng is a seed or np.random.Generator, which also draws.
    """

    def __init__(self, d_in, d_out, pieces=2, lam=1.0, rng=None, dtype=np.float32):
        self.rng, self.lam, self.shape = np.random.default_rng(rng), lam, (d_out, pieces)
        self.W = nn.Parameter(nn.glorot_uniform(self.rng, (d_out * pieces, d_in), dtype))
        self.b = nn.Parameter(np.zeros(d_out * pieces, dtype))

    def forward(self, x):
        z = linear(x, self.W, self.b)
        z = z.reshape(*z.shape[:-1], *self.shape)
        return stochastic_maxout(z, u=self.rng.random(z.shape[:-1]) if self.training else None, lam=self.lam)
