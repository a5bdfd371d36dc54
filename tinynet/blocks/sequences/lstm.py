"""Long short-term memory: a recurrent layer whose cell keeps what it knows for as long as its forget gate is open.

    (1)  z[t] = x[t] W + h[t-1] U + b                           Hochreiter and Schmidhuber 1997; z = [zi zf zg zo]
    (2)  i, f, g, o = sigma(zi), sigma(zf), tanh(zg), sigma(zo)         the forget gate f: Gers et al. 2000
    (3)  c[t] = f[t] c[t-1] + i[t] g[t]
    (4)  h[t] = o[t] tanh(c[t])
    (5)  dH[t] = dh[t] + dz[t+1] U'                             all that comes to h[t]: from above, from the next step
    (6)  dc[t] = dH[t] o[t] (1 - tanh(c[t])^2) + dc[t+1] f[t+1]
    (7)  dzi[t] = dc[t] g[t] i[t] (1 - i[t])
    (8)  dzf[t] = dc[t] c[t-1] f[t] (1 - f[t])
    (9)  dzg[t] = dc[t] i[t] (1 - g[t]^2)
    (10)  dzo[t] = dH[t] tanh(c[t]) o[t] (1 - o[t])
    (11)  dx[t] = dz[t] W'
    (12)  dW = sum_t x[t]' dz[t]
    (13)  dU = sum_t h[t-1]' dz[t]
    (14)  db = sum_t dz[t], summed over the examples, too

x (T, B, D)   W (D, 4 H)   U (H, 4 H)   b (4 H)   z (T, B, 4 H)   h, c, i, f, g, o (T, B, H)
T steps, B examples, D features in, H hidden units   h[-1] = c[-1] = 0   dz[T] = dc[T] = 0
i, f, o the input, forget and output gates, g what may be written
Hochreiter and Schmidhuber 1997, Neural Computation 9(8).  Gers, Schmidhuber and Cummins 2000, the same, 12(10).
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.units.activations import sigmoid_forward
from tinynet.engine import Op
from tinynet.ops.broadcasting import summed
from tinynet.shapes import ShapeError, sizes


def _checked(x, W, U, b):
    T, B, _, G, H = sizes("x: T B D, W: D G, U: H G, b: G", x, W, U, b)
    if G != 4 * H:
        raise ShapeError(f"lstm: W (D G) = {W.shape} and U (H G) = {U.shape}: G is {G}, but for {H} hidden units with "
                         f"three gates and a cell each it must be 4 H = {4 * H}")
    return T, B, H


def _sigma(z):
    return sigmoid_forward(z)[0]


# %% 1. The mathematics: arrays over time have one row more, of zeros, which is row T and, read as row -1, the start
def lstm_forward(x, W, U, b):
    T, B, H = _checked(x, W, U, b)
    z = x @ W + b                                                   # (1)
    zi, zf, zg, zo = np.split(z, 4, axis=2)                         # views
    h, c, i, f, g, o = np.zeros((6, T + 1, B, H), np.result_type(z, U))
    for t in range(T):
        z[t] += h[t - 1] @ U                                        # (1)
        i[t], f[t], g[t], o[t] = _sigma(zi[t]), _sigma(zf[t]), np.tanh(zg[t]), _sigma(zo[t])        # (2)
        c[t] = f[t] * c[t - 1] + i[t] * g[t]                        # (3)
        h[t] = o[t] * np.tanh(c[t])                                 # (4)
    return h[:T], (x, W, U, h, c, i, f, g, o)


def lstm_backward(dh, cache):
    x, W, U, h, c, i, f, g, o = cache
    T, B, H = dh.shape
    dz, dc = np.zeros((T + 1, B, 4 * H), h.dtype), np.zeros_like(c)
    dzi, dzf, dzg, dzo = np.split(dz, 4, axis=2)                    # views
    for t in reversed(range(T)):
        tanh_c = np.tanh(c[t])
        dH = dh[t] + dz[t + 1] @ U.T                                # (5)
        dc[t] = dH * o[t] * (1 - tanh_c ** 2) + dc[t + 1] * f[t + 1]        # (6)
        dzi[t] = dc[t] * g[t] * i[t] * (1 - i[t])                   # (7)
        dzf[t] = dc[t] * c[t - 1] * f[t] * (1 - f[t])               # (8)
        dzg[t] = dc[t] * i[t] * (1 - g[t] ** 2)                     # (9)
        dzo[t] = dH * tanh_c * o[t] * (1 - o[t])                    # (10)
    steps = (0, 1), (0, 1)
    dx = dz[:T] @ W.T                                               # (11)
    dW = np.tensordot(x, dz[:T], steps)                             # (12)
    dU = np.tensordot(h[:T - 1], dz[1:T], steps)                    # (13)
    return dx, dW, dU, summed(dz, (0, 1))                          # (14)


# %% 2. The fast twin: none; most of the work is in the products with W and U, where BLAS wins

# %% 3. The op
lstm = Op(lstm_forward, lstm_backward)


# %% 4. The module
class LSTM(nn.Module):
    """x (T, B, d_in), time first -> h (T, B, width), the hidden states after every step; h[-1] is the last.

    Every example starts from h = c = 0.  W (d_in, 4 width) and U (width, 4 width) start Glorot-uniform, each gate on
    its own; b (4 width) is zero, but 1 for the forget gates, which so begin open (Gers et al. 2000).
    rng is a seed or np.random.Generator.
    """

    def __init__(self, d_in, width, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.W, self.U = (nn.Parameter(np.concatenate(nn.glorot_uniform(rng, (4, d, width), dtype), axis=1))
                          for d in (d_in, width))
        self.b = nn.Parameter(np.repeat(np.array([0, 1, 0, 0], dtype), width))

    def forward(self, x):
        return lstm(x, self.W, self.U, self.b)
