"""Training: the loop, batches of several kinds, what is shown, and what is refused."""

import sys

import numpy as np
import pytest

from tinynet import optim, train
from tinynet.balancing.mgda import MGDA
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.units.linear import Linear
from tinynet.train.batches import Generated, Shuffled, Together
from tinynet.train.rules import EarlyStopping

from .small_runs import X, Y, fit, net, same, squared_error


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


def test_every_module_is_left_in_the_mode_it_was_in():
    model = net()
    model.layers[1].training = False
    fit(model, val=(X, Y))
    assert [m.training for _, m in model.named_modules()] == [True, True, False, True]


def test_data_may_come_as_a_list_of_arrays():
    assert fit(net(0), [X, Y], epochs=2)["loss"] == fit(net(0), (X, Y), epochs=2)["loss"]


# %% Steps, batches of other kinds, several tasks
def test_rows_come_every_so_many_steps_and_the_schedule_counts_them():
    seen, model = [], net()
    history = train.fit(model, squared_error, Shuffled((X, Y), 4), optim.SGD(model.parameters(), 1.0), steps=8, every=3,
                        schedule=lambda t: seen.append(t) or 0.01, progress=False)
    assert history["step"] == [3, 6, 8]
    assert seen == list(range(8))
    assert len(history.rows()) == 3


def test_several_tasks_have_batches_of_their_own_and_a_column_each():
    def loss(model, first, second):
        return [squared_error(model, *first), squared_error(model, *second) * 2]

    data = Together(Shuffled((X, Y), 4), Shuffled((X[:3], Y[:3]), 2))
    assert len(data) == len(Shuffled((X, Y), 4))
    history = fit(net(), data, loss, epochs=2)
    assert {"loss", "loss_0", "loss_1"} <= history.keys()
    assert history["loss"][0] == pytest.approx(history["loss_0"][0] + history["loss_1"][0])


def test_generated_batches_train():
    data = Generated(lambda rng: (rng.normal(size=(8, 3)).astype(np.float32), np.ones((8, 2))), 4)
    assert len(fit(data=data, epochs=None, steps=6, every=2)["loss"]) == 3


# %% What is shown
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


# %% What is refused
NAN = X.copy()
NAN[[3, 7]] = np.nan


@pytest.mark.parametrize(("settings", "sentence"), [
    (dict(data=(NAN, Y)), "array 0 of train has NaN or inf in 2 of 20 examples .the first is 3"),
    (dict(val=(X, Y * np.inf)), "array 1 of val has NaN"),
    (dict(data=(X, Y[:9])), "arrays of train have 20 and 9 examples"),
    (dict(data=(X[:0], Y[:0])), "train has no examples"),
    (dict(data=(X, np.array(["a"] * 20))), "train holds .* give arrays of numbers"),
    (dict(data=()), "train holds"),
    (dict(batch_size=0), "batch_size is 0; give a whole number, 1 or more"),
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


def test_a_task_whose_loss_is_no_longer_finite_is_named():
    def loss(model, x, y):
        return [squared_error(model, x, y), squared_error(model, x, y) * np.nan]

    with pytest.raises(FloatingPointError, match="the loss of task 1 in epoch 1, batch 1"):
        fit(loss=loss)


def test_how_a_loss_a_rule_and_a_balance_are_given_is_told():
    for settings, sentence in ((dict(loss=cross_entropy), "it is called as loss"), (dict(rule=3), "rule is 3"),
                               (dict(balance=len), "give a rule of tinynet.balancing"),
                               (dict(balance=MGDA), r"balance is the class MGDA; make a rule of it: MGDA\("),
                               (dict(balance=MGDA(), shared=iter([])), "shared is .*give a list of parameters")):
        with pytest.raises(TypeError, match=sentence):
            fit(**settings)
