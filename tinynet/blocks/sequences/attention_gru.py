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
from tinynet.blocks.sequences.gru import GRU, through_step, to_candidate, to_gates, to_state
from tinynet.blocks.sequences.masking import check_tokens
from tinynet.blocks.sequences.rnn import sum_outer, time_first, times
from tinynet.blocks.sequences.state import Recurrent
from tinynet.blocks.units.linear import Linear
from tinynet.blocks.units.softmax import masked_softmax
from tinynet.engine import Op
from tinynet.jit import contiguous, jit
from tinynet.ops.broadcasting import summed
from tinynet.shapes import sizes


def _checked(x, h, k, A, v, W, U, b, c, s0, mask):
    D, Q, H = x.shape[-1], h.shape[-1], s0.shape[-1]
    B, T, _, N, *_ = sizes("x: B T D, h: B N Q, k: B N F, A: F H, v: F, U: H G, b: G, c: H, s0: B H",
                           x, h, k, A, v, U, b, c, s0)
    sizes(f"W: {D + Q} {3 * H}, U: {H} {3 * H}", W, U)
    check_tokens("attention_gru", mask, B, N)
    return B, T, N


def _hidden(mask):
    return None if mask is None else ~mask


# %% 1. The mathematics: s has one row more, the start, which is row T and, read as row -1, comes before row 0
def attention_gru_forward(x, h, k, A, v, W, U, b, c, s0, mask=None):
    _, T, N = _checked(x, h, k, A, v, W, U, b, c, s0, mask)
    t, alpha, s, inputs, rz, n, u = _room(x, h, k, s0, T, N)
    H = s0.shape[1]
    for i in range(T):
        t[i] = np.tanh((s[i - 1] @ A.T)[:, None] + k)               # (1)
        alpha[i] = masked_softmax(t[i] @ v, _hidden(mask))          # (1) (2)
        ctx = (alpha[i][:, None] @ h)[:, 0]                         # (3)
        inputs[i] = np.concatenate([x[:, i], ctx], axis=1)          # (4)
        g, gh = inputs[i] @ W + b, s[i - 1] @ U                     # (4)
        rz[i] = (1 + np.tanh((g + gh)[:, :2 * H] / 2)) / 2          # (4)
        r, z = rz[i, :, :H], rz[i, :, H:]
        u[i] = gh[:, 2 * H:] + c                                    # (4)
        n[i] = np.tanh(g[:, 2 * H:] + r * u[i])                     # (4)
        s[i] = n[i] + z * (s[i - 1] - n[i])                         # (4)
    return _shown(s, inputs, alpha, x.shape[2]), (h, k, A, v, W, U, t, alpha, s, inputs, rz, n, u)


def _room(x, h, k, s0, T, N):
    """Arrays for what the steps leave behind: t, alpha, s with the start in it, the GRU's inputs, rz, n and u."""
    (B, H), dtype = s0.shape, np.result_type(x, h, k, s0)
    s = np.empty((T + 1, B, H), dtype)
    s[T] = s0
    sizes_ = (T, B, N, k.shape[2]), (T, B, N), (T, B, x.shape[2] + h.shape[2]), (T, B, 2 * H), (T, B, H), (T, B, H)
    t, alpha, inputs, rz, n, u = (np.empty(size, dtype) for size in sizes_)
    return t, alpha, s, inputs, rz, n, u


def _shown(s, inputs, alpha, D):
    """y: the states, the contexts and the maps of all steps, side by side."""
    return np.concatenate([s[:-1], inputs[:, :, D:], alpha], axis=2).transpose(1, 0, 2).copy()


def attention_gru_backward(dy, cache):
    h, k, A, v, W, U, t, alpha, s, inputs, rz, n, u = cache
    (T, B, H), Q = n.shape, h.shape[2]
    D, ds = inputs.shape[2] - Q, np.zeros((B, H), s.dtype)
    dh, dk, dv = np.zeros_like(h), np.zeros_like(k), np.zeros_like(v)
    dg, du, dq = np.empty((T, B, 3 * H), s.dtype), np.empty((T, B, 3 * H), s.dtype), np.empty((T, B, len(A)), s.dtype)
    for i in reversed(range(T)):
        up_s, up_ctx, up_alpha = np.split(dy[:, i], [H, H + Q], axis=1)
        r, z, ds = rz[i, :, :H], rz[i, :, H:], ds + up_s
        dn = ds * (1 - z) * (1 - n[i] ** 2)
        dz = ds * (s[i - 1] - n[i]) * z * (1 - z)
        dr = dn * u[i] * r * (1 - r)
        dg[i], du[i] = np.concatenate([dr, dz, dn], axis=1), np.concatenate([dr, dz, r * dn], axis=1)
        dctx = up_ctx + dg[i] @ W[D:].T                             # (5)
        dalpha = up_alpha + (h @ dctx[..., None])[..., 0]           # (6)
        de = alpha[i] * (dalpha - (alpha[i] * dalpha).sum(axis=1, keepdims=True))       # (7)
        dz = de[..., None] * v * (1 - t[i] ** 2)                    # (8)
        dq[i] = dz.sum(axis=1)
        dk += dz                                                    # (11)
        dv += np.tensordot(de, t[i], 2)                             # (12)
        dh += alpha[i][..., None] * dctx[:, None]                   # (13)
        ds = ds * rz[i, :, H:] + du[i] @ U.T + dq[i] @ A            # (9)
    return _gathered(dg, du, dq, dh, dk, dv, ds, cache)


def _gathered(dg, du, dq, dh, dk, dv, ds, cache):
    """The gradients of all arrays, from those of the sums in every step: one product each."""
    h, _, _, _, W, _, _, _, s, inputs, *_ = cache
    D, H = inputs.shape[2] - h.shape[2], s.shape[2]
    before = np.roll(s, 1, axis=0)[:-1]
    dx = time_first(times(dg, W[:D]))                               # (5)
    dA = sum_outer(dq, before)                                      # (10)
    return (dx, dh, dk, dA, dv, sum_outer(inputs, dg), sum_outer(before, du), summed(dg, (0, 1)),
            summed(du[..., 2 * H:], (0, 1)), ds, None)


# %% 2. The fast twin: the words' part of the gates is one product for all steps; the GRU's kernels do what stands
# between the products, and one kernel goes once through the hidden units t on the way back
@jit
def _through_scores(de, t, v, dk, dq, dv):
    """dz of one step: added to dk, summed over the annotations into dq, and dv of each example."""
    B, N, F = t.shape
    for b in range(B):
        for f in range(F):
            dq[b, f] = 0
        for j in range(N):
            d = de[b, j]
            for f in range(F):
                dz = d * v[f] * (1 - t[b, j, f] * t[b, j, f])       # (8)
                dq[b, f] += dz
                dk[b, j, f] += dz                                   # (11)
                dv[b, f] += d * t[b, j, f]                          # (12)


def attention_gru_forward_fast(x, h, k, A, v, W, U, b, c, s0, mask=None):
    B, T, N = _checked(x, h, k, A, v, W, U, b, c, s0, mask)
    x, h, k, A, v, W, U, b, c, s0 = contiguous(x, h, k, A, v, W, U, b, c, s0)
    t, alpha, s, inputs, rz, n, u = _room(x, h, k, s0, T, N)
    D, hidden, live = x.shape[2], _hidden(mask), np.ones(B, bool)
    inputs[:, :, :D] = x.transpose(1, 0, 2)
    g = inputs[:, :, :D] @ W[:D] + b                                # (4)
    for i in range(T):
        np.add((s[i - 1] @ A.T)[:, None], k, out=t[i])              # (1)
        np.tanh(t[i], out=t[i])                                     # (1)
        alpha[i] = masked_softmax(t[i] @ v, hidden)                 # (1) (2)
        ctx = (alpha[i][:, None] @ h)[:, 0]                         # (3)
        inputs[i, :, D:] = ctx
        g[i] += ctx @ W[D:]                                         # (4)
        to_gates(g[i], s[i - 1] @ U, c, rz[i], u[i])                # (4)
        np.tanh(rz[i], out=rz[i])
        to_candidate(g[i], u[i], rz[i], n[i])                       # (4)
        np.tanh(n[i], out=n[i])
        to_state(rz[i], n[i], s[i - 1], live, s[i])                 # (4)
    return _shown(s, inputs, alpha, D), (h, k, A, v, W, U, t, alpha, s, inputs, rz, n, u)


def attention_gru_backward_fast(dy, cache):
    h, k, A, v, W, U, t, alpha, s, inputs, rz, n, u = cache
    (T, B, H), Q, live = n.shape, h.shape[2], np.ones(n.shape[1], bool)
    D, dy = inputs.shape[2] - Q, contiguous(dy.transpose(1, 0, 2))
    h, k, v, t, s, rz, n, u = contiguous(h, k, v, t, s, rz, n, u)
    ds, dk, dv = np.zeros((B, H), s.dtype), np.zeros_like(k), np.zeros((B, len(v)), s.dtype)
    dg, du, dq = np.empty((T, B, 3 * H), s.dtype), np.empty((T, B, 3 * H), s.dtype), np.empty((T, B, len(A)), s.dtype)
    dctx, Wt, Ut = np.empty((T, B, Q), s.dtype), W[D:].T.copy(), U.T.copy()         # BLAS is faster with copies
    for i in reversed(range(T)):
        up_s, up_alpha = contiguous(dy[i, :, :H]), dy[i, :, H + Q:]
        through_step(up_s, ds, rz[i], n[i], u[i], s[i - 1], live, dg[i], du[i])
        dctx[i] = dy[i, :, H:H + Q] + dg[i] @ Wt                    # (5)
        dalpha = up_alpha + (h @ dctx[i][..., None])[..., 0]        # (6)
        de = alpha[i] * (dalpha - (alpha[i] * dalpha).sum(axis=1, keepdims=True))       # (7)
        _through_scores(de, t[i], v, dk, dq[i], dv)
        ds += du[i] @ Ut + dq[i] @ A                                # (9)
    dh = np.matmul(alpha.transpose(1, 2, 0), dctx.transpose(1, 0, 2))       # (13)
    return _gathered(dg, du, dq, dh, dk, dv.sum(axis=0), ds, cache)


# %% 3. The op
def _worth_kernels(x, h, k, *_):
    """A step's hidden units must be many enough to pay for the calls."""
    return k.size >= 4096


attention_gru = Op(attention_gru_forward, attention_gru_backward,
                   fast=(attention_gru_forward_fast, attention_gru_backward_fast), fast_when=_worth_kernels)


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
