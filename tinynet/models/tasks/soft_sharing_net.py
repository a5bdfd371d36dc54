"""Soft sharing: separate nets, whose layers a penalty keeps near each other (shi fig12).

    >>> import numpy as np
    >>> from tinynet.models.tasks.soft_sharing_net import SoftSharingNet
    >>> net = SoftSharingNet(d_in=64, widths=(32, 16), classes=(10, 2), penalty="trace", rng=0)
    >>> outputs, penalty = net(np.ones((5, 64), np.float32)), net.penalty()
    >>> penalty.shape
    ()

The loss is the sum of the tasks' losses and a strength times `net.penalty()`.
"""

from tinynet.blocks.tasks.soft_sharing import absolute_distance, squared_distance
from tinynet.blocks.tasks.trace_norm import trace_norm
from tinynet.models.tasks.separate_nets import SeparateNets

PENALTIES = dict(squared=squared_distance, absolute=absolute_distance, trace=trace_norm)


class SoftSharingNet(SeparateNets):
    """penalty: "squared", "absolute" or "trace", of the tasks' weights, layer by layer; heads and biases are free."""

    def __init__(self, d_in, widths, classes, penalty="squared", **settings):
        if penalty not in PENALTIES:
            raise ValueError(f"SoftSharingNet: there is no penalty {penalty!r}; choose one of {', '.join(PENALTIES)}")
        super().__init__(d_in, widths, classes, **settings)
        self.distance = PENALTIES[penalty]

    def penalty(self):
        """The sum over the layers, a tensor ()."""
        first, *others = [self.distance(layer.W) for layer in self.layers]
        return sum(others, first)
