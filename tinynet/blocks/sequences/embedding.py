"""Embedding: every word of a vocabulary has a vector of its own, which is looked up and learnt.

    (1)  y[n] = E[t[n]], 0 where t[n] is the padding            Bengio et al. 2003, section 2; csc321 teacher
    (2)  dE[w] = sum of dy[n] over all n with t[n] = w          the same as a product with one-hot rows

E (V, D)      one row a word
t (...)       tokens: whole numbers 0..V-1
y (..., D)    the vectors
V words, D features, N tokens (all axes of t together)
padding   the token that stands for nothing, or None: its vectors are 0, and its row of E gets no gradient
Bengio, Ducharme, Vincent and Jauvin 2003, JMLR 3.
"""

import numpy as np

from tinynet import nn
from tinynet.engine import Op
from tinynet.jit import contiguous, jit
from tinynet.shapes import sizes


def check_vocabulary(block, t, V):
    """Raises TypeError for tokens that aren't whole numbers, ValueError for one outside 0..V-1."""
    if t.dtype.kind not in "iu":
        raise TypeError(f"{block}: the tokens are {t.dtype}, but must be whole numbers; encode words by a Vocabulary")
    if t.size and (t.min() < 0 or t.max() >= V):
        at = tuple(int(i) for i in np.argwhere((t < 0) | (t >= V))[0])
        raise ValueError(f"{block}: the token at position {at if len(at) > 1 else at[0] if at else ()} is {t[at]}, but "
                         f"the vocabulary has the tokens 0..{V - 1}; encode the text by the vocabulary of this net")


# %% 1. The mathematics
def embedding_forward(E, t, padding=None):
    V, _ = sizes("E: V D", E)
    check_vocabulary("embedding", t, V)
    y = E[t]                                                        # (1)
    if padding is not None:
        y[t == padding] = 0                                         # (1)
    return y, (E.shape, t, padding)


def embedding_backward(dy, cache):
    shape, t, padding = cache
    dE = np.zeros(shape, dy.dtype)
    np.add.at(dE, t, dy)                                            # (2)
    if padding is not None:
        dE[padding:padding + 1] = 0                                        # (2)
    return dE, None


# %% 2. The fast twin: the tokens are sorted, so that all rows of one word stand together; on one
# thread, because the work is over before a second one has woken up
@jit
def _sum_of_each_word(dY, order, ends, words, dE):
    D = dY.shape[1]
    for k in range(len(words)):
        for i in range(ends[k], ends[k + 1]):
            for d in range(D):
                dE[words[k], d] += dY[order[i], d]                  # (2)


def embedding_backward_fast(dy, cache):
    shape, t, padding = cache
    dE, dY = np.zeros(shape, dy.dtype), contiguous(dy).reshape(t.size, shape[1])
    order = np.argsort(t.reshape(-1), kind="stable")
    words, starts = np.unique(t.reshape(-1)[order], return_index=True)
    _sum_of_each_word(dY, order, np.append(starts, t.size), words.astype(np.int64), dE)
    if padding is not None:
        dE[padding:padding + 1] = 0                                        # (2)
    return dE, None


# %% 3. The op
def _worth_sorting(E, t):
    return t.size * E.shape[-1] >= 4096


embedding = Op(embedding_forward, embedding_backward, fast=(embedding_forward, embedding_backward_fast),
               fast_when=_worth_sorting)


# %% 4. The module
class Embedding(nn.Module):
    """t (...) whole numbers 0..words-1 -> y (..., features).

    padding  the token that stands for nothing: its vectors are 0
    scale    E starts N(0, scale^2); rng is a seed or np.random.Generator
    """

    def __init__(self, words, features, padding=None, scale=0.1, rng=None, dtype=np.float32):
        self.E = nn.Parameter((scale * np.random.default_rng(rng).normal(size=(words, features))).astype(dtype))
        self.padding = padding

    def forward(self, t):
        return embedding(self.E, t, padding=self.padding)
