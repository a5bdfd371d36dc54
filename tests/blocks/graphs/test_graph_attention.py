"""Graphs, and attention over the neighbours of a node; the battery of test_battery.py checks the gradients."""

import math
import tracemalloc

import numpy as np
import pytest

from tinynet.blocks.graphs.graph_attention import graph_attention
from tinynet.blocks.graphs.graph_convolution import GraphConvolution
from tinynet.graph import Graph
from tinynet.neighbourhoods import receptive_field
from tinynet.shapes import ShapeError
from tinynet.sparse import SparseRows

TWINS = pytest.mark.parametrize(("forward", "backward"), [(graph_attention.forward, graph_attention.backward),
                                                      graph_attention.fast], ids=["numpy", "loops"])


# %% Graphs
def test_edges_are_sorted_and_counted_once():
    graph = Graph.from_edges([(2, 1), (0, 2), (2, 0), (0, 2), (1, 1)], nodes=4)
    assert [graph.neighbours(i).tolist() for i in range(4)] == [[2], [1], [0, 1], []]
    for wrong in -1, 4:
        with pytest.raises(ValueError, match=f"graph: there is no node {wrong}, there are only the nodes 0..3"):
            graph.neighbours(wrong)
    assert graph.edges.tolist() == [[0, 2], [1, 1], [2, 0], [2, 1]]
    assert repr(graph) == "Graph(4 nodes, 4 edges)"


def test_edges_of_any_kind_of_numbers_and_of_anything_that_yields_them():
    pairs = [(0, 2), (1, 2), (2, 0)]
    for edges in (np.array(pairs, np.uint64), np.array(pairs, np.int8), iter(pairs), set(pairs)):
        assert Graph.from_edges(edges, 3).edges.tolist() == [[0, 2], [1, 2], [2, 0]]


def test_transposed_names_who_attends_to_a_node_and_by_which_edge():
    graph = Graph.from_edges([(0, 2), (1, 2), (2, 0)], nodes=3)
    indptr, rows, edges = graph.transposed
    assert indptr.tolist() == [0, 1, 1, 3]
    assert rows.tolist() == [2, 0, 1]
    assert edges.tolist() == [2, 0, 1]


def test_undirected_and_self_loops_count_nothing_twice():
    graph = Graph.from_edges([(0, 1), (1, 0), (1, 1), (2, 1)], nodes=3)
    assert graph.undirected().edges.tolist() == [[0, 1], [1, 0], [1, 1], [1, 2], [2, 1]]
    assert graph.with_self_loops().with_self_loops().edges.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 1], [2, 2]]


def test_no_edges_and_no_nodes():
    assert repr(Graph.from_edges([], 3)) == "Graph(3 nodes, 0 edges)"
    assert repr(Graph.from_edges(np.empty((0, 2)), 0).with_self_loops().undirected()) == "Graph(0 nodes, 0 edges)"


def test_the_receptive_field_by_hand():
    graph = Graph.from_edges([(0, 1), (1, 2), (2, 3), (4, 0), (5, 1), (1, 1)], nodes=7)
    field, near = receptive_field(graph, [5, 0], hops=2)
    assert field.tolist() == [0, 5, 1, 2]
    assert [(field[i], field[j]) for i, j in near.edges] == [(0, 1), (5, 1), (1, 1), (1, 2)]       # none into node 2
    assert [(field[i], field[j]) for i, j in near.inner.edges] == [(0, 1), (5, 1)]
    assert (near.nodes, near.inner.nodes, near.inner.inner.nodes) == (4, 3, 2)
    assert graph.inner is graph
    with pytest.raises(ValueError, match="graph: the net looks further than the hops that this receptive field was"):
        _ = near.inner.inner.inner
    assert receptive_field(graph, np.array([5, 0, 5], np.uint64), hops=2)[0].tolist() == [0, 5, 1, 2]
    for nodes, hops, found, edges in (([2], 0, [2], 0), ([6], 3, [6], 0), ([], 2, [], 0), ([2, 2], 1, [2, 3], 1)):
        field, near = receptive_field(graph, nodes, hops)
        assert (field.tolist(), len(near.edges)) == (found, edges)
    with pytest.raises(ValueError, match="receptive_field: hops is -1; it must be 0 or more"):
        receptive_field(graph, [0], -1)
    with pytest.raises(ValueError, match="graph: there is no node 7"):
        receptive_field(graph, [7], 1)


def test_scipy_matrices():
    sparse = pytest.importorskip("scipy.sparse")
    numbers = sparse.coo_array(([1.0, 2, 3, 0], ([0, 2, 2, 1], [1, 0, 0, 1])), shape=(3, 3))       # (2, 0) twice
    assert Graph.from_scipy(numbers).edges.tolist() == [[0, 1], [2, 0]]
    rows = SparseRows.from_scipy(numbers)
    np.testing.assert_array_equal(rows.dense(), numbers.toarray())
    counts = SparseRows.from_scipy(sparse.csr_matrix([[1, 3], [0, 0]]))                             # whole numbers
    np.testing.assert_array_equal(counts.normalised().dense(), [[0.25, 0.75], [0, 0]])
    with pytest.raises(ShapeError, match="one row and one column a node make it square"):
        Graph.from_scipy(sparse.csr_array((2, 3)))
    for read in (Graph.from_scipy, SparseRows.from_scipy):
        with pytest.raises(TypeError, match=r"this is a list and no scipy\.sparse matrix; make one, or use from_dense"):
            read([[1]])
    with pytest.raises(ShapeError, match=r"graph: the matrix has shape \(3,\)"):
        Graph.from_scipy(sparse.coo_array(np.ones(3)))
    with pytest.raises(ShapeError, match=r"SparseRows: the matrix has shape \(3,\), but needs two axes"):
        SparseRows.from_scipy(sparse.coo_array(np.ones(3)))
    with pytest.raises(TypeError, match=r"GraphConvolution: x \(N d_in\) is a scipy.*; give an array, or SparseRows"):
        GraphConvolution(3, 2)(numbers, Graph.from_edges([], 3))


@pytest.mark.parametrize("column", [-1, 3, 10**8])
def test_scipy_matrices_with_indices_outside_of_them(column):
    sparse = pytest.importorskip("scipy.sparse")
    damaged = sparse.csr_matrix(([1.0], [column], [0, 1, 1, 1]), shape=(3, 3))
    for read, block in ((Graph.from_scipy, "graph"), (SparseRows.from_scipy, "SparseRows")):
        with pytest.raises(ValueError, match=rf"{block}: the scipy.sparse matrix \(3, 3\) is damaged, its indices"):
            read(damaged)


def test_networkx_graphs():
    networkx = pytest.importorskip("networkx")
    path = networkx.path_graph(["a", "b", "c"])
    assert Graph.from_networkx(path).edges.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    with pytest.raises(TypeError, match="graph: this is a dict and no networkx graph; make one, or use"):
        Graph.from_networkx({})
    with pytest.raises(TypeError, match=r"GraphConvolution: graph is a networkx\..*Graph; make one with"):
        GraphConvolution(3, 2)(np.ones((3, 3)), path)
    one_way = networkx.DiGraph([("a", "b"), ("b", "c")])
    assert Graph.from_networkx(one_way).edges.tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize(("edges", "error", "message"), [
    ([(0, 1), (1, 3)], ValueError, "edge 1 is (1, 3), but there are only the nodes 0..2"),
    ([(-1, 0)], ValueError, "edge 0 is (-1, 0)"),
    ([(0.0, 1.0)], TypeError, "the edges hold float64"),
    ([(0, 1, 2)], ShapeError, "the edges have shape (1, 3)"),
    ([0, 1], ShapeError, "the edges have shape (2,)"),
    (None, ShapeError, "the edges have shape ()"),
    ([(0, 1), (2,)], ShapeError, "the edges are rows of different lengths"),
])
def test_bad_edges(edges, error, message):
    with pytest.raises(error) as raised:
        Graph.from_edges(edges, nodes=3)
    assert message in str(raised.value)


def test_bad_counts_of_nodes():
    with pytest.raises(ValueError, match="graph: -1 nodes are fewer than none"):
        Graph.from_edges([], -1)
    with pytest.raises(TypeError, match="but it is a count; give a whole number"):
        Graph.from_edges([], 3.0)
    with pytest.raises(ValueError, match="but there are no nodes; correct the edge"):
        Graph.from_edges([(0, 0)], 0)


# %% Attention
@TWINS
def test_four_nodes_by_hand(forward, backward):
    # node 0 looks at itself and node 1 with z = 1 and -1, so alpha = 1 and -.2; node 3 looks at nobody
    graph = Graph.from_edges([(0, 0), (0, 1), (1, 2), (2, 0), (2, 1), (2, 2)], nodes=4)
    h = np.array([1.0, 2, 4, 8])[:, None, None]
    s, r = np.array([[0.0], [3], [0], [0]]), np.array([[1.0], [-1], [0], [5]])
    y, cache = forward(h, s, r, graph=graph)
    e = math.exp(1), math.exp(-0.2), 1.0
    expected = [(e[0] + 2 * e[1]) / (e[0] + e[1]), 4, (e[0] + 2 * e[1] + 4) / sum(e), 0]
    np.testing.assert_allclose(y[:, 0, 0], expected, rtol=1e-12)
    dh, ds, dr, _ = backward(np.array([1.0, 0, 0, 7])[:, None, None], cache)
    b = e[0] / (e[0] + e[1])            # beta of the edge 0 <- 0; that of 0 <- 1 is 1 - b
    np.testing.assert_allclose(dh[:, 0, 0], [b, 1 - b, 0, 0], rtol=1e-12)
    dalpha = b * (1 - b) * (1 - 2)      # softmax's Jacobian times h[0] - h[1]
    np.testing.assert_allclose(dr[:, 0], [dalpha, -0.2 * dalpha, 0, 0], rtol=1e-12)
    np.testing.assert_allclose(ds[:, 0], [dalpha - 0.2 * dalpha, 0, 0, 0], rtol=1e-12, atol=1e-15)


@TWINS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_of_ten_thousand(forward, backward, dtype):
    graph = Graph.from_edges([(i, j) for i in range(3) for j in range(3)], 3)
    h = np.arange(1, 4, dtype=dtype)[:, None, None]
    s, r = np.array([[1e4], [-1e4], [0]], dtype), np.array([[1e4], [-1e4], [0]], dtype)
    y, cache = forward(h, s, r, graph=graph)
    np.testing.assert_array_equal(y, 1)                 # everyone looks at node 0 alone
    dh, ds, dr, _ = backward(np.ones_like(y), cache)
    np.testing.assert_array_equal(dh[:, 0, 0], [3, 0, 0])
    np.testing.assert_array_equal([ds, dr], 0)


@TWINS
def test_a_constant_score_is_the_mean_of_the_neighbours(forward, backward):
    graph = Graph.from_edges([(0, 0), (0, 1), (0, 2)], 3)
    h, zero = np.random.default_rng(0).normal(size=(3, 2, 4)), np.zeros((3, 2))
    np.testing.assert_allclose(forward(h, zero, zero, graph=graph)[0][0], h.mean(axis=0), rtol=1e-12)


def test_the_loops_never_make_a_matrix_of_all_pairs():
    nodes = 50_000                      # all pairs would take 10 GB
    ring = Graph.from_edges(np.stack([np.arange(nodes), np.roll(np.arange(nodes), 1)], axis=1), nodes)
    h, score = np.ones((nodes, 1, 2), np.float32), np.ones((nodes, 1), np.float32)
    forward, backward = graph_attention.fast
    tracemalloc.start()
    y, cache = forward(h, score, score, graph=ring)
    dh = backward(y, cache)[0]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal([y, dh], 1)
    assert peak < 500 * nodes           # bytes


@TWINS
@pytest.mark.parametrize(("change", "error", "message"), [
    (dict(h=np.ones((4, 2, 3))), ShapeError, "h (N M F) = (4, 2, 3) and s (N M) = (3, 2): N is 4 and 3"),
    (dict(mask=np.ones((5, 2), bool)), ShapeError, "mask (E M) = (5, 2) and a graph of 2 edges"),
    (dict(mask=np.ones((2, 2))), TypeError, "mask holds float64; give booleans"),
    (dict(graph=Graph.from_edges([], 7)), ShapeError, "a graph of 7 nodes: N is 3 and 7"),
    (dict(graph=np.ones((3, 3))), TypeError, "graph is a numpy.ndarray; make one with Graph.from_edges"),
])
def test_bad_input(forward, backward, change, error, message):
    good = dict(h=np.ones((3, 2, 3)), s=np.ones((3, 2)), r=np.ones((3, 2)), graph=Graph.from_edges([(0, 1), (1, 2)], 3))
    with pytest.raises(error) as raised:
        forward(**(good | change))
    assert str(raised.value).startswith("graph_attention: ")
    assert message in str(raised.value)


def test_graphs_beside_each_other():
    path, loop, empty = Graph.from_edges([(0, 1), (1, 2)], 3), Graph.from_edges([(0, 0)], 1), Graph.from_edges([], 2)
    union = Graph.union([path, empty, loop])
    assert union.nodes == 6
    assert union.edges.tolist() == [[0, 1], [1, 2], [5, 5]]
    assert Graph.union([]).nodes == 0
