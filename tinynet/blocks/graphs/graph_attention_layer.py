"""The graph attention layer: features, scores, attention over the neighbours, and heads put together.

    (1)  h[i,m] = W[m] x[i]                        shi 2.1
    (2)  s[i] = a[1] h[i] + b[1],  r[i] = a[2] h[i] + b[2]         shi 2.4
    (3)  y'[i] = y[i,1] || ... || y[i,M]           shi 2.6
    (4)  y'[i] = sum_m y[i,m] / M                  shi 2.7

x (N, d_in)      features of the nodes, an array, a tensor or SparseRows
h, y (N, M, F)   features and attended features of each head, y from the op graph_attention
N nodes, M heads, F features of a head
Every step is an op with a backward of its own, so the layer needs none.
Velickovic et al. 2018, arXiv:1710.10903.   Lesson: graph_attention
"""

import numpy as np

from tinynet import nn
from tinynet.backend import no_grad
from tinynet.blocks.graphs.dropout_matmul import dropout_matmul
from tinynet.blocks.graphs.graph_attention import graph_attention
from tinynet.blocks.graphs.half_scores import half_scores
from tinynet.blocks.graphs.sparse_matmul import sparse_matmul
from tinynet.blocks.units.dropout import dropout
from tinynet.graph import must_be_unweighted, must_fit
from tinynet.masks import checked_chance, module_mask
from tinynet.ops import concatenate
from tinynet.sparse import SparseRows


class GraphAttention(nn.Module):
    """x (N, d_in), an array, a tensor or SparseRows -> (N, heads d_out), the heads one after the other (shi 2.6), or,
    with average=True, their mean (N, d_out) (shi 2.7).  Call it with x and the graph; The deck's activation g is not
    part of the layer; apply it afterwards.  Given a receptive field, it returns one row for each node of graph.inner.

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
            return sparse_matmul(W, module_mask(self, len(x.values), heads), x=x, p=self.p)        # (1)
        mask = module_mask(self, heads, *x.shape)
        if mask is None:
            return (x @ W.reshape(d_in, -1)).reshape(len(x), heads, width)      # (1)
        return dropout_matmul(x, W, mask, p=self.p)                             # (1)

    def scores(self, h):
        """s and r (N, heads): the two halves of the score (shi 2.4)."""
        both = half_scores(h, self.a, self.b)                               # (2)
        return both[0], both[1]

    def forward(self, x, graph):
        must_fit("GraphAttention", "x (N d_in)", x, graph, len(self.W))
        must_be_unweighted("GraphAttention", graph)
        both = self.features(x)
        # The outermost nodes of a receptive field give only their h; the next layer doesn't need their output.
        needed = graph.inner.nodes
        h, skip = (both, None) if self.W_skip is None else (both[:, :, :self.d_out], both[:needed, :, self.d_out:])
        s_r = self.scores(h) if self.attend else ()
        mask_h, mask = module_mask(self, *h.shape), module_mask(self, len(graph.indices), h.shape[1])
        h = h if mask_h is None else dropout(h, mask_h, p=self.p)
        y = (graph_attention(h, *s_r, mask, graph=graph, p=self.p) if self.attend else
             sparse_matmul(h, mask, x=graph.means, p=self.p))
        y = y if len(y) == needed else y[:needed]
        y = y if skip is None else y + skip
        if not self.average:
            return (y + self.bias).reshape(len(y), self.bias.size)          # (3)
        # The mean of the heads' biases is added once, after averaging.  The result is the same and cheaper.
        return y.mean(axis=1) + self.bias.mean(axis=0)          # (4)

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
