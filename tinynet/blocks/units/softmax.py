"""Softmax and log-sum-exp: scores become weights that sum to one, and the smooth maximum behind them.

    (1)  m = max_c x[c]
    (2)  s = sum_c exp(x[c] - m)
    (3)  y[c] = exp(x[c] - m) / s                shi 2.3; csc321 score
    (4)  dx[c] = y[c] (dy[c] - sum_k dy[k] y[k])
    (5)  L = log sum_c exp(x[c]) = m + log s
    (6)  dx[c] = dL exp(x[c] - m) / s

x, y (..., C) or the classes on any other `axis`    C classes; m, s and L lack that axis
Subtracting m changes nothing but keeps exp from overflowing.  An entry of -inf has weight 0; where
all entries are -inf there is nothing to choose: weights and gradients 0 (m is taken as 0), L = -inf.
Lesson: attention
"""

import numpy as np

from tinynet.backend import at_least
from tinynet.blocks.units.float32_kernels import exp32, ordered
from tinynet.engine import Op
from tinynet.jit import contiguous, inner_jit, parallel_jit, prange, reordering_inner_jit, reordering_jit
from tinynet.shapes import ShapeError, block_name


def _classes_last(x, axis):
    """x with the classes as its last axis."""
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(f"{block_name(1)}: x has shape {x.shape}, so there is no axis {axis}; choose one it has")
    if x.shape[axis] == 0:
        raise ValueError(f"{block_name(1)}: x has shape {x.shape}, with no classes on axis {axis}; give it at least 1")
    return np.moveaxis(x.astype(float) if x.dtype == bool else x, axis, -1)     # NumPy subtracts no booleans


# %% 1. The mathematics
def sum_exp(x):
    """(m, s) of each row of x (..., C), both (...)."""
    m = x.real.max(axis=-1)                                             # (1)
    m = np.where(m == -np.inf, m.dtype.type(0), m)
    return m, np.exp(below(x, m)).sum(axis=-1)                          # (2)


def below(x, m):
    """x - m.  Where m is inf the entries that are inf themselves are 0 below it, not NaN: they share the weight."""
    if not np.isposinf(m).any():
        return x - m[..., None]
    with np.errstate(invalid="ignore"):
        z = x - m[..., None]
    return np.where(x == m[..., None], z.dtype.type(0), z)


def log_sum(m, s):
    """log of the sum, -inf for a sum of nothing."""
    return np.where(s == 0, s.dtype.type(-np.inf), m + np.log(s + (s == 0)))    # (5)


def part_of(a, s):
    """a / s, and 0 where s is a sum of nothing."""
    return a / s if s.all() else np.where(s == 0, s.dtype.type(0), a / (s + (s == 0)))


def masked_softmax(S, hidden=None):
    """Softmax over the last axis in which entries with hidden=True don't take part; changes S to the result.

    A row without any entry left (or of -inf alone) is zero, not NaN.
    """
    if hidden is not None:
        np.copyto(S, -np.inf, where=hidden)
    top = S.max(axis=-1, keepdims=True, initial=-np.inf)
    S -= np.where(top == -np.inf, 0, top)       # the largest becomes 0: exp can't overflow
    np.exp(S, out=S)
    total = S.sum(axis=-1, keepdims=True)
    S /= np.where(total == 0, 1, total)
    return S


def softmax_forward(x, axis=-1):
    """Weights y >= 0 of x's shape that sum to 1 along `axis` (shi 2.3)."""
    x = _classes_last(x, axis)
    m, s = sum_exp(x)
    y = np.exp(below(x, m)) * part_of(1, s)[..., None]                  # (3)
    return np.moveaxis(y, -1, axis), (y, axis)


def softmax_backward(dy, cache):
    y, axis = cache
    dy = np.moveaxis(dy, axis, -1)
    dx = y * (dy - (dy * y).sum(axis=-1, keepdims=True))                # (4)
    return np.moveaxis(dx, -1, axis)


def log_sum_exp_forward(x, axis=-1):
    """log(sum(exp(x))) along `axis`, which is left out of the result."""
    x = _classes_last(x, axis)
    m, s = sum_exp(x)
    return log_sum(m, s), (x, m, s, axis)


def log_sum_exp_backward(dL, cache):
    x, m, s, axis = cache
    dx = np.exp(below(x, m)) * part_of(dL, s)[..., None]                # (6)
    return np.moveaxis(dx, -1, axis)


# %% 2. The fast twin: some rows at once, so few that they stay in the processor's nearest caches from one loop to the
# next.  A loop does one thing, because only then the compiler makes vectors of it.
CHUNK = 8192        # numbers of the rows at once
BLOCK = 128         # numbers that are summed by themselves: a long float32 sum of one after the other would lose digits


@inner_jit
def _top(X, first, last, m):
    """NaN may be passed over; the sum meets it again."""
    bits, C = X.view(np.int32), X.shape[1]
    for n in range(first, last):
        top = np.int32(-2**31)
        for c in range(C):
            top = max(top, ordered(bits[n, c]))
        largest = np.int32(ordered(top)).view(np.float32)
        m[n] = largest if largest > -np.inf else np.float32(0)              # (1)


@inner_jit
def _exp(X, first, last, m, scale, Y, shift):
    """Y[n - shift] = exp(X[n] - m[n]) scale[n]"""
    C = X.shape[1]
    for n in range(first, last):
        for c in range(C):
            Y[n - shift, c] = scale[n] * exp32(X[n, c] - m[n])              # (6)


@reordering_inner_jit
def _sums(Y, first, last, s, shift):
    C = Y.shape[1]
    for n in range(first, last):
        total, whole = np.float32(0), C // BLOCK * BLOCK
        for start in range(0, whole, BLOCK):
            part = np.float32(0)
            for c in range(BLOCK):
                part += Y[n - shift, start + c]
            total += part
        rest = Y[n - shift, whole:]
        for c in range(rest.size):
            total += rest[c]
        s[n] = total                                                        # (2)


@inner_jit
def _shares(Y, first, last, s):
    C = Y.shape[1]
    for n in range(first, last):
        share = np.float32(1) / s[n] if s[n] != 0 else np.float32(0)
        for c in range(C):
            Y[n, c] *= share                                                # (3)


@parallel_jit
def _sum_exp(X, rows, m, s):
    N, C = X.shape
    for chunk in prange((N + rows - 1) // rows):
        first, last = chunk * rows, min(N, (chunk + 1) * rows)
        Y = np.empty((rows, C), X.dtype)
        _top(X, first, last, m)                                             # (1)
        _exp(X, first, last, m, s, Y, first)
        _sums(Y, first, last, s, first)                                     # (2)


@parallel_jit
def _softmax(X, rows, m, s, Y):
    N = X.shape[0]
    for chunk in prange((N + rows - 1) // rows):
        first, last = chunk * rows, min(N, (chunk + 1) * rows)
        _top(X, first, last, m)                                             # (1)
        _exp(X, first, last, m, s, Y, 0)
        _sums(Y, first, last, s, 0)                                         # (2)
        _shares(Y, first, last, s)                                          # (3)


@parallel_jit
def _exp_rows(X, rows, m, scale, Y):
    N = X.shape[0]
    for chunk in prange((N + rows - 1) // rows):
        _exp(X, chunk * rows, min(N, (chunk + 1) * rows), m, scale, Y, 0)   # (6)


@reordering_jit
def _through_softmax(dY, Y, dX):
    N, C = Y.shape
    for n in prange(N):
        total = Y.dtype.type(0)
        for c in range(C):
            total += dY[n, c] * Y[n, c]                                 # (4)
        for c in range(C):
            dX[n, c] = Y[n, c] * (dY[n, c] - total)                     # (4)


def _in_rows(x):
    """x (..., C) as (N, C), how many rows to take at once, and room for m and s, which begins with 1."""
    x = contiguous(x)
    X = x.reshape(x[..., 0].size, x.shape[-1])
    return X, max(1, CHUNK // x.shape[-1]), np.empty(len(X), x.dtype), np.ones(len(X), x.dtype)


def sum_exp_fast(x):
    """(m, s) of each row of x (..., C), both (...)."""
    if x.dtype != np.float32:
        return sum_exp(x)
    X, rows, m, s = _in_rows(x)
    with np.errstate(invalid="ignore", over="ignore"):         # inf - inf: loops that aren't compiled would warn
        _sum_exp(X, rows, m, s)
    return sum_exp(x) if np.isposinf(m).any() else (m.reshape(x.shape[:-1]), s.reshape(x.shape[:-1]))


def exp_rows_fast(x, m, scale):
    """exp(x - m) * scale for x (..., C), m and scale (...)."""
    if x.dtype != np.float32 or np.isposinf(m).any():
        return np.exp(below(x, m)) * scale[..., None]                   # (6)
    x, m, scale = contiguous(x, m, scale)
    y = np.empty_like(x)
    N, C = m.size, x.shape[-1]
    _exp_rows(x.reshape(N, C), max(1, CHUNK // C), m.reshape(N), scale.reshape(N), y.reshape(N, C))
    return y


def softmax_forward_fast(x, axis=-1):
    x = _classes_last(x, axis)
    if x.dtype != np.float32:
        return softmax_forward(np.moveaxis(x, -1, axis), axis)
    X, rows, m, s = _in_rows(x)
    Y = np.empty_like(X)
    with np.errstate(invalid="ignore", over="ignore"):         # as in sum_exp_fast
        _softmax(X, rows, m, s, Y)
    y = softmax_forward(x)[0] if np.isposinf(m).any() else Y.reshape(x.shape)
    return np.moveaxis(y, -1, axis), (y, axis)


def softmax_backward_fast(dy, cache):
    y, axis = cache
    dy, y = contiguous(np.moveaxis(dy, axis, -1), y)
    dx = np.empty_like(y)
    N, C = y[..., 0].size, y.shape[-1]
    _through_softmax(dy.reshape(N, C), y.reshape(N, C), dx.reshape(N, C))
    return np.moveaxis(dx, -1, axis)


def log_sum_exp_forward_fast(x, axis=-1):
    x = _classes_last(x, axis)
    m, s = sum_exp_fast(x)
    return log_sum(m, s), (x, m, s, axis)


def log_sum_exp_backward_fast(dL, cache):
    x, m, s, axis = cache
    return np.moveaxis(exp_rows_fast(x, m, part_of(dL, s)), -1, axis)


# %% 3. The ops
softmax = Op(softmax_forward, softmax_backward,
             fast=(softmax_forward_fast, softmax_backward_fast), fast_when=at_least(8192))
log_sum_exp = Op(log_sum_exp_forward, log_sum_exp_backward,
                 fast=(log_sum_exp_forward_fast, log_sum_exp_backward_fast), fast_when=at_least(8192))

# %% 4. The module: none, there is nothing to learn
