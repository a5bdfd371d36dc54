"""Measuring a model: the loss and metrics over all predictions, in evaluation mode and without a tape."""

import math
import re
from contextlib import contextmanager

import numpy as np

from tinynet.backend import no_grad
from tinynet.engine import Tensor
from tinynet.train import batches


def evaluate(model, loss, data, metrics=None, batch_size=256):
    """{"loss": ..., name: ...} of all of `data`, in evaluation mode and without a tape.

    loss and metrics as in `fit`; loss may be None.  Arrays go through the model in batches, but loss and metrics
    see all predictions at once: also what is no mean over examples (F1, AUC, perplexity, a loss with ignored
    targets) comes out right.  Of batches of other kinds (sequences, windows, generated) the mean is taken, weighted by
    what each counts; what is no mean can't be measured there.
    A loss that returns several tensors, one a task, gives "loss", their sum, and "loss_0", "loss_1", ...
    """
    functions = ({} if loss is None else {"loss": loss}) | (metrics or {})
    with mode(model, False), no_grad():
        data = data.arrays if isinstance(data, batches.Shuffled) else data
        if hasattr(data, "epoch"):
            return _weighted(functions, model, data)
        arrays = batches.checked("evaluate", data)
        return _measured(functions, _InBatches(model, len(arrays[0]), batch_size), arrays)[0]


def _weighted(functions, model, data):
    """The mean over batches, each weighted by what it counts."""
    means = Means()
    for batch, weight in data.epoch(None):
        row, count = _measured(functions, _Once(model), batch)
        means.add(row, counted(weight, count))
    return means.values()


class Means:
    """Weighted means of rows {name: number}.  A weight is a number, or one for each task: then loss_0 has the first."""

    def __init__(self):
        self.sums, self.totals = {}, {}

    def add(self, row, weight):
        for name, value in row.items():
            task = re.fullmatch(r"loss_(\d+)", name)
            w = weight if not isinstance(weight, tuple) else weight[int(task[1])] if task else sum(weight)
            self.sums[name] = self.sums.get(name, 0.0) + value * w
            self.totals[name] = self.totals.get(name, 0.0) + w

    def values(self):
        found = {name: self.sums[name] / total if total else self.sums[name] for name, total in self.totals.items()}
        each = [value for name, value in found.items() if re.fullmatch(r"loss_\d+", name)]
        return found | ({"loss": math.fsum(each)} if each else {})


def _measured(functions, model, batch):
    """({name: number}, what the loss counts, where it says so)."""
    row, counted = {}, None
    for name, function in functions.items():
        value, count = taken_apart(function(model, *batch))
        counted = count if name == "loss" else counted
        row |= numbers(name, value)
    return row, counted


def taken_apart(returned):
    """(value, count) of what a loss returned: a value alone, or a pair of it and how many things it counts.

    An op that is a mean over something else than the rows, as cross-entropy with ignored targets, says so itself.
    """
    if isinstance(returned, Tensor):
        return returned, returned.count
    if isinstance(returned, list):
        counts = tuple(getattr(part, "count", None) for part in returned)
        return returned, counts if any(count is not None for count in counts) else None
    pair = type(returned) is tuple and len(returned) == 2 and isinstance(returned[1], int | float | np.number)
    return returned if pair else (returned, None)


def counted(weight, count):
    """The weight of a batch: what its losses count, and where they don't say, that of the batch; 0 stays 0."""
    if not isinstance(count, tuple):
        return weight if count is None else count
    weights = weight if isinstance(weight, tuple) else (weight,) * len(count)
    return tuple(w if c is None or w == 0 else c for w, c in zip(weights, count, strict=True))


def numbers(name, value):
    """{name: number}; of a list, one a task, the sum and each."""
    if isinstance(value, list | tuple):
        each = [_number(v) for v in value]
        return {name: math.fsum(each)} | {f"{name}_{i}": v for i, v in enumerate(each)}
    return {name: _number(value)}


def _number(value):
    return value.item() if isinstance(value, Tensor) else float(value)


class _Once:
    """The model, which computes the same call once: loss and metrics ask for the same predictions."""

    def __init__(self, model):
        self._model, self._known = model, {}

    def __getattr__(self, name):
        return getattr(self._model, name)

    def __call__(self, *inputs, **settings):
        key = (*map(id, inputs), *settings.items())
        if settings or key not in self._known:
            self._known[key] = inputs, self._compute(*inputs, **settings)       # inputs stay alive, so ids stay theirs
        return self._known[key][1]

    def _compute(self, *inputs, **settings):
        return self._model(*inputs, **settings)


class _InBatches(_Once):
    """A model of all examples at once, that computes them in batches, for little memory."""

    def __init__(self, model, examples, size):
        super().__init__(model)
        self._examples, self._size = examples, size

    def _compute(self, *inputs, **settings):
        of_examples = [isinstance(x, np.ndarray) and x.ndim and len(x) == self._examples for x in inputs]
        if self._examples <= self._size or not any(of_examples):
            return self._model(*inputs, **settings)
        parts = []
        for start in range(0, self._examples, self._size):
            rows = slice(start, start + self._size)
            parts.append(self._model(*(x[rows] if of else x for x, of in zip(inputs, of_examples, strict=True)),
                                     **settings))
        sizes = [min(self._size, self._examples - start) for start in range(0, self._examples, self._size)]
        joined = _joined(parts, sizes)
        return self._model(*inputs, **settings) if joined is None else joined


def _joined(parts, sizes):
    """Outputs of the batches one under the other; None where an output has no row an example."""
    if isinstance(parts[0], list | tuple):
        each = [_joined(list(part), sizes) for part in zip(*parts, strict=True)]
        return None if any(part is None for part in each) else type(parts[0])(each)
    if not all(isinstance(part, Tensor) and part.shape[:1] == (n,) for part, n in zip(parts, sizes, strict=True)):
        return None
    return Tensor(np.concatenate([part.data for part in parts]))


@contextmanager
def mode(model, training):
    """The model in training or evaluation mode; afterwards every module is in the mode it was in."""
    before = [(module, module.training) for _, module in model.named_modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was in before:
            module.training = was
