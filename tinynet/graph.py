"""A graph as the blocks read it: for every node the list of its neighbours (compressed sparse rows, CSR).

    >>> from tinynet.graph import Graph
    >>> path = Graph.from_edges([(0, 1), (1, 2)], nodes=4).undirected()
    >>> [path.neighbours(i).tolist() for i in range(4)]
    [[1], [0, 2], [1], []]
"""

from functools import cached_property

import numpy as np

from tinynet.shapes import ShapeError


class Graph:
    """Node i attends to its neighbours indices[indptr[i]:indptr[i+1]], sorted, none of them twice.

    nodes N   indptr (N + 1) int64   indices (E) int32   E edges i <- j, a self-loop is one of them
    """

    def __init__(self, indptr, indices):
        self.indptr, self.indices, self.nodes = indptr, indices, len(indptr) - 1

    @classmethod
    def from_edges(cls, edges, nodes):
        """Rows (i, j) of whole numbers: i attends to j; an edge given twice counts once.

        Raises ShapeError unless edges is (E, 2), TypeError for edges that aren't whole numbers and
        ValueError for an edge to a node outside 0..nodes-1.
        """
        edges = np.asarray(edges)
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
            raise ValueError(f"graph: edge {wrong[0]} is ({i}, {j}), but there are only the nodes 0..{nodes - 1}; "
                             "correct the edge or give more nodes")
        rows, columns = np.divmod(np.unique(edges[:, 0].astype(np.int64) * nodes + edges[:, 1]), max(nodes, 1))
        return cls(np.append(0, np.cumsum(np.bincount(rows, minlength=nodes))), columns.astype(np.int32))

    @classmethod
    def from_scipy(cls, matrix):
        """A scipy.sparse matrix (N, N): i attends to j where its entry isn't 0."""
        rows, columns = matrix.nonzero()
        if matrix.shape[0] != matrix.shape[1]:
            raise ShapeError(f"graph: the matrix has shape {matrix.shape}, but one row and one column a node make "
                             "it square")
        return cls.from_edges(np.stack([rows, columns], axis=1), matrix.shape[0])

    @classmethod
    def from_networkx(cls, graph):
        """A networkx graph; its nodes are numbered in their order, an edge u -> v lets u attend to v."""
        number = {node: i for i, node in enumerate(graph)}
        both = () if graph.is_directed() else ((v, u) for u, v in graph.edges())
        return cls.from_edges([(number[u], number[v]) for u, v in (*graph.edges(), *both)], len(number))

    @cached_property
    def rows(self):
        """(E) the node i of each edge i <- j."""
        return np.repeat(np.arange(self.nodes, dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def transposed(self):
        """(indptr, rows, edges) sorted by j: who attends to j, and the numbers of these edges."""
        return _by_column(self.indices, self.rows, self.nodes)

    @property
    def edges(self):
        """(E, 2) rows (i, j)."""
        return np.stack([self.rows, self.indices], axis=1)

    def neighbours(self, i):
        """The nodes that node i attends to."""
        return self.indices[self.indptr[i]:self.indptr[i + 1]]

    def undirected(self):
        """With the reverse of every edge."""
        return Graph.from_edges(np.concatenate([self.edges, self.edges[:, ::-1]]), self.nodes)

    def with_self_loops(self):
        """With an edge of every node to itself."""
        loops = np.repeat(np.arange(self.nodes)[:, None], 2, axis=1)
        return Graph.from_edges(np.concatenate([self.edges, loops]), self.nodes)

    def dense(self, values, zero=0):
        """Numbers on the edges (E, ...) as (N, N, ...), `zero` where there is no edge."""
        full = np.full((self.nodes, self.nodes, *values.shape[1:]), zero, values.dtype)
        full[self.rows, self.indices] = values
        return full

    def __repr__(self):
        return f"Graph({self.nodes} nodes, {len(self.indices)} edges)"


class SparseRows:
    """A matrix (N, D) of mostly zeros: row n has the K numbers values[k] in the columns indices[k],
    k from indptr[n] up to indptr[n+1].
    """

    def __init__(self, indptr, indices, values, shape):
        self.indptr, self.indices, self.values, self.shape = indptr, indices, values, shape

    def take(self, rows):
        """The rows of these numbers; -1 stands for a row of zeros."""
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
        return SparseRows(self.indptr, self.indices, values.astype(self.values.dtype), self.shape)

    @cached_property
    def rows(self):
        """(K) the row of each value."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def transposed(self):
        """(indptr, rows, order) by column: the rows that have a value in it, and where these values stand."""
        return _by_column(self.indices, self.rows, self.shape[1])

    def dense(self, values=None):
        """(N, D), or (N, D, ...) for other values (K, ...) in the same places."""
        values = self.values if values is None else values
        full = np.zeros((*self.shape, *values.shape[1:]), values.dtype)
        full[self.rows, self.indices] = values
        return full


def _by_column(columns, rows, count):
    order = np.argsort(columns, kind="stable")
    return np.append(0, np.cumsum(np.bincount(columns, minlength=count))), rows[order], order
