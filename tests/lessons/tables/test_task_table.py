"""The table of many tasks: every system runs on every problem, and a stopped run ends where it would have ended."""

import os

import numpy as np
import pytest

from lessons.tables.table import Run
from lessons.tables.tasks.recipes import LEFT_OUT, PROBLEMS, SYSTEMS, cell, run
from lessons.tables.tasks.tables import TABLES
from tinynet import optim


@pytest.mark.parametrize("system", SYSTEMS)
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
        assert "separate nets" in table.run
        assert set(table.run) | {s for s, column in LEFT_OUT if column in table.datasets} == set(SYSTEMS)
    recipe = TABLES[0].run["shared trunk"]["shared trunk"]
    found = recipe(Run("starved digits", 0, None, tmp_path))
    assert list(found) == ["score"]
    assert 30 < found["score"] < 100


real = pytest.mark.skipif(not os.environ.get("TINYNET_DATA"), reason="needs the real files: set TINYNET_DATA")


@real
@pytest.mark.parametrize("column", [c for c in PROBLEMS if c != "starved digits"])
@pytest.mark.parametrize("system", ["separate nets", "shared trunk", "MMoE", "uncertainty", "MGDA"])
def test_the_real_problems_run(system, column, tmp_path):
    if (system, column) not in LEFT_OUT:
        assert np.isfinite(cell(system, column, 0, tmp_path, steps=3))
