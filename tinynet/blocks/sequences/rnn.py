"""Recurrent layer: the state is a squashed sum of the input and of the state before.

    (1)  h[t] = tanh(x[t] W + h[t-1] U + b)                     csc321 rnn-jacobian; Elman 1990
    (2)  h[t] = h[t-1]                                          where mask[t] is False
    (3)  dz[t] = dH[t] (1 - h[t]^2)                             z[t] is what tanh takes; 0 where mask[t] is False
    (4)  dH[t-1] = dh[t-1] + dz[t] U'                           csc321 rnn-jacobian
    (5)  dx[t] = dz[t] W'
    (6)  dW = sum_t x[t]' dz[t]
    (7)  dU = sum_t h[t-1]' dz[t]
    (8)  db = sum_t dz[t], summed over the examples, too

x (B, T, D)      the sequences
W (D, H)         from input to state
U (H, H)         from state to state
b (H)            bias
h0 (B, H)        the state before the first step, 0 unless it is given; in the equations h[-1]
mask (B, T)      boolean, True where a sequence has a token
h (B, T, H)      the states
dH (B, H)        all that comes to h[t]: from above, dh[t], and from the next step
B sequences of T steps, D features in, H hidden units

(3) and (4) together multiply by the Jacobian dh[t]/dh[t-1] = diag(1 - h[t]^2) U' once for each step back: the product
of T such matrices vanishes or explodes.  At a step without a token the Jacobian is the identity.
"""

import math

import numpy as np

from tinynet import nn
from tinynet.blocks.sequences.masking import check_tokens
from tinynet.blocks.sequences.state import Recurrent, last
from tinynet.engine import Op, Tensor
from tinynet.ops.broadcasting import summed
from tinynet.shapes import sizes


def time_first(x):
    """(B, T, ...) as a view (T, B, ...), or back; None stays None."""
    return None if x is None else x.swapaxes(0, 1)


def tokens_first(mask):
    """The mask (B, T) as (T, B, 1), to choose between states."""
    return None if mask is None else mask.T[:, :, None]


def sum_outer(a, b):
    """The sum over all steps and examples of the outer products a[t,n]' b[t,n], as one product of matrices."""
    N = math.prod(a.shape[:2])
    return a.reshape(N, a.shape[2]).T @ b.reshape(N, b.shape[2])


def times(a, W):
    """a[t,n] W' for all steps and examples, as one product of matrices."""
    return (a.reshape(math.prod(a.shape[:2]), a.shape[2]) @ W.T).reshape(*a.shape[:2], len(W))


# %% 1. The mathematics: h has one row more, the start, which is row T and, read as row -1, comes before row 0
def rnn_forward(x, W, U, b, h0=None, mask=None):
    B, T, _, H = sizes("x: B T D, W: D H, U: H H, b: H, h0: B H", x, W, U, b, h0)
    check_tokens("rnn", mask, B, T)
    x, m = time_first(x), tokens_first(mask)
    z = times(x, W.T) + b                                           # (1)
    h = np.zeros((T + 1, B, H), np.result_type(z, U))
    h[T] = 0 if h0 is None else h0
    for t in range(T):
        h[t] = np.tanh(z[t] + h[t - 1] @ U)                         # (1)
        if m is not None:
            np.copyto(h[t], h[t - 1], where=~m[t])                  # (2)
    return time_first(h[:T]).copy(), (x, W, U, h, m, h0 is not None)


def rnn_backward(dh, cache):
    x, W, U, h, m, started = cache
    dh = time_first(dh)
    dz, dH = np.zeros_like(h[:-1]), np.zeros_like(h[0])
    turned = np.ascontiguousarray(U.T)              # BLAS is faster with it in every step
    for t in reversed(range(len(dz))):
        dH = dH + dh[t]                                             # (4)
        dz[t] = dH * (1 - h[t] ** 2)                                # (3)
        if m is None:
            dH = dz[t] @ turned                                     # (4)
        else:
            dz[t] *= m[t]                                           # (3)
            dH = np.where(m[t], dz[t] @ turned, dH)                 # (4)
    dx = time_first(times(dz, W))                                   # (5)
    dW = sum_outer(x, dz)                                           # (6)
    dU = sum_outer(np.roll(h, 1, axis=0)[:-1], dz)                  # (7)
    return dx, dW, dU, summed(dz, (0, 1)), dH if started else None, None           # (8)


# %% 2. The fast twin: none; nearly all the work is in the products with W and U and in tanh, where NumPy wins

# %% 3. The op
rnn = Op(rnn_forward, rnn_backward)


# %% 4. The module
class RNN(Recurrent):
    """x (B, T, d_in), state h (B, width) or None, mask (B, T) or None -> h (B, T, width), the last state (B, width).

    W (d_in, width) and U (width, width) start Glorot-uniform, b (width) zero; rng is a seed or np.random.Generator.
    """

    def __init__(self, d_in, width, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.W, self.U = (nn.Parameter(nn.glorot_uniform(rng, (d, width), dtype)) for d in (d_in, width))
        self.b = nn.Parameter(np.zeros(width, dtype))

    def start(self, B, dtype):
        return Tensor(np.zeros((B, len(self.U.data)), dtype))

    def run(self, x, state=None, mask=None):
        h = rnn(x, self.W, self.U, self.b, state, mask)
        return h, last(h, self.start(len(h), h.dtype) if state is None else state)
