"""Rules of a training run: rule(row) -> (keep these weights?, stop?), after every row of the history.

    >>> from tinynet.train.rules import EarlyStopping
    >>> rule = EarlyStopping(2)
    >>> [rule({"val_loss": loss}) for loss in (3.0, 1.0, 2.0, 1.5)]
    [(True, False), (True, False), (False, False), (False, True)]

`fit` works on a copy of its rule.  A run that is resumed hands all rows before to a fresh copy again, so a
rule may remember whatever it likes.
"""

import numpy as np

from tinynet.shapes import must_be_whole


class EarlyStopping:
    """Keep the weights with the lowest `metric`; stop when it hasn't improved for so many epochs.

    epochs  None: never stop, only keep the best
    metric  a column of the history; largest=True where more is better, e.g. val_accuracy
    """

    def __init__(self, epochs=10, metric="val_loss", largest=False):
        if epochs is not None:
            must_be_whole("EarlyStopping", "epochs", epochs)
        self.epochs, self.metric, self.sign = epochs, metric, -1 if largest else 1
        self.best, self.waited = np.inf, 0

    def __call__(self, row):
        value = self.sign * _column(self, row, self.metric)
        better = value < self.best
        self.best, self.waited = min(value, self.best), 0 if better else self.waited + 1
        return better, self.epochs is not None and self.waited >= self.epochs


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

    def __call__(self, row):
        loss, accuracy = _column(self, row, "val_loss"), _column(self, row, "val_accuracy")
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

    def __call__(self, row):
        loss, before = _column(self, row, "val_loss"), self.losses[-self.epochs:]
        self.losses.append(loss)
        return True, len(self.losses) > self.epochs + 1 and loss > np.mean(before)


def _column(rule, row, name):
    if name not in row:
        raise ValueError(f"{type(rule).__name__}: it judges by {name}, which nothing measures; give fit val=... (and "
                         f"metrics for more than the loss), or choose one of {', '.join(row)}")
    return row[name]
