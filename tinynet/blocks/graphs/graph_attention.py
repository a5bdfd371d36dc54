"""Graph attention: every node takes a mixture of its neighbours' features, weighted by how well they fit it.

    (1)  alpha[i,j] = sigma(s[i] + r[j])                            shi 2.2; shi 2.4
    (2)  beta[i,j] = exp alpha[i,j] / sum_j' exp alpha[i,j']        shi 2.3
    (3)  y[i] = sum_j beta[i,j] c[i,j] h[j]                         shi 2.5
    (4)  dbeta[i,j] = c[i,j] dy[i].h[j]
    (5)  dalpha[i,j] = beta[i,j] (dbeta[i,j] - sum_j' beta[i,j'] dbeta[i,j'])
    (6)  dz[i,j] = sigma'(s[i] + r[j]) dalpha[i,j]
    (7)  ds[i] = sum_j dz[i,j]
    (8)  dr[j] = sum_i dz[i,j]
    (9)  dh[j] = sum_i beta[i,j] c[i,j] dy[i]

h, y (N, M, F)   s, r (N, M)   mask (E, M) or None   alpha, beta, z (E, M), one row an edge i <- j of the graph
N nodes, M heads, F features of a head, E edges; every sum over j runs over the neighbours of i
sigma  leaky ReLU with the given slope, 0.2 in the paper
mask   boolean, drawn for each edge and head with probability 1 - p of True; without it c = 1
c      dropout of the coefficients: mask / (1 - p)

The deck's alpha and beta are the paper's e and alpha.  A node without neighbours gets zero and gives no
gradient.  Velickovic et al. 2018, arXiv:1710.10903.   Lesson: graph_attention
"""

import numpy as np

from tinynet.backend import at_least
from tinynet.blocks.units.dropout import apply_mask
from tinynet.blocks.units.softmax import masked_softmax
from tinynet.engine import Op
from tinynet.graph import must_fit
from tinynet.jit import contiguous, parallel_jit, prange, reordering_jit
from tinynet.masks import bits_and_scale, must_be_mask
from tinynet.shapes import ShapeError, sizes


def _checked(h, s, r, mask, graph):
    sizes("h: N M F, s: N M, r: N M, mask: E M", h, s, r, mask)
    must_fit("graph_attention", "h (N M F)", h, graph)
    must_be_mask("graph_attention", mask)
    if mask is not None and len(mask) != len(graph.indices):
        raise ShapeError(f"graph_attention: mask (E M) = {mask.shape} and a graph of {len(graph.indices)} edges: "
                         "draw one boolean for each edge and head")


# %% 1. The mathematics, with every pair of nodes: (M, N, N)
def _dense(graph, values):
    """Numbers on the edges (E, M) as (M, N, N)."""
    return np.moveaxis(graph.spread(values), -1, 0)


def graph_attention_forward(h, s, r, mask=None, graph=None, slope=0.2, p=0):
    """Raises ShapeError where the arrays and the graph don't fit, TypeError for a graph that isn't a Graph."""
    _checked(h, s, r, mask, graph)
    z = s.T[:, :, None] + r.T[:, None, :]
    alpha = np.where(z > 0, z, slope * z).astype(z.dtype)                   # (1)
    no_edge = ~graph.spread(np.ones(len(graph.indices), bool))
    beta = masked_softmax(alpha, no_edge)[:, graph.rows, graph.indices].T   # (2)
    y = np.zeros(h.shape, np.result_type(beta, h))
    np.add.at(y, graph.rows, apply_mask(beta, mask, p)[:, :, None] * h[graph.indices])      # (3)
    return y, (h, s, r, mask, beta, graph, slope, p)


def graph_attention_backward(dy, cache):
    h, s, r, mask, weights, graph, slope, p = cache
    z = s.T[:, :, None] + r.T[:, None, :]
    products = np.einsum("imf,jmf->mij", dy, h)[:, graph.rows, graph.indices].T
    dbeta, beta = _dense(graph, apply_mask(products, mask, p)), _dense(graph, weights)         # (4)
    dalpha = beta * (dbeta - (beta * dbeta).sum(axis=2, keepdims=True))     # (5)
    dz = np.where(z > 0, dalpha, slope * dalpha).astype(z.dtype)            # (6)
    dh = np.zeros(h.shape, np.result_type(weights, dy))
    np.add.at(dh, graph.indices, apply_mask(weights, mask, p)[:, :, None] * dy[graph.rows])         # (9)
    return dh, dz.sum(axis=2).T, dz.sum(axis=1).T, None                     # (7) (8)


# %% 2. The fast twin over the edges: those into each node i; sums over i go over the transposed graph
@parallel_jit
def _below_top(s, r, slope, indptr, indices, top, alpha):
    N, M = s.shape
    for i in prange(N):
        for e in range(indptr[i], indptr[i + 1]):
            for m in range(M):
                z = s[i, m] + r[indices[e], m]
                alpha[e, m] = z if z > 0 else slope * z                     # (1)
                top[i, m] = max(top[i, m], alpha[e, m])
        for e in range(indptr[i], indptr[i + 1]):
            for m in range(M):
                alpha[e, m] -= top[i, m]


@parallel_jit
def _mixed(indptr, indices, beta, mask, scale, h, total, y):
    N, M, F = y.shape
    for i in prange(N):
        y[i] = 0
        first, end = indptr[i], indptr[i + 1]
        for e in range(first, end):
            for m in range(M):
                total[i, m] += beta[e, m]
        for e in range(first, end):
            for m in range(M):
                beta[e, m] /= total[i, m]                                   # (2)
        for e in range(first, end - 1, 2):      # two edges at once: y is read and written half as often
            for m in range(M):
                w_e = beta[e, m] * (scale * np.float32(mask[e, m]))
                w_g = beta[e + 1, m] * (scale * np.float32(mask[e + 1, m]))
                for f in range(F):
                    y[i, m, f] += w_e * h[indices[e], m, f] + w_g * h[indices[e + 1], m, f]                 # (3)
        for e in range(end - (end - first) % 2, end):
            for m in range(M):
                for f in range(F):
                    y[i, m, f] += beta[e, m] * (scale * np.float32(mask[e, m])) * h[indices[e], m, f]       # (3)


def graph_attention_forward_fast(h, s, r, mask=None, graph=None, slope=0.2, p=0):
    _checked(h, s, r, mask, graph)
    h, s, r = contiguous(h, s, r)
    beta = np.empty((len(graph.indices), s.shape[1]), s.dtype)
    _below_top(s, r, s.dtype.type(slope), graph.indptr, graph.indices, np.full_like(s, -np.inf), beta)      # (1)
    np.exp(beta, out=beta)                      # NumPy's takes several numbers at once, a scalar loop doesn't
    y, c = np.empty_like(h), bits_and_scale(h, mask, p, beta.shape)
    _mixed(graph.indptr, graph.indices, beta, *c, h, np.zeros_like(s), y)       # (2) (3)
    return y, (h, s, r, mask, beta, graph, slope, p)


@reordering_jit
def _back_to_scores(dy, h, s, r, slope, beta, mask, scale, indptr, indices, mean, dz, ds):
    N, M, F = h.shape
    for i in prange(N):
        for e in range(indptr[i], indptr[i + 1]):
            for m in range(M):
                dot = h.dtype.type(0)           # stays in a register, where dz[e, m] wouldn't
                for f in range(F):
                    dot += dy[i, m, f] * h[indices[e], m, f]
                dz[e, m] = dot
            for m in range(M):
                dz[e, m] *= scale * np.float32(mask[e, m])                  # (4)
                mean[i, m] += beta[e, m] * dz[e, m]
        for e in range(indptr[i], indptr[i + 1]):
            for m in range(M):
                d = beta[e, m] * (dz[e, m] - mean[i, m])                    # (5)
                dz[e, m] = d if s[i, m] + r[indices[e], m] > 0 else slope * d       # (6)
                ds[i, m] += dz[e, m]                                        # (7)


@parallel_jit
def _back_to_neighbours(dy, beta, mask, scale, dz, indptr, indices, edges, dr, dh):
    N, M, F = dh.shape
    for j in prange(N):
        dh[j] = 0
        first, end = indptr[j], indptr[j + 1]
        for k in range(first, end):
            for m in range(M):
                dr[j, m] += dz[edges[k], m]                                 # (8)
        for k in range(first, end - 1, 2):      # two edges at once, as above
            e, g = edges[k], edges[k + 1]
            for m in range(M):
                w_e = beta[e, m] * (scale * np.float32(mask[e, m]))
                w_g = beta[g, m] * (scale * np.float32(mask[g, m]))
                for f in range(F):
                    dh[j, m, f] += w_e * dy[indices[k], m, f] + w_g * dy[indices[k + 1], m, f]              # (9)
        for k in range(end - (end - first) % 2, end):
            e = edges[k]
            for m in range(M):
                for f in range(F):
                    dh[j, m, f] += beta[e, m] * (scale * np.float32(mask[e, m])) * dy[indices[k], m, f]     # (9)


def graph_attention_backward_fast(dy, cache):
    h, s, r, mask, beta, graph, slope, p = cache
    dy, h, s, r, beta = contiguous(dy, h, s, r, beta)
    dh, dz, mean, ds, dr = np.empty_like(h), np.empty_like(beta), *(np.zeros_like(s) for _ in range(3))
    c = bits_and_scale(h, mask, p, beta.shape)
    _back_to_scores(dy, h, s, r, h.dtype.type(slope), beta, *c, graph.indptr, graph.indices, mean, dz, ds)  # (4)-(7)
    _back_to_neighbours(dy, beta, *c, dz, *graph.transposed, dr, dh)                                        # (8) (9)
    return dh, ds, dr, None


# %% 3. The op
graph_attention = Op(graph_attention_forward, graph_attention_backward,
                     fast=(graph_attention_forward_fast, graph_attention_backward_fast), fast_when=at_least(512))


# %% 4. The module: graph_attention_layer
