"""NDDR net: separate nets with a layer on all tasks' features after each hidden layer (tomaszewska fig12).

    >>> import numpy as np
    >>> from tinynet.models.tasks.nddr_net import NDDRNet
    >>> net = NDDRNet(d_in=64, widths=(32, 16), classes=(10, 2), rng=0)
    >>> [logits.shape for logits in net(np.ones((5, 64), np.float32))]
    [(5, 10), (5, 2)]

Gao et al. 2019, arXiv:1801.08297.  Theirs is a convolutional net, with batch normalisation between NDDR and ReLU.
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.tasks.nddr import NDDR
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.layer_norm import LayerNorm
from tinynet.models.tasks.separate_nets import SeparateNets, TaskLinear


class NDDRNet(SeparateNets):
    """same       the start of the NDDR layers, as in NDDR
    normalise  layer normalisation between NDDR and ReLU
    start      trained SeparateNets of the same sizes to begin with
    alone      the control: as many extra layers, each of which sees its own task's features only
    """

    def __init__(self, d_in, widths, classes, same=0.9, normalise=False, start=None, alone=False, rng=None,
                 dtype=np.float32):
        super().__init__(d_in, widths, classes, rng, dtype)
        if start is not None:
            self.take_over(start)
        make = _identity if alone else NDDR
        self.fusions = [make(len(classes), width, same=same, dtype=dtype) for width in widths]
        self.norms = [LayerNorm(width, dtype=dtype) for width in widths] if normalise else []

    def forward(self, x):
        for l, (layer, fusion) in enumerate(zip(self.layers, self.fusions, strict=True)):
            x = fusion(relu(layer(x)))
            x = relu(self.norms[l](x) if self.norms else x)
        return self.outputs(x)

    def faster(self, factor):
        """The parameters for an optimiser, the NDDR layers at `factor` times its learning rate."""
        return self.rates(self.fusions, factor)


def _identity(tasks, width, same, dtype):
    """A layer for each task that starts as `same` times the identity."""
    layer = TaskLinear(tasks, width, width, dtype=dtype)
    layer.W = nn.Parameter(np.tile(same * np.eye(width, dtype=dtype), (tasks, 1, 1)))
    return layer
