"""LeNet-5: two convolutions, each with a pooling behind it, then three layers of units.  LeCun et al. 1998.

    >>> import numpy as np
    >>> net = LeNet(rng=0)
    >>> net(np.ones((2, 1, 28, 28), np.float32)).shape
    (2, 10)
    >>> sum(p.size for p in net.parameters())
    61706
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.images.conv import Conv
from tinynet.blocks.images.pool import AveragePool, MaxPool
from tinynet.blocks.units.activations import relu, tanh
from tinynet.blocks.units.linear import Linear
from tinynet.shapes import ShapeError


class LeNet(nn.Module):
    """X (N, channels, 28, 28) -> logits (N, classes), with plain averages in place of the paper's learned ones.

    modern  relu and the maximum in place of tanh and the mean
    Called, it raises ShapeError for images of another size, and what conv raises for other channels and for bytes.
    """

    def __init__(self, channels=1, classes=10, modern=False, rng=None, dtype=np.float32):
        rng, made = np.random.default_rng(rng), dict(dtype=dtype)
        sigma, pool = (relu, MaxPool) if modern else (tanh, AveragePool)
        self.features = nn.Sequential(Conv(channels, 6, 5, padding=2, rng=rng, **made), sigma, pool(2),
                                      Conv(6, 16, 5, rng=rng, **made), sigma, pool(2))
        self.classifier = nn.Sequential(Linear(400, 120, rng=rng, **made), sigma,
                                        Linear(120, 84, rng=rng, **made), sigma, Linear(84, classes, rng=rng, **made))

    def forward(self, X):
        shape = np.shape(X)
        if (28, 28) not in (shape[2:], shape[1:3]):         # of (N, 28, 28, C) the convolution tells
            raise ShapeError(f"LeNet: X has shape {shape}, but must be (N, C, 28, 28); cut or pad the images to 28 x "
                             "28 pixels")
        maps = self.features(X)
        return self.classifier(maps.flatten(1))
