"""3 x 3 convolutions of stride 1 of few large images: Winograd's transforms in NumPy, the 36 products by BLAS.

The equations are those of winograd.py.  Its loops run along the images of a batch; where there is one image, rows of
tiles have to take their place.  The columns are first laid apart by their remainder modulo 4, so that one slice holds
the same column of all tiles.  BLAS then does 36 products of (K, C) by (C, tiles), each long enough to be worth it.
"""

import numpy as np

from tinynet import threads
from tinynet.blocks.images.conv import im2col, winograd

DOES = winograd.DOES
LARGE = 2**19           # numbers, 2 MiB in float32: the transformed tiles of some rows


def does(way, groups):
    return winograd.does(way, groups)


def worthwhile(way, N, C, K):
    """Is it faster than one product?  On large maps: on small ones the filters' transform costs more than it saves."""
    return N < 16 and min(way.out) >= 56 and min(C, K) >= 32


def forward(x, w, way, groups):
    (C, H, W, N), (Ho, Wo), (p, q), K = x.shape, way.out, way.padding, len(w)
    rows, columns = -(-Ho // 4), -(-Wo // 4)                            # of tiles
    xp = np.zeros((C, 4 * rows + 2, 4 * columns + 4, N), x.dtype)
    xp[:, p:p + H, q:q + W] = x
    apart = xp.reshape(C, 4 * rows + 2, columns + 1, 4, N).transpose(3, 1, 0, 2, 4)
    apart = np.ascontiguousarray(apart)                                 # apart[s, h, c, j] is column 4 j + s
    U, y = winograd.filters(w)[:, :K, :C], np.empty((K, 4 * rows, columns, 4, N), x.dtype)
    some = max(1, LARGE // max(1, 36 * C * columns * N))
    for first in range(0, rows, some):
        _band(apart, U, y, first, min(some, rows - first))              # (1)
    return np.ascontiguousarray(y.reshape(K, 4 * rows, 4 * columns, N)[:, :Ho, :Wo])


def _band(apart, U, y, first, count):
    """Rows 4 first to 4 (first + count) of y (K, rows, tiles, 4, N)."""
    (_, _, C, tiles, N), K = apart.shape, len(y)
    tiles -= 1
    half = _before([apart[:, 4 * first + r:4 * (first + count - 1) + r + 1:4] for r in range(6)])
    V = np.empty((36, C, count, tiles, N), apart.dtype)
    for r in range(6):
        six = [half[r][s % 4, :, :, s // 4:s // 4 + tiles].transpose(1, 0, 2, 3) for s in range(6)]
        for s, tile in enumerate(_before(six)):
            V[6 * r + s] = tile
    M = threads.matmul(U, V.reshape(36, C, count * tiles * N)).reshape(6, 6, K, count, tiles, N)
    for a, row in enumerate(_after(M)):
        for b, number in enumerate(_after(row)):
            y[:, 4 * first + a:4 * (first + count):4, :, b] = number


def _before(d):
    """B^T d, for a list of six arrays."""
    even, odd, even_2, odd_2 = d[4] - 4 * d[2], d[3] - 4 * d[1], d[4] - d[2], 2 * (d[3] - d[1])
    return [4 * d[0] - 5 * d[2] + d[4], even + odd, even - odd, even_2 + odd_2, even_2 - odd_2,
            4 * d[1] - 5 * d[3] + d[5]]


def _after(m):
    """A^T m, for six arrays."""
    b, c, d, e = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    return [m[0] + b + d, c + 2 * e, b + 4 * d, c + 8 * e + m[5]]


# the gradients gain less, and few train on single images
image_gradient, filter_gradient = im2col.image_gradient, im2col.filter_gradient
