"""EfficientNet-Lite0: a small net for ImageNet, 4.65 million numbers.  Tan and Le 2019, arXiv:1905.11946.

A block widens its channels `expand`-fold by 1 x 1 filters, lets each channel look around with a filter of its own, and
narrows them again; where stride is 1 and the channels agree, its input is added (inverted residual: Sandler et al.
2018, arXiv:1801.04381).  "Lite" leaves out squeeze-and-excitation and takes min(relu, 6).
"""

import re

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.images.batch_norm import BatchNorm
from tinynet.blocks.images.conv import Conv
from tinynet.blocks.images.pool import GlobalAverage
from tinynet.blocks.units.linear import Linear
from tinynet.models.images.published import must_be_images

# expand, channels, how many blocks, stride of the first, size of the filters
STAGES = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
          (6, 320, 1, 1, 3))
NUMBERS = dict(weight="gain", bias="bias", running_mean="mean", running_var="var")


class NormedConv(nn.Module):
    """A convolution without bias, batch norm, and min(relu, 6) unless `bent` is False.

    The margin is TensorFlow's "same": ceil(H / stride) rows come out, and where the margin is odd, the odd row of zeros
    is the last one.
    """

    def __init__(self, before, channels, size, stride=1, groups=1, bent=True, rng=None, dtype=np.float32):
        self.conv = Conv(before, channels, size, stride=stride, groups=groups, bias=False, rng=rng, dtype=dtype)
        self.norm = BatchNorm(channels, relu=bent, eps=1e-3, dtype=dtype)
        self.size, self.stride, self.bent = size, stride, bent

    def forward(self, X):
        margins = [max((-(-n // self.stride) - 1) * self.stride + self.size - n, 0) for n in np.shape(X)[2:]]
        if any(margins):
            X = ops.pad(X, widths=((0, 0), (0, 0), *((m // 2, m - m // 2) for m in margins)))
        Y = self.norm(self.conv(X))
        return ops.minimum(Y, 6.0) if self.bent else Y


class InvertedResidual(nn.Module):
    """X (N, before, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, before, channels, expand, stride, size, **made):
        inner = expand * before
        self.wide = NormedConv(before, inner, 1, **made) if expand > 1 else None
        self.look = NormedConv(inner, inner, size, stride, groups=inner, **made)
        self.narrow = NormedConv(inner, channels, 1, bent=False, **made)
        self.added = stride == 1 and before == channels

    def forward(self, X):
        Y = self.narrow(self.look(X if self.wide is None else self.wide(X)))
        return X + Y if self.added else Y


class EfficientNetLite(nn.Module):
    """X (N, 3, H, W) -> logits (N, classes); X is (bytes - 127) / 128, and H and W are 224 where ImageNet is meant.

    Called, it raises ShapeError unless X is (N, 3, H, W), TypeError for bytes.
    """

    def __init__(self, classes=1000, rng=None, dtype=np.float32):
        made = dict(rng=np.random.default_rng(rng), dtype=dtype)
        self.first, self.blocks, before = NormedConv(3, 32, 3, 2, **made), [], 32
        for expand, channels, count, stride, size in STAGES:
            for i in range(count):
                self.blocks.append(InvertedResidual(before, channels, expand, 1 if i else stride, size, **made))
                before = channels
        self.head, self.average = NormedConv(before, 1280, 1, **made), GlobalAverage()
        self.last = Linear(1280, classes, **made)

    def features(self, X, stages=7):
        """The maps after so many of the seven stages, e.g. (N, 112, H / 16, W / 16) after five."""
        must_be_images("EfficientNetLite", X)
        X = self.first(X)
        for block in self.blocks[:sum(count for _, _, count, _, _ in STAGES[:stages])]:
            X = block(X)
        return X

    def forward(self, X):
        return self.last(self.average(self.head(self.features(X))))

    def published_name(self, name):
        """Our name of one of the published arrays, None for the count of batches, which we don't keep."""
        if name.endswith("num_batches_tracked"):
            return None
        place, _, array = name.rpartition(".")
        if place == "_fc":
            return f"last.{dict(weight='W', bias='b')[array]}"
        if found := re.fullmatch(r"_blocks\.(\d+)\.(.+)", place):
            part = {"_expand_conv": "wide.conv", "_bn0": "wide.norm", "_depthwise_conv": "look.conv",
                    "_bn1": "look.norm", "_project_conv": "narrow.conv", "_bn2": "narrow.norm"}[found[2]]
            part = f"blocks.{found[1]}.{part}"
        else:
            part = {"_conv_stem": "first.conv", "_bn0": "first.norm", "_conv_head": "head.conv",
                    "_bn1": "head.norm"}[place]
        return f"{part}.W" if part.endswith("conv") else f"{part}.{NUMBERS[array]}"
