"""GraphSAGE: what a node takes from itself and from a sample of its neighbours, in four ways.

    (1)  y = (x + sum_s x[s]) / (S + 1) W                       gcn: Hamilton et al. 2017, eq. 2
    (2)  n = sum_s x[s] / S                                     mean: section 3.3
    (3)  n = max_s relu(x[s] W_pool + b)                        pool: eq. 3
    (4)  n = h[S], h = lstm(x[1], ..., x[S])                    lstm: section 3.3, neighbours in random order
    (5)  y = [x W_self || n W_neighbours]                       for (2)-(4): algorithm 1, line 5
    (6)  z = y / |y|, 0 for y = 0                               algorithm 1, line 7

x (B, D)   x[s] (B, S, D)   known (B, S)   y, z (B, 2 F)   n (B, D), for (3) and (4) (B, H)
B nodes, S >= 1 places for neighbours, D features in, F of each half of y, H hidden units
known   boolean, True where there is a neighbour: these come first, and the rows after them are zero
S is the number of neighbours of the node.  If S = 0, then n = 0 in (2)-(4), and (1) gives y = x W.

The paper's W [x || n] is a sum of two products; the published code, followed here, puts them side by side.
Every step is one of the ops with a pair of its own: add, sum, divide, matmul (1) (2) (5), linear, relu, max (3),
lstm (4), concatenate (5), multiply, sqrt (6).
Hamilton, Ying and Leskovec 2017, arXiv:1706.02216.
"""

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.sequences.lstm import LSTM
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.linear import Linear


# %% 1. The mathematics, 2. the same in loops, and 3. the op: those of the ops it is made of
def normalised(y):
    """The rows of y (B, F) with length 1; a row of zeros stays, and gets no gradient."""
    square = ops.sum(y * y, axis=1, keepdims=True)
    return y / ops.where(square.data == 0, np.inf, square).sqrt()               # (6)


def _counted(known, x):
    """(B, 1) S of each node, in the dtype of x where that is floating."""
    return known.sum(axis=1, keepdims=True, dtype=np.result_type(x.dtype, np.float32))


# %% 4. The modules: all are made with the same arguments and called with the same arrays
class GCNAggregator(nn.Module):
    """x (B, d_in), its neighbours (B, S, d_in), known (B, S) -> (B, 2 d_out), one product as wide as the others' two.

    rng is a seed or np.random.Generator; matrices start Glorot-uniform.  `hidden` isn't used here.
    """

    def __init__(self, d_in, d_out, hidden=128, rng=None, dtype=np.float32):
        self.W = nn.Parameter(nn.glorot_uniform(rng, (d_in, 2 * d_out), dtype))

    def forward(self, x, neighbours, known):
        return (x + ops.sum(neighbours, axis=1)) / (_counted(known, x) + 1) @ self.W        # (1)


class MeanAggregator(nn.Module):
    """x (B, d_in), its neighbours (B, S, d_in), known (B, S) -> (B, 2 d_out), a half for x and one for its neighbours.

    units   the kind of layer, `hidden` wide, that looks at each neighbour in a subclass that has one
    """

    units = None

    def __init__(self, d_in, d_out, hidden=128, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.look = self.units and self.units(d_in, hidden, rng=rng, dtype=dtype)
        self.W_self = nn.Parameter(nn.glorot_uniform(rng, (d_in, d_out), dtype))
        self.W_neighbours = nn.Parameter(nn.glorot_uniform(rng, (hidden if self.units else d_in, d_out), dtype))

    def forward(self, x, neighbours, known):
        n = self.gathered(neighbours, known)
        return ops.concatenate(x @ self.W_self, n @ self.W_neighbours, axis=1)              # (5)

    def gathered(self, neighbours, known):
        return ops.sum(neighbours, axis=1) / np.maximum(_counted(known, neighbours), 1)     # (2)


class PoolAggregator(MeanAggregator):
    """The same with the largest value that each of `hidden` ReLUs takes at a neighbour."""

    units = Linear

    def gathered(self, neighbours, known):
        return ops.max(relu(self.look(neighbours)) * known[:, :, None], axis=1)             # (3)


class LSTMAggregator(MeanAggregator):
    """The same with the state of a `hidden` wide LSTM after a node's last neighbour."""

    units = LSTM

    def gathered(self, neighbours, known):
        h, _ = self.look.run(neighbours)
        S = known.sum(axis=1)
        return h[np.arange(len(S)), S - 1] * (S > 0)[:, None]                               # (4)


AGGREGATORS = dict(gcn=GCNAggregator, mean=MeanAggregator, pool=PoolAggregator, lstm=LSTMAggregator)
