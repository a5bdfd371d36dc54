"""Graphs as the blocks read them: for every node the list of its neighbours.

    >>> from tinynet.graph import Graph
    >>> path = Graph.from_edges([(0, 1), (1, 2)], nodes=4).undirected()
    >>> [path.neighbours(i).tolist() for i in range(4)]
    [[1], [0, 2], [1], []]

An edge may have a weight, above 0: how much it counts beside the others of its node.

    >>> near = Graph.from_edges([(0, 1), (0, 2)], nodes=3, weights=[3.0, 1.0])
    >>> near.means.dense()[0].tolist()
    [0.0, 0.75, 0.25]
"""

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from tinynet.shapes import ShapeError
from tinynet.sparse import Rows, SparseRows, kind, must_be_sound_scipy, numbers, pointers


def _checked_count(nodes):
    if not isinstance(nodes, (int, np.integer)):
        raise TypeError(f"graph: nodes is {nodes!r}, but it is a count; give a whole number")
    if nodes < 0:
        raise ValueError(f"graph: {nodes} nodes are fewer than none; give 0 or more")
    return int(nodes)


def _nodes_there(nodes):
    return f"there are only the nodes 0..{nodes - 1}" if nodes else "there are no nodes"


def must_be_graph(block, graph):
    """Raises TypeError, in the name of `block`, for what isn't a Graph."""
    if not isinstance(graph, Graph):
        raise TypeError(f"{block}: graph is a {kind(graph)}; make one with Graph.from_edges, from_scipy or "
                        "from_networkx")


def must_be_unweighted(block, graph):
    """Raises ValueError, in the name of `block`, for a graph whose edges have weights that the block wouldn't use."""
    if graph.weights is not None and (graph.weights != 1).any():
        raise ValueError(f"{block}: the graph's edges have weights, which this layer doesn't use; leave them out with "
                         "Graph.from_edges(graph.edges, graph.nodes)")


def must_fit(block, named, x, graph, d_in=None):
    """Refuse what isn't a graph with a row of x for each node, and rows that aren't d_in long where that is given.

    x is `named` with its axes, N first, and `block` asks.  Raises TypeError, also for an x that is neither an array
    nor SparseRows, and ShapeError.
    """
    must_be_graph(block, graph)
    if not hasattr(x, "shape") or hasattr(x, "tocsr"):
        raise TypeError(f"{block}: {named} is a {kind(x)}; give an array, or SparseRows.from_scipy(x)")
    if x.shape[0] != graph.nodes:
        raise ShapeError(f"{block}: {named} = {x.shape} and a graph of {graph.nodes} nodes: N is {x.shape[0]} and "
                         f"{graph.nodes}; give one row of features a node")
    if d_in is not None and x.shape[1:] != (d_in,):
        raise ShapeError(f"{block}: {named} = {x.shape} and a net for d_in = {d_in}; make them equal")


def _merged(edges, place, weights):
    """The largest weight that was given for each place, in the order of the places; None where all are 1."""
    weights = np.asarray(weights, float)
    if weights.shape != (len(edges),):
        raise ShapeError(f"graph: there are {len(edges)} edges, and the weights have shape {weights.shape}; give one "
                         "weight an edge, (E)")
    wrong = np.flatnonzero(~((weights > 0) & np.isfinite(weights)))
    if len(wrong):
        i, j = edges[wrong[0]].tolist()
        raise ValueError(f"graph: edge {wrong[0]}, ({i}, {j}), has the weight {weights[wrong[0]]:g}, but a weight must "
                         "be above 0 and finite; leave out an edge that doesn't count")
    places, which = np.unique(place, return_inverse=True)
    merged = np.zeros(len(places))
    np.maximum.at(merged, which, weights)
    return None if (merged == 1).all() else merged


class Graph(Rows):
    """Node i attends to its neighbours indices[indptr[i]:indptr[i+1]], sorted, none of them twice.

    nodes N   indptr (N + 1) int64   indices (E) int32   E edges i <- j, a self-loop is one of them
    weights (E) float64, each above 0, or None where every edge counts 1

    Whatever takes sums or means over neighbours counts each by its weight (`adjacency`, `degrees`, `means`), and a
    random walk takes an edge in proportion to it.  Attention weighs by itself: GAT and GraphSAGE's samples refuse edges
    with weights, and MoNet sees them in the degrees alone.
    """

    def __init__(self, indptr, indices, shape, weights=None):
        super().__init__(indptr, indices, shape)
        self.weights = weights

    nodes = property(lambda self: self.shape[0])
    _inner = None

    @property
    def inner(self):
        """What the next layer needs: of a receptive field all but the outermost nodes, else the graph itself."""
        return self if self._inner is None else self._inner

    @classmethod
    def from_edges(cls, edges, nodes, weights=None):
        """Rows (i, j) of whole numbers, an array or anything that yields them: i attends to j; an edge given twice
        counts once, with the larger of its weights.

        weights   (E) a number above 0 for each row; None: all count 1

        Raises ShapeError unless edges is (E, 2) and weights (E), TypeError for edges that aren't whole numbers and
        ValueError for an edge to a node outside 0..nodes-1, a number of nodes below 0 or a weight that isn't above 0.
        """
        nodes = _checked_count(nodes)
        try:
            edges = np.asarray(edges if hasattr(edges, "__array__") or not isinstance(edges, Iterable) else list(edges))
        except ValueError:
            raise ShapeError("graph: the edges are rows of different lengths, but each must be a pair (i, j)") from None
        edges = edges.reshape(0, 2).astype(np.int64) if edges.size == 0 else edges
        if edges.ndim != 2 or edges.shape[1] != 2:
            raise ShapeError(f"graph: the edges have shape {edges.shape}, but must be (E, 2), a row (i, j) an edge; "
                             "transpose them if they are (2, E)")
        if edges.dtype.kind not in "iu":
            raise TypeError(f"graph: the edges hold {edges.dtype}, but node numbers are integers; convert them, "
                            "e.g. edges.astype(np.int64)")
        wrong = np.flatnonzero(((edges < 0) | (edges >= nodes)).any(axis=1))
        if len(wrong):
            i, j = edges[wrong[0]].tolist()
            raise ValueError(f"graph: edge {wrong[0]} is ({i}, {j}), but {_nodes_there(nodes)}; correct the edge or "
                             "give more nodes")
        place = edges.astype(np.int64) @ (nodes, 1)
        rows, columns = np.divmod(np.unique(place), max(nodes, 1))
        weights = None if weights is None else _merged(edges, place, weights)
        return cls(pointers(rows, nodes), columns.astype(np.int32), (nodes, nodes), weights)

    @classmethod
    def from_scipy(cls, matrix):
        """A scipy.sparse matrix (N, N): i attends to j where its entry isn't 0, and the entry is the edge's weight;
        numbers that it holds at the same place are added.

        Raises TypeError for another kind of matrix, ShapeError for one that isn't square, ValueError for indices that
        point outside of it and for entries below 0.
        """
        must_be_sound_scipy("graph", matrix)
        if len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ShapeError(f"graph: the matrix has shape {matrix.shape}, but one row and one column a node make "
                             "it square")
        matrix = matrix.tocoo(copy=True)
        matrix.sum_duplicates()
        there = matrix.data != 0
        edges = np.stack([matrix.row[there], matrix.col[there]], axis=1)
        return cls.from_edges(edges, matrix.shape[0], matrix.data[there])

    @classmethod
    def from_networkx(cls, graph):
        """A networkx graph; its nodes are numbered in their order, an edge u -> v lets u attend to v.  An edge's
        attribute "weight" is its weight, and 1 where it has none, as networkx itself reads it.

        Raises TypeError for what isn't one, and ValueError for a weight that isn't above 0.
        """
        if not hasattr(graph, "is_directed"):
            raise TypeError(f"graph: this is a {kind(graph)} and no networkx graph; make one, or use Graph.from_edges")
        number = {node: i for i, node in enumerate(graph)}
        edges = [(number[u], number[v], weight) for u, v, weight in graph.edges(data="weight", default=1)]
        edges += [] if graph.is_directed() else [(j, i, weight) for i, j, weight in edges]
        return cls.from_edges([edge[:2] for edge in edges], len(number), [edge[2] for edge in edges])

    @classmethod
    def union(cls, graphs):
        """The graphs beside each other, their nodes numbered on from one to the next."""
        first = np.cumsum([0, *(graph.nodes for graph in graphs)])
        edges = [graph.edges + n for graph, n in zip(graphs, first[:-1], strict=True)]
        weights = [np.empty(0), *(graph.adjacency.values for graph in graphs)]
        return cls.from_edges(np.concatenate([np.empty((0, 2), np.int64), *edges]), int(first[-1]),
                              np.concatenate(weights))

    @property
    def edges(self):
        """(E, 2) rows (i, j)."""
        return np.stack([self.rows, self.indices], axis=1)

    def neighbours(self, i):
        """The nodes that node i attends to.  Raises what `checked_nodes` raises."""
        i, = self.checked_nodes([i])
        return self.indices[self.indptr[i]:self.indptr[i + 1]]

    def checked_nodes(self, nodes):
        """Nodes as an array (B).

        Raises ShapeError unless they are (B), TypeError unless they are whole numbers and ValueError for a node that
        isn't there.
        """
        nodes = numbers("graph", "node", nodes)
        wrong = nodes[(nodes < 0) | (nodes >= self.nodes)]
        if len(wrong):
            raise ValueError(f"graph: there is no node {wrong[0]}, {_nodes_there(self.nodes)}; correct the numbers or "
                             "give more nodes")
        return nodes

    def undirected(self):
        """With the reverse of every edge; where both were there, the larger of their weights counts for both."""
        return self._and(self.edges[:, ::-1], self.weights)

    def with_self_loops(self):
        """With an edge of weight 1 of every node to itself, unless it has one."""
        alone = np.ones(self.nodes, bool)
        alone[self.rows[self.rows == self.indices]] = False
        loops = np.repeat(np.flatnonzero(alone)[:, None], 2, axis=1)
        return self._and(loops, np.ones(len(loops)))

    def _and(self, edges, weights):
        """With these edges, too."""
        weights = None if self.weights is None else np.concatenate([self.weights, weights])
        return Graph.from_edges(np.concatenate([self.edges, edges]), self.nodes, weights)

    def without_self_loops(self):
        """Without the edges of nodes to themselves."""
        return self.only(self.rows != self.indices)

    def only(self, kept):
        """With the edges for which `kept` (E) is True, and no others."""
        return Graph.from_edges(self.edges[kept], self.nodes, None if self.weights is None else self.weights[kept])

    def weighted(self, values):
        """A number on each edge (E) as SparseRows (N, N)."""
        return SparseRows(self.indptr, self.indices, values, self.shape)

    @cached_property
    def adjacency(self):
        """A as SparseRows (N, N): the weight of each edge."""
        return self.weighted(np.ones(len(self.indices)) if self.weights is None else self.weights)

    @cached_property
    def degrees(self):
        """d (N): the sum of the weights of each node's edges, how many neighbours it has where all count 1."""
        return np.bincount(self.rows, self.adjacency.values, self.nodes)

    @cached_property
    def means(self):
        """SparseRows (N, N) that turn features into the mean over each node's neighbours, each counted by its weight;
        0 where there is none.
        """
        return self.weighted(self.adjacency.values / self.degrees[self.rows])

    @cached_property
    def components(self):
        """(N) the component of each node, numbered from 0; an edge joins its ends in either direction."""
        ends, least = self.undirected(), np.arange(self.nodes)
        while True:     # every node takes the least number among its neighbours', then that one's, until none changes
            before = least.copy()
            np.minimum.at(least, ends.rows, before[ends.indices])
            least = least[least]
            if np.array_equal(before, least):
                return np.unique(least, return_inverse=True)[1]

    def __repr__(self):
        return f"Graph({self.nodes} nodes, {len(self.indices)} edges)"
