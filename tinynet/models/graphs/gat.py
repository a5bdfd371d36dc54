"""The graph attention networks of Velickovic et al. 2018 (arXiv:1710.10903): shi fig6-fig9.

    >>> from tinynet.graph import Graph
    >>> from tinynet.models.graphs.gat import GAT
    >>> import numpy as np
    >>> path = Graph.from_edges([(0, 1), (1, 2)], nodes=3).undirected().with_self_loops()
    >>> GAT(d_in=5, classes=2, rng=0)(np.ones((3, 5), np.float32), path).shape
    (3, 2)

A node looks at its neighbours only, so give graphs with self-loops, as the paper does.  `inner` of a whole graph is the
graph itself; on a receptive field each layer needs fewer nodes, and the logits are those of the nodes that it is for.
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.graphs.graph_attention_layer import GraphAttention
from tinynet.blocks.units.activations import elu


class GAT(nn.Module):
    """x (N, d_in) and a graph -> logits (N, classes), for the citation graphs: 8 heads of 8 features one after the
    other, ELU, then the mean of `out_heads`.

    out_heads  1 for Cora and Citeseer, 8 for Pubmed
    attend     False: Const-GAT
    p          of the three dropouts, 0.6 in the paper
    """

    hops = 2            # how many edges far the logits of a node look

    def __init__(self, d_in, classes, heads=8, width=8, out_heads=1, attend=True, p=0.6, rng=None, dtype=np.float32):
        shared = dict(attend=attend, p=p, rng=np.random.default_rng(rng), dtype=dtype)
        self.first = GraphAttention(d_in, width, heads, **shared)
        self.last = GraphAttention(heads * width, classes, out_heads, average=True, **shared)

    def forward(self, x, graph):
        return self.last(elu(self.first(x, graph)), graph.inner)


class InductiveGAT(nn.Module):
    """x (N, d_in) and a graph -> logits (N, labels), for graphs that were not seen in training (the paper's PPI): two
    layers of 4 heads of 256 features with ELU, the second with a residual connection, then the mean of 6 heads.

    attend     False: Const-GAT
    """

    hops = 3

    def __init__(self, d_in, labels, heads=4, width=256, out_heads=6, attend=True, rng=None, dtype=np.float32):
        shared = dict(attend=attend, rng=np.random.default_rng(rng), dtype=dtype)
        self.first = GraphAttention(d_in, width, heads, **shared)
        self.second = GraphAttention(heads * width, width, heads, residual=True, **shared)
        self.last = GraphAttention(heads * width, labels, out_heads, average=True, **shared)

    def forward(self, x, graph):
        x = elu(self.first(x, graph))
        x = elu(self.second(x, graph.inner))
        return self.last(x, graph.inner.inner)
