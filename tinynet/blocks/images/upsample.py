"""Nearest-neighbour upsampling: each pixel becomes a square of f x f equal pixels.

    (1)  Y[n,c,i,j] = X[n, c, floor(i / f), floor(j / f)]       Dumoulin and Visin 2016
    (2)  dX[n,c,i,j] = sum of dY over the square of (i, j)

X (N, C, H, W)   Y (N, C, f H, f W)   N images, C channels, f a whole number
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.images.windows import must_be_of_shape, must_be_pixels
from tinynet.engine import Op
from tinynet.shapes import must_be_whole, sizes


# %% 1. The mathematics
def upsample_forward(X, factor=2):
    """X (N, C, H, W) -> (N, C, factor H, factor W); raises ValueError unless factor is 1, 2, 3, ..."""
    N, C, H, W = sizes("X: N C H W", X)
    must_be_pixels(X)
    must_be_whole("upsample", "factor", factor)
    Y = np.empty_like(X, shape=(N, C, factor * H, factor * W))      # in X's memory order
    for r, s in np.ndindex(factor, factor):
        Y[:, :, r::factor, s::factor] = X                                           # (1)
    return Y, (X.shape, factor)


def upsample_backward(dY, cache):
    (N, C, H, W), f = cache
    must_be_of_shape(dY, (N, C, f * H, f * W))
    return dY.reshape(N, C, H, f, W, f).sum(axis=(3, 5))                            # (2)


# %% 2. The fast twin: none, NumPy copies and adds as fast as memory allows

# %% 3. The op
upsample = Op(upsample_forward, upsample_backward)


# %% 4. The module
class Upsample(nn.Module):
    """X (N, C, H, W) -> (N, C, factor H, factor W); raises ValueError unless factor is 1, 2, 3, ..."""

    def __init__(self, factor=2):
        must_be_whole("Upsample", "factor", factor)
        self.factor = factor

    def forward(self, X):
        return upsample(X, factor=self.factor)
