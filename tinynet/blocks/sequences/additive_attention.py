"""Additive attention: a small network scores how well each annotation suits the decoder's state.

    (1)  e[i,j] = v.tanh(W s[i] + U h[j])                       csc321 score; Bahdanau et al. 2015, A.1.2
    (2)  alpha[i,j] = exp e[i,j] / sum_j' exp e[i,j']           csc321 score; csc321 map
    (3)  c[i] = sum_j alpha[i,j] h[j]                           csc321 context
    (4)  dalpha[i,j] = dc[i].h[j]
    (5)  de[i,j] = alpha[i,j] (dalpha[i,j] - sum_j' alpha[i,j'] dalpha[i,j'])
    (6)  dv = sum_ij de[i,j] t[i,j]                             t = tanh(z), z = W s[i] + U h[j]
    (7)  dz[i,j] = de[i,j] v (1 - t[i,j]^2)
    (8)  ds[i] = W' sum_j dz[i,j]
    (9)  dW = sum_i (sum_j dz[i,j]) s[i]'
    (10)  dU = sum_j (sum_i dz[i,j]) h[j]'
    (11)  dh[j] = U' sum_i dz[i,j] + sum_i alpha[i,j] dc[i]     through the score and through the mixture

s (..., M, p)   h (..., N, q)   W (A, p)   U (A, q)   v (A)   c (..., M, q)   e, alpha (..., M, N)   t, z (..., M, N, A)
M decoder states of p features, N annotations of q, A hidden units; ... any leading axes, the same in s and h
mask   boolean, broadcast to (..., M, N): True where state i may attend to annotation j

A state that may attend to nothing has alpha = 0: its context is zero, and so are its gradients.
t is large, so both twins compute it again in the backward pass rather than keep it.
Bahdanau et al. 2015, arXiv:1409.0473.   Lesson: attention
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.sequences.masking import check_mask, forbidden
from tinynet.blocks.units.softmax import masked_softmax
from tinynet.engine import Op
from tinynet.shapes import ShapeError, sizes


def _check(s, h, W, U, v, mask):
    M, _, N, _, _ = sizes("s: ... M p, h: ... N q, W: A p, U: A q, v: A", s, h, W, U, v)
    if s.shape[:-2] != h.shape[:-2]:
        raise ShapeError(f"additive_attention: s {s.shape} and h {h.shape} differ in their leading axes; "
                         "broadcast them to the same batch first")
    check_mask("additive_attention", mask, (*s.shape[:-2], M, N))


def _hidden_units(Ws, Uh):
    return np.tanh(Ws[..., :, None, :] + Uh[..., None, :, :])       # (1)


def _sum_outer(a, b):
    """The sum of the outer products a[n] b[n]' over all leading axes n."""
    n = tuple(range(a.ndim - 1))
    return np.tensordot(a, b, (n, n))


def _through_softmax(dc, h, alpha):
    dalpha = dc @ h.swapaxes(-1, -2)                                # (4)
    return alpha * (dalpha - (alpha * dalpha).sum(axis=-1, keepdims=True))      # (5)


def _through_projections(dWs, dUh, dc, s, h, W, U, alpha):
    """From the gradients of W s[i] and U h[j] to ds, dh, dW, dU."""
    ds = dWs @ W                                                    # (8)
    dh = dUh @ U + alpha.swapaxes(-1, -2) @ dc                      # (11)
    return ds, dh, _sum_outer(dWs, s), _sum_outer(dUh, h)           # (9) (10)


# %% 1. The mathematics
def additive_attention_weights(s, h, W, U, v, mask=None):
    """The attention map alpha (..., M, N): how much each state takes from each annotation (csc321 map)."""
    _check(s, h, W, U, v, mask)
    e = _hidden_units(s @ W.T, h @ U.T) @ v                         # (1)
    return masked_softmax(e, forbidden(mask, False, *e.shape[-2:]))         # (2)


def additive_attention_forward(s, h, W, U, v, mask=None):
    _check(s, h, W, U, v, mask)
    alpha = additive_attention_weights(s, h, W, U, v, mask)
    return alpha @ h, (s, h, W, U, v, alpha)                        # (3)


def additive_attention_backward(dc, cache):
    s, h, W, U, v, alpha = cache
    t = _hidden_units(s @ W.T, h @ U.T)
    de = _through_softmax(dc, h, alpha)
    dv = np.tensordot(de, t, de.ndim)                               # (6)
    dz = de[..., None] * v * (1 - t * t)                            # (7)
    return *_through_projections(dz.sum(axis=-2), dz.sum(axis=-3), dc, s, h, W, U, alpha), dv, None


# %% 2. The fast twin: over blocks of states so small that their hidden units stay in the
# processor's cache; NumPy's tanh is vectorised, which numba's is not
BLOCK = 65536       # hidden units


def _blocks(Ws, Uh):
    """(leading index, states, t of these states with all annotations)."""
    M, (N, A) = Ws.shape[-2], Uh.shape[-2:]
    step = max(BLOCK // max(N * A, 1), 1)
    for n in np.ndindex(Ws.shape[:-2]):
        for first in range(0, M, step):
            states = slice(first, first + step)
            yield n, states, _hidden_units(Ws[n][states], Uh[n])


def additive_attention_forward_fast(s, h, W, U, v, mask=None):
    _check(s, h, W, U, v, mask)
    Ws, Uh = s @ W.T, h @ U.T
    alpha = np.empty((*s.shape[:-1], h.shape[-2]), np.result_type(Ws, Uh, v))
    for n, states, t in _blocks(Ws, Uh):
        alpha[n][states] = t @ v                                    # (1)
    masked_softmax(alpha, forbidden(mask, False, *alpha.shape[-2:]))        # (2)
    return alpha @ h, (s, h, W, U, v, alpha)                        # (3)


def additive_attention_backward_fast(dc, cache):
    s, h, W, U, v, alpha = cache
    de = _through_softmax(dc, h, alpha)
    Ws, Uh = s @ W.T, h @ U.T
    dv, dWs, dUh = np.zeros_like(v), np.empty_like(Ws), np.zeros_like(Uh)
    for n, states, t in _blocks(Ws, Uh):
        d = de[n][states]
        dv += np.tensordot(d, t, 2)                                 # (6)
        t *= t
        slope = np.subtract(1, t, out=t)                            # (7)
        dWs[n][states] = (d[:, None, :] @ slope)[:, 0] * v          # (7)
        dUh[n] += (d.T[:, None, :] @ slope.swapaxes(0, 1))[:, 0] * v        # (7)
    return *_through_projections(dWs, dUh, dc, s, h, W, U, alpha), dv, None


# %% 3. The op
def _worth_blocks(s, h, W, U, v, *_):
    """With few hidden units an example, NumPy does all examples at once."""
    return s.size >= 4096 and s.ndim > 1 < h.ndim and s.shape[-2] * h.shape[-2] * v.size >= 4096


additive_attention = Op(additive_attention_forward, additive_attention_backward,
                        fast=(additive_attention_forward_fast, additive_attention_backward_fast),
                        fast_when=_worth_blocks)


# %% 4. The module
class AdditiveAttention(nn.Module):
    """s (..., M, d_state), h (..., N, d_annotation), optional boolean mask (..., M, N) -> (..., M, d_annotation).

    W (d_hidden, d_state), U (d_hidden, d_annotation) and v (d_hidden) start Glorot-uniform;
    rng is a seed or np.random.Generator.
    """

    def __init__(self, d_state, d_annotation, d_hidden, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.W = nn.Parameter(nn.glorot_uniform(rng, (d_hidden, d_state), dtype))
        self.U = nn.Parameter(nn.glorot_uniform(rng, (d_hidden, d_annotation), dtype))
        self.v = nn.Parameter(nn.glorot_uniform(rng, (1, d_hidden), dtype)[0])

    def forward(self, s, h, mask=None):
        return additive_attention(s, h, self.W, self.U, self.v, mask)
