"""3 x 3 convolutions of stride 1 by Winograd's F(4 x 4, 3 x 3): 36 products give 16 results that need 144.

    (W1)  U[k,c] = G w[k,c] G^T                      a filter of 3 x 3 becomes 6 x 6
    (W2)  V[c] = B^T d[c] B                          so does a tile of 6 x 6 pixels; tiles overlap by two
    (W3)  M[k] = sum_c U[k,c] V[c]                   entry by entry: this is all the multiplying
    (W4)  y[k] = A^T M[k] A                          6 x 6 becomes 4 x 4 results
    (W5)  dx: (W1) to (W4) on dy, with the filters turned by 180 degrees, k and c exchanged, and 2 - padding as margin
    (W6)  D[k] = A dy[k] A^T
    (W7)  dw[k,c] = G^T (sum_tiles D[k] V[c]) G

    B^T = 4  0 -5  0  1  0      G = 1/4   0    0        A^T = 1  1  1  1  1  0
          0 -4 -4  1  1  0         -1/6 -1/6 -1/6             0  1 -1  2 -2  0
          0  4 -4 -1  1  0         -1/6  1/6 -1/6             0  1  1  4  4  0
          0 -2 -1  2  1  0         1/24 1/12  1/6             0  1 -1  8 -8  1
          0  2 -1 -2  1  0         1/24 -1/12 1/6
          0  4  0 -5  0  1          0    0    1

x (C, H, W, N)   y, dy (K, Ho, Wo, N)   w (K, C, 3, 3)   letters as in conv
Why fast: 2.25 multiplications a result in place of 9, and all loops run along tiles and images, which lie side by side.
Rounding: (W4) takes differences of M, and (W7) of D V, that are 11 times larger than what is left of random images, and
so is their rounding: in float32 y, dx and dw are wrong by 1e-6 to 2e-6 of their norm, the direct sums by 3e-7.  The
error is relative to the largest numbers of a tile, 6 x 6 pixels for 4 x 4 results: beside one pixel of 1e4, results of
1e-3 are lost.  A pixel of nan or infinity spoils the 16 results of its tile and up to 9 of those beside it, in place of
9 in all.  B^T d B may be 100 times larger than d, so pixels overflow 100 times earlier.
Lavin and Gray 2016, arXiv:1509.09308; Winograd 1980.
"""

import numpy as np

from tinynet import threads
from tinynet.blocks.images.batch_last import aligned
from tinynet.jit import PARTS, inner_jit, parallel_jit, prange, reordering_inner_jit

DOES = "3 x 3 filters of stride 1 with padding of 0 to 2, dilation 1 and one group"
G = np.array([[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
              [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]])
GG = np.kron(G, G)              # on rows and columns at once: (36, 9)
LARGE = 8192                    # numbers, over channels, tiles and images, so that 36 times as many fit in the cache


def does(way, groups):
    return (way.size == (3, 3) and way.stride == way.dilation == (1, 1) and max(way.padding) <= 2 and groups == 1)


def forward(x, w, way, groups):
    return _convolved(x, filters(w), len(w), way.padding, way.out)             # (1)


def image_gradient(dy, w, way, groups):
    turned = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)                          # (W5)
    margin = tuple(2 - p for p in way.padding)                                  # (W5)
    return _convolved(dy, filters(turned), w.shape[1], margin, way.image)      # (2)


def filter_gradient(dy, x, way, groups):
    (K, Ho, Wo, N), C = dy.shape, len(x)
    parts = max(1, min(PARTS, -(-Ho // 4)))
    sums = np.zeros((parts, 36, _four(K), _four(C)), dy.dtype)
    _sum_tiles(x, dy, sums, *way.padding, _tiles(Wo, N, C))                     # (3)
    total = sums[0]
    for part in sums[1:]:
        total = total + part                                                    # (W7)
    dw = _product(GG.T, total.reshape(36, -1)).T                                # (W7)
    return np.ascontiguousarray(dw.reshape(_four(K), _four(C), 3, 3)[:K, :C])


def filters(w):
    """U (36, K, C), with filters and channels of zeros to the next multiple of four."""
    K, C = w.shape[:2]
    rows = np.zeros((_four(K), _four(C), 9), w.dtype)
    rows[:K, :C] = w.reshape(K, C, 9)
    U = _product(GG, rows.reshape(-1, 9).T)                                     # (W1)
    return U.reshape(36, _four(K), _four(C))


def _convolved(x, U, K, margin, out):
    N = x.shape[3]
    y = aligned((K, *out, N), x.dtype)
    _convolve(x, U, y, *margin, _tiles(out[1], N, len(x)))
    return y


def _product(matrix, columns):
    """A small product; two threads of BLAS would hinder the kernel that comes next."""
    matrix = matrix.astype(columns.dtype)
    return threads.product(lambda: matrix @ columns, matrix.size * columns.shape[1])


def _four(count):
    """The next multiple of four, 4 for none."""
    return max(4, -(-count // 4) * 4)


def _tiles(width, N, C):
    """How many tiles, of four columns each, are worked on at a time."""
    return max(1, min(-(-width // 4), LARGE // max(1, N * C)))


# %% Tiles into tiles: six rows, or six columns of each of `tiles` tiles.  Tile j is found `far` j numbers further on
# and goes `on` j numbers further on.  The slices are cut here, because a slice that is handed over costs as much as
# a hundred numbers.
@inner_jit
def _before(d0, d1, d2, d3, d4, d5, far, t0, t1, t2, t3, t4, t5, on, tiles, L):
    """t = B^T d."""
    number = d0.dtype.type
    two, four, five = number(2), number(4), number(5)
    for j in range(tiles):
        e0, e1, e2 = d0[j * far:], d1[j * far:], d2[j * far:]
        e3, e4, e5 = d3[j * far:], d4[j * far:], d5[j * far:]
        u0, u1, u2 = t0[j * on:], t1[j * on:], t2[j * on:]
        u3, u4, u5 = t3[j * on:], t4[j * on:], t5[j * on:]
        for p in range(L):
            a, b, c, d, e, f = e0[p], e1[p], e2[p], e3[p], e4[p], e5[p]
            u0[p] = four * a - five * c + e
            even, odd = e - four * c, d - four * b
            u1[p] = even + odd
            u2[p] = even - odd
            even, odd = e - c, two * (d - b)
            u3[p] = even + odd
            u4[p] = even - odd
            u5[p] = four * b - five * d + f


@inner_jit
def _after(m0, m1, m2, m3, m4, m5, far, z0, z1, z2, z3, on, tiles, L):
    """z = A^T m."""
    number = m0.dtype.type
    two, four, eight = number(2), number(4), number(8)
    for j in range(tiles):
        n0, n1, n2 = m0[j * far:], m1[j * far:], m2[j * far:]
        n3, n4, n5 = m3[j * far:], m4[j * far:], m5[j * far:]
        u0, u1, u2, u3 = z0[j * on:], z1[j * on:], z2[j * on:], z3[j * on:]
        for p in range(L):
            b, c, d, e = n1[p] + n2[p], n1[p] - n2[p], n3[p] + n4[p], n3[p] - n4[p]
            u0[p] = n0[p] + b + d
            u1[p] = c + two * e
            u2[p] = b + four * d
            u3[p] = c + eight * e + n5[p]


@inner_jit
def _spread(a0, a1, a2, a3, far, e0, e1, e2, e3, e4, e5, on, tiles, L):
    """e = A a."""
    number = a0.dtype.type
    two, four, eight = number(2), number(4), number(8)
    for j in range(tiles):
        b0, b1, b2, b3 = a0[j * far:], a1[j * far:], a2[j * far:], a3[j * far:]
        u0, u1, u2 = e0[j * on:], e1[j * on:], e2[j * on:]
        u3, u4, u5 = e3[j * on:], e4[j * on:], e5[j * on:]
        for p in range(L):
            a, b, c, d = b0[p], b1[p], b2[p], b3[p]
            u0[p] = a
            even, odd = a + c, b + d
            u1[p] = even + odd
            u2[p] = even - odd
            even, odd = a + four * c, two * b + eight * d
            u3[p] = even + odd
            u4[p] = even - odd
            u5[p] = d


# %% Products: four filters and four channels at a time, so that 16 multiplications need 8 numbers from memory
@inner_jit
def _multiply(M, U, V, t, k, L):
    """M[t, 0..3] = U[t, k..k+3] V[t]."""
    m0, m1, m2, m3 = M[t, 0], M[t, 1], M[t, 2], M[t, 3]
    for c in range(0, U.shape[2], 4):
        v0, v1, v2, v3 = V[t, c], V[t, c + 1], V[t, c + 2], V[t, c + 3]
        u00, u01, u02, u03 = U[t, k, c], U[t, k, c + 1], U[t, k, c + 2], U[t, k, c + 3]
        u10, u11, u12, u13 = U[t, k + 1, c], U[t, k + 1, c + 1], U[t, k + 1, c + 2], U[t, k + 1, c + 3]
        u20, u21, u22, u23 = U[t, k + 2, c], U[t, k + 2, c + 1], U[t, k + 2, c + 2], U[t, k + 2, c + 3]
        u30, u31, u32, u33 = U[t, k + 3, c], U[t, k + 3, c + 1], U[t, k + 3, c + 2], U[t, k + 3, c + 3]
        if c == 0:
            for p in range(L):
                a, b, d, e = v0[p], v1[p], v2[p], v3[p]
                m0[p] = u00 * a + u01 * b + u02 * d + u03 * e                   # (W3)
                m1[p] = u10 * a + u11 * b + u12 * d + u13 * e                   # (W3)
                m2[p] = u20 * a + u21 * b + u22 * d + u23 * e                   # (W3)
                m3[p] = u30 * a + u31 * b + u32 * d + u33 * e                   # (W3)
        else:
            for p in range(L):
                a, b, d, e = v0[p], v1[p], v2[p], v3[p]
                m0[p] = m0[p] + u00 * a + u01 * b + u02 * d + u03 * e           # (W3)
                m1[p] = m1[p] + u10 * a + u11 * b + u12 * d + u13 * e           # (W3)
                m2[p] = m2[p] + u20 * a + u21 * b + u22 * d + u23 * e           # (W3)
                m3[p] = m3[p] + u30 * a + u31 * b + u32 * d + u33 * e           # (W3)


@reordering_inner_jit
def _dots(D, V, sums, t, k, L):
    """sums[t, k..k+3] += the sums of D[t, 0..3] V[t] over tiles and images."""
    d0, d1, d2, d3 = D[t, 0], D[t, 1], D[t, 2], D[t, 3]
    for c in range(0, sums.shape[2], 4):
        v0, v1, v2, v3 = V[t, c], V[t, c + 1], V[t, c + 2], V[t, c + 3]
        s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = d0.dtype.type(0)
        s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = d0.dtype.type(0)
        for p in range(L):
            a, b, d, e = d0[p], d1[p], d2[p], d3[p]
            v = v0[p]
            s00 += a * v                                                        # (W7)
            s10 += b * v
            s20 += d * v
            s30 += e * v
            v = v1[p]
            s01 += a * v
            s11 += b * v
            s21 += d * v
            s31 += e * v
            v = v2[p]
            s02 += a * v
            s12 += b * v
            s22 += d * v
            s32 += e * v
            v = v3[p]
            s03 += a * v
            s13 += b * v
            s23 += d * v
            s33 += e * v
        rows = (s00, s01, s02, s03), (s10, s11, s12, s13), (s20, s21, s22, s23), (s30, s31, s32, s33)
        for i, row in enumerate(rows):
            for j in range(4):
                sums[t, k + i, c + j] += row[j]                                # (W7)


@inner_jit
def _room(size, number):
    """An array of so many numbers that begins where a line of the cache begins, so that no vector lies across two."""
    room = np.empty(size + 16, number)
    skip = (64 - room.ctypes.data % 64) % 64 // room.itemsize
    return room[skip:skip + size]


# %% Some tiles side by side, from the image to the result
@inner_jit
def _enter(x, top, left, tiles, rows, V, zero):
    """V (36, C, tiles N) = B^T d B of the tiles whose first pixel is (top, left), (top, left + 4), ...; zero outside x.

    rows (6, (4 tiles + 2) N) holds B^T d.
    """
    C, H, W, N = x.shape
    wide = 4 * tiles + 2
    first, last = max(0, -left), min(wide, W - left)        # columns of the tiles that lie inside the image
    if last <= first:
        first = last = wide
    for r in range(6):
        rows[r, :first * N] = 0
        rows[r, last * N:] = 0
    start, length = (left + first) * N, (last - first) * N
    for c in range(C):
        d0 = x[c, top].reshape(-1)[start:] if 0 <= top < H else zero
        d1 = x[c, top + 1].reshape(-1)[start:] if 0 <= top + 1 < H else zero
        d2 = x[c, top + 2].reshape(-1)[start:] if 0 <= top + 2 < H else zero
        d3 = x[c, top + 3].reshape(-1)[start:] if 0 <= top + 3 < H else zero
        d4 = x[c, top + 4].reshape(-1)[start:] if 0 <= top + 4 < H else zero
        d5 = x[c, top + 5].reshape(-1)[start:] if 0 <= top + 5 < H else zero
        a = first * N
        _before(d0, d1, d2, d3, d4, d5, 0, rows[0, a:], rows[1, a:], rows[2, a:], rows[3, a:], rows[4, a:],
                rows[5, a:], 0, 1, length)                                      # (W2)
        for r in range(6):
            t = rows[r]
            _before(t, t[N:], t[2 * N:], t[3 * N:], t[4 * N:], t[5 * N:], 4 * N, V[6 * r, c], V[6 * r + 1, c],
                    V[6 * r + 2, c], V[6 * r + 3, c], V[6 * r + 4, c], V[6 * r + 5, c], N, tiles, N)        # (W2)


@inner_jit
def _leave(M, q, z, y, top, left, tiles, spare):
    """Rows top to top + 3 of y (Ho, Wo, N), from column left on, = A^T M[:, q] A; what lies outside goes to spare."""
    Ho, Wo, N = y.shape
    for s in range(6):
        _after(M[s, q], M[6 + s, q], M[12 + s, q], M[18 + s, q], M[24 + s, q], M[30 + s, q], 0,
               z[0, s], z[1, s], z[2, s], z[3, s], 0, 1, tiles * N)             # (W4)
    whole = max(0, min(tiles, (Wo - left) // 4))
    rest = min(4 * tiles, Wo - left) - 4 * whole            # columns of the last tile, where it reaches beyond y
    for a in range(min(4, Ho - top)):
        y0, o = y[top + a].reshape(-1)[left * N:], whole * N
        _after(z[a, 0], z[a, 1], z[a, 2], z[a, 3], z[a, 4], z[a, 5], N,
               y0, y0[N:], y0[2 * N:], y0[3 * N:], 4 * N, whole, N)             # (W4)
        if rest > 0:
            _after(z[a, 0, o:], z[a, 1, o:], z[a, 2, o:], z[a, 3, o:], z[a, 4, o:], z[a, 5, o:], 0,
                   spare, spare[N:], spare[2 * N:], spare[3 * N:], 0, 1, N)     # (W4)
            last = y0[4 * o:]
            for p in range(rest * N):
                last[p] = spare[p]


@inner_jit
def _enter_gradient(dy, k, top, left, tiles, rows, D, zero):
    """D (36, 4, tiles N)[:, q] = A dy[k + q] A^T of the tiles from (top, left) on; zero outside dy."""
    K, Ho, Wo, N = dy.shape
    inside = max(0, min(4 * tiles, Wo - left))
    for q in range(4):
        known = k + q < K and inside > 0
        kq = min(k + q, K - 1)
        a0 = dy[kq, top].reshape(-1)[left * N:] if known and top < Ho else zero
        a1 = dy[kq, top + 1].reshape(-1)[left * N:] if known and top + 1 < Ho else zero
        a2 = dy[kq, top + 2].reshape(-1)[left * N:] if known and top + 2 < Ho else zero
        a3 = dy[kq, top + 3].reshape(-1)[left * N:] if known and top + 3 < Ho else zero
        _spread(a0, a1, a2, a3, 0, rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], 0, 1, inside * N)      # (W6)
        for r in range(6):
            e = rows[r]
            e[inside * N:4 * tiles * N] = 0
            _spread(e, e[N:], e[2 * N:], e[3 * N:], 4 * N, D[6 * r, q], D[6 * r + 1, q], D[6 * r + 2, q],
                    D[6 * r + 3, q], D[6 * r + 4, q], D[6 * r + 5, q], N, tiles, N)                     # (W6)


@parallel_jit
def _convolve(x, U, y, p, q, tiles):
    """y = x convolved with the filters of U, with a margin of p rows and q columns; a row of tiles owns its y."""
    (C, _, _, N), (K, Ho, Wo, _), number = x.shape, y.shape, x.dtype
    rows_of_tiles, L = (Ho + 3) // 4, tiles * N
    parts = min(rows_of_tiles, 4)
    for part in prange(parts):
        zero, spare, z = np.zeros(4 * L + 2 * N, number), _room(4 * N, number), _room(24 * L, number).reshape(4, 6, L)
        rows = _room(6 * (4 * L + 2 * N), number).reshape(6, 4 * L + 2 * N)
        V = _room(36 * U.shape[2] * L, number).reshape(36, U.shape[2], L)
        M = _room(144 * L, number).reshape(36, 4, L)
        V[:, C:] = 0
        for i in range(part * rows_of_tiles // parts, (part + 1) * rows_of_tiles // parts):
            for left in range(0, Wo, 4 * tiles):
                _enter(x, 4 * i - p, left - q, tiles, rows, V, zero)
                for k in range(0, U.shape[1], 4):
                    for t in range(36):
                        _multiply(M, U, V, t, k, L)
                    for f in range(min(4, K - k)):
                        _leave(M, f, z, y[k + f], 4 * i, left, tiles, spare)


@parallel_jit
def _sum_tiles(x, dy, sums, p, q, tiles):
    """sums (parts, 36, K, C) of D V over the tiles of each part's rows."""
    (C, _, _, N), (_, Ho, Wo, _), number = x.shape, dy.shape, x.dtype
    rows_of_tiles, L, parts = (Ho + 3) // 4, tiles * N, len(sums)
    for part in prange(parts):
        zero, rows = np.zeros(4 * L + 2 * N, number), _room(6 * (4 * L + 2 * N), number).reshape(6, 4 * L + 2 * N)
        V = _room(36 * sums.shape[3] * L, number).reshape(36, sums.shape[3], L)
        D = _room(144 * L, number).reshape(36, 4, L)
        V[:, C:] = 0
        mine = sums[part]
        for i in range(part * rows_of_tiles // parts, (part + 1) * rows_of_tiles // parts):
            for left in range(0, Wo, 4 * tiles):
                _enter(x, 4 * i - p, left - q, tiles, rows, V, zero)
                for k in range(0, sums.shape[2], 4):
                    _enter_gradient(dy, k, 4 * i, left, tiles, rows, D, zero)
                    for t in range(36):
                        _dots(D, V, mine, t, k, L)
