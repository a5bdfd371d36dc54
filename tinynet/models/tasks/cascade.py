"""Cascade: the first task's output is an input of the second task, and so on (tomaszewska shared-trunk).

    >>> import numpy as np
    >>> from tinynet.models.tasks.cascade import Cascade
    >>> net = Cascade(d_in=64, widths=(32, 16), classes=(2, 10), rng=0)
    >>> [logits.shape for logits in net(np.ones((5, 64), np.float32))]
    [(5, 2), (5, 10)]

Multi-task Network Cascades, Dai et al. 2016, arXiv:1512.04412, without their images: a trunk h for all, then

    z[k] = relu(W[k] [h; y[k-1]] + b[k]),   y[k] = V[k] z[k] + c[k].

The loss of task k goes back through y[k-1] into every task before it, and through all of them into the trunk.
"""

import numpy as np

from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.linear import Linear
from tinynet.models.tasks.multi_task_net import TaskNet
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.ops import concatenate


class Cascade(TaskNet):
    """A trunk of `widths` units, then one stage a task, of as many hidden units as the trunk's last layer."""

    def __init__(self, d_in, widths, classes, rng=None, dtype=np.float32):
        self.must_have_tasks(classes)
        rng, D = np.random.default_rng(rng), widths[-1]
        self.trunk = SharedTrunk(d_in, widths, classes[:1], rng=rng, dtype=dtype).layers
        inputs = [D, *(D + c for c in classes[:-1])]
        self.stages = [Linear(d, D, rng=rng, dtype=dtype) for d in inputs]
        self.make_heads(D, classes, rng, dtype)

    def forward(self, x):
        h = x
        for layer in self.trunk:
            h = layer(h)
        outputs = []
        for stage, head in zip(self.stages, self.heads, strict=True):
            seen = concatenate(h, outputs[-1], axis=-1) if outputs else h
            outputs.append(head(relu(stage(seen))))
        return outputs
