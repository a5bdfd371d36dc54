"""Soft-Order (saha table1): shared modules that each task mixes in its own way at every depth.

    >>> from tinynet.models.tasks.soft_order_net import SoftOrderNet
    >>> net = SoftOrderNet(8, (6, 6, 6), classes=(2, 4, 3), rng=0)
    >>> len(net.modules), [depth.S.shape for depth in net.layers[1:]]
    (2, [(3, 2), (3, 2)])

Meyerson and Miikkulainen 2018, arXiv:1711.00108.  The first dense layer, and the convolutions, are shared as in hard
sharing, because their sizes differ; the others are the modules, as many as there are depths.
"""

from tinynet.blocks.tasks.soft_order import SoftOrder
from tinynet.models.tasks.multi_task_net import DenseLayer, MultiTaskNet


class SoftOrderNet(MultiTaskNet):
    """Raises ValueError unless there are two dense layers or more, all of one width, so that modules fit everywhere."""

    needs_tasks = True

    def _add_dense(self, sizes, rng):
        widths = sizes[1:]
        if len(widths) < 2 or len(set(widths)) > 1:
            raise ValueError(f"SoftOrderNet: widths is {tuple(widths)}; give two or more equal ones, because every "
                             "module must fit at every depth")
        super()._add_dense(sizes[:2], rng)
        depths = len(widths) - 1
        self.modules = [DenseLayer(self.weights(widths[0], widths[0], rng), self.bend(rng)) for _ in range(depths)]
        self.layers += [SoftOrder(self.modules, self.tasks, rng, self.dtype) for _ in range(depths)]
