"""Graphs and sparse matrices as the blocks read them: for every row the list of the places that hold something.

    >>> from tinynet.graph import Graph
    >>> path = Graph.from_edges([(0, 1), (1, 2)], nodes=4).undirected()
    >>> [path.neighbours(i).tolist() for i in range(4)]
    [[1], [0, 2], [1], []]
"""

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from tinynet.shapes import ShapeError


class Rows:
    """Which places (row, indices[k]) of a matrix of this shape hold something: k from indptr[row] up to
    indptr[row+1] (compressed sparse rows, CSR).
    """

    def __init__(self, indptr, indices, shape):
        self.indptr, self.indices, self.shape = indptr, indices, shape

    @cached_property
    def rows(self):
        """(K) the row of each place."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def transposed(self):
        """(indptr, rows, order) by column: the rows that hold something in it, and where these places stand here."""
        order = np.argsort(self.indices, kind="stable")
        return _pointers(self.indices, self.shape[1]), self.rows[order], order

    def spread(self, values):
        """Numbers on the places (K, ...) as a full matrix (N, D, ...), 0 elsewhere."""
        full = np.zeros((*self.shape, *values.shape[1:]), values.dtype)
        full[self.rows, self.indices] = values
        return full


def _pointers(rows, count):
    return np.append(0, np.cumsum(np.bincount(rows, minlength=count)))


def _checked_count(nodes):
    if not isinstance(nodes, (int, np.integer)):
        raise TypeError(f"graph: nodes is {nodes!r}, but it is a count; give a whole number")
    if nodes < 0:
        raise ValueError(f"graph: {nodes} nodes are fewer than none; give 0 or more")
    return int(nodes)


def _nodes_there(nodes):
    return f"there are only the nodes 0..{nodes - 1}" if nodes else "there are no nodes"


def _numbers(block, what, given):
    """The numbers of nodes or rows as an array (B), in the name of `block`."""
    given = np.asarray(given)
    given = given.astype(np.int64) if given.size == 0 else given
    if given.ndim != 1:
        raise ShapeError(f"{block}: the {what}s have shape {given.shape}, but must be (B), a number each; flatten them")
    if given.dtype.kind not in "iu":
        raise TypeError(f"{block}: the {what}s hold {given.dtype}, but {what} numbers are integers; convert them, e.g. "
                        "a mask with np.flatnonzero(mask)")
    return given


def _kind(thing):
    """What it is, and whose: there is more than one Graph."""
    return f"{type(thing).__module__}.{type(thing).__name__}".removeprefix("builtins.")


def must_be_graph(block, graph):
    """Raises TypeError, in the name of `block`, for what isn't a Graph."""
    if not isinstance(graph, Graph):
        raise TypeError(f"{block}: graph is a {_kind(graph)}; make one with Graph.from_edges, from_scipy or "
                        "from_networkx")


def must_fit(block, named, x, graph, d_in=None):
    """Refuse what isn't a graph with a row of x for each node, and rows that aren't d_in long where that is given.

    x is `named` with its axes, N first, and `block` asks.  Raises TypeError, also for an x that is neither an array
    nor SparseRows, and ShapeError.
    """
    must_be_graph(block, graph)
    if not hasattr(x, "shape") or hasattr(x, "tocsr"):
        raise TypeError(f"{block}: {named} is a {_kind(x)}; give an array, or SparseRows.from_scipy(x)")
    if x.shape[0] != graph.nodes:
        raise ShapeError(f"{block}: {named} = {x.shape} and a graph of {graph.nodes} nodes: N is {x.shape[0]} and "
                         f"{graph.nodes}; give one row of features a node")
    if d_in is not None and x.shape[1:] != (d_in,):
        raise ShapeError(f"{block}: {named} = {x.shape} and a net for d_in = {d_in}; make them equal")


def _must_be_sound_scipy(block, matrix):
    if not hasattr(matrix, "tocsr"):
        raise TypeError(f"{block}: this is a {_kind(matrix)} and no scipy.sparse matrix; make one, or use from_dense "
                        "for features and from_edges for a graph")
    if hasattr(matrix, "check_format"):         # scipy looks only when it is asked to, and changes the matrix then
        try:
            matrix.copy().check_format(full_check=True)
        except ValueError as error:
            raise ValueError(f"{block}: the scipy.sparse matrix {matrix.shape} is damaged, its {error}; correct its "
                             "indices and indptr") from None


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
        return cls(_pointers(rows, nodes), columns.astype(np.int32), (nodes, nodes))

    @classmethod
    def from_scipy(cls, matrix):
        """A scipy.sparse matrix (N, N): i attends to j where its entry isn't 0.

        Raises TypeError for another kind of matrix, ShapeError for one that isn't square, ValueError for indices that
        point outside of it.
        """
        _must_be_sound_scipy("graph", matrix)
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
            raise TypeError(f"graph: this is a {_kind(graph)} and no networkx graph; make one, or use Graph.from_edges")
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

    def sample(self, nodes, count, rng):
        """(B, count) neighbours of these nodes (B), drawn evenly and with replacement; -1 where a node has none.

        count   None: all neighbours, each once, in random order, and -1 after them up to the longest row
        rng     a seed or np.random.Generator

        Raises ValueError for a count below 1, and what `checked_nodes` raises.
        """
        nodes, rng = self.checked_nodes(nodes), np.random.default_rng(rng)
        if count is not None and count < 1:
            raise ValueError(f"graph: {count} neighbours can't be drawn; draw at least 1, or None for all")
        degrees = np.diff(self.indptr)[nodes][:, None]
        if count is None:
            keys = rng.random((len(nodes), degrees.max(initial=1)))
            place = np.where(np.arange(keys.shape[1]) < degrees, keys, 1).argsort(axis=1)       # keys are below 1
        else:
            place = rng.integers(np.maximum(degrees, 1), size=(len(nodes), count))
        where = np.where(place < degrees, self.indptr[nodes][:, None] + place, -1)
        return np.append(self.indices, np.int32(-1))[where]

    def receptive_field(self, nodes, hops):
        """(field, graph): the given nodes (B), sorted and each once, then the nodes that these look at, and so on,
        `hops` edges far; and the graph on this field, in which all but the outermost keep their neighbours.

        This is all that a net of `hops` layers, each of which looks one edge far, has to know to answer for the nodes.
        `inner` of the graph is what remains for its second layer, and so on; the given nodes come first in each.

        Raises ValueError for hops below 0, and what `checked_nodes` raises.
        """
        if hops < 0:
            raise ValueError(f"graph: {hops} hops lead nowhere; give 0 or more")
        field = np.unique(self.checked_nodes(nodes)).astype(np.int64)
        graph, number = _Innermost.from_edges([], len(field)), np.full(self.nodes, -1)       # -1: not reached
        number[field] = np.arange(len(field))
        for _ in range(hops):
            reached = number[self.rows] >= 0
            i, j = self.rows[reached], self.indices[reached]
            field = np.append(field, np.unique(j[number[j] < 0]))
            number[field] = np.arange(len(field))
            inner, graph = graph, Graph.from_edges(np.stack([number[i], number[j]], axis=1), len(field))
            graph._inner = inner
        return field, graph

    def checked_nodes(self, nodes):
        """Nodes as an array (B).

        Raises ShapeError unless they are (B), TypeError unless they are whole numbers and ValueError for a node that
        isn't there.
        """
        nodes = _numbers("graph", "node", nodes)
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


class _Innermost(Graph):
    """The nodes that a receptive field is for: what comes out of the last layer."""

    @property
    def inner(self):
        raise ValueError("graph: the net looks further than the hops that this receptive field was made for; give more "
                         "hops")


class SparseRows(Rows):
    """A matrix (N, D) of mostly zeros: the K numbers values[k] on the places of its rows.

    from_dense and from_scipy make what is right; the arrays given here are taken as they are, no place twice.
    """

    def __init__(self, indptr, indices, values, shape):
        super().__init__(indptr, indices, shape)
        self.values = values

    @classmethod
    def from_dense(cls, matrix):
        """The numbers of an array (N, D) that aren't 0; raises ShapeError for other than two axes."""
        matrix = np.asarray(matrix)
        if matrix.ndim != 2:
            raise ShapeError(f"SparseRows: the matrix has shape {matrix.shape}, but needs two axes (N D)")
        rows, columns = np.nonzero(matrix)
        return cls(_pointers(rows, len(matrix)), columns, matrix[rows, columns], matrix.shape)

    @classmethod
    def from_scipy(cls, matrix):
        """A scipy.sparse matrix (N, D); numbers that it holds at the same place are added.

        Raises TypeError for another kind of matrix, ShapeError for other than two axes, ValueError for indices that
        point outside of it.
        """
        _must_be_sound_scipy("SparseRows", matrix)
        if len(matrix.shape) != 2:
            raise ShapeError(f"SparseRows: the matrix has shape {matrix.shape}, but needs two axes (N D)")
        rows = matrix.tocsr(copy=True)
        rows.sum_duplicates()
        return cls(rows.indptr.astype(np.int64), rows.indices, rows.data, rows.shape)

    def take(self, rows):
        """The rows of these numbers; -1 stands for a row of zeros.

        Raises ShapeError unless they are (B), TypeError unless they are whole numbers and ValueError for a row that
        isn't there.
        """
        rows = _numbers("SparseRows", "row", rows)
        wrong = rows[(rows < -1) | (rows >= self.shape[0])]
        if len(wrong):
            raise ValueError(f"SparseRows: there is no row {wrong[0]} among {self.shape[0]}; count from 0, or give -1 "
                             "for a row of zeros")
        counts = np.append(np.diff(self.indptr), 0)[rows]
        first = np.append(self.indptr[:-1], 0)[rows]
        indptr = np.append(0, np.cumsum(counts))
        where = np.arange(indptr[-1]) + np.repeat(first - indptr[:-1], counts)
        return SparseRows(indptr, self.indices[where], self.values[where], (len(rows), self.shape[1]))

    def then(self, other):
        """These rows and under them those of `other`."""
        return SparseRows(np.append(self.indptr, self.indptr[-1] + other.indptr[1:]),
                          np.append(self.indices, other.indices), np.append(self.values, other.values),
                          (self.shape[0] + other.shape[0], self.shape[1]))

    def normalised(self):
        """Each row divided by its sum; a row of zeros stays."""
        sums = np.bincount(self.rows, self.values, self.shape[0])
        values = self.values / np.where(sums == 0, 1, sums)[self.rows]
        return SparseRows(self.indptr, self.indices, values.astype(np.result_type(self.values, np.float32)), self.shape)

    def dense(self):
        """(N, D)"""
        return self.spread(self.values)
