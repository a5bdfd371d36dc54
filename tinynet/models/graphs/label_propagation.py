"""Label propagation: what the graph alone tells, without features and without parameters (shi fig9, row LP).

Every node takes the mean of its neighbours' class scores, each neighbour counted by its edge's weight; the labelled
ones keep theirs, until nothing changes.
Zhu, Ghahramani and Lafferty 2003, "Semi-supervised learning using Gaussian fields and harmonic functions".
With few labels on a large graph the converged scores say little (Nadler, Srebro and Zhou 2009): stop early.

    >>> from tinynet.graph import Graph
    >>> from tinynet.models.graphs.label_propagation import label_propagation
    >>> path = Graph.from_edges([(0, 1), (1, 2), (2, 3)], nodes=4).undirected()
    >>> label_propagation(path, known=[0, 3], labels=[0, 1], classes=2).round(2).tolist()
    [[1.0, 0.0], [0.67, 0.33], [0.33, 0.67], [0.0, 1.0]]
"""

import warnings

import numpy as np

from tinynet.blocks.graphs.sparse_matmul import times
from tinynet.engine import Tensor
from tinynet.graph import must_be_graph


def checked_labels(block, graph, known, labels, classes):
    """known and labels as arrays, in the name of `block`.

    Raises TypeError for what isn't a graph, ValueError for labels out of range, for a label without a node and for a
    class without a label, and what Graph.checked_nodes raises.
    """
    must_be_graph(block, graph)
    known, labels = graph.checked_nodes(known), np.asarray(labels)
    labels = labels.astype(int) if labels.size == 0 else labels
    if known.shape != labels.shape or labels.dtype.kind not in "iu":
        raise ValueError(f"{block}: known has shape {known.shape}, labels are {labels.dtype} {labels.shape}; "
                         "give one label for each known node, a whole number")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"{block}: the labels run from {labels.min()} to {labels.max()}, but there are only "
                         f"the classes 0..{classes - 1}")
    missing = np.setdiff1d(np.arange(classes), labels)
    if len(missing):
        raise ValueError(f"{block}: no known node is of class {missing[0]}, so no node could be told to be of it; "
                         "label one, or leave the class out")
    return known, labels


def unreached(graph, known):
    """The nodes (B) that lie in a component without a label: whatever goes along edges can only guess there."""
    return np.flatnonzero(~np.isin(graph.components, graph.components[graph.checked_nodes(known)]))


def label_propagation(graph, known, labels, classes, tolerance=1e-6, at_most=100_000):
    """Scores (N, classes); a node that no label reaches has zeros, and a warning counts those whose component has none.

    known      numbers of the labelled nodes   labels  their classes 0..classes-1
    tolerance  stop when no score changes by more in one round, or after `at_most` rounds

    Raises what `checked_labels` raises.
    """
    known, labels = checked_labels("label_propagation", graph, known, labels, classes)
    if len(left := unreached(graph, known)):
        warnings.warn(f"label_propagation: {len(left)} of {graph.nodes} nodes lie in a component without a label, so "
                      "their scores stay 0; label one node in each component, or count these as guessed", stacklevel=2)
    scores = np.zeros((graph.nodes, classes))
    scores[known, labels] = 1
    for _ in range(at_most):
        before, scores = scores, times(graph.means, Tensor(scores)).data
        scores[known] = before[known]
        if np.abs(scores - before).max(initial=0) <= tolerance:
            break
    return scores
