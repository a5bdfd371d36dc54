"""Graph convolutions, Chebyshev's, the MLP without a graph, and label propagation."""

import numpy as np
import pytest

from tinynet.blocks.graphs.graph_convolution import ChebyshevConvolution, GraphConvolution, renormalised
from tinynet.blocks.graphs.sparse_matmul import times
from tinynet.engine import Tensor
from tinynet.graph import Graph
from tinynet.models.graphs.gcn import GCN, MLP, ChebyshevNet
from tinynet.models.graphs.label_propagation import label_propagation
from tinynet.shapes import ShapeError
from tinynet.sparse import SparseRows


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def graph():
    """A triangle with a tail, a self-loop, and node 5 alone."""
    return Graph.from_edges([(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (1, 1)], nodes=6).undirected()


def dense_normalised(graph, self_loops):
    a = graph.spread(np.ones(len(graph.indices)))
    np.fill_diagonal(a, self_loops)
    d = a.sum(axis=1)
    return np.divide(a, np.sqrt(np.outer(d, d)), out=np.zeros_like(a), where=a > 0)


@pytest.mark.parametrize("self_loops", [True, False])
def test_the_renormalised_graph(graph, self_loops):
    np.testing.assert_allclose(renormalised(graph, self_loops).dense(), dense_normalised(graph, self_loops), rtol=1e-12)


def test_graph_convolution_is_its_equation(rng, graph):
    layer, x = GraphConvolution(4, 3, rng=1, dtype=float), rng.normal(size=(6, 4))
    np.testing.assert_allclose(layer(x, graph).data, dense_normalised(graph, True) @ x @ layer.W.data, rtol=1e-10)


@pytest.mark.parametrize("K", [0, 1, 2, 5])
def test_clenshaw_gives_the_sum_of_chebyshev_polynomials(rng, graph, K):
    layer, x = ChebyshevConvolution(4, 3, K=K, rng=1, dtype=float), rng.normal(size=(6, 4))
    L = -dense_normalised(graph, False)
    T = [np.eye(6), L]
    for _ in range(K):
        T.append(2 * L @ T[-1] - T[-2])
    expected = sum(T[k] @ x @ W.data for k, W in enumerate(layer.W))
    np.testing.assert_allclose(layer(x, graph).data, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("net", [GCN, ChebyshevNet, MLP])
def test_gradients_through_the_whole_net(rng, graph, net):
    net, x = net(4, 3, width=5, p=0, rng=2, dtype=float), rng.normal(size=(6, 4))
    parameters = net.parameters()
    dy = rng.normal(size=(6, 3))

    def loss():
        return float((net(x, graph).data * dy).sum())

    net(x, graph).backward(dy)
    for p in parameters:
        for place in np.ndindex(p.shape):
            before = p.data[place]
            p.data[place] = before + 1e-6
            up = loss()
            p.data[place] = before - 1e-6
            assert p.grad[place] == pytest.approx((up - loss()) / 2e-6, abs=1e-6)
            p.data[place] = before


@pytest.mark.parametrize("net", [GCN, ChebyshevNet, MLP])
def test_sparse_features_are_the_same_and_stay_float32(rng, graph, net):
    net = net(4, 3, rng=2).eval()
    x = (rng.normal(size=(6, 4)) * (rng.random((6, 4)) < 0.5)).astype(np.float32)
    sparse = net(SparseRows.from_dense(x), graph)
    assert sparse.dtype == np.float32
    np.testing.assert_allclose(sparse.data, net(x, graph).data, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [np.asarray, SparseRows.from_dense])
def test_dropout_of_the_input_keeps_the_mean(make):
    path = Graph.from_edges([(0, 1)], nodes=2).undirected()
    layer = GraphConvolution(4000, 1, p=0.5, rng=0)
    layer.W.data[:] = 1
    x = make(np.ones((2, 4000), np.float32))
    assert layer(x, path).data == pytest.approx(4000, rel=0.1)
    assert (layer(x, path).data != layer(x, path).data).any()
    np.testing.assert_allclose(layer.eval()(x, path).data, 4000, rtol=1e-5)


def test_a_node_alone_and_a_graph_without_nodes(rng, graph):
    np.testing.assert_allclose(ChebyshevConvolution(4, 3, rng=0)(np.ones((6, 4), np.float32), graph).data[5:],
                               ChebyshevConvolution(4, 3, rng=0)(np.ones((1, 4), np.float32),
                                                                 Graph.from_edges([], 1)).data, rtol=1e-6)
    assert GCN(4, 3)(np.ones((0, 4), np.float32), Graph.from_edges([], 0)).shape == (0, 3)


def test_times_of_a_full_matrix_is_the_product(rng):
    A, h = rng.normal(size=(3, 4)), Tensor(rng.normal(size=(4, 2)))
    np.testing.assert_allclose(times(A, h).data, A @ h.data)
    np.testing.assert_allclose(times(SparseRows.from_dense(A), h).data, A @ h.data)


def test_label_propagation_is_the_harmonic_solution(rng, graph):
    known, labels = np.array([0, 4]), np.array([1, 0])
    with pytest.warns(UserWarning, match="1 of 6 nodes lie in a component without a label, so their scores stay 0"):
        scores = label_propagation(graph, known, labels, 2)
    unknown = [1, 2, 3]
    P = graph.means.dense()
    expected = np.linalg.solve(np.eye(3) - P[np.ix_(unknown, unknown)], P[np.ix_(unknown, known)] @ np.eye(2)[labels])
    np.testing.assert_allclose(scores[unknown], expected, atol=1e-4)
    np.testing.assert_array_equal(scores[5], 0)
    np.testing.assert_array_equal(scores[known], np.eye(2)[labels])


def test_label_propagation_says_what_is_wrong(graph):
    with pytest.raises(ValueError, match=r"label_propagation: the labels run from 0 to 7, .* classes 0\.\.1"):
        label_propagation(graph, [0, 1], [0, 7], 2)
    with pytest.raises(ValueError, match="one label for each known node"):
        label_propagation(graph, [0, 1], [0], 2)
    with pytest.raises(ValueError, match="labels are float64"):
        label_propagation(graph, [0, 1], [0.0, 1.0], 2)
    with pytest.raises(ValueError, match="graph: there is no node -1"):
        label_propagation(graph, [0, -1], [0, 1], 2)


def test_a_neighbour_that_has_none_itself():
    """Node 1 attends to nobody: no step leads there, and no number is infinite."""
    one_way, x = Graph.from_edges([(0, 1)], 2), np.eye(2)
    np.testing.assert_array_equal(renormalised(one_way, self_loops=False).dense(), 0)
    layer = ChebyshevConvolution(2, 3, rng=0, dtype=float)
    y = layer(x, one_way)
    y.backward(np.ones((2, 3)))
    np.testing.assert_allclose(y.data, layer.W[0].data - layer.W[2].data, rtol=1e-12)      # T_1 = T_3 = 0, T_2 = -1
    assert all(np.isfinite(W.grad).all() for W in layer.W)


@pytest.mark.parametrize("net", [GCN, ChebyshevNet])
def test_what_is_no_graph_and_features_that_do_not_fit(graph, net):
    net, x = net(4, 3, rng=0), np.ones((6, 4), np.float32)
    with pytest.raises(TypeError, match=r"Convolution: graph is a numpy\.ndarray; make one with"):
        net(x, np.eye(6))
    with pytest.raises(ShapeError, match=r"x \(N d_in\) = \(5, 4\) and a graph of 6 nodes: N is 5 and 6; give one row"):
        net(x[:5], graph)
    with pytest.raises(ShapeError, match=r"Convolution: x \(N d_in\) = \(6, 3\) and a net for d_in = 4"):
        net(x[:, :3], graph)


def test_other_refusals(graph):
    with pytest.raises(ValueError, match="ChebyshevConvolution: K is -1"):
        ChebyshevConvolution(4, 3, K=-1)
    with pytest.raises(TypeError, match=r"label_propagation: graph is a numpy\.ndarray; make one with"):
        label_propagation(np.eye(6), [0], [0], 2)
    with pytest.raises(ValueError, match="label_propagation: no known node is of class 1, so no node could be told"):
        label_propagation(graph, [0, 2], [0, 0], 2)
    with pytest.raises(ShapeError, match=r"SparseRows: the matrix has shape \(6,\), but needs two axes"):
        SparseRows.from_dense(np.ones(6))
