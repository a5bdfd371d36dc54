"""A decoder that looks before each step: a GRU whose input is the word before and the context that its state asks for.

    (1)  e[t,j] = v.tanh(A s[t-1] + k[j])                       csc321 score; Bahdanau et al. 2015, A.1.2
    (2)  alpha[t,j] = exp e[t,j] / sum_j' exp e[t,j']           csc321 score; csc321 map
    (3)  ctx[t] = sum_j alpha[t,j] h[j]                         csc321 context
    (4)  s[t] = GRU([x[t]; ctx[t]], s[t-1])                     csc321 seq2seq; gru (1), (2) and (4)
    (5)  [dx[t]; dctx[t]] = dg[t] W'                            dg is the gradient of what the gates take, as in gru
    (6)  dalpha[t,j] = dctx[t].h[j]                             dctx, dalpha, ds: from above and from within
    (7)  de[t,j] = alpha[t,j] (dalpha[t,j] - sum_j' alpha[t,j'] dalpha[t,j'])
    (8)  dz[t,j] = de[t,j] v (1 - tanh(A s[t-1] + k[j])^2)
    (9)  ds[t-1] += (sum_j dz[t,j]) A                           beside what the GRU itself sends back: gru (10)
    (10)  dA = sum_t (sum_j dz[t,j]) s[t-1]'
    (11)  dk[j] = sum_t dz[t,j]
    (12)  dv = sum_tj de[t,j] tanh(A s[t-1] + k[j])
    (13)  dh[j] = sum_t alpha[t,j] dctx[t]

x (B, T, D)          the words before: with teacher forcing those of the target, moved by one
h (B, N, Q)          annotations of the source
k (B, N, F)          their keys U h[j], made once for all steps
A (F, H)             from state to key
v (F)                from hidden units to score
W (D + Q, 3 H), U (H, 3 H), b (3 H), c (H)      the GRU's, reset="after"
s0 (B, H)            the first state
mask (B, N)          boolean, True where the source has a token
y (B, T, H + Q + N)  what the op returns, side by side: s, ctx and alpha
B sequences of T steps, N annotations of Q features, F hidden units of the score, H of the state

This is the order of the deck: s[t-1] asks, and its answer goes into step t.  In Luong's order (Luong et al. 2015) the
finished states ask, all at once: `additive_attention` after `gru`.
Bahdanau, Cho and Bengio 2015, arXiv:1409.0473.
"""

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.sequences.gru import GRU, gru_backward, gru_forward
from tinynet.blocks.sequences.masking import check_tokens
from tinynet.blocks.sequences.state import Recurrent
from tinynet.blocks.units.linear import Linear
from tinynet.blocks.units.softmax import masked_softmax
from tinynet.engine import Op
from tinynet.shapes import sizes


def _checked(x, h, k, A, v, W, U, b, c, s0, mask):
    D, Q, H = x.shape[-1], h.shape[-1], s0.shape[-1]
    B, T, _, N, *_ = sizes("x: B T D, h: B N Q, k: B N F, A: F H, v: F, U: H G, b: G, c: H, s0: B H",
                           x, h, k, A, v, U, b, c, s0)
    sizes(f"W: {D + Q} {3 * H}, U: {H} {3 * H}", W, U)
    check_tokens("attention_gru", mask, B, N)
    return B, T, N


def _scores(s, k, A, v, mask):
    """The hidden units t (B, N, F) of the scores, and the weights (B, N)."""
    t = np.tanh((s @ A.T)[:, None] + k)                             # (1)
    return t, masked_softmax(t @ v, None if mask is None else ~mask)        # (1) (2)


# %% 1. The mathematics: the GRU's own step is `gru` with T = 1
def attention_gru_forward(x, h, k, A, v, W, U, b, c, s0, mask=None):
    B, T, N = _checked(x, h, k, A, v, W, U, b, c, s0, mask)
    H, Q = s0.shape[1], h.shape[2]
    y, s, steps = np.empty((B, T, H + Q + N), np.result_type(x, h, W)), s0, []
    for step in range(T):
        t, alpha = _scores(s, k, A, v, mask)
        ctx = (alpha[:, None] @ h)[:, 0]                            # (3)
        new, cell = gru_forward(np.concatenate([x[:, step], ctx], axis=1)[:, None], W, U, b, c, s)      # (4)
        steps.append((t, alpha, s, cell))
        s = new[:, 0]
        y[:, step] = np.concatenate([s, ctx, alpha], axis=1)
    return y, (h, k, A, v, W, U, b, c, s0, x.shape, steps)


def attention_gru_backward(dy, cache):
    h, k, A, v, W, U, b, c, s0, shape, steps = cache
    D, H, Q = shape[2], s0.shape[1], h.shape[2]
    dx, ds = np.empty(shape, dy.dtype), np.zeros_like(s0)
    dh, dk, dA, dv, dW, dU, db, dc = (np.zeros_like(a) for a in (h, k, A, v, W, U, b, c))
    for step in reversed(range(shape[1])):
        t, alpha, s, cell = steps[step]
        up_s, up_ctx, up_alpha = np.split(dy[:, step], [H, H + Q], axis=1)
        dinput, dW_t, dU_t, db_t, dc_t, back, _ = gru_backward((ds + up_s)[:, None], cell)
        for total, part in zip((dW, dU, db, dc), (dW_t, dU_t, db_t, dc_t), strict=True):
            total += part
        dx[:, step], dctx = dinput[:, 0, :D], up_ctx + dinput[:, 0, D:]     # (5)
        dalpha = up_alpha + (h @ dctx[..., None])[..., 0]           # (6)
        de = alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True))         # (7)
        dz = de[..., None] * v * (1 - t * t)                        # (8)
        ds = back + dz.sum(axis=1) @ A                              # (9)
        dA += dz.sum(axis=1).T @ s                                  # (10)
        dk += dz                                                    # (11)
        dv += np.tensordot(de, t, 2)                                # (12)
        dh += alpha[..., None] * dctx[:, None]                      # (13)
    return dx, dh, dk, dA, dv, dW, dU, db, dc, ds, None


# %% 2. The fast twin

# %% 3. The op
attention_gru = Op(attention_gru_forward, attention_gru_backward)


# %% 4. The module
class AttentionGRU(Recurrent):
    """A GRU cell with additive attention over annotations, which its state carries with it.

    A state is (s, context, alpha, annotations, keys, mask); `begun` makes the first one.
    step   x (B, d_in), state -> state
    run    x (B, T, d_in), state -> [s; context] (B, T, width + d_annotation), the last state, whose alpha are the maps
           (B, T, N) of all steps

    A (d_hidden, width) and U (d_hidden, d_annotation) start Glorot-uniform, as do v and the GRU.
    rng is a seed or np.random.Generator.
    """

    def __init__(self, d_in, d_annotation, width, d_hidden, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.cell = GRU(d_in + d_annotation, width, rng=rng, dtype=dtype)
        self.key = Linear(d_annotation, d_hidden, rng=rng, dtype=dtype)
        self.A = nn.Parameter(nn.glorot_uniform(rng, (d_hidden, width), dtype))
        self.v = nn.Parameter(nn.glorot_uniform(rng, (1, d_hidden), dtype)[0])

    def begun(self, s0, annotations, mask=None):
        """The state before the first word: s0 (B, width), annotations (B, N, d_annotation), mask (B, N) or None."""
        return s0, None, None, annotations, self.key(annotations), mask

    def shown(self, state):
        return ops.concatenate(state[0], state[1], axis=1)

    def run(self, x, state, mask=None):
        s, _, _, h, k, tokens = state
        y = attention_gru(x, h, k, self.A, self.v, self.cell.W, self.cell.U, self.cell.b, self.cell.c, s, tokens)
        H, Q = s.shape[1], h.shape[2]
        last = y[:, -1] if y.shape[1] else None
        end = (s, None) if last is None else (last[:, :H], last[:, H:H + Q])
        return y[:, :, :H + Q], (*end, y[:, :, H + Q:], h, k, tokens)
