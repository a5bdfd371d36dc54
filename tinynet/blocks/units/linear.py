"""Linear layer: every output unit a weighted sum of the inputs.

    (1)  y = x W' + b             Nielsen 2015, chapter 2, one example a row
    (2)  dx = dy W
    (3)  dW = dy' x, summed over all leading axes
    (4)  db = sum dy

x (..., D)   W (C, D)   b (C) or None   y (..., C)    D features in, C out
"""

import math

import numpy as np

from tinynet import nn
from tinynet.engine import Op
from tinynet.ops.broadcasting import summed
from tinynet.shapes import must_be_whole, sizes
from tinynet.threads import matmul


# %% 1. The mathematics
def linear_forward(x, W, b=None):
    sizes("x: ... D, W: C D, b: C", x, W, b)
    rows = x.reshape(math.prod(x.shape[:-1]), W.shape[1])           # one product, and not one for each leading index
    y = matmul(rows, W.T).reshape(*x.shape[:-1], len(W))            # (1)
    return y if b is None else y + b, (x, W, b is not None)         # (1)


def linear_backward(dy, cache):
    x, W, has_bias = cache
    N = math.prod(x.shape[:-1])
    dy_rows, x_rows = dy.reshape(N, W.shape[0]), x.reshape(N, W.shape[1])
    dx = matmul(dy_rows, W).reshape(x.shape)                        # (2)
    dW = matmul(dy_rows.T, x_rows)                                  # (3)
    return dx, dW, summed(dy_rows, (0,)) if has_bias else None        # (4)


# %% 2. The fast twin: none, BLAS already wins

# %% 3. The op
linear = Op(linear_forward, linear_backward)


# %% 4. The module
class Linear(nn.Module):
    """y = x W' + b with W (d_out, d_in) Glorot-uniform and b (d_out) zero.

    x (..., d_in) -> y (..., d_out).  bias=False leaves b out; rng is a seed or np.random.Generator.
    Raises ValueError for sizes that are no whole numbers.
    """

    def __init__(self, d_in, d_out, bias=True, rng=None, dtype=np.float32):
        for name, size in (("d_in", d_in), ("d_out", d_out)):
            must_be_whole("Linear", name, size, 0)
        self.W = nn.Parameter(nn.glorot_uniform(rng, (d_out, d_in), dtype))
        self.b = nn.Parameter(np.zeros(d_out, dtype)) if bias else None

    def forward(self, x):
        return linear(x, self.W, self.b)
