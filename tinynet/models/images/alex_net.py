"""AlexNet, in the one-column form that torchvision publishes weights for.  Krizhevsky 2014, arXiv:1404.5997.

    (1)  maps = pool(relu(conv ... relu(conv(X))))               csc321 alexnet
    (2)  logits = W3 relu(W2 relu(W1 maps + b1) + b2) + b3       csc321 alexnet

Five convolutions, three poolings, three layers of units: 61,100,840 parameters, 58.6 million of them in the last three
layers.  Weights: tinynet.bridges.torchvision.
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.images.conv import Conv
from tinynet.blocks.images.pool import MaxPool
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.linear import Linear
from tinynet.models.images.published import must_be_images


class AlexNet(nn.Module):
    """X (N, 3, 224, 224) -> logits (N, classes); images as torchvision normalises them (see data.images).

    p  of dropout
    Called, it raises ShapeError for X of another shape, TypeError for bytes.
    """

    def __init__(self, classes=1000, p=0.5, rng=None, dtype=np.float32):
        rng, made = np.random.default_rng(rng), dict(dtype=dtype)
        self.features = nn.Sequential(
            Conv(3, 64, 11, stride=4, padding=2, rng=rng, **made), relu, MaxPool(3, stride=2),
            Conv(64, 192, 5, padding=2, rng=rng, **made), relu, MaxPool(3, stride=2),
            Conv(192, 384, 3, padding=1, rng=rng, **made), relu,
            Conv(384, 256, 3, padding=1, rng=rng, **made), relu,
            Conv(256, 256, 3, padding=1, rng=rng, **made), relu, MaxPool(3, stride=2))
        self.classifier = nn.Sequential(
            Dropout(p, rng=rng), Linear(256 * 6 * 6, 4096, rng=rng, **made), relu,
            Dropout(p, rng=rng), Linear(4096, 4096, rng=rng, **made), relu, Linear(4096, classes, rng=rng, **made))

    def forward(self, X):
        must_be_images("AlexNet", X, (224, 224))
        maps = self.features(X)                                     # (1)
        return self.classifier(maps.flatten(1))                    # (2)

    @staticmethod
    def published_name(name):
        """Our name of one of torchvision's arrays: both count the layers alike."""
        return name.replace(".weight", ".W").replace(".bias", ".b")
