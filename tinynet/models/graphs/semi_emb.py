"""SemiEmb: a net that sees a node's own words alone, trained so that neighbours have near hidden rows (shi fig9).

    >>> import numpy as np
    >>> from tinynet.graph import Graph
    >>> from tinynet.models.graphs.semi_emb import SemiEmb, drawn_pairs
    >>> one_edge = Graph.from_edges([(0, 1)], nodes=9)
    >>> pairs, near = drawn_pairs(one_edge, nodes=[0, 1, 2, 3], count=2, rng=np.random.default_rng(0))
    >>> pairs.shape, near.tolist()
    ((4, 2), [True, True, False, False])
    >>> SemiEmb(d_in=5, classes=2, rng=0)(np.ones((3, 5), np.float32)).shape
    (3, 2)

Weston, Ratle and Collobert 2008, ICML; its penalty on an inner layer.
"""

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.graphs.neighbour_penalty import pair_penalty
from tinynet.blocks.graphs.sparse_matmul import times
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.dropout import dropout
from tinynet.blocks.units.linear import Linear
from tinynet.masks import checked_chance, module_mask
from tinynet.sparse import SparseRows


class SemiEmb(nn.Module):
    """x (N, d_in), full or SparseRows -> logits (N, classes); `hidden` is the row h (N, width) that the penalty is on.

    p   chance of an entry of h to be dropped on its way to the logits
    """

    hops = 0            # how many edges far the logits of a node look

    def __init__(self, d_in, classes, width=50, p=0.5, rng=None, dtype=np.float32):
        self.p, self.rng = checked_chance(p), np.random.default_rng(rng)
        self.W = nn.Parameter(nn.glorot_uniform(self.rng, (d_in, width), dtype))
        self.b = nn.Parameter(np.zeros(width, dtype))
        self.last = Linear(width, classes, rng=self.rng, dtype=dtype)

    def hidden(self, x):
        return relu(times(x, self.W) + self.b)

    def forward(self, x, graph=None):
        h = self.hidden(x)
        mask = module_mask(self, *h.shape)
        return self.last(h if mask is None else dropout(h, mask, p=self.p))


def drawn_pairs(graph, nodes, count, rng):
    """(pairs (2 count, 2), near (2 count)): edges of the graph, then as many pairs of the given nodes, both at random.

    A pair drawn from the nodes may be one of neighbours: among many nodes that is rare.
    """
    if not len(graph.indices):
        raise ValueError("SemiEmb: the graph has no edges, so no pair of neighbours can be drawn; give a graph with "
                         "edges")
    edge = rng.integers(len(graph.indices), size=count)
    edges = np.stack([graph.rows[edge], graph.indices[edge]], axis=1)
    return np.concatenate([edges, rng.choice(nodes, (count, 2))]), np.arange(2 * count) < count


def semi_emb_loss(net, x, known, labels, pairs, near, weight=10.0):
    """Cross-entropy of the known nodes + weight * penalty on the hidden rows of the pairs."""
    rows = x.take(pairs.ravel()) if isinstance(x, SparseRows) else x[pairs.ravel()]
    h = ops.reshape(net.hidden(rows), shape=(len(pairs), 2, -1))
    known_x = x.take(known) if isinstance(x, SparseRows) else x[known]
    return cross_entropy(net(known_x), labels) + weight * pair_penalty(h[:, 0], h[:, 1], near=near)
