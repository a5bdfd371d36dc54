"""Cases of layers on graphs."""

import numpy as np

from tinynet.blocks.graphs import dropout_matmul as _dropout_matmul
from tinynet.blocks.graphs import graph_attention as _graph_attention
from tinynet.blocks.graphs import half_scores as _half_scores
from tinynet.blocks.graphs import mixture_convolution as _mixture_convolution
from tinynet.blocks.graphs import neighbour_penalty as _neighbour_penalty
from tinynet.blocks.graphs import sparse_matmul as _sparse_matmul
from tinynet.cases.registry import case
from tinynet.graph import Graph
from tinynet.sparse import SparseRows


def _graph_and_scores(rng, N, M, F):
    """Node 0 has no neighbours, node i has all but i + 1; the scores of a node's neighbours differ in sign."""
    edges = [(i, j) for i in range(1, N) for j in range(N) if j != (i + 1) % N]
    sign = np.where(np.arange(N) % 2, -1, 1)[:, None]
    arrays = rng.normal(size=(N, M, F)), 0.3 * rng.normal(size=(N, M)), sign * rng.uniform(1, 2, (N, M))
    return Graph.from_edges(edges, N), arrays


@case(_half_scores.half_scores)
def half_scores(rng, N, M, F):
    return rng.normal(size=(N, M, F)), rng.normal(size=(2, M, F)), rng.normal(size=(2, M))


@case(_graph_attention.graph_attention)
def graph_attention(rng, N, M, F):
    graph, arrays = _graph_and_scores(rng, N, M, F)
    return arrays, dict(graph=graph)


@case(_graph_attention.graph_attention)
def graph_attention_apart(rng, N, M, F):
    """Pairs that nothing joins, the last node alone; every other pair with scores of 1e4 and -1e4, each edge twice."""
    edges = [(i, j) for i in range(N) for j in range(N) if i // 2 == j // 2]
    sign, large = np.where(np.arange(N) % 2, -1, 1), np.where(np.arange(N) // 2 % 2, 1e4, 1)
    r = (sign * large)[:, None] * np.ones((N, M))
    return (rng.normal(size=(N, M, F)), 0.3 * rng.normal(size=(N, M)), r), dict(graph=Graph.from_edges(edges * 2, N))


@case(_graph_attention.graph_attention)
def graph_attention_dropout(rng, N, M, F):
    graph, arrays = _graph_and_scores(rng, N, M, F)
    return (*arrays, rng.random((len(graph.indices), M)) < 0.6), dict(graph=graph, slope=0.1, p=0.4)


def _sparse(rng, N, D):
    """Every other number is 0, and so is all of the first row."""
    some = ((np.arange(N)[:, None] + np.arange(D)) % 2) * (np.arange(N) > 0)[:, None]
    return SparseRows.from_dense(rng.normal(size=(N, D)) * some)


@case(_sparse_matmul.sparse_matmul)
def sparse_matmul(rng, N, D, M, F):
    return [rng.normal(size=(D, M, F))], dict(x=_sparse(rng, N, D))


@case(_sparse_matmul.sparse_matmul)
def sparse_matmul_dropout(rng, N, D, M, F):
    x = _sparse(rng, N, D)
    return [rng.normal(size=(D, M, F)), rng.random((len(x.values), M)) < 0.6], dict(x=x, p=0.4)


@case(_dropout_matmul.dropout_matmul)
def dropout_matmul(rng, N, D, M, F):
    return [rng.normal(size=(N, D)), rng.normal(size=(D, M, F)), rng.random((M, N, D)) < 0.6], dict(p=0.4)


def _one_way_and_weighted(rng, N):
    """Some edges go one way, one is a self-loop, and each has a weight."""
    edges = [(i, j) for i in range(N) for j in range(N) if (i + 2 * j) % 3 != 1]
    return Graph.from_edges(edges, N, rng.uniform(0.5, 2, len(edges)))


@case(_neighbour_penalty.laplacian_penalty)
def laplacian_penalty(rng, N, F):
    return [rng.normal(size=(N, F))], dict(graph=_one_way_and_weighted(rng, N))


@case(_neighbour_penalty.pair_penalty)
def pair_penalty(rng, B, F):
    """Pairs in turn: neighbours, a random pair within the margin, one beyond it."""
    h, way = rng.normal(size=(B, F)), rng.normal(size=(B, F))
    way *= np.where(np.arange(B) % 3 == 2, 5, 0.5)[:, None] / np.sqrt((way * way).sum(axis=1, keepdims=True) + 1e-9)
    return [h, h + way], dict(near=np.arange(B) % 3 == 0, margin=1.5)


def _mixture(rng, N, K, F, D):
    graph, _ = _graph_and_scores(rng, N, 1, 1)
    arrays = (rng.normal(size=(N, K, F)), rng.normal(size=(len(graph.indices), D)), rng.normal(size=(K, D)),
              rng.uniform(0.8, 2, (K, D)))
    return arrays, graph


@case(_mixture_convolution.mixture_convolution)
def mixture_convolution(rng, N, K, F, D):
    arrays, graph = _mixture(rng, N, K, F, D)
    return arrays, dict(graph=graph)


@case(_mixture_convolution.mixture_convolution)
def mixture_convolution_sum(rng, N, K, F, D):
    arrays, graph = _mixture(rng, N, K, F, D)
    return arrays, dict(graph=graph, normalised=False)
