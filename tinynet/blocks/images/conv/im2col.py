"""Any convolution as one product: the pixels under each window become a column (image to columns).

    columns[(c,r,s), (i,j,n)] = xp[c, u i + e r, u j + e s, n]
    y = w columns,  w (K, C R S)                                conv's equation 1
    dcolumns = w^T dy, which flows back to where it came from   2
    dw = dy columns^T                                           3

x, xp (C, H, W, N)   y, dy (K, Ho, Wo, N)   letters as in conv
Why fast: BLAS multiplies.  Why not always: each pixel is copied R S times, and a product of 16 channels is too small to
hide it.  A few rows of y at a time keep the columns in the cache; a window of one tap needs no copy at all.
Chellapilla et al. 2006, High performance convolutional neural networks for document processing.
"""

import math

import numpy as np

from tinynet import threads
from tinynet.jit import PARTS, contiguous, inner_jit, parallel_jit, prange
from tinynet.threads import AS_IT_IS, BY_ROWS

DOES = "every convolution"
COLUMNS = 2**20         # numbers, 4 MiB in float32: what the columns of some rows may take
LARGE = 2**23           # multiplications, half a millisecond: what is worth a second thread


def does(way, groups):
    return True


def forward(x, w, way, groups):
    K, (Ho, Wo), N = len(w), way.out, x.shape[3]
    y, xp = np.empty((K, Ho, Wo, N), x.dtype), _padded(x, way)
    steps = [(g, rows) for g in range(groups) for rows in _rows(x.shape[0] // groups, N, way)]
    multiply = np.matmul if len(steps) > 1 else _product

    def work(step):
        group, rows = step
        k, c = _of_group(group, groups, K), _of_group(group, groups, len(x))
        out = y[k, rows]
        out[...] = multiply(_matrix(w[k]), _columns(xp[c], rows, way)).reshape(out.shape)  # (1)
    _each(work, steps, w.size * Ho * Wo * N)
    return y


def image_gradient(dy, w, way, groups):
    K, C, N = len(w), w.shape[1] * groups, dy.shape[3]
    (p, q), (H, W) = way.padding, way.image
    if way.size == way.stride == (1, 1) and way.padding == (0, 0) and groups == 1:  # dcolumns are dx itself
        return threads.matmul(_matrix(w).T, _matrix(dy)).reshape(C, H, W, N)  # (2)
    dxp = np.zeros((C, *way.room(), N), dy.dtype)
    for group in range(groups):
        k, c = _of_group(group, groups, K), _of_group(group, groups, C)
        filters = _matrix(w[k]).T
        for rows in _rows(C // groups, N, way):
            dcolumns = threads.matmul(filters, _matrix(dy[k, rows]))  # (2)
            dcolumns = dcolumns.reshape(C // groups, *way.size, rows.stop - rows.start, way.out[1], N)
            for r, s in way.taps():
                seen = _seen(dxp[c], r, s, rows, way)
                seen += dcolumns[:, r, s]  # (2)
    return np.ascontiguousarray(dxp[:, p:p + H, q:q + W])       # so that the next layer needn't copy it


def filter_gradient(dy, x, way, groups):
    K, xp = len(dy), _padded(x, way)
    steps = _rows(len(x) // groups, x.shape[3], way)
    parts = min(PARTS, len(steps))
    dw = np.zeros((parts, groups, K // groups, len(x) // groups * way.size[0] * way.size[1]), dy.dtype)

    def work(part):
        for rows in steps[part::parts]:
            for group in range(groups):
                k, c = _of_group(group, groups, K), _of_group(group, groups, len(x))
                dw[part, group] += threads.matmul(_matrix(dy[k, rows]), _columns(xp[c], rows, way).T)  # (3)
    _each(work, range(parts), dw[0].size * dy.size // max(1, K))
    return dw.sum(axis=0).reshape(K, len(x) // groups, *way.size)


def _each(work, parts, multiplications):
    """Small products one after the other, large ones a thread each; a single one sees to its threads itself."""
    if len(parts) == 1:
        work(parts[0])
    elif multiplications in threads.SMALL:
        threads.with_one(lambda: [work(part) for part in parts])
    else:
        threads.each(work, parts)


def _product(a, b):
    """a @ b, of which a large one is done in PARTS by the threads of compiled loops.

    BLAS's own second thread would have to wait for a core, on which that of the kernel before still spins.
    """
    (m, k), n = a.shape, b.shape[1]
    gemm = threads.gemm(a.dtype) if m * n * k >= LARGE else None
    if not gemm:
        return threads.matmul(a, b)
    high, wide = (-(-m // PARTS), n) if m > n else (m, -(-n // PARTS))
    c = np.empty((m, n), a.dtype)
    threads.with_one(lambda: _multiply(gemm, *contiguous(a, b), c, high, wide))
    return c


@inner_jit
def _block(gemm, a, b, c, rows, columns):
    """The corner (rows, columns) of c = a b."""
    size, one, zero = a.itemsize, a.dtype.type(1), a.dtype.type(0)
    gemm(BY_ROWS, AS_IT_IS, AS_IT_IS, rows, columns, a.shape[1], one, a.ctypes.data, a.strides[0] // size,
         b.ctypes.data, b.strides[0] // size, zero, c.ctypes.data, c.strides[0] // size)


@parallel_jit
def _multiply(gemm, a, b, c, high, wide):
    """c = a b, one block after the other: `high` rows and `wide` columns of c."""
    m, n = c.shape
    across = -(-n // wide)
    for block in prange(-(-m // high) * across):
        i, j = block // across * high, block % across * wide
        _block(gemm, a[i:], b[:, j:], c[i:, j:], min(high, m - i), min(wide, n - j))


def _of_group(group, groups, count):
    return slice(group * count // groups, (group + 1) * count // groups)


def _padded(x, way):
    (p, q), (C, H, W, N) = way.padding, x.shape
    if not p and not q:
        return x
    xp = np.zeros((C, *way.room(), N), x.dtype)
    xp[:, p:p + H, q:q + W] = x
    return xp


def _rows(channels, N, way):
    """Slices of a few rows of y each, at least one, so that their columns have about COLUMNS entries."""
    Ho, Wo = way.out
    some = max(1, COLUMNS // max(1, channels * way.size[0] * way.size[1] * Wo * N))
    some = -(-Ho // max(1, -(-Ho // some)))             # the last slice is about as long as the others
    return [slice(i, min(i + some, Ho)) for i in range(0, Ho, some)]


def _seen(xp, r, s, rows, way):
    """The view (C, rows, Wo, N) of what tap (r, s) sees for these rows of y."""
    (u, v), (e, f), columns = way.stride, way.dilation, way.out[1]
    first, last = rows.start * u + e * r, (rows.stop - 1) * u + e * r
    return xp[:, first:last + 1:u, f * s:f * s + (columns - 1) * v + 1:v]


def _columns(xp, rows, way):
    C, _, _, N = xp.shape
    if way.size == (1, 1):
        return _matrix(_seen(xp, 0, 0, rows, way))
    columns = np.empty((C, *way.size, rows.stop - rows.start, way.out[1], N), xp.dtype)
    for r, s in way.taps():
        columns[:, r, s] = _seen(xp, r, s, rows, way)
    return columns.reshape(C * way.size[0] * way.size[1], (rows.stop - rows.start) * way.out[1] * N)


def _matrix(array):
    """The array with all axes but the first in one."""
    return array.reshape(len(array), math.prod(array.shape[1:]))
