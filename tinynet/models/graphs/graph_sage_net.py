"""GraphSAGE: a net that looks at samples of a node's neighbourhood, so that the graph may be new or huge (shi fig8).

    >>> from tinynet.graph import Graph
    >>> from tinynet.models.graphs.graph_sage_net import GraphSAGE
    >>> import numpy as np
    >>> path = Graph.from_edges([(0, 1), (1, 2)], nodes=3).undirected()
    >>> GraphSAGE(d_in=5, classes=2, rng=0)(np.ones((3, 5), np.float32), path, nodes=[0, 2]).shape
    (2, 2)

A node's own features count beside its neighbours', so give graphs without self-loops.
Hamilton, Ying and Leskovec 2017, arXiv:1706.02216.
"""

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.graphs.graph_sage import AGGREGATORS, normalised
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.linear import Linear
from tinynet.graph import must_fit
from tinynet.neighbourhoods import sample
from tinynet.sparse import SparseRows


class GraphSAGE(nn.Module):
    """x (N, d_in), full or SparseRows, a graph of N nodes, and the numbers of B of them -> logits (B, classes).

    aggregator  gcn, mean, pool or lstm, a layer for each of `widths`, with ReLU between them; the last one's output is
                normalised, as in the published code (algorithm 1 does so after every layer), and classified linearly
    widths      of each of a layer's two halves
    samples     neighbours drawn in each layer, as in algorithm 2 counted from the features: with (25, 10) the given
                nodes draw 10, and these 25 each; anew at every call, in evaluation too.  None: all neighbours
    hidden      units that look at a neighbour in pool and lstm
    rng         a seed or np.random.Generator, for the first parameters and the samples

    Raises ValueError for an unknown aggregator and where widths and samples differ in number.
    """

    def __init__(self, d_in, classes, aggregator="mean", widths=(128, 128), samples=(25, 10), hidden=128, rng=None,
                 dtype=np.float32):
        if aggregator not in AGGREGATORS:
            raise ValueError(f"GraphSAGE: there is no aggregator {aggregator!r}; choose one of "
                             f"{', '.join(map(repr, AGGREGATORS))}")
        self.samples = [None] * len(widths) if samples is None else list(samples)
        if len(self.samples) != len(widths):
            raise ValueError(f"GraphSAGE: {len(widths)} widths and {len(self.samples)} samples; give both for every "
                             "layer")
        self.d_in, self.rng = d_in, np.random.default_rng(rng)
        wide = [d_in, *(2 * width for width in widths)]
        self.layers = [AGGREGATORS[aggregator](d, width, hidden, self.rng, dtype)
                       for d, width in zip(wide[:-1], widths, strict=True)]
        self.last = Linear(wide[-1], classes, rng=self.rng, dtype=dtype)

    def forward(self, x, graph, nodes):
        """Raises ShapeError unless x is (N, d_in), and what Graph.sample raises for wrong nodes."""
        must_fit("GraphSAGE", "x (N d_in)", x, graph, self.d_in)
        needed, samples = self.neighbourhoods(graph, nodes)
        h = x.take(needed).dense() if isinstance(x, SparseRows) else x[needed]
        for layer, (own, sampled) in zip(self.layers, samples, strict=True):
            h = h if layer is self.layers[0] else relu(h)
            h = ops.concatenate(h, np.zeros((1, h.shape[1]), h.dtype))      # row -1: where no neighbour is
            h = layer(h[own], h[sampled], sampled >= 0)
        return self.last(normalised(h))

    def neighbourhoods(self, graph, nodes):
        """Algorithm 2, lines 1-7: the nodes whose features are needed and, for each layer, where its nodes (B) and
        their sampled neighbours (B, S; -1: none) stand among those it is given.
        """
        needed, layers = nodes, []
        for count in reversed(self.samples):
            sampled = sample(graph, needed, count, self.rng)
            nodes, needed = needed, np.union1d(needed, sampled[sampled >= 0]).astype(np.int64)
            found = np.where(sampled < 0, -1, np.searchsorted(needed, sampled))
            layers.insert(0, (np.searchsorted(needed, nodes), found))
        return needed, layers


class GraphSAGEStar(GraphSAGE):
    """GraphSAGE*, the best that Velickovic et al. 2018 got from GraphSAGE: three layers of 512, 512 and 726 features,
    with LSTMs of 128 units.  The paper doesn't say it, but we assume: the widths count both halves together, and all
    neighbours are used unless `samples` is given.  "All" takes memory for as many places as the largest neighbourhood
    has.
    """

    def __init__(self, d_in, classes, samples=None, rng=None, dtype=np.float32):
        super().__init__(d_in, classes, "lstm", (256, 256, 363), samples, hidden=128, rng=rng, dtype=dtype)
