"""A task of our own: graphs that weren't seen in training.

`pubmed in pieces`: Pubmed's graph is cut into 24 pieces of nearby papers; 20 are to learn from, all labels known, 2 for
validation and 2, unseen, to test on.  No citation between pieces is left, so that nothing of a piece is known outside
of it.  No paper reports numbers on it.
"""

from functools import lru_cache

import numpy as np

from lessons.tables.graphs.proteins import fit_sage, logits_of
from tinynet import optim
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.data.citation import citation
from tinynet.graph import Graph
from tinynet.models.graphs.gat import GAT
from tinynet.models.graphs.graph_sage_net import GraphSAGE
from tinynet.train.nodes import fit_nodes, measure
from tinynet.train.rules import Patience

PIECES = 24


def pieces(graph, count, rng):
    """(N) the piece of each node: that of the nearest of `count` nodes drawn at random; -1 where none is reached."""
    piece = np.full(graph.nodes, -1)
    piece[rng.choice(graph.nodes, count, replace=False)] = np.arange(count)
    while True:
        grow = (piece[graph.rows] < 0) & (piece[graph.indices] >= 0)
        if not grow.any():
            return piece
        piece[graph.rows[grow]] = piece[graph.indices[grow]]


@lru_cache(maxsize=1)
def cut_pubmed(folder):
    """(features, labels, the graph without citations between pieces, nodes to learn from, of val, of test)"""
    data = citation("pubmed", folder)
    piece = pieces(data.graph, PIECES, np.random.default_rng(0))
    within = data.graph.edges[piece[data.graph.rows] == piece[data.graph.indices]]
    nodes = (np.flatnonzero((piece >= first) & (piece < last)) for first, last in ((0, 20), (20, 22), (22, 24)))
    return data.features.normalised(), data.labels, Graph.from_edges(within, data.graph.nodes), *nodes


def gat_in_pieces(run, make=GAT):
    """As in the paper's inductive task: no dropout, no penalty, Adam .005, patience 100.  All pieces to learn from are
    computed at once, which changes nothing: none sees another.
    """
    x, labels, graph, learn, val, test = cut_pubmed(run.data)
    net, graph = make(x.shape[1], 3, p=0, rng=run.seed), graph.with_self_loops()
    fit_nodes(net, x, graph, labels, learn, val, optim.Adam(net.parameters(), lr=0.005), Patience(100), 100_000)
    return {"val accuracy": 100 * measure(net, x, graph, labels, val)["accuracy"],
            "test accuracy": 100 * measure(net, x, graph, labels, test)["accuracy"]}


def sage_in_pieces(run, aggregator):
    x, labels, graph, learn, val, test = cut_pubmed(run.data)
    net = GraphSAGE(x.shape[1], 3, aggregator, rng=run.seed)
    fit_sage(net, x, graph, learn, labels, cross_entropy, run.seed)
    return {f"{part} accuracy": 100 * (logits_of(net, x, graph, nodes).argmax(axis=1) == labels[nodes]).mean()
            for part, nodes in (("val", val), ("test", test))}
