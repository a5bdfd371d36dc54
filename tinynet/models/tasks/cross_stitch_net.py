"""Cross-stitch network: separate nets with a cross-stitch unit after each hidden layer (tomaszewska fig9).

    >>> import numpy as np
    >>> from tinynet.models.tasks.cross_stitch_net import CrossStitchNet
    >>> net = CrossStitchNet(d_in=64, widths=(32, 16), classes=(10, 2), rng=0)
    >>> [logits.shape for logits in net(np.ones((5, 64), np.float32))]
    [(5, 10), (5, 2)]

Misra et al. 2016, arXiv:1604.03539.
"""

import numpy as np

from tinynet.blocks.tasks.cross_stitch import CrossStitch
from tinynet.blocks.units.activations import relu
from tinynet.models.tasks.separate_nets import SeparateNets


class CrossStitchNet(SeparateNets):
    """per_channel  each hidden unit has its own A (T, T); False: one A a layer
    same         the stitches' start, as in CrossStitch
    start        trained SeparateNets of the same sizes to begin with (tomaszewska init)
    """

    def __init__(self, d_in, widths, classes, per_channel=True, same=0.9, start=None, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        super().__init__(d_in, widths, classes, rng, dtype)
        if start is not None:
            self.take_over(start)
        self.stitches = [CrossStitch(len(classes), channels=width if per_channel else None, same=same,
                                     rng=rng, dtype=dtype) for width in widths]

    def forward(self, x):
        for layer, stitch in zip(self.layers, self.stitches, strict=True):
            x = stitch(relu(layer(x)))
        return self.outputs(x)

    def faster(self, factor):
        """The parameters for an optimiser, the stitches at `factor` times its learning rate: 10 to 100 is usual."""
        return self.rates(self.stitches, factor)
