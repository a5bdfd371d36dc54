"""Parts of a graph around some nodes: neighbours drawn at random, and all that a net of a few layers sees.

    >>> from tinynet.graph import Graph
    >>> from tinynet.neighbourhoods import receptive_field
    >>> path = Graph.from_edges([(0, 1), (1, 2), (2, 3)], nodes=4).undirected()
    >>> receptive_field(path, [0], hops=1)[0].tolist()
    [0, 1]
"""

import numpy as np

from tinynet.graph import Graph, must_be_unweighted


def sample(graph, nodes, count, rng):
    """(B, count) neighbours of these nodes (B), drawn evenly and with replacement; -1 where a node has none.

    count   None: all neighbours, each once, in random order, and -1 after them up to the longest row
    rng     a seed or np.random.Generator

    Raises ValueError for a count below 1 and for edges with weights, and what `Graph.checked_nodes` raises.
    """
    must_be_unweighted("sample", graph)
    nodes, rng = graph.checked_nodes(nodes), np.random.default_rng(rng)
    if count is not None and count < 1:
        raise ValueError(f"graph: {count} neighbours can't be drawn; draw at least 1, or None for all")
    degrees = np.diff(graph.indptr)[nodes][:, None]
    if count is None:
        keys = rng.random((len(nodes), degrees.max(initial=1)))
        place = np.where(np.arange(keys.shape[1]) < degrees, keys, 1).argsort(axis=1)       # keys are below 1
    else:
        place = rng.integers(np.maximum(degrees, 1), size=(len(nodes), count))
    where = np.where(place < degrees, graph.indptr[nodes][:, None] + place, -1)
    return np.append(graph.indices, np.int32(-1))[where]


def receptive_field(graph, nodes, hops):
    """(field, near): the given nodes (B), sorted and each once, then the nodes that these look at, and so on,
    `hops` edges far; and the graph on this field, in which all but the outermost keep their neighbours.

    This is all that a net of `hops` layers, each of which looks one edge far, has to know to answer for the nodes.
    `inner` of the graph is what remains for its second layer, and so on; the given nodes come first in each.

    Raises ValueError for hops below 0, and what `Graph.checked_nodes` raises.
    """
    if hops < 0:
        raise ValueError(f"receptive_field: hops is {hops}; it must be 0 or more")
    field = np.unique(graph.checked_nodes(nodes)).astype(np.int64)
    near, number = _Innermost.from_edges([], len(field)), np.full(graph.nodes, -1)       # -1: not reached
    number[field] = np.arange(len(field))
    for _ in range(hops):
        reached = number[graph.rows] >= 0
        i, j = graph.rows[reached], graph.indices[reached]
        field = np.append(field, np.unique(j[number[j] < 0]))
        number[field] = np.arange(len(field))
        edges = np.stack([number[i], number[j]], axis=1)
        weights = None if graph.weights is None else graph.weights[reached]
        inner, near = near, Graph.from_edges(edges, len(field), weights)
        near._inner = inner
    return field, near


class _Innermost(Graph):
    """The nodes that a receptive field is for: what comes out of the last layer."""

    @property
    def inner(self):
        raise ValueError("graph: the net looks further than the hops that this receptive field was made for; give more "
                         "hops")
