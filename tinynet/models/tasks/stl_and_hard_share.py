"""The two ends of sharing: a net a task (STL), and one trunk with a head a task (saha table1).

    >>> import numpy as np
    >>> from tinynet.models.tasks.stl_and_hard_share import STL, HardShare
    >>> x = np.ones((3, 5, 8), np.float32)
    >>> [[y.shape for y in net(8, (6,), classes=(2, 4, 3), rng=0)(x)] for net in (STL, HardShare)]
    [[(5, 2), (5, 4), (5, 3)], [(5, 2), (5, 4), (5, 3)]]
"""

from tinynet.models.tasks.multi_task_net import MultiTaskNet, Own, Shared


class STL(MultiTaskNet):
    """Single-task learning: nothing is shared."""

    def weights(self, inputs, outputs, rng):
        return Own(self.tasks, inputs, outputs, rng, self.dtype)


class HardShare(MultiTaskNet):
    """All layers but the heads are shared."""

    def weights(self, inputs, outputs, rng):
        return Shared(inputs, outputs, rng, self.dtype)
