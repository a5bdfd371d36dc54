"""Scaled dot-product attention: every query fetches a mixture of the values, weighted by how well
its dot products with the keys agree.

    (1)  S[i,j] = scale Q[i].K[j] + mask[i,j]             csc321 score; Vaswani et al. 2017, eq. 1
    (2)  L[i] = log sum_j exp S[i,j]                      so that (3) is exp S over its sum
    (3)  P[i,j] = exp(S[i,j] - L[i])                      csc321 score; csc321 map
    (4)  Y[i] = sum_j R[i,j] P[i,j] V[j]                  csc321 context; csc321 transformer
    (5)  dV[j] = sum_i R[i,j] P[i,j] dY[i]
    (6)  dP[i,j] = R[i,j] dY[i].V[j]
    (7)  g[i] = sum_j P[i,j] dP[i,j]                      = dY[i].Y[i], which the fast twin uses
    (8)  dS[i,j] = P[i,j] (dP[i,j] - g[i])                the Jacobian diag(p) - p p' times dp
    (9)  dQ[i] = scale sum_j dS[i,j] K[j]
    (10)  dK[j] = scale sum_i dS[i,j] Q[i]

Q (..., M, d)    queries
K (..., N, d)    keys
V (..., N, e)    values
Y (..., M, e)    what the queries fetch
P, S (..., M, N)     attention weights and scores; L (..., M)
M queries, N keys with their values, d and e features; ... any leading axes (batch, heads), the same in all three
mask   broadcast to (..., M, N): boolean, True where query i may attend to key j, and then nothing is added to S;
       or floating numbers, which are added to S and get no gradient; -inf forbids
causal True: query i attends to keys j <= i only (added to the mask)
scale  1 / sqrt(d) unless it is given
keep   boolean (..., M, N), dropout of the weights (Vaswani et al. 2017, published code): R = keep / (1 - p); without
       it R = 1

A query that may attend to nothing has P = 0: it fetches zero and gets and gives no gradient.  (L is inf there.)
P is large, so the backward pass computes it again (the tiles of the fast twin from L, which they keep for that);
`attention_weights` gives it on request.
Vaswani et al. 2017, arXiv:1706.03762.   Lesson: attention
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.sequences import attention_blocks, attention_tiles
from tinynet.blocks.sequences.masking import check_mask, forbidden
from tinynet.blocks.units.softmax import log_sum, sum_exp
from tinynet.engine import Op
from tinynet.masks import checked_chance, module_mask
from tinynet.shapes import ShapeError, sizes


def _checked(Q, K, V, mask, keep, p, scale):
    """The scale, after a look at shapes and dtypes."""
    M, d, N, _ = sizes("Q: ... M d, K: ... N d, V: ... N e", Q, K, V)
    if not Q.shape[:-2] == K.shape[:-2] == V.shape[:-2]:
        raise ShapeError(f"attention: Q {Q.shape}, K {K.shape} and V {V.shape} differ in their leading axes; "
                         "broadcast them to the same batch and heads first")
    check_mask("attention", mask, (*Q.shape[:-2], M, N), floating=True)
    if keep is not None and (keep.dtype != bool or keep.shape != (*Q.shape[:-1], N)):
        raise ShapeError(f"attention: keep is {keep.dtype} of shape {keep.shape}; give booleans of the shape "
                         f"(..., M, N) = {(*Q.shape[:-1], N)} of the weights, True for what stays")
    checked_chance(p)
    return 1 / max(d, 1) ** 0.5 if scale is None else float(scale)


# %% 1. The mathematics
def _scores(Q, K, mask, causal, scale):
    S = (Q * scale) @ K.swapaxes(-1, -2)                            # (1)
    if mask is not None and mask.dtype != bool:
        S += mask                                                   # (1)
    hidden = forbidden(mask, causal, *S.shape[-2:])
    if hidden is not None:
        np.copyto(S, -np.inf, where=hidden)
    return S


def _weights(S):
    """P and L; where all is forbidden L is inf, so that P is 0."""
    nothing = np.zeros((2, *S.shape[:-1]), S.dtype)                 # without keys
    L = log_sum(*(sum_exp(S) if S.shape[-1] else nothing))          # (2)
    L = np.where(np.isneginf(L.real), L.dtype.type(np.inf), L)
    return np.exp(S - L[..., None]), L                              # (3)


def _dropped(a, keep, p):
    """R a, R = keep / (1 - p)."""
    return a if keep is None else a * (keep * a.dtype.type(1 / (1 - p)))


def attention_weights(Q, K, mask=None, causal=False, scale=None):
    """The attention map P (..., M, N): how much each query takes from each key (csc321 map)."""
    return _weights(_scores(Q, K, mask, causal, _checked(Q, K, K, mask, None, 0.0, scale)))[0]


def attention_forward(Q, K, V, mask=None, keep=None, causal=False, scale=None, p=0.0):
    scale = _checked(Q, K, V, mask, keep, p, scale)
    S = _scores(Q, K, mask, causal, scale)
    P, L = _weights(S)
    Y = _dropped(P, keep, p) @ V                                    # (4)
    return Y, (Q, K, V, Y, L, mask, keep, causal, p, scale)


def attention_backward(dY, cache):
    Q, K, V, _, _, mask, keep, causal, p, scale = cache
    P, _ = _weights(_scores(Q, K, mask, causal, scale))
    dV = _dropped(P, keep, p).swapaxes(-1, -2) @ dY                 # (5)
    dP = _dropped(dY @ V.swapaxes(-1, -2), keep, p)                 # (6)
    g = (P * dP).sum(axis=-1, keepdims=True)                        # (7)
    dS = P * (dP - g)                                               # (8)
    dQ = dS @ K * scale                                             # (9)
    dK = dS.swapaxes(-1, -2) @ (Q * scale)                          # (10)
    return dQ, dK, dV, None, None


# %% 2. The fast twin: in compiled tiles that OpenBLAS multiplies; where NumPy has another BLAS, in blocks of queries
def _way(*arrays):
    return attention_tiles if attention_tiles.fit(*arrays) else attention_blocks


def attention_forward_fast(Q, K, V, mask=None, keep=None, causal=False, scale=None, p=0.0):
    scale = _checked(Q, K, V, mask, keep, p, scale)
    Y, L = _way(Q, K, V).forward(Q, K, V, mask, keep, causal, p, scale)
    return Y, (Q, K, V, Y, L, mask, keep, causal, p, scale)


def attention_backward_fast(dY, cache):
    return *_way(*cache[:3]).backward(dY, *cache), None, None


# %% 3. The op
def worth_tiles(queries, multiplications):
    """Few products go through NumPy all at once: kernels would spend their time on beginning."""
    return queries >= 16 and multiplications >= 2**20


attention = Op(attention_forward, attention_backward, fast=(attention_forward_fast, attention_backward_fast),
               fast_when=lambda Q, K, *_: Q.ndim > 1 < K.ndim and worth_tiles(Q.shape[-2], Q.size * K.shape[-2]))


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
