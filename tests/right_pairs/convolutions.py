"""Convolutions, pooling, interpolation: by loops, by windows, by matrices."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .registry import normal, right


@right(normal((2, 3, 7), (4, 3, 3), 4))
def conv1d_by_loops():
    def forward(x, w, b):
        N, _C, T = x.shape
        O, _, K = w.shape
        y = np.zeros((N, O, T - K + 1), dtype=np.result_type(x, w))
        for t in range(T - K + 1):
            y[:, :, t] = np.tensordot(x[:, :, t:t + K], w, ([1, 2], [1, 2]))
        return y + b[None, :, None], (x, w)

    def backward(d, c):
        x, w = c
        K = w.shape[2]
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for t in range(d.shape[2]):
            dx[:, :, t:t + K] += np.tensordot(d[:, :, t], w, (1, 0))
            dw += np.einsum("no,nck->ock", d[:, :, t], x[:, :, t:t + K])
        return dx, dw, d.sum((0, 2))
    return forward, backward


@right(normal((2, 2, 5, 4), (3, 2, 2, 2)))
def conv2d_by_windows():
    def forward(x, w):
        v = sliding_window_view(x, w.shape[2:], (2, 3))
        return np.einsum("nchwij,ocij->nohw", v, w), (x, w)

    def backward(d, c):
        x, w = c
        I, J = w.shape[2:]
        dw = np.einsum("nchwij,nohw->ocij", sliding_window_view(x, (I, J), (2, 3)), d)
        padded = np.pad(d, ((0, 0), (0, 0), (I - 1, I - 1), (J - 1, J - 1)))
        dx = np.einsum("nohwij,ocij->nchw", sliding_window_view(padded, (I, J), (2, 3)), w[:, :, ::-1, ::-1])
        return dx, dw
    return forward, backward


@right(normal((1, 2, 6, 6), (3, 2, 3, 3), 3))
def conv2d_with_stride_and_padding():
    stride, pad = 2, 1

    def forward(x, w, b):
        xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        v = sliding_window_view(xp, w.shape[2:], (2, 3))[:, :, ::stride, ::stride]
        return np.einsum("nchwij,ocij->nohw", v, w) + b.reshape(1, -1, 1, 1), (x, xp, w)

    def backward(d, c):
        _x, xp, w = c
        dxp, dw = np.zeros_like(xp), np.zeros_like(w)
        K = w.shape[2]
        for i in range(d.shape[2]):
            for j in range(d.shape[3]):
                here = np.s_[:, :, i * stride:i * stride + K, j * stride:j * stride + K]
                dxp[here] += np.einsum("no,ocij->ncij", d[:, :, i, j], w)
                dw += np.einsum("no,ncij->ocij", d[:, :, i, j], xp[here])
        return dxp[:, :, pad:-pad, pad:-pad], dw, d.sum(axis=(0, 2, 3))
    return forward, backward


@right(normal((2, 3, 5), (3, 2)))
def depthwise_conv():
    def forward(x, w):
        return x[:, :, :-1] * w[:, 0, None] + x[:, :, 1:] * w[:, 1, None], (x, w)

    def backward(d, c):
        x, w = c
        dx = np.zeros_like(x)
        dx[:, :, :-1] += d * w[:, 0, None]
        dx[:, :, 1:] += d * w[:, 1, None]
        return dx, np.stack([(d * x[:, :, :-1]).sum((0, 2)), (d * x[:, :, 1:]).sum((0, 2))], 1)
    return forward, backward


@right(normal((2, 3, 8)))
def causal_dilated_conv_with_a_fixed_kernel():
    kernel = (0.5, -1.0, 2.0)

    def forward(x):
        y = np.zeros_like(x)
        for k, w in enumerate(kernel):
            y[:, :, 2 * k:] += w * x[:, :, :x.shape[2] - 2 * k]
        return y, x.shape

    def backward(d, shape):
        dx = np.zeros(shape)
        for k, w in enumerate(kernel):
            dx[:, :, :shape[2] - 2 * k] += w * d[:, :, 2 * k:]
        return dx
    return forward, backward


@right(normal((2, 3, 4), (3, 2, 2)))
def transposed_conv1d():
    def forward(x, w):
        N, _C, T = x.shape
        y = np.zeros((N, w.shape[1], 2 * T), np.result_type(x, w))
        for k in range(2):
            y[:, :, k::2] = np.einsum("nct,co->not", x, w[:, :, k])
        return y, (x, w)

    def backward(d, c):
        x, w = c
        dx = sum(np.einsum("not,co->nct", d[:, :, k::2], w[:, :, k]) for k in range(2))
        dw = np.stack([np.einsum("not,nct->co", d[:, :, k::2], x) for k in range(2)], axis=2)
        return dx, dw
    return forward, backward


@right(normal(9, 4))
def numpy_convolve():
    return (lambda x, k: (np.convolve(x, k, "valid"), (x, k))), (
        lambda d, c: (np.convolve(d, c[1][::-1], "full"), np.correlate(c[0], d, "valid")[::-1]))


@right(normal((2, 2, 4, 6)))
def max_pool_by_reshape():
    def forward(x):
        N, C, H, W = x.shape
        v = x.reshape(N, C, H // 2, 2, W // 2, 2)
        y = v.max(axis=(3, 5))
        return y, (v, y)

    def backward(d, c):
        v, y = c
        hit = v == y[:, :, :, None, :, None]
        return (hit * d[:, :, :, None, :, None]).reshape(len(v), v.shape[1], 2 * v.shape[2], 2 * v.shape[4])
    return forward, backward


@right(normal((2, 3, 6)))
def max_pool_by_argmax():
    def forward(x):
        v = x.reshape(*x.shape[:2], -1, 3)
        k = v.argmax(-1)
        return np.take_along_axis(v, k[..., None], -1)[..., 0], (x.shape, v.shape, k)

    def backward(d, c):
        shape, vshape, k = c
        g = np.zeros(vshape)
        np.put_along_axis(g, k[..., None], d[..., None], -1)
        return g.reshape(shape)
    return forward, backward


@right(normal((2, 3, 4, 4)))
def mean_pool_of_everything():
    return (lambda x: (x.mean(axis=(2, 3)), x.shape)), (
        lambda d, s: np.broadcast_to(d[:, :, None, None] / (s[2] * s[3]), s).copy())


@right(normal((2, 3, 6)))
def average_pool_with_overlap():
    def backward(d, shape):
        g = np.zeros(shape)
        for k in range(3):
            g[:, :, k:k + d.shape[2]] += d / 3
        return g
    return (lambda x: (sliding_window_view(x, 3, 2).mean(-1), x.shape)), backward


@right(normal((2, 3, 3)))
def nearest_upsampling():
    return (lambda x: (x.repeat(2, axis=1).repeat(2, axis=2), None)), (
        lambda d, _: d[:, ::2, ::2] + d[:, 1::2, ::2] + d[:, ::2, 1::2] + d[:, 1::2, 1::2])


@right(normal((2, 5)))
def linear_interpolation():
    at = np.array([0.25, 1.5, 2.0, 3.9])
    low, part = at.astype(int), at % 1

    def backward(d, shape):
        g = np.zeros(shape)
        np.add.at(g, (slice(None), low), d * (1 - part))
        np.add.at(g, (slice(None), np.minimum(low + 1, shape[1] - 1)), d * part)
        return g
    return (lambda x: (x[:, low] * (1 - part) + x[:, np.minimum(low + 1, x.shape[1] - 1)] * part, x.shape)), backward


@right(lambda rng: [rng.normal(size=(4, 5)), rng.uniform(0.1, 2.9, size=3), rng.uniform(0.1, 3.9, size=3)])
def sampling_a_picture_between_its_pixels():
    def forward(picture, r, c):
        i, j = r.real.astype(int), c.real.astype(int)
        u, v = r - i, c - j
        corners = picture[i, j], picture[i, j + 1], picture[i + 1, j], picture[i + 1, j + 1]
        y = (1 - u) * ((1 - v) * corners[0] + v * corners[1]) + u * ((1 - v) * corners[2] + v * corners[3])
        return y, (picture.shape, i, j, u, v, corners)

    def backward(d, cache):
        shape, i, j, u, v, (a, b, c, e) = cache
        g = np.zeros(shape)
        for di, dj, w in ((0, 0, (1 - u) * (1 - v)), (0, 1, (1 - u) * v), (1, 0, u * (1 - v)), (1, 1, u * v)):
            np.add.at(g, (i + di, j + dj), d * w)
        return g, d * ((1 - v) * (c - a) + v * (e - b)), d * ((1 - u) * (b - a) + u * (e - c))
    return forward, backward


@right(normal((3, 6)))
def a_gate_on_half_the_axis():
    def forward(x):
        a, b = np.split(x, 2, axis=1)
        s = 1 / (1 + np.exp(-b))
        return a * s, (a, s)
    return forward, lambda d, c: np.concatenate([d * c[1], d * c[0] * c[1] * (1 - c[1])], axis=1)


@right(normal((5, 4)))
def halves_multiplied_by_slices():
    return (lambda x: (x[:, :x.shape[1] // 2] * x[:, x.shape[1] // 2:], x)), (
        lambda d, x: np.hstack([d * x[:, x.shape[1] // 2:], d * x[:, :x.shape[1] // 2]]))


@right(normal((2, 3, 8)))
def rotary_positions():
    angle = np.arange(3)[:, None] / 10 ** np.arange(4)
    cos, sin = np.cos(angle), np.sin(angle)

    def forward(x):
        a, b = x[..., :4], x[..., 4:]
        return np.concatenate([a * cos - b * sin, a * sin + b * cos], -1), None

    def backward(d, _):
        a, b = d[..., :4], d[..., 4:]
        return np.concatenate([a * cos + b * sin, -a * sin + b * cos], -1)
    return forward, backward


@right(normal((1, 8, 2, 3)))
def pixel_shuffle():
    def forward(x):
        N, C, H, W = x.shape
        return x.reshape(N, C // 4, 2, 2, H, W).transpose(0, 1, 4, 2, 5, 3).reshape(N, C // 4, 2 * H, 2 * W), x.shape

    def backward(d, s):
        N, C, H, W = s
        return d.reshape(N, C // 4, H, 2, W, 2).transpose(0, 1, 3, 5, 2, 4).reshape(s)
    return forward, backward


@right(normal((4, 5)))
def total_variation():
    def forward(x):
        a, b = np.diff(x, axis=0), np.diff(x, axis=1)
        return np.abs(a).sum() + np.abs(b).sum(), (np.sign(a), np.sign(b))

    def backward(d, c):
        g = np.zeros((4, 5))
        g[1:] += c[0]
        g[:-1] -= c[0]
        g[:, 1:] += c[1]
        g[:, :-1] -= c[1]
        return d * g
    return forward, backward
