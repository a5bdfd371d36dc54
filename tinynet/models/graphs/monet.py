"""MoNet on a citation graph: two mixture convolutions (shi fig9).

    >>> from tinynet.graph import Graph
    >>> from tinynet.models.graphs.monet import MoNet
    >>> import numpy as np
    >>> path = Graph.from_edges([(0, 1), (1, 2)], nodes=3).undirected()
    >>> MoNet(d_in=5, classes=2, rng=0)(np.ones((3, 5), np.float32), path).shape
    (3, 2)

Monti et al. 2017, arXiv:1611.08402.
"""

from tinynet.blocks.graphs.mixture_convolution import MixtureConvolution
from tinynet.models.graphs.gcn import TwoLayers


class MoNet(TwoLayers):
    """x (N, d_in) and a graph -> logits (N, classes); settings are those of MixtureConvolution."""

    layer = MixtureConvolution
