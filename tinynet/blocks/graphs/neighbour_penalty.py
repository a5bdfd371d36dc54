"""What it costs that neighbours differ: the Laplacian penalty on the whole graph, and SemiEmb's on pairs of nodes.

    (1)  P = 1/2 sum_ij a[i,j] |f[i] - f[j]|^2 = tr f'Lf,  L = D - A          Belkin et al. 2006, section 2.2
    (2)  df[i] = dP sum_j (a[i,j] + a[j,i]) (f[i] - f[j]) = 2 dP (L f)[i]
    (3)  D[b] = |h[b] - g[b]|
    (4)  P = sum_near D[b]^2 / S + sum_far max(0, m - D[b])^2 / R             Weston et al. 2008, eq. 2 and 10
    (5)  dh[b] = 2 dP/S (h[b] - g[b]) for near pairs
    (6)  dh[b] = -2 dP/R max(0, m - D[b]) / D[b] (h[b] - g[b]) for the others
    (7)  dg = -dh

f, df (N, F)     a number or several of each node
A (N, N)         the weights of the graph's edges, D the sums of its rows; the second form of (1) and (2) is that of a
                 graph whose edges go both ways, each with one weight
h, g (B, F)      the two ends of B pairs, a row of the embedding each
near (B)         boolean: True for a pair of neighbours, False for a pair drawn at random
N nodes, F features, B pairs, S of them near and R = B - S not
m   margin: how far apart the ends of a random pair are to be

One step of gradient descent on (1), of length 1/(2 d[i]) for node i, gives f[i] the mean of its neighbours: that is a
round of label propagation.  Where D = 0 a random pair has no direction to part in, so (6) is 0 there.
Belkin, Niyogi and Sindhwani 2006, JMLR 7.  Weston, Ratle and Collobert 2008, ICML.   Lesson: graph_baselines
"""

import numpy as np

from tinynet.engine import Op
from tinynet.graph import must_fit
from tinynet.jit import contiguous, floating, parallel_jit, prange
from tinynet.shapes import ShapeError, sizes


def _numbers(f, graph):
    """f and the graph's weights in one floating dtype, once it is sure that they fit."""
    sizes("f: N F", f)
    must_fit("laplacian_penalty", "f (N F)", f, graph)
    return f.astype(floating(f), copy=False), graph.adjacency.values.astype(floating(f))


# %% 1. The mathematics
def laplacian_penalty_forward(f, graph=None):
    """P, a number.  Raises ShapeError where f has no row for each node, TypeError for what isn't a Graph."""
    f, a = _numbers(f, graph)
    apart = f[graph.rows] - f[graph.indices]
    return (a[:, None] * apart * apart).sum() / 2, (f, graph)           # (1)


def laplacian_penalty_backward(dP, cache):
    f, graph = cache
    a = graph.adjacency.dense().astype(f.dtype)
    both = a + a.T
    return dP * (both.sum(axis=1)[:, None] * f - both @ f)              # (2)


def _checked(h, g, near):
    near = np.asarray(near)
    sizes("h: B F, g: B F", h, g)
    if near.dtype != bool or near.shape != h.shape[:1]:
        raise ShapeError(f"pair_penalty: near holds {near.dtype} {near.shape}, and h (B F) = {h.shape}; give one "
                         "boolean for each of the B pairs, True for neighbours")
    return near, [max(n, 1) for n in (near.sum(), (~near).sum())]


def pair_penalty_forward(h, g, near=None, margin=1.0):
    """P, a number.  Raises ShapeError unless h and g have a row and `near` a boolean for each pair."""
    near, (S, R) = _checked(h, g, near)
    apart = h - g
    D = np.sqrt((apart * apart).sum(axis=1))                            # (3)
    short = np.maximum(0, margin - D).astype(D.dtype)
    P = (D[near] ** 2).sum() / D.dtype.type(S) + (short[~near] ** 2).sum() / D.dtype.type(R)        # (4)
    return P, (apart, D, short, near, S, R)


def pair_penalty_backward(dP, cache):
    apart, D, short, near, S, R = cache
    dh = np.where(near, 2 / S, -2 / R * short / np.where(D > 0, D, np.inf))       # (5) (6)
    dh = (dP * dh.astype(D.dtype))[:, None] * apart
    return dh, -dh                                                      # (7)


# %% 2. The fast twin of laplacian_penalty: each node owns its share of P, and its df
# pair_penalty has none: it is NumPy over arrays as long as the pairs.
@parallel_jit
def _of_nodes(f, a, indptr, indices, P):
    N, F = f.shape
    for i in prange(N):
        P[i] = 0
        for e in range(indptr[i], indptr[i + 1]):
            for c in range(F):
                P[i] += a[e] * (f[i, c] - f[indices[e], c]) ** 2 / 2    # (1)


@parallel_jit
def _back_to_nodes(f, a, indptr, indices, there, rows, order, df):
    N, F = f.shape
    for i in prange(N):
        df[i] = 0
        for e in range(indptr[i], indptr[i + 1]):
            for c in range(F):
                df[i, c] += a[e] * (f[i, c] - f[indices[e], c])         # (2), a[i,j]
        for k in range(there[i], there[i + 1]):
            for c in range(F):
                df[i, c] += a[order[k]] * (f[i, c] - f[rows[k], c])     # (2), a[j,i]


def laplacian_penalty_forward_fast(f, graph=None):
    f, a = contiguous(*_numbers(f, graph))
    P = np.empty(len(f), f.dtype)
    _of_nodes(f, a, graph.indptr, graph.indices, P)                     # (1)
    return P.sum(), (f, graph)


def laplacian_penalty_backward_fast(dP, cache):
    f, graph = cache
    f, a = contiguous(*_numbers(f, graph))
    df = np.empty_like(f)
    _back_to_nodes(f, a, graph.indptr, graph.indices, *graph.transposed, df)        # (2)
    return dP * df


# %% 3. The ops
laplacian_penalty = Op(laplacian_penalty_forward, laplacian_penalty_backward,
                       fast=(laplacian_penalty_forward_fast, laplacian_penalty_backward_fast))
pair_penalty = Op(pair_penalty_forward, pair_penalty_backward)


# %% 4. The module: none, a penalty is added to the loss
