"""Hard sharing: the first `split` layers are shared, the rest and the heads are each task's own.

tomaszewska shared-trunk, fig1, fig4, fig5; shi fig10, fig11.  TCDCN (Zhang et al. 2014) is the case where all but
the heads is shared; split = 0 are separate nets.

    >>> import numpy as np
    >>> from tinynet.models.tasks.shared_trunk import SharedTrunk
    >>> net = SharedTrunk(d_in=64, widths=(32, 16), classes=(10, 2), split=1, rng=0)
    >>> net.layers[0].W.shape, net.layers[1].W.shape
    ((32, 64), (2, 16, 32))
"""

from tinynet.models.tasks.multi_task_net import MultiTaskNet, Own, Shared


class SharedTrunk(MultiTaskNet):
    """split  how many of the layers are shared: 0 (separate nets) to all but the heads (None)"""

    def __init__(self, d_in, widths, classes, channels=(), split=None, **settings):
        L = len(channels) + len(widths)
        self.split = L if split is None else split
        if not 0 <= self.split <= L:
            raise ValueError(f"{type(self).__name__}: split is {split}, but there are {L} layers; share 0 to {L} of "
                             "them")
        super().__init__(d_in, widths, classes, channels, **settings)

    def weights(self, inputs, outputs, rng):
        if len(self.layers) >= self.split:
            return Own(self.tasks, inputs, outputs, rng, self.dtype)
        rng.uniform(size=inputs * outputs)      # not used; with it a seed gives the nets of the tables and lessons
        return Shared(inputs, outputs, rng, self.dtype)

    def shared(self):
        """The shared parameters, e.g. for a balancing rule."""
        return [p for layer in self.layers[:self.split] for p in layer.parameters()]
