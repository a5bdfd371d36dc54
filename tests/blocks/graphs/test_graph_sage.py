"""Samples of neighbours, the aggregators and the nets of them."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import optim
from tinynet.blocks.graphs.graph_sage import AGGREGATORS, normalised
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.sequences.lstm import lstm_forward
from tinynet.check import gradcheck
from tinynet.engine import Tensor
from tinynet.graph import Graph
from tinynet.models.graphs.graph_sage_net import GraphSAGE, GraphSAGEStar
from tinynet.neighbourhoods import sample
from tinynet.shapes import ShapeError
from tinynet.sparse import SparseRows

EACH = pytest.mark.parametrize("aggregator", AGGREGATORS)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def graph():
    """Node 0 has the neighbours 1, 2 and 3, node 1 has 0, nodes 2 and 3 have each other, node 4 has none."""
    return Graph.from_edges([(0, 1), (0, 2), (0, 3), (1, 0), (2, 3), (3, 2)], 5)


@pytest.fixture
def two_rings():
    """Twelve nodes in two rings, which one edge joins."""
    ring = [(i, (i + 1) % 6) for i in range(6)]
    return Graph.from_edges([*ring, *((i + 6, j + 6) for i, j in ring), (0, 6)], 12).undirected()


# %% The sampler
def test_samples_are_neighbours_drawn_evenly(graph):
    drawn = sample(graph, [0, 4, 1], 30_000, rng=0)
    assert drawn.shape == (3, 30_000)
    values, counts = np.unique(drawn[0], return_counts=True)
    assert values.tolist() == [1, 2, 3]
    np.testing.assert_allclose(counts, 10_000, atol=4 * np.sqrt(30_000 * 2 / 9))      # four standard deviations
    assert (drawn[1] == -1).all()
    assert (drawn[2] == 0).all()


def test_draws_do_not_depend_on_each_other(graph):
    first, second = sample(graph, np.zeros(30_000, int), 2, rng=0).T
    pairs = np.bincount(3 * (first - 1) + second - 1, minlength=9)
    np.testing.assert_allclose(pairs, 30_000 / 9, atol=4 * np.sqrt(30_000 * 8 / 81))


def test_a_seed_gives_the_same_sample_and_a_generator_goes_on(graph, rng):
    np.testing.assert_array_equal(sample(graph, [0, 0, 1], 20, 7), sample(graph, [0, 0, 1], 20, 7))
    assert (sample(graph, [0], 20, rng) != sample(graph, [0], 20, rng)).any()


def test_all_neighbours_come_once_in_random_order_before_the_empty_places(graph, rng):
    drawn = sample(graph, [0, 4, 1, 0], None, rng)
    assert drawn.shape == (4, 3)
    assert sorted(drawn[0]) == sorted(drawn[3]) == [1, 2, 3]
    assert drawn[1:3].tolist() == [[-1, -1, -1], [0, -1, -1]]
    orders = {tuple(sample(graph, [0], None, rng)[0].tolist()) for _ in range(100)}
    assert len(orders) == 6


def test_samples_of_no_nodes_and_of_a_graph_without_edges(graph):
    assert sample(graph, [], 4, 0).shape == (0, 4)
    assert sample(graph, [], None, 0).shape == (0, 1)
    assert sample(Graph.from_edges([], 3), [0, 2], 2, 0).tolist() == [[-1, -1], [-1, -1]]
    assert sample(Graph.from_edges([], 3), [0, 2], None, 0).tolist() == [[-1], [-1]]


@pytest.mark.parametrize(("nodes", "count", "error", "message"), [
    ([0, 5], 2, ValueError, "graph: there is no node 5, there are only the nodes 0..4; correct the numbers"),
    ([-1], 2, ValueError, "graph: there is no node -1"),
    ([0.0], 2, TypeError, "graph: the nodes hold float64, but node numbers are integers"),
    ([True, False], 2, TypeError, "graph: the nodes hold bool, but node numbers are integers; convert them, e.g. a"),
    ([[0, 1]], 2, ShapeError, "graph: the nodes have shape (1, 2), but must be (B)"),
    ([0], 0, ValueError, "graph: 0 neighbours can't be drawn; draw at least 1, or None for all"),
])
def test_bad_nodes(graph, nodes, count, error, message):
    with pytest.raises(error) as raised:
        sample(graph, nodes, count, 0)
    assert str(raised.value).startswith(message)


# %% The aggregators
def by_the_equations(kind, p, x, neighbours):
    """(1)-(5) for one node: x (D) and its neighbours (S, D), which may be none; p its parameters by name."""
    S = len(neighbours)
    if kind == "gcn":
        return sum(neighbours, x) / (S + 1) @ p["W"]
    if S == 0:
        n = np.zeros(len(p["W_neighbours"]))
    elif kind == "mean":
        n = sum(neighbours) / S
    elif kind == "pool":
        n = np.max([np.maximum(p["look.W"] @ x_s + p["look.b"], 0) for x_s in neighbours], axis=0)
    else:
        n = lstm_forward(neighbours[None], p["look.W"], p["look.U"], p["look.b"])[0][0, 0, -1]
    return np.concatenate([x @ p["W_self"], n @ p["W_neighbours"]])


@EACH
def test_by_the_equations_with_three_one_and_no_neighbours(rng, aggregator):
    layer = AGGREGATORS[aggregator](2, 3, hidden=4, rng=0, dtype=float)
    for parameter in layer.parameters():
        parameter.data = rng.normal(size=parameter.shape)       # biases, too
    x, neighbours = rng.normal(size=(3, 2)), rng.normal(size=(3, 3, 2))
    known = np.arange(3) < np.array([[3], [1], [0]])
    neighbours[~known] = 0
    y = layer(x, neighbours, known)
    assert y.shape == (3, 6)
    for n in range(3):
        expected = by_the_equations(aggregator, layer.state_dict(), x[n], neighbours[n][known[n]])
        np.testing.assert_allclose(y.data[n], expected, rtol=1e-12, atol=1e-15)
    gradcheck(layer, x, neighbours, known=known).raise_if_wrong()


@EACH
def test_float32_stays_float32(aggregator):
    layer, x = AGGREGATORS[aggregator](2, 3, rng=0), np.ones((4, 2), np.float32)
    y = layer(x, np.ones((4, 5, 2), np.float32), np.ones((4, 5), bool))
    y.sum().backward()
    assert {a.dtype for a in (y, *(p.grad for p in layer.parameters()))} == {np.dtype(np.float32)}


def test_rows_of_length_1_and_rows_of_zeros():
    y = Tensor(np.array([[3.0, 4.0], [0.0, 0.0]]), requires_grad=True)
    z = normalised(y)
    np.testing.assert_allclose(z.data, [[0.6, 0.8], [0, 0]], rtol=1e-15)
    z.backward(np.array([[1.0, 0.0], [1.0, 1.0]]))
    np.testing.assert_allclose(y.grad, [[0.16 / 1.25, -0.12 / 1.25], [0, 0]], rtol=1e-12)
    gradcheck(normalised, np.random.default_rng(0).normal(size=(3, 4))).raise_if_wrong()


# %% The net
@EACH
def test_two_layers_by_the_equations(rng, aggregator):
    """No node has two neighbours, so there is only one order."""
    chain = Graph.from_edges([(0, 1), (1, 2), (3, 0)], 5)
    net = GraphSAGE(2, 4, aggregator, widths=(3, 2), samples=None, hidden=3, rng=0, dtype=float)
    x = h = rng.normal(size=(5, 2))
    for k, layer in enumerate(net.layers):
        h = np.stack([by_the_equations(aggregator, layer.state_dict(), h[i], h[chain.neighbours(i)]) for i in range(5)])
        h = np.maximum(h, 0) if k == 0 else h
    z = h / np.linalg.norm(h, axis=1, keepdims=True)
    nodes = [3, 0, 4, 0]
    np.testing.assert_allclose(net(x, chain, nodes).data, (z @ net.last.W.data.T + net.last.b.data)[nodes], rtol=1e-10)


def test_samples_are_counted_from_the_features(two_rings):
    """samples=(25, 10): the nodes asked for draw 10 neighbours, these (and the nodes themselves) 25."""
    net = GraphSAGE(2, 2, rng=0)
    needed, (first, last) = net.neighbourhoods(two_rings, np.array([3]))
    assert last[1].shape == (1, 10)
    assert first[1].shape == (3, 25)            # nodes 2, 3, 4
    assert needed.tolist() == [1, 2, 3, 4, 5]
    assert needed[first[0]].tolist() == [2, 3, 4]
    assert set(needed[first[1][1]].tolist()) == {2, 4}


@EACH
def test_the_gradients_of_the_whole_net_for_a_fixed_sample(rng, graph, aggregator):
    net = GraphSAGE(3, 2, aggregator, widths=(2, 3), samples=(3, 2), hidden=2, rng=0, dtype=float)
    for name, parameter in net.named_parameters():
        if name.endswith(("look.b", "last.b")):
            parameter.data = rng.normal(size=parameter.shape)

    class Fixed(tn.nn.Module):
        def __init__(self):
            self.net = net

        def forward(self, x):
            net.rng = np.random.default_rng(5)
            return net(x, graph, [0, 2, 4, 2])
    gradcheck(Fixed(), rng.normal(size=(5, 3))).raise_if_wrong()


@EACH
@pytest.mark.parametrize("samples", [(3, 2), None])
def test_nodes_without_neighbours_and_without_features(aggregator, samples):
    x = np.zeros((3, 2), np.float32)
    x[1] = 1
    net = GraphSAGE(2, 4, aggregator, widths=(3, 3), samples=samples, rng=0)
    logits = net(x, Graph.from_edges([], 3), np.arange(3))
    logits.sum().backward()
    np.testing.assert_array_equal(logits.data[0], net.last.b.data)      # the representation is 0
    assert np.abs(logits.data[1] - net.last.b.data).max() > 0.01
    assert logits.dtype == np.float32
    assert all(np.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@EACH
def test_no_nodes(graph, aggregator):
    assert GraphSAGE(2, 4, aggregator, rng=0)(np.ones((5, 2), np.float32), graph, []).shape == (0, 4)


def test_the_order_of_the_nodes_does_not_matter_when_all_neighbours_count(rng, two_rings):
    x, net = rng.normal(size=(12, 3)), GraphSAGE(3, 2, "pool", samples=None, rng=0, dtype=float)
    everyone = net(x, two_rings, np.arange(12)).data
    np.testing.assert_allclose(net(x, two_rings, [7, 0, 7]).data, everyone[[7, 0, 7]], rtol=1e-12)


def test_sparse_and_full_features_are_the_same(rng, two_rings):
    x = rng.normal(size=(12, 6)) * (rng.random((12, 6)) < 0.3)
    full, sparse = (GraphSAGE(6, 2, rng=0, dtype=float)(make(x), two_rings, [0, 5]).data
                    for make in (np.asarray, SparseRows.from_dense))
    np.testing.assert_array_equal(full, sparse)


@pytest.mark.parametrize("dtype", [bool, np.uint8])
@pytest.mark.parametrize("aggregator", ["gcn", "mean"])
def test_marks_in_place_of_numbers_count_as_numbers(aggregator, dtype):
    """A star of 299 neighbours: more than 8 bits can count."""
    star, x = Graph.from_edges([(0, i) for i in range(1, 300)], 300), np.arange(600).reshape(300, 2) % 3 == 1
    net = GraphSAGE(2, 3, aggregator, samples=None, rng=0)
    expected = net(x.astype(np.float32), star, np.array([0])).data
    np.testing.assert_allclose(net(x.astype(dtype), star, np.array([0])).data, expected, rtol=1e-5)


@EACH
def test_it_learns_which_ring_a_node_is_on(two_rings, aggregator):
    labels, known = np.repeat([0, 1], 6), np.array([1, 4, 8, 11])
    x = np.eye(12, dtype=np.float32)
    net = GraphSAGE(12, 2, aggregator, widths=(16, 16), samples=(4, 4), hidden=16, rng=0)
    adam = optim.Adam(net.parameters(), lr=0.01)
    for _ in range(60):
        net.zero_grad()
        cross_entropy(net(x, two_rings, known), labels[known]).backward()
        adam.step()
    net.samples = [None, None]
    with tn.no_grad():
        assert (net.eval()(x, two_rings, np.arange(12)).data.argmax(axis=1) == labels).mean() > 0.8


def test_the_star(two_rings):
    net = GraphSAGEStar(3, 2, rng=0)
    assert [layer.W_self.shape[0] for layer in net.layers] == [3, 512, 512]
    assert net.last.W.shape == (2, 726)
    assert [layer.look.U.shape for layer in net.layers] == [(128, 512)] * 3
    assert net(np.ones((12, 3), np.float32), two_rings, [0, 7]).shape == (2, 2)


def test_bad_input(graph):
    x, net = np.ones((5, 2), np.float32), GraphSAGE(2, 3, rng=0)
    for wrong in (x[:4], SparseRows.from_dense(x[:4])):
        with pytest.raises(ShapeError, match=r"GraphSAGE: x \(N d_in\) = \(4, 2\) and a graph of 5 nodes: N is 4"):
            net(wrong, graph, [0])
    with pytest.raises(ShapeError, match=r"GraphSAGE: x \(N d_in\) = \(5, 3\) and a net for d_in = 2; make them equal"):
        net(np.ones((5, 3)), graph, [0])
    with pytest.raises(ValueError, match="there is no node 5"):
        net(x, graph, [5])
    with pytest.raises(ValueError, match="there is no node -2"):
        net(x, graph, [-2])
    with pytest.raises(TypeError, match="the nodes hold float64"):
        net(x, graph, [1.0])
    with pytest.raises(ValueError, match="no aggregator 'max'; choose one of 'gcn', 'mean', 'pool', 'lstm'"):
        GraphSAGE(2, 3, "max")
    with pytest.raises(ValueError, match="GraphSAGE: 3 widths and 2 samples; give both for every layer"):
        GraphSAGE(2, 3, widths=(4, 4, 4))
