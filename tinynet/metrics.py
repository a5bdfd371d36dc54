"""Metrics: what is measured beside the loss, in evaluation mode."""

import numpy as np


def accuracy(model, X, y):
    """A metric: the share of rows whose largest output is at the right class."""
    return float((model(X).data.argmax(-1) == y).mean())


def map_at_k(scores, labels, k=10):
    """Mean average precision of the k highest scores of each example, as Youtube-8M's tasks are measured (saha table1).

        AP = 1/R sum_{i<=k} precision@i rel_i,   R = how many of the k are right; 0 where none is

    scores (N, C), labels (N, C) of 0 and 1.  A right label outside the k costs nothing unless all k are wrong.
    Equal scores count in the order of their classes.  Raises ValueError for other shapes, for N = 0 and for k < 1.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.shape != labels.shape or scores.ndim != 2 or not len(scores) or k < 1:
        raise ValueError(f"map_at_k: scores has shape {scores.shape}, labels {labels.shape} and k is {k}; give two "
                         "arrays (N, C) of one shape with N >= 1, and k >= 1")
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    right = np.take_along_axis(labels, top, axis=1).astype(float)
    precision = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
    return float(((precision * right).sum(axis=1) / np.maximum(right.sum(axis=1), 1)).mean())


def micro_f1(logits, labels):
    """2 hits / (2 hits + false alarms + misses), all labels (N, C) of 0 and 1 together; a logit above 0 says yes."""
    said, there = logits > 0, labels > 0
    return 2 * (said & there).sum() / max(said.sum() + there.sum(), 1)
