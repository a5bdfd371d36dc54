"""Metrics: what is measured beside the loss, in evaluation mode."""


def accuracy(model, X, y):
    """A metric: the share of rows whose largest output is at the right class."""
    return float((model(X).data.argmax(-1) == y).mean())


def micro_f1(logits, labels):
    """2 hits / (2 hits + false alarms + misses), all labels (N, C) of 0 and 1 together; a logit above 0 says yes."""
    said, there = logits > 0, labels > 0
    return 2 * (said & there).sum() / max(said.sum() + there.sum(), 1)
