"""Label propagation: what the graph alone tells, without features and without parameters (shi fig9, row LP).

Every node takes the mean of its neighbours' class scores, each neighbour counted by its edge's weight; the labelled
ones keep theirs, until nothing changes.
Zhu, Ghahramani and Lafferty 2003, "Semi-supervised learning using Gaussian fields and harmonic functions".
With few labels on a large graph what nothing changes any more tells little (Nadler, Srebro and Zhou 2009): stop early.

    >>> from tinynet.graph import Graph
    >>> from tinynet.models.graphs.label_propagation import label_propagation
    >>> path = Graph.from_edges([(0, 1), (1, 2), (2, 3)], nodes=4).undirected()
    >>> label_propagation(path, known=[0, 3], labels=[0, 1], classes=2).round(2).tolist()
    [[1.0, 0.0], [0.67, 0.33], [0.33, 0.67], [0.0, 1.0]]
"""

import numpy as np

from tinynet.blocks.graphs.sparse_matmul import times
from tinynet.engine import Tensor
from tinynet.graph import must_be_graph


def label_propagation(graph, known, labels, classes, tolerance=1e-6, at_most=100_000):
    """Scores (N, classes); a node that no label reaches has zeros.

    known      numbers of the labelled nodes   labels  their classes 0..classes-1
    tolerance  stop when no score changes by more in one round, or after `at_most` rounds

    Raises TypeError for what isn't a graph, ValueError for labels out of range and for a label without a node, and what
    Graph.checked_nodes raises.
    """
    must_be_graph("label_propagation", graph)
    known, labels = graph.checked_nodes(known), np.asarray(labels)
    labels = labels.astype(int) if labels.size == 0 else labels
    if known.shape != labels.shape or labels.dtype.kind not in "iu":
        raise ValueError(f"label_propagation: known has shape {known.shape}, labels are {labels.dtype} {labels.shape}; "
                         "give one label for each known node, a whole number")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"label_propagation: the labels run from {labels.min()} to {labels.max()}, but there are only "
                         f"the classes 0..{classes - 1}")
    scores = np.zeros((graph.nodes, classes))
    scores[known, labels] = 1
    for _ in range(at_most):
        before, scores = scores, times(graph.means, Tensor(scores)).data
        scores[known] = before[known]
        if np.abs(scores - before).max(initial=0) <= tolerance:
            break
    return scores
