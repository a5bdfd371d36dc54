"""Long short-term memory: a recurrent layer whose cell keeps what it knows for as long as its forget gate is open.

    (1)  z[t] = x[t] W + h[t-1] U + b                           Hochreiter and Schmidhuber 1997; z = [zi zf zg zo]
    (2)  i, f, g, o = sigma(zi), sigma(zf), tanh(zg), sigma(zo)         the forget gate f: Gers et al. 2000
    (3)  c[t] = f[t] c[t-1] + i[t] g[t]                         csc321 birnn
    (4)  h[t] = o[t] tanh(c[t])                                 csc321 birnn
    (5)  h[t], c[t] = h[t-1], c[t-1]                            where mask[t] is False
    (6)  dH[t] = dh[t] + dz[t+1] U'                             csc321 rnn-jacobian
    (7)  dC[t] = dH[t] o[t] (1 - tanh(c[t])^2) + dC[t+1] f[t+1] + dc[t]         csc321 rnn-jacobian
    (8)  dzi[t] = dC[t] g[t] i[t] (1 - i[t])
    (9)  dzf[t] = dC[t] c[t-1] f[t] (1 - f[t])
    (10)  dzg[t] = dC[t] i[t] (1 - g[t]^2)
    (11)  dzo[t] = dH[t] tanh(c[t]) o[t] (1 - o[t])
    (12)  dx[t] = dz[t] W'
    (13)  dW = sum_t x[t]' dz[t]
    (14)  dU = sum_t h[t-1]' dz[t]
    (15)  db = sum_t dz[t], summed over the examples, too

x (B, T, D)      the sequences
W (D, 4 H)       from input to gates, in the order i f g o
U (H, 4 H)       from state to gates
b (4 H)          one bias a gate
h0, c0 (B, H)    state and cell before the first step, 0 unless they are given; in the equations h[-1], c[-1]
mask (B, T)      boolean, True where a sequence has a token
y (2, B, T, H)   what the op returns: h and c after every step, stacked
i, f, g, o (T, B, H)     input, forget and output gates; g is what may be written
dH, dC (B, H)    all that comes to h[t] and c[t]: from above, dh[t] and dc[t], and from the next step
B sequences of T steps, D features in, H hidden units   dz[T] = dC[T] = 0
At a step without a token dz is 0, and dH and dC go on to the step before as they are.
Hochreiter and Schmidhuber 1997, Neural Computation 9(8).  Gers, Schmidhuber and Cummins 2000, the same, 12(10).
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.sequences.masking import check_tokens
from tinynet.blocks.sequences.rnn import sum_outer, time_first, times, tokens_first
from tinynet.blocks.sequences.state import Recurrent, last
from tinynet.blocks.units.activations import sigmoid_forward
from tinynet.engine import Op, Tensor
from tinynet.jit import contiguous, jit
from tinynet.ops.broadcasting import summed
from tinynet.shapes import ShapeError, sizes


def _checked(x, W, U, b, h0, c0, mask):
    B, T, _, G, H = sizes("x: B T D, W: D G, U: H G, b: G, h0: B H, c0: B H", x, W, U, b, h0, c0)
    if G != 4 * H:
        raise ShapeError(f"lstm: W (D G) = {W.shape} and U (H G) = {U.shape}: G is {G}, but for {H} hidden units with "
                         f"three gates and a cell each it must be 4 H = {4 * H}")
    check_tokens("lstm", mask, B, T)
    return B, T, H


def _sigma(z):
    return sigmoid_forward(z)[0]


# %% 1. The mathematics: arrays over time have one row more, which is row T and, read as row -1, the start
def _begun(T, B, H, h0, c0, dtype):
    """h, c, i, f, g, o of zeros (T + 1, B, H), with the start in its place."""
    arrays = np.zeros((6, T + 1, B, H), dtype)
    arrays[0, T], arrays[1, T] = 0 if h0 is None else h0, 0 if c0 is None else c0
    return arrays


def lstm_forward(x, W, U, b, h0=None, c0=None, mask=None):
    B, T, H = _checked(x, W, U, b, h0, c0, mask)
    x, m = time_first(x), tokens_first(mask)
    z = times(x, W.T) + b                                           # (1)
    zi, zf, zg, zo = np.split(z, 4, axis=2)                         # views
    h, c, i, f, g, o = gates = _begun(T, B, H, h0, c0, np.result_type(z, U))
    for t in range(T):
        z[t] += h[t - 1] @ U                                        # (1)
        i[t], f[t], g[t], o[t] = _sigma(zi[t]), _sigma(zf[t]), np.tanh(zg[t]), _sigma(zo[t])        # (2)
        c[t] = f[t] * c[t - 1] + i[t] * g[t]                        # (3)
        h[t] = o[t] * np.tanh(c[t])                                 # (4)
        if m is not None:
            np.copyto(gates[:2, t], gates[:2, t - 1], where=~m[t])  # (5)
    return np.stack([time_first(h[:T]), time_first(c[:T])]), (x, W, U, h, c, i, f, g, o, m, h0 is None, c0 is None)


def lstm_backward(dy, cache):
    _, _, U, h, c, i, f, g, o, m, *_ = cache
    T, B, H = len(h) - 1, *h.shape[1:]
    dh, dc = time_first(dy[0]), time_first(dy[1])
    dz, from_h, from_c = np.zeros((T + 1, B, 4 * H), h.dtype), np.zeros((B, H), h.dtype), np.zeros((B, H), h.dtype)
    turned = np.ascontiguousarray(U.T)              # BLAS is faster with it in every step
    dzi, dzf, dzg, dzo = np.split(dz, 4, axis=2)                    # views
    for t in reversed(range(T)):
        tanh_c = np.tanh(c[t])
        dH = dh[t] + from_h                                         # (6)
        dC = dH * o[t] * (1 - tanh_c ** 2) + (from_c + dc[t])       # (7)
        dzi[t] = dC * g[t] * i[t] * (1 - i[t])                      # (8)
        dzf[t] = dC * c[t - 1] * f[t] * (1 - f[t])                  # (9)
        dzg[t] = dC * i[t] * (1 - g[t] ** 2)                        # (10)
        dzo[t] = dH * tanh_c * o[t] * (1 - o[t])                    # (11)
        if m is None:
            from_h, from_c = dz[t] @ turned, dC * f[t]              # (6) (7)
        else:
            dz[t] *= m[t]
            from_h, from_c = np.where(m[t], dz[t] @ turned, dH), np.where(m[t], dC * f[t], from_c + dc[t])  # (6) (7)
    return _gathered(dz, from_h, from_c, cache)


def _gathered(dz, from_h, from_c, cache):
    """The gradients of all arrays, from those of the sums in every step: one product each."""
    x, W, U, h, *_, no_h0, no_c0 = cache
    T = len(x)
    dx = time_first(times(dz[:T], W))                               # (12)
    dW = sum_outer(x, dz[:T])                                       # (13)
    dU = sum_outer(h[:T - 1], dz[1:T]) if T else np.zeros_like(U)   # (14)
    if T and not no_h0:
        dU += h[T].T @ dz[0]                                        # (14)
    db = summed(dz, (0, 1))                                         # (15)
    return dx, dW, dU, db, None if no_h0 else from_h, None if no_c0 else from_c, None


# %% 2. The fast twin: the same numbers to the last bit; NumPy does the products, exp and tanh, and one kernel in a
# single pass what stands between them
@jit
def _to_cell(zx, zh, z):
    """z, and -z for the exponentials of the gates."""
    B, G = z.shape
    for n in range(B):
        for k in range(G):
            zx[n, k] = zx[n, k] + zh[n, k]                          # (1)
            z[n, k] = -zx[n, k]


@jit
def _to_state(e, before, live, i, f, g, o, c):
    (B, H), one = g.shape, g.dtype.type(1)
    for n in range(B):
        for k in range(H):
            i[n, k] = one / (one + e[n, k])                         # (2)
            f[n, k] = one / (one + e[n, H + k])                     # (2)
            o[n, k] = one / (one + e[n, 3 * H + k])                 # (2)
            new = f[n, k] * before[n, k] + i[n, k] * g[n, k]        # (3)
            c[n, k] = new if live[n] else before[n, k]              # (5)


@jit
def _back(dh, dc, from_h, from_c, tanh_c, before, live, i, f, g, o, dz):
    """dz of one step; from_h and from_c become what goes to the step before past the product."""
    (B, H), zero, one = g.shape, g.dtype.type(0), g.dtype.type(1)
    for n in range(B):
        for k in range(H):
            dH = dh[n, k] + from_h[n, k]                            # (6)
            above, t = from_c[n, k] + dc[n, k], tanh_c[n, k]
            dC = dH * o[n, k] * (one - t * t) + above               # (7)
            if live[n]:
                dz[n, k] = dC * g[n, k] * i[n, k] * (one - i[n, k])                     # (8)
                dz[n, H + k] = dC * before[n, k] * f[n, k] * (one - f[n, k])            # (9)
                dz[n, 2 * H + k] = dC * i[n, k] * (one - g[n, k] * g[n, k])             # (10)
                dz[n, 3 * H + k] = dH * t * o[n, k] * (one - o[n, k])                   # (11)
                from_h[n, k], from_c[n, k] = zero, dC * f[n, k]     # (7)
            else:
                from_h[n, k], from_c[n, k] = dH, above              # (5)


def _live(m, T, B):
    return np.ones((T, B), bool) if m is None else np.ascontiguousarray(m[..., 0])


def lstm_forward_fast(x, W, U, b, h0=None, c0=None, mask=None):
    B, T, H = _checked(x, W, U, b, h0, c0, mask)
    no_h0, no_c0, m, live = h0 is None, c0 is None, tokens_first(mask), _live(tokens_first(mask), T, B)
    dtype = contiguous(np.empty(0, x.dtype), W, U, b, h0, c0)[1].dtype
    x, W, U = (np.ascontiguousarray(a, dtype) for a in (time_first(x), W, U))
    z = times(x, W.T) + b                                           # (1)
    h, c, i, f, g, o = _begun(T, B, H, h0, c0, dtype)
    zh, e = np.empty((B, 4 * H), dtype), np.empty((B, 4 * H), dtype)
    with np.errstate(over="ignore"):            # e^-x = inf gives the right 1 / inf = 0
        for t in range(T):
            np.matmul(h[t - 1], U, out=zh)                          # (1)
            _to_cell(z[t], zh, e)
            np.exp(e, out=e)                                        # (2)
            np.tanh(z[t, :, 2 * H:3 * H], out=g[t])                 # (2)
            _to_state(e, c[t - 1], live[t], i[t], f[t], g[t], o[t], c[t])
            np.multiply(o[t], np.tanh(c[t]), out=h[t])              # (4)
            if m is not None:
                np.copyto(h[t], h[t - 1], where=~m[t])              # (5)
    return np.stack([time_first(h[:T]), time_first(c[:T])]), (x, W, U, h, c, i, f, g, o, m, no_h0, no_c0)


def lstm_backward_fast(dy, cache):
    _, _, U, h, c, i, f, g, o, m, *_ = cache
    T, B, H = len(h) - 1, *h.shape[1:]
    dh, dc, c, i, f, g, o = contiguous(time_first(dy[0]), time_first(dy[1]), c, i, f, g, o)
    live, back, turned = _live(m, T, B), np.empty((B, H), h.dtype), np.ascontiguousarray(U.T)
    dz, from_h, from_c = np.zeros((T + 1, B, 4 * H), h.dtype), np.zeros((B, H), h.dtype), np.zeros((B, H), h.dtype)
    for t in reversed(range(T)):
        _back(dh[t], dc[t], from_h, from_c, np.tanh(c[t]), c[t - 1], live[t], i[t], f[t], g[t], o[t], dz[t])
        np.matmul(dz[t], turned, out=back)                          # (6)
        from_h += back                                              # (6)
    return _gathered(dz, from_h, from_c, cache)


# %% 3. The op
def _worth_kernels(x, W, U, *_):
    """A step's sums must be many enough to pay for the calls."""
    return x.ndim == 3 and x.shape[0] * U.size >= 2048


lstm = Op(lstm_forward, lstm_backward, fast=(lstm_forward_fast, lstm_backward_fast), fast_when=_worth_kernels)


# %% 4. The module
class LSTM(Recurrent):
    """x (B, T, d_in), state (h, c) or None, mask (B, T) or None -> h (B, T, width), the last state (h, c).

    h and c are (B, width), both 0 at the start unless a state is given.
    W (d_in, 4 width) and U (width, 4 width) start Glorot-uniform, each gate on its own; b (4 width) is zero, but 1 for
    the forget gates, which so begin open (Gers et al. 2000).  rng is a seed or np.random.Generator.
    """

    def __init__(self, d_in, width, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.W, self.U = (nn.Parameter(np.concatenate(nn.glorot_uniform(rng, (4, d, width), dtype), axis=1))
                          for d in (d_in, width))
        self.b = nn.Parameter(np.repeat(np.array([0, 1, 0, 0], dtype), width))

    def start(self, B, dtype):
        return tuple(Tensor(np.zeros((B, len(self.U.data)), dtype)) for _ in range(2))

    def shown(self, state):
        return state[0]

    def run(self, x, state=None, mask=None):
        if state is not None and not (isinstance(state, (tuple, list)) and len(state) == 2):
            raise TypeError(f"LSTM: its state is a pair (h, c) of the hidden state and the cell, not a "
                            f"{type(state).__name__}; give both, or None to start from 0")
        y = lstm(x, self.W, self.U, self.b, *(state or (None, None)), mask)
        h, c = y[0], y[1]
        start = state or self.start(len(h), h.dtype)
        return h, (last(h, start[0]), last(c, start[1]))
