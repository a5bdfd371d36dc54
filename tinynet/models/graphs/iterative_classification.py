"""Iterative classification (ICA): what the labels of a node's neighbours tell is learnt, then used again and again
(shi fig9).

A local classifier reads a node's words alone and gives every unlabelled node a first label.  A relational one reads the
words and how often each class stands among the neighbours; it is learnt from the labelled nodes, with their neighbours'
labels known or just guessed.  Then each unlabelled node in turn is relabelled from its neighbours' labels as they are
now, `rounds` times in one random order.  That a neighbour is of the same class is nowhere assumed: `influence` (C, C)
says how much a neighbour of class b counts for class a, and it may be large off its diagonal.

    >>> import numpy as np
    >>> from tinynet.graph import Graph
    >>> from tinynet.models.graphs.iterative_classification import iterative_classification
    >>> ring = Graph.from_edges([(i, (i + 1) % 12) for i in range(12)], nodes=12).undirected()
    >>> known = np.arange(8)                                    # their neighbours are of the other class
    >>> labels, influence = iterative_classification(np.ones((12, 1)), ring, known, known % 2, classes=2, rng=1)
    >>> labels[8:].tolist(), influence.round(1).tolist()
    ([0, 1, 0, 1], [[-0.9, 1.0], [0.9, -1.0]])

Lu and Getoor 2003, ICML; as Kipf and Welling 2017 use it (github.com/tkipf/ica): logistic regressions, one class
against the rest, by scikit-learn.
"""

from typing import NamedTuple

import numpy as np

from tinynet.graph import must_fit
from tinynet.jit import jit
from tinynet.models.graphs.label_propagation import checked_labels
from tinynet.sparse import SparseRows


class Found(NamedTuple):
    """labels (N), those of the known nodes as given; influence (C, C): what a neighbour of class b says for class a."""

    labels: np.ndarray
    influence: np.ndarray


def iterative_classification(x, graph, known, labels, classes, C=1.0, shares=False, rounds=10, rng=None):
    """A Found.

    x        (N, D) features, an array or SparseRows
    known    numbers of the labelled nodes      labels   their classes 0..classes-1
    C        of both regressions: 1 / C weighs the penalty on their weights
    shares   False: a neighbour counts as its edge weighs; True: the counts are divided by their sum
    rng      a seed or np.random.Generator for the order of relabelling

    Raises ModuleNotFoundError without scikit-learn, ShapeError and TypeError where x and graph don't fit, ValueError
    for labels that aren't there, for a class without a label and for less than two classes.
    """
    must_fit("iterative_classification", "x (N D)", x, graph)
    known, labels = checked_labels("iterative_classification", graph, known, labels, classes)
    if classes < 2:
        raise ValueError(f"iterative_classification: there is {classes} class, so nothing has to be told apart; give 2 "
                         "or more")
    words = x.dense() if isinstance(x, SparseRows) else np.asarray(x)
    now = _scores(words, *_regression(words[known], labels, C)).argmax(axis=1)
    now[known] = labels
    relational = np.concatenate([words[known], neighbour_classes(graph, now, classes, shares)[known]], axis=1)
    weights, bias = _regression(relational, labels, C)
    influence = np.ascontiguousarray(weights[:, words.shape[1]:])
    own = _scores(words, weights[:, :words.shape[1]], bias)
    order = np.random.default_rng(rng).permutation(np.setdiff1d(np.arange(graph.nodes), known))
    _relabel(graph.indptr, graph.indices, graph.adjacency.values, own, influence, shares, np.tile(order, rounds), now)
    return Found(now, influence)


def neighbour_classes(graph, labels, classes, shares=False):
    """(N, C) how much of each class stands among the neighbours, by the edges' weights; as shares of their sum."""
    matrix = graph.means if shares else graph.adjacency
    place = matrix.rows * np.int64(classes) + labels[matrix.indices]
    return np.bincount(place, matrix.values, graph.nodes * classes).reshape(graph.nodes, classes)


def _regression(x, labels, C):
    """(weights (C, D), bias (C)) of a logistic regression for each class against the rest."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ModuleNotFoundError:
        raise ModuleNotFoundError("iterative_classification: its regressions are those of scikit-learn, which is not "
                                  'installed here; run pip install "tinynet[lessons]"') from None
    each = [LogisticRegression(C=C, solver="liblinear", random_state=0).fit(x, labels == c) for c in np.unique(labels)]
    return np.concatenate([one.coef_ for one in each]), np.concatenate([one.intercept_ for one in each])


def _scores(words, weights, bias):
    return words @ weights.T + bias


@jit
def _relabel(indptr, indices, edge_weights, own, influence, shares, order, now):
    """Each node of the order takes its best class at once, so that those after it see the new one."""
    classes = len(influence)
    for i in order:
        first, end = indptr[i], indptr[i + 1]
        total = 0.0
        for e in range(first, end):
            total += edge_weights[e]
        best, top = 0, -np.inf
        for c in range(classes):
            score = own[i, c]
            for e in range(first, end):
                score += influence[c, now[indices[e]]] * (edge_weights[e] / total if shares else edge_weights[e])
            if score > top:
                best, top = c, score
        now[i] = best
