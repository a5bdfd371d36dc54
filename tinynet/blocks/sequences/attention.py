"""Scaled dot-product attention: every query fetches a mixture of the values, weighted by how well
its dot products with the keys agree.

    (1)  S[i,j] = scale Q[i].K[j] + mask[i,j]             csc321 score; Vaswani et al. 2017, eq. 1
    (2)  P[i,j] = exp S[i,j] / sum_j' exp S[i,j']         csc321 score; csc321 map
    (3)  Y[i] = sum_j R[i,j] P[i,j] V[j]                  csc321 context; csc321 transformer
    (4)  dV[j] = sum_i R[i,j] P[i,j] dY[i]
    (5)  dP[i,j] = R[i,j] dY[i].V[j]
    (6)  dS[i,j] = P[i,j] (dP[i,j] - sum_j' P[i,j'] dP[i,j'])       the Jacobian diag(p) - p p' times dp
    (7)  dQ[i] = scale sum_j dS[i,j] K[j]
    (8)  dK[j] = scale sum_i dS[i,j] Q[i]

Q (..., M, d)    queries
K (..., N, d)    keys
V (..., N, e)    values
Y (..., M, e)    what the queries fetch
P, S (..., M, N)     attention weights and scores
M queries, N keys with their values, d and e features; ... any leading axes (batch, heads), the same in all three
mask   broadcast to (..., M, N): boolean, True where query i may attend to key j, and then nothing is added to S;
       or floating numbers, which are added to S and get no gradient; -inf forbids
causal True: query i attends to keys j <= i only (added to the mask)
scale  1 / sqrt(d) unless it is given
keep   boolean (..., M, N), dropout of the weights (Vaswani et al. 2017, published code): R = keep / (1 - p); without
       it R = 1

A query that may attend to nothing has P = 0: it fetches zero and gets and gives no gradient.
Vaswani et al. 2017, arXiv:1706.03762.   Lesson: attention
"""

import math

import numpy as np

from tinynet import nn, threads
from tinynet.blocks.sequences.masking import check_mask, forbidden
from tinynet.blocks.units.softmax import masked_softmax
from tinynet.engine import Op
from tinynet.masks import checked_chance, module_mask
from tinynet.shapes import ShapeError, sizes


def _checked(Q, K, V, mask, scale):
    """The scale, after a look at shapes and dtypes."""
    M, d, N, _ = sizes("Q: ... M d, K: ... N d, V: ... N e", Q, K, V)
    if not Q.shape[:-2] == K.shape[:-2] == V.shape[:-2]:
        raise ShapeError(f"attention: Q {Q.shape}, K {K.shape} and V {V.shape} differ in their leading axes; "
                         "broadcast them to the same batch and heads first")
    check_mask("attention", mask, (*Q.shape[:-2], M, N), floating=True)
    return 1 / max(d, 1) ** 0.5 if scale is None else float(scale)


def _moved(S, mask):
    """S with a floating mask added to it, in place; what is not floating was dealt with elsewhere."""
    if mask is not None and mask.dtype != bool:
        S += mask                                                   # (1)
    return S


def _share(P, keep, p):
    """keep / (1 - p) in the dtype of P, or None: R."""
    if keep is None:
        return None
    if keep.dtype != bool or keep.shape != P.shape:
        raise ShapeError(f"attention: keep is {keep.dtype} of shape {keep.shape}; give booleans of the shape "
                         f"(..., M, N) = {P.shape} of the weights, True for what stays")
    return keep * P.dtype.type(1 / (1 - checked_chance(p)))


def _times(P, R):
    return P if R is None else P * R


# %% 1. The mathematics
def attention_weights(Q, K, mask=None, causal=False, scale=None):
    """The attention map P (..., M, N): how much each query takes from each key (csc321 map)."""
    scale = _checked(Q, K, K, mask, scale)
    S = _moved((Q * scale) @ K.swapaxes(-1, -2), mask)              # (1)
    return masked_softmax(S, forbidden(mask, causal, *S.shape[-2:]))        # (2)


def attention_forward(Q, K, V, mask=None, keep=None, causal=False, scale=None, p=0.0):
    scale = _checked(Q, K, V, mask, scale)
    P = attention_weights(Q, K, mask, causal, scale)
    R = _share(P, keep, p)
    return _times(P, R) @ V, (Q, K, V, P, R, causal, scale)         # (3)


def attention_backward(dY, cache):
    Q, K, V, P, R, _, scale = cache
    dV = _times(P, R).swapaxes(-1, -2) @ dY                         # (4)
    dP = _times(dY @ V.swapaxes(-1, -2), R)                         # (5)
    dS = P * (dP - (P * dP).sum(axis=-1, keepdims=True))            # (6)
    dQ = dS @ K * scale                                             # (7)
    dK = dS.swapaxes(-1, -2) @ (Q * scale)                          # (8)
    return dQ, dK, dV, None, None


# %% 2. The fast twin: over groups of heads and blocks of queries, so that a block's scores stay in the
# processor's cache and a causal block passes over the keys behind it; BLAS does the inner loops
BLOCK = 64          # queries
GROUP = 2 ** 19     # scores of all heads of a group


def _flat(*arrays):
    """The leading axes as one, H heads."""
    return [a.reshape(math.prod(a.shape[:-2]), *a.shape[-2:]) for a in arrays]


def _each_block(work, shape, causal):
    """work(heads, queries, keys) on slices that together cover all of P (H, M, N) that can differ from 0.

    A head belongs to one thread, which goes through its queries in order.
    """
    H, M, N = shape
    several = max(1, min(GROUP // (BLOCK * max(N, 1)), -(-H // threads.available())))

    def heads_from(first):
        for query in range(0, M, BLOCK):
            behind = min(query + BLOCK, M)
            work(slice(first, first + several), slice(query, behind), slice(0, min(behind, N) if causal else N))

    threads.each(heads_from, range(0, H, several))


def attention_forward_fast(Q, K, V, mask=None, keep=None, causal=False, scale=None, p=0.0):
    scale = _checked(Q, K, V, mask, scale)
    M, N = Q.shape[-2], K.shape[-2]
    P = np.zeros((*Q.shape[:-1], N), np.result_type(Q, K))
    Y = np.empty((*Q.shape[:-1], V.shape[-1]), np.result_type(P, V))
    R = _share(P, keep, p)
    q, k, v, w, y = _flat(Q, K, V, P, Y)
    r = None if R is None else R.reshape(w.shape)
    hidden = forbidden(mask, causal, M, N)
    hidden = None if hidden is None else np.broadcast_to(hidden, P.shape).reshape(w.shape)
    added = None if mask is None or mask.dtype == bool else np.broadcast_to(mask, P.shape).reshape(w.shape)

    def block(heads, queries, keys):
        weights = w[heads, queries, keys]
        np.matmul(q[heads, queries] * scale, k[heads, keys].swapaxes(1, 2), out=weights)    # (1)
        if added is not None:
            weights += added[heads, queries, keys]                              # (1)
        if hidden is not None:      # without a mask the keys before the block are all seen
            doubtful = keys if mask is not None else slice(queries.start, keys.stop)
            np.copyto(weights[..., doubtful], -np.inf, where=hidden[heads, queries, doubtful])
        masked_softmax(weights)                                                 # (2)
        weights = weights if r is None else weights * r[heads, queries, keys]
        np.matmul(weights, v[heads, keys], out=y[heads, queries])               # (3)

    _each_block(block, w.shape, causal)
    return Y, (Q, K, V, P, R, causal, scale)


def attention_backward_fast(dY, cache):
    Q, K, V, P, R, causal, scale = cache
    dQ, dK, dV = (np.zeros(a.shape, a.dtype) for a in (Q, K, V))
    q, k, v, w, dy, dq, dk, dv = _flat(Q, K, V, P, dY, dQ, dK, dV)
    r = None if R is None else R.reshape(w.shape)

    def block(heads, queries, keys):
        weights, up = w[heads, queries, keys], dy[heads, queries]
        ds = up @ v[heads, keys].swapaxes(1, 2)                         # (5)
        if r is None:
            dv[heads, keys] += weights.swapaxes(1, 2) @ up              # (4)
        else:
            dv[heads, keys] += (weights * r[heads, queries, keys]).swapaxes(1, 2) @ up      # (4)
            ds *= r[heads, queries, keys]                               # (5)
        ds -= np.vecdot(weights, ds)[..., None]                         # (6)
        ds *= weights                                                   # (6)
        dq[heads, queries] = ds @ k[heads, keys] * scale                # (7)
        dk[heads, keys] += ds.swapaxes(1, 2) @ (q[heads, queries] * scale)      # (8)

    _each_block(block, w.shape, causal)
    return dQ, dK, dV, None, None


# %% 3. The op
def _worth_blocks(Q, K, *_):
    """Heads with few scores go through NumPy all at once: a call for each block would cost more."""
    return Q.size >= 4096 and Q.ndim > 1 < K.ndim and Q.shape[-2] * K.shape[-2] >= 128 * 128


attention = Op(attention_forward, attention_backward,
               fast=(attention_forward_fast, attention_backward_fast), fast_when=_worth_blocks)


# %% 4. The module
class ScaledDotProductAttention(nn.Module):
    """Q (..., M, d), K (..., N, d), V (..., N, e), optional mask (..., M, N) -> (..., M, e).

    No parameters: the projections before it learn.  causal and scale are as in the op.
    p   chance that a weight is dropped while training; rng is a seed or np.random.Generator
    """

    def __init__(self, causal=False, scale=None, p=0.0, rng=None):
        self.causal, self.scale, self.p, self.rng = causal, scale, checked_chance(p), np.random.default_rng(rng)

    def forward(self, Q, K, V, mask=None):
        keep = module_mask(self, *Q.shape[:-1], K.shape[-2])
        return attention(Q, K, V, mask, keep, causal=self.causal, scale=self.scale, p=self.p)
