"""Training on one graph that is seen whole, where the loss counts the nodes with a known label.

`train.fit` walks over batches; here an epoch is one step, and what is watched and kept follows the papers' own rules.
A net that says how many `hops` far it looks is computed on the receptive field of these nodes alone, which changes
neither loss nor gradients, but for rounding, and draws dropout for fewer entries: of Pubmed's 19,717 nodes GAT needs
2,798 for the 60 to learn from.

    >>> import numpy as np
    >>> from tinynet import optim
    >>> from tinynet.graph import Graph
    >>> from tinynet.models.graphs.gcn import GCN
    >>> from tinynet.train.nodes import Window, fit_nodes
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

from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.engine import Tensor, no_grad
from tinynet.graph import Graph, must_fit
from tinynet.neighbourhoods import receptive_field
from tinynet.shapes import ShapeError
from tinynet.sparse import SparseRows
from tinynet.train.loop import History


class Patience:
    """GAT's rule: stop after `epochs` epochs in which neither the loss nor the accuracy on val was as good as the best
    before; keep the weights of the last epoch in which everything named in `by` was.

    Raises ValueError unless `by` has names out of "loss" and "accuracy".
    """

    def __init__(self, epochs=100, by=("loss", "accuracy")):
        if not by or not {"loss", "accuracy"}.issuperset(by):
            raise ValueError(f'Patience: by is {by!r}; give ("loss", "accuracy"), ("loss",) or ("accuracy",)')
        self.epochs, self.by = epochs, by
        self.loss, self.accuracy, self.waited = np.inf, 0.0, 0

    def __call__(self, loss, accuracy):
        """(keep these weights?, stop?)"""
        good = {"loss": loss <= self.loss, "accuracy": accuracy >= self.accuracy}
        self.waited = 0 if any(good.values()) else self.waited + 1
        self.loss, self.accuracy = min(loss, self.loss), max(accuracy, self.accuracy)
        return all(good[name] for name in self.by), self.waited >= self.epochs


class Window:
    """GCN's rule: stop when the loss on val is above the mean of the `epochs` before, though not before epoch
    `epochs` + 2, as in the published code; the last weights stay.
    """

    def __init__(self, epochs=10):
        self.epochs, self.losses = epochs, []

    def __call__(self, loss, accuracy):
        """(keep these weights?, stop?)"""
        before = self.losses[-self.epochs:]
        self.losses.append(loss)
        return True, len(self.losses) > self.epochs + 1 and loss > np.mean(before)


def fit_nodes(net, x, graph, labels, train, val, optimizer, rule, epochs, penalty=None):
    """Train net(x, graph) -> logits (N, classes); it is left in evaluation mode with the weights that `rule` kept.

    net         if it has an attribute `hops`, its logits may depend on nothing more than so many edges away, and its
                layers take graph, graph.inner, graph.inner.inner, ... (leave it out where a layer looks at more than
                the features of neighbours, as GCN does at their degrees)
    x           (N, d_in), an array or SparseRows; or a tensor, e.g. of features that are learnt: then `hops` isn't used
    labels      (N) integers, looked at in train and val only
    train, val  numbers of the nodes
    rule        rule(loss, accuracy) on val -> (keep these weights?, stop?), e.g. Patience() or Window()
    penalty     penalty(net) -> a tensor with one entry, added to both losses, so that `rule` sees it too
    Returns the History of "loss" on train, "val_loss" and "val_accuracy"; its `best_epoch` is that of the lowest
    val_loss.  Raises ShapeError, TypeError or ValueError for x, labels or nodes that don't fit the graph, and
    FloatingPointError when the loss is no longer finite.
    """
    train, val = _parts("fit_nodes", net, x, graph, labels, train=train, val=val)
    history, kept = History(), net.state_dict()
    _measured("fit_nodes", net, val)            # what doesn't fit shows before a weight has changed
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "loss": _step(net, train, optimizer, penalty)}
        row |= {f"val_{name}": value for name, value in _measured("fit_nodes", net, val).items()}
        if penalty:
            with no_grad():
                row["val_loss"] += penalty(net).item()
        _must_be_finite(row["val_loss"], "val")
        history.add(row)
        keep, stop = rule(row["val_loss"], row["val_accuracy"])
        if keep:
            kept = net.state_dict()
        if stop:
            break
    net.eval().load_state_dict(kept)
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


def _step(net, part, optimizer, penalty):
    net.train().zero_grad()
    loss = _loss("fit_nodes", part.logits(net), part.labels)
    loss = loss if penalty is None else loss + penalty(net)
    _must_be_finite(loss.item(), "train")
    loss.backward()
    optimizer.step()
    return loss.item()


def _must_be_finite(loss, part):
    if not np.isfinite(loss):
        raise FloatingPointError(f"fit_nodes: the loss on {part} is {loss}; see whether x is finite, run it inside "
                                 "`with tinynet.debug():` to see where the first NaN or inf appears, or try a smaller "
                                 "learning rate")


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
        accuracy = float((logits.data.argmax(axis=1) == part.labels).mean())
        return {"loss": _loss(block, logits, part.labels).item(), "accuracy": accuracy}
