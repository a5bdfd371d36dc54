"""Batches of several tasks, the generated domains, mean average precision, and Omniglot where it is."""

import os

import numpy as np
import pytest

from tinynet.data.multi_domain import multi_domain
from tinynet.data.omniglot import HASHES, omniglot, ten_alphabets
from tinynet.data.task_batches import TaskBatches, outputs_of
from tinynet.data.task_toys import one_plane
from tinynet.metrics import map_at_k
from tinynet.models.tasks.multi_task_net import MultiTaskNet

HERE = pytest.mark.skipif("TINYNET_DATA" not in os.environ, reason="TINYNET_DATA names no folder with omniglot/")
rng = np.random.default_rng(0)


# %% Batches
def test_every_example_comes_once_a_round_and_small_tasks_come_round_more_often():
    tasks = [(np.arange(12.0)[:, None], np.arange(12)), (np.arange(4.0)[:, None], np.arange(4))]
    batches = TaskBatches(tasks, size=4)
    drawn = [batch for batch, _ in batches.epoch(np.random.default_rng(0))]
    assert len(drawn) == len(batches) == 3
    assert sorted(np.concatenate([labels[0] for _, *labels in drawn])) == list(range(12))
    assert all(sorted(labels[1]) == [0, 1, 2, 3] for _, *labels in drawn)
    for x, *labels in drawn:
        assert x.shape == (2, 4, 1)
        assert all(np.array_equal(x[t, :, 0], labels[t]) for t in range(2))
    again = next(batches.epoch(np.random.default_rng(0)))[0]
    np.testing.assert_array_equal(again[0], drawn[0][0])
    in_order = next(batches.epoch(None))[0]
    assert in_order[1].tolist() == [0, 1, 2, 3]


def test_tasks_that_give_no_batch_are_refused():
    good = np.zeros((3, 2)), np.zeros(3)
    with pytest.raises(ValueError, match="TaskBatches: there are 0 tasks and batches of 2 examples each; give at"):
        TaskBatches([], size=2)
    with pytest.raises(ValueError, match="TaskBatches: there are 1 tasks and batches of 0 examples each; give at"):
        TaskBatches([good], size=0)
    with pytest.raises(ValueError, match="TaskBatches: task 1 has no examples, so no batch can have any of it"):
        TaskBatches([good, (np.zeros((0, 2)), np.zeros(0))], size=2)
    with pytest.raises(ValueError, match=r"task 1 has X \(3, 5\) and labels \(3,\), task 0 has X \(3, 2\)"):
        TaskBatches([good, (np.zeros((3, 5)), np.zeros(3))], size=2)
    with pytest.raises(ValueError, match="give a label for each example"):
        TaskBatches([(np.zeros((3, 2)), np.zeros(2))], size=2)


def test_labels_of_a_task_may_be_a_list():
    tasks = [(np.zeros((3, 2)), [0, 1, 2]), (np.ones((2, 2)), [5, 6])]
    (_, first, second), _ = next(TaskBatches(tasks, size=3).epoch(None))
    assert (first.tolist(), second.tolist()) == ([0, 1, 2], [5, 6, 5])


def test_outputs_of_sets_of_unequal_size():
    net = MultiTaskNet(3, (4,), (2, 5), rng=0)
    inputs = [rng.normal(size=(n, 3)).astype(np.float32) for n in (7, 20)]
    together = outputs_of(net, inputs, size=6)
    assert [y.shape for y in together] == [(7, 2), (20, 5)]
    alone = net(np.stack([inputs[0], inputs[1][:7]]))
    np.testing.assert_allclose(together[0], alone[0].data, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(together[1][:7], alone[1].data, rtol=1e-5, atol=1e-6)
    assert net.training


# %% The generated domains
def test_domains_are_of_the_form_that_they_promise():
    domains, again = multi_domain(seed=3), multi_domain(seed=3)
    assert all(np.array_equal(a.Y, b.Y) for a, b in zip(domains, again, strict=True))
    for domain in domains:
        assert domain.X.shape == (len(domain.Y), 24)
        assert 40 <= len(domain.X) <= 400
        assert 12 <= domain.Y.shape[1] <= 20
        assert set(np.unique(domain.Y)) == {0, 1}
        assert 0.05 < domain.Y.mean() < 0.35
    with pytest.raises(ValueError, match="multi_domain: tasks=0"):
        multi_domain(tasks=0)


# %% Mean average precision
def test_map_of_three_by_hand():
    scores = np.array([[0.9, 0.8, 0.7, 0.1], [0.9, 0.8, 0.7, 0.1], [0.9, 0.8, 0.7, 0.1]])
    labels = np.array([[1, 0, 1, 1], [0, 0, 0, 1], [0, 1, 0, 0]])
    expected = [(1 + 2 / 3) / 2, 0, 1 / 2]         # a right label outside the three costs nothing, unless all are wrong
    assert map_at_k(scores, labels, k=3) == pytest.approx(np.mean(expected))


def test_where_k_is_all_classes_it_is_average_precision():
    metrics = pytest.importorskip("sklearn.metrics")
    scores, labels = rng.normal(size=(50, 8)), rng.random((50, 8)) < 0.3
    labels[:, 0] |= ~labels.any(axis=1)
    assert map_at_k(scores, labels) == pytest.approx(metrics.average_precision_score(labels, scores, average="samples"))


def test_map_of_chance_and_of_the_right_order():
    labels = rng.random((2000, 40)) < 0.2
    assert map_at_k(labels + 0.0, labels) == 1
    assert 0.2 < map_at_k(rng.normal(size=labels.shape), labels) < 0.45
    with pytest.raises(ValueError, match=r"map_at_k: scores has shape \(2, 3\), labels \(3, 2\)"):
        map_at_k(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="N >= 1"):
        map_at_k(np.ones((0, 3)), np.ones((0, 3)))


# %% Omniglot
def test_missing_files(tmp_path, monkeypatch):
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"omniglot: no folder is given; pass root=.*alphabets\.csv"):
        omniglot()
    with pytest.raises(FileNotFoundError, match=r"omniglot: .* lacks alphabets\.csv, images_background\.npz"):
        omniglot(root=tmp_path)
    for name in HASHES:
        (tmp_path / name).write_bytes(b"something else")
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match=r"omniglot: .*alphabets\.csv is not the published file"):
        omniglot(root=tmp_path)


@HERE
def test_the_published_counts():
    tasks = omniglot()
    assert len(tasks) == 50
    assert sum(task.classes for task in tasks) == 1623
    assert min(task.classes for task in tasks) == 14
    assert max(task.classes for task in tasks) == 55
    ink = sum(task.X.sum(dtype=float) for task in tasks[:30]) / sum(task.X.size for task in tasks[:30])
    assert ink == pytest.approx(0.078, abs=0.0005)
    greek, = omniglot(["Greek"])
    assert greek.X.shape == (480, 1, 35, 35)
    assert greek.X.max() == 1


@HERE
def test_a_split_by_drawer_has_all_characters_on_both_sides():
    tasks = ten_alphabets(0)
    assert len({task.name for task in tasks}) == 10
    for task in tasks:
        (X, y), (X_test, y_test) = task.drawn_by(range(10)), task.drawn_by(range(10, 20))
        assert len(X) == len(X_test) == 10 * task.classes
        assert np.array_equal(np.unique(y), np.unique(y_test))
    with pytest.raises(ValueError, match="omniglot: there is no alphabet 'Klingon'; the 50 are Arcadian"):
        omniglot(["Klingon"])


# %% Toys
def test_the_regressions_of_one_plane_depend_on_the_plane_that_y_depends_on():
    p = one_plane(seed=0, noise=0.0)
    plane = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 2)))[0]      # the first draw of this seed

    def explained(Z, target):
        """The share of the target's variance that polynomials of the two coordinates in the plane explain."""
        u, v = (Z @ plane).T
        terms = np.stack([u**i * v**j for i in range(7) for j in range(7 - i)], axis=1)
        left = target - terms @ np.linalg.lstsq(terms, target, rcond=None)[0]
        return 1 - left.var() / target.var()

    assert explained(p.Z, p.same_plane) > 0.9
    assert explained(p.Z, p.other_plane) < 0.4
    assert explained(p.X_test, p.y_test.astype(float)) > 0.5
    assert 0.45 < p.y_test.mean() < 0.55
    assert p.Z.dtype == p.same_plane.dtype == p.X.dtype == np.float32
