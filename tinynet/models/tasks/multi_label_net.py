"""One net, K yes-or-no questions: a multi-label or one-v-all net (tomaszewska fig2).

    >>> import numpy as np
    >>> from tinynet.models.tasks.multi_label_net import MultiLabelNet
    >>> net = MultiLabelNet(d_in=64, widths=(32,), labels=10, rng=0)
    >>> net(np.ones((5, 64), np.float32)).shape
    (5, 10)

Every label is a task of its own: a sigmoid and a binary cross-entropy each, on one trunk.  Any number
of labels may be true at once; with one-v-all targets exactly one is, and the largest logit names it.
"""

import numpy as np

from tinynet import nn
from tinynet.models.tasks.shared_trunk import SharedTrunk


class MultiLabelNet(nn.Module):
    """x (N, d_in) -> logits (N, labels), for tinynet.blocks.losses.binary_cross_entropy."""

    def __init__(self, d_in, widths, labels, rng=None, dtype=np.float32):
        if labels < 1:
            raise ValueError(f"MultiLabelNet: there are {labels} labels; give at least 1")
        self.net = SharedTrunk(d_in, widths, (labels,), rng=rng, dtype=dtype)

    def forward(self, x):
        return self.net(x)[0]
