"""Graph convolutions: every node takes a fixed mixture of features, weighted by its own and its neighbours' degrees.

    (1)  A^[i,j] = a[i,j] / sqrt(d[i] d[j])                     Kipf and Welling 2017, eq. 2
    (2)  y = A^ x W                                             Kipf and Welling 2017, eq. 8
    (3)  y = sum_k T_k(L~) x W[k],  L~ = -A^                    Kipf and Welling 2017, eq. 5
    (4)  u[k] = x W[k] + 2 L~ u[k+1] - u[k+2],  y = u[0] - L~ u[1]      Clenshaw 1955: (3) without high powers

x (N, D), SparseRows or full   y (N, F)   W (D, F), for (3) K + 1 of them
N nodes, D features, F new ones   K the number of steps that (3) looks far
a[i,j]   the edge's weight, 1 in a graph without weights, and 0 where there is no edge; for (2) with a self-loop of
         weight 1 at every node that has none, for (3) with no self-loops
d[i]     sum_j a[i,j]
T_k      Chebyshev polynomials: T_0 = 1, T_1(L) = L, T_k = 2 L T_{k-1} - T_{k-2}
L~       the rescaled Laplacian 2 L / lambda_max - 1 with lambda_max at its bound 2

Every step is one of two ops with a pair of its own, `matmul` and `sparse_matmul`.
Kipf and Welling 2017, arXiv:1609.02907.  Defferrard, Bresson and Vandergheynst 2016, arXiv:1606.09375.
"""

from functools import lru_cache

import numpy as np

from tinynet import nn
from tinynet.blocks.graphs.sparse_matmul import input_mask, times
from tinynet.graph import must_fit
from tinynet.masks import checked_chance


# %% 1. The mathematics
@lru_cache(maxsize=4)         # the graphs that are in use
def renormalised(graph, self_loops=True):
    """A^ (N, N) as SparseRows; 0 on the edge to a node without neighbours."""
    graph = graph.with_self_loops() if self_loops else graph.without_self_loops()
    d = graph.degrees
    squares = d[graph.rows] * d[graph.indices]
    return graph.weighted(graph.adjacency.values * (squares > 0) / np.sqrt(np.where(squares > 0, squares, 1)))     # (1)


def chebyshev_sum(A, xW):
    """y (N, F) of (3), from A^ and the list of all x W[k]."""
    u, after = xW[-1], None                                                     # u[k], u[k+1]
    for h in xW[-2::-1]:
        u, after = h - 2 * times(A, u) - (0 if after is None else after), u     # (4)
    return u if after is None else u + times(A, after)                          # (3) (4)


# %% 2. The fast twin, and 3. The op: those of sparse_matmul


# %% 4. The modules
class GraphConvolution(nn.Module):
    """x (N, d_in), an array, a tensor or SparseRows, and a graph -> (N, d_out).

    p is the chance of an entry of x to be dropped in training, rng a seed or np.random.Generator.
    W (d_in, d_out) is Glorot-uniform; there is no bias, as in the published code.  Raises ValueError unless p lies in
    [0, 1), and when called ShapeError and TypeError for an x or a graph that doesn't fit.
    """

    def __init__(self, d_in, d_out, p=0.0, rng=None, dtype=np.float32):
        self.p, self.rng = checked_chance(p), np.random.default_rng(rng)
        self.W = nn.Parameter(nn.glorot_uniform(self.rng, (d_in, d_out), dtype))

    def forward(self, x, graph):
        must_fit("GraphConvolution", "x (N d_in)", x, graph, len(self.W))
        return times(renormalised(graph), times(x, self.W, input_mask(self, x), self.p))         # (2)


class ChebyshevConvolution(nn.Module):
    """The same from neighbours up to K steps away: K + 1 matrices W (d_in, d_out).  Raises ValueError for K below 0."""

    def __init__(self, d_in, d_out, K=3, p=0.0, rng=None, dtype=np.float32):
        if K < 0:
            raise ValueError(f"ChebyshevConvolution: K is {K}, but it counts steps; give 0 or more")
        self.p, self.rng = checked_chance(p), np.random.default_rng(rng)
        self.W = [nn.Parameter(nn.glorot_uniform(self.rng, (d_in, d_out), dtype)) for _ in range(K + 1)]

    def forward(self, x, graph):
        must_fit("ChebyshevConvolution", "x (N d_in)", x, graph, len(self.W[0]))
        mask = input_mask(self, x)
        return chebyshev_sum(renormalised(graph, self_loops=False), [times(x, W, mask, self.p) for W in self.W])
