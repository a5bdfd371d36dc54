"""Training on one graph that is seen whole: every step computes all nodes, the loss counts those with a known label.

`train.fit` walks over batches; here an epoch is one step, and what is watched and kept follows the papers' own rules.

    >>> import numpy as np
    >>> from tinynet import optim
    >>> from tinynet.graph import Graph
    >>> from tinynet.models.gcn import GCN
    >>> from tinynet.train_nodes import Window, fit_nodes
    >>> two_paths = Graph.from_edges([(0, 1), (1, 2), (3, 4), (4, 5)], nodes=6).undirected()
    >>> net = GCN(d_in=6, classes=2, p=0.0, rng=0)
    >>> adam = optim.Adam(net.parameters(), lr=0.1)
    >>> known, labels = np.array([0, 3]), np.array([0, 0, 0, 1, 1, 1])
    >>> history = fit_nodes(net, np.eye(6, dtype=np.float32), two_paths, labels, known, known, adam, Window(), 20)
    >>> net(np.eye(6, dtype=np.float32), two_paths).data.argmax(axis=1).tolist()
    [0, 0, 0, 1, 1, 1]
"""

import numpy as np

from tinynet.blocks.cross_entropy import cross_entropy
from tinynet.engine import no_grad
from tinynet.graph import must_fit
from tinynet.shapes import ShapeError
from tinynet.train import History


class Patience:
    """GAT's rule: stop after `epochs` epochs in which neither the loss nor the accuracy on val was as good as the best
    before; keep the weights of the last epoch in which both were, or, with by_accuracy, the accuracy.
    """

    def __init__(self, epochs=100, by_accuracy=False):
        self.epochs, self.by_accuracy = epochs, by_accuracy
        self.loss, self.accuracy, self.waited = np.inf, 0.0, 0

    def __call__(self, loss, accuracy):
        """(keep these weights?, stop?)"""
        better = accuracy >= self.accuracy, self.by_accuracy or loss <= self.loss
        self.waited = 0 if accuracy >= self.accuracy or loss <= self.loss else self.waited + 1
        self.loss, self.accuracy = min(loss, self.loss), max(accuracy, self.accuracy)
        return all(better), self.waited >= self.epochs


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

    labels      (N) integers, looked at in train and val only
    train, val  numbers of the nodes
    rule        rule(loss, accuracy) on val -> (keep these weights?, stop?), e.g. Patience() or Window()
    penalty     penalty(net) -> a tensor with one entry, added to both losses, so that `rule` sees it too
    Returns the History of "loss" on train, "val_loss" and "val_accuracy"; its `best_epoch` is that of the lowest
    val_loss.  Raises ShapeError, TypeError or ValueError for x, labels or nodes that don't fit the graph, and
    FloatingPointError when the loss is no longer finite.
    """
    labels, train, val = _checked("fit_nodes", x, graph, labels, train=train, val=val)
    history, kept = History(), net.state_dict()
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "loss": _step(net, x, graph, labels, train, optimizer, penalty)}
        row |= {f"val_{name}": value for name, value in _measured(net, x, graph, labels, val).items()}
        if penalty:
            with no_grad():
                row["val_loss"] += penalty(net).item()
        history.add(row)
        keep, stop = rule(row["val_loss"], row["val_accuracy"])
        if keep:
            kept = net.state_dict()
        if stop:
            break
    net.eval().load_state_dict(kept)
    return history


def _checked(block, x, graph, labels, **parts):
    """labels and the numbers of the nodes of each part as arrays, once it is sure that all fits."""
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
    return labels, *map(graph.checked_nodes, parts.values())


def _step(net, x, graph, labels, nodes, optimizer, penalty):
    net.train().zero_grad()
    loss = _loss(net(x, graph), labels, nodes)
    loss = loss if penalty is None else loss + penalty(net)
    if not np.isfinite(loss.item()):
        raise FloatingPointError(f"fit_nodes: the loss on train is {loss.item()}; run it inside `with tinynet.debug():"
                                 "` to see where the first NaN or inf appears, or try a smaller learning rate")
    loss.backward()
    optimizer.step()
    return loss.item()


def _loss(logits, labels, nodes):
    classes, given = logits.shape[1], labels[nodes]
    if len(given) and not 0 <= given.min() <= given.max() < classes:
        raise ValueError(f"train_nodes: the labels of the chosen nodes run from {given.min()} to {given.max()}, but "
                         f"the net has the classes 0..{classes - 1}; choose labelled nodes, or a net with more classes")
    return cross_entropy(logits[nodes], given)


def measure(net, x, graph, labels, nodes):
    """{"loss": ..., "accuracy": ...} on the chosen nodes, in evaluation mode and without a tape.

    Raises what fit_nodes raises for what doesn't fit the graph.
    """
    return _measured(net, x, graph, *_checked("measure", x, graph, labels, nodes=nodes))


def _measured(net, x, graph, labels, nodes):
    with no_grad():
        logits = net.eval()(x, graph)
        accuracy = float((logits.data[nodes].argmax(axis=1) == labels[nodes]).mean())
        return {"loss": _loss(logits, labels, nodes).item(), "accuracy": accuracy}
