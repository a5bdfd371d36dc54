"""The Laplacian penalty and SemiEmb's penalty on pairs."""

import numba
import numpy as np
import pytest

from tinynet.blocks.graphs.neighbour_penalty import (
    laplacian_penalty_backward,
    laplacian_penalty_backward_fast,
    laplacian_penalty_forward,
    laplacian_penalty_forward_fast,
    pair_penalty_backward,
    pair_penalty_forward,
)
from tinynet.graph import Graph
from tinynet.models.graphs.label_propagation import label_propagation
from tinynet.shapes import ShapeError


@pytest.fixture
def ring():
    """A ring with chords, both ways, with weights, and node 9 alone."""
    rng = np.random.default_rng(0)
    edges = [(i, (i + step) % 9) for i in range(9) for step in (1, 3)]
    return Graph.from_edges(edges, 10, rng.uniform(0.5, 2, 18)).undirected()


def test_it_is_the_quadratic_form_of_the_laplacian(ring):
    f = np.random.default_rng(1).normal(size=(10, 2))
    L = np.diag(ring.degrees) - ring.adjacency.dense()
    P, cache = laplacian_penalty_forward(f, ring)
    np.testing.assert_allclose(P, np.trace(f.T @ L @ f), rtol=1e-12)
    np.testing.assert_allclose(laplacian_penalty_backward(1.0, cache), 2 * L @ f, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:label_propagation. 1 of 10 nodes")         # node 9
def test_one_step_of_descent_is_a_round_of_label_propagation(ring):
    """A step of 1/(2 d[i]) on f'Lf, the labelled nodes held."""
    known, labels, f = np.array([0, 4]), np.array([0, 1]), np.zeros((10, 2))
    f[known, labels] = 1
    for rounds in range(1, 6):
        _, cache = laplacian_penalty_forward_fast(f, ring)
        step = laplacian_penalty_backward_fast(1.0, cache) / np.maximum(2 * ring.degrees, 1e-300)[:, None]
        step[known] = 0
        f = f - step
        np.testing.assert_allclose(f, label_propagation(ring, known, labels, 2, at_most=rounds), atol=1e-14)


def test_a_constant_costs_nothing_and_an_edge_what_its_ends_differ():
    pair = Graph.from_edges([(0, 1)], 2, weights=[3]).undirected()
    assert laplacian_penalty_forward(np.full((2, 1), 7.0), pair)[0] == 0
    assert laplacian_penalty_forward(np.array([[1.0], [3.0]]), pair)[0] == 3 * 2 ** 2


def test_the_same_bits_for_one_and_two_threads(ring):
    f = np.random.default_rng(1).normal(size=(10, 7)).astype(np.float32)
    before, found = numba.get_num_threads(), []
    for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(count)
        P, cache = laplacian_penalty_forward_fast(f, ring)
        found.append((P.tobytes(), laplacian_penalty_backward_fast(P, cache).tobytes()))
    numba.set_num_threads(before)
    assert found[0] == found[1]


def test_pairs_by_hand():
    h, g = np.array([[0.0, 0], [0, 0], [0, 0], [1, 1]]), np.array([[3.0, 4], [0.3, 0.4], [5, 0], [1, 1]])
    near = np.array([True, False, False, False])
    P, cache = pair_penalty_forward(h, g, near, margin=1.0)
    assert pytest.approx(25 + (0.5 ** 2 + 0 + 1) / 3) == P      # the last pair lies in one place: it costs m^2
    dh, dg = pair_penalty_backward(1.0, cache)
    np.testing.assert_allclose(dh, [[-6, -8], [2 / 3 * 0.3, 2 / 3 * 0.4], [0, 0], [0, 0]], rtol=1e-12)
    np.testing.assert_array_equal(dg, -dh)


def test_pairs_of_one_kind_alone_and_no_pairs():
    h, g = np.zeros((2, 3)), np.ones((2, 3))
    assert pytest.approx(3) == pair_penalty_forward(h, g, np.array([True, True]))[0]
    assert pair_penalty_forward(h, g, np.array([False, False]))[0] == 0
    assert pair_penalty_forward(h[:0], g[:0], np.zeros(0, bool))[0] == 0


def test_refusals(ring):
    for forward in (laplacian_penalty_forward, laplacian_penalty_forward_fast):
        with pytest.raises(ShapeError, match=r"laplacian_penalty: f \(N F\) = \(3, 2\) and a graph of 10 nodes"):
            forward(np.zeros((3, 2)), ring)
        with pytest.raises(TypeError, match=r"laplacian_penalty: graph is a numpy\.ndarray; make one with"):
            forward(np.zeros((3, 2)), np.eye(3))
    with pytest.raises(ShapeError, match=r"pair_penalty: near holds int64 \(2,\), and h \(B F\) = \(2, 3\); give one"):
        pair_penalty_forward(np.zeros((2, 3)), np.ones((2, 3)), np.array([1, 0]))
    with pytest.raises(ShapeError, match=r"pair_penalty: h \(B F\) = \(2, 3\) and g \(B F\) = \(1, 3\): B is 2 and 1"):
        pair_penalty_forward(np.zeros((2, 3)), np.ones((1, 3)), np.array([True, False]))
