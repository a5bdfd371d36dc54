"""The table of many tasks: every system runs on every problem, and a stopped run ends where it would have ended."""

import os

import numpy as np
import pytest

from lessons.tables.table import Run
from lessons.tables.tasks import recipes
from lessons.tables.tasks.recipes import LEFT_OUT, PROBLEMS, SYSTEMS, cell, run
from lessons.tables.tasks.tables import TABLES
from tinynet import optim
from tinynet.data.multitask import School


@pytest.mark.parametrize("system", [s for s in SYSTEMS if (s, "starved digits") not in LEFT_OUT])
def test_every_system_learns_the_digits_with_starved_classes(system, tmp_path):
    found = run(system, 0, tmp_path, columns=("starved digits",), steps=5)
    assert list(found) == ["starved digits"]
    assert 0 <= found["starved digits"] <= 100


@pytest.mark.parametrize("system", ["shared trunk", "NDDR", "uncertainty", "GradNorm", "PCGrad", "FAMO"])
def test_a_run_that_was_stopped_ends_where_it_would_have_ended(system, tmp_path, monkeypatch):
    twice = system in ("uncertainty", "GradNorm", "FAMO")       # these have an Adam of their own, which counts, too
    steps = 20 if twice else 40
    expected = cell(system, "starved digits", 1, tmp_path / "whole", steps=steps)
    step, taken = optim.Adam.step, []

    def stops(self):
        taken.append(self)
        if len(taken) == 27:
            raise KeyboardInterrupt
        step(self)
    monkeypatch.setattr(optim.Adam, "step", stops)
    with pytest.raises(KeyboardInterrupt):
        cell(system, "starved digits", 1, tmp_path / "parts", steps=steps)
    monkeypatch.setattr(optim.Adam, "step", step)
    assert cell(system, "starved digits", 1, tmp_path / "parts", steps=steps) == expected


def test_every_system_stands_in_the_tables_beside_single_task_nets(tmp_path):
    for table in TABLES:
        assert table.beside == ("single task" if table.datasets == ("School",) else "separate nets")
        assert table.beside in table.run
        assert set(table.run) | {s for s, column in LEFT_OUT if column in table.datasets} == set(SYSTEMS)
    recipe = TABLES[0].run["shared trunk"]["shared trunk"]
    found = recipe(Run("starved digits", 0, None, tmp_path))
    assert list(found) == ["score"]
    assert 30 < found["score"] < 100


@pytest.fixture
def small_school(monkeypatch):
    """Four schools of 100 pupils, whose scores are one line in x plus a number a school."""
    rng = np.random.default_rng(0)
    X, task = rng.normal(size=(400, 28)).astype(np.float32), np.repeat(np.arange(4), 100)
    y = (X[:, 0] + np.array([0.0, 1.0, 2.0, 3.0])[task]).astype(np.float32)
    monkeypatch.setattr(recipes, "school", lambda data: School(X, y, task))
    return X, y, task


@pytest.mark.parametrize("system", ["separate nets", "shared trunk", "soft sharing", "MMoE", "GradNorm"])
def test_a_school_learns_from_its_own_pupils_and_starts_as_the_others(system, small_school, tmp_path):
    problem = recipes.school_problem(1, None, share=0.5)
    x, *targets = problem.arrays
    assert x.shape == (4, 50, 28)
    assert [t.shape for t in targets] == [(50, 1)] * 4
    net, _, _ = SYSTEMS[system](problem, 1)
    recipes._start_alike(net)
    assert all(away.item() == 0 for away in recipes._from_the_mean(net))
    first = [y.data for y in net(np.stack([x[0]] * 4))]
    assert all(np.allclose(first[0], y, atol=1e-6) for y in first)
    net.heads[2].b.data = net.heads[2].b.data + 4
    np.testing.assert_allclose([away.item() for away in recipes._from_the_mean(net)], [1, 1, 9, 1], rtol=1e-6)
    recipes._from_the_mean(net)[0].backward()
    assert net.heads[1].b.grad is None                  # each task pulls its own alone, also for a rule on gradients
    assert 20 < cell(system, "School", 1, tmp_path, share=0.5) <= 100


def test_a_single_task_is_neither_pulled_to_the_others_nor_starts_as_they_do(small_school, tmp_path, monkeypatch):
    problems = []
    whole = recipes.PROBLEMS["School"]
    monkeypatch.setitem(recipes.PROBLEMS, "School", lambda *a, **k: problems.append(whole(*a, **k)) or problems[-1])
    alone, pulled = (cell(s, "School", 1, tmp_path, share=0.5, steps=20) for s in ("single task", "separate nets"))
    assert alone != pulled
    assert [p.alike for p in problems] == [False, True]
    for problem, grad in zip(problems, (0, 1), strict=True):        # of task 0, by its distance from the mean alone
        net, _, _ = SYSTEMS["separate nets"](problem, 1)
        recipes._start_alike(net)
        x, *targets = problem.arrays
        net.heads[0].b.data = net.heads[0].b.data + 4
        before = problem.loss(net, x, *targets)[0].item()
        near = net(x)[0].data[:len(targets[0])]
        away = before - ((near - targets[0]) ** 2).mean()
        np.testing.assert_allclose(away, grad * recipes.PULL * 9, rtol=1e-4, atol=1e-4)


def test_gradnorm_sees_the_last_shared_layer_alone(tmp_path, monkeypatch):
    seen = []
    weigh = recipes.GradNorm.weigh

    def look(self, losses, gradients):
        seen.append(gradients.shape)
        return weigh(self, losses, gradients)
    monkeypatch.setattr(recipes.GradNorm, "weigh", look)
    cell("GradNorm", "starved digits", 1, tmp_path, steps=2)
    assert seen == [(2, 32 * 32)] * 2


real = pytest.mark.skipif(not os.environ.get("TINYNET_DATA"), reason="needs the real files: set TINYNET_DATA")


@real
@pytest.mark.parametrize("column", [c for c in PROBLEMS if c != "starved digits"])
@pytest.mark.parametrize("system", ["separate nets", "shared trunk", "MMoE", "uncertainty", "MGDA"])
def test_the_real_problems_run(system, column, tmp_path):
    if (system, column) not in LEFT_OUT:
        assert np.isfinite(cell(system, column, 0, tmp_path, steps=3))
