"""3 x 3 convolutions of stride 1 or 2 with padding 1, summed directly: nine shifted rows and two filters at a time.

    y[k,i,j] = sum_crs w[k,c,r,s] x[c, u i + r - 1, u j + s - 1]        conv's equation 1
    dx[c,i,j] = sum_krs w[k,c,r,s] dy[k, i + 1 - r, j + 1 - s]          2, stride 1: 1 with the filters turned round
    dx[c, 2i + a, 2j + b] takes of the nine taps those that meet it     2, stride 2: 1, 2, 2 or 4 of them
    dw[k,c,r,s] = sum_ijn dy[k,i,j] x[c, u i + r - 1, u j + s - 1]      3

x (C, H, W, N)   y, dy (K, Ho, Wo, N)   w (K, C, 3, 3)   u stride   letters as in conv; each term holds for every n
Why fast: each row is copied three times in place of nine, with its margins (stride 2: odd and even columns apart); in
these copies all nine shifts are runs of Wo N numbers, and 18 multiplications need 9 numbers from memory, for two
filters share them.
"""

import numpy as np

from tinynet.blocks.images.batch_last import aligned
from tinynet.jit import PARTS, inner_jit, parallel_jit, prange, reordering_inner_jit

DOES = "3 x 3 filters with padding 1, of stride 1, or of stride 2 on images of even height and width; one group"


def does(way, groups):
    fits = way.stride == (1, 1) or (way.stride == (2, 2) and way.image[0] % 2 == 0 == way.image[1] % 2)
    return way.size == (3, 3) and way.padding == way.dilation == (1, 1) and groups == 1 and fits


def forward(x, w, way, groups):
    y = aligned((len(w), *way.out, x.shape[3]), x.dtype)
    _convolve(x, _even(w), way.stride[0], y)
    return y


def image_gradient(dy, w, way, groups):
    dx = aligned((w.shape[1], *way.image, dy.shape[3]), dy.dtype)
    if way.stride == (1, 1):
        turned = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)                      # (2)
        _convolve(dy, _even(turned), 1, dx)                                     # (2)
    else:
        _scatter(dy, _even(w), dx)
    return dx


def filter_gradient(dy, x, way, groups):
    K, C = len(dy), len(x)
    parts = np.zeros((min(PARTS, way.out[0]), K + K % 2, C, 3, 3), dy.dtype)
    _sum_rows(x, dy, way.stride[0], parts)
    return parts.sum(axis=0)[:K]                                                # (3)


def _even(w):
    """The filters, with one of zeros where their number is odd."""
    K, C = w.shape[:2]
    even = np.zeros((K + K % 2, C, 3, 3), w.dtype)
    even[:K] = w
    return even


# %% Nine taps of two filters
@inner_jit
def _add_taps(y0, y1, x0, x1, x2, x3, x4, x5, x6, x7, x8, w0, w1, L):
    a0, a1, a2, a3, a4, a5, a6, a7, a8 = (w0[0, 0], w0[0, 1], w0[0, 2], w0[1, 0], w0[1, 1], w0[1, 2], w0[2, 0],
                                          w0[2, 1], w0[2, 2])
    b0, b1, b2, b3, b4, b5, b6, b7, b8 = (w1[0, 0], w1[0, 1], w1[0, 2], w1[1, 0], w1[1, 1], w1[1, 2], w1[2, 0],
                                          w1[2, 1], w1[2, 2])
    for p in range(L):
        y0[p] = (y0[p] + a0 * x0[p] + a1 * x1[p] + a2 * x2[p] + a3 * x3[p] + a4 * x4[p] + a5 * x5[p] + a6 * x6[p]
                 + a7 * x7[p] + a8 * x8[p])                                     # (1)
        y1[p] = (y1[p] + b0 * x0[p] + b1 * x1[p] + b2 * x2[p] + b3 * x3[p] + b4 * x4[p] + b5 * x5[p] + b6 * x6[p]
                 + b7 * x7[p] + b8 * x8[p])                                     # (1)


@reordering_inner_jit
def _sum_taps(d0, d1, x0, x1, x2, x3, x4, x5, x6, x7, x8, w0, w1, L):
    """w0 (3, 3) += sum_p d0[p] x[p] for each of the nine rows, and w1 with d1."""
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = a8 = b0 = b1 = b2 = b3 = b4 = b5 = b6 = b7 = b8 = x0.dtype.type(0)
    for p in range(L):
        d, e = d0[p], d1[p]
        a0 += d * x0[p]
        b0 += e * x0[p]
        a1 += d * x1[p]
        b1 += e * x1[p]
        a2 += d * x2[p]
        b2 += e * x2[p]
        a3 += d * x3[p]
        b3 += e * x3[p]
        a4 += d * x4[p]
        b4 += e * x4[p]
        a5 += d * x5[p]
        b5 += e * x5[p]
        a6 += d * x6[p]
        b6 += e * x6[p]
        a7 += d * x7[p]
        b7 += e * x7[p]
        a8 += d * x8[p]
        b8 += e * x8[p]
    for t, s in enumerate((a0, a1, a2, a3, a4, a5, a6, a7, a8)):
        w0[t // 3, t % 3] += s                                                  # (3)
    for t, s in enumerate((b0, b1, b2, b3, b4, b5, b6, b7, b8)):
        w1[t // 3, t % 3] += s                                                  # (3)


@inner_jit
def _back_taps(e00, e01, e10, e11, y, yr, v, vr, z, zr, t, tr, w0, w1, L):
    """dx at even and odd rows and columns, from dy[i,j], dy[i,j+1], dy[i+1,j], dy[i+1,j+1] of two filters."""
    a0, a1, a2, a3, a4, a5, a6, a7, a8 = (w0[0, 0], w0[0, 1], w0[0, 2], w0[1, 0], w0[1, 1], w0[1, 2], w0[2, 0],
                                          w0[2, 1], w0[2, 2])
    b0, b1, b2, b3, b4, b5, b6, b7, b8 = (w1[0, 0], w1[0, 1], w1[0, 2], w1[1, 0], w1[1, 1], w1[1, 2], w1[2, 0],
                                          w1[2, 1], w1[2, 2])
    for p in range(L):
        e00[p] = e00[p] + a4 * y[p] + b4 * z[p]                                 # (2)
        e01[p] = e01[p] + a5 * y[p] + a3 * yr[p] + b5 * z[p] + b3 * zr[p]       # (2)
        e10[p] = e10[p] + a7 * y[p] + a1 * v[p] + b7 * z[p] + b1 * t[p]         # (2)
        e11[p] = (e11[p] + a8 * y[p] + a6 * yr[p] + a2 * v[p] + a0 * vr[p]
                  + b8 * z[p] + b6 * zr[p] + b2 * t[p] + b0 * tr[p])            # (2)


# %% One row of y
@inner_jit
def _room(size, number):
    """An array of so many numbers that begins where a line of the cache begins, so that no vector lies across two."""
    room = np.empty(size + 16, number)
    skip = (64 - room.ctypes.data % 64) % 64 // room.itemsize
    return room[skip:skip + size]


@inner_jit
def _three_rows(x, i, u, rows):
    """rows (C, 3, u, (Wo + 2) N): the three rows of x under row i of y, with their margins of zeros.

    Stride 1: as they are.  Stride 2: the odd columns, from column -1 on, then the even ones.
    """
    C, H, W, N = x.shape
    for c in range(C):
        for r in range(3):
            h = u * i + r - 1
            if h < 0 or h >= H:
                rows[c, r] = 0
                continue
            source = x[c, h].reshape(-1)
            if u == 1:
                row = rows[c, r, 0]
                row[:N] = 0
                row[(W + 1) * N:] = 0
                inside = row[N:]
                for p in range(W * N):
                    inside[p] = source[p]
            else:
                odd, even = rows[c, r, 0], rows[c, r, 1]
                odd[:N] = 0
                for j in range(W // 2):
                    to, at = even[j * N:], source[2 * j * N:]
                    for p in range(N):
                        to[p] = at[p]
                    to, at = odd[(j + 1) * N:], source[(2 * j + 1) * N:]
                    for p in range(N):
                        to[p] = at[p]


@inner_jit
def _shifts(rows, c, u, N):
    """The nine shifted rows of channel c, in the order of the taps."""
    a, b, d = rows[c, 0, 0], rows[c, 1, 0], rows[c, 2, 0]
    if u == 1:
        return a, a[N:], a[2 * N:], b, b[N:], b[2 * N:], d, d[N:], d[2 * N:]
    return a, rows[c, 0, 1], a[N:], b, rows[c, 1, 1], b[N:], d, rows[c, 2, 1], d[N:]


@parallel_jit
def _convolve(x, w, u, y):
    (C, _, _, N), (K, Ho, Wo, _) = x.shape, y.shape
    L = Wo * N
    for i in prange(Ho):
        rows = _room(C * 3 * u * (Wo + 2) * N, x.dtype).reshape(C, 3, u, (Wo + 2) * N)
        spare = _room(L, x.dtype)
        _three_rows(x, i, u, rows)
        for k in range(0, K, 2):
            y0 = y[k, i].reshape(-1)
            y1 = y[k + 1, i].reshape(-1) if k + 1 < K else spare
            y0[:] = 0
            y1[:] = 0
            for c in range(C):
                x0, x1, x2, x3, x4, x5, x6, x7, x8 = _shifts(rows, c, u, N)
                _add_taps(y0, y1, x0, x1, x2, x3, x4, x5, x6, x7, x8, w[k, c], w[k + 1, c], L)


@parallel_jit
def _sum_rows(x, dy, u, parts):
    """parts (P, K, C, 3, 3): dw summed over the rows of each part."""
    (C, _, _, N), (K, Ho, Wo, _), P = x.shape, dy.shape, len(parts)
    L = Wo * N
    for part in prange(P):
        rows = _room(C * 3 * u * (Wo + 2) * N, x.dtype).reshape(C, 3, u, (Wo + 2) * N)
        zero = np.zeros(L, x.dtype)
        for i in range(part * Ho // P, (part + 1) * Ho // P):
            _three_rows(x, i, u, rows)
            for k in range(0, K, 2):
                d0 = dy[k, i].reshape(-1)
                d1 = dy[k + 1, i].reshape(-1) if k + 1 < K else zero
                for c in range(C):
                    x0, x1, x2, x3, x4, x5, x6, x7, x8 = _shifts(rows, c, u, N)
                    _sum_taps(d0, d1, x0, x1, x2, x3, x4, x5, x6, x7, x8, parts[part, k, c], parts[part, k + 1, c], L)


@parallel_jit
def _scatter(dy, w, dx):
    """dx of stride 2; a row of dy owns two rows of dx."""
    (K, Ho, Wo, N), C = dy.shape, len(dx)
    L = Wo * N
    for i in prange(Ho):
        rows = _room(len(w) * 2 * (L + N), dy.dtype).reshape(len(w), 2, L + N)  # dy of two rows, with a margin
        e = _room(4 * L, dy.dtype).reshape(4, L)
        rows[:] = 0
        for k in range(K):
            for r in range(min(2, Ho - i)):
                source = dy[k, i + r].reshape(-1)
                for p in range(L):
                    rows[k, r, p] = source[p]
        for c in range(C):
            e[:] = 0
            for k in range(0, K, 2):
                y, v, z, t = rows[k, 0], rows[k, 1], rows[k + 1, 0], rows[k + 1, 1]
                _back_taps(e[0], e[1], e[2], e[3], y, y[N:], v, v[N:], z, z[N:], t, t[N:], w[k, c], w[k + 1, c], L)
            for a in range(2):
                out = dx[c, 2 * i + a].reshape(-1)
                for j in range(Wo):
                    for b in range(2):
                        to, at = out[(2 * j + b) * N:], e[2 * a + b, j * N:]
                        for p in range(N):
                            to[p] = at[p]
