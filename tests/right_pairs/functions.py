"""Functions entry by entry, and losses: edges of domains, small and large arguments, float32, kinks."""

import math

import numpy as np

from .registry import normal, positive, right, sizes_from

erf = np.vectorize(math.erf, otypes=[float])


def entrywise(f, slope):
    return (lambda x: (f(x), x)), lambda d, x: d * slope(x)


@right(lambda rng: [10 ** rng.uniform(-8, 8, size=6)])
def logarithm_over_sixteen_decades():
    return entrywise(np.log, lambda x: 1 / x)


@right(lambda rng: [10 ** rng.uniform(-8, 8, size=6)])
def root_over_sixteen_decades_without_complex_numbers():
    return entrywise(lambda x: np.sqrt(x.astype(float)), lambda x: 0.5 / np.sqrt(x))


@right(sizes_from(1e-8, 1e8, 6))
def reciprocal_over_sixteen_decades():
    return entrywise(lambda x: 1 / x, lambda x: -1 / x ** 2)


@right(sizes_from(1e-8, 1e2, 6))
def softplus():
    return entrywise(lambda x: np.logaddexp(0, x), lambda x: 1 / (1 + np.exp(-x)))


@right(normal((3, 4)))
def gelu_by_erf():
    return entrywise(lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))), lambda x: 0.5 * (1 + erf(x / math.sqrt(2)))
                     + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


@right(normal((3, 4)))
def swish():
    def forward(x):
        s = 1 / (1 + np.exp(-x))
        return x * s, (x, s)
    return forward, lambda d, c: d * (c[1] + c[0] * c[1] * (1 - c[1]))


@right(normal((3, 4)))
def mish():
    def slope(x):
        t, s = np.tanh(np.logaddexp(0, x)), 1 / (1 + np.exp(-x))
        return t + x * (1 - t * t) * s
    return entrywise(lambda x: x * np.tanh(np.logaddexp(0, x)), slope)


@right(normal((3, 4)))
def selu():
    a, k = 1.6733, 1.0507
    return entrywise(lambda x: k * np.where(x > 0, x, a * np.expm1(x)), lambda x: k * np.where(x > 0, 1, a * np.exp(x)))


@right(lambda rng: [3 * rng.normal(size=8)])
def saturated_tanh():
    return entrywise(lambda x: np.tanh(3 * x), lambda x: 3 * (1 - np.tanh(3 * x) ** 2))


@right(normal((3, 4)))
def hard_sigmoid():
    return entrywise(lambda x: np.clip(x / 6 + 0.5, 0, 1), lambda x: (np.abs(x) < 3) / 6)


@right(lambda rng: [rng.uniform(-1, 1, size=5)])
def arcsine():
    return entrywise(np.arcsin, lambda x: 1 / np.sqrt(1 - x * x))


@right(lambda rng: [np.array([0.0, 0.3, 0.7])])
def entropy_term_with_a_guard():
    return entrywise(lambda p: -p * np.log(p + 1e-12), lambda p: -np.log(p + 1e-12) - p / (p + 1e-12))


@right(lambda rng: [np.array([5e-4, 0.5, rng.uniform(0.1, 0.9)])])
def a_domain_that_ends_near_an_entry():
    def forward(p):
        if (np.real(p) <= 0).any():
            raise ValueError("p must be above 0")
        return -np.log(p), p
    return forward, lambda d, p: -d / p


@right(lambda rng: [np.array([0.0, 1.0, rng.uniform(0.1, 0.9)])])
def a_domain_with_entries_on_its_ends():
    def forward(p):
        assert (p.real >= 0).all()
        assert (p.real <= 1).all()
        return p * (1 - p), p
    return forward, lambda d, p: d * (1 - 2 * p)


@right(lambda rng: [rng.dirichlet([2.0, 3, 4]), rng.normal(size=3)], data="p")
def chances_that_must_sum_to_one():
    def forward(p, x):
        if abs(p.sum() - 1) > 1e-12:
            raise ValueError("p must have the sum 1")
        return p @ x, (p, x)
    return forward, lambda d, c: (d * c[1], d * c[0])


@right(normal((3, 4)))
def a_forward_in_float32():
    return (lambda x: (np.tanh(x.astype(np.float32)), x)), lambda d, x: d * (1 - np.tanh(x) ** 2)


@right(normal((3, 4), (4, 2)))
def a_linear_layer_in_float32():
    def forward(x, w):
        x, w = x.astype("f"), w.astype("f")
        return x @ w, (x, w)
    return forward, lambda d, c: (d.astype("f") @ c[1].T, c[0].T @ d.astype("f"))


@right(positive((3, 4)))
def float32_inside():
    return (lambda x: (np.log(x.astype(np.float32)).astype(float), x)), lambda d, x: d / x


@right(normal(3))
def a_small_kink_beside_a_large_slope():
    return (lambda w: ((w ** 2).sum() + 1e-6 * np.abs(w).sum(), w)), lambda d, w: d * (2 * w + 1e-6 * np.sign(w))


@right(normal((2, 5, 4)))
def a_loss_that_closes_over_its_target():
    t = np.ones((2, 5, 4))
    return (lambda x: (((x - t) ** 2).sum(), x)), lambda d, x: 2 * d * (x - t)


@right(normal(5))
def huber_loss():
    return (lambda r: (np.where(np.abs(r) < 1, r * r / 2, np.abs(r) - 0.5).mean(), r)), (
        lambda d, r: d * np.clip(r, -1, 1) / r.size)


@right(lambda rng: [rng.uniform(0.05, 0.95, size=(4, 3)), (rng.random((4, 3)) < 0.5) * 1.0], data="t")
def cross_entropy_of_chances():
    def forward(p, t):
        return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(), (p, t)
    return forward, lambda d, c: (d * (c[0] - c[1]) / (c[0] * (1 - c[0])) / c[0].size, None)


@right(normal((4, 3)))
def cross_entropy_of_fixed_labels():
    t = np.array([0, 2, 1, 1])

    def forward(x):
        e = np.exp(x - x.max(1, keepdims=True))
        p = e / e.sum(1, keepdims=True)
        return -np.log(p[np.arange(4), t]).mean(), p

    def backward(d, p):
        g = p.copy()
        g[np.arange(4), t] -= 1
        return d * g / 4
    return forward, backward


@right(positive((3, 4), (3, 4)))
def divergence_of_two_tables():
    return (lambda p, q: ((p * np.log(p / q)).sum(1), (p, q))), (
        lambda d, c: (d[:, None] * (np.log(c[0] / c[1]) + 1), -d[:, None] * c[0] / c[1]))


@right(normal((4, 3), (4, 3)))
def cosine_similarity():
    def forward(a, b):
        na, nb = np.sqrt((a * a).sum(1)), np.sqrt((b * b).sum(1))
        return (a * b).sum(1) / na / nb, (a, b, na, nb)

    def backward(d, c):
        a, b, na, nb = (c[0], c[1], c[2][:, None], c[3][:, None])
        s, d = (a * b).sum(1, keepdims=True) / na / nb, d[:, None]
        return d * (b / na / nb - s * a / na ** 2), d * (a / na / nb - s * b / nb ** 2)
    return forward, backward


@right(normal((3, 2), (3, 2), (3, 2)))
def triplet_loss():
    def forward(a, p, n):
        m = ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) + 1
        return np.maximum(m, 0).sum(), (a, p, n, m)

    def backward(d, c):
        a, p, n, m = c
        on = d * (m > 0)[:, None]
        return 2 * on * (n - p), -2 * on * (a - p), 2 * on * (a - n)
    return forward, backward


@right(normal(4))
def the_norm_of_a_vector():
    def forward(x):
        n = np.linalg.norm(x)
        return n, (x, n)
    return forward, lambda d, c: d * c[0] / c[1]


@right(lambda rng: [1e8 * rng.normal(size=3), 1e-8 * rng.normal(size=3)])
def variance_of_very_different_sizes():
    return (lambda a, b: (np.stack([a.var(), b.var()]), (a, b))), (
        lambda d, c: (d[0] * 2 * (c[0] - c[0].mean()) / 3, d[1] * 2 * (c[1] - c[1].mean()) / 3))


@right(positive((3, 4)))
def harmonic_mean():
    return (lambda x: (x.shape[1] / (1 / x).sum(1), x)), (
        lambda d, x: d[:, None] * x.shape[1] / (1 / x).sum(1, keepdims=True) ** 2 / x ** 2)


@right(normal((3, 4)))
def angle_of_points():
    return (lambda x: (np.arctan2(x[0], x[1]), x)), (
        lambda d, x: np.stack([d * x[1], -d * x[0], 0 * d]) / np.array([x[0] ** 2 + x[1] ** 2] * 2 + [1 + 0 * d]))


@right(lambda rng: [rng.normal(size=4), np.asarray(300.0)])
def temperature():
    def forward(x, T):
        return np.exp(x / T), (x, T)
    return forward, lambda d, c: (d * np.exp(c[0] / c[1]) / c[1], -(d * np.exp(c[0] / c[1]) * c[0]).sum() / c[1] ** 2)
