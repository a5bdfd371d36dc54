"""Cross-stitch network: separate nets with a cross-stitch unit after each hidden layer (tomaszewska fig9).

    >>> import numpy as np
    >>> from tinynet.models.tasks.cross_stitch_net import CrossStitchNet
    >>> net = CrossStitchNet(d_in=(1, 8, 8), channels=(4, 6), widths=(16,), classes=(10, 2), rng=0)
    >>> [logits.shape for logits in net(np.ones((5, 1, 8, 8), np.float32))]
    [(5, 10), (5, 2)]
    >>> [stitch.A.shape for stitch in net.stitches]
    [(4, 2, 2), (6, 2, 2), (16, 2, 2)]

Where a layer has a pooling the unit stands behind that, as in the paper.
Misra et al. 2016, arXiv:1604.03539.
"""

import numpy as np

from tinynet.blocks.tasks.cross_stitch import CrossStitch
from tinynet.models.tasks.separate_nets import SeparateNets


class CrossStitchNet(SeparateNets):
    """per_channel  each channel or hidden unit has its own A (T, T); False: one A a layer
    same         the stitches' start, as in CrossStitch
    start        trained SeparateNets of the same sizes to begin with (tomaszewska init)
    """

    same_examples = True

    def __init__(self, d_in, widths, classes, channels=(), per_channel=True, same=0.9, start=None, rng=None,
                 dtype=np.float32):
        rng = np.random.default_rng(rng)
        super().__init__(d_in, widths, classes, channels, rng, dtype)
        if start is not None:
            self.take_over(start)
        self.stitches = [CrossStitch(len(classes), channels=features if per_channel else None, same=same, rng=rng,
                                     dtype=dtype) for features in (*channels, *widths)]

    def meet(self, layer, x):
        return self.stitches[layer](x)

    def faster(self, factor):
        """The parameters for an optimiser, the stitches at `factor` times its learning rate: 10 to 100 is usual."""
        return self.rates(self.stitches, factor)
