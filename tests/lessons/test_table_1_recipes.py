"""The recipes of saha table1 and table2 run on little, go on exactly where they stopped, and count as they say."""

import os

import numpy as np
import pytest

from lessons.tables.taan import recipes, tables
from lessons.tables.table import Run
from tinynet import optim
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.models.tasks.taan import TAAN

rng = np.random.default_rng(0)
TASKS = [(rng.normal(size=(n, 6)).astype(np.float32), rng.integers(c, size=n)) for n, c in ((9, 2), (20, 3), (14, 4))]
SMALL = dict(H=8, d_in=7, classes=(3, 4, 2), batch=5, rounds=1)


def net_and_adam(make=TAAN):
    net = make(6, (5, 5), (2, 3, 4), rng=0)
    return net, optim.Adam(recipes.parameters_of(net), lr=0.01)


@pytest.mark.parametrize("method", ["TAAN + Ldis", "MRN_full", "Soft-Order"])
def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path, method):
    """saha table1: its cells go on where they stopped; 100 steps are between two checkpoints."""
    make, path = recipes.TWELVE[method], tmp_path / "run.npz"
    whole, adam = net_and_adam(make)
    recipes.train(whole, TASKS, cross_entropy, adam, 210, 4, seed=1)
    part, adam = net_and_adam(make)
    losses_left = iter(range(3 * 150))      # three tasks: the run ends in the middle of the second hundred steps

    def ends(y, t):
        if next(losses_left, None) is None:
            raise KeyboardInterrupt
        return cross_entropy(y, t)

    with pytest.raises(KeyboardInterrupt):
        recipes.train(part, TASKS, ends, adam, 210, 4, seed=1, checkpoint=path)
    part, adam = net_and_adam(make)
    recipes.train(part, TASKS, cross_entropy, adam, 210, 4, seed=1, checkpoint=path)
    for name, a in whole.state_dict().items():
        assert np.array_equal(a, part.state_dict()[name]), name


def test_every_method_of_the_tables_has_a_recipe_and_seconds():
    assert list(tables.MAP_AND_MILLIONS) == list(recipes.TWELVE)
    assert set(tables.SECONDS) <= set(recipes.TWELVE)
    assert all(set(table.paper) == set(table.run) for table in tables.TABLES)
    assert tables.ratios("TAAN + Lcos") == {"training": "2.01", "inference": "1.00"}
    few = [name for name in recipes.TWELVE if "LAF" not in name]           # K = 5 latent layers need 5 tasks
    took = recipes.seconds(few, **SMALL)
    assert list(took) == few
    assert all(t > 0 for both in took.values() for t in both)


def test_what_is_counted_of_mrn():
    """saha table1: its covariances are learnt, too, but not where they are never updated."""
    of = {name: recipes.count({**recipes.TWELVE, **recipes.AS_PUBLISHED}[name](6, (5, 4), (2, 3, 4), rng=0))
          for name in ("STL", "MRN_t", "MRN_full", "MRN, never updated")}
    assert of["STL"] == 3 * (6 * 5 + 5 + 5 * 4 + 4) + 5 * 9
    assert of["MRN_t"] == of["STL"] + 2 * 3 * 3
    assert of["MRN_full"] == of["MRN_t"] + 6 * 6 + 5 * 5 + 5 * 5 + 4 * 4
    assert of["MRN, never updated"] == of["STL"]


@pytest.mark.skipif("TINYNET_DATA" not in os.environ, reason="TINYNET_DATA names no folder with omniglot/")
def test_two_steps_on_omniglot(tmp_path):
    measured = recipes.on_omniglot(Run("ten alphabets", 0, folder=tmp_path), "TAAN", steps=2)
    assert {column.metric for column in tables.OMNIGLOT.columns} == set(measured)
    assert 0 <= measured["mean accuracy"] <= 100
