"""NDDR net: separate nets with a layer on all tasks' features after each hidden layer (tomaszewska fig12).

    >>> import numpy as np
    >>> from tinynet.models.tasks.nddr_net import NDDRNet
    >>> net = NDDRNet(d_in=(1, 8, 8), channels=(4, 6), widths=(16,), classes=(10, 2), rng=0)
    >>> [logits.shape for logits in net(np.ones((5, 1, 8, 8), np.float32))]
    [(5, 10), (5, 2)]
    >>> [fusion.W.shape for fusion in net.fusions]
    [(2, 4, 8), (2, 6, 12), (2, 16, 32)]

Gao et al. 2019, arXiv:1801.08297.
"""

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.images.batch_norm import BatchNorm
from tinynet.blocks.tasks.nddr import NDDR, nddr
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.layer_norm import layer_norm
from tinynet.models.tasks.separate_nets import SeparateNets


class NDDRNet(SeparateNets):
    """same       the start of the NDDR layers, as in NDDR
    normalise  between NDDR and ReLU: batch normalisation behind convolutions, as in the paper, and layer normalisation
               behind dense layers; each task has its own
    start      trained SeparateNets of the same sizes to begin with
    alone      the control: as many extra layers, each of which sees its own task's features only
    """

    same_examples = True

    def __init__(self, d_in, widths, classes, channels=(), same=0.9, normalise=False, start=None, alone=False, rng=None,
                 dtype=np.float32):
        super().__init__(d_in, widths, classes, channels, rng, dtype)
        if start is not None:
            self.take_over(start)
        make, T = Alone if alone else NDDR, len(classes)
        self.fusions = [make(T, features, same=same, dtype=dtype) for features in (*channels, *widths)]
        self.norms = []
        if normalise:
            self.norms = [EachBatchNorm(T * c, dtype=dtype) for c in channels]
            self.norms += [EachLayerNorm(T, width, dtype) for width in widths]

    def meet(self, layer, x):
        x = self.fusions[layer](x)
        return relu(self.norms[layer](x) if self.norms else x)

    def faster(self, factor):
        """The parameters for an optimiser, the NDDR layers at `factor` times its learning rate."""
        return self.rates(self.fusions, factor)


class Alone(nn.Module):
    """An NDDR layer for each task, on its own features alone, that starts as `same` times the identity."""

    def __init__(self, tasks, channels, same, dtype):
        self.W = nn.Parameter(np.tile(same * np.eye(channels, dtype=dtype), (tasks, 1, 1)))
        self.b = nn.Parameter(np.zeros((tasks, channels), dtype))

    def forward(self, X):
        each = [slice(t, t + 1) for t in range(len(self.W))]
        return ops.concatenate(*(nddr(X[t], self.W[t], self.b[t]) for t in each))


class EachBatchNorm(BatchNorm):
    """X (T, N, C, H, W) -> the same, each task's channels normalised on their own; made for T C channels."""

    def forward(self, X):
        T, N, C, *places = X.shape
        rows = super().forward(X.swapaxes(0, 1).reshape(N, T * C, *places))
        return rows.reshape(N, T, C, *places).swapaxes(0, 1)


class EachLayerNorm(nn.Module):
    """X (T, N, D) -> the same, with a gain and a bias (T, D), each task's own."""

    def __init__(self, tasks, features, dtype):
        self.gain = nn.Parameter(np.ones((tasks, features), dtype))
        self.bias = nn.Parameter(np.zeros((tasks, features), dtype))

    def forward(self, X):
        return ops.stack(*(layer_norm(X[t], self.gain[t], self.bias[t]) for t in range(len(self.gain))))
