"""One training loop: progress, history, early stopping, evaluation, and checkpoints that resume exactly.

    >>> import numpy as np
    >>> from tinynet import optim, train
    >>> from tinynet.blocks.units.linear import Linear
    >>> X = np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
    >>> def squared_error(model, x, y):
    ...     return ((model(x) - y) ** 2).mean()
    >>> line = Linear(1, 1, rng=0)
    >>> sgd = optim.SGD(line.parameters(), lr=0.5)
    >>> history = train.fit(line, squared_error, (X, 3 * X), sgd, epochs=20, progress=False)
    >>> round(line.W.data.item(), 2)
    3.0
    >>> len(history["loss"])
    20
"""

import math
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tinynet import nn, npz
from tinynet.engine import Tensor, no_grad
from tinynet.optim import Schedule, clip_grad_norm


# %% The loop
def fit(model, loss, train, optimizer, epochs, batch_size=32, val=None, metrics=None, schedule=None, clip=None,
        patience=None, rng=0, checkpoint=None, progress=True):
    """Train `model` and return its History.

    loss        loss(model, *batch) -> a tensor with one entry, the mean over the batch
    train, val  an array, or a tuple of arrays whose first axis counts the examples
    metrics     {name: metric(model, *batch) -> number}, measured on val (without one, on train)
    schedule    schedule(t) -> factor of the optimiser's lr, t the epochs passed (tinynet.optim)
    clip        the largest norm of all gradients together
    patience    stop when the loss on val hasn't improved for so many epochs; the weights of the
                best epoch are restored
    rng         seed or np.random.Generator that shuffles the examples
    checkpoint  a file written after every epoch.  If it exists the run goes on from there and ends,
                bit for bit, where it would have ended without a stop; whatever else draws at random
                must be an np.random.Generator that a module holds as an attribute
    progress    a bar where stderr is a terminal and tqdm is installed, otherwise lines; False: silent

    Raises ValueError for bad data and settings before work starts, CheckpointError for a
    checkpoint that can't be used, FloatingPointError when the loss is no longer finite.
    """
    train, val = _data("train", train), None if val is None else _data("val", val)
    _check_settings(model, optimizer, epochs, batch_size, val, patience, clip)
    run = _Run(model, loss, train, optimizer, batch_size, schedule, clip, patience, np.random.default_rng(rng))
    if checkpoint is not None:
        run.open(Path(checkpoint))
    steps = -(-len(train[0]) // batch_size)
    with _mode(model, True), run.tidy_end(), _progress(progress, epochs, steps, run.epoch) as report:
        while run.epoch < epochs and not run.out_of_patience():
            start = time.perf_counter()
            row = {"epoch": run.epoch + 1, "loss": run.train_epoch(report.step), "lr": float(optimizer.lr)}
            row |= run.measure(val, metrics)
            run.close_epoch(row | {"seconds": time.perf_counter() - start})
            report.epoch(row)
        if run.out_of_patience():
            report.say(f"stopped after epoch {run.epoch}: epoch {run.history.best_epoch} was the best")
    if run.best:
        model.load_state_dict(run.best)
    return run.history


def evaluate(model, loss, data, metrics=None, batch_size=256):
    """{"loss": ..., name: ...}: means over all examples of `data`, in evaluation mode and without a tape.

    loss and metrics as in `fit`; loss may be None.
    """
    data = _data("evaluate", data)
    functions = ({} if loss is None else {"loss": loss}) | (metrics or {})
    sums = dict.fromkeys(functions, 0.0)
    with _mode(model, False), no_grad():
        for start in range(0, len(data[0]), batch_size):
            batch = tuple(a[start:start + batch_size] for a in data)
            for name, function in functions.items():
                sums[name] += float(function(model, *batch)) * len(batch[0])
    return {name: total / len(data[0]) for name, total in sums.items()}


class History(dict):
    """What was measured: a list with one number an epoch for each of "epoch", "loss" (mean over the
    epoch's batches, in training mode), "lr" (of the last step), "seconds", and, where there is
    something to measure, "val_loss" and each metric ("val_accuracy" on val, "accuracy" on train).
    """

    @property
    def best_epoch(self):
        """The epoch (from 1) with the lowest loss on val, or on train where there is no val; 0 before the first."""
        losses = self.get("val_loss", self.get("loss", ()))
        return 1 + int(np.argmin(losses)) if losses else 0

    def add(self, row):
        for name, value in row.items():
            self.setdefault(name, []).append(value)


# %% A run: all that changes while training, and how it is kept
class _Run:
    def __init__(self, model, loss, train, optimizer, batch_size, schedule, clip, patience, rng):
        self.model, self.loss, self.train, self.optimizer = model, loss, train, optimizer
        self.batch_size, self.schedule, self.clip, self.patience, self.rng = batch_size, schedule, clip, patience, rng
        self.lr = float(optimizer.lr)           # what the schedule's factor multiplies
        self.history, self.best, self.path = History(), {}, None

    epoch = property(lambda self: len(self.history.get("epoch", ())))

    def out_of_patience(self):
        return self.patience is not None and self.epoch - self.history.best_epoch >= self.patience

    def train_epoch(self, after_step):
        """One pass over the shuffled examples; returns the mean loss."""
        n, total = len(self.train[0]), 0.0
        order = self.rng.permutation(n)
        for start in range(0, n, self.batch_size):
            rows = order[start:start + self.batch_size]
            if self.schedule:
                self.optimizer.lr = self.lr * float(self.schedule(self.epoch + start / n))
            value = self.train_step(tuple(a[rows] for a in self.train), 1 + start // self.batch_size)
            total += value * len(rows)
            after_step(value)
        return total / n

    def train_step(self, batch, number):
        self.optimizer.zero_grad()
        loss = self.loss(self.model, *batch)
        if not isinstance(loss, Tensor) or loss.size != 1:
            raise TypeError(f"fit: loss(model, *batch) returned {loss!r}; it must return a tensor with one entry")
        value = loss.item()
        _must_be_finite(value, f"the loss in epoch {self.epoch + 1}, batch {number}")
        loss.backward()
        if self.clip:
            clip_grad_norm(self.optimizer.params, self.clip)
        self.optimizer.step()
        return value

    def measure(self, val, metrics):
        """The part of a history row that evaluation gives."""
        if val is None:
            return evaluate(self.model, None, self.train, metrics) if metrics else {}
        row = {f"val_{name}": value for name, value in evaluate(self.model, self.loss, val, metrics).items()}
        _must_be_finite(row["val_loss"], f"the loss on val after epoch {self.epoch + 1}")
        return row

    def close_epoch(self, row):
        self.history.add(row)
        if self.patience is not None and self.history.best_epoch == self.epoch:
            self.best = self.model.state_dict()
        if self.path:
            npz.save(self.path, *self.state())

    @contextmanager
    def tidy_end(self):
        """Give the optimiser its learning rate back, and say what Ctrl-C leaves behind."""
        try:
            yield
        except KeyboardInterrupt:
            kept = "nothing is kept; with checkpoint='run.npz' every full epoch would be"
            if self.path:
                kept = f"the {self.epoch} epochs before are in {self.path}, and the same call goes on from there"
            print(f"fit: stopped in epoch {self.epoch + 1}; {kept}", file=sys.stderr)
            raise
        finally:
            if self.schedule:
                self.optimizer.lr = self.lr

    def state(self):
        """(arrays, notes): all that the rest of the run depends on."""
        optimizer = self.optimizer.state_dict()
        arrays = {f"model.{name}": a for name, a in self.model.state_dict().items()}
        arrays |= {f"best.{name}": a for name, a in self.best.items()}
        arrays |= {f"optimizer.{name}": a for name, a in optimizer.items() if isinstance(a, np.ndarray)}
        notes = {"optimizer": {name: v for name, v in optimizer.items() if not isinstance(v, np.ndarray)},
                 "schedule": _schedule_state(self.schedule), "lr": self.lr, "epoch": self.epoch,
                 "run": {"batch_size": self.batch_size, "clip": self.clip, "keeps_best": self.patience is not None,
                         "train": [list(a.shape) for a in self.train]},
                 "rngs": {name: rng.bit_generator.state for name, rng in self.rngs().items()},
                 "history": self.history}
        return arrays, notes

    def rngs(self):
        return {"fit": self.rng} | {f"model.{name}": rng for name, rng in self.model.named_rngs()}

    def open(self, path):
        """Make sure that `path` can be written, and go on from it if it is there."""
        self.path = path.resolve()
        npz.prepare(path)
        known = {id(p) for p in self.model.parameters()}
        if any(id(p) not in known for p in self.optimizer.params):
            raise ValueError("fit: the optimiser trains parameters outside the model, which no checkpoint would hold; "
                             "make one module that holds them all")
        try:
            if path.exists():
                self.restore(*npz.load(path, self.check))
        except npz.CheckpointError:
            raise
        except ValueError as error:
            raise npz.CheckpointError(f"checkpoint {path}: {error}") from error
        except Exception as error:
            raise npz.CheckpointError(f"checkpoint {path}: its notes are damaged ({error!r}); "
                                        "move it away or name another file to start anew") from error

    def check(self, notes, claims):
        """Raise ValueError unless a file with these notes and arrays is one that this run could have written."""
        arrays, own = self.state()
        if notes["optimizer"]["type"] != own["optimizer"]["type"]:
            raise ValueError(f"it was trained with {notes['optimizer']['type']}, and this is "
                             f"{own['optimizer']['type']}; use that optimiser or another checkpoint file")
        notes_rngs, own_rngs = sorted(notes["rngs"]), sorted(own["rngs"])
        for what, theirs, ours in [("run", notes["run"], own["run"]), ("schedule", notes["schedule"], own["schedule"]),
                                   ("random generators", notes_rngs, own_rngs)]:
            if theirs != ours:
                raise ValueError(f"{what}: {theirs} there and {ours} here; make them equal or use another file")
        expected = {name: (a.shape, a.dtype) for name, a in arrays.items()}
        if notes["epoch"] and self.patience is not None:
            expected |= {f"best.{n}": (p.shape, p.dtype) for n, p in self.model.named_parameters()}
        _must_agree(claims, expected)

    def restore(self, arrays, notes):
        parts = {"model": {}, "optimizer": notes["optimizer"], "best": self.best}
        for name, array in arrays.items():
            part, _, name = name.partition(".")
            parts[part][name] = array
        history, lr = History(notes["history"]), float(notes["lr"])
        if {np.asarray(column, float).shape for column in history.values()} != {(notes["epoch"],)}:
            raise TypeError("the history has another length than the run")
        self.optimizer.load_state_dict(parts["optimizer"])
        self.model.load_state_dict(parts["model"])
        for name, rng in self.rngs().items():
            rng.bit_generator.state = notes["rngs"][name]
        self.history, self.lr = history, lr


def _schedule_state(schedule):
    """What tells one schedule from another: its settings, or the name of a plain function."""
    if schedule is None or isinstance(schedule, Schedule):
        return schedule and schedule.state_dict()
    return {"schedule": getattr(schedule, "__qualname__", type(schedule).__name__)}


def _must_agree(claims, expected):
    """Compare {name: (shape, dtype)} of a file with what this run needs; name what differs."""
    def words(claim):
        return "absent" if claim is None else f"{claim[1]} {claim[0]}"

    differing = [f"{name} is {words(claims.get(name))} there and {words(expected.get(name))} here"
                 for name in sorted(claims.keys() | expected.keys()) if claims.get(name) != expected.get(name)]
    if differing:
        more = f"; and {len(differing) - 4} more" if len(differing) > 4 else ""
        raise ValueError(f"it belongs to another model: {'; '.join(differing[:4])}{more}")


# %% What must be right before work starts
def _several(arrays):
    """A tuple of arrays, or a list of them; a list of numbers is one array."""
    return isinstance(arrays, tuple) or (isinstance(arrays, list) and all(isinstance(a, np.ndarray) for a in arrays))


def _data(name, arrays):
    """The data as a tuple of arrays of one length, finite throughout."""
    arrays = tuple(np.asarray(a) for a in (arrays if _several(arrays) else (arrays,)))
    if not arrays or any(a.ndim == 0 or a.dtype.kind not in "fiub" for a in arrays):
        raise ValueError(f"fit: {name} holds {[f'{a.dtype} {a.shape}' for a in arrays]}; "
                         "give arrays of numbers whose first axis counts the examples")
    if len({len(a) for a in arrays}) > 1:
        raise ValueError(f"fit: the arrays of {name} have {' and '.join(str(len(a)) for a in arrays)} examples; "
                         "every example needs its entry in each")
    if len(arrays[0]) == 0:
        raise ValueError(f"fit: {name} has no examples; give at least one")
    for i, a in enumerate(arrays):
        if a.dtype.kind == "f" and not np.isfinite(a).all():
            bad = np.flatnonzero(~np.isfinite(a.reshape(len(a), -1)).all(axis=1))
            raise ValueError(f"fit: array {i} of {name} has NaN or inf in {len(bad)} of {len(a)} examples "
                             f"(the first is {bad[0]}); repair or leave out those")
    return arrays


def _check_settings(model, optimizer, epochs, batch_size, val, patience, clip):
    if not isinstance(model, nn.Module):
        raise TypeError(f"fit: model is {model!r}; it must be a tinynet.nn.Module")
    own = {id(p) for p in model.parameters()}
    checks = [
        (_whole(epochs, 0), f"epochs is {epochs!r}; it must be a whole number, 0 or more"),
        (_whole(batch_size, 1), f"batch_size is {batch_size!r}; it must be a whole number, 1 or more"),
        (patience is None or _whole(patience, 1), f"patience is {patience!r}; it must be a whole number, 1 or more"),
        (patience is None or val is not None, "patience needs val=(X, y) to judge by"),
        (clip is None or clip > 0, f"clip is {clip!r}; it must be above 0"),
        (any(id(p) in own for p in optimizer.params), "the optimiser has none of the model's parameters; "
                                                      "make it from this model's parameters()"),
    ]
    for right, sentence in checks:
        if not right:
            raise ValueError(f"fit: {sentence}")


def _whole(number, least):
    return isinstance(number, int | np.integer) and number >= least


def _must_be_finite(value, what):
    if not math.isfinite(value):
        raise FloatingPointError(f"fit: {what} is {value}; run it inside `with tinynet.debug():` to see where the "
                                 "first NaN or inf appears, or try a smaller learning rate or clip=1")


@contextmanager
def _mode(model, training):
    """The model in training or evaluation mode; afterwards every module is in the mode it was in."""
    before = [(module, module.training) for _, module in model.named_modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was in before:
            module.training = was


# %% Progress
@contextmanager
def _progress(wanted, epochs, steps, done):
    """What reports progress: a bar, lines, or nothing."""
    if not wanted:
        yield _Silent()
    elif sys.stderr.isatty() and (bar := _bar(epochs * steps, done * steps)):
        with bar:
            yield _Bar(bar, epochs)
    else:
        yield _Lines(epochs)


def _bar(total, done):
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, initial=done, unit="step", file=sys.stderr)


class _Silent:
    def step(self, loss):
        pass

    def epoch(self, row):
        pass

    def say(self, sentence):
        pass


class _Lines(_Silent):
    """About twenty lines a run, so that a log stays readable."""

    def __init__(self, epochs):
        self.epochs, self.every = epochs, max(1, epochs // 20)

    def epoch(self, row):
        if row["epoch"] % self.every == 0 or row["epoch"] == self.epochs:
            self.say(f"epoch {row['epoch']}/{self.epochs}  {_numbers(row)}")

    def say(self, sentence):
        print(sentence, file=sys.stderr, flush=True)


class _Bar(_Silent):
    def __init__(self, bar, epochs):
        self.bar, self.epochs, self.last = bar, epochs, ""

    def step(self, loss):
        self.bar.update()
        self.bar.set_postfix_str(self.last or f"loss {loss:.4g}", refresh=False)

    def epoch(self, row):
        self.last = f"epoch {row['epoch']}/{self.epochs}  {_numbers(row)}"

    def say(self, sentence):
        self.bar.write(sentence, file=sys.stderr)


def _numbers(row):
    return "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
