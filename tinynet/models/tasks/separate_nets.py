"""One net a task, nothing shared: the net that every other one here is compared with, and built from.

    >>> import numpy as np
    >>> from tinynet.models.tasks.separate_nets import SeparateNets
    >>> net = SeparateNets(d_in=64, widths=(32, 16), classes=(10, 2), rng=0)
    >>> [logits.shape for logits in net(np.ones((5, 64), np.float32))]
    [(5, 10), (5, 2)]

Single-task learning, STL in saha table1.
"""

from tinynet.models.tasks.multi_task_net import MultiTaskNet, Own


class SeparateNets(MultiTaskNet):
    """Each layer's weights and each head are a task's own."""

    def weights(self, inputs, outputs, rng):
        return Own(self.tasks, inputs, outputs, rng, self.dtype)

    def take_over(self, start):
        """Begin with the layers and heads of trained SeparateNets of the same sizes (tomaszewska init).

        Raises ValueError and KeyError for nets of other sizes.
        """
        own, theirs = self.state_dict(), start.state_dict()
        missing = [name for name in own if name.startswith(("layers.", "heads.")) and name not in theirs]
        if missing:
            raise ValueError(f"{type(self).__name__}: start has no {', '.join(missing)}; give trained SeparateNets "
                             "with as many layers and tasks")
        self.load_state_dict(own | theirs)
