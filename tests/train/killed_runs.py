"""Train a tiny net again and again, killed with SIGKILL at random moments and resumed; compare the ends.

Run by test_train.py in a process of its own: it forks a child for every life of a run, so that
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

TICKS_AN_EPOCH = 28     # roughly: 4 batches, 20 arrays written, 2 fsyncs, 1 rename


def noop(_):
    pass


def fit(path, tick=noop):
    """The run: dropout, Adam, a schedule per step, clipping and early stopping; returns the final weights."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 5)).astype(np.float32), rng.normal(size=(30, 2)).astype(np.float32)
    model = nn.Sequential(Linear(5, 8, rng=1), Dropout(0.3, rng=2), Linear(8, 2, rng=3))

    def loss(model, X, y):
        tick("batch")
        return ((model(X) - y) ** 2).mean()

    train.fit(model, loss, (X, y), optim.Adam(model.parameters(), 0.01, weight_decay=0.1), epochs=5, batch_size=8,
              val=(X[:10], y[:10]), schedule=optim.WarmUp(1.5, then=optim.CosineDecay(3.5), start=0.1), clip=1.0,
              patience=4, rng=4, checkpoint=path, progress=False)
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


def one_life(path, moment, own_hand):
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
        fit(path, tick)
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
    expected = end(folder / "straight.npz", fit(folder / "straight.npz"))
    rng, kills, differing = np.random.default_rng(7), [], []
    for i in range(runs):
        path = folder / f"killed{i}.npz"
        while place := one_life(path, int(rng.integers(1, 3 * TICKS_AN_EPOCH)), own_hand=bool(i % 2)):
            kills.append(place)
        found = end(path, fit(path))
        differing += [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    print(json.dumps({"kills": kills, "differing": differing, "compared": sorted(expected)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
