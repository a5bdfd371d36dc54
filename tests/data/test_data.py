import subprocess
import sys

import numpy as np
import pytest

from tinynet import optim
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.data.digits import _table, digits
from tinynet.data.generated import generated_citation
from tinynet.data.karate import karate_club
from tinynet.graph import Graph
from tinynet.models.graphs.gcn import GCN, MLP


def test_digits_have_the_promised_shapes_types_and_range():
    X_train, y_train, X_test, y_test = digits()
    assert X_train.shape == (1297, 64)
    assert X_test.shape == (500, 64)
    assert (y_train.shape, y_test.shape) == ((1297,), (500,))
    assert X_train.dtype == X_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    assert (X_train.min(), X_train.max()) == (0, 1)
    assert set(y_train) == set(y_test) == set(range(10))


def test_every_scanned_digit_is_there_once():
    split, other = digits(seed=3), digits(seed=4)
    y = np.concatenate([split.y_train, split.y_test])
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]     # scikit-learn's manual
    np.testing.assert_array_equal(_sorted_rows(split), _sorted_rows(other))


def _sorted_rows(split):
    rows = np.column_stack([np.concatenate([split.X_train, split.X_test]),
                            np.concatenate([split.y_train, split.y_test])])
    return rows[np.lexsort(rows.T)]


def test_the_seed_decides_the_split():
    first, same, other = digits(1), digits(1), digits(2)
    np.testing.assert_array_equal(first.X_test, same.X_test)
    assert not np.array_equal(first.y_test, other.y_test)


def test_what_a_caller_does_to_the_arrays_stays_with_the_caller():
    digits().X_train[:] = 7
    assert digits().X_train.max() == 1


def test_scikit_learn_is_read_but_not_imported():
    code = "import sys, tinynet.data.digits as d; d.digits(); assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    _table.cache_clear()
    monkeypatch.setitem(_table.__wrapped__.__globals__, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "tinynet\[lessons\]"'):
        digits()


# %% The karate club
def test_the_karate_club_is_zacharys():
    club = karate_club()
    assert (club.graph.nodes, len(club.graph.indices)) == (34, 2 * 78)
    assert club.factions.dtype == np.int64
    theirs = pytest.importorskip("networkx").karate_club_graph()
    np.testing.assert_array_equal(club.graph.edges, Graph.from_networkx(theirs).edges)
    assert [["Mr. Hi", "Officer"][faction] for faction in club.factions] == [theirs.nodes[i]["club"] for i in theirs]


# %% The generated citation graph
@pytest.mark.parametrize(("seed", "nodes", "classes", "words"), [(0, 600, 4, 300), (1, 2000, 7, 500), (2, 51, 2, 2)])
def test_generated_citations_have_the_form_of_the_published_ones(seed, nodes, classes, words):
    papers, again = (generated_citation(seed, nodes, classes, words) for _ in range(2))
    np.testing.assert_array_equal(papers.features.dense(), again.features.dense())
    np.testing.assert_array_equal(papers.graph.edges, again.graph.edges)
    assert (papers.features.shape, papers.features.values.dtype) == ((nodes, words), np.float32)
    assert (set(papers.features.values), papers.labels.dtype) == ({1}, np.int64)
    assert np.bincount(papers.labels[papers.train]).tolist() == [20] * classes
    np.testing.assert_array_equal(np.concatenate([papers.train, papers.val, papers.test]), np.arange(nodes))
    np.testing.assert_array_equal(papers.graph.edges, papers.graph.undirected().without_self_loops().edges)


def test_generated_papers_cite_their_own_subject_and_a_few_famous_ones():
    papers = generated_citation()
    degrees = np.diff(papers.graph.indptr)
    assert 3.5 < degrees.mean() < 4.5
    assert degrees.max() > 8 * degrees.mean()
    assert 0.75 < (papers.labels[papers.graph.rows] == papers.labels[papers.graph.indices]).mean() < 0.85


def test_the_generated_citations_help():
    papers = generated_citation()
    x = papers.features.normalised()
    right = {}
    for net in GCN(300, 4, rng=0), MLP(300, 4, rng=0):
        adam = optim.Adam(net.parameters(), lr=0.05)
        for _ in range(30):
            net.train().zero_grad()
            cross_entropy(net(x, papers.graph)[papers.train], papers.labels[papers.train]).backward()
            adam.step()
        y = net.eval()(x, papers.graph).data.argmax(axis=1)
        right[type(net)] = (y == papers.labels)[papers.test].mean()
    assert 0.75 < right[GCN] < 0.9
    assert right[MLP] < 0.6


@pytest.mark.parametrize("sizes", [dict(classes=1), dict(words=3), dict(nodes=100)])
def test_generated_sizes_that_cannot_be(sizes):
    with pytest.raises(ValueError, match=r"generated_citation: .* don't do; give 2 classes or more, a word for each"):
        generated_citation(**sizes)
