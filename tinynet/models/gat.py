"""The graph attention networks of Velickovic et al. 2018 (arXiv:1710.10903) for the citation graphs: shi fig6-fig9.

    >>> from tinynet.graph import Graph
    >>> from tinynet.models.gat import GAT
    >>> import numpy as np
    >>> path = Graph.from_edges([(0, 1), (1, 2)], nodes=3).undirected().with_self_loops()
    >>> GAT(d_in=5, classes=2, rng=0)(np.ones((3, 5), np.float32), path).shape
    (3, 2)
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.activations import elu
from tinynet.blocks.graph_attention import GraphAttention


class GAT(nn.Module):
    """x (N, d_in) and a graph -> logits (N, classes): 8 heads of 8 features one after the other, ELU,
    then the mean of `out_heads`.

    out_heads  1 for Cora and Citeseer, 8 for Pubmed
    p          of the three dropouts, 0.6 in the paper
    """

    def __init__(self, d_in, classes, heads=8, width=8, out_heads=1, p=0.6, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.first = GraphAttention(d_in, width, heads, p=p, rng=rng, dtype=dtype)
        self.last = GraphAttention(heads * width, classes, out_heads, average=True, p=p, rng=rng, dtype=dtype)

    def forward(self, x, graph):
        return self.last(elu(self.first(x, graph)), graph)
