"""Training on one graph that is seen whole, where the loss counts the nodes with a known label.

An epoch is one step, and what is kept follows the papers' own rules (tinynet.train.rules).
If the net has an attribute `hops`, only the nodes within that many edges are computed.  Loss and gradients stay the
same, except for rounding, and dropout draws for fewer entries: of Pubmed's 19,717 nodes GAT needs 2,798 for the 60 to
learn from.

    >>> import numpy as np
    >>> from tinynet import optim
    >>> from tinynet.graph import Graph
    >>> from tinynet.models.graphs.gcn import GCN
    >>> from tinynet.train.nodes import fit_nodes
    >>> from tinynet.train.rules import Window
    >>> two_paths = Graph.from_edges([(0, 1), (1, 2), (3, 4), (4, 5)], nodes=6).undirected()
    >>> net = GCN(d_in=6, classes=2, p=0.0, rng=0)
    >>> adam = optim.Adam(net.parameters(), lr=0.1)
    >>> known, labels = np.array([0, 3]), np.array([0, 0, 0, 1, 1, 1])
    >>> history = fit_nodes(net, np.eye(6, dtype=np.float32), two_paths, labels, known, known, adam, Window(), 20)
    >>> net(np.eye(6, dtype=np.float32), two_paths).data.argmax(axis=1).tolist()
    [0, 0, 0, 1, 1, 1]
"""

from typing import NamedTuple

import numpy as np

from tinynet.backend import no_grad
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.engine import Tensor
from tinynet.graph import Graph, must_fit
from tinynet.neighbourhoods import receptive_field
from tinynet.shapes import ShapeError
from tinynet.sparse import SparseRows
from tinynet.train.batches import Whole
from tinynet.train.loop import fit


def fit_nodes(net, x, graph, labels, train, val, optimizer, rule, epochs, penalty=None,
              checkpoint=None, progress=False):
    """Train net(x, graph) -> logits (N, classes); it is left in evaluation mode with the weights that `rule` kept.

    net         if it has an attribute `hops`, its logits may depend on nothing more than so many edges away, and its
                layers take graph, graph.inner, graph.inner.inner, ... (leave it out where a layer looks at more than
                the features of neighbours, as GCN does at their degrees)
    x           (N, d_in), an array or SparseRows; or a tensor, e.g. of features that are learnt: then `hops` isn't used
    labels      (N) integers, looked at in train and val only
    train, val  numbers of the nodes
    rule        e.g. Patience() or Window() of tinynet.train.rules
    penalty     penalty(net) -> a tensor with one entry, added to both losses, so that `rule` sees it too
    checkpoint, progress    as in `fit`
    Returns the History of "loss" on train, "val_loss" and "val_accuracy"; its `best_epoch` is that of the lowest
    val_loss.  Raises ShapeError, TypeError or ValueError for x, labels or nodes that don't fit the graph, and
    FloatingPointError when the loss is no longer finite.
    """
    train, val = _parts("fit_nodes", net, x, graph, labels, train=train, val=val)
    # Run one evaluation first, so that wrong shapes raise an error before training starts.
    _measured("fit_nodes", net, val)

    def loss(net, part):
        value = _loss("fit_nodes", part.logits(net), part.labels)
        if penalty is None:
            return value
        return value + penalty(net) if net.training else value.item() + penalty(net).item()

    history = fit(net, loss, Whole((train,), len(train.labels)), optimizer, epochs, rule=rule,
                  val=Whole((val,), len(val.labels)), metrics={"accuracy": _accuracy}, checkpoint=checkpoint,
                  progress=progress)
    net.eval()
    return history


class _Part(NamedTuple):
    """Some nodes and all that the net has to see for them."""

    x: np.ndarray | SparseRows | Tensor     # of the whole graph, or of the receptive field
    graph: Graph
    rows: np.ndarray                        # of the logits, one for each of the nodes
    labels: np.ndarray                      # of the nodes

    def logits(self, net):
        return net(self.x, self.graph)[self.rows]


def _parts(block, net, x, graph, labels, **parts):
    """A _Part for each of the named arrays of nodes, once it is sure that all fits."""
    must_fit(block, "x (N d_in)", x, graph)
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{block}: the labels hold {labels.dtype}, but classes are whole numbers; convert them")
    if labels.shape != (graph.nodes,):
        raise ShapeError(f"{block}: labels has shape {labels.shape}, but the graph has N = {graph.nodes} nodes; give "
                         "one label a node, (N)")
    for name, nodes in parts.items():
        if not np.size(nodes):
            raise ValueError(f"{block}: {name} has no nodes; give at least one")
    return [_part(net, x, graph, labels, graph.checked_nodes(nodes)) for nodes in parts.values()]


def _part(net, x, graph, labels, nodes):
    hops = getattr(net, "hops", None)
    if hops is None or isinstance(x, Tensor):       # of a tensor that learns rows would have to be taken in each step
        return _Part(x, graph, nodes, labels[nodes])
    field, near = receptive_field(graph, nodes, hops)
    x = x.take(field) if isinstance(x, SparseRows) else x[field]
    _, rows = np.unique(nodes, return_inverse=True)         # sorted and each once, as they stand in the field
    return _Part(x, near, rows, labels[nodes])


def _loss(block, logits, labels):
    classes = logits.shape[1]
    if not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"{block}: the labels of the chosen nodes run from {labels.min()} to {labels.max()}, but "
                         f"the net has the classes 0..{classes - 1}; choose labelled nodes, or a net with more classes")
    return cross_entropy(logits, labels)


def measure(net, x, graph, labels, nodes):
    """{"loss": ..., "accuracy": ...} on the chosen nodes, in evaluation mode and without a tape.

    Raises what fit_nodes raises for what doesn't fit the graph.
    """
    part, = _parts("measure", net, x, graph, labels, nodes=nodes)
    return _measured("measure", net, part)


def _measured(block, net, part):
    with no_grad():
        logits = part.logits(net.eval())
        return {"loss": _loss(block, logits, part.labels).item(), "accuracy": _right(logits, part)}


def _accuracy(net, part):
    return _right(part.logits(net), part)


def _right(logits, part):
    return float((logits.data.argmax(axis=1) == part.labels).mean())
