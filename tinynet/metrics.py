"""Metrics: what is measured beside the loss, in evaluation mode."""


def accuracy(model, X, y):
    """A metric: the share of rows whose largest output is at the right class."""
    return float((model(X).data.argmax(-1) == y).mean())
