"""Maxout unit: the largest of K learned linear functions of the input.

    (1)  z[c,k] = W[c,k] x + b[c,k]               Goodfellow et al. 2013, arXiv:1302.4389
    (2)  y[c] = max_k z[c,k]                      saha maxout
    (3)  dz[c,k] = dy[c] 1[k is the winner]
    (4)  dx = sum_ck dz[c,k] W[c,k]
    (5)  dW[c,k] = sum_n dz[n,c,k] x[n]
    (6)  db[c,k] = sum_n dz[n,c,k]

x (..., D)   W (C, K, D)   b (C, K) or None   y (..., C)
D features in, C units, K linear pieces a unit, n over all leading axes
Kink: where pieces tie, the first of them is the winner and takes the whole gradient.
"""

import math

import numpy as np

from tinynet import nn
from tinynet.engine import Op
from tinynet.ops.broadcasting import summed
from tinynet.shapes import ShapeError, sizes


# %% 1. The mathematics
def maxout_forward(x, W, b=None):
    D, C, K = sizes("x: ... D, W: C K D, b: C K", x, W, b)
    if K == 0:
        raise ShapeError(f"maxout: W (C K D) = {W.shape}, and the largest of K = 0 pieces is undefined; use K >= 1")
    z = (x @ W.reshape(C * K, D).T).reshape(*x.shape[:-1], C, K)    # (1)
    if b is not None:
        z = z + b                                                   # (1)
    winner = z.argmax(axis=-1)[..., None]
    y = np.take_along_axis(z, winner, axis=-1)[..., 0]              # (2)
    return y, (x, W, b is not None, winner)


def maxout_backward(dy, cache):
    x, W, has_bias, winner = cache
    C, K, D = W.shape
    N = math.prod(x.shape[:-1])
    dz = dy[..., None] * (winner == np.arange(K))                   # (3)
    dz_rows, W_rows = dz.reshape(N, C * K), W.reshape(C * K, D)
    dx = (dz_rows @ W_rows).reshape(x.shape)                        # (4)
    dW = (dz_rows.T @ x.reshape(N, D)).reshape(W.shape)             # (5)
    db = summed(dz_rows, (0,)).reshape(C, K) if has_bias else None    # (6)
    return dx, dW, db


# %% 2. The fast twin: none, BLAS already wins

# %% 3. The op
maxout = Op(maxout_forward, maxout_backward)


# %% 4. The module
class Maxout(nn.Module):
    """x (..., d_in) -> y (..., d_out), each unit the largest of `pieces` linear functions.

    W (d_out, pieces, d_in) starts Glorot-uniform and b (d_out, pieces) zero; rng is a seed or Generator.
    """

    def __init__(self, d_in, d_out, pieces=2, rng=None, dtype=np.float32):
        W = nn.glorot_uniform(rng, (d_out * pieces, d_in), dtype)
        self.W = nn.Parameter(W.reshape(d_out, pieces, d_in))
        self.b = nn.Parameter(np.zeros((d_out, pieces), dtype))

    def forward(self, x):
        return maxout(x, self.W, self.b)
