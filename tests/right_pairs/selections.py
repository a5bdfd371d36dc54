"""Sorting, ranking, gathering, scattering, sampling with fixed noise, thresholds."""

import numpy as np

from .registry import normal, right


@right(normal((3, 5)))
def sorted_rows():
    def forward(x):
        k = np.argsort(x, axis=1)
        return np.take_along_axis(x, k, 1), k

    def backward(d, k):
        g = np.empty_like(d)
        np.put_along_axis(g, k, d, 1)
        return g
    return forward, backward


@right(normal((3, 5)))
def numpy_sort():
    return (lambda x: (np.sort(x, 1), x)), lambda d, x: np.take_along_axis(d, np.argsort(np.argsort(x, 1), 1), 1)


@right(normal(7))
def median():
    def backward(d, x):
        g = np.zeros_like(x)
        g[np.argsort(x)[len(x) // 2]] = d
        return g
    return (lambda x: (np.median(x), x)), backward


@right(normal(6))
def median_of_an_even_number():
    def backward(d, x):
        g, k = np.zeros_like(x), np.argsort(x)
        g[k[len(x) // 2 - 1:len(x) // 2 + 1]] = d / 2
        return g
    return (lambda x: (np.median(x), x)), backward


@right(normal((2, 6)))
def the_three_largest():
    def forward(x):
        k = np.argsort(-x.real, axis=1)[:, :3]
        return np.take_along_axis(x, k, 1), (k, x.shape)

    def backward(d, c):
        g = np.zeros(c[1])
        np.put_along_axis(g, c[0], d, 1)
        return g
    return forward, backward


@right(normal((5, 3)))
def rows_taken_by_number_some_twice():
    ids = np.array([0, 2, 2, 4])

    def backward(d, shape):
        g = np.zeros(shape)
        np.add.at(g, ids, d)
        return g
    return (lambda W: (W[ids], W.shape)), backward


@right(lambda rng: [rng.normal(size=(5, 3)), rng.integers(0, 5, size=(2, 4))])
def embedding():
    def backward(d, c):
        g = np.zeros_like(c[0])
        np.add.at(g, c[1], d)
        return g, None
    return (lambda W, ids: (W[ids], (W, ids))), backward


@right(lambda rng: [rng.normal(size=(6, 2)), rng.integers(0, 3, size=6)])
def sum_by_group():
    def forward(x, group):
        y = np.zeros((3, x.shape[1]), x.dtype)
        np.add.at(y, group, x)
        return y, group
    return forward, lambda d, group: (d[group], None)


@right(lambda rng: [rng.normal(size=6), np.array([0, 0, 1, 1, 1, 2])])
def softmax_by_group():
    def forward(x, group):
        e = np.exp(x)
        p = e / np.bincount(group, e.real)[group] if x.dtype.kind != "c" else e / np.array(
            [e[group == g].sum() for g in group])
        return p, (p, group)

    def backward(d, c):
        p, group = c
        return p * (d - np.bincount(group, p * d)[group]), None
    return forward, backward


@right(normal((3, 4)))
def where_with_a_fixed_mask():
    mask = np.array([True, False, True, False])
    return (lambda x: (np.where(mask, x, 0.1 * x), None)), lambda d, _: d * np.where(mask, 1, 0.1)


@right(normal((3, 4)))
def clipped():
    return (lambda x: (np.clip(x, -0.5, 0.5), x)), lambda d, x: d * ((x > -0.5) & (x < 0.5))


@right(lambda rng: [np.round(rng.normal(size=(3, 4)))])
def clipped_on_its_ends():
    return (lambda x: (np.clip(x, -1, 1), x)), lambda d, x: d * ((x >= -1) & (x < 1))


@right(lambda rng: [np.round(rng.normal(size=(3, 4)))])
def largest_of_a_row_with_ties():
    def forward(x):
        return x.max(1), x

    def backward(d, x):
        hit = x == x.max(1, keepdims=True)
        return d[:, None] * hit / hit.sum(1, keepdims=True)
    return forward, backward


@right(lambda rng: [np.array([-1.0, 0.0, 2.0, 0.0])])
def relu_at_its_kinks():
    return (lambda x: (np.maximum(x, 0), x)), lambda d, x: d * (x > 0)


@right(lambda rng: [np.concatenate([rng.normal(size=3), 1e-8 * rng.normal(size=3)])])
def leaky_relu_very_close_to_its_kink():
    return (lambda x: (np.where(x > 0, x, 0.1 * x), x)), lambda d, x: d * np.where(x > 0, 1, 0.1)


@right(normal((2, 3), (2, 3)))
def reparametrised_normal():
    noise = np.random.default_rng(5).normal(size=(2, 3))

    def forward(mean, log_var):
        s = np.exp(log_var / 2)
        return mean + s * noise, s
    return forward, lambda d, s: (d, d * noise * s / 2)


@right(lambda rng: [rng.normal(size=(2, 3))], rng=np.random.default_rng(3))
def noise_from_a_generator():
    def forward(x, rng):
        n = rng.normal(size=x.shape)
        return x * n, n
    return forward, lambda d, n: d * n


@right(lambda rng: [rng.normal(size=(2, 3)), np.random.default_rng(3)])
def dropout_with_its_generator_among_the_inputs():
    def forward(x, rng):
        keep = (rng.random(x.shape) < 0.7) / 0.7
        return x * keep, keep
    return forward, lambda d, keep: (d * keep, None)


@right(normal((3, 4)))
def gumbel_softmax():
    gumbel = -np.log(-np.log(np.random.default_rng(1).random((3, 4))))

    def forward(x):
        e = np.exp((x + gumbel) / 0.5)
        p = e / e.sum(1, keepdims=True)
        return p, p
    return forward, lambda d, p: p * (d - (p * d).sum(1, keepdims=True)) / 0.5


@right(normal((2, 4)))
def soft_ranks():
    """How many entries of the row are smaller, counted softly."""
    def forward(x):
        s = 1 / (1 + np.exp(-(x[:, :, None] - x[:, None, :]) / 0.3))
        return s.sum(2), s

    def backward(d, s):
        g = s * (1 - s) / 0.3
        return d * g.sum(2) - (d[:, :, None] * g).sum(1)
    return forward, backward


@right(normal((3, 4)))
def a_jump_at_which_nothing_lies():
    return (lambda x: (x + np.floor(x.real), None)), lambda d, _: 1 * d


@right(lambda rng: [np.array([1.0, 0.3, -2.0])])
def a_jump_on_an_entry():
    return (lambda x: (x + 3 * (x >= 1), None)), lambda d, _: d * 1.0


@right(normal((3, 2), (3, 2)))
def hinge_of_pairs():
    def forward(a, b):
        m = 1 - a + b
        return np.maximum(m, 0).mean(), m

    def backward(d, m):
        g = d * (m > 0) / m.size
        return -g, g
    return forward, backward


@right(normal((4, 3)))
def every_other_row_backwards():
    def backward(d, shape):
        g = np.zeros(shape)
        g[::-2] = d
        return g
    return (lambda x: (x[::-2], x.shape)), backward


@right(normal((2, 3), (2, 1)))
def concatenated():
    return (lambda a, b: (np.concatenate([a, b], 1), a.shape[1])), lambda d, n: (d[:, :n], d[:, n:])


@right(normal((2, 3)))
def padded_rolled_and_flipped():
    return (lambda x: (np.flip(np.roll(np.pad(x, ((0, 0), (1, 2))), 1, axis=1), 0), x.shape)), (
        lambda d, s: np.roll(np.flip(d, 0), -1, axis=1)[:, 1:1 + s[1]])
