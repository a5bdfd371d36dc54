"""Checkpoints: a run that was stopped ends bit for bit where it would have ended, or it is told why not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinynet
from tinynet import nn, npz, optim, train
from tinynet.blocks.units.linear import Linear
from tinynet.npz import CheckpointError
from tinynet.train.rules import EarlyStopping

from .small_runs import Unchanged, X, Y, fit, net, same, squared_error


# %% Runs that go on
def test_a_finished_run_is_taken_up_and_a_longer_one_goes_on_bitwise(tmp_path):
    path, straight, resumed = tmp_path / "run.npz", net(), net()
    history = fit(straight, epochs=6, val=(X, Y), batch_size=8, schedule=optim.CosineDecay(6))
    fit(epochs=2, val=(X, Y), batch_size=8, schedule=optim.CosineDecay(6), checkpoint=path)
    again = fit(resumed, epochs=6, val=(X, Y), batch_size=8, schedule=optim.CosineDecay(6), checkpoint=path)
    assert same(straight.state_dict(), resumed.state_dict())
    for name in ("epoch", "loss", "val_loss", "lr"):
        assert history[name] == again[name]
    third = net()
    fit(third, epochs=6, val=(X, Y), batch_size=8, schedule=optim.CosineDecay(6), checkpoint=path)
    assert same(third.state_dict(), resumed.state_dict())


def test_ctrl_c_leaves_the_last_checkpoint_and_says_so(tmp_path, capsys):
    path, calls = tmp_path / "run.npz", []

    def loss(model, x, y):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return squared_error(model, x, y)

    with pytest.raises(KeyboardInterrupt):
        fit(loss=loss, batch_size=8, checkpoint=path)
    assert f"stopped in epoch 3; the 2 epochs before are in {path}" in capsys.readouterr().err
    assert npz.load(path)[1]["rows"] == 2
    assert fit(batch_size=8, checkpoint=path)["epoch"] == [1, 2, 3]


def test_runs_killed_at_any_moment_end_bitwise_where_the_uninterrupted_one_ends(tmp_path):
    script = Path(__file__).with_name("killed_runs.py")
    done = subprocess.run([sys.executable, script, tmp_path, "2"], check=True, capture_output=True, text=True,
                          env={**os.environ, "TINYNET_BACKEND": "plain", "OPENBLAS_NUM_THREADS": "1"})
    report = json.loads(done.stdout)
    assert report["differing"] == []
    assert len(report["kills"]) >= 12
    assert any(place != "batch" for place in report["kills"])
    assert {"notes", "model.1.W", "best.1.W", "final.1.W", "optimizer.v.0", "model.0.mean"} <= set(report["compared"])


def test_state_that_is_an_array_is_saved_and_restored(tmp_path):
    class Centre(nn.Module):
        def __init__(self):
            self.g, self.mean = nn.Parameter(np.ones(1)), np.zeros(1)

        def forward(self, x):
            if self.training:
                self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
            return (tinynet.Tensor(x) - self.mean) * self.g

    def run(epochs, **settings):
        model = Centre()
        train.fit(model, lambda m, x: (m(x) ** 2).mean(), np.full((8, 1), 5.0), optim.SGD(model.parameters(), 0.01),
                  epochs, progress=False, **settings)
        return model.mean

    path = tmp_path / "run.npz"
    run(3, checkpoint=path)
    np.testing.assert_array_equal(run(6, checkpoint=path), run(6))


# %% What a checkpoint holds, and what is refused
def test_modules_in_lists_and_dictionaries_are_found():
    class Branches(nn.Module):
        def __init__(self):
            self.by_name = {"a": Linear(2, 1, bias=False), "b": [Linear(2, 1, bias=False)]}

    assert [name for name, _ in Branches().named_parameters()] == ["by_name.a.W", "by_name.b.0.W"]


def test_a_checkpoint_of_something_else_names_what_differs(tmp_path):
    path = tmp_path / "run.npz"
    fit(checkpoint=path)
    wide, plain = net(width=5), nn.Sequential(Linear(3, 2, rng=0))
    sgd, small = net(), net()
    for settings, sentence in [
        (dict(model=wide), r"another model: model.0.W is float32 \(4, 3\) there and float32 \(5, 3\) here"),
        (dict(model=plain), "random generators: .*model.1.rng.* there"),
        (dict(model=sgd, optimizer=optim.SGD(sgd.parameters(), 0.1)), "trained with Adam, and this is SGD"),
        (dict(model=small, optimizer=optim.Adam(small.parameters(), 0.5)), "lr=0.01 there and 0.5 here"),
        (dict(batch_size=4), "'size': 32.* there and .*'size': 4"),
        (dict(data=(X[:9], Y[:9])), "there and .*9, 3"),
        (dict(schedule=optim.LinearDecay(3)), "schedule: None there and .*LinearDecay"),
        (dict(val=(X, Y), rule=EarlyStopping(1)), "'rule': 'NoneType'"),
    ]:
        with pytest.raises(CheckpointError, match=f"(?s)checkpoint .*run.npz: .*{sentence}"):
            fit(checkpoint=path, **settings)


@pytest.mark.parametrize("damage", [
    lambda notes: notes.pop("history"), lambda notes: notes.update(run=3), lambda notes: notes.update(lr="fast"),
    lambda notes: notes.update(rngs={"fit": 1, "model.1.rng": {}}), lambda notes: notes.update(optimizer=[]),
    lambda notes: notes["history"].update(loss=[]), lambda notes: notes["optimizer"].update(steps=["x"] * 4),
    lambda notes: notes["optimizer"].pop("settings"), lambda notes: notes.update(lr=float("nan")),
    lambda notes: notes["optimizer"].update(lr=-1.0), lambda notes: notes["optimizer"].update(lr=float("inf")),
    lambda notes: notes["optimizer"].update(steps=[-1] * 4), lambda notes: notes["history"].pop("loss"),
])
def test_damaged_notes_are_refused(tmp_path, damage):
    path = tmp_path / "run.npz"
    fit(epochs=1, checkpoint=path)
    arrays, notes = npz.load(path)
    damage(notes)
    npz.save(path, arrays, notes)
    with pytest.raises(CheckpointError, match=r"checkpoint .*run.npz"):
        fit(checkpoint=path)


def test_what_no_checkpoint_could_hold_is_told_before_work(tmp_path):
    model = net()
    outside = optim.SGD([*model.parameters(), nn.Parameter(np.ones(1))], 0.1)
    with pytest.raises(ValueError, match="parameters outside the model"):
        fit(model, optimizer=outside, checkpoint=tmp_path / "run.npz")
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="can't be written"):
        fit(checkpoint=tmp_path / "file" / "run.npz")


@pytest.mark.parametrize(("state", "sentence"), [(0.0, "mean of the model is a plain number that training changed"),
                                                 (np.random.RandomState(0), "mean of the model is a RandomState")])
def test_state_that_no_checkpoint_would_hold_is_refused(tmp_path, state, sentence):
    class Centre(Unchanged):
        def __init__(self):
            super().__init__()
            self.mean = state

        def forward(self, x):
            if self.training and isinstance(self.mean, float):
                self.mean = 0.9 * self.mean + 0.1 * float(x.mean())
            return super().forward(x)

    model = Centre()
    with pytest.raises((TypeError, CheckpointError), match=sentence):
        train.fit(model, lambda m, x: (m(x) ** 2).mean(), np.ones((4, 1)), optim.SGD(model.parameters(), 0.1), 2,
                  checkpoint=tmp_path / "run.npz", progress=False)
