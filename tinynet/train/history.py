"""What a training run measured."""

import numpy as np


class History(dict):
    """A list with one number a row for each column.

    epoch     counted from 1; with steps= the column is "step"
    loss      mean over the row's batches, in training mode; "loss_0", "loss_1", ... where there are several tasks
    lr        of the last step
    seconds   of the row, with evaluation
    val_loss, val_accuracy, ...     the loss and the metrics on val; without val, the metrics on train ("accuracy")
    """

    @property
    def best_epoch(self):
        """The row (from 1) with the lowest loss on val, or on train where there is no val; 0 before the first."""
        losses = self.get("val_loss", self.get("loss", ()))
        return 1 + int(np.argmin(losses)) if losses else 0

    def rows(self):
        """The rows, as dictionaries."""
        return [dict(zip(self, values, strict=True)) for values in zip(*self.values(), strict=True)]

    def add(self, row):
        for name, value in row.items():
            self.setdefault(name, []).append(value)
