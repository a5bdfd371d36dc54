"""Mixture convolutions: both forms, their gradients, and the layer."""

import numba
import numpy as np
import pytest

from tinynet import cases
from tinynet.blocks.graphs.graph_attention import graph_attention_forward
from tinynet.blocks.graphs.mixture_convolution import (
    MixtureConvolution,
    degree_coordinates,
    mixture_convolution,
    mixture_convolution_forward,
    mixture_convolution_forward_fast,
)
from tinynet.check import gradcheck
from tinynet.graph import Graph
from tinynet.shapes import ShapeError
from tinynet.sparse import SparseRows

FORWARDS = mixture_convolution_forward, mixture_convolution_forward_fast


@pytest.fixture
def graph():
    """Node 3 has no neighbours, node 1 has three."""
    return Graph.from_edges([(0, 1), (1, 0), (1, 1), (1, 2), (2, 3)], 4)


def arrays(graph, K=2, F=3, D=2):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(graph.nodes, K, F)), rng.normal(size=(len(graph.indices), D)), rng.normal(size=(K, D)),
            rng.uniform(0.8, 2, (K, D)))


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("forward", FORWARDS)
def test_it_is_its_equations(graph, forward, normalised):
    h, u, mu, sigma = arrays(graph)
    y = forward(h, u, mu, sigma, graph, normalised)[0]
    for i in range(4):
        edges, expected = np.flatnonzero(graph.rows == i), np.zeros(3)
        for k in range(2):
            w = np.exp([-0.5 * (((u[e] - mu[k]) / sigma[k]) ** 2).sum() for e in edges])
            w = w / w.sum() if normalised and len(edges) else w
            expected += sum(w_e * h[graph.indices[e], k] for w_e, e in zip(w, edges, strict=True))
        np.testing.assert_allclose(y[i], expected, rtol=1e-12)


@pytest.mark.parametrize("forward", FORWARDS)
def test_normalised_weights_sum_to_one_however_far_the_centres(graph, forward):
    """Where exp q alone would be 0 for every neighbour."""
    h, u, mu, sigma = arrays(graph)
    y = forward(np.ones_like(h), 0.01 * u, mu + 60, sigma, graph)[0]
    np.testing.assert_allclose(y, [[2] * 3, [2] * 3, [2] * 3, [0] * 3], rtol=1e-12)
    assert not forward(h, u, mu + 60, sigma, graph, normalised=False)[0].any()


def test_the_normalised_form_is_graph_attention_with_another_score(graph):
    """One Gaussian on a coordinate of the neighbour alone: attention with the score q (its slope 1: no kink)."""
    h, _, mu, sigma = arrays(graph, K=1, D=1)
    place = np.random.default_rng(1).normal(size=4)
    y = mixture_convolution_forward(h, place[graph.indices][:, None], mu, sigma, graph)[0]
    q = -0.5 * ((place - mu[0, 0]) / sigma[0, 0]) ** 2
    attended = graph_attention_forward(h, np.zeros((4, 1)), q[:, None], graph=graph, slope=1.0)[0]
    np.testing.assert_allclose(y, attended[:, 0], rtol=1e-12)


@pytest.mark.parametrize("normalised", [True, False])
def test_the_gradients_of_a_layer_with_all_its_parameters(graph, normalised):
    layer, x = MixtureConvolution(3, 2, kernels=2, coordinates=3, normalised=normalised, rng=0, dtype=float), \
        np.random.default_rng(1).normal(size=(4, 3))
    gradcheck(layer, x, graph=graph).raise_if_wrong()


def test_a_layer_takes_sparse_features_drops_in_training_and_stays_float32(graph):
    x = (np.random.default_rng(0).normal(size=(4, 50)) * (np.arange(50) % 3 == 0)).astype(np.float32)
    layer = MixtureConvolution(50, 2, p=0.5, rng=0)
    sparse = layer.eval()(SparseRows.from_dense(x), graph)
    assert sparse.dtype == np.float32
    np.testing.assert_allclose(sparse.data, layer(x, graph).data, rtol=1e-4, atol=1e-6)
    assert (layer.train()(x, graph).data != layer(x, graph).data).any()
    assert MixtureConvolution(5, 2)(np.ones((0, 5), np.float32), Graph.from_edges([], 0)).shape == (0, 2)


def test_coordinates_are_the_degrees_of_both_ends():
    path = Graph.from_edges([(0, 1), (1, 2)], 3, weights=[3, 1]).undirected()
    np.testing.assert_allclose(degree_coordinates(path, float),
                               1 / np.sqrt([[3, 4], [4, 3], [4, 1], [1, 4]]), rtol=1e-12)
    np.testing.assert_array_equal(degree_coordinates(Graph.from_edges([(0, 1)], 2)), [[1, 0]])     # 1 looks at nobody


def test_the_same_bits_for_one_and_two_threads():
    op, given, settings = cases.draw(cases.of("mixture_convolution")[0], np.random.default_rng(0), N=60, K=3, F=9, D=2)
    before, found = numba.get_num_threads(), []
    for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(count)
        y, cache = op.fast[0](*given, **settings)
        found.append([a.tobytes() for a in (y, *op.fast[1](y, cache))])
    numba.set_num_threads(before)
    assert found[0] == found[1]


def test_refusals(graph):
    h, u, mu, sigma = arrays(graph)
    for forward in (*FORWARDS, mixture_convolution):
        with pytest.raises(ShapeError, match=r"mixture_convolution: u \(E D\) = \(3, 2\) and a graph of 5 edges; give"):
            forward(h, u[:3], mu, sigma, graph=graph)
        with pytest.raises(ValueError, match=r"mixture_convolution: sigma \(K D\) holds a 0, and a Gaussian of no"):
            forward(h, u, mu, sigma * [[1, 0], [1, 1]], graph=graph)
        with pytest.raises(ShapeError, match="K is 2 and 1; make them equal"):
            forward(h, u, mu[:1], sigma, graph=graph)
        with pytest.raises(TypeError, match=r"mixture_convolution: graph is a NoneType; make one"):
            forward(h, u, mu, sigma)
    with pytest.raises(ShapeError, match=r"MixtureConvolution: x \(N d_in\) = \(4, 7\) and a net for d_in = 3"):
        MixtureConvolution(3, 2)(np.ones((4, 7)), graph)
    with pytest.raises(ValueError, match="dropout: p is 1"):
        MixtureConvolution(3, 2, p=1)
