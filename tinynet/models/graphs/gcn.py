"""Nets that attend to nothing, to compare GAT with: graph convolutions, Chebyshev's, and none at all (shi fig9).

    >>> from tinynet.graph import Graph
    >>> from tinynet.models.graphs.gcn import GCN
    >>> import numpy as np
    >>> path = Graph.from_edges([(0, 1), (1, 2)], nodes=3).undirected()
    >>> GCN(d_in=5, classes=2, rng=0)(np.ones((3, 5), np.float32), path).shape
    (3, 2)

All take x (N, d_in), full or SparseRows, and a graph, and return logits (N, classes).
Kipf and Welling 2017, arXiv:1609.02907.
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.graphs.graph_convolution import ChebyshevConvolution, GraphConvolution
from tinynet.blocks.graphs.sparse_matmul import input_mask, times
from tinynet.blocks.units.activations import relu
from tinynet.masks import checked_chance


class TwoLayers(nn.Module):
    """Two layers with an activation between them; a subclass says of which kind they are."""

    def __init__(self, d_in, classes, width=16, activation=relu, p=0.5, rng=None, **settings):
        rng = np.random.default_rng(rng)
        self.activation = activation
        self.first = self.layer(d_in, width, p=p, rng=rng, **settings)
        self.last = self.layer(width, classes, p=p, rng=rng, **settings)

    def forward(self, x, graph):
        return self.last(self.activation(self.first(x, graph)), graph)


class GCN(TwoLayers):
    """Two graph convolutions, 16 features between them in the paper."""

    layer = GraphConvolution


class ChebyshevNet(TwoLayers):
    """Two Chebyshev convolutions, each looking K = 3 steps far."""

    layer = ChebyshevConvolution


class _Linear(nn.Module):
    """x W + b of a full or sparse x, with dropout of x; it takes the graph and doesn't look at it."""

    def __init__(self, d_in, d_out, p=0.0, rng=None, dtype=np.float32):
        self.p, self.rng = checked_chance(p), np.random.default_rng(rng)
        self.W = nn.Parameter(nn.glorot_uniform(self.rng, (d_in, d_out), dtype))
        self.b = nn.Parameter(np.zeros(d_out, dtype))

    def forward(self, x, graph=None):
        return times(x, self.W, input_mask(self, x), self.p) + self.b


class MLP(TwoLayers):
    """The same without the graph: what the features alone tell."""

    layer = _Linear
    hops = 0            # how many edges far the logits of a node look
