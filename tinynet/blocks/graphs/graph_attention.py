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
    (10)  s[i] = a[1] h[i] + b[1],  r[i] = a[2] h[i] + b[2]         shi 2.4
    (11)  dh[i] = ds[i] a[1] + dr[i] a[2],  da[1] = sum_i ds[i] h[i],  db[1] = sum_i ds[i],  da[2], db[2] likewise
    (12)  h[i,m] = W[m] x[i]                        shi 2.1
    (13)  y'[i] = y[i,1] || ... || y[i,M]           shi 2.6
    (14)  y'[i] = sum_m y[i,m] / M                  shi 2.7

h, y (N, M, F)   s, r (N, M)   mask (E, M) or None   alpha, beta, z (E, M), one row an edge i <- j of the graph
a (2, M, F), b (2, M): the two halves of a . [h[i] || h[j]] of shi 2.4, each with a bias
N nodes, M heads, F features of a head, E edges; every sum over j runs over the neighbours of i
(1)-(9) are one op, (10) (11) another; (12)-(14) the module, which adds residual and bias to every head
sigma  leaky ReLU with the given slope, 0.2 in the paper
mask   boolean, drawn for each edge and head with probability 1 - p of True; without it c = 1
c      dropout of the coefficients: mask / (1 - p)

The deck's alpha and beta are the paper's e and alpha.  A node without neighbours gets zero and gives no
gradient.  Velickovic et al. 2018, arXiv:1710.10903.   Lesson: 07_graph_attention
"""

import numpy as np

from tinynet import nn
from tinynet.backend import at_least
from tinynet.blocks.graphs.dropout_matmul import dropout_matmul
from tinynet.blocks.graphs.sparse_matmul import sparse_matmul
from tinynet.blocks.sequences.attention import masked_softmax
from tinynet.blocks.units.dropout import apply_mask, dropout
from tinynet.engine import Op, no_grad
from tinynet.graph import SparseRows, must_fit
from tinynet.jit import PARTS, contiguous, parallel_jit, prange, reordering_jit
from tinynet.masks import bits_and_scale, checked_chance, module_mask, must_be_mask
from tinynet.ops import concatenate
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
    y = np.einsum("mij,jmf->imf", _dense(graph, apply_mask(beta, mask, p)), h)         # (3)
    return y, (h, s, r, mask, beta, graph, slope, p)


def graph_attention_backward(dy, cache):
    h, s, r, mask, weights, graph, slope, p = cache
    z = s.T[:, :, None] + r.T[:, None, :]
    products = np.einsum("imf,jmf->mij", dy, h)[:, graph.rows, graph.indices].T
    dbeta, beta = _dense(graph, apply_mask(products, mask, p)), _dense(graph, weights)         # (4)
    dalpha = beta * (dbeta - (beta * dbeta).sum(axis=2, keepdims=True))     # (5)
    dz = np.where(z > 0, dalpha, slope * dalpha).astype(z.dtype)            # (6)
    dh = np.einsum("mij,imf->jmf", _dense(graph, apply_mask(weights, mask, p)), dy)    # (9)
    return dh, dz.sum(axis=2).T, dz.sum(axis=1).T, None                     # (7) (8)


def half_scores_forward(h, a, b):
    """(2, N, M): s and r.  Raises ShapeError where h (N M F), a (2 M F) and b (2 M) don't fit."""
    sizes("h: N M F, a: 2 M F, b: 2 M", h, a, b)
    return np.einsum("imf,smf->sim", h, a) + b[:, None], (h, a)             # (10)


def half_scores_backward(ds, cache):
    h, a = cache
    return np.einsum("sim,smf->imf", ds, a), np.einsum("sim,imf->smf", ds, h), ds.sum(axis=1)       # (11)


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


@reordering_jit
def _half_scores(h, a, b, s):
    N, M, F = h.shape
    for i in prange(N):
        for half in range(2):
            for m in range(M):
                s[half, i, m] = b[half, m]
                for f in range(F):
                    s[half, i, m] += a[half, m, f] * h[i, m, f]             # (10)


@parallel_jit
def _back_to_halves(ds, h, a, dh, da):
    (N, M, F), parts = h.shape, len(da)
    for part in prange(parts):
        for i in range(part * N // parts, (part + 1) * N // parts):
            for m in range(M):
                for f in range(F):
                    dh[i, m, f] = ds[0, i, m] * a[0, m, f] + ds[1, i, m] * a[1, m, f]       # (11)
                    da[part, 0, m, f] += ds[0, i, m] * h[i, m, f]                           # (11)
                    da[part, 1, m, f] += ds[1, i, m] * h[i, m, f]                           # (11)


def half_scores_forward_fast(h, a, b):
    sizes("h: N M F, a: 2 M F, b: 2 M", h, a, b)
    h, a, b = contiguous(h, a, b)
    s = np.empty((2, *h.shape[:2]), h.dtype)
    _half_scores(h, a, b, s)                                                # (10)
    return s, (h, a)


def half_scores_backward_fast(ds, cache):
    ds, h, a = contiguous(ds, *cache)
    dh, da = np.empty_like(h), np.zeros((PARTS, *a.shape), h.dtype)
    _back_to_halves(ds, h, a, dh, da)                                       # (11)
    return dh, da.sum(axis=0), np.einsum("sim->sm", ds)                     # (11)


# %% 3. The ops
half_scores = Op(half_scores_forward, half_scores_backward,
                 fast=(half_scores_forward_fast, half_scores_backward_fast), fast_when=at_least(10_000))
graph_attention = Op(graph_attention_forward, graph_attention_backward,
                     fast=(graph_attention_forward_fast, graph_attention_backward_fast), fast_when=at_least(512))


# %% 4. The module
class GraphAttention(nn.Module):
    """x (N, d_in), an array, a tensor or SparseRows -> (N, heads d_out), the heads one after the other (shi 2.6), or,
    with average=True, their mean (N, d_out) (shi 2.7).  Call it with x and the graph; g of the deck is up to you.
    On a receptive field only the rows of graph.inner come back.

    residual   adds a linear map of the input to every head
    attend     False: alpha is constant, so a node takes the mean of its neighbours (Const-GAT)
    p          chance to be dropped in training: entries of x and of h, and coefficients, each head on its own
    rng        a seed or np.random.Generator

    W, W_skip (d_in, heads, d_out) and a (2, heads, d_out), one half for i and one for j, are Glorot-uniform; both
    halves of the score and the output have a bias, as in the published code.  Raises ValueError unless p lies in
    [0, 1), and when called ShapeError and TypeError for an x or a graph that doesn't fit.
    """

    def __init__(self, d_in, d_out, heads=1, average=False, residual=False, attend=True, p=0.0, rng=None,
                 dtype=np.float32):
        self.rng = np.random.default_rng(rng)
        self.p, self.average, self.attend, self.d_out = checked_chance(p), average, attend, d_out

        def glorot(shape, fans):
            return nn.Parameter(nn.glorot_uniform(self.rng, shape, dtype, fans))

        self.W = glorot((d_in, heads, d_out), d_in + d_out)
        self.W_skip = glorot((d_in, heads, d_out), d_in + d_out) if residual else None
        if attend:
            self.a = glorot((2, heads, d_out), d_out + 1)
            self.b = nn.Parameter(np.zeros((2, heads), dtype))
        self.bias = nn.Parameter(np.zeros((heads, d_out), dtype))

    def features(self, x):
        """h (N, heads, d_out) = x W (shi 2.1), and after it x W_skip: the input dropped for each head on its own."""
        W = self.W if self.W_skip is None else concatenate(self.W, self.W_skip, axis=2)
        d_in, heads, width = W.shape
        if isinstance(x, SparseRows):
            return sparse_matmul(W, module_mask(self, len(x.values), heads), x=x, p=self.p)        # (12)
        mask = module_mask(self, heads, *x.shape)
        if mask is None:
            return (x @ W.reshape(d_in, -1)).reshape(len(x), heads, width)      # (12)
        return dropout_matmul(x, W, mask, p=self.p)                             # (12)

    def scores(self, h):
        """s and r (N, heads): the two halves of the score (shi 2.4)."""
        both = half_scores(h, self.a, self.b)                               # (10)
        return both[0], both[1]

    def forward(self, x, graph):
        must_fit("GraphAttention", "x (N d_in)", x, graph, len(self.W))
        both = self.features(x)
        needed = graph.inner.nodes          # by the next layer: of a receptive field's outermost nodes only h counts
        h, skip = (both, None) if self.W_skip is None else (both[:, :, :self.d_out], both[:needed, :, self.d_out:])
        s_r = self.scores(h) if self.attend else ()
        mask_h, mask = module_mask(self, *h.shape), module_mask(self, len(graph.indices), h.shape[1])
        h = h if mask_h is None else dropout(h, mask_h, p=self.p)
        y = (graph_attention(h, *s_r, mask, graph=graph, p=self.p) if self.attend else
             sparse_matmul(h, mask, x=graph.means, p=self.p))
        y = y if len(y) == needed else y[:needed]
        y = y if skip is None else y + skip
        if not self.average:
            return (y + self.bias).reshape(len(y), self.bias.size)          # (13)
        # the biases' own mean: adding them to every node's heads before would be more work
        return y.mean(axis=1) + self.bias.mean(axis=0)          # (14)

    def weights(self, x, graph):
        """beta (E, heads) on the edges of `graph`: how much every node looks at each neighbour, nothing dropped."""
        must_fit("GraphAttention", "x (N d_in)", x, graph, len(self.W))
        if not self.attend:
            even = graph.means.values.astype(self.W.dtype)
            return np.broadcast_to(even[:, None], (len(even), self.W.shape[1]))
        training, self.training = self.training, False
        try:
            with no_grad():
                h = self.features(x)[:, :, :self.d_out]
                s, r = self.scores(h)
            _, (*_, beta, _, _, _) = graph_attention.pair(h.data)[0](h.data, s.data, r.data, graph=graph)
        finally:
            self.training = training
        return beta
