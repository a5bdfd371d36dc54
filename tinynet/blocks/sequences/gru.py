"""Gated recurrent unit: a reset gate chooses what of the old state is read, an update gate what of it is kept.

    (1)  r[t] = sigma(x[t] Wr + h[t-1] Ur + br), z[t] likewise      Cho et al. 2014, eq. 5 and 6; csc321 birnn
    (2)  n[t] = tanh(x[t] Wn + bn + r[t] u[t]), u[t] = h[t-1] Un + c            reset="after": cuDNN, PyTorch
    (3)  n[t] = tanh(x[t] Wn + bn + (r[t] h[t-1]) Un)                           reset="before": Cho et al. 2014, eq. 8
    (4)  h[t] = n[t] + z[t] (h[t-1] - n[t])                         Cho et al. 2014, eq. 7: z = 1 keeps the old state
    (5)  h[t] = h[t-1]                                              where mask[t] is False
    (6)  dn[t] = dH[t] (1 - z[t]) (1 - n[t]^2)                      d of what tanh takes
    (7)  dz[t] = dH[t] (h[t-1] - n[t]) z[t] (1 - z[t])              d of what sigma takes; so is dr
    (8)  dr[t] = dn[t] u[t] r[t] (1 - r[t])                         after
    (9)  dr[t] = (dn[t] Un') h[t-1] r[t] (1 - r[t])                 before
    (10)  dH[t-1] = dh[t-1] + dH[t] z[t] + [dr dz r dn][t] U'       after; csc321 rnn-jacobian
    (11)  dH[t-1] = dh[t-1] + dH[t] z[t] + dr[t] Ur' + dz[t] Uz' + r[t] (dn[t] Un')         before
    (12)  dx[t] = [dr dz dn][t] W'
    (13)  dW = sum_t x[t]' [dr dz dn][t]
    (14)  dU = sum_t h[t-1]' [dr dz r dn][t]                        before: of Un sum_t (r[t] h[t-1])' dn[t]
    (15)  db = sum_t [dr dz dn][t]
    (16)  dc = sum_t r[t] dn[t]                                     after

x (B, T, D)      the sequences
W (D, 3 H)       W = [Wr Wz Wn], from input to gates and candidate
U (H, 3 H)       U = [Ur Uz Un], from state to the same
b (3 H)          b = [br bz bn]
c (H)            the second bias of reset="after": it stands inside r (.), so b can't take it over; None before
h0 (B, H)        the state before the first step, 0 unless it is given; in the equations h[-1]
mask (B, T)      boolean, True where a sequence has a token
h (B, T, H)      the states
r, z, n (B, T, H)    reset gate, update gate, candidate
B sequences of T steps, D features in, H hidden units   sums run over the examples, too

The two forms of the reset gate give other outputs from the same weights (csc321 erratum 12).
Cho et al. 2014, arXiv:1406.1078.
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.sequences.masking import check_tokens
from tinynet.blocks.sequences.rnn import sum_outer, time_first, times, tokens_first
from tinynet.blocks.sequences.state import Recurrent, last
from tinynet.engine import Op, Tensor
from tinynet.jit import contiguous, jit
from tinynet.ops.broadcasting import summed
from tinynet.shapes import ShapeError, sizes


def _checked(x, W, U, b, c, h0, mask, reset):
    B, T, _, G, H = sizes("x: B T D, W: D G, U: H G, b: G, c: H, h0: B H", x, W, U, b, c, h0)
    if G != 3 * H:
        raise ShapeError(f"gru: W (D G) = {W.shape} and U (H G) = {U.shape}: G is {G}, but for {H} hidden units with "
                         f"two gates and a candidate each it must be 3 H = {3 * H}")
    if reset not in ("after", "before") or (reset == "before" and c is not None):
        raise ValueError(f'gru: reset is {reset!r} and c is {"given" if c is not None else "None"}; choose "after", '
                         'or "before" without c')
    check_tokens("gru", mask, B, T)
    return B, T, H


def _sigma(z):
    return (1 + np.tanh(z / 2)) / 2


# %% 1. The mathematics: h has one row more, the start, which is row T and, read as row -1, comes before row 0
def gru_forward(x, W, U, b, c=None, h0=None, mask=None, reset="after"):
    B, T, H = _checked(x, W, U, b, c, h0, mask, reset)
    x, m = time_first(x), tokens_first(mask)
    g = x @ W + b                                                   # (1) (2) (3)
    h = np.zeros((T + 1, B, H), np.result_type(g, U))
    h[T] = 0 if h0 is None else h0
    rz, n, u = np.empty((T, B, 2 * H), h.dtype), np.empty((T, B, H), h.dtype), np.empty((T, B, H), h.dtype)
    for t in range(T):
        rz[t] = _sigma(g[t, :, :2 * H] + h[t - 1] @ U[:, :2 * H])           # (1)
        r, z = rz[t, :, :H], rz[t, :, H:]
        if reset == "after":
            u[t] = h[t - 1] @ U[:, 2 * H:] + (0 if c is None else c)        # (2)
            n[t] = np.tanh(g[t, :, 2 * H:] + r * u[t])              # (2)
        else:
            u[t] = r * h[t - 1]                                     # (3)
            n[t] = np.tanh(g[t, :, 2 * H:] + u[t] @ U[:, 2 * H:])   # (3)
        h[t] = n[t] + z * (h[t - 1] - n[t])                         # (4)
        if m is not None:
            np.copyto(h[t], h[t - 1], where=~m[t])                  # (5)
    return time_first(h[:T]).copy(), (x, W, U, h, rz, n, u, m, c is not None, h0 is not None, reset)


def gru_backward(dh, cache):
    _, _, U, h, rz, n, u, m, _, _, reset = cache
    T, B, H = n.shape
    dh, Un = time_first(dh), U[:, 2 * H:]
    dg, du = np.empty((T, B, 3 * H), h.dtype), np.empty((T, B, 3 * H), h.dtype)     # by x W + b, and by h U + c
    dH = np.zeros((B, H), h.dtype)
    for t in reversed(range(T)):
        r, z = rz[t, :, :H], rz[t, :, H:]
        dH = dH + dh[t]                                             # (10) (11)
        live = dH if m is None else dH * m[t]
        dn = live * (1 - z) * (1 - n[t] ** 2)                       # (6)
        dz = live * (h[t - 1] - n[t]) * z * (1 - z)                 # (7)
        if reset == "after":
            dr = dn * u[t] * r * (1 - r)                            # (8)
            du[t] = np.concatenate([dr, dz, r * dn], axis=1)        # (10)
            back = live * z + du[t] @ U.T                           # (10)
        else:
            through = dn @ Un.T
            dr = through * h[t - 1] * r * (1 - r)                   # (9)
            du[t] = np.concatenate([dr, dz, dn], axis=1)            # (11)
            back = live * z + du[t, :, :2 * H] @ U[:, :2 * H].T + r * through       # (11)
        dg[t] = np.concatenate([dr, dz, dn], axis=1)                # (12)
        dH = back if m is None else np.where(m[t], back, dH)
    return _gathered(dg, du, dH, cache)


def _gathered(dg, du, dH, cache):
    """The gradients of all arrays, from those of the sums in every step: one product each."""
    x, W, U, h, _, _, u, _, biased, started, reset = cache
    H = len(U)
    dx = time_first(times(dg, W))                                   # (12)
    dW = sum_outer(x, dg)                                           # (13)
    dU = sum_outer(np.roll(h, 1, axis=0)[:-1], du)                  # (14)
    if reset == "before":
        dU[:, 2 * H:] = sum_outer(u, dg[..., 2 * H:])               # (14)
    db = summed(dg, (0, 1))                                         # (15)
    dc = summed(du[..., 2 * H:], (0, 1)) if biased else None        # (16)
    return dx, dW, dU, db, dc, dH if started else None, None


# %% 2. The fast twin of reset="after": a step is one product with U and one tanh over both gates, and kernels do in one
# pass each what stands between them; sigma(x) = (1 + tanh(x / 2)) / 2 lets NumPy's vectorised tanh serve both
@jit
def to_gates(g, gh, c, rz, u):
    """What tanh takes for both gates, and u."""
    (B, H), half = u.shape, g.dtype.type(0.5)
    for b in range(B):
        for k in range(2 * H):
            rz[b, k] = half * (g[b, k] + gh[b, k])                  # (1)
        for k in range(H):
            u[b, k] = gh[b, 2 * H + k] + c[k]                       # (2)


@jit
def to_candidate(g, u, rz, n):
    """The gates from their tanh, and what the candidate's tanh takes."""
    (B, H), half = u.shape, g.dtype.type(0.5)
    for b in range(B):
        for k in range(2 * H):
            rz[b, k] = half + half * rz[b, k]                       # (1)
        for k in range(H):
            n[b, k] = g[b, 2 * H + k] + rz[b, k] * u[b, k]          # (2)


@jit
def to_state(rz, n, before, live, h):
    B, H = n.shape
    for b in range(B):
        for k in range(H):
            new = n[b, k] + rz[b, H + k] * (before[b, k] - n[b, k])         # (4)
            h[b, k] = new if live[b] else before[b, k]              # (5)


@jit
def through_step(dh, dH, rz, n, u, before, live, dg, du):
    """dg and du of one step; dH becomes what goes to the state before past the products."""
    (B, H), zero, one = n.shape, dH.dtype.type(0), dH.dtype.type(1)
    for b in range(B):
        for k in range(H):
            r, z, total = rz[b, k], rz[b, H + k], dH[b, k] + dh[b, k]       # (10)
            d = total if live[b] else zero
            dn = d * (one - z) * (one - n[b, k] * n[b, k])          # (6)
            dz = d * (before[b, k] - n[b, k]) * z * (one - z)       # (7)
            dr = dn * u[b, k] * r * (one - r)                       # (8)
            dg[b, k] = du[b, k] = dr
            dg[b, H + k] = du[b, H + k] = dz
            dg[b, 2 * H + k], du[b, 2 * H + k] = dn, r * dn
            dH[b, k] = d * z if live[b] else total                  # (5) (10)


def _live(m, T, B):
    return np.ones((T, B), bool) if m is None else np.ascontiguousarray(m[..., 0])


def gru_forward_fast(x, W, U, b, c=None, h0=None, mask=None, reset="after"):
    B, T, H = _checked(x, W, U, b, c, h0, mask, reset)
    if reset == "before":
        return gru_forward(x, W, U, b, c, h0, mask, reset)
    biased, started, m = c is not None, h0 is not None, tokens_first(mask)
    x, W, U, b, c, h0 = contiguous(x.swapaxes(0, 1), W, U, b, c, h0)
    c, live = np.zeros(H, U.dtype) if c is None else c, _live(m, T, B)
    g = (x.reshape(T * B, -1) @ W + b).reshape(T, B, 3 * H) if T * B else np.empty((T, B, 3 * H), U.dtype)  # (1) (2)
    h = np.zeros((T + 1, B, H), U.dtype)
    h[T] = 0 if h0 is None else h0
    rz, n, u = np.empty((T, B, 2 * H), U.dtype), np.empty((T, B, H), U.dtype), np.empty((T, B, H), U.dtype)
    gh = np.empty((B, 3 * H), U.dtype)
    for t in range(T):
        np.matmul(h[t - 1], U, out=gh)                              # (1) (2)
        to_gates(g[t], gh, c, rz[t], u[t])
        np.tanh(rz[t], out=rz[t])                                   # (1)
        to_candidate(g[t], u[t], rz[t], n[t])
        np.tanh(n[t], out=n[t])                                     # (2)
        to_state(rz[t], n[t], h[t - 1], live[t], h[t])
    return time_first(h[:T]).copy(), (x, W, U, h, rz, n, u, m, biased, started, reset)


def gru_backward_fast(dh, cache):
    _, _, U, h, rz, n, u, m, _, _, reset = cache
    if reset == "before":
        return gru_backward(dh, cache)
    T, B, H = n.shape
    dh, h, rz, n, u = contiguous(dh.swapaxes(0, 1), h, rz, n, u)
    dg, du = np.empty((T, B, 3 * H), h.dtype), np.empty((T, B, 3 * H), h.dtype)
    dH, back, live = np.zeros((B, H), h.dtype), np.empty((B, H), h.dtype), _live(m, T, B)
    turned = np.ascontiguousarray(U.T)              # BLAS is faster with it in every step
    for t in reversed(range(T)):
        through_step(dh[t], dH, rz[t], n[t], u[t], h[t - 1], live[t], dg[t], du[t])
        np.matmul(du[t], turned, out=back)                          # (10)
        dH += back                                                  # (10)
    return _gathered(dg, du, dH, cache)


# %% 3. The op
def _worth_kernels(x, W, U, *_):
    """A step's sums must be many enough to pay for the calls."""
    return x.ndim == 3 and x.shape[0] * U.size >= 2048


gru = Op(gru_forward, gru_backward, fast=(gru_forward_fast, gru_backward_fast), fast_when=_worth_kernels)


# %% 4. The module
class GRU(Recurrent):
    """x (B, T, d_in), state h (B, width) or None, mask (B, T) or None -> h (B, T, width), the last state (B, width).

    reset  "after", as in PyTorch, or "before" the product with the state, as in the paper
    W (d_in, 3 width) and U (width, 3 width) start Glorot-uniform, each gate on its own; b (3 width) and c (width) are
    zero.  rng is a seed or np.random.Generator.
    """

    def __init__(self, d_in, width, reset="after", rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.reset = reset
        self.W, self.U = (nn.Parameter(np.concatenate(nn.glorot_uniform(rng, (3, d, width), dtype), axis=1))
                          for d in (d_in, width))
        self.b = nn.Parameter(np.zeros(3 * width, dtype))
        self.c = nn.Parameter(np.zeros(width, dtype)) if reset == "after" else None

    def start(self, B, dtype):
        return Tensor(np.zeros((B, len(self.U.data)), dtype))

    def run(self, x, state=None, mask=None):
        h = gru(x, self.W, self.U, self.b, self.c, state, mask, reset=self.reset)
        return h, last(h, self.start(len(h), h.dtype) if state is None else state)
