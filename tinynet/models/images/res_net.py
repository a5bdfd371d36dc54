"""ResNet-18, -34, -50, -101 and -152 for images of 224 x 224.  He et al. 2016, arXiv:1512.03385, table 1.

    >>> from tinynet.models.images.res_net import DEPTHS
    >>> DEPTHS[152]
    (3, 8, 36, 3)

    (1)  x0 = pool(relu(norm(conv(X))))                          csc321 imagenet
    (2)  x_{l+1} = relu(h(x_l) + F(x_l)), a conv_residual        csc321 imagenet
    (3)  logits = W mean(x_L) + b                                csc321 imagenet

18 and 34 layers are built from blocks of two convolutions, the others from bottlenecks of three.  As in torchvision
(from where weights can be had, tinynet.bridges.torchvision) a bottleneck takes its stride at its 3 x 3 convolution.
"""

import re

import numpy as np

from tinynet import nn
from tinynet.blocks.images.batch_norm import BatchNorm
from tinynet.blocks.images.conv import Conv
from tinynet.blocks.images.conv_residual import ConvResidual
from tinynet.blocks.images.pool import GlobalAverage, MaxPool
from tinynet.blocks.units.linear import Linear
from tinynet.models.images.published import must_be_images

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class ResNet(nn.Module):
    """X (N, 3, H, W) -> logits (N, classes), H and W about 224; images normalised as torchvision does (data.images).

    depth  18, 34, 50, 101 or 152
    Raises ValueError for another depth; called, ShapeError unless X is (N, 3, H, W), TypeError for bytes.
    """

    def __init__(self, depth, classes=1000, rng=None, dtype=np.float32):
        if depth not in DEPTHS:
            raise ValueError(f"ResNet: depth is {depth}; choose one of {', '.join(map(str, DEPTHS))}")
        made = dict(rng=np.random.default_rng(rng), dtype=dtype)
        self.depth, bottleneck = depth, depth >= 50
        self.first = Conv(3, 64, 7, stride=2, padding=3, bias=False, **made)
        self.norm = BatchNorm(64, relu=True, dtype=dtype)
        self.pool, self.average, self.blocks, before = MaxPool(3, stride=2, padding=1), GlobalAverage(), [], 64
        for stage, count in enumerate(DEPTHS[depth]):
            inner = 64 * 2 ** stage
            channels = 4 * inner if bottleneck else inner
            for i in range(count):
                self.blocks.append(ConvResidual(before, channels, stride=2 if stage and not i else 1,
                                                inner=inner if bottleneck else None, shortcut="B", **made))
                before = channels
        self.last = Linear(before, classes, **made)

    def forward(self, X):
        must_be_images(f"ResNet-{self.depth}", X)
        X = self.pool(self.norm(self.first(X)))         # (1)
        for block in self.blocks:
            X = block(X)                                # (2)
        return self.last(self.average(X))               # (3)

    def published_name(self, name):
        """Our name of one of torchvision's arrays, None for the count of batches, which we don't keep."""
        if name.endswith("num_batches_tracked"):
            return None
        place, _, array = name.rpartition(".")
        ours = dict(weight="gain", bias="bias", running_mean="mean", running_var="var").get(array, array)
        if place == "fc":
            return f"last.{dict(weight='W', bias='b')[array]}"
        if place in ("conv1", "bn1"):
            return "first.W" if place == "conv1" else f"norm.{ours}"
        stage, i, layer = re.fullmatch(r"layer(\d)\.(\d+)\.(conv\d|bn\d|downsample\.[01])", place).groups()
        number = sum(DEPTHS[self.depth][:int(stage) - 1]) + int(i)
        last = len(self.blocks[number].convs) - 1
        is_norm = layer.startswith("bn") or layer == "downsample.1"
        j = last if layer.startswith("downsample") else int(layer[-1]) - 1
        return f"blocks.{number}.norms.{j}.{ours}" if is_norm else f"blocks.{number}.convs.{j}.W"
