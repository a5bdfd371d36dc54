"""Evaluation: the mode of the model, what a loss is a mean over, and what a metric sees."""

import numpy as np
import pytest

import tinynet
from tinynet import metrics, optim, train
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.train.batches import Generated, Shuffled, Together

from .small_runs import Unchanged, X, Y, fit, net, squared_error


def _cross_entropy(model, x, t):
    return cross_entropy(model(x), t)


# %% Losses and metrics
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


def test_metrics_are_measured_on_val_or_else_on_train():
    labels = (Y[:, 0] > 0).astype(np.int64)

    def loss(model, x, y):
        return (model(x) ** 2).mean()

    named = {"accuracy": metrics.accuracy}
    assert "val_accuracy" in fit(data=(X, labels), loss=loss, val=(X, labels), metrics=named)
    history = fit(data=(X, labels), loss=loss, metrics=named)
    assert all(0 <= a <= 1 for a in history["accuracy"])
    assert metrics.accuracy(lambda x: tinynet.Tensor(x), np.eye(4), np.array([0, 1, 2, 0])) == 0.75


def test_a_metric_that_is_no_mean_sees_all_predictions_at_once():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(8, 3)), np.array([0, 1, 2, 1, -1, -1, -1, 2])

    def largest(model, x, t):
        return model(x).data.max()

    found = train.evaluate(Unchanged(), _cross_entropy, (x, t), {"largest": largest}, batch_size=3)
    assert found["loss"] == pytest.approx(_cross_entropy(Unchanged(), x, t).item(), rel=1e-12)
    assert found["largest"] == x.max()


# %% What is counted
def test_a_loss_that_counts_something_else_says_so():
    weights = np.arange(1.0, 1 + len(X))[:, None]

    def loss(model, x, y, w):
        return ((model(x) - y) ** 2 * w).sum() / w.sum(), float(w.sum())

    model = net(dropout=0)
    history = fit(model, (X, Y, weights), loss, optim.SGD(model.parameters(), 0.0), epochs=1, batch_size=3)
    everything, _ = loss(model, X, Y, weights)
    assert history["loss"][0] == pytest.approx(everything.item(), rel=1e-6)


def test_ignored_targets_count_nowhere():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(8, 3)), np.array([0, 1, 2, 1, -1, -1, -1, 2])
    model = Unchanged()
    right = _cross_entropy(model, x, t).item()
    history = train.fit(model, _cross_entropy, (x, t), optim.SGD(model.parameters(), 0.0), 1, batch_size=4,
                        val=Shuffled((x, t), 4), progress=False)
    assert history["loss"][0] == pytest.approx(right, rel=1e-9)
    assert history["val_loss"][0] == pytest.approx(right, rel=1e-9)


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


def test_each_task_is_weighted_by_its_own_data():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(8, 3)), rng.integers(0, 3, 8)
    model = Unchanged()

    def loss(model, first, second):
        return [_cross_entropy(model, *first), _cross_entropy(model, *second)]

    found = train.evaluate(model, loss, Together(Shuffled((x, t), 3), Shuffled((x[:5], t[:5]), 4)))
    first, second = (_cross_entropy(model, x[:n], t[:n]).item() for n in (8, 5))
    assert (found["loss_0"], found["loss_1"]) == (pytest.approx(first), pytest.approx(second))
    assert found["loss"] == pytest.approx(first + second)
