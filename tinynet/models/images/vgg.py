"""VGG-16: thirteen convolutions of 3 x 3, because two of them see as much as one of 5 x 5 with fewer weights.

    (1)  maps = five times pool(relu(conv ... relu(conv(X))))    csc321 vgg
    (2)  logits = W3 relu(W2 relu(W1 maps + b1) + b2) + b3       csc321 vgg

Simonyan and Zisserman 2015, arXiv:1409.1556, configuration D: 138,357,544 parameters.
Weights: tinynet.bridges.torchvision.
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.images.conv import Conv
from tinynet.blocks.images.pool import MaxPool
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.linear import Linear
from tinynet.models.images.published import must_be_images

STAGES = (64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)    # channels; a pooling behind each


class VGG16(nn.Module):
    """X (N, 3, 224, 224) -> logits (N, classes); images as torchvision normalises them (see data.images).

    p  of dropout
    Called, it raises ShapeError for X of another shape, TypeError for bytes.
    """

    def __init__(self, classes=1000, p=0.5, rng=None, dtype=np.float32):
        rng, made = np.random.default_rng(rng), dict(dtype=dtype)
        layers, before = [], 3
        for stage in STAGES:
            for channels in stage:
                layers += [Conv(before, channels, 3, padding=1, rng=rng, **made), relu]
                before = channels
            layers.append(MaxPool(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            Linear(512 * 7 * 7, 4096, rng=rng, **made), relu, Dropout(p, rng=rng),
            Linear(4096, 4096, rng=rng, **made), relu, Dropout(p, rng=rng), Linear(4096, classes, rng=rng, **made))

    def forward(self, X):
        must_be_images("VGG16", X, (224, 224))
        maps = self.features(X)                                     # (1)
        return self.classifier(maps.flatten(1))                    # (2)

    @staticmethod
    def published_name(name):
        """Our name of one of torchvision's arrays: both count the layers alike."""
        return name.replace(".weight", ".W").replace(".bias", ".b")
