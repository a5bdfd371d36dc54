"""Cross-stitch network, and what it is compared with: separate nets and a shared trunk (tomaszewska fig9).

    >>> import numpy as np
    >>> from tinynet.models.tasks.cross_stitch_net import CrossStitchNet
    >>> net = CrossStitchNet(d_in=64, widths=(32, 16), classes=(10, 2), rng=0)
    >>> [logits.shape for logits in net(np.ones((5, 64), np.float32))]
    [(5, 10), (5, 2)]

All three take x (N, d_in), the same examples for every task, and return one (N, classes[t]) for each
task t.  The tasks' columns are computed side by side in arrays (T, N, D): one product for all.
"""

from itertools import pairwise

import numpy as np

from tinynet import nn
from tinynet.blocks.tasks.cross_stitch import CrossStitch
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


class SeparateNets(nn.Module):
    """One net a task, nothing shared: linear layers of `widths` units with ReLU, then `classes[t]` logits."""

    def __init__(self, d_in, widths, classes, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.layers = [TaskLinear(len(classes), *pair, rng=rng, dtype=dtype) for pair in pairwise((d_in, *widths))]
        self.heads = [Linear(widths[-1], c, rng=rng, dtype=dtype) for c in classes]

    def forward(self, x):
        for layer in self.layers:
            x = relu(layer(x))
        return [head(x[t]) for t, head in enumerate(self.heads)]


class CrossStitchNet(SeparateNets):
    """Separate nets with a cross-stitch unit after each hidden layer.

    per_channel  each hidden unit has its own A (T, T); False: one A a layer
    same         the stitches' start, as in CrossStitch
    start        trained SeparateNets of the same sizes to begin with (tomaszewska init)
    """

    def __init__(self, d_in, widths, classes, per_channel=True, same=0.9, start=None, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        super().__init__(d_in, widths, classes, rng, dtype)
        if start is not None:
            self.load_state_dict(start.state_dict())
        self.stitches = [CrossStitch(len(classes), channels=width if per_channel else None, same=same,
                                     rng=rng, dtype=dtype) for width in widths]

    def forward(self, x):
        for layer, stitch in zip(self.layers, self.stitches, strict=True):
            x = stitch(relu(layer(x)))
        return [head(x[t]) for t, head in enumerate(self.heads)]


class SharedTrunk(nn.Module):
    """One trunk for all tasks and a head for each (shi fig11: hard sharing)."""

    def __init__(self, d_in, widths, classes, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.layers = [Linear(*pair, rng=rng, dtype=dtype) for pair in pairwise((d_in, *widths))]
        self.heads = [Linear(widths[-1], c, rng=rng, dtype=dtype) for c in classes]

    def forward(self, x):
        for layer in self.layers:
            x = relu(layer(x))
        return [head(x) for head in self.heads]
