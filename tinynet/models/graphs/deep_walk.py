"""DeepWalk: nodes that meet on random walks get rows that agree, and a linear classifier reads the rows (shi fig9).

Walks are sentences, nodes are words, and word2vec does the rest: each place of a walk has a window, drawn from
1..window; each node in it makes a pair that was met, and with it come `negatives` pairs drawn at random.  The paper
trains a hierarchical softmax; negative sampling is what later code uses, word2vec's own included.

    >>> import numpy as np
    >>> from tinynet.graph import Graph
    >>> from tinynet.models.graphs.deep_walk import deep_walk, random_walks
    >>> ring = Graph.from_edges([(i, (i + 1) % 4) for i in range(4)], nodes=4)          # one way round
    >>> random_walks(ring, [2, 0], 5, rng=0).tolist()
    [[2, 3, 0, 1, 2], [0, 1, 2, 3, 0]]
    >>> deep_walk(ring, width=8, rng=0).shape
    (4, 8)

Perozzi, Al-Rfou and Skiena 2014, arXiv:1403.6652.  Mikolov et al. 2013, arXiv:1310.4546.
"""

import numpy as np

from tinynet.blocks.losses.skip_gram import skip_gram_descent
from tinynet.graph import must_be_graph
from tinynet.jit import jit

AT_ONCE = 1000      # walks between two looks at the learning rate


# %% Walks
def random_walks(graph, starts, length, rng):
    """(B, length) nodes: from each of the starts (B), next = a neighbour, drawn in proportion to its edge's weight.

    rng   a seed or np.random.Generator

    Raises ValueError for a start without neighbours, for a node without any that a walk comes to, and for a length
    below 1; what Graph.checked_nodes raises.
    """
    must_be_graph("random_walks", graph)
    starts = graph.checked_nodes(starts)
    if length < 1:
        raise ValueError(f"random_walks: length is {length}, but a walk has at least its start; give 1 or more")
    walks = np.empty((len(starts), length), np.int32)
    stuck = _walk(graph.indptr, graph.indices, _ladder(graph), starts, np.random.default_rng(rng), walks)
    if stuck >= 0:
        raise ValueError(f"random_walks: node {stuck} has no neighbours, so no walk leads on from it; start elsewhere, "
                         "or join it to the graph")
    return walks


def _ladder(graph):
    """(E) for each edge the share of its node's weight that lies on it and on those before it; 1 on the last."""
    sums = np.cumsum(graph.adjacency.values)
    before = np.append(0, sums)[graph.indptr[:-1]][graph.rows]
    ladder = (sums - before) / graph.degrees[graph.rows]
    last = graph.indptr[1:][np.diff(graph.indptr) > 0] - 1
    ladder[last] = 1
    return ladder


@jit
def _walk(indptr, indices, ladder, starts, rng, walks):
    """Fills walks (B, T); returns the node at which one could not go on, else -1."""
    B, T = walks.shape
    for b in range(B):
        here = starts[b]
        walks[b, 0] = here
        for t in range(1, T):
            low, high = indptr[here], indptr[here + 1]
            if low == high:
                return here
            draw = rng.random()
            while high - low > 1:               # the first rung above the draw lies in [low, high)
                middle = (low + high) // 2
                if ladder[middle - 1] > draw:
                    high = middle
                else:
                    low = middle
            here = indices[low]
            walks[b, t] = here
    return -1


# %% Pairs
def pairs_of(walks, window, negatives, noise, rng, whole=False):
    """(pairs (P, 2), gamma (P)) for `skip_gram`: each node of a window with its middle node, and after each pair
    `negatives` with a node drawn from the noise.

    noise (N)   the shares of the nodes among the negatives, rising to 1
    whole       False: the window's half width is drawn from 1..window for each place, as in word2vec; True: it is
                `window`, and a node is paired with itself, too, as in Planetoid's public code
    """
    B, T = walks.shape
    most = B * T * (2 * window + whole) * (1 + negatives)
    pairs, gamma = np.empty((most, 2), np.int32), np.empty(most, np.float32)
    count = _pair(walks, window, negatives, noise, rng, whole, pairs, gamma)
    return pairs[:count], gamma[:count]


@jit
def _pair(walks, window, negatives, noise, rng, whole, pairs, gamma):
    count, (B, T), N = 0, walks.shape, len(noise)
    for b in range(B):
        for t in range(T):
            half = window if whole else 1 + int(rng.random() * window)
            for other in range(max(0, t - half), min(T, t + half + 1)):
                if other == t and not whole:
                    continue
                for n in range(1 + negatives):
                    pairs[count, 0], pairs[count, 1], gamma[count] = walks[b, t], walks[b, other], 1
                    if n > 0:
                        draw, low, high = rng.random(), 0, N
                        while high - low > 1:
                            middle = (low + high) // 2
                            if noise[middle - 1] > draw:
                                high = middle
                            else:
                                low = middle
                        pairs[count, 1], gamma[count] = low, -1
                    count += 1
    return count


def noise_of(degrees, power=0.75):
    """(N) the shares of the nodes among the negatives, rising to 1: degree^power, as in word2vec."""
    shares = np.cumsum(degrees ** power)
    return shares / shares[-1]


# %% The embedding
def first_rows(nodes, width, rng):
    """e evenly from -1/2 to 1/2 over the width, w = 0: word2vec's start."""
    e = (rng.random((nodes, width), np.float32) - np.float32(0.5)) / np.float32(width)
    return e, np.zeros_like(e)


def deep_walk(graph, width=64, walks=10, length=40, window=10, negatives=1, lr=(0.025, 0.0001), rng=None):
    """e (N, width) float32: a row for each node; a node without neighbours keeps its first one.

    walks    from each node, in random order, each of `length` nodes
    lr       of the descent, falling evenly from the first to the second
    rng      a seed or np.random.Generator; with the same seed the same bits come out, whatever the threads

    Raises ValueError for a graph without edges and for counts below 1 (negatives: below 0), TypeError for what isn't a
    Graph.
    """
    must_be_graph("deep_walk", graph)
    if min(width, walks, length, window) < 1 or negatives < 0:
        raise ValueError(f"deep_walk: width {width}, walks {walks}, length {length}, window {window} and negatives "
                         f"{negatives} are to be 1 or more (negatives 0 or more)")
    joined = np.flatnonzero(graph.degrees)
    if not len(joined):
        raise ValueError(f"deep_walk: none of the {graph.nodes} nodes has a neighbour, so there is nowhere to walk; "
                         "give a graph with edges")
    rng = np.random.default_rng(rng)
    (e, w), noise = first_rows(graph.nodes, width, rng), noise_of(graph.degrees)
    starts = np.concatenate([rng.permutation(joined) for _ in range(walks)])
    for done in range(0, len(starts), AT_ONCE):
        some = random_walks(graph, starts[done:done + AT_ONCE], length, rng)
        rate = lr[0] + (lr[1] - lr[0]) * done / len(starts)
        skip_gram_descent(e, w, *pairs_of(some, window, negatives, noise, rng), rate)
    return e


def rows_of_length_1(e):
    """The rows divided by their lengths; a row of zeros stays."""
    length = np.sqrt((e * e).sum(axis=1, keepdims=True))
    return e / np.where(length > 0, length, 1)
