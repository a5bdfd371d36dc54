"""Hard sharing: the first `split` layers are shared, the rest and the heads are each task's own.

tomaszewska shared-trunk, fig1, fig4, fig5; shi fig10, fig11.  TCDCN (Zhang et al. 2014) is the case where all but
the heads is shared; split = 0 are separate nets.

    >>> import numpy as np
    >>> from tinynet.models.tasks.shared_trunk import SharedTrunk
    >>> net = SharedTrunk(d_in=64, widths=(32, 16), classes=(10, 2), split=1, rng=0)
    >>> net.layers[0].W.shape, net.layers[1].W.shape
    ((32, 64), (2, 16, 32))
"""

from itertools import pairwise

import numpy as np

from tinynet import nn
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.linear import Linear
from tinynet.models.tasks.separate_nets import TaskLinear, TaskNet


class SharedTrunk(TaskNet):
    """x (N, d_in) -> linear layers of `widths` units with ReLU -> one (N, classes[t]) for each task.

    split  how many of the layers are shared: 0 (separate nets) to len(widths) (all but the heads; None)
    """

    def __init__(self, d_in, widths, classes, split=None, rng=None, dtype=np.float32):
        split = len(widths) if split is None else split
        if not 0 <= split <= len(widths):
            raise ValueError(f"SharedTrunk: split is {split}, but there are {len(widths)} layers; share 0 to "
                             f"{len(widths)} of them")
        rng, pairs = np.random.default_rng(rng), list(pairwise((d_in, *widths)))
        shared = [_he_linear(*pair, rng, dtype) for pair in pairs[:split]]
        self.layers = shared + [TaskLinear(len(classes), *pair, rng=rng, dtype=dtype) for pair in pairs[split:]]
        self.split = split
        self.make_heads(widths[-1], classes, rng, dtype)

    def forward(self, x):
        for layer in self.layers:
            x = relu(layer(x))
        return self.outputs(x)

    def shared(self):
        """The shared parameters, e.g. for a balancing rule."""
        return [p for layer in self.layers[:self.split] for p in layer.parameters()]


def _he_linear(d_in, d_out, rng, dtype):
    """A linear layer with the first weights of TaskLinear, so that split levels differ in nothing else."""
    layer = Linear(d_in, d_out, rng=rng, dtype=dtype)
    layer.W.data = nn.he_normal(rng, (d_out, d_in), dtype)
    return layer
