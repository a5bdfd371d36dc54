"""Plain and residual nets of 6n + 2 layers for small images: shi fig1, fig4, fig5 and csc321 cifar.

    >>> import numpy as np
    >>> net = CifarNet(20, rng=0)
    >>> net(np.ones((2, 3, 32, 32), np.float32)).shape
    (2, 10)
    >>> sum(p.size for p in net.parameters())
    269722

A first convolution, then for each width 2n convolutions of 3 x 3, the first of a new width with stride 2, the mean of
each channel and one layer of units.  He et al. 2016, arXiv:1512.03385, section 4.2; shortcuts of option A, so that a
plain and a residual net have the same parameters.
"""

from itertools import pairwise

import numpy as np

from tinynet import nn
from tinynet.blocks.images.batch_norm import BatchNorm
from tinynet.blocks.images.conv import Conv
from tinynet.blocks.images.conv_residual import ConvResidual
from tinynet.blocks.images.pool import GlobalAverage
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.linear import Linear
from tinynet.shapes import must_be_whole


class ConvNormRelu(nn.Module):
    """A convolution of 3 x 3, batch norm and relu; without norm the convolution has a bias in its place."""

    def __init__(self, C, channels, stride=1, norm=True, rng=None, dtype=np.float32):
        self.conv = Conv(C, channels, 3, stride=stride, padding=1, bias=not norm, rng=rng, dtype=dtype)
        self.norm = BatchNorm(channels, relu=True, dtype=dtype) if norm else None

    def forward(self, X):
        Y = self.conv(X)
        return relu(Y) if self.norm is None else self.norm(Y)


def _blocks_of_a_stage(depth, widths):
    if not isinstance(widths, (tuple, list)) or not widths:
        raise ValueError(f"CifarNet: widths is {widths!r}; give each stage's channels, e.g. (16, 32, 64)")
    for width in widths:
        must_be_whole("CifarNet", "a width", width)
    must_be_whole("CifarNet", "depth", depth)
    step = 2 * len(widths)
    n, rest = divmod(depth - 2, step)
    if rest or n < 1:
        raise ValueError(f"CifarNet: depth is {depth}; with {len(widths)} widths it is {step}n + 2: {step + 2}, "
                         f"{2 * step + 2}, {3 * step + 2}, ...")
    return n


class CifarNet(nn.Module):
    """X (N, channels, H, W) -> logits (N, classes).

    depth     layers of weights: 2 for the ends and 2 len(widths) n between them, 20, 32, 44, 56, ... for three widths
    residual  False: the same layers without the shortcuts
    widths    channels of each stage; at its start height and width are halved, but for the first
    channels  of the images: 3 for colours, 1 for grey
    norm      False, in a plain net: no batch norm
    Raises ValueError for other depths, for no widths, and for a residual net without norms or with falling widths.
    """

    def __init__(self, depth, residual=True, widths=(16, 32, 64), channels=3, classes=10, norm=True, rng=None,
                 dtype=np.float32):
        n = _blocks_of_a_stage(depth, widths)
        if residual and not norm:
            raise ValueError("CifarNet: a residual block has its norms; leave out norm=False, or take residual=False")
        if residual and any(after < before for before, after in pairwise(widths)):
            raise ValueError(f"CifarNet: widths is {widths}; a shortcut adds channels and can't take any away, so let "
                             "no width be less than the one before, or take residual=False")
        made = dict(rng=np.random.default_rng(rng), dtype=dtype)
        self.first, self.blocks, before = ConvNormRelu(channels, widths[0], norm=norm, **made), [], widths[0]
        for stage, width in enumerate(widths):
            for i in range(n):
                stride = 2 if stage and not i else 1
                if residual:
                    self.blocks.append(ConvResidual(before, width, stride, **made))
                else:
                    self.blocks += [ConvNormRelu(before, width, stride, norm, **made),
                                    ConvNormRelu(width, width, 1, norm, **made)]
                before = width
        self.average, self.last = GlobalAverage(), Linear(before, classes, **made)
        # the sums of many blocks are large, and small weights favour no class at the start
        self.last.W.data = (0.1 * made["rng"].normal(size=self.last.W.shape)).astype(dtype)

    def forward(self, X):
        X = self.first(X)
        for block in self.blocks:
            X = block(X)
        return self.last(self.average(X))
