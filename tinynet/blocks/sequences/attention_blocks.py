"""Speed only: attention on blocks of 64 queries of some heads, in NumPy.

Why it is faster than the whole map: a block's scores stay in the processor's cache, a causal block passes over the
keys behind it, and the heads are shared among the threads.  No array of all scores is made.

    (1)  S[i,j] = scale Q[i].K[j] + mask[i,j]               of a block of queries and the keys they may see
    (2)  L[i] = log sum_j exp S[i,j],  P[i,j] = exp(S[i,j] - L[i])
    (3)  Y[i] = sum_j R[i,j] P[i,j] V[j]                    R = keep / (1 - p)
    (4)  g[i] = sum_j P[i,j] R[i,j] dY[i].V[j]
    (5)  dS[i,j] = P[i,j] (R[i,j] dY[i].V[j] - g[i])
    (6)  dV[j] = sum_i R[i,j] P[i,j] dY[i]
    (7)  dQ[i] = scale sum_j dS[i,j] K[j],  dK[j] = scale sum_i dS[i,j] Q[i]

Q, Y, dY (H, M, d or e)   K, V (H, N, d or e)   L (H, M)   H heads of all batches
A helper of attention, its fast twin where NumPy has another BLAS than OpenBLAS (see attention_tiles).
"""

import math

import numpy as np

from tinynet import threads
from tinynet.blocks.sequences.masking import forbidden

BLOCK = 64          # queries
GROUP = 2 ** 19     # scores of all heads of a group


def _heads(*arrays):
    """The leading axes as one, H heads."""
    return [a.reshape(math.prod(a.shape[:-2]), *a.shape[-2:]) for a in arrays]


class _Scores:
    """S, P and R of a block."""

    def __init__(self, Q, K, mask, keep, causal, p, scale):
        self.q, self.k = _heads(Q, K)
        self.causal, self.scale = causal, scale
        self.shape = *self.q.shape[:2], self.k.shape[1]
        self.mask = None if mask is None else np.broadcast_to(mask, (*Q.shape[:-2], *self.shape[1:]))
        self.keep = None if keep is None else keep.reshape(self.shape)
        self.share = np.result_type(Q, K, np.float32).type(1 / (1 - p))

    def each(self, work):
        """work(heads, queries, keys) on slices that together cover all scores that count.

        A head belongs to one thread, which goes through its queries in order.
        """
        H, M, N = self.shape
        several = max(1, min(GROUP // (BLOCK * max(N, 1)), -(-H // threads.available())))

        def heads_from(first):
            for query in range(0, M, BLOCK):
                behind = min(query + BLOCK, M)
                work(slice(first, first + several), slice(query, behind),
                     slice(0, min(behind, N) if self.causal else N))

        threads.each(heads_from, range(0, H, several))

    def of(self, heads, queries, keys):
        S = self.q[heads, queries] * self.scale @ self.k[heads, keys].swapaxes(1, 2)            # (1)
        mask = None
        if self.mask is not None:
            lead = self.mask.shape[:-2] or (1,)
            numbers = np.unravel_index(np.arange(self.shape[0])[heads], lead)
            mask = self.mask.reshape(*lead, *self.shape[1:])[(*numbers, queries, keys)]
            if mask.dtype != bool:
                S += mask                                                                       # (1)
        hidden = forbidden(mask, False, *S.shape[1:])
        if hidden is not None:
            np.copyto(S, -np.inf, where=hidden)
        if self.causal:             # what lies before the block is seen whole
            last = S[..., queries.start:]
            np.copyto(last, -np.inf, where=~np.tri(*last.shape[1:], dtype=bool))
        return S

    def weights(self, *where):
        """P and L."""
        S = self.of(*where)
        top = S.max(axis=-1, keepdims=True, initial=-np.inf)
        S -= np.where(top == -np.inf, 0, top)
        np.exp(S, out=S)
        s = S.sum(axis=-1, keepdims=True)
        S /= s + (s == 0)                                                                       # (2)
        return S, np.where(s == 0, np.inf, top + np.log(s + (s == 0)))                          # (2)

    def kept(self, a, heads, queries, keys):
        """R a, in place."""
        if self.keep is not None:
            a *= self.keep[heads, queries, keys]
            a *= self.share
        return a


def forward(Q, K, V, mask, keep, causal, p, scale):
    """Y (..., M, e) and L (..., M)."""
    scores = _Scores(Q, K, mask, keep, causal, p, scale)
    dtype = np.result_type(Q, K, V)
    Y, L = np.empty((*Q.shape[:-1], V.shape[-1]), dtype), np.empty((*Q.shape[:-1], 1), dtype)
    v, y, l = _heads(V, Y, L)

    def block(*where):
        heads, queries, keys = where
        P, l[heads, queries] = scores.weights(*where)
        np.matmul(scores.kept(P, *where), v[heads, keys], out=y[heads, queries])                # (3)

    scores.each(block)
    return Y, L[..., 0]


def backward(dY, Q, K, V, Y, L, mask, keep, causal, p, scale):
    scores = _Scores(Q, K, mask, keep, causal, p, scale)
    dQ, dK, dV = (np.zeros(a.shape, dY.dtype) for a in (Q, K, V))
    q, k, v, dy, dq, dk, dv = _heads(Q, K, V, dY, dQ, dK, dV)

    def block(*where):
        heads, queries, keys = where
        up = dy[heads, queries]
        P, _ = scores.weights(*where)
        dS = scores.kept(up @ v[heads, keys].swapaxes(1, 2), *where)                            # (5)
        dS -= np.vecdot(P, dS)[..., None]                                                       # (4) (5)
        dS *= P                                                                                 # (5)
        dv[heads, keys] += scores.kept(P, *where).swapaxes(1, 2) @ up                           # (6)
        dq[heads, queries] = dS @ k[heads, keys] * scale                                        # (7)
        dk[heads, keys] += dS.swapaxes(1, 2) @ (q[heads, queries] * scale)                      # (7)

    scores.each(block)
    return dQ, dK, dV
