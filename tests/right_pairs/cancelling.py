"""Pairs with a gradient that is 0 because its terms cancel: what is left is rounding, as in the measured one."""

import numpy as np

from .registry import normal, positive, right


def _softmax(z, axis=-1):
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _softmax_back(d, p, axis=-1):
    return p * (d - (p * d).sum(axis, keepdims=True))


def _normalised(z, axis, eps=1e-5):
    std = np.sqrt(z.var(axis, keepdims=True) + eps)
    return (z - z.mean(axis, keepdims=True)) / std, std


def _back(d, y, std, axis):
    return (d - d.mean(axis, keepdims=True) - y * (d * y).mean(axis, keepdims=True)) / std


# %% Normalisations
@right(normal((4, 5)))
def mean_of_a_layer_norm():
    """y itself is rounding, too."""
    def forward(x):
        y, std = _normalised(x, 1)
        return y.mean(1), (y, std)
    return forward, lambda d, c: _back(np.repeat(d[:, None] / c[0].shape[1], c[0].shape[1], 1), *c, 1)


@right(normal((6, 4)))
def variance_of_a_batch_norm():
    def forward(x):
        y, std = _normalised(x, 0, 0.0)
        return (y * y).mean(0), (y, std)
    return forward, lambda d, c: _back(2 * d * c[0] / len(c[0]), *c, 0)


@right(lambda rng: [rng.normal(size=(7, 3)), 1e4 * rng.normal(size=3)])
def large_bias_before_batch_norm():
    def forward(x, b):
        return (c := _normalised(x + b, 0))[0], c

    def backward(d, c):
        dx = _back(d, *c, 0)
        return dx, dx.sum(0)
    return forward, backward


@right(normal((2, 3, 4, 4), 3))
def bias_before_instance_norm():
    def forward(x, b):
        return (c := _normalised(x + b[:, None, None], (2, 3)))[0], c

    def backward(d, c):
        dx = _back(d, *c, (2, 3))
        return dx, dx.sum((0, 2, 3))
    return forward, backward


@right(normal((8, 3), (3, 4), ()))
def scale_of_weights_before_batch_norm():
    def forward(x, w, s):
        y, std = _normalised(x @ w * np.exp(s), 0, 0.0)
        return y, (x, w, s, y, std)

    def backward(d, cache):
        x, w, s, y, std = cache
        g = np.exp(s) * _back(d, y, std, 0)
        return g @ w.T, x.T @ g, (g * (x @ w)).sum()
    return forward, backward


# %% Softmaxes
@right(normal((3, 4), (5, 4), (5, 2), 4))
def key_bias_in_attention():
    """The same number for every key."""
    def forward(Q, K, V, b):
        A = _softmax(Q @ (K + b).T / 2)
        return A @ V, (Q, K + b, V, A)

    def backward(d, cache):
        Q, K, V, A = cache
        dS = _softmax_back(d @ V.T, A) / 2
        dK = dS.T @ Q
        return dS @ K, dK, A.T @ d, dK.sum(0)
    return forward, backward


@right(normal((4, 5)))
def sum_of_a_softmax():
    def forward(x):
        p = _softmax(x)
        return p.sum(1), p
    return forward, lambda d, p: _softmax_back(d[:, None] + 0 * p, p)


@right(lambda rng: [rng.normal(size=(3, 6)), 1e3 * rng.normal(size=(3, 1))])
def large_shift_before_a_softmax():
    def forward(x, b):
        p = _softmax(x + b)
        return p, p

    def backward(d, p):
        dx = _softmax_back(d, p)
        return dx, dx.sum(1, keepdims=True)
    return forward, backward


@right(normal((3, 4), (3, 1)))
def rows_then_columns_made_to_sum_to_one():
    def forward(x, b):
        P = _softmax(x + b)
        total = P.sum(0, keepdims=True)
        return P / total, (P, P / total, total)

    def backward(d, cache):
        P, Q, total = cache
        dx = _softmax_back((d - (d * Q).sum(0, keepdims=True)) / total, P)
        return dx, dx.sum(1, keepdims=True)
    return forward, backward


# %% Scales, shifts and turns
@right(lambda rng: [rng.normal(size=(5, 1)) * 10.0 ** rng.uniform(-4, 4)])
def sign_as_a_quotient_at_any_scale():
    def forward(x):
        n = np.sqrt((x * x).sum(1, keepdims=True))
        return x / n, (x / n, n)
    return forward, lambda d, c: (d - c[0] * (d * c[0]).sum(1, keepdims=True)) / c[1]


@right(positive((4, 5), ()))
def shares_do_not_see_a_scale():
    def forward(x, s):
        total = (x * s).sum(1, keepdims=True)
        return x * s / total, (x, s, total)

    def backward(d, cache):
        x, s, total = cache
        g = d / total - (d * x * s).sum(1, keepdims=True) / total ** 2
        return g * s, (g * x).sum()
    return forward, backward


@right(normal((5, 3), 3))
def distances_do_not_see_a_translation():
    def forward(x, t):
        z = x + t
        return ((z[:, None] - z[None]) ** 2).sum(-1), z

    def backward(d, z):
        w = d + d.T
        dz = 2 * (w.sum(1)[:, None] * z - w @ z)
        return dz, dz.sum(0)
    return forward, backward


@right(normal((4, 6), (4, 1), (1, 6)))
def centred_in_rows_and_columns():
    def centred(z):
        return z - z.mean(0) - z.mean(1, keepdims=True) + z.mean()

    def backward(d, _):
        g = centred(d)
        return g, g.sum(1, keepdims=True), g.sum(0, keepdims=True)
    return lambda x, r, c: (centred(x + r + c), None), backward


@right(normal((4, 2), ()))
def a_turn_keeps_lengths():
    def forward(x, a):
        z = x @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
        return (z * z).sum(1), (x, z, a)

    def backward(d, cache):
        x, z, a = cache
        dz = 2 * d[:, None] * z
        turned = x @ np.array([[-np.sin(a), np.cos(a)], [-np.cos(a), -np.sin(a)]])
        return dz @ np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]), (dz * turned).sum()
    return forward, backward


@right(normal(7))
def two_sigmoids_that_sum_to_one():
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))
    return (lambda x: (sigmoid(x) + sigmoid(-x), x),
            lambda d, x: d * (sigmoid(x) * (1 - sigmoid(x)) - sigmoid(-x) * (1 - sigmoid(-x))))
