"""Group norm: as batch norm, but over some channels of one image, so that an image's result depends on no other image.

    (1)  mu[n,g] = mean of X[n] over group g of the channels and all pixels     Wu and He 2018, eq. 3
    (2)  r[n,g] = 1 / sqrt(mean (X - mu)^2 + eps)                               Wu and He 2018, eq. 3
    (3)  Z = (X - mu) r                                                         Wu and He 2018, eq. 1
    (4)  Y = gain[c] Z + bias[c]                                                Wu and He 2018, eq. 6
    (5)  dbias[c] = sum_nij dY,  dgain[c] = sum_nij dY Z
    (6)  dZ = gain[c] dY
    (7)  dX = r (dZ - mean dZ - Z mean(dZ Z))                                   means over the group and all pixels

X, Y (N, C, H, W)   gain, bias (C)   N images, C channels in G groups
G = 1 is layer norm over an image, G = C instance norm.   Wu and He 2018, arXiv:1803.08494.
"""

import math

import numpy as np

from tinynet import nn
from tinynet.blocks.images.windows import (
    dtype_of,
    must_be_of_shape,
    must_be_pixels,
    must_fall_into_groups,
    must_have_channels,
    must_not_be_negative,
)
from tinynet.engine import Op
from tinynet.shapes import ShapeError, must_be_whole, sizes


# %% 1. The mathematics
def group_norm_forward(X, gain, bias, groups=1, eps=1e-5):
    """Normalise X (N, C, H, W) over each of the groups of channels.

    Raises ShapeError where the groups don't divide C, or have fewer than 2 numbers to take a variance of, ValueError
    for a negative eps.
    """
    must_not_be_negative(eps, "group_norm")
    N, C, H, W = sizes("X: N C H W", X)
    must_be_pixels(X)
    must_have_channels(X, *sizes("gain: C, bias: C", gain, bias), f"gain (C) = {gain.shape} has")
    must_fall_into_groups(C, groups, f"X (N C H W) = {X.shape} has C")
    M = C // groups * H * W
    if M < 2:
        raise ShapeError(f"group_norm: X (N C H W) = {X.shape} has C H W / groups = {M} numbers a group, and their "
                         "variance needs 2 or more; give larger images, or choose fewer groups")
    x = X.astype(dtype_of(X, gain, bias), copy=False).reshape(N, groups, M)
    Z = x - x.mean(axis=2, keepdims=True)                               # (1)
    r = 1 / np.sqrt((Z * Z).mean(axis=2, keepdims=True) + Z.dtype.type(eps))    # (2)
    Z = (Z * r).reshape(X.shape)                                        # (3)
    return gain[:, None, None] * Z + bias[:, None, None], (Z, r, gain)  # (4)


def group_norm_backward(dY, cache):
    Z, r, gain = cache
    must_be_of_shape(dY, Z.shape)
    dbias, dgain = dY.sum(axis=(0, 2, 3)), (dY * Z).sum(axis=(0, 2, 3))     # (5)
    rows = *r.shape[:2], math.prod(Z.shape[1:]) // r.shape[1]
    dz, z = (gain[:, None, None] * dY).reshape(rows), Z.reshape(rows)   # (6)
    dX = r * (dz - dz.mean(axis=2, keepdims=True) - z * (dz * z).mean(axis=2, keepdims=True))   # (7)
    return dX.reshape(Z.shape), dgain, dbias


# %% 2. The fast twin: none; no model of ours trains with it for long

# %% 3. The op
group_norm = Op(group_norm_forward, group_norm_backward)


# %% 4. The module
class GroupNorm(nn.Module):
    """X (N, C, H, W) -> Y of the same shape; gain starts at 1 and bias at 0.

    Raises ShapeError where the groups don't divide the channels, ValueError for a negative eps.
    """

    def __init__(self, groups, channels, eps=1e-5, dtype=np.float32):
        must_be_whole("GroupNorm", "channels", channels, 0)
        must_fall_into_groups(channels, groups, "channels", "GroupNorm")
        must_not_be_negative(eps, "GroupNorm")
        self.gain, self.bias = nn.Parameter(np.ones(channels, dtype)), nn.Parameter(np.zeros(channels, dtype))
        self.settings = dict(groups=groups, eps=eps)

    def forward(self, X):
        return group_norm(X, self.gain, self.bias, **self.settings)
