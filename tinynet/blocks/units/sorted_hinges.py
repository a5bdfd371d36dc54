"""Speed only: sums of M hinges in a few steps a number, by sorting them, adding them up from the right, looking up.

    (1)  y = max(0,x) + sum_m a[m] max(0, b[m] - x) = max(0,x) + P[k] - Q[k] x,   k(x) the number of m with b[m] <= x
    (2)  P[k] = sum_{m>=k} a[m] b[m],  Q[k] = sum_{m>=k} a[m]                      b sorted
    (3)  dx = dy (1[x > 0] - Q[k])
    (4)  G[m] = sum dy,  X[m] = sum dy x, both over the x with k(x) <= m, which are those below b[m]
    (5)  da[m] = b[m] G[m] - X[m],  db[m] = a[m] G[m]

x, y (G, R)   a, b (G, M)   k (G, R)   G groups of R numbers, each group with M hinges of its own
The dense form takes O(M) a number.  Here k is searched among the hinges of one of 4 M equal cells, so mostly in one
or two steps and never in more than log2(M).  Sums over hinges and over numbers are taken in float64.
A helper of apl and adaptive_activation, their fast twin where there are many hinges.
"""

import numpy as np

from tinynet.jit import PARTS, contiguous, parallel_jit, prange

LANES = 4           # sums side by side, because an addition waits for the one before it in the same place
CHUNK = 512         # numbers at once: what is between two loops stays in the nearest cache


# %% 1. The tables
class _Tables:
    """What is looked up: b sorted, P and Q, and for each cell how many hinges lie in the cells before it."""

    def __init__(self, a, b):
        G, M = b.shape
        self.order = np.argsort(b, axis=1)
        self.b, self.a = (np.take_along_axis(v, self.order, axis=1).astype(float) for v in (b, a))
        self.P, self.Q = (_from_the_right(v).astype(b.dtype) for v in (self.a * self.b, self.a))     # (2)
        ordered, cells = self.b.astype(b.dtype), 4 * M
        self.low, span = ordered[:, 0].copy(), ordered[:, -1] - ordered[:, 0]
        self.scale = np.where(span > 0, cells / np.where(span > 0, span, 1), 1).astype(b.dtype)
        self.first = np.zeros((G, cells + 1), np.int32)
        _count(ordered, self.low, self.scale, self.first)
        most = int(np.diff(self.first, axis=1).max(initial=1))
        self.step = 1 << (most.bit_length() - 1)            # the first of the search; the last is 1
        self.padded = np.pad(ordered, ((0, 0), (0, 2 * self.step)), constant_values=np.nan)     # nothing is above NaN

    def unsorted(self, v):
        """v (G, M) in the order that the hinges were given in."""
        given = np.empty_like(v)
        np.put_along_axis(given, self.order, v, axis=1)
        return given


def _from_the_right(v):
    """(G, M+1): the sums of v[:, k:] for k = 0..M."""
    return np.pad(np.cumsum(v[:, ::-1], axis=1)[:, ::-1], ((0, 0), (0, 1)))


@parallel_jit
def _count(b, low, scale, first):
    """first[g, c] = how many hinges lie in the cells before c; a hinge's cell is computed as a number's cell is."""
    G, M = b.shape
    cells = first.shape[1] - 1
    zero, last = b.dtype.type(0), b.dtype.type(cells - 1)
    for g in prange(G):
        for m in range(M):
            c = (b[g, m] - low[g]) * scale[g]
            c = c if c > zero else zero
            first[g, np.int32(c if c < last else last) + 1] += 1
        for c in range(cells):
            first[g, c + 1] += first[g, c]


# %% 2. The kernels: indices without a sign, which numba needn't check, and slices, so that all loops vectorise
@parallel_jit
def _bend(x, b, low, scale, first, step, P, Q, y, k):
    """y and k, chunk by chunk."""
    G, R = x.shape
    M, chunks, one = P.shape[1] - 1, -(-R // CHUNK), np.uint32(1)
    zero, last = x.dtype.type(0), x.dtype.type(first.shape[1] - 2)
    for job in prange(G * chunks):
        g, start = job // chunks, job % chunks * CHUNK
        n = min(R - start, CHUNK)
        xs, ys, ks = x[g, start:start + n], y[g, start:start + n], k[g, start:start + n]
        hinges, before, p, q, shift, stretch = b[g], first[g], P[g], Q[g], low[g], scale[g]
        found, highest = np.empty(CHUNK, np.uint32), hinges[M - 1]
        for i in range(n):
            c = (xs[i] - shift) * stretch
            c = c if c > zero else zero
            found[i] = before[np.uint32(c if c < last else last)]
        s = step
        while s > 0:
            by = np.uint32(s)
            for i in range(n):
                found[i] += by if hinges[found[i] + by - one] <= xs[i] else np.uint32(0)
            s //= 2
        for i in range(n):              # p = q = 0 beyond the highest hinge, where v may be infinite
            v, at = xs[i], found[i]
            left = p[at] - q[at] * (v if v < highest else highest)      # (1)
            ys[i] = (zero if v <= zero else v) + left                   # (1)
            ks[i] = at


@parallel_jit
def _unbend(dy, x, k, Q, dx, sums):
    """dx, and the sums of dy and of dy x for each k; every part of the numbers has sums of its own."""
    G, R = x.shape
    parts = sums.shape[1]
    zero = x.dtype.type(0)
    for job in prange(G * parts):
        g, part = job // parts, job % parts
        q, its, end = Q[g], sums[g, part], (part + 1) * R // parts
        for start in range(part * R // parts, end, CHUNK):
            stop = min(start + CHUNK, end)
            dys, xs, ks, dxs = dy[g, start:stop], x[g, start:stop], k[g, start:stop], dx[g, start:stop]
            for i in range(stop - start):
                dxs[i] = (dys[i] if xs[i] > zero else zero) - q[ks[i]] * dys[i]     # (3)
            for i in range(stop - start):
                lane, at = i % LANES, ks[i]
                its[lane, 0, at] += dys[i]                              # (4)
                its[lane, 1, at] += dys[i] * xs[i]                      # (4)


# %% 3. What the blocks call
def bend(x, a, b):
    """(y, k) for x (G, R) and hinges a, b (G, M)."""
    x, a, b = contiguous(x, *_at_least_one(a, b))
    t, y, k = _Tables(a, b), np.empty_like(x), np.empty(x.shape, np.uint16 if b.shape[1] < 2**16 else np.uint32)
    _bend(x, t.padded, t.low, t.scale, t.first, t.step, t.P, t.Q, y, k)
    return y, k


def unbend(dy, x, a, b, k=None):
    """(dx, da, db) for the k that `bend` found; without it k is found anew."""
    M = b.shape[1]
    dy, x, a, b = contiguous(dy, x, *_at_least_one(a, b))
    k = bend(x, a, b)[1] if k is None else k
    t, dx, sums = _Tables(a, b), np.empty_like(x), np.zeros((len(x), PARTS, LANES, 2, b.shape[1] + 1))
    _unbend(dy, x, k, t.Q, dx, sums)
    G, X = np.cumsum(sums.sum(axis=(1, 2)), axis=-1)[..., :-1].swapaxes(0, 1)       # (4)
    da, db = t.b * G - X, t.a * G                                       # (5)
    return dx, *(t.unsorted(v).astype(x.dtype)[:, :M] for v in (da, db))


def _at_least_one(a, b):
    """a and b (G, M), or one hinge of height 0 where there is none."""
    return (a, b) if b.shape[1] else (np.zeros((len(a), 1), a.dtype), np.zeros((len(b), 1), b.dtype))
