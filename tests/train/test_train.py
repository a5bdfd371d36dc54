import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinynet
from tinynet import metrics, nn, npz, optim, train
from tinynet.balancing.mgda import MGDA
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.linear import Linear
from tinynet.npz import CheckpointError
from tinynet.train.batches import Generated, Shuffled, Together
from tinynet.train.rules import EarlyStopping

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)).astype(np.float32), RNG.normal(size=(20, 2)).astype(np.float32)


def squared_error(model, x, y):
    return ((model(x) - y) ** 2).mean()


def net(dropout=0.3, width=4):
    return nn.Sequential(Linear(3, width, rng=1), Dropout(dropout, rng=2), Linear(width, 2, rng=3))


def fit(model=None, data=(X, Y), loss=squared_error, optimizer=None, epochs=3, progress=False, **settings):
    model = net() if model is None else model
    optimizer = optimizer or optim.Adam(model.parameters(), 0.01)
    return train.fit(model, loss, data, optimizer, epochs, progress=progress, **settings)


def fit_steps(model=None, data=(X, Y), loss=squared_error, **settings):
    model = net() if model is None else model
    return train.fit(model, loss, data, optim.Adam(model.parameters(), 0.01), progress=False, **settings)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first.values(), second.values(), strict=True))


# %% The loop
def test_it_learns_and_the_history_says_so():
    model = Linear(3, 2, rng=0)
    W = np.array([[1, 2, 3], [-1, 0, 1]], np.float32)
    history = fit(model, (X, X @ W.T), optimizer=optim.Adam(model.parameters(), 0.1), epochs=150, batch_size=20)
    np.testing.assert_allclose(model.W.data, W, atol=0.01)
    assert history["epoch"] == list(range(1, 151))
    assert history["loss"][-1] < 1e-3 < history["loss"][0]
    assert history["lr"] == [0.1] * 150
    assert len(history["seconds"]) == 150


def test_the_loss_of_an_epoch_counts_every_example_once():
    seen = []

    def loss(model, x, y):
        seen.append(x)
        return model(x).sum() * 0 + float(x.sum()) / len(x)

    history = fit(loss=loss, epochs=1, batch_size=8)
    assert [len(x) for x in seen] == [8, 8, 4]
    np.testing.assert_array_equal(np.sort(np.concatenate(seen), axis=0), np.sort(X, axis=0))
    assert history["loss"][0] == pytest.approx(X.sum() / 20, rel=1e-4)


def test_the_rng_decides_the_order():
    weights = []
    for rng in (0, 0, np.random.default_rng(0), 1):
        model = net()
        fit(model, rng=rng, batch_size=4)
        weights.append(model.state_dict())
    assert same(weights[0], weights[1])
    assert same(weights[0], weights[2])
    assert not same(weights[0], weights[3])


def test_a_schedule_moves_the_learning_rate_every_step_and_gives_it_back():
    model, rates = net(), []
    optimizer = optim.SGD(model.parameters(), 0.5)

    def loss(model, x, y):
        rates.append(optimizer.lr)
        return squared_error(model, x, y)

    history = fit(model, loss=loss, optimizer=optimizer, epochs=2, batch_size=5, schedule=optim.LinearDecay(2))
    np.testing.assert_allclose(rates, 0.5 * (1 - np.arange(8) / 8))
    np.testing.assert_allclose(history["lr"], [rates[3], rates[7]])
    assert optimizer.lr == 0.5


def test_clip_bounds_the_step():
    model = net()
    before = model.state_dict()
    fit(model, (X, 1e4 * Y), optimizer=optim.SGD(model.parameters(), 1.0), epochs=1, batch_size=20, clip=0.1)
    moved = np.sqrt(sum(((before[k] - v) ** 2).sum() for k, v in model.state_dict().items()))
    assert moved == pytest.approx(0.1, rel=1e-4)


def test_patience_stops_and_restores_the_best_weights():
    model, losses = net(), iter([5, 3, 4, 3, 6, 1])
    best = {}

    def loss(model, x, y):
        if model.training:
            return squared_error(model, x, y)
        value = next(losses)
        if value == 3 and not best:
            best.update(model.state_dict())
        return value

    history = fit(model, loss=loss, val=(X, Y), epochs=9, rule=EarlyStopping(2))
    assert history["val_loss"] == [5, 3, 4, 3]
    assert history.best_epoch == 2
    assert same(model.state_dict(), best)


def test_evaluation_is_a_mean_over_examples_in_evaluation_mode_without_a_tape():
    model, modes = net(), []

    def loss(model, x, y):
        modes.append((model.training, model.layers[1].training))
        value = squared_error(model, x, y)
        assert not value.requires_grad
        return value

    model.layers[1].training = False
    metrics = {"twice": lambda model, x, y: 2 * squared_error(model, x, y).item()}
    found = train.evaluate(model, loss, (X, Y), metrics, batch_size=7)
    expected = float(((model.eval()(X).data - Y) ** 2).mean())
    assert found == {"loss": pytest.approx(expected, rel=1e-5), "twice": pytest.approx(2 * expected, rel=1e-5)}
    assert set(modes) == {(False, False)}


def test_every_module_is_left_in_the_mode_it_was_in():
    model = net()
    model.layers[1].training = False
    fit(model, val=(X, Y))
    assert [m.training for _, m in model.named_modules()] == [True, True, False, True]


def test_metrics_are_measured_on_val_or_else_on_train():
    labels = (Y[:, 0] > 0).astype(np.int64)

    def loss(model, x, y):
        return (model(x) ** 2).mean()

    named = {"accuracy": metrics.accuracy}
    assert "val_accuracy" in fit(data=(X, labels), loss=loss, val=(X, labels), metrics=named)
    history = fit(data=(X, labels), loss=loss, metrics=named)
    assert all(0 <= a <= 1 for a in history["accuracy"])
    assert metrics.accuracy(lambda x: tinynet.Tensor(x), np.eye(4), np.array([0, 1, 2, 0])) == 0.75


def test_lines_where_there_is_no_terminal_and_silence_on_demand(capsys):
    fit(progress=False)
    assert capsys.readouterr() == ("", "")
    fit(progress=True, epochs=100)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 20
    assert lines[-1].startswith("epoch 100/100  loss ")


def test_a_bar_where_there_is_a_terminal(capsys, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fit(progress=True, val=(X, Y), epochs=30, rule=EarlyStopping(1), optimizer=None)
    err = capsys.readouterr().err
    assert "step/s" in err
    assert "loss " in err


# %% Bad input
NAN = X.copy()
NAN[[3, 7]] = np.nan


@pytest.mark.parametrize(("settings", "sentence"), [
    (dict(data=(NAN, Y)), "array 0 of train has NaN or inf in 2 of 20 examples .the first is 3"),
    (dict(val=(X, Y * np.inf)), "array 1 of val has NaN"),
    (dict(data=(X, Y[:9])), "arrays of train have 20 and 9 examples"),
    (dict(data=(X[:0], Y[:0])), "train has no examples"),
    (dict(data=(X, np.array(["a"] * 20))), "train holds .* give arrays of numbers"),
    (dict(data=()), "train holds"),
    (dict(batch_size=0), "batch_size is 0; it must be a whole number, 1 or more"),
    (dict(batch_size=2.5), "batch_size is 2.5"),
    (dict(epochs=-1), "epochs is -1"),
    (dict(steps=3), "either epochs= or steps="),
    (dict(every=3), "every= goes with steps="),
    (dict(clip=-1), "clip is -1"),
    (dict(optimizer=optim.SGD(net().parameters(), 0.1)), "none of the model's parameters"),
])
def test_bad_data_and_settings_are_told_before_work_starts(settings, sentence):
    def loss(*_):
        raise AssertionError("work has started")

    with pytest.raises(ValueError, match=f"^fit: .*{sentence}"):
        fit(loss=loss, **settings)


def test_a_model_or_loss_of_the_wrong_kind():
    with pytest.raises(TypeError, match=r"fit: model is .* must be a tinynet.nn.Module"):
        fit(model=lambda x: x, optimizer=optim.SGD(net().parameters(), 0.1))
    with pytest.raises(TypeError, match="it must return a tensor with one entry"):
        fit(loss=lambda model, x, y: model(x))


def test_a_loss_that_is_no_longer_finite_stops_the_run():
    calls = []

    def loss(model, x, y):
        calls.append(1)
        return squared_error(model, x, y) * (np.nan if len(calls) == 5 else 1)

    with pytest.raises(FloatingPointError, match=r"loss in epoch 3, batch 1 is nan; .*tinynet.debug\(\)"):
        fit(loss=loss, batch_size=10)


# %% Checkpoints
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


def test_runs_killed_at_any_moment_end_bitwise_where_the_uninterrupted_one_ends(tmp_path):
    script = Path(__file__).with_name("killed_runs.py")
    done = subprocess.run([sys.executable, script, tmp_path, "2"], check=True, capture_output=True, text=True,
                          env={**os.environ, "TINYNET_BACKEND": "plain", "OPENBLAS_NUM_THREADS": "1"})
    report = json.loads(done.stdout)
    assert report["differing"] == []
    assert len(report["kills"]) >= 12
    assert any(place != "batch" for place in report["kills"])
    assert {"notes", "model.1.W", "best.1.W", "final.1.W", "optimizer.v.0", "model.0.mean"} <= set(report["compared"])


def test_data_may_come_as_a_list_of_arrays():
    assert fit(net(0), [X, Y], epochs=2)["loss"] == fit(net(0), (X, Y), epochs=2)["loss"]


def test_modules_in_lists_and_dictionaries_are_found():
    class Branches(nn.Module):
        def __init__(self):
            self.by_name = {"a": Linear(2, 1, bias=False), "b": [Linear(2, 1, bias=False)]}

    assert [name for name, _ in Branches().named_parameters()] == ["by_name.a.W", "by_name.b.0.W"]


# %% Steps, batches of other kinds, several tasks
def test_rows_come_every_so_many_steps_and_the_schedule_counts_them():
    seen, model = [], net()
    history = train.fit(model, squared_error, Shuffled((X, Y), 4), optim.SGD(model.parameters(), 1.0), steps=8, every=3,
                        schedule=lambda t: seen.append(t) or 0.01, progress=False)
    assert history["step"] == [3, 6, 8]
    assert seen == list(range(8))
    assert len(history.rows()) == 3


def test_a_loss_that_counts_something_else_says_so():
    weights = np.arange(1.0, 1 + len(X))[:, None]

    def loss(model, x, y, w):
        return ((model(x) - y) ** 2 * w).sum() / w.sum(), float(w.sum())

    model = net(dropout=0)
    history = fit(model, (X, Y, weights), loss, optim.SGD(model.parameters(), 0.0), epochs=1, batch_size=3)
    everything, _ = loss(model, X, Y, weights)
    assert history["loss"][0] == pytest.approx(everything.item(), rel=1e-6)


def test_several_tasks_have_batches_of_their_own_and_a_column_each():
    def loss(model, first, second):
        return [squared_error(model, *first), squared_error(model, *second) * 2]

    data = Together(Shuffled((X, Y), 4), Shuffled((X[:3], Y[:3]), 2))
    assert len(data) == len(Shuffled((X, Y), 4))
    history = fit(net(), data, loss, epochs=2)
    assert {"loss", "loss_0", "loss_1"} <= history.keys()
    assert history["loss"][0] == pytest.approx(history["loss_0"][0] + history["loss_1"][0])


def test_generated_batches_train():
    assert len(fit_steps(data=Generated(lambda rng: (rng.normal(size=(8, 3)).astype(np.float32), np.ones((8, 2))), 4),
                         steps=6, every=2)["loss"]) == 3


# %% What a metric sees
def test_a_metric_that_is_no_mean_sees_all_predictions_at_once():
    class Same(nn.Module):
        def forward(self, x):
            return tinynet.Tensor(x)

    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(8, 3)), np.array([0, 1, 2, 1, -1, -1, -1, 2])

    def loss(model, x, t):
        return cross_entropy(model(x), t)

    def largest(model, x, t):
        return model(x).data.max()

    found = train.evaluate(Same(), loss, (x, t), {"largest": largest}, batch_size=3)
    assert found["loss"] == pytest.approx(loss(Same(), x, t).item(), rel=1e-12)
    assert found["largest"] == x.max()


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


class _Same(nn.Module):
    def __init__(self):
        self.zero = nn.Parameter(np.zeros(1))

    def forward(self, x):
        return tinynet.Tensor(x) + self.zero


def _cross_entropy(model, x, t):
    return cross_entropy(model(x), t)


def test_ignored_targets_count_nowhere():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(8, 3)), np.array([0, 1, 2, 1, -1, -1, -1, 2])
    model = _Same()
    right = _cross_entropy(model, x, t).item()
    history = train.fit(model, _cross_entropy, (x, t), optim.SGD(model.parameters(), 0.0), 1, batch_size=4,
                        val=Shuffled((x, t), 4), progress=False)
    assert history["loss"][0] == pytest.approx(right, rel=1e-9)
    assert history["val_loss"][0] == pytest.approx(right, rel=1e-9)


def test_each_task_is_weighted_by_its_own_data():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(8, 3)), rng.integers(0, 3, 8)
    model = _Same()

    def loss(model, first, second):
        return [_cross_entropy(model, *first), _cross_entropy(model, *second)]

    found = train.evaluate(model, loss, Together(Shuffled((x, t), 3), Shuffled((x[:5], t[:5]), 4)))
    first, second = (_cross_entropy(model, x[:n], t[:n]).item() for n in (8, 5))
    assert (found["loss_0"], found["loss_1"]) == (pytest.approx(first), pytest.approx(second))
    assert found["loss"] == pytest.approx(first + second)


@pytest.mark.parametrize(("state", "sentence"), [(0.0, "mean of the model is a plain number that training changed"),
                                                 (np.random.RandomState(0), "mean of the model is a RandomState")])
def test_state_that_no_checkpoint_would_hold_is_refused(tmp_path, state, sentence):
    class Centre(_Same):
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


def test_how_a_loss_a_rule_and_a_balance_are_given_is_told():
    for settings, sentence in ((dict(loss=cross_entropy), "it is called as loss"), (dict(rule=3), "rule is 3"),
                               (dict(balance=len), "give a rule of tinynet.balancing"),
                               (dict(balance=MGDA), r"balance is the class MGDA; make a rule of it: MGDA\("),
                               (dict(balance=MGDA(), shared=iter([])), "shared is .*give a list of parameters")):
        with pytest.raises(TypeError, match=sentence):
            fit(**settings)


def test_a_task_whose_loss_is_no_longer_finite_is_named():
    def loss(model, x, y):
        return [squared_error(model, x, y), squared_error(model, x, y) * np.nan]

    with pytest.raises(FloatingPointError, match="the loss of task 1 in epoch 1, batch 1"):
        fit(loss=loss)


def test_ignored_targets_count_nowhere_in_batches_of_other_kinds_and_for_several_tasks():
    model, targets = net(dropout=0), np.array([0, 1, 0, -1, -1, -1, 1, 0])
    batches = [(X[:4], targets[:4]), (X[4:8], targets[4:])]
    right = _cross_entropy(model, X[:8], targets).item()
    data = Generated(lambda rng: batches[int(rng.integers(2))], 2)
    data.epoch = lambda rng: ((batch, 4) for batch in batches)
    still = optim.SGD(model.parameters(), 0.0)
    history = train.fit(model, lambda m, x, t: [_cross_entropy(m, x, t), squared_error(m, x, Y[:4])], data, still, 1,
                        progress=False)
    assert train.evaluate(model, _cross_entropy, data)["loss"] == pytest.approx(right, rel=1e-6)
    assert history["loss_0"][0] == pytest.approx(right, rel=1e-6)
