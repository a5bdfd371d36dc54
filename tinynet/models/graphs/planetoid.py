"""Planetoid: words and an embedding of the graph, classified together (shi fig9).

The embedding is that of DeepWalk, with pairs of one more kind: two labelled nodes of the same class count as met, of
different classes as drawn at random.  Planetoid-T learns a free row e_i for each node; Planetoid-I computes it from the
node's words, e_i = ReLU(x_i W), so that it has one for nodes that it hasn't seen.

    >>> import numpy as np
    >>> from tinynet.models.graphs.planetoid import PlanetoidI, PlanetoidT
    >>> x = np.ones((3, 5), np.float32)
    >>> [np.shape(net(x, rows=[0, 1, 2])[2]) for net in (PlanetoidT(9, 5, 2, rng=0), PlanetoidI(9, 5, 2, rng=0))]
    [(3, 2), (3, 2)]

Yang, Cohen and Salakhutdinov 2016, arXiv:1603.08861.
"""

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.graphs.sparse_matmul import times
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.linear import Linear
from tinynet.blocks.units.softmax import softmax


class _Planetoid(nn.Module):
    """What both have: three classifiers, of the words, of the embedding, and of what these two say."""

    def __init__(self, nodes, d_in, classes, width=50, rng=None, dtype=np.float32):
        self.rng = np.random.default_rng(rng)
        self.W_words = nn.Parameter(nn.glorot_uniform(self.rng, (d_in, classes), dtype))
        self.b_words = nn.Parameter(np.zeros(classes, dtype))
        self.of_embedding = Linear(width, classes, rng=self.rng, dtype=dtype)
        self.of_both = Linear(2 * classes, classes, rng=self.rng, dtype=dtype)
        self.contexts = nn.Parameter((0.01 * self.rng.normal(size=(nodes, width))).astype(dtype))       # w

    def forward(self, x, rows):
        """Logits (B, classes) from the words x (B, d_in) of the nodes `rows` (B), from their embedding, from both."""
        words = times(x, self.W_words) + self.b_words
        embedded = self.of_embedding(self.embedding(x, rows))
        return words, embedded, self.of_both(ops.concatenate(softmax(words), softmax(embedded), axis=1))

    def loss(self, x, rows, labels):
        """The three cross-entropies, added."""
        words, embedded, both = self(x, rows)
        return cross_entropy(words, labels) + cross_entropy(embedded, labels) + cross_entropy(both, labels)


class PlanetoidT(_Planetoid):
    """Transductive: e (nodes, width) is learnt, N(0, 0.01^2) at first."""

    def __init__(self, nodes, d_in, classes, width=50, rng=None, dtype=np.float32):
        super().__init__(nodes, d_in, classes, width, rng, dtype)
        self.e = nn.Parameter((0.01 * self.rng.normal(size=(nodes, width))).astype(dtype))

    def embedding(self, x, rows):
        return self.e[rows]


class PlanetoidI(_Planetoid):
    """Inductive: e = ReLU(x W)."""

    def __init__(self, nodes, d_in, classes, width=50, rng=None, dtype=np.float32):
        super().__init__(nodes, d_in, classes, width, rng, dtype)
        self.W = nn.Parameter(nn.glorot_uniform(self.rng, (d_in, width), dtype))

    def embedding(self, x, rows):
        return relu(times(x, self.W))


def label_pairs(known, labels, count, rng):
    """(pairs (count, 2), gamma (count)): half of them of one class, gamma +1, half of two classes, gamma -1.

    Raises ValueError where all labels are of one class.
    """
    known, labels = np.asarray(known), np.asarray(labels)
    if len(np.unique(labels)) < 2:
        raise ValueError("planetoid: all labels are of one class, so no pair of two classes can be drawn; label more")
    first = rng.integers(len(known), size=count)
    gamma = np.where(np.arange(count) % 2, -1, 1)
    fits = (labels[first][:, None] == labels) == (gamma > 0)[:, None]          # whom each may be paired with
    second = (rng.random(fits.shape) * fits).argmax(axis=1)
    return np.stack([known[first], known[second]], axis=1), gamma
