"""One training loop: progress, history, rules, evaluation, and checkpoints that resume exactly.

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

import copy
import math
import sys
import time
from contextlib import contextmanager

import numpy as np

from tinynet import nn
from tinynet.backend import no_grad
from tinynet.engine import Op, Tensor
from tinynet.optim import clip_grad_norm
from tinynet.shapes import must_be_whole
from tinynet.train import batches
from tinynet.train.evaluation import Means, counted, evaluate, mode, numbers, taken_apart
from tinynet.train.history import History
from tinynet.train.progress import progress as reporting
from tinynet.train.resume import Checkpoint


def fit(model, loss, train, optimizer, epochs=None, batch_size=32, val=None, metrics=None, schedule=None, clip=None,
        rule=None, rng=0, checkpoint=None, progress=True, steps=None, every=None, balance=None, shared=None):
    """Train `model` and return its History.

    loss        loss(model, *batch) -> a tensor with one entry, the mean over the batch; or a list of them, one a
                task.  A mean over something else than the examples is told by a pair (loss, how many it counts).
    train, val  an array, or a tuple of arrays whose first axis counts the examples; or tinynet.train.batches
    epochs      how often to go through `train`; or `steps`, how many batches, with a row of the history `every`
                so many of them (without it, as many as an epoch has)
    metrics     {name: metric(model, *batch) -> number}, measured on val (without one, on train)
    schedule    schedule(t) -> factor of the optimiser's lr, t the epochs passed (with steps=, the steps)
    clip        the largest norm of all gradients together
    rule        rule(row of the history) -> (keep these weights?, stop?), see tinynet.train.rules; the weights that
                it kept last are restored at the end.  Without a rule the last ones stay.
    rng         seed or np.random.Generator that shuffles the examples
    checkpoint  a file written after every row.  If it exists the run goes on from there and ends, bit for bit,
                where it would have ended without a stop; whatever else draws at random must be an
                np.random.Generator that a module holds as an attribute
    progress    a bar where stderr is a terminal and tqdm is installed, otherwise lines; False: silent
    balance     a rule of tinynet.balancing for losses of several tasks; without one their sum is descended
    shared      the parameters on which `balance` sees gradients; without it those that several losses reach

    Raises ValueError for bad data and settings before work starts, CheckpointError for a checkpoint that can't be
    used, FloatingPointError when the loss is no longer finite.
    """
    must_be_whole("fit", "batch_size", batch_size)
    train, val = batches.of("train", train, batch_size), _of_val(val)
    length = _length(epochs, steps, every, len(train))
    _check_settings(model, loss, optimizer, clip, rule, balance, shared)
    run = Run(model, loss, train, optimizer, length, val, metrics, schedule, clip, rule, np.random.default_rng(rng),
              balance, shared)
    if checkpoint is not None:
        run.checkpoint = Checkpoint(run, checkpoint)
        run.checkpoint.open()
    with mode(model, True), run.tidy_end(), reporting(progress, length.unit, length.total, length.steps,
                                                     run.step) as report:
        for row in run.rows(report.step):
            report.row(row)
        if run.stop:
            report.say(f"stopped after {length.unit} {row_name(run)}: the rule had enough")
    if run.kept:
        model.load_state_dict(run.kept)
    return run.history


def row_name(run):
    return run.history[run.length.unit][-1]


# %% How long
class Length:
    """How many steps in all, how many to a row of the history, and what a row is called."""

    def __init__(self, unit, steps, every, epoch):
        self.unit, self.steps, self.every, self.epoch = unit, steps, every, epoch
        self.total = steps if unit == "step" else steps // max(epoch, 1)

    def time(self, step):
        """What a schedule calls t."""
        return step if self.unit == "step" else step / self.epoch


def _length(epochs, steps, every, epoch):
    if (epochs is None) == (steps is None):
        raise ValueError("fit: give either epochs= or steps=, how long to train")
    for name, number, least in (("epochs", epochs, 0), ("steps", steps, 0), ("every", every, 1)):
        if number is not None:
            must_be_whole("fit", name, number, least)
    if steps is None:
        if every is not None:
            raise ValueError("fit: every= goes with steps=; with epochs= each epoch is measured")
        return Length("epoch", int(epochs) * epoch, epoch, epoch)
    return Length("step", int(steps), int(every or min(epoch, max(steps, 1))), epoch)


# %% A run: all that changes while training
class Run:
    def __init__(self, model, loss, train, optimizer, length, val, metrics, schedule, clip, rule, rng, balance, shared):
        self.model, self.loss, self.train, self.optimizer = model, loss, train, optimizer
        self.length, self.val, self.metrics, self.schedule, self.clip = length, val, metrics, schedule, clip
        self.rule, self.rng, self.balance, self.shared = copy.deepcopy(rule), rng, balance, shared
        self.lr = float(optimizer.lr)           # what the schedule's factor multiplies
        self.history, self.kept, self.checkpoint = History(), {}, None
        self.step, self.stop = 0, False
        self.position, self.epoch_rng = 0, rng.bit_generator.state      # batches drawn of this epoch, rng at its start

    def rows(self, after_step):
        """Train, and yield each row of the history when it is closed."""
        stream = self.stream()
        while self.step < self.length.steps and not self.stop:
            start, end = time.perf_counter(), min(self.step + self.length.every, self.length.steps)
            first, means = self.step, Means()
            while self.step < end:
                batch, weight = next(stream)
                found, count = self.train_step(batch, 1 + self.step - first)
                means.add(found, counted(weight, count))
                self.step += 1
                after_step(found["loss"])
            row = {self.length.unit: self.rows_done() + 1 if self.length.unit == "epoch" else self.step,
                   **means.values(), "lr": float(self.optimizer.lr)} | self.measure()
            self.close(row | {"seconds": time.perf_counter() - start})
            yield row

    def rows_done(self):
        return len(self.history.get("loss", ()))

    def stream(self):
        """(batch, weight) from where the run stands on, epoch after epoch."""
        while True:
            skip = self.position
            if not skip:
                self.epoch_rng = self.rng.bit_generator.state
            for i, item in enumerate(self.train.epoch(self.rng)):
                if i >= skip:
                    self.position = i + 1
                    yield item
            self.position = 0

    def train_step(self, batch, number):
        """One step of the optimiser; ({"loss": ...}, what the loss counts, where it says so)."""
        if self.schedule:
            self.optimizer.lr = self.lr * float(self.schedule(self.length.time(self.step)))
        self.optimizer.zero_grad()
        value, count = taken_apart(self.loss(self.model, *batch))
        losses = value if isinstance(value, list) else [value]
        _must_be_losses(losses, value)
        found = numbers("loss", value)
        for name, part in reversed(found.items()):      # each task before their sum, so that the task is named
            must_be_finite(part, f"the {name.replace('_', ' of task ')} in {self.where()}, batch {number}")
        self.backward(losses)
        if self.clip:
            clip_grad_norm(self.optimizer.params, self.clip)
        self.optimizer.step()
        if len(losses) > 1 and getattr(self.balance, "looks_again", False):
            self.balance.after_step(self.look_again(batch))
        return found, count

    def look_again(self, batch):
        """The losses (T,) on the same batch after the step; the model's generators and its state stay as they were."""
        state = self.model.state_dict()
        rngs = [(rng, rng.bit_generator.state) for _, rng in self.model.named_rngs()]
        with no_grad():
            losses, _ = taken_apart(self.loss(self.model, *batch))
        self.model.load_state_dict(state)
        for rng, before in rngs:
            rng.bit_generator.state = before
        return np.array([loss.item() for loss in losses])

    def backward(self, losses):
        if self.balance is not None:
            from tinynet.balancing.balanced_backward import balanced_backward

            balanced_backward(losses, self.balance, self.shared)
            return
        total = losses[0]
        for loss in losses[1:]:
            total = total + loss
        total.backward()

    def where(self):
        return f"epoch {self.rows_done() + 1}" if self.length.unit == "epoch" else f"step {self.step + 1}"

    def measure(self):
        """The part of a history row that evaluation gives."""
        if self.val is None:
            return evaluate(self.model, None, self.train_data(), self.metrics) if self.metrics else {}
        row = {f"val_{name}": value for name, value in
               evaluate(self.model, self.loss, self.val, self.metrics).items()}
        must_be_finite(row["val_loss"], f"the loss on val after {self.where()}")
        return row

    def train_data(self):
        """What metrics are measured on where there is no val."""
        return getattr(self.train, "arrays", self.train)

    def close(self, row):
        self.history.add(row)
        self.judge(row)
        if self.checkpoint:
            self.checkpoint.save()

    def judge(self, row):
        if self.rule is None:
            return
        keep, self.stop = self.rule(row)
        if keep:
            self.kept = self.model.state_dict()

    @contextmanager
    def tidy_end(self):
        """Give the optimiser its learning rate back, and say what Ctrl-C leaves behind."""
        try:
            yield
        except KeyboardInterrupt:
            kept = "nothing is kept; with checkpoint='run.npz' every full epoch would be"
            if self.checkpoint:
                kept = (f"the {self.rows_done()} {'epochs' if self.length.unit == 'epoch' else 'rows'} before are in "
                        f"{self.checkpoint.path}, and the same call goes on from there")
            print(f"fit: stopped in {self.where()}; {kept}", file=sys.stderr)
            raise
        finally:
            if self.schedule:
                self.optimizer.lr = self.lr


# %% What must be right
def _of_val(val):
    return None if val is None else val if hasattr(val, "epoch") else batches.checked("val", val)


def _check_settings(model, loss, optimizer, clip, rule, balance, shared):
    if isinstance(loss, Op):
        raise TypeError(f"fit: loss is the op {loss.name}, but it is called as loss(model, *batch); give e.g. "
                        f"lambda model, x, t: {loss.name}(model(x), t)")
    if not isinstance(model, nn.Module):
        raise TypeError(f"fit: model is {model!r}; it must be a tinynet.nn.Module")
    own = {id(p) for p in model.parameters()}
    if rule is not None and not callable(rule):
        raise TypeError(f"fit: rule is {rule!r}; give one of tinynet.train.rules, or a function of a history's row")
    if balance is not None and not hasattr(balance, "asks_gradients"):
        raise TypeError(f"fit: balance is {balance!r}; give a rule of tinynet.balancing")
    if isinstance(balance, type):
        raise TypeError(f"fit: balance is the class {balance.__name__}; make a rule of it: {balance.__name__}(...)")
    if not isinstance(shared, Tensor | list | tuple | None):
        raise TypeError(f"fit: shared is {shared!r}, but every step asks for it; give a list of parameters, or one")
    if clip is not None and not clip > 0:
        raise ValueError(f"fit: clip is {clip!r}; it must be above 0")
    if not any(id(p) in own for p in optimizer.params):
        raise ValueError("fit: the optimiser has none of the model's parameters; make it from this model's "
                         "parameters()")


def _must_be_losses(losses, value):
    if not losses or not all(isinstance(loss, Tensor) and loss.size == 1 for loss in losses):
        raise TypeError(f"fit: loss(model, *batch) returned {value!r}; it must return a tensor with one entry, or a "
                        "list of them, one a task; e.g. lambda model, x, t: cross_entropy(model(x), t)")


def must_be_finite(value, what):
    if not math.isfinite(value):
        raise FloatingPointError(f"fit: {what} is {value}; see whether the data is finite, run it inside "
                                 "`with tinynet.debug():` to see where the first NaN or inf appears, or try a smaller "
                                 "learning rate or clip=1")
