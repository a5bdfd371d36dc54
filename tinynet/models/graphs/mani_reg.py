"""Manifold regularisation: a linear function of the words that also has to be smooth along the citations (shi fig9).

LapRLS of Belkin, Niyogi and Sindhwani 2006 (JMLR 7, section 4.2) with a linear kernel, in closed form.  The function is
f(x) = x W + b, a column a class, with b the mean of the one-hot labels Y of the l labelled nodes.  It minimises

    1/l |Y - b - X_l W|^2 + ridge |W|^2 + smooth/E f'Lf,    f'Lf = sum over the E edges of a[i,j] |f[i] - f[j]|^2

and its gradient in W is 0 where

    (X_l'X_l / l + ridge + smooth/E X'LX) W = X_l'(Y - b) / l

The matrix is as large as the words, however many nodes there are.  `graph` is what the method may see: of nodes that
are to stay unseen, leave out the edges (`graph.only`); their features have then no part in W.

    >>> import numpy as np
    >>> from tinynet.graph import Graph
    >>> from tinynet.models.graphs.mani_reg import mani_reg
    >>> x, path = np.eye(4), Graph.from_edges([(0, 1), (2, 3)], nodes=4).undirected()
    >>> W, b = mani_reg(x, path, known=[0, 3], labels=[0, 1], classes=2, ridge=1e-6, smooth=1.0)
    >>> (x @ W + b).round(2).tolist()
    [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
"""

import numpy as np

from tinynet.blocks.graphs.neighbour_penalty import laplacian_penalty
from tinynet.blocks.graphs.sparse_matmul import times
from tinynet.engine import Tensor
from tinynet.graph import must_fit
from tinynet.models.graphs.label_propagation import checked_labels
from tinynet.sparse import SparseRows


class Smoothness:
    """X'LX / E of one graph, from which `solve` gives W and b for any ridge and smooth."""

    def __init__(self, x, graph, known, labels, classes):
        """Raises what `mani_reg` raises."""
        must_fit("mani_reg", "x (N D)", x, graph)
        known, labels = checked_labels("mani_reg", graph, known, labels, classes)
        x = x if isinstance(x, SparseRows) else SparseRows.from_dense(x)
        Y = np.eye(classes)[labels]
        self.b = Y.mean(axis=0)
        X_l = x.take(known).dense().astype(float)
        self.fit, self.right = X_l.T @ X_l / len(known), X_l.T @ (Y - self.b) / len(known)
        self.smooth = times(x.T, Tensor(_laplacian_times(x.dense().astype(float), graph))).data
        self.smooth /= max(graph.adjacency.values.sum() / 2, 1e-300)

    def solve(self, ridge, smooth):
        """(W (D, C), b (C))"""
        if not ridge > 0 or not smooth >= 0:
            raise ValueError(f"mani_reg: ridge is {ridge} and smooth {smooth}; give a ridge above 0, so that there is "
                             "one solution, and a smooth of 0 or more")
        return np.linalg.solve(self.fit + ridge * np.eye(len(self.fit)) + smooth * self.smooth, self.right), self.b


def _laplacian_times(f, graph):
    """L f for L = D - A: half the gradient of the penalty f'Lf."""
    f = Tensor(f, requires_grad=True)
    laplacian_penalty(f, graph=graph).backward()
    return f.grad / 2


def mani_reg(x, graph, known, labels, classes, ridge=1e-2, smooth=1.0):
    """(W (D, C), b (C)), with which x W + b are the scores of any node, of this graph or not.

    x        (N, D) features, an array or SparseRows      graph   its edges go both ways
    known    numbers of the labelled nodes                labels  their classes 0..classes-1
    ridge    what large weights cost, above 0             smooth  what differences along edges cost, 0 or more

    Raises ShapeError and TypeError where x and graph don't fit, ValueError for labels that aren't there, for a class
    without a label, and for a ridge or smooth that can't be.
    """
    return Smoothness(x, graph, known, labels, classes).solve(ridge, smooth)
