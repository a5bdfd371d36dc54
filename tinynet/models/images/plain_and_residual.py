"""A plain and a residual net of the same depth: the two sides of shi fig1, fig4 and csc321 cifar.

    >>> import numpy as np
    >>> from tinynet.models.images.plain_and_residual import ResidualNet
    >>> net = ResidualNet(depth=20, d_in=64, d_out=10, rng=0)
    >>> net(np.ones((5, 64), np.float32)).shape
    (5, 10)

`depth` counts all layers of weights, as He et al. 2016 (arXiv:1512.03385) do.
"""

from itertools import pairwise

import numpy as np

from tinynet import nn
from tinynet.blocks.units.activations import relu, sigmoid, tanh
from tinynet.blocks.units.linear import Linear
from tinynet.blocks.units.residual import ResidualStack
from tinynet.shapes import is_whole, must_be_whole

SIGMA = dict(relu=relu, sigmoid=sigmoid, tanh=tanh)


def _sigma(net, activation):
    if activation not in SIGMA:
        raise ValueError(f"{net}: there is no activation {activation!r}; choose one of {', '.join(SIGMA)}")
    return SIGMA[activation]


def _dense(d_in, d_out, init, rng, dtype):
    layer = Linear(d_in, d_out, rng=rng, dtype=dtype)
    layer.W.data = init(rng, (d_out, d_in), dtype)
    return layer


class PlainNet(nn.Module):
    """x (..., d_in) -> depth - 1 times sigma(linear), `width` units each -> linear -> (..., d_out).

    depth       layers of weights, 1 or more
    activation  "relu", "sigmoid" or "tanh"
    init        first weights: init(rng, shape, dtype), e.g. nn.he_normal or nn.glorot_uniform
    rng         a seed or np.random.Generator
    Raises ValueError for another depth and an unknown activation.
    """

    def __init__(self, depth, d_in, d_out, width=64, activation="relu", init=nn.he_normal, rng=None, dtype=np.float32):
        must_be_whole("PlainNet", "depth", depth)
        self.sigma = _sigma("PlainNet", activation)
        rng, sizes = np.random.default_rng(rng), [d_in] + [width] * (depth - 1) + [d_out]
        self.layers = [_dense(*pair, init, rng, dtype) for pair in pairwise(sizes)]

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = self.sigma(layer(x))
        return self.layers[-1](x)


class ResidualNet(nn.Module):
    """x (..., d_in) -> sigma(linear) -> depth / 2 - 1 residual blocks of two layers -> linear -> (..., d_out).

    depth is 2, 4, 6, ...; the other arguments are PlainNet's.  At depth 2 both are the same net.
    Raises ValueError for another depth and an unknown activation.
    """

    def __init__(self, depth, d_in, d_out, width=64, activation="relu", init=nn.he_normal, rng=None, dtype=np.float32):
        if not is_whole(depth, 2) or depth % 2:
            raise ValueError(f"ResidualNet: depth is {depth!r}; a first and a last layer and blocks of two "
                             "make it 2, 4, 6, ...")
        self.sigma, rng = _sigma("ResidualNet", activation), np.random.default_rng(rng)
        self.first = _dense(d_in, width, init, rng, dtype)
        self.blocks = ResidualStack(depth // 2 - 1, width, activation=activation, init=init, rng=rng, dtype=dtype)
        self.last = _dense(width, d_out, init, rng, dtype)

    def forward(self, x):
        return self.last(self.blocks(self.sigma(self.first(x))))
