"""Speed only: attention on tiles of 64 queries x 128 keys, or 32 x 128 where it is causal.

Why it is fast: a tile's scores never leave the processor's nearest caches, and no array of all scores is made.  One
compiled loop runs over the heads, so no thread waits for Python.  NumPy's OpenBLAS, called through its address,
multiplies tiles at the speed of the core, except A B' of two matrices stored by rows; so K and V are turned first.

    (1)  S[i,j] = scale Q[i].K[j] + mask[i,j]                   of a tile
    (2)  m' = max(m, max_j S[i,j])                              m, s, Y: of the tiles before this one
    (3)  s' = s exp(m - m') + sum_j exp(S[i,j] - m')
    (4)  Y'[i] = Y[i] exp(m - m') + sum_j c[i,j] exp(S[i,j] - m') V[j]
    (5)  Y[i] = Y'[i] / ((1 - p) s'),  L[i] = m' + log s'       after the last tile
    (6)  P[i,j] = exp(S[i,j] - L[i])                            again in the backward pass
    (7)  g[i] = dY[i].Y[i] = sum_j P[i,j] R[i,j] dY[i].V[j]     R = c / (1 - p); the sum where there is one tile
    (8)  dS[i,j] = P[i,j] (R[i,j] dY[i].V[j] - g[i])
    (9)  dV[j] = sum_i R[i,j] P[i,j] dY[i]
    (10)  dQ[i] = scale sum_j dS[i,j] K[j],  dK[j] = scale sum_i dS[i,j] Q[i]

Q, Y, dY (H, M, d or e)   K, V (H, N, d or e)   L (H, M)   c (H, M, N) 1 where a weight is kept, 0 where it is dropped
H heads of all batches.  A helper of attention, its fast twin where NumPy's BLAS is OpenBLAS.
Milakov and Gimelshein 2018, arXiv:1805.02867 (2) (3); Dao et al. 2022, arXiv:2205.14135.
"""

import math

import numpy as np

from tinynet import threads
from tinynet.blocks.units.float32_kernels import exp32, ordered
from tinynet.jit import PARTS, contiguous, inner_jit, parallel_jit, prange, reordering_inner_jit
from tinynet.threads import AS_IT_IS, BY_ROWS, TURNED

QUERIES, KEYS = 64, 128


# %% 1. Within a tile of b queries and n keys, the corner of S, P or D (QUERIES, KEYS)
@inner_jit
def _hide(S, b, n, first):
    """Query r sees the first + r keys at the beginning."""
    for r in range(b):
        for j in range(max(0, first + r), n):
            S[r, j] = -np.inf


@inner_jit
def _mask_tile(S, b, n, seen, added, start, row_step, step):
    """Use the part of the mask that begins at `start`; one of the two masks is empty."""
    for r in range(b):
        at = start + r * row_step
        if seen.size:
            for j in range(n):
                S[r, j] = S[r, j] if seen[at + j * step] else S.dtype.type(-np.inf)     # (1)
        else:
            for j in range(n):
                S[r, j] += added[at + j * step]                                         # (1)


@inner_jit
def _raise_top(S, b, n, m):
    """NaN may be passed over; the sum meets it again."""
    bits = S.view(np.int32)
    for r in range(b):
        if S.itemsize == 4:
            top = np.int32(-2**31)
            for j in range(n):
                top = max(top, ordered(bits[r, j]))
            largest = np.int32(ordered(top)).view(np.float32)
            m[r] = largest if largest > m[r] else m[r]                                  # (2)
        else:
            for j in range(n):
                m[r] = S[r, j] if S[r, j] > m[r] else m[r]                              # (2)


@inner_jit
def _exp_tile(S, b, n, less):
    """S[r,j] = exp(S[r,j] - less[r])"""
    for r in range(b):
        base = less[r] if less[r] != -np.inf else S.dtype.type(0)
        if S.itemsize == 4:
            for j in range(n):
                S[r, j] = exp32(np.float32(S[r, j] - base))                             # (3) (6)
        else:
            for j in range(n):
                S[r, j] = np.exp(S[r, j] - base)                                        # (3) (6)


@reordering_inner_jit
def _add_tile(S, b, n, s):
    for r in range(b):
        total = S.dtype.type(0)
        for j in range(n):
            total += S[r, j]
        s[r] += total                                                                   # (3)


@inner_jit
def _drop_tile(S, b, n, kept, start, row_step):
    for r in range(b):
        for j in range(n):
            S[r, j] = S[r, j] if kept[start + r * row_step + j] else S.dtype.type(0)    # (4) (8) (9)


@inner_jit
def _scale_rows(y, b, e, by):
    for r in range(b):
        for c in range(e):
            y[r, c] *= by[r]


@reordering_inner_jit
def _dots(A, B, b, n, g):
    for r in range(b):
        total = A.dtype.type(0)
        for j in range(n):
            total += A[r, j] * B[r, j]
        g[r] = total                                                                    # (7)


@inner_jit
def _slopes(P, D, b, n, g):
    for r in range(b):
        for j in range(n):
            D[r, j] = P[r, j] * (D[r, j] - g[r])                                        # (8)


@inner_jit
def _softmax_tile(S, b, n):
    m, s = np.full(b, -np.inf, S.dtype), np.zeros(b, S.dtype)
    _raise_top(S, b, n, m)
    _exp_tile(S, b, n, m)
    _add_tile(S, b, n, s)
    for r in range(b):
        s[r] = 1 / s[r] if s[r] != 0 else 0
    _scale_rows(S, b, n, s)


# %% 2. Tiles
@inner_jit
def _product(gemm, A, B, C, m, n, k, alpha, beta):
    """C (m, n) = alpha A (m, k) B (k, n) + beta C, in the corners of larger arrays."""
    size = A.itemsize
    gemm(BY_ROWS, AS_IT_IS, AS_IT_IS, m, n, k, A.dtype.type(alpha), A.ctypes.data, A.strides[0] // size,
         B.ctypes.data, B.strides[0] // size, A.dtype.type(beta), C.ctypes.data, C.strides[0] // size)


@inner_jit
def _turned_product(gemm, A, B, C, m, n, k, alpha):
    """C (m, n) += alpha A' B, A (k, m), B (k, n)."""
    size = A.itemsize
    gemm(BY_ROWS, TURNED, AS_IT_IS, m, n, k, A.dtype.type(alpha), A.ctypes.data, A.strides[0] // size,
         B.ctypes.data, B.strides[0] // size, A.dtype.type(1), C.ctypes.data, C.strides[0] // size)


@inner_jit
def _turn(X, by, tiles):
    """tiles (N / KEYS, d, KEYS) = by X (N, d)', a tile after the other; four rows at once fill a vector."""
    N, d = X.shape
    for n in range(0, N - N % 4, 4):
        tile, at = tiles[n // KEYS], n % KEYS
        for c in range(d):
            for i in range(4):
                tile[c, at + i] = by * X[n + i, c]
    for n in range(N - N % 4, N):
        for c in range(d):
            tiles[n // KEYS, c, n % KEYS] = by * X[n, c]


# %% 3. A head: every parts-th block of its queries, because the late blocks of a causal head are the longer ones
@inner_jit
def _attend_part(gemm, q, k, v, scale, causal, seen, added, start, row_step, step, kept, kept_start, share, part, parts,
                 y, L):
    (M, d), (N, e), one, nothing = q.shape, v.shape, q.dtype.type(1), q.dtype.type(0)
    kt, S = np.empty(((N + KEYS - 1) // KEYS, d, KEYS), q.dtype), np.empty((QUERIES, KEYS), q.dtype)
    m, before, s, fade = (np.empty(QUERIES, q.dtype), np.empty(QUERIES, q.dtype), np.empty(QUERIES, q.dtype),
                          np.empty(QUERIES, q.dtype))
    _turn(k, scale, kt)
    block = QUERIES // 2 if causal else QUERIES         # smaller steps along the diagonal compute less behind it
    for i in range(part * block, M, parts * block):
        b = min(block, M - i)
        end = min(i + b, N) if causal else N
        m[:], s[:] = -np.inf, 0
        for j in range(0, end, KEYS):
            n = min(KEYS, end - j)
            _product(gemm, q[i:], kt[j // KEYS], S, b, n, d, one, nothing)              # (1)
            if causal:
                _hide(S, b, n, i + 1 - j)
            if seen.size or added.size:
                _mask_tile(S, b, n, seen, added, start + i * row_step + j * step, row_step, step)
            for r in range(b):
                before[r] = m[r]
            _raise_top(S, b, n, m)                                                      # (2)
            _exp_tile(S, b, n, m)                                                       # (3)
            for r in range(b):
                fade[r] = np.exp(before[r] - m[r]) if before[r] < m[r] else one
                s[r] *= fade[r]                                                         # (3)
            _add_tile(S, b, n, s)                                                       # (3)
            if kept.size:
                _drop_tile(S, b, n, kept, kept_start + i * N + j, N)                    # (4)
            if j > 0:
                _scale_rows(y[i:], b, e, fade)                                          # (4)
            _product(gemm, S, v[j:], y[i:], b, e, n, one, one if j > 0 else nothing)    # (4)
        for r in range(b):
            fade[r] = share / s[r] if s[r] != 0 else nothing
            L[i + r] = m[r] + np.log(s[r]) if s[r] != 0 else np.inf                     # (5)
        _scale_rows(y[i:], b, e, fade)                                                  # (5)


@inner_jit
def _through_part(gemm, q, k, v, y, dy, L, scale, causal, seen, added, start, row_step, step, kept, kept_start, share,
                  part, parts, dq, dk, dv):
    (M, d), (N, e), one, nothing = q.shape, v.shape, q.dtype.type(1), q.dtype.type(0)
    tiles = (N + KEYS - 1) // KEYS
    kt, vt = np.empty((tiles, d, KEYS), q.dtype), np.empty((tiles, e, KEYS), q.dtype)
    P, D, g = np.empty((QUERIES, KEYS), q.dtype), np.empty((QUERIES, KEYS), q.dtype), np.empty(QUERIES, q.dtype)
    _turn(k, scale, kt)
    _turn(v, one, vt)
    block = QUERIES // 2 if causal else QUERIES
    for i in range(part * block, M, parts * block):
        b = min(block, M - i)
        end = min(i + b, N) if causal else N
        _dots(y[i:], dy[i:], b, e, g)                                                   # (7)
        for j in range(0, end, KEYS):
            n = min(KEYS, end - j)
            _product(gemm, q[i:], kt[j // KEYS], P, b, n, d, one, nothing)              # (1)
            _product(gemm, dy[i:], vt[j // KEYS], D, b, n, e, share, nothing)           # (8)
            if causal:
                _hide(P, b, n, i + 1 - j)
            if seen.size or added.size:
                _mask_tile(P, b, n, seen, added, start + i * row_step + j * step, row_step, step)
            if kept.size:
                _drop_tile(D, b, n, kept, kept_start + i * N + j, N)                    # (8)
            if end <= KEYS:         # one tile tells all, and that exactly: the slope of a single key is 0
                _softmax_tile(P, b, n)                                                  # (6)
                _dots(P, D, b, n, g)                                                    # (7)
            else:
                _exp_tile(P, b, n, L[i:])                                               # (6)
            _slopes(P, D, b, n, g)                                                      # (8)
            if kept.size:
                _drop_tile(P, b, n, kept, kept_start + i * N + j, N)                    # (9)
            _turned_product(gemm, P, dy[i:], dv[j:], n, e, b, share)                    # (9)
            _product(gemm, D, k[j:], dq[i:], b, d, n, scale, one if j > 0 else nothing)     # (10)
            _turned_product(gemm, D, q[i:], dk[j:], n, d, b, scale)                     # (10)


@parallel_jit
def _attend(gemm, q, k, v, scale, causal, seen, added, starts, row_step, step, kept, share, parts, y, L):
    (H, M, _), N = q.shape, k.shape[1]
    for unit in prange(H * parts):
        h, part = unit // parts, unit % parts
        _attend_part(gemm, q[h], k[h], v[h], scale, causal, seen, added, starts[h], row_step, step, kept, h * M * N,
                     share, part, parts, y[h], L[h])


@parallel_jit
def _through(gemm, q, k, v, y, dy, L, scale, causal, seen, added, starts, row_step, step, kept, share, dq, dk, dv):
    """dq, and dk and dv (H, parts, N, ...) from each part of the queries."""
    (H, M, _), N, parts = q.shape, k.shape[1], dk.shape[1]
    for unit in prange(H * parts):
        h, part = unit // parts, unit % parts
        _through_part(gemm, q[h], k[h], v[h], y[h], dy[h], L[h], scale, causal, seen, added, starts[h], row_step, step,
                      kept, h * M * N, share, part, parts, dq[h], dk[h, part], dv[h, part])


# %% 4. The doors
def fit(*arrays):
    """Are the kernels for these arrays: floating, none of them empty, and BLAS is there?"""
    dtype = np.result_type(*arrays)
    return dtype in (np.float32, np.float64) and all(a.size for a in arrays) and threads.gemm(dtype) is not None


def _heads(*arrays):
    return [a.reshape(math.prod(a.shape[:-2]), *a.shape[-2:]) for a in contiguous(*arrays)]


def _mask(mask, lead, M, N, dtype):
    """What the kernels take for a mask: it lies flat as it was given, and is repeated by steps of 0.

    Returns (boolean, floating, where each head's part begins, the step to the next query, the step to the next key).
    """
    seen, added, starts = np.empty(0, bool), np.empty(0, dtype), np.zeros(math.prod(lead), np.int64)
    if mask is None:
        return seen, added, starts, 0, 0
    mask = mask.reshape((1,) * (2 - mask.ndim) + mask.shape)
    *before, rows, keys = mask.shape
    starts[:] = np.broadcast_to(np.arange(math.prod(before)).reshape(before) * rows * keys, lead).reshape(-1)
    steps = keys if rows > 1 else 0, 1 if keys > 1 else 0
    flat = np.require(mask.reshape(-1), bool if mask.dtype == bool else dtype, ["C", "A", "W"])
    return (flat, added, starts, *steps) if mask.dtype == bool else (seen, flat, starts, *steps)


def _keep(keep):
    return np.empty(0, bool) if keep is None else np.require(keep.reshape(-1), bool, ["C", "A", "W"])


def forward(Q, K, V, mask, keep, causal, p, scale):
    """Y (..., M, e) and L (..., M)."""
    q, k, v = _heads(Q, K, V)
    (H, M, _), N, real = q.shape, k.shape[1], q.dtype.type
    y, L = np.empty((H, M, v.shape[2]), q.dtype), np.empty((H, M), q.dtype)
    masks, parts = _mask(mask, Q.shape[:-2], M, N, q.dtype), -(-PARTS // H)
    threads.with_one(lambda: _attend(threads.gemm(q.dtype), q, k, v, real(scale), causal, *masks, _keep(keep),
                                     real(1 / (1 - p)), parts, y, L))
    return y.reshape(*Q.shape[:-1], -1), L.reshape(Q.shape[:-1])


def backward(dY, Q, K, V, Y, L, mask, keep, causal, p, scale):
    q, k, v, y, dy, L = _heads(Q, K, V, Y, dY, L[..., None])
    (H, M, d), (_, N, e), real = q.shape, v.shape, q.dtype.type
    masks, parts = _mask(mask, Q.shape[:-2], M, N, q.dtype), -(-PARTS // H)
    dq, dk, dv = np.empty_like(q), np.zeros((H, parts, N, d), q.dtype), np.zeros((H, parts, N, e), q.dtype)
    threads.with_one(lambda: _through(threads.gemm(q.dtype), q, k, v, y, dy, L[..., 0], real(scale), causal, *masks,
                                      _keep(keep), real(1 / (1 - p)), dq, dk, dv))
    dk, dv = (a if parts == 1 else a.sum(axis=1) for a in (dk, dv))
    return dq.reshape(Q.shape), dk.reshape(K.shape), dv.reshape(V.shape)
