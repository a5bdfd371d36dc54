"""Mixture convolution (MoNet): Gaussians of where a neighbour lies say how much it counts; centres, widths are learnt.

    (1)  q[i,j,k] = -1/2 sum_d ((u[i,j,d] - mu[k,d]) / sigma[k,d])^2        Monti et al. 2017, eq. 11
    (2)  w[i,j,k] = exp q[i,j,k]                                    the plain sum
    (3)  w[i,j,k] = exp q[i,j,k] / sum_j' exp q[i,j',k]             normalised: a softmax, as shi 2.3
    (4)  y[i] = sum_k sum_j w[i,j,k] h[j,k]                         Monti et al. 2017, eq. 9 and 10
    (5)  dw[i,j,k] = dy[i] . h[j,k]
    (6)  dq[i,j,k] = w[i,j,k] dw[i,j,k]                             of (2)
    (7)  dq[i,j,k] = w[i,j,k] (dw[i,j,k] - sum_j' w[i,j',k] dw[i,j',k])         of (3)
    (8)  dmu[k,d] = sum_ij dq[i,j,k] z[i,j,k,d] / sigma[k,d]
    (9)  dsigma[k,d] = sum_ij dq[i,j,k] z[i,j,k,d]^2 / sigma[k,d]
    (10)  du[i,j,d] = -sum_k dq[i,j,k] z[i,j,k,d] / sigma[k,d]
    (11)  dh[j,k] = sum_i w[i,j,k] dy[i]

h (N, K, F)           features of the nodes, one set for each Gaussian        y (N, F)
u (E, D)              where neighbour j lies for node i (pseudo-coordinates), one row an edge i <- j of the graph
mu, sigma (K, D)      centres and widths      w, q (E, K)
z (E, K, D)           (u[i,j,d] - mu[k,d]) / sigma[k,d]
N nodes, K Gaussians, F features, E edges, D coordinates; every sum over j runs over the neighbours of i

A node without neighbours gets zero and gives no gradient.  A sum over neighbours grows with their number, the
normalised form doesn't; with it (7) is the backward of graph attention, q in the place of its score.
Monti et al. 2017, arXiv:1611.08402.   Lesson: graph_baselines
"""

import numpy as np

from tinynet import nn
from tinynet.backend import at_least
from tinynet.blocks.graphs.sparse_matmul import input_mask, times
from tinynet.blocks.units.activations import tanh
from tinynet.blocks.units.linear import Linear
from tinynet.blocks.units.softmax import masked_softmax
from tinynet.engine import Op
from tinynet.graph import must_fit
from tinynet.jit import PARTS, contiguous, parallel_jit, prange, reordering_jit
from tinynet.masks import checked_chance
from tinynet.shapes import ShapeError, sizes


def _checked(h, u, mu, sigma, graph):
    sizes("h: N K F, u: E D, mu: K D, sigma: K D", h, u, mu, sigma)
    must_fit("mixture_convolution", "h (N K F)", h, graph)
    if len(u) != len(graph.indices):
        raise ShapeError(f"mixture_convolution: u (E D) = {u.shape} and a graph of {len(graph.indices)} edges; give "
                         "one row of coordinates an edge")
    if not np.all(sigma):
        raise ValueError("mixture_convolution: sigma (K D) holds a 0, and a Gaussian of no width has no value; start "
                         "with sigma = 1, or take a smaller learning rate")


# %% 1. The mathematics, with every pair of nodes
def mixture_convolution_forward(h, u, mu, sigma, graph=None, normalised=True):
    """y (N, F).  Raises ShapeError where the arrays and the graph don't fit, TypeError for a graph that isn't a Graph,
    ValueError for a sigma of 0.
    """
    _checked(h, u, mu, sigma, graph)
    z = (u[:, None] - mu) / sigma
    q = -(z * z).sum(axis=2) / 2                                            # (1)
    if normalised:
        no_edge = ~graph.spread(np.ones(len(graph.indices), bool))
        w = masked_softmax(np.moveaxis(graph.spread(q), -1, 0), no_edge)[:, graph.rows, graph.indices].T        # (3)
    else:
        w = np.exp(q)                                                       # (2)
    return np.einsum("ijk,jkf->if", graph.spread(w), h), (h, u, mu, sigma, w, graph, normalised)        # (4)


def mixture_convolution_backward(dy, cache):
    h, u, mu, sigma, w, graph, normalised = cache
    dw = np.einsum("if,jkf->ijk", dy, h)[graph.rows, graph.indices]         # (5)
    dq = w * dw                                                             # (6)
    if normalised:
        dq -= w * graph.spread(dq).sum(axis=1)[graph.rows]                  # (7)
    dh = np.einsum("ijk,if->jkf", graph.spread(w), dy)                      # (11)
    z = (u[:, None] - mu) / sigma
    dz = dq[:, :, None] * z / sigma
    return dh, -dz.sum(axis=1), dz.sum(axis=0), (dz * z).sum(axis=0)        # (10) (8) (9)


# %% 2. The fast twin over the edges: each node owns its y, over the transposed graph its dh, each part a dmu and dsigma
@parallel_jit
def _exponents(u, mu, inverse, q):
    (K, D), E = mu.shape, len(u)
    for e in prange(E):
        for k in range(K):
            square = u.dtype.type(0)
            for d in range(D):
                square += ((u[e, d] - mu[k, d]) * inverse[k, d]) ** 2
            q[e, k] = -square / 2                                           # (1)


@parallel_jit
def _mixed(indptr, indices, w, h, normalised, y):
    """w comes in as q below its top, exponentiated."""
    N, K, F = h.shape
    for i in prange(N):
        first, end = indptr[i], indptr[i + 1]
        for k in range(K):
            total = h.dtype.type(0)
            for e in range(first, end):
                total += w[e, k]
            for e in range(first, end):
                w[e, k] = w[e, k] / total if normalised else w[e, k]        # (3) (2)
        y[i] = 0
        for e in range(first, end):
            for k in range(K):
                for f in range(F):
                    y[i, f] += w[e, k] * h[indices[e], k, f]                # (4)


def _tops(q, graph):
    """The largest q of each node's edges, on each of them: exp then neither overflows nor gives a sum of 0."""
    some = np.diff(graph.indptr) > 0            # reduceat wants no empty stretches
    if not q.size:
        return q
    return np.repeat(np.maximum.reduceat(q, graph.indptr[:-1][some], axis=0), np.diff(graph.indptr)[some], axis=0)


def mixture_convolution_forward_fast(h, u, mu, sigma, graph=None, normalised=True):
    _checked(h, u, mu, sigma, graph)
    h, u, mu, sigma = contiguous(h, u, mu, sigma)
    q = np.empty((len(u), len(mu)), u.dtype)
    _exponents(u, mu, 1 / sigma, q)                                         # (1)
    w = np.exp(q - _tops(q, graph) if normalised else q)                    # (2)
    y = np.empty((len(h), h.shape[2]), h.dtype)
    _mixed(graph.indptr, graph.indices, w, h, normalised, y)                # (3) (4)
    return y, (h, u, mu, sigma, w, graph, normalised)


@reordering_jit
def _back_to_q(dy, h, w, normalised, indptr, indices, dq):
    N, K, F = h.shape
    for i in prange(N):
        for k in range(K):
            mean = h.dtype.type(0)
            for e in range(indptr[i], indptr[i + 1]):
                dot = h.dtype.type(0)
                for f in range(F):
                    dot += dy[i, f] * h[indices[e], k, f]                   # (5)
                dq[e, k] = w[e, k] * dot                                    # (6)
                mean += dq[e, k]
            if normalised:
                for e in range(indptr[i], indptr[i + 1]):
                    dq[e, k] -= w[e, k] * mean                              # (7)


@parallel_jit
def _back_to_gaussians(dq, u, mu, inverse, du, dmu, dsigma):
    (K, D), E, parts = mu.shape, len(u), len(dmu)
    for part in prange(parts):
        for e in range(part * E // parts, (part + 1) * E // parts):
            for k in range(K):
                for d in range(D):
                    z = (u[e, d] - mu[k, d]) * inverse[k, d]
                    dz = dq[e, k] * z * inverse[k, d]
                    du[e, d] -= dz                                          # (10)
                    dmu[part, k, d] += dz                                   # (8)
                    dsigma[part, k, d] += dz * z                            # (9)


@parallel_jit
def _back_to_h(dy, w, indptr, rows, edges, dh):
    N, K, F = dh.shape
    for j in prange(N):
        dh[j] = 0
        for n in range(indptr[j], indptr[j + 1]):
            for k in range(K):
                for f in range(F):
                    dh[j, k, f] += w[edges[n], k] * dy[rows[n], f]          # (11)


def mixture_convolution_backward_fast(dy, cache):
    h, u, mu, sigma, w, graph, normalised = cache
    dy, h, u, mu, sigma, w = contiguous(dy, h, u, mu, sigma, w)
    dq, dh, du = np.empty_like(w), np.empty_like(h), np.zeros_like(u)
    dmu, dsigma = np.zeros((2, PARTS, *mu.shape), mu.dtype)
    _back_to_q(dy, h, w, normalised, graph.indptr, graph.indices, dq)       # (5)-(7)
    _back_to_h(dy, w, *graph.transposed, dh)                                # (11)
    _back_to_gaussians(dq, u, mu, 1 / sigma, du, dmu, dsigma)               # (8)-(10)
    return dh, du, dmu.sum(axis=0), dsigma.sum(axis=0)


# %% 3. The op
mixture_convolution = Op(mixture_convolution_forward, mixture_convolution_backward,
                         fast=(mixture_convolution_forward_fast, mixture_convolution_backward_fast),
                         fast_when=at_least(512))


# %% 4. The module
def degree_coordinates(graph, dtype=np.float32):
    """u (E, 2): 1 / sqrt of the degrees of both ends of each edge i <- j, of i and of j; 0 for a degree of 0."""
    d = graph.degrees
    inverse = np.where(d > 0, 1 / np.sqrt(np.where(d > 0, d, 1)), 0).astype(dtype)
    return np.stack([inverse[graph.rows], inverse[graph.indices]], axis=1)


class MixtureConvolution(nn.Module):
    """x (N, d_in), an array, a tensor or SparseRows, and a graph -> (N, d_out).

    kernels     K, the number of Gaussians
    coordinates D: the two of `degree_coordinates` go through tanh(A u + c) to so many
    normalised  True: the weights of a node's neighbours sum to 1 for each Gaussian; False: the plain sum
    p           chance of an entry of x to be dropped in training
    rng         a seed or np.random.Generator

    Theta (d_in, K d_out) is Glorot-uniform, mu drawn from N(0, 0.1^2), sigma 1, the bias 0, as in the public code.
    Raises ValueError unless p lies in [0, 1), and when called ShapeError and TypeError for an x or a graph that doesn't
    fit.
    """

    def __init__(self, d_in, d_out, kernels=3, coordinates=2, normalised=True, p=0.0, rng=None, dtype=np.float32):
        self.p, self.rng, self.normalised = checked_chance(p), np.random.default_rng(rng), normalised
        self.Theta = nn.Parameter(nn.glorot_uniform(self.rng, (d_in, kernels * d_out), dtype))
        self.A = Linear(2, coordinates, rng=self.rng, dtype=dtype)
        self.mu = nn.Parameter(0.1 * self.rng.normal(size=(kernels, coordinates)).astype(dtype))
        self.sigma = nn.Parameter(np.ones((kernels, coordinates), dtype))
        self.b = nn.Parameter(np.zeros(d_out, dtype))

    def forward(self, x, graph):
        must_fit("MixtureConvolution", "x (N d_in)", x, graph, len(self.Theta))
        h = times(x, self.Theta, input_mask(self, x), self.p)
        h = h.reshape(graph.nodes, len(self.mu), self.b.size)
        u = tanh(self.A(degree_coordinates(graph, self.Theta.dtype)))
        return mixture_convolution(h, u, self.mu, self.sigma, graph=graph, normalised=self.normalised) + self.b
