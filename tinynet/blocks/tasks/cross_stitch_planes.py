"""Speed only: cross-stitch over long planes, a plane being a channel of an example.

Why it is fast: the entries of A are scalars, and the loops run along a plane.  A loop takes as many tasks at once as
the processor has room for, so that a number that was read serves several sums: for two tasks each is read once, for
four each is read once or twice, otherwise T times, and then mostly from the nearest cache.

    (1)  y[i] = sum_j a[c,i,j] x[j]
    (2)  dx[j] = sum_i a[c,i,j] dy[i]
    (3)  dA[n,c,i,j] = sum_p dy[i,p] x[j,p]             added over n at the end

x, y (T, N, C, P)   a (C, T, T)   dA (N, C, T, T)   T tasks, N examples, C channels, P entries of a plane
An example belongs to one thread, and each plane has sums of its own, so the bits don't depend on the threads.
A helper of cross_stitch.
"""

import numpy as np

from tinynet.jit import parallel_jit, prange, reordering_jit


# %% 1. Any number of tasks
@parallel_jit
def _stitch(x, a, y):
    T, N, C, P = x.shape
    for n in prange(N):
        for c in range(C):
            for i in range(T):
                to = y[i, n, c]
                for j in range(T):
                    alpha, of = a[c, i, j], x[j, n, c]
                    if j == 0:
                        for p in range(P):
                            to[p] = alpha * of[p]                           # (1)
                    else:
                        for p in range(P):
                            to[p] += alpha * of[p]                          # (1)


@reordering_jit
def _unstitch(dy, x, a, dx, dA):
    T, N, C, P = x.shape
    for n in prange(N):
        for c in range(C):
            for j in range(T):
                of, to = x[j, n, c], dx[j, n, c]
                for i in range(T):
                    alpha, d, total = a[c, i, j], dy[i, n, c], x.dtype.type(0)
                    if i == 0:
                        for p in range(P):
                            to[p] = alpha * d[p]                            # (2)
                            total += d[p] * of[p]                           # (3)
                    else:
                        for p in range(P):
                            to[p] += alpha * d[p]                           # (2)
                            total += d[p] * of[p]                           # (3)
                    dA[n, c, i, j] = total


# %% 2. Two tasks
@parallel_jit
def _stitch_two(x, a, y):
    _, N, C, P = x.shape
    for n in prange(N):
        for c in range(C):
            AA, AB, BA, BB = a[c, 0, 0], a[c, 0, 1], a[c, 1, 0], a[c, 1, 1]
            x_A, x_B, y_A, y_B = x[0, n, c], x[1, n, c], y[0, n, c], y[1, n, c]
            for p in range(P):
                u, v = x_A[p], x_B[p]
                y_A[p] = AA * u + AB * v                                    # (1)
                y_B[p] = BA * u + BB * v                                    # (1)


@reordering_jit
def _unstitch_two(dy, x, a, dx, dA):
    _, N, C, P = x.shape
    for n in prange(N):
        for c in range(C):
            AA, AB, BA, BB = a[c, 0, 0], a[c, 0, 1], a[c, 1, 0], a[c, 1, 1]
            x_A, x_B, dy_A, dy_B = x[0, n, c], x[1, n, c], dy[0, n, c], dy[1, n, c]
            dx_A, dx_B = dx[0, n, c], dx[1, n, c]
            to_AA = to_AB = to_BA = to_BB = x.dtype.type(0)
            for p in range(P):
                u, v, d, e = x_A[p], x_B[p], dy_A[p], dy_B[p]
                dx_A[p] = AA * d + BA * e                                   # (2)
                dx_B[p] = AB * d + BB * e                                   # (2)
                to_AA += d * u                                              # (3)
                to_AB += d * v                                              # (3)
                to_BA += e * u                                              # (3)
                to_BB += e * v                                              # (3)
            dA[n, c, 0, 0], dA[n, c, 0, 1], dA[n, c, 1, 0], dA[n, c, 1, 1] = to_AA, to_AB, to_BA, to_BB


# %% 3. Four tasks: all four into one forward, all four into two at once backward
@reordering_jit
def _stitch_four(x, a, y):
    _, N, C, P = x.shape
    for n in prange(N):
        for c in range(C):
            x_0, x_1, x_2, x_3 = x[0, n, c], x[1, n, c], x[2, n, c], x[3, n, c]
            for i in range(4):
                to, a_0, a_1, a_2, a_3 = y[i, n, c], a[c, i, 0], a[c, i, 1], a[c, i, 2], a[c, i, 3]
                for p in range(P):
                    to[p] = a_0 * x_0[p] + a_1 * x_1[p] + a_2 * x_2[p] + a_3 * x_3[p]       # (1)


@reordering_jit
def _unstitch_four(dy, x, a, dx, dA):
    _, N, C, P = x.shape
    for n in prange(N):
        for c in range(C):
            dy_0, dy_1, dy_2, dy_3 = dy[0, n, c], dy[1, n, c], dy[2, n, c], dy[3, n, c]
            for j in range(0, 4, 2):
                x_A, x_B, dx_A, dx_B = x[j, n, c], x[j + 1, n, c], dx[j, n, c], dx[j + 1, n, c]
                a_0, a_1, a_2, a_3 = a[c, 0, j], a[c, 1, j], a[c, 2, j], a[c, 3, j]
                b_0, b_1, b_2, b_3 = a[c, 0, j + 1], a[c, 1, j + 1], a[c, 2, j + 1], a[c, 3, j + 1]
                to_0A = to_1A = to_2A = to_3A = to_0B = to_1B = to_2B = to_3B = x.dtype.type(0)
                for p in range(P):
                    u, v, d, e, f, g = x_A[p], x_B[p], dy_0[p], dy_1[p], dy_2[p], dy_3[p]
                    dx_A[p] = a_0 * d + a_1 * e + a_2 * f + a_3 * g         # (2)
                    dx_B[p] = b_0 * d + b_1 * e + b_2 * f + b_3 * g         # (2)
                    to_0A += d * u                                          # (3)
                    to_1A += e * u                                          # (3)
                    to_2A += f * u                                          # (3)
                    to_3A += g * u                                          # (3)
                    to_0B += d * v                                          # (3)
                    to_1B += e * v                                          # (3)
                    to_2B += f * v                                          # (3)
                    to_3B += g * v                                          # (3)
                dA[n, c, 0, j], dA[n, c, 1, j], dA[n, c, 2, j], dA[n, c, 3, j] = to_0A, to_1A, to_2A, to_3A
                k = j + 1
                dA[n, c, 0, k], dA[n, c, 1, k], dA[n, c, 2, k], dA[n, c, 3, k] = to_0B, to_1B, to_2B, to_3B


# %% 4. The doors
KERNELS = {2: (_stitch_two, _unstitch_two), 4: (_stitch_four, _unstitch_four)}


def forward(x, a):
    """y (T, N, C, P); all arrays are contiguous."""
    y = np.empty_like(x)
    KERNELS.get(len(x), (_stitch, _unstitch))[0](x, a, y)                   # (1)
    return y


def backward(dy, x, a):
    """dx (T, N, C, P) and dA (C, T, T)."""
    T, N, C, _ = x.shape
    dx, dA = np.empty_like(x), np.empty((N, C, T, T), x.dtype)
    KERNELS.get(T, (_stitch, _unstitch))[1](dy, x, a, dx, dA)               # (2)
    return dx, dA.sum(axis=0)                                               # (3)
