"""Training on one whole graph: the rules that stop it, what is kept, and what it refuses."""

from functools import partial

import numpy as np
import pytest

from tinynet import nn, optim
from tinynet.blocks.graphs.graph_attention_layer import GraphAttention
from tinynet.graph import Graph
from tinynet.models.graphs.gat import GAT, InductiveGAT
from tinynet.models.graphs.gcn import GCN, MLP
from tinynet.neighbourhoods import receptive_field
from tinynet.shapes import ShapeError
from tinynet.sparse import SparseRows
from tinynet.train.nodes import fit_nodes, measure
from tinynet.train.rules import Patience, Window


@pytest.fixture
def rings():
    """Two rings of 6 nodes: (x, graph, labels)."""
    edges = [(6 * r + i, 6 * r + (i + 1) % 6) for r in (0, 1) for i in range(6)]
    return np.eye(12, dtype=np.float32), Graph.from_edges(edges, 12).undirected(), np.repeat([0, 1], 6)


def fit(rings, rule, epochs=30, lr=0.05, **settings):
    x, graph, labels = rings
    net = GCN(12, 2, p=0.2, rng=0)
    known, val = np.array([0, 6]), np.array([2, 3, 8, 9])
    return net, fit_nodes(net, x, graph, labels, known, val, optim.Adam(net.parameters(), lr=lr), rule, epochs,
                          **settings)


def test_it_learns_and_the_same_seed_gives_the_same_bits(rings):
    net, history = fit(rings, Window())
    assert measure(net, *rings, np.arange(12))["accuracy"] == 1
    assert not net.training
    again, _ = fit(rings, Window())
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert len(history["loss"]) == len(history["val_loss"]) == len(history["val_accuracy"]) <= 30


LOCAL = {"GAT": partial(GAT, p=0.0), "Const-GAT": partial(GAT, p=0.0, attend=False), "MLP": partial(MLP, p=0.0),
         "InductiveGAT": partial(InductiveGAT, width=4)}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("make", LOCAL.values(), ids=LOCAL)
def test_the_receptive_field_gives_the_loss_and_the_gradients_of_the_whole_graph(make, sparse):
    rng = np.random.default_rng(0)
    graph = Graph.from_edges(rng.integers(0, 50, (90, 2)), 60).with_self_loops()
    full, labels, nodes = rng.random((60, 5)), rng.integers(0, 3, 60), np.array([7, 3, 55, 7])      # one of them twice
    x = SparseRows.from_dense(full) if sparse else full
    net = make(5, 3, rng=0, dtype=float)
    assert len(receptive_field(graph, nodes, net.hops)[0]) < 40

    def losses_and_gradients(net):
        sgd = optim.SGD(net.parameters(), lr=0.0)
        history = fit_nodes(net, x, graph, labels, nodes, nodes[:2], sgd, Window(), 1)
        test = measure(net, x, graph, labels, nodes)
        measured = history["loss"], history["val_loss"], history["val_accuracy"], test["loss"], test["accuracy"]
        return *measured, *(p.grad for p in net.parameters())

    near = losses_and_gradients(net)
    net.hops = None
    for a, b in zip(near, losses_and_gradients(net), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_features_that_learn_are_not_frozen_at_their_first_values(rings):
    _, graph, labels = rings
    learnt, net = nn.Parameter(np.zeros((12, 4), np.float32)), GAT(4, 2, p=0.0, rng=0)
    adam = optim.Adam([learnt, *net.parameters()], lr=0.05)
    history = fit_nodes(net, learnt, graph.with_self_loops(), labels, [0, 6], [0, 6], adam, Window(), 60)
    assert history["val_accuracy"][-1] == 1


def test_a_wrong_number_of_hops_is_noticed_and_a_gcn_looks_at_degrees_beyond_them(rings):
    class ThreeLayers(nn.Module):
        hops = 2

        def __init__(self):
            self.layer = GraphAttention(12, 12, rng=0)

        def forward(self, x, graph):
            return self.layer(self.layer(self.layer(x, graph), graph.inner), graph.inner.inner)

    x, graph, labels = rings
    with pytest.raises(ValueError, match="graph: the net looks further than the hops"):
        measure(ThreeLayers(), x, graph, labels, [0])
    gcn = GCN(12, 2, rng=0)
    whole = measure(gcn, x, graph, labels, [0])["loss"]
    gcn.hops = 2
    assert measure(gcn, x, graph, labels, [0])["loss"] != pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("settings", [{}, dict(average=True, residual=True), dict(attend=False)])
def test_a_layer_returns_the_inner_rows_of_a_receptive_field(rings, settings):
    x, graph, _ = rings
    layer = GraphAttention(12, 2, heads=2, rng=0, **settings)
    field, near = receptive_field(graph, [4, 9], hops=1)
    np.testing.assert_allclose(layer(x[field], near).data, layer(x, graph).data[[4, 9]], rtol=1e-5)


def judged(rule, loss, accuracy):
    return rule({"val_loss": loss, "val_accuracy": accuracy})


def test_patience_waits_for_either_and_keeps_when_both_improve():
    rule = Patience(2)
    assert judged(rule, 1.0, 0.5) == (True, False)
    assert judged(rule, 0.9, 0.4) == (False, False)         # the loss alone improves: wait on, keep nothing
    assert judged(rule, 1.1, 0.6) == (False, False)         # the accuracy alone
    assert judged(rule, 0.9, 0.6) == (True, False)          # as good as the best in both
    assert judged(rule, 1.0, 0.5) == (False, False)
    assert judged(rule, 1.0, 0.5) == (False, True)


def test_patience_by_one_of_them_keeps_when_it_improves():
    for by, kept in (("accuracy", [True, True, False]), ("loss", [True, False, True])):
        rule = Patience(2, (by,))
        assert [judged(rule, *at)[0] for at in [(1.0, 0.5), (2.0, 0.6), (0.5, 0.5)]] == kept
    for by in ("loss", (), ("f1",)):
        with pytest.raises(ValueError, match=r"Patience: by is .*; give \("):
            Patience(by=by)


def test_the_window_stops_above_the_mean_of_the_losses_before():
    rule = Window(2)
    assert [judged(rule, loss, 0)[1] for loss in (1.0, 0.8, 0.95, 0.84, 0.9)] == [False, False, False, False, True]


def test_the_window_stops_no_earlier_than_the_published_code():
    rule = Window(2)
    assert [judged(rule, loss, 0)[1] for loss in (1.0, 0.8, 0.95, 0.99)] == [
        False, False, False, True]      # the 3rd is above


def test_the_kept_weights_are_those_of_the_kept_epoch(rings):
    kept = iter([True, False, False])
    net, _ = fit(rings, lambda row: (next(kept), False), epochs=3)
    first, _ = fit(rings, lambda row: (True, False), epochs=1)
    for a, b in zip(net.parameters(), first.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_the_penalty_is_part_of_what_is_descended(rings):
    free, _ = fit(rings, Window(), 20)
    held, _ = fit(rings, Window(), 20, penalty=lambda net: (net.first.W * net.first.W).sum())
    assert np.abs(held.first.W.data).sum() < np.abs(free.first.W.data).sum()


def test_what_it_refuses(rings):
    x, graph, labels = rings
    net = GCN(12, 2, rng=0)
    adam = optim.Adam(net.parameters())
    before = net.state_dict()
    for wrong in (labels + 5, np.where(np.arange(12) == 1, 5, labels)):         # on train, on val alone
        with pytest.raises(ValueError, match=r"fit_nodes: the labels .* run from 5 to 5, but .* the classes 0\.\.1"):
            fit_nodes(net, x, graph, wrong, np.array([0]), np.array([1]), adam, Window(), 1)
    np.testing.assert_array_equal(net.state_dict()["first.W"], before["first.W"])
    mlp = MLP(12, 2, rng=0)
    with pytest.raises(FloatingPointError, match="the loss on val after epoch 1 is nan; see whether the"):
        fit_nodes(mlp, np.where(np.arange(12)[:, None] == 1, np.nan, x), graph, labels, [0], [1],
                  optim.Adam(mlp.parameters()), Window(), 9)
    with pytest.raises(FloatingPointError, match="the loss in epoch 1, batch 1 is nan"):
        fit_nodes(net, x * np.nan, graph, labels, np.array([0]), np.array([1]), adam, Window(), 1)
    with pytest.raises(ValueError, match="graph: there is no node -1"):
        fit_nodes(net, x, graph, labels, [-1], [1], adam, Window(), 1)
    with pytest.raises(ValueError, match="fit_nodes: val has no nodes; give at least one"):
        fit_nodes(net, x, graph, labels, [0], [], adam, Window(), 1)
    with pytest.raises(TypeError, match="fit_nodes: the labels hold float64"):
        fit_nodes(net, x, graph, labels / 1, [0], [1], adam, Window(), 1)
    with pytest.raises(ShapeError, match=r"fit_nodes: labels has shape \(3,\), but the graph has N = 12 nodes"):
        fit_nodes(net, x, graph, labels[:3], [0], [1], adam, Window(), 1)


def test_the_rule_sees_the_penalty_too(rings):
    seen = []
    _, history = fit(rings, lambda row: (seen.append(row["val_loss"]), False), 3,
                     penalty=lambda net: 0 * net.first.W.sum() + 5)
    assert seen == history["val_loss"]
    assert min(seen) > 5
    assert min(history["loss"]) > 5


@pytest.mark.parametrize("make", [GCN, GAT])
def test_what_doesnt_fit_the_graph_is_refused_in_training_and_in_measuring(rings, make):
    x, graph, labels = rings
    net = make(12, 2, rng=0)

    def train(x, graph, labels, nodes):
        fit_nodes(net, x, graph, labels, nodes, [1], optim.Adam(net.parameters()), Window(), 1)

    for name, do in (("fit_nodes", train), ("measure", lambda *given: measure(net, *given))):
        with pytest.raises(TypeError, match=rf"{name}: graph is a numpy\.ndarray; make one with"):
            do(x, np.eye(12), labels, [0])
        with pytest.raises(ShapeError, match=rf"{name}: x \(N d_in\) = \(9, 12\) and a graph of 12 nodes: N is 9"):
            do(x[:9], graph, labels, [0])
        with pytest.raises(ShapeError, match=rf"{name}: labels has shape \(3,\)"):
            do(x, graph, labels[:3], [0])
        with pytest.raises(ValueError, match=f"{name}: [a-z]+ has no nodes; give at least one"):
            do(x, graph, labels, [])
        with pytest.raises(ValueError, match="graph: there is no node -1"):
            do(x, graph, labels, [-1])
