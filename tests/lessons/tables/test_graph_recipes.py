"""Each system of the tables, trained by its recipe on small graphs that are made up here."""

from functools import partial

import numpy as np
import pytest

from lessons.tables.graphs import baselines, fig8, fig9, pieces, recipes
from lessons.tables.graphs import proteins as ppi_recipes
from lessons.tables.table import Run
from tinynet.backend import DEFAULT_BACKEND
from tinynet.data.generated import generated_citation
from tinynet.data.ppi import PPI, LabelledGraph
from tinynet.graph import Graph
from tinynet.metrics import micro_f1
from tinynet.models.graphs.gat import InductiveGAT
from tinynet.models.graphs.gcn import GCN, MLP
from tinynet.train.rules import EarlyStopping, Patience

pytestmark = pytest.mark.skipif(DEFAULT_BACKEND == "plain", reason="whole trainings take the dense specification long")


@pytest.fixture
def papers(monkeypatch):
    """A generated graph in place of the published ones."""
    made = generated_citation(nodes=400, classes=3, words=120)
    descend = baselines.descend
    monkeypatch.setattr(baselines, "descend", lambda *a, **b: descend(*a[:5], 150, looks=b.get("looks", 30)))
    for module, kept in ((recipes, recipes.papers), (pieces, pieces.cut_pubmed), (baselines, baselines.papers)):
        monkeypatch.setattr(module, "citation", lambda name, folder: made)
        kept.cache_clear()
        monkeypatch.setattr(module, "Patience", lambda epochs, *by: Patience(20, *by))
    yield made
    recipes.papers.cache_clear()
    baselines.papers.cache_clear()
    pieces.cut_pubmed.cache_clear()


def variants(table):
    return {name: run for of_system in table.run.values() for name, run in of_system.items()}


@pytest.mark.parametrize("system", variants(fig9.FIG9))
def test_each_system_of_fig9_learns_more_than_chance(papers, system):
    run = variants(fig9.FIG9)[system]
    assert run(Run("cora", 0))["test accuracy"] > 40


@pytest.mark.parametrize(("system", "dataset", "heads", "lr", "l2", "by"), [
    ("GAT", "cora", 1, 0.005, 0.0005, ("loss", "accuracy")), ("GAT", "citeseer", 1, 0.005, 0.0005, ("accuracy",)),
    ("GAT", "pubmed", 8, 0.01, 0.001, ("loss", "accuracy")), ("GAT by loss", "pubmed", 8, 0.01, 0.001, ("loss",))])
def test_gats_recipe_for_each_citation_graph(papers, monkeypatch, system, dataset, heads, lr, l2, by):
    monkeypatch.setattr(recipes, "_train", lambda *how: how)
    net, _, _, _, adam, rule, _ = variants(fig9.FIG9)[system](Run(dataset, 0))
    assert (net.first.W.shape[1:], net.last.W.shape[1], net.first.p) == ((8, 8), heads, 0.6)
    assert (adam.lr, adam.l2, rule.by) == (lr, l2, by)


@pytest.mark.parametrize(("system", "lr", "wait", "epochs", "width", "p"), [
    ("GAT", 0.005, 20, 100_000, 64, 0.6), ("GCN", 0.01, 10, 200, 16, 0.5), ("MLP", 0.01, 10, 200, 16, 0.5),
    ("Chebyshev K=3", 0.01, 10, 200, 16, 0.5), ("GCN-64 ELU", 0.01, 10, 200, 64, 0.5)])
def test_what_a_system_of_fig9_sees_and_is_judged_by(papers, monkeypatch, system, lr, wait, epochs, width, p):
    """Trained on train, watched on val, measured on val and test; nothing else is ever looked at."""
    seen, judged = [], []
    monkeypatch.setattr(recipes, "fit_nodes", lambda *a, **b: seen.extend([a, b]) or {"epoch": []})
    monkeypatch.setattr(recipes, "measure", lambda *a: judged.append(a[-1]) or {"accuracy": len(judged)})
    measured = variants(fig9.FIG9)[system](Run("cora", 0))
    assert measured == {"epochs": 0, "val accuracy": 100, "test accuracy": 200}
    (net, x, graph, _, train, val, adam, rule, most), settings = seen
    np.testing.assert_allclose(np.bincount(x.rows, x.values), 1, rtol=1e-5)
    assert np.array_equal(graph.edges, (papers.graph.with_self_loops() if system == "GAT" else papers.graph).edges)
    for nodes, right in zip((train, val, *judged), (papers.train, papers.val, papers.val, papers.test), strict=True):
        np.testing.assert_array_equal(nodes, right)
    first = net.first.W[0] if system.startswith("Chebyshev") else net.first.W
    assert (first.data[0].size, net.first.p, net.last.p) == (width, p, p)
    assert (adam.lr, rule.epochs, most) == (lr, wait, epochs)
    assert settings.get("penalty") is (None if system == "GAT" else recipes.half_squared_norm)


def test_the_penalty_is_half_the_squared_norm_of_the_first_layer():
    net = GCN(3, 2, width=4, rng=0)
    expected = 0.5 * 5e-4 * (net.first.W.data ** 2).sum()
    assert recipes.half_squared_norm(net).item() == pytest.approx(expected, rel=1e-6)


def test_the_nets_for_ppi_are_as_wide_as_the_papers_and_drop_nothing(proteins, monkeypatch):
    nets = []
    monkeypatch.setattr(ppi_recipes.train, "fit", lambda net, *a, **b: nets.append(net))
    for system in ("GAT", "MLP"):
        variants(fig8.FIG8)[system](Run("ppi", 0))
    gat, mlp = nets
    assert [layer.W.shape for layer in (gat.first, gat.second, gat.last)] == [(5, 4, 256), (1024, 4, 256), (1024, 6, 2)]
    assert (gat.first.W_skip, gat.second.W_skip.shape, gat.last.average) == (None, (1024, 4, 256), True)
    assert (mlp.first.W.shape, mlp.first.p, mlp.last.p, gat.last.p) == ((5, 512), 0, 0, 0)


@pytest.mark.parametrize("system", variants(fig8.PUBMED))
def test_each_system_of_our_inductive_task_learns_more_than_chance(papers, system):
    measured = variants(fig8.PUBMED)[system](Run("pubmed in pieces", 0))
    assert (measured["val accuracy"] + measured["test accuracy"]) / 2 > 40


@pytest.mark.parametrize("attend", [True, False])
def test_what_the_inductive_nets_see(papers, proteins, monkeypatch, attend):
    """No dropout, no penalty, self-loops; two graphs a step on PPI; Const-GAT is GAT without attention."""
    seen = []
    monkeypatch.setattr(ppi_recipes.train, "fit", lambda *a, **b: seen.append((*a, b)))
    monkeypatch.setattr(pieces, "fit_nodes", lambda *a: seen.append(a))
    system, (_, _, cut, *nodes) = "GAT" if attend else "Const-GAT", pieces.cut_pubmed(None)
    variants(fig8.FIG8)[system](Run("ppi", 0))
    variants(fig8.PUBMED)[system](Run("pubmed in pieces", 0))
    (on_ppi, loss, (learn,), adam, _, settings), (in_pieces, _, graph, _, train, val, its_adam, rule, _) = seen
    assert (on_ppi.second.attend, in_pieces.last.attend, in_pieces.first.p) == (attend, attend, 0)
    assert [(a.lr, a.l2) for a in (adam, its_adam)] == [(0.005, 0), (0.005, 0)]
    assert (learn.tolist(), settings["val"][0].tolist()) == ([*range(6)], [6, 7])
    assert (settings["batch_size"], settings["rule"].epochs, rule.by) == (2, 100, ("loss", "accuracy"))
    assert np.array_equal(graph.edges, cut.with_self_loops().edges)
    assert all(map(np.array_equal, (train, val), nodes))
    assert np.isfinite(loss(on_ppi, [0, 3]).item())


@pytest.mark.parametrize(("system", "samples"), [("GraphSAGE-mean", [25, 10]), ("GraphSAGE*", [25, 10, 10])])
def test_what_graph_sage_sees_on_ppi(proteins, monkeypatch, system, samples):
    seen = []
    monkeypatch.setattr(ppi_recipes, "fit_sage", lambda *a: seen.extend(a))
    variants(fig8.FIG8)[system](Run("ppi", 0))
    net, x, graph, nodes, *_ = seen
    assert (net.samples, len(x), len(nodes)) == (samples, 120, 120)
    assert not (graph.rows == graph.indices).any()


def test_pieces_hold_what_is_nearest_and_no_edge_leaves_them(papers):
    path = Graph.from_edges([(i, i + 1) for i in range(9)], 12).undirected()
    piece = pieces.pieces(path, 3, np.random.default_rng(1))
    assert set(piece[:10]) <= {-1, 0, 1, 2}
    assert (np.diff(piece[:10]) != 0).sum() == len(set(piece[:10])) - 1         # each piece is one stretch
    _, _, graph, learn, val, test = pieces.cut_pubmed(None)
    assert not set(learn) & set(val) | set(learn) & set(test) | set(val) & set(test)
    part = np.full(graph.nodes, -1)
    for number, nodes in enumerate((learn, val, test)):
        part[nodes] = number
    np.testing.assert_array_equal(part[graph.rows], part[graph.indices])


# %% PPI's form
def tissue(rng, nodes=20):
    """Two labels, each told by a feature of the node and its neighbours."""
    x = rng.normal(size=(nodes, 5)).astype(np.float32)
    ring = Graph.from_edges([(i, (i + 1) % nodes) for i in range(nodes)], nodes).undirected()
    means = ring.means.dense() @ x
    return LabelledGraph(x, (means[:, :2] + x[:, :2] > 0).astype(np.float32), ring)


@pytest.fixture
def proteins(monkeypatch):
    rng = np.random.default_rng(0)
    parts = PPI([tissue(rng) for _ in range(6)], [tissue(rng) for _ in range(2)], [tissue(rng), tissue(rng, 12)])
    fit = ppi_recipes.train.fit
    monkeypatch.setattr(ppi_recipes.train, "fit",
                        lambda *a, **b: fit(*a, **b | ({"rule": EarlyStopping(8)} if "val" in b else {})))
    monkeypatch.setattr(ppi_recipes, "ppi", lambda folder: parts)
    ppi_recipes.proteins.cache_clear()
    yield parts
    ppi_recipes.proteins.cache_clear()


def all_yes(parts):
    """The micro-F1 of saying yes to every label."""
    yes = np.concatenate([tissue.labels for tissue in parts.test]).mean()
    return 2 * yes / (1 + yes)


@pytest.mark.parametrize("make", [InductiveGAT, partial(InductiveGAT, attend=False), MLP])
def test_nets_on_graphs_that_were_not_seen(proteins, make):
    def small(*sizes, rng):
        return make(*sizes, width=8, rng=rng)

    assert all_yes(proteins) < ppi_recipes.gat_on_ppi(Run("ppi", 0), make=small)["micro-F1"] <= 1


@pytest.mark.parametrize("system", [*fig8.AGGREGATORS, "GraphSAGE*"])
def test_graph_sage_on_graphs_that_were_not_seen(proteins, system):
    measured = variants(fig8.FIG8)[system](Run("ppi", 0))
    assert all_yes(proteins) < measured["micro-F1"] <= 1


def test_micro_f1_by_hand():
    logits, labels = np.array([[1.0, -1], [2, 3]]), np.array([[1, 1], [0, 1]])
    assert micro_f1(logits, labels) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert micro_f1(-np.ones((2, 2)), np.zeros((2, 2))) == 0
