"""Skip-gram with negative sampling: who meets on a walk gets rows that agree, who meets by chance rows that don't.

    (1)  s[b] = w[c[b]] . e[i[b]]
    (2)  L = -sum_b log sigma(gamma[b] s[b])                    Mikolov et al. 2013, eq. 4; Yang et al. 2016, eq. 3
    (3)  ds[b] = -dL gamma[b] sigma(-gamma[b] s[b])
    (4)  de[n] = sum over b with i[b] = n of ds[b] w[c[b]]
    (5)  dw[n] = sum over b with c[b] = n of ds[b] e[i[b]]

e, de (N, D)     the embedding, a row a node       w, dw (M, D)   a row for each node as context
pairs (B, 2)     the nodes i[b] and c[b]
gamma (B)        +1 for a pair that was met, -1 for one drawn at random
N nodes, M contexts, D features, B pairs

L is a sum, not a mean, because word2vec takes a step for each pair: `skip_gram_descent` does, one pair after the other,
each with the rows that the pair before has left; for the rows of one pair both (4) and (5) use the old values.
Mikolov et al. 2013, arXiv:1310.4546.  Perozzi et al. 2014, arXiv:1403.6652.   Lesson: graph_baselines
"""

import numpy as np

from tinynet.engine import Op
from tinynet.jit import Kernel, contiguous, floating, parallel_jit, prange
from tinynet.shapes import ShapeError, sizes
from tinynet.sparse import pointers


def _checked(e, w, pairs, gamma):
    """pairs and gamma, once it is sure that all fits."""
    pairs, gamma = np.asarray(pairs), np.asarray(gamma)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise ShapeError(f"skip_gram: pairs holds {pairs.dtype} {pairs.shape}, but must be whole numbers (B, 2), a row "
                         "(i, c) a pair")
    sizes("e: N D, w: M D, pairs: B 2, gamma: B", e, w, pairs, gamma)
    for column, name, rows in ((0, "e", len(e)), (1, "w", len(w))):
        if len(pairs) and not 0 <= pairs[:, column].min() <= pairs[:, column].max() < rows:
            wrong = np.flatnonzero((pairs[:, column] < 0) | (pairs[:, column] >= rows))[0]
            raise ValueError(f"skip_gram: pair {wrong} is {tuple(pairs[wrong].tolist())}, but {name} has {rows} rows; "
                             "count from 0")
    if (gamma * gamma != 1).any():
        raise ValueError("skip_gram: gamma holds other numbers than +1 and -1; give +1 for a pair that was met, -1 for "
                         "one drawn at random")
    return pairs, gamma


# %% 1. The mathematics
def skip_gram_forward(e, w, pairs=None, gamma=None):
    """L, a number.  Raises ShapeError where the arrays don't fit, ValueError for a row that isn't there and for a
    gamma other than +1 and -1.
    """
    pairs, gamma = _checked(e, w, pairs, gamma)
    i, c = pairs.T
    s = np.einsum("bd,bd->b", w[c], e[i])                               # (1)
    z = gamma.astype(floating(s)) * s
    L = np.logaddexp(0, -z).astype(z.dtype).sum()                       # (2)
    with np.errstate(over="ignore"):            # e^z = inf gives the right 1 / inf = 0
        share = gamma / (1 + np.exp(z))
    return L, (e, w, pairs, share.astype(z.dtype))


def skip_gram_backward(dL, cache):
    e, w, pairs, share = cache
    i, c = pairs.T
    ds = -dL * share                                                    # (3)
    de, dw = np.zeros(e.shape, ds.dtype), np.zeros(w.shape, ds.dtype)
    np.add.at(de, i, ds[:, None] * w[c])                                # (4)
    np.add.at(dw, c, ds[:, None] * e[i])                                # (5)
    return de, dw


# %% 2. The fast twin: the pairs sorted by the row they change, so that each row owns its sum
@parallel_jit
def _products(e, w, pairs, s):
    for b in prange(len(s)):
        s[b] = 0
        for d in range(e.shape[1]):
            s[b] += w[pairs[b, 1], d] * e[pairs[b, 0], d]               # (1)


@parallel_jit
def _gathered(ds, order, first, other, x, dx):
    """dx[n] = sum over the pairs b of row n of ds[b] x[other[b]]."""
    for n in prange(len(dx)):
        for k in range(first[n], first[n + 1]):
            for d in range(x.shape[1]):
                dx[n, d] += ds[order[k]] * x[other[order[k]], d]        # (4) (5)


def skip_gram_forward_fast(e, w, pairs=None, gamma=None):
    pairs, gamma = _checked(e, w, pairs, gamma)
    e, w = contiguous(e, w)
    s = np.empty(len(pairs), e.dtype)
    _products(e, w, pairs, s)                                           # (1)
    z = gamma.astype(s.dtype) * s
    L = np.logaddexp(0, -z).astype(z.dtype).sum()                       # (2)
    with np.errstate(over="ignore"):
        share = gamma / (1 + np.exp(z))
    return L, (e, w, pairs, share.astype(z.dtype))


def skip_gram_backward_fast(dL, cache):
    e, w, pairs, share = cache
    e, w, ds = contiguous(e, w, (-dL * share).astype(share.dtype))      # (3)
    de, dw = np.zeros_like(e), np.zeros_like(w)
    i, c = pairs.T
    _gathered(ds, np.argsort(i, kind="stable"), pointers(i, len(de)), c, w, de)         # (4)
    _gathered(ds, np.argsort(c, kind="stable"), pointers(c, len(dw)), i, e, dw)         # (5)
    return de, dw


# %% 3. The op
skip_gram = Op(skip_gram_forward, skip_gram_backward, fast=(skip_gram_forward_fast, skip_gram_backward_fast))


# %% 4. Descent pair by pair, in place of a module
# One thread: each pair needs the rows that the one before has left.  Not `jit`, because the sum over d vectorises only
# where its terms may be added in another order.
def _descend(e, w, pairs, gamma, lr):
    D = e.shape[1]
    for b in range(len(pairs)):
        i, c, s = pairs[b, 0], pairs[b, 1], e.dtype.type(0)
        for d in range(D):
            s += w[c, d] * e[i, d]                                      # (1)
        step = lr * gamma[b] / (e.dtype.type(1) + np.exp(gamma[b] * s))         # (3), -lr ds
        for d in range(D):
            old = e[i, d]
            e[i, d] += step * w[c, d]                                   # (4)
            w[c, d] += step * old                                       # (5)


_descend = Kernel(_descend, fastmath={"reassoc", "contract"})


def skip_gram_descent(e, w, pairs, gamma, lr):
    """A step of length lr on each pair in turn; e (N, D) and w (M, D), C-contiguous float32 or float64, are changed in
    place.  Raises what `skip_gram` raises.
    """
    pairs, gamma = _checked(e, w, pairs, gamma)
    _descend(e, w, pairs, gamma.astype(e.dtype, copy=False), e.dtype.type(lr))
