"""Graphs as the blocks read them: for every node the list of its neighbours.

    >>> from tinynet.graph import Graph
    >>> path = Graph.from_edges([(0, 1), (1, 2)], nodes=4).undirected()
    >>> [path.neighbours(i).tolist() for i in range(4)]
    [[1], [0, 2], [1], []]
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


class Graph(Rows):
    """Node i attends to its neighbours indices[indptr[i]:indptr[i+1]], sorted, none of them twice.

    nodes N   indptr (N + 1) int64   indices (E) int32   E edges i <- j, a self-loop is one of them
    """

    nodes = property(lambda self: self.shape[0])
    _inner = None

    @property
    def inner(self):
        """What the next layer needs: of a receptive field all but the outermost nodes, else the graph itself."""
        return self if self._inner is None else self._inner

    @classmethod
    def from_edges(cls, edges, nodes):
        """Rows (i, j) of whole numbers, an array or anything that yields them: i attends to j; an edge given twice
        counts once.

        Raises ShapeError unless edges is (E, 2), TypeError for edges that aren't whole numbers and
        ValueError for an edge to a node outside 0..nodes-1 or a number of nodes below 0.
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
        rows, columns = np.divmod(np.unique(edges.astype(np.int64) @ (nodes, 1)), max(nodes, 1))
        return cls(pointers(rows, nodes), columns.astype(np.int32), (nodes, nodes))

    @classmethod
    def from_scipy(cls, matrix):
        """A scipy.sparse matrix (N, N): i attends to j where its entry isn't 0.

        Raises TypeError for another kind of matrix, ShapeError for one that isn't square, ValueError for indices that
        point outside of it.
        """
        must_be_sound_scipy("graph", matrix)
        if len(matrix.shape) != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ShapeError(f"graph: the matrix has shape {matrix.shape}, but one row and one column a node make "
                             "it square")
        rows, columns = matrix.nonzero()
        return cls.from_edges(np.stack([rows, columns], axis=1), matrix.shape[0])

    @classmethod
    def from_networkx(cls, graph):
        """A networkx graph; its nodes are numbered in their order, an edge u -> v lets u attend to v.

        Raises TypeError for what isn't one.
        """
        if not hasattr(graph, "is_directed"):
            raise TypeError(f"graph: this is a {kind(graph)} and no networkx graph; make one, or use Graph.from_edges")
        number = {node: i for i, node in enumerate(graph)}
        both = () if graph.is_directed() else ((v, u) for u, v in graph.edges())
        return cls.from_edges([(number[u], number[v]) for u, v in (*graph.edges(), *both)], len(number))

    @classmethod
    def union(cls, graphs):
        """The graphs beside each other, their nodes numbered on from one to the next."""
        first = np.cumsum([0, *(graph.nodes for graph in graphs)])
        edges = [graph.edges + n for graph, n in zip(graphs, first[:-1], strict=True)]
        return cls.from_edges(np.concatenate([np.empty((0, 2), np.int64), *edges]), int(first[-1]))

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
        """With the reverse of every edge."""
        return Graph.from_edges(np.concatenate([self.edges, self.edges[:, ::-1]]), self.nodes)

    def with_self_loops(self):
        """With an edge of every node to itself."""
        loops = np.repeat(np.arange(self.nodes)[:, None], 2, axis=1)
        return Graph.from_edges(np.concatenate([self.edges, loops]), self.nodes)

    def without_self_loops(self):
        """Without the edges of nodes to themselves."""
        return Graph.from_edges(self.edges[self.rows != self.indices], self.nodes)

    def weighted(self, values):
        """A number on each edge (E) as SparseRows (N, N)."""
        return SparseRows(self.indptr, self.indices, values, self.shape)

    @cached_property
    def means(self):
        """SparseRows (N, N) that turn features into the mean over each node's neighbours; 0 where there is none."""
        return self.weighted(1 / np.diff(self.indptr)[self.rows])

    def __repr__(self):
        return f"Graph({self.nodes} nodes, {len(self.indices)} edges)"
