"""Graphs with weights on their edges: kept by every door and every change, and counted by what sums over neighbours."""

import numpy as np
import pytest

from tinynet.blocks.graphs.graph_convolution import GraphConvolution, renormalised
from tinynet.graph import Graph
from tinynet.models.graphs.label_propagation import label_propagation
from tinynet.neighbourhoods import receptive_field
from tinynet.shapes import ShapeError

A = np.array([[0.0, 3, 0], [3, 0, 1], [0, 1, 0]])       # 0 =3= 1 -1- 2


@pytest.fixture
def path():
    return Graph.from_edges([(0, 1), (1, 2)], 3, weights=[3, 1]).undirected()


def test_every_door_keeps_the_weights(path):
    np.testing.assert_array_equal(path.adjacency.dense(), A)
    sparse, networkx = pytest.importorskip("scipy.sparse"), pytest.importorskip("networkx")
    for matrix in (sparse.csr_array(A), sparse.coo_matrix(A)):
        np.testing.assert_array_equal(Graph.from_scipy(matrix).adjacency.dense(), A)
    twice = sparse.coo_array(([1.0, 2, 3, 1, 1], ([0, 0, 1, 1, 2], [1, 1, 0, 2, 1])), shape=(3, 3))
    np.testing.assert_array_equal(Graph.from_scipy(twice).adjacency.dense(), A)
    theirs = networkx.Graph()
    theirs.add_nodes_from([0, 1, 2])
    theirs.add_edge(0, 1, weight=3)
    theirs.add_edge(1, 2)                               # no weight: 1, as networkx reads it
    np.testing.assert_array_equal(Graph.from_networkx(theirs).adjacency.dense(), A)
    one_way = networkx.DiGraph()
    one_way.add_edge("a", "b", weight=2.5)
    np.testing.assert_array_equal(Graph.from_networkx(one_way).adjacency.dense(), [[0, 2.5], [0, 0]])


def test_a_graph_whose_weights_are_all_1_has_none():
    assert Graph.from_edges([(0, 1), (1, 0)], 2, weights=[1, 1]).weights is None
    np.testing.assert_array_equal(Graph.from_edges([(0, 1)], 2).adjacency.dense(), [[0, 1], [0, 0]])


def test_an_edge_given_twice_counts_once_with_the_larger_weight():
    graph = Graph.from_edges([(1, 0), (0, 1), (0, 1)], 2, weights=[5, 2, 3])
    np.testing.assert_array_equal(graph.adjacency.dense(), [[0, 3], [5, 0]])
    np.testing.assert_array_equal(graph.undirected().adjacency.dense(), [[0, 5], [5, 0]])


def test_changed_graphs_keep_the_weights(path):
    loops = Graph.from_edges([(0, 0), (0, 1)], 3, weights=[0.5, 2]).with_self_loops()
    np.testing.assert_array_equal(loops.adjacency.dense(), [[0.5, 2, 0], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(loops.without_self_loops().adjacency.dense(), [[0, 2, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(path.only(path.rows == 1).adjacency.dense(), A * [[0], [1], [0]])
    both = Graph.union([Graph.from_edges([(0, 0)], 1), path])
    np.testing.assert_array_equal(both.adjacency.dense()[1:, 1:], A)
    field, near = receptive_field(path, [2], 1)
    np.testing.assert_array_equal(near.adjacency.dense(), A[np.ix_(field, field)] * [[1], [0]])


def test_the_known_answers_of_the_weighted_path(path):
    """Degrees, means, the renormalised matrix and a round of label propagation, all by hand."""
    np.testing.assert_array_equal(path.degrees, [3, 4, 1])
    np.testing.assert_array_equal(path.means.dense(), [[0, 1, 0], [0.75, 0, 0.25], [0, 1, 0]])
    expected = (A + np.eye(3)) / np.sqrt(np.outer([4, 5, 2], [4, 5, 2]))
    np.testing.assert_allclose(renormalised(path).dense(), expected, rtol=1e-12)
    layer, x = GraphConvolution(2, 2, rng=0, dtype=float), np.arange(6.0).reshape(3, 2)
    np.testing.assert_allclose(layer(x, path).data, expected @ x @ layer.W.data, rtol=1e-12)
    np.testing.assert_allclose(label_propagation(path, [0, 2], [0, 1], 2)[1], [0.75, 0.25], rtol=1e-12)


def test_weights_that_are_all_equal_change_no_mean(path):
    even = Graph.from_edges(path.edges, 3, weights=np.full(4, 7.0))
    np.testing.assert_allclose(even.means.dense(), Graph.from_edges(path.edges, 3).means.dense(), rtol=1e-15)


def test_components(path):
    two = Graph.from_edges([(0, 3), (3, 1), (4, 2)], 6)         # one way each: {0, 1, 3}, {2, 4}, {5}
    assert two.components.tolist() == [0, 0, 1, 0, 1, 2]
    assert path.components.tolist() == [0, 0, 0]
    rng = np.random.default_rng(0)
    networkx = pytest.importorskip("networkx")
    edges = rng.integers(0, 200, (150, 2))
    theirs = networkx.Graph(edges.tolist())
    theirs.add_nodes_from(range(200))
    found = Graph.from_edges(edges, 200).components
    assert len(np.unique(found)) == networkx.number_connected_components(theirs)
    assert all(len(set(found[list(part)])) == 1 for part in networkx.connected_components(theirs))


@pytest.mark.parametrize(("weights", "error", "message"), [
    ([1, -2], ValueError, "edge 1, (1, 2), has the weight -2, but a weight must be above 0 and finite; leave out"),
    ([0, 1], ValueError, "edge 0, (0, 1), has the weight 0, but"),
    ([np.nan, 1], ValueError, "edge 0, (0, 1), has the weight nan, but"),
    ([1, np.inf], ValueError, "edge 1, (1, 2), has the weight inf, but"),
    ([1], ShapeError, "there are 2 edges, and the weights have shape (1,); give one weight an edge, (E)"),
    (2.0, ShapeError, "there are 2 edges, and the weights have shape (); give one"),
])
def test_weights_that_cannot_be(weights, error, message):
    with pytest.raises(error) as raised:
        Graph.from_edges([(0, 1), (1, 2)], 3, weights=weights)
    assert str(raised.value).startswith("graph: ")
    assert message in str(raised.value)


def test_negative_entries_of_a_scipy_matrix_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match=r"graph: edge 0, \(0, 1\), has the weight -1, but a weight must be above 0"):
        Graph.from_scipy(sparse.csr_array([[0, -1], [0, 0]]))
