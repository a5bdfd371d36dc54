"""The graph attention layer and the network of two of them."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import optim
from tinynet.blocks.graphs.dropout_matmul import dropout_matmul
from tinynet.blocks.graphs.graph_attention_layer import GraphAttention
from tinynet.blocks.graphs.sparse_matmul import sparse_matmul
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.check import gradcheck
from tinynet.graph import Graph
from tinynet.masks import draw_mask
from tinynet.models.graphs.gat import GAT, InductiveGAT
from tinynet.shapes import ShapeError
from tinynet.sparse import SparseRows


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def two_rings():
    """Ten nodes in two rings, which one edge joins."""
    ring = [(i, (i + 1) % 5) for i in range(5)]
    edges = [*ring, *((i + 5, j + 5) for i, j in ring), (0, 5)]
    return Graph.from_edges(edges, 10).undirected().with_self_loops()


SETTINGS = {"concatenated": {}, "averaged": dict(average=True), "residual": dict(residual=True),
            "residual_averaged": dict(residual=True, average=True), "constant": dict(attend=False)}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_gradients_of_a_layer_with_all_its_parameters(rng, settings):
    layer = GraphAttention(3, 2, heads=2, rng=0, dtype=float, **settings)
    for p in (p for p in layer.parameters() if not p.data.any()):           # the biases
        p.data[:] = rng.normal(size=p.shape)
    graph = Graph.from_edges([(0, 1), (1, 0), (1, 1), (2, 2)], 4)           # node 3 looks at nobody
    gradcheck(layer, rng.normal(size=(4, 3)), graph=graph).raise_if_wrong()


def test_a_residual_layer_adds_a_map_of_the_input_and_a_constant_one_takes_the_mean(rng, two_rings):
    x, plain = rng.normal(size=(10, 3)), GraphAttention(3, 2, heads=2, rng=0, dtype=float)
    residual = GraphAttention(3, 2, heads=2, residual=True, rng=1, dtype=float)
    skip = residual.W_skip.data
    residual.load_state_dict(plain.state_dict() | {"W_skip": skip})
    expected = plain(x, two_rings).data + x @ skip.reshape(3, 4)
    np.testing.assert_allclose(residual(x, two_rings).data, expected, rtol=1e-9)
    constant = GraphAttention(3, 2, heads=2, attend=False, rng=0, dtype=float)
    for i in range(10):
        mean = x[two_rings.neighbours(i)].mean(axis=0) @ constant.W.data.reshape(3, 4)
        np.testing.assert_allclose(constant(x, two_rings).data[i], mean, rtol=1e-9)


@pytest.mark.parametrize("attend", [True, False])
def test_weights_mix_the_neighbours_to_what_the_layer_returns(rng, two_rings, attend):
    x, layer = rng.normal(size=(10, 3)), GraphAttention(3, 2, heads=2, attend=attend, p=0.5, rng=0, dtype=float)
    beta = layer.weights(x, two_rings)
    assert layer.training
    h = np.einsum("nd,dmf->nmf", x, layer.W.data)
    y = np.zeros((10, 2, 2))
    np.add.at(y, two_rings.rows, beta[:, :, None] * h[two_rings.indices])
    np.testing.assert_allclose(layer.eval()(x, two_rings).data, y.reshape(10, 4), rtol=1e-9)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("attend", [True, False])
def test_a_layer_in_training_by_the_equations(two_rings, attend, average):
    """The three dropouts, each head on its own: of x, of h once the scores are taken, of beta; and every bias."""
    graph, rng, again = two_rings, np.random.default_rng(0), np.random.default_rng()
    layer = GraphAttention(3, 2, heads=2, average=average, residual=True, attend=attend, p=0.5, rng=0, dtype=float)
    for p in layer.parameters():
        p.data[:] = rng.normal(size=p.shape)
    x = rng.normal(size=(10, 3))
    again.bit_generator.state = layer.rng.bit_generator.state
    y, heads = layer(x, graph).data, []
    keep_x, mask_h, keep = (draw_mask(again, shape, 0.5) for shape in ((2, 10, 3), (10, 2, 2), (len(graph.indices), 2)))
    for m in range(2):
        dropped = 2 * keep_x[m] * x
        h, z = dropped @ layer.W.data[:, m], np.zeros((10, 10))
        if attend:
            s, r = (h @ layer.a.data[half, m] + layer.b.data[half, m] for half in range(2))
            z = s[:, None] + r
        weights = np.exp(np.where(z > 0, z, 0.2 * z)) * graph.spread(np.ones(len(graph.indices)))
        beta = weights / weights.sum(axis=1, keepdims=True) * 2 * graph.spread(keep[:, m])
        heads.append(beta @ (2 * mask_h[:, m] * h) + dropped @ layer.W_skip.data[:, m] + layer.bias.data[m])
    expected = np.mean(heads, axis=0) if average else np.concatenate(heads, axis=1)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)


def test_a_graph_without_nodes():
    nothing = Graph.from_edges([], 0)
    for net in (GAT(3, 2), GAT(3, 2).eval(), InductiveGAT(3, 2, width=4)):
        assert net(np.ones((0, 3), np.float32), nothing).shape == (0, 2)


def test_the_nets_are_their_layers_with_elu_between(rng, two_rings):
    def elu(x):
        return np.where(x.data > 0, x.data, np.expm1(x.data))

    x, net = rng.normal(size=(10, 3)), GAT(3, 2, rng=0, dtype=float).eval()
    assert (net.first.p, net.last.p) == (0.6, 0.6)
    last = net.last(elu(net.first(x, two_rings)), two_rings)
    np.testing.assert_allclose(net(x, two_rings).data, last.data, rtol=1e-9)
    net = InductiveGAT(3, 2, width=4, rng=0, dtype=float)
    last = net.last(elu(net.second(elu(net.first(x, two_rings)), two_rings)), two_rings)
    np.testing.assert_allclose(net(x, two_rings).data, last.data, rtol=1e-9)


def test_first_values():
    layer = GraphAttention(1000, 8, heads=8, rng=0)
    assert np.abs(layer.W.data).max() == pytest.approx(np.sqrt(6 / 1008), rel=1e-3)
    assert np.abs(layer.a.data).max() == pytest.approx(np.sqrt(6 / 9), rel=0.05)
    assert not layer.b.data.any() | layer.bias.data.any()


def test_each_head_drops_features_and_coefficients_of_its_own(two_rings):
    """Both heads have the same parameters, and x is all ones: what differs between them is what was dropped."""
    layer = GraphAttention(3, 2, heads=2, p=0.5, rng=0)
    layer.W.data[:], layer.a.data[:] = 1, 0
    layer.features = lambda x: tn.Tensor(np.ones((10, 2, 2), np.float32))       # without the dropout of the input
    y = layer(np.ones((10, 3), np.float32), two_rings).data.reshape(10, 2, 2)
    assert (y[:, 0] != y[:, 1]).any(axis=1).sum() > 5                           # between the heads
    assert (y[:, :, 0] != y[:, :, 1]).any()                                     # between the features of a head
    assert y.mean() == pytest.approx(1, abs=0.5)


def test_what_is_no_graph_and_features_that_do_not_fit(two_rings):
    for net in (GraphAttention(3, 2), GraphAttention(3, 2, attend=False), GAT(3, 2)):
        with pytest.raises(TypeError, match="GraphAttention: graph is a list; make one with"):
            net(np.ones((10, 3)), [(0, 1)])
        with pytest.raises(ShapeError, match=r"x \(N d_in\) = \(9, 3\) and a graph of 10 nodes: N is 9 and 10"):
            net(np.ones((9, 3)), two_rings)
        with pytest.raises(ShapeError, match=r"GraphAttention: x \(N d_in\) = \(10, 4\) and a net for d_in = 3"):
            net(np.ones((10, 4)), two_rings)
        with pytest.raises(TypeError, match=r"x \(N d_in\) is a list; give an array, or SparseRows.from_scipy"):
            net([[1, 2, 3]] * 10, two_rings)
    with pytest.raises(ValueError, match=r"dropout: p is 1.5, but the chance to be dropped must lie in \[0, 1\)"):
        GAT(3, 2, p=1.5)
    with pytest.raises(TypeError, match=r"GraphAttention: graph is a numpy\.ndarray; make one with"):
        GraphAttention(3, 2, attend=False).weights(np.ones((10, 3)), np.eye(10))


def test_by_the_equations_for_one_node(rng, two_rings):
    """shi 2.1-2.6 for node 0, and the mean over the heads of 2.7."""
    x, layer = rng.normal(size=(10, 3)), GraphAttention(3, 2, heads=2, rng=0, dtype=float)
    W, (a_left, a_right) = layer.W.data, layer.a.data
    heads = []
    for m in range(2):
        h = x @ W[:, m]
        z = h[0] @ a_left[m] + h[two_rings.neighbours(0)] @ a_right[m]
        beta = np.exp(np.where(z > 0, z, 0.2 * z))
        heads.append(beta / beta.sum() @ h[two_rings.neighbours(0)])
    np.testing.assert_allclose(layer(x, two_rings).data[0], np.concatenate(heads), rtol=1e-12)
    layer.average = True
    np.testing.assert_allclose(layer(x, two_rings).data[0], np.mean(heads, axis=0), rtol=1e-12)


def test_sparse_and_dense_features_are_the_same(rng, two_rings):
    x = rng.normal(size=(10, 6)) * (rng.random((10, 6)) < 0.3)
    net = GAT(6, 3, rng=0, dtype=float).eval()
    sparse = net(SparseRows.from_dense(x), two_rings)
    np.testing.assert_allclose(sparse.data, net(x, two_rings).data, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", [SparseRows.from_dense, np.asarray])
def test_dropout_keeps_the_mean_and_draws_for_each_head(make, two_rings):
    layer = GraphAttention(40, 1, heads=2, p=0.5, rng=0)
    layer.W.data[:] = 1
    h = np.stack([layer.features(make(np.ones((10, 40), np.float32))).data[:, :, 0] for _ in range(200)])
    assert abs(h.mean() - 40) < 0.5
    assert (h[0, :, 0] != h[0, :, 1]).any()
    assert h.dtype == np.float32
    layer.eval()
    x = make(np.ones((10, 40), np.float32))
    np.testing.assert_array_equal(layer(x, two_rings).data, layer(x, two_rings).data)


def test_it_learns_which_ring_a_node_is_on(rng, two_rings):
    X, labels = np.eye(10, dtype=np.float32), np.repeat([0, 1], 5)
    net, known = GAT(10, 2, p=0.2, rng=0), np.array([1, 6])
    adam = optim.Adam(net.parameters(), lr=0.02, l2=5e-4)
    for _ in range(60):
        net.zero_grad()
        cross_entropy(net(X, two_rings)[known], labels[known]).backward()
        adam.step()
    with tn.no_grad():
        assert (net.eval()(X, two_rings).data.argmax(axis=1) == labels).all()


def test_bad_sparse_input(rng):
    W, x = rng.normal(size=(4, 1, 2)), SparseRows.from_dense(np.eye(3))
    with pytest.raises(ShapeError, match=r"sparse_matmul: W \(D M F\) = \(4, 1, 2\) and x \(N D\) = \(3, 3\): D is 4"):
        sparse_matmul(W, x=x)
    with pytest.raises(TypeError, match="sparse_matmul: x is a ndarray"):
        sparse_matmul(W, x=np.eye(4))
    with pytest.raises(ShapeError, match="draw one boolean for each number and head"):
        sparse_matmul(W[:3], np.ones((2, 1), bool), x=x)
    with pytest.raises(TypeError, match="mask holds float64"):
        sparse_matmul(W[:3], np.ones((3, 1)), x=x)


def test_bad_masks_of_the_heads(rng):
    x, W = rng.normal(size=(3, 4)), rng.normal(size=(4, 2, 5))
    for forward in (dropout_matmul.forward, dropout_matmul.fast[0]):
        with pytest.raises(ShapeError, match=r"W \(D M F\) = \(4, 2, 5\) and mask \(M N D\) = \(3, 3, 4\): M is 2"):
            forward(x, W, np.ones((3, 3, 4), bool))
        with pytest.raises(TypeError, match="dropout_matmul: mask holds float64; give booleans"):
            forward(x, W, np.ones((2, 3, 4)))
        with pytest.raises(ValueError, match="p is 1, but the chance to be dropped must lie in"):
            forward(x, W, np.ones((2, 3, 4), bool), p=1)
