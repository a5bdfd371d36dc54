"""Train a tiny net again and again, killed with SIGKILL at random moments and resumed; compare the ends.

Run by test_checkpoints.py in a process of its own: it forks a child for every life of a run, so that
numpy is imported only once.  Prints JSON: the kills, where they struck, and what differed.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from tinynet import nn, npz, optim, train
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.linear import Linear
from tinynet.train.batches import Shuffled
from tinynet.train.rules import EarlyStopping

TICKS_AN_EPOCH = 28     # roughly: 4 batches, 20 arrays written, 2 fsyncs, 1 rename


def noop(_):
    pass


class Centred(nn.Module):
    """Subtracts a running mean, which is state, adds noise from a generator in a list, and counts its calls."""

    def __init__(self):
        self.mean, self.calls, self.rngs = nn.Buffer(np.zeros(5, np.float32)), np.zeros(1, int), [
            np.random.default_rng(9)]

    def forward(self, x):
        if self.training:
            self.mean.data = 0.9 * self.mean.data + np.float32(0.1) * x.mean(axis=0)
            self.calls = self.calls + 1
            x = x + self.rngs[0].normal(scale=0.1, size=x.shape).astype(np.float32)
        return x - self.mean.data


def fit(path, tick=noop, kind="epochs"):
    """The run: dropout, state, Adam, a schedule per step, clipping and a rule; returns the final weights.

    kind  "epochs": arrays, a row an epoch; "steps": augmented arrays, a row every 3 steps, in the middle of epochs
    """
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 5)).astype(np.float32), rng.normal(size=(30, 2)).astype(np.float32)
    model = nn.Sequential(Centred(), Linear(5, 8, rng=1), Dropout(0.3, rng=2), Linear(8, 2, rng=3))

    def loss(model, X, y):
        tick("batch")
        return ((model(X) - y) ** 2).mean()

    def shaken(rng, X, y):
        return X + rng.normal(scale=0.1, size=X.shape).astype(np.float32), y

    adam = optim.Adam(model.parameters(), 0.01, weight_decay=0.1)
    settings = dict(val=(X[:10], y[:10]), clip=1.0, rng=4, checkpoint=path, progress=False, rule=EarlyStopping(4))
    if kind == "epochs":
        schedule = optim.WarmUp(1.5, then=optim.CosineDecay(3.5), start=0.1)
        train.fit(model, loss, (X, y), adam, epochs=5, batch_size=8, schedule=schedule, **settings)
    else:
        train.fit(model, loss, Shuffled((X, y), 8, augment=shaken), adam, steps=18, every=3,
                  schedule=optim.CosineDecay(18), **settings)
    return model.state_dict()


def ticking(tick):
    """Let `tick` be told of every step of writing a checkpoint."""
    def around(module, name):
        real = getattr(module, name)

        def told(*args, **settings):
            tick(f"before {name}")
            result = real(*args, **settings)
            tick(f"after {name}")
            return result
        setattr(module, name, told)

    around(os, "fsync")
    around(os, "replace")
    around(np.lib.format, "write_array")


def one_life(path, moment, own_hand, kind):
    """A child that trains until SIGKILL strikes at its tick number `moment`, by its own hand or, while it goes on,
    by its parent's.  Returns the place of the last tick, or None when the child came to the end of the run."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def tick(place):
            nonlocal count
            count += 1
            os.write(writer, f"{place}\n".encode())
            if own_hand and count == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        ticking(tick)
        fit(path, tick, kind)
        os._exit(0)
    os.close(writer)
    places = []
    with os.fdopen(reader) as lines:
        for line in lines:
            places.append(line.strip())
            if not own_hand and len(places) == moment:
                os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return places[-1]
    assert status == 0, f"a child failed with {status}"
    return None


def end(path, weights):
    """All that must be equal at the end of a run; the seconds of the history can't be."""
    arrays, notes = npz.load(path)
    notes["history"].pop("seconds")
    arrays |= {f"final.{name}": a for name, a in weights.items()}
    return {name: a.tobytes().hex() for name, a in arrays.items()} | {"notes": json.dumps(notes)}


def main(folder, runs):
    rng, kills, differing, expected = np.random.default_rng(7), [], [], {}
    for i in range(2 * runs):
        kind = ("epochs", "steps")[i // runs]
        path, straight = folder / f"killed{i}.npz", folder / f"{kind}.npz"
        if kind not in expected:
            expected[kind] = end(straight, fit(straight, kind=kind))
        while place := one_life(path, int(rng.integers(1, 3 * TICKS_AN_EPOCH)), bool(i % 2), kind):
            kills.append(place)
        found = end(path, fit(path, kind=kind))
        differing += [name for name in expected[kind].keys() | found.keys()
                      if expected[kind].get(name) != found.get(name)]
    print(json.dumps({"kills": kills, "differing": differing, "compared": sorted(expected["steps"])}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
