"""The checkpoint of a training run: all that the rest of the run depends on, in one file."""

import math
import random
from pathlib import Path

import numpy as np

from tinynet import npz
from tinynet.optim import Schedule
from tinynet.train.history import History


class Checkpoint:
    """The file of a run: written after every row, taken up again if it is there."""

    def __init__(self, run, path):
        self.run, self.path = run, Path(path).resolve()
        self.numbers = _numbers(run.model)

    def save(self):
        npz.save(self.path, *self.state())

    def state(self):
        """(arrays, notes): all that the rest of the run depends on."""
        run = self.run
        changed = [name for name, value in _numbers(run.model).items() if self.numbers.get(name) != value]
        if changed:
            raise TypeError(f"fit: {changed[0]} of the model is a plain number that training changed, and no "
                            "checkpoint would hold it; make it nn.Buffer(...), or a NumPy array")
        optimizer = run.optimizer.state_dict()
        arrays = {f"model.{name}": a for name, a in run.model.state_dict().items()}
        arrays |= {f"best.{name}": a for name, a in run.kept.items()}
        arrays |= {f"optimizer.{name}": a for name, a in optimizer.items() if isinstance(a, np.ndarray)}
        if run.balance is not None:
            arrays |= {f"balance.{name}": a for name, a in run.balance.state_dict().items()}
        notes = {"optimizer": {name: v for name, v in optimizer.items() if not isinstance(v, np.ndarray)},
                 "schedule": _schedule_state(run.schedule), "lr": run.lr, "step": run.step, "rows": run.rows_done(),
                 "run": {"clip": run.clip and float(run.clip), "unit": run.length.unit, "every": run.length.every,
                         "rule": type(run.rule).__name__, "balance": type(run.balance).__name__,
                         "train": run.train.describe()},
                 "rngs": {name: rng.bit_generator.state for name, rng in self.rngs().items()},
                 "position": run.position % len(run.train), "history": run.history}
        if notes["position"]:           # in the middle of an epoch: it is drawn again from its start
            notes["rngs"]["fit"] = run.epoch_rng
        return arrays, notes

    def rngs(self):
        return {"fit": self.run.rng} | {f"model.{name}": rng for name, rng in self.run.model.named_rngs()}

    def open(self):
        """Make sure that the file can be written, and go on from it if it is there."""
        npz.prepare(self.path)
        for name, thing in _things(self.run.model):
            if isinstance(thing, np.random.RandomState | random.Random):
                raise TypeError(f"fit: {name} of the model is a {type(thing).__name__}, whose state no checkpoint "
                                "would hold; use np.random.default_rng(seed)")
        known = {id(p) for p in self.run.model.parameters()}
        if any(id(p) not in known for p in self.run.optimizer.params):
            raise ValueError("fit: the optimiser trains parameters outside the model, which no checkpoint would hold; "
                             "make one module that holds them all")
        try:
            if self.path.exists():
                self.restore(*npz.load(self.path, self.check))
        except npz.CheckpointError:
            raise
        except ValueError as error:
            raise npz.CheckpointError(f"checkpoint {self.path}: {error}") from error
        except Exception as error:
            raise npz.CheckpointError(f"checkpoint {self.path}: its notes are damaged ({error!r}); "
                                      "move it away or name another file to start anew") from error

    def check(self, notes, claims):
        """Raise ValueError unless a file with these notes and arrays is one that this run could have written."""
        arrays, own = self.state()
        if notes["optimizer"]["type"] != own["optimizer"]["type"]:
            raise ValueError(f"it was trained with {notes['optimizer']['type']}, and this is "
                             f"{own['optimizer']['type']}; use that optimiser or another checkpoint file")
        for what, theirs, ours in [("run", notes["run"], own["run"]), ("schedule", notes["schedule"], own["schedule"]),
                                   ("random generators", sorted(notes["rngs"]), sorted(own["rngs"]))]:
            if theirs != ours:
                raise ValueError(f"{what}: {theirs} there and {ours} here; make them equal or use another file")
        expected = {name: (a.shape, a.dtype) for name, a in arrays.items()}
        if any(name.startswith("best.") for name in claims):
            expected |= {f"best.{n}": (a.shape, a.dtype) for n, a in self.run.model.state_dict().items()}
        _must_agree(claims, expected)

    def restore(self, arrays, notes):
        run = self.run
        parts = {"model": {}, "optimizer": notes["optimizer"], "best": {}, "balance": {}}
        for name, array in arrays.items():
            part, _, name = name.partition(".")
            parts[part][name] = array
        history, lr = _sound_history(notes), _sound_lr(notes["lr"])
        _sound_lr(notes["optimizer"]["lr"])
        run.optimizer.load_state_dict(parts["optimizer"])
        run.model.load_state_dict(parts["model"])
        if run.balance is not None:
            run.balance.load_state_dict(parts["balance"])
        for name, rng in self.rngs().items():
            rng.bit_generator.state = notes["rngs"][name]
        run.history, run.lr, run.step, run.position = history, lr, int(notes["step"]), int(notes["position"])
        run.epoch_rng = notes["rngs"]["fit"]
        for row in history.rows() if run.rule else ():
            _, run.stop = run.rule(row)
        run.kept = parts["best"]


def _things(model):
    """(name, thing) of all that stands in the attributes of the model and of the modules below."""
    for prefix, module in model.named_modules():
        for name, _, _, thing in module._places():
            yield (f"{prefix}.{name}" if prefix else name), thing


def _numbers(model):
    """{name: value} of the plain numbers among them."""
    return {name: thing for name, thing in _things(model)
            if isinstance(thing, int | float | np.number) and not name.endswith("training")}


def _sound_history(notes):
    history = History(notes["history"])
    if {np.asarray(column, float).shape for column in history.values()} - {(notes["rows"],)}:
        raise TypeError("the history has another length than the run")
    if notes["rows"] and not {"loss", "lr"} <= history.keys():
        raise TypeError("the history has no losses")
    return history


def _sound_lr(lr):
    if not (isinstance(lr, int | float) and math.isfinite(lr) and lr >= 0):
        raise TypeError(f"the learning rate is {lr}")
    return float(lr)


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
