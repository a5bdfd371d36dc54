"""Recipes of the blocks in blocks/graphs, with every pair of nodes."""

import numpy as np

from tinynet import ops


def half_scores(valve, h, a, b):
    halves = [(valve("the first half" if k == 0 else "the second half", h) * a[k]).sum(axis=-1) for k in (0, 1)]
    return ops.stack(*halves) + valve("the bias", b).reshape(2, 1, -1)


def graph_attention(valve, h, s, r, mask=None, graph=None, slope=0.2, p=0):
    edges = len(graph.indices)
    z = s.T.reshape(*s.T.shape, 1) + r.T.reshape(r.shape[1], 1, r.shape[0])
    alpha = valve.where("the leaky ReLU", z.data > 0, z, valve("the slope of negative scores", z * slope))
    no_edge = ~graph.spread(np.ones(edges, bool))
    count = graph.spread(np.ones(edges))        # how often each edge is there
    if (count > 1).any():
        raise NotImplementedError("an edge twice")
    beta = valve.softmax("the softmax over the neighbours", alpha, np.broadcast_to(no_edge, alpha.shape))
    if mask is not None:
        kept = np.moveaxis(graph.spread(mask), -1, 0).astype(bool)
        beta = valve.dropout("the dropout mask", beta, kept, p)
    mixed = beta @ valve("the path through the mixture", h).transpose(1, 0, 2)
    return mixed.transpose(1, 0, 2)


def sparse_matmul(valve, W, mask=None, x=None, p=0):
    return _times(valve, x.spread(_kept(x.values, mask, p)), W)


def dropout_matmul(valve, x, W, mask, p=0):
    heads = W.shape[1]
    dropped = [valve.dropout("the dropout mask", x, mask[m].astype(bool), p) for m in range(heads)]
    return ops.stack(*(d @ W[:, m] for m, d in enumerate(dropped)), axis=1)


def _kept(values, mask, p):
    return values[:, None] if mask is None else values[:, None] * mask / (1 - p)


def _times(valve, x, W):
    """x (N, D, M or 1), W (D, M, F) -> (N, M, F)"""
    heads = W.shape[1]
    return ops.stack(*(x[:, :, min(m, x.shape[2] - 1)] @ W[:, m] for m in range(heads)), axis=1)


RECIPES = (half_scores, graph_attention, sparse_matmul, dropout_matmul)
