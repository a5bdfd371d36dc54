"""The cells of the table of plain and residual nets learn, a stopped one goes on bit for bit, the lesson shows them.
"""

import runpy
from types import SimpleNamespace

import numpy as np
import pytest

from lessons.tables import __main__ as command
from lessons.tables import ledger
from lessons.tables.images import recipes
from lessons.tables.images.tables import CIFAR_10
from lessons.tools.catalogue import FOLDER
from tinynet.lesson import lesson
from tinynet.models.images.cifar_net import CifarNet


def few_images(seed=0):
    """40 images of two classes, one dark on the left, one on the right."""
    rng = np.random.default_rng(seed)
    y = np.arange(40) % 2
    X = rng.integers(0, 60, (40, 1, 8, 8), dtype=np.uint8)
    X[y == 0, :, :, :4] += 150
    X[y == 1, :, :, 4:] += 150
    return SimpleNamespace(X_train=X, y_train=y, X_test=X[:20], y_test=y[:20])


def learn(folder, epochs=3):
    net = CifarNet(6, widths=(4, 8), channels=1, classes=2, rng=0)
    return recipes.learn(recipes.Augmented(net, (0.3,), (0.3,), pad=1, rng=0), few_images(), 0, folder, epochs)


def test_a_cell_that_was_stopped_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    right, calls, stop = recipes.error, [], None

    def stopped(net, X, y):
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return right(net, X, y)

    monkeypatch.setattr(recipes, "error", stopped)
    whole, of_whole = learn(None), len(calls)
    calls.clear()
    stop = 2                                    # the second epoch's
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path)
    assert (tmp_path / "checkpoint.npz").is_file()
    calls.clear()
    stop = None
    assert learn(tmp_path) == whole
    assert len(calls) == of_whole - 1           # the first epoch was not run again


def test_images_are_changed_in_training_alone():
    data = few_images()
    net = recipes.Augmented(lambda X: X, (0.3,), (0.3,), pad=1, rng=0)
    assert np.array_equal(net.eval()(data.X_test), net(data.X_test))
    assert not np.array_equal(net.train()(data.X_test), net(data.X_test))


def test_the_cells_are_the_papers_nets():
    assert set(recipes.CIFAR) == {f"{kind}-{depth}" for kind in ("plain", "ResNet") for depth in (20, 32, 44, 56)} | {
        "ResNet-20, 60 epochs"}
    assert set(recipes.FASHION) == {"plain-20", "ResNet-20", "plain-56", "ResNet-56"}


def test_the_lesson_shows_the_runs_that_stand_in_the_ledger(tmp_path, monkeypatch):
    for system, seed, error in (("ResNet-20", 0, 9.1), ("plain-20", 0, 9.5), ("plain-56", 0, 14.0),
                                ("plain-20", 1, 9.9), ("ResNet-20, 60 epochs", 0, 8.0)):
        curve = [[i, error + 40 / i] for i in (1, 2, 3)]
        ledger.append(ledger.path_of(CIFAR_10, tmp_path), ledger.Cell(CIFAR_10.name, system, "CIFAR-10", seed),
                      {"training error": error / 2, "curve of test error": curve, "test error": error}, 1.0)
    monkeypatch.setattr(command, "FIGURES", tmp_path)
    for name, value in dict(quick=True, data=tmp_path, figures=tmp_path, seed=0).items():
        monkeypatch.setattr(lesson, name, value)
    lesson.begin()
    runpy.run_path(str(FOLDER / "shi" / "20_cifar.py"))
    told = {label: (np.ravel(ours).tolist(), beside) for label, ours, beside, _ in lesson.numbers if "CIFAR" in label}
    assert told == {
        "CIFAR-10: nets in the table's ledger": ([4], None),
        "CIFAR-10, plain-20: training error %": ([4.75, 4.95], None),
        "CIFAR-10, plain-20: test error %": ([9.5, 9.9], "a figure alone"),
        "CIFAR-10, plain-56: training error %": ([7.0], None),
        "CIFAR-10, plain-56: test error %": ([14.0], "a figure alone"),
        "CIFAR-10, ResNet-20: training error %": ([4.55], None),
        "CIFAR-10, ResNet-20: test error %": ([9.1], "8.75"),
        "CIFAR-10, ResNet-20, 60 epochs: training error %": ([4.0], None),
        "CIFAR-10, ResNet-20, 60 epochs: test error %": ([8.0], "8.75")}
    assert {"shi_fig1_cifar-10.png", "shi_fig4_fig5_cifar-10.png"} <= {path.name for path in tmp_path.iterdir()}
