"""One net a task, nothing shared: the net that every other one here is compared with, and built from.

    >>> import numpy as np
    >>> from tinynet.models.tasks.separate_nets import SeparateNets
    >>> net = SeparateNets(d_in=64, widths=(32, 16), classes=(10, 2), rng=0)
    >>> [logits.shape for logits in net(np.ones((5, 64), np.float32))]
    [(5, 10), (5, 2)]

All nets of this folder take x (N, d_in), the same examples for every task, or (T, N, d_in), examples of its own
for each task, and return one (N, classes[t]) for each task t: logits, or numbers for a regression.
The tasks' columns are computed side by side in arrays (T, N, D): one product for all.
"""

from itertools import pairwise

import numpy as np

from tinynet import nn
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.linear import Linear


class TaskLinear(nn.Module):
    """A linear layer for each of `tasks` tasks: x (T, N, d_in), or (N, d_in) for all -> (T, N, d_out).

    W (T, d_out, d_in) He-normal, b (T, 1, d_out) zero.
    """

    def __init__(self, tasks, d_in, d_out, rng=None, dtype=np.float32):
        self.W = nn.Parameter(nn.he_normal(rng, (tasks, d_out, d_in), dtype))
        self.b = nn.Parameter(np.zeros((tasks, 1, d_out), dtype))

    def forward(self, x):
        return x @ self.W.swapaxes(1, 2) + self.b


class TaskNet(nn.Module):
    """What all nets for several tasks share: a head a task, and columns of layers for those that have them."""

    def make_heads(self, d_in, classes, rng, dtype):
        if not len(classes):
            raise ValueError(f"{type(self).__name__}: there is no task; give the number of outputs of each one")
        self.heads = [Linear(d_in, c, rng=rng, dtype=dtype) for c in classes]

    def outputs(self, x):
        """What the heads make of features (T, N, D), or of features (N, D) that all share."""
        return [head(x if x.ndim == 2 else x[t]) for t, head in enumerate(self.heads)]

    def rates(self, modules, factor):
        """[(parameters, factor)] for an optimiser: these modules learn `factor` times as fast as the rest."""
        faster = [p for module in modules for p in module.parameters()]
        known = {id(p) for p in faster}
        return [([p for p in self.parameters() if id(p) not in known], 1.0), (faster, factor)]


class SeparateNets(TaskNet):
    """Linear layers of `widths` units with ReLU for each task, then `classes[t]` outputs."""

    def __init__(self, d_in, widths, classes, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.layers = [TaskLinear(len(classes), *pair, rng=rng, dtype=dtype) for pair in pairwise((d_in, *widths))]
        self.make_heads(widths[-1], classes, rng, dtype)

    def forward(self, x):
        for layer in self.layers:
            x = relu(layer(x))
        return self.outputs(x)

    def take_over(self, start):
        """Begin with the layers and heads of trained SeparateNets of the same sizes (tomaszewska init)."""
        own = self.state_dict()
        self.load_state_dict(own | start.state_dict())
