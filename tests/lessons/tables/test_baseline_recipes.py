"""What the recipes of fig9's older systems see, and what decides."""

from types import SimpleNamespace

import numpy as np
import pytest

from lessons.tables.graphs import baselines, proteins
from lessons.tables.table import Run
from tinynet import nn, optim
from tinynet.data.generated import generated_citation
from tinynet.data.ppi import LabelledGraph
from tinynet.engine import Tensor
from tinynet.graph import Graph
from tinynet.sparse import SparseRows


@pytest.fixture
def papers(monkeypatch):
    made = generated_citation(nodes=200, classes=2, words=60)
    monkeypatch.setattr(baselines, "citation", lambda name, folder: made)
    baselines.papers.cache_clear()
    yield made
    baselines.papers.cache_clear()


def test_unseen_papers_have_no_citation_left(papers):
    graph = baselines.unseen(papers, papers.val, papers.test)
    assert not set(graph.rows) & {*papers.val, *papers.test}
    assert not set(graph.indices) & {*papers.val, *papers.test}
    among = np.isin(papers.graph.rows, papers.train) & np.isin(papers.graph.indices, papers.train)
    assert len(graph.indices) == among.sum() > 0


def graphs_given(monkeypatch, name, call):
    """The graphs that a recipe gives to the function of this name."""
    seen, real = [], getattr(baselines, name)

    def spy(*given, **settings):
        seen.extend(g for g in given if isinstance(g, Graph))
        return real(*given, **settings)

    monkeypatch.setattr(baselines, name, spy)
    monkeypatch.setattr(baselines, "descend", lambda net, optimizer, loss, *_, **__: loss())
    call(Run("cora", 0))
    return seen


@pytest.mark.parametrize("seen", [False, True])
def test_mani_reg_is_chosen_without_val_and_trained_without_test(papers, monkeypatch, seen):
    graphs = graphs_given(monkeypatch, "Smoothness", lambda run: baselines.mani_reg(run, seen=seen))
    if seen:
        assert [graph is papers.graph for graph in graphs] == [True]
        return
    choosing, final = graphs
    assert not np.isin(choosing.edges, [*papers.val, *papers.test]).any()
    assert not np.isin(final.edges, papers.test).any()
    assert np.isin(final.edges, papers.val).any()


@pytest.mark.parametrize(("name", "recipe"), [("drawn_pairs", baselines.semi_emb),
                                              ("random_walks", baselines.planetoid_i)])
def test_semi_emb_and_planetoid_i_see_no_citation_of_a_test_paper(papers, monkeypatch, name, recipe):
    for graph in graphs_given(monkeypatch, name, recipe):
        assert len(graph.indices)
        assert not np.isin(graph.edges, papers.test).any()
    assert any(np.isin(graph.edges, papers.test).any()
               for graph in graphs_given(monkeypatch, name, lambda run: recipe(run, seen=True)))


def test_descend_keeps_the_best_look_by_accuracy_and_then_by_loss():
    """Looks: accuracies 50, 100, 100 with less loss, 100 with more, 50, 50; then patience ends it."""
    net = nn.Module()
    net.w = nn.Parameter(np.zeros(1))
    looks = [[1.0, 1], [1, -1], [2, -2], [1, -1], [1, 1], [1, 1], [1, 1]]
    data = SimpleNamespace(val=np.array([0, 1]), labels=np.array([0, 1]))

    def logits(nodes):
        """w has grown by one a step, and each tenth step is looked at."""
        a = np.array(looks[int(net.w.item()) // 10 - 1])
        return Tensor(np.stack([a, -a], axis=1))

    sgd = optim.SGD(net.parameters(), lr=1.0)
    steps = baselines.descend(net, sgd, lambda: -net.w.sum(), logits, data, 100, looks=3)
    assert (steps, net.w.item()) == (60, 30)


def test_the_share_out_of_reach_is_a_column_of_label_propagation(papers, monkeypatch):
    alone = np.isin(papers.graph.rows, papers.test[:5]) | np.isin(papers.graph.indices, papers.test[:5])
    monkeypatch.setattr(baselines, "citation", lambda *_: papers._replace(graph=papers.graph.only(~alone)))
    measured = baselines.propagation(Run("cora", 0), at_most=3)
    assert measured["out of reach"] > 100 * 4.9 / len(papers.test)
    assert list(measured)[-1] == "test accuracy"


def test_every_recipe_reports_test_accuracy_last(papers):
    """A torn line of the ledger may then not pass for a whole run."""
    for run in (baselines.walks_and_regression, baselines.ica):
        assert list(run(Run("cora", 0)))[-1] == "test accuracy"


def test_rows_of_length_1_and_rows_of_zeros():
    x = baselines.length_1(SparseRows.from_dense(np.array([[3.0, 4], [0, 0]])))
    np.testing.assert_allclose(x.dense(), [[0.6, 0.8], [0, 0]])


def test_fig8s_random_row_says_each_label_as_often_as_it_was_seen(monkeypatch):
    rng = np.random.default_rng(0)
    shares, ring = np.array([0.1, 0.6]), Graph.from_edges([(0, 1)], 400)
    graphs = [LabelledGraph(np.zeros((400, 1)), (rng.random((400, 2)) < shares).astype(np.float32), ring)
              for _ in range(4)]
    monkeypatch.setattr(proteins, "proteins", lambda folder: (graphs, ([0, 1], [2], [3])))
    found = np.mean([proteins.random_on_ppi(Run("ppi", seed))["micro-F1"] for seed in range(20)])
    assert found == pytest.approx((shares ** 2).sum() / shares.sum(), abs=0.03)         # of 2 hits / (said + true)
