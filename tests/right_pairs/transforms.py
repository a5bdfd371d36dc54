"""Fourier and other linear transforms, signals, spectra."""

import numpy as np

from .registry import normal, positive, right


@right(normal(6))
def real_and_imaginary_part_of_fft():
    def forward(x):
        F = np.fft.fft(x)
        return np.stack([F.real, F.imag]), len(x)

    def backward(d, n):
        return np.real(np.fft.fft(d[0] - 1j * d[1]))
    return forward, backward


@right(normal((3, 8)))
def power_spectrum():
    def forward(x):
        F = np.fft.fft(x, axis=1)
        return np.abs(F) ** 2, F
    return forward, lambda d, F: 2 * d.shape[1] * np.fft.ifft(d * F, axis=1).real


@right(normal(8))
def real_fft_of_even_length():
    def forward(x):
        F = np.fft.rfft(x)
        return np.concatenate([F.real, F.imag]), len(x)

    def backward(d, n):
        re, im = np.split(d, 2)
        k, t = np.arange(n // 2 + 1)[:, None], np.arange(n)
        angle = 2 * np.pi * k * t / n
        return re @ np.cos(angle) - im @ np.sin(angle)
    return forward, backward


@right(normal(7, 7))
def circular_convolution_by_fft():
    def forward(x, k):
        return np.fft.ifft(np.fft.fft(x) * np.fft.fft(k)).real, (x, k)

    def backward(d, c):
        D = np.fft.fft(d)
        return tuple(np.fft.ifft(D * np.conj(np.fft.fft(a))).real for a in (c[1], c[0]))
    return forward, backward


@right(normal((4, 5)))
def low_pass_in_two_dimensions():
    keep = np.zeros((4, 5))
    keep[:2, :2] = 1

    def smooth(x):
        return np.fft.ifft2(np.fft.fft2(x) * keep).real
    return (lambda x: (smooth(x), None)), lambda d, _: np.fft.fft2(np.fft.ifft2(d) * keep).real


@right(normal(6))
def autocorrelation():
    def backward(d, x):
        n = len(x)
        return sum(d[k] * (np.roll(x, k) + np.roll(x, -k)) for k in range(n))
    return (lambda x: (np.array([(x * np.roll(x, k)).sum() for k in range(len(x))]), x)), backward


@right(normal((3, 4)))
def hadamard_transform():
    H = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2.0
    return (lambda x: (x @ H, None)), lambda d, _: d @ H


@right(normal((2, 5)))
def cosine_transform():
    n = 5
    C = np.cos(np.pi * (np.arange(n) + 0.5)[:, None] * np.arange(n) / n)
    return (lambda x: (np.tensordot(x, C, 1), None)), lambda d, _: np.tensordot(d, C.T, 1)


@right(normal(8))
def haar_wavelet():
    def forward(x):
        return np.concatenate([x[::2] + x[1::2], x[::2] - x[1::2]]) / np.sqrt(2), None

    def backward(d, _):
        a, b = np.split(d, 2)
        return np.stack([a + b, a - b], 1).ravel() / np.sqrt(2)
    return forward, backward


@right(normal((3, 3)))
def gradient_of_numpy():
    def backward(d, _):
        g = np.zeros_like(d)
        g[2:] += d[1:-1] / 2
        g[:-2] -= d[1:-1] / 2
        g[:2] += [-d[0], d[0]]
        g[-2:] += [-d[-1], d[-1]]
        return g
    return (lambda x: (np.gradient(x, axis=0), None)), backward


@right(positive(5))
def trapezoid_rule():
    t = np.array([0.0, 0.1, 0.5, 0.6, 1.0])
    w = np.array([0.1, 0.5, 0.5, 0.5, 0.4]) / 2
    return (lambda y: (((y[1:] + y[:-1]) / 2 * np.diff(t)).sum(), None)), lambda d, _: d * w


@right(positive(6))
def spectral_centroid():
    f = np.arange(6.0)

    def forward(p):
        return (f * p).sum() / p.sum(), p

    def backward(d, p):
        s = p.sum()
        return d * (f / s - (f * p).sum() / s ** 2)
    return forward, backward


@right(normal(5))
def polynomial_by_horner():
    t = np.linspace(-1, 1, 4)

    def forward(c):
        y = np.zeros(4, c.dtype)
        for a in c:
            y = y * t + a
        return y, len(c)
    return forward, lambda d, n: np.array([(d * t ** (n - 1 - k)).sum() for k in range(n)])


@right(lambda rng: [1e6 + rng.uniform(0, 6, size=4)])
def sine_far_out():
    return (lambda t: (np.sin(t), t)), lambda d, t: d * np.cos(t)


@right(lambda rng: [1e8 + rng.uniform(0, 6, size=3)])
def sine_very_far_out_without_complex_numbers():
    return (lambda t: (np.sin(t.astype(float)), t)), lambda d, t: d * np.cos(t)
