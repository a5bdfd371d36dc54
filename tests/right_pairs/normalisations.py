"""Normalisations: most of them have directions in which nothing changes, so their gradients cancel to 0."""

import numpy as np

from .registry import normal, positive, right


def _normalised(z, axis, eps=1e-5):
    std = np.sqrt(z.var(axis, keepdims=True) + eps)
    return (z - z.mean(axis, keepdims=True)) / std, std


def _back(d, y, std, axis):
    return (d - d.mean(axis, keepdims=True) - y * (d * y).mean(axis, keepdims=True)) / std


@right(normal((7, 3), (3, 6), 6))
def bias_before_batch_norm():
    def forward(x, w, c):
        y, std = _normalised(x @ w + c, 0)
        return y, (x, w, y, std)

    def backward(d, cache):
        x, w, y, std = cache
        g = _back(d, y, std, 0)
        return g @ w.T, x.T @ g, g.sum(0)
    return forward, backward


@right(normal((6, 4), 4, 4))
def batch_norm_with_gain_and_shift():
    def forward(x, gamma, beta):
        y, std = _normalised(x, 0)
        return gamma * y + beta, (y, std, gamma)

    def backward(dout, cache):
        xhat, std, gamma = cache
        N = len(dout)
        dxhat = dout * gamma
        dx = (N * dxhat - dxhat.sum(axis=0) - xhat * np.sum(dxhat * xhat, axis=0)) / (N * std)
        return dx, np.sum(dout * xhat, axis=0), np.sum(dout, axis=0)
    return forward, backward


@right(normal((2, 4, 3, 2)))
def batch_norm_of_images():
    def forward(x):
        y, std = _normalised(x, (0, 2, 3))
        return y, (y, std)
    return forward, lambda d, c: _back(d, *c, (0, 2, 3))


@right(normal((2, 4, 3)))
def instance_norm():
    def forward(x):
        y, std = _normalised(x, 2)
        return y, (y, std)
    return forward, lambda d, c: _back(d, *c, 2)


@right(normal((2, 6, 3)))
def group_norm():
    def forward(x):
        N, C, T = x.shape
        y, std = _normalised(x.reshape(N, 2, C // 2, T), (2, 3))
        return y.reshape(x.shape), (y, std)

    def backward(d, c):
        return _back(d.reshape(c[0].shape), *c, (2, 3)).reshape(d.shape)
    return forward, backward


@right(normal((5, 4), 4))
def rms_norm():
    def forward(x, g):
        r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
        return g * x * r, (x, g, r)

    def backward(d, cache):
        x, g, r = cache
        a = d * g
        return r * a - x * r ** 3 * (a * x).mean(-1, keepdims=True), (d * x * r).sum(0)
    return forward, backward


@right(normal((3, 4), 3))
def weight_norm():
    def forward(v, g):
        n = np.linalg.norm(v, axis=1, keepdims=True)
        return g[:, None] * v / n, (v, g, n)

    def backward(d, cache):
        v, g, n = cache
        dg = (d * v / n).sum(1)
        return g[:, None] / n * (d - dg[:, None] * v / n), dg
    return forward, backward


@right(normal((4, 5)))
def unit_rows():
    def forward(x):
        n = np.sqrt((x * x).sum(1, keepdims=True))
        return x / n, (x / n, n)
    return forward, lambda d, c: (d - c[0] * (d * c[0]).sum(1, keepdims=True)) / c[1]


@right(normal((4, 1)))
def unit_rows_of_one_number():
    """x / |x| of one number is its sign: the gradient is 0, but for rounding."""
    def forward(x):
        n = np.sqrt((x * x).sum(1, keepdims=True))
        return x / n, (x, n)
    return forward, lambda d, c: d / c[1] - c[0] * (d * c[0]).sum(1, keepdims=True) / c[1] ** 3


@right(normal((3, 4), 3))
def softmax_does_not_see_a_shift():
    def forward(x, shift):
        z = x + shift[:, None]
        e = np.exp(z - z.max(1, keepdims=True))
        p = e / e.sum(1, keepdims=True)
        return p, p

    def backward(d, p):
        dz = p * (d - (p * d).sum(1, keepdims=True))
        return dz, dz.sum(1)
    return forward, backward


@right(normal((4, 3)))
def softmax_of_one_column_at_a_time():
    def forward(x):
        e = np.exp(x)
        return e / e.sum(0), e / e.sum(0)

    def backward(d, p):
        out = np.empty_like(d)
        for j in range(d.shape[1]):
            J = np.diag(p[:, j]) - np.outer(p[:, j], p[:, j])
            out[:, j] = J.T @ d[:, j]
        return out
    return forward, backward


@right(normal((4, 3)))
def log_softmax():
    def forward(x):
        z = x - x.max(-1, keepdims=True)
        y = z - np.log(np.exp(z).sum(-1, keepdims=True))
        return y, y
    return forward, lambda d, y: d - np.exp(y) * d.sum(-1, keepdims=True)


@right(normal((5, 2)))
def standardised_columns_with_n_minus_1():
    def forward(x):
        s = x.std(0, ddof=1)
        return (x - x.mean(0)) / s, (x, s)

    def backward(d, c):
        x, s = c
        y, n = (x - x.mean(0)) / s, len(x)
        return (d - d.mean(0) - y * (d * y).sum(0) / (n - 1)) / s
    return forward, backward


@right(normal((4, 3), 3))
def centred_bias():
    """The mean over examples takes the bias away again."""
    def forward(x, b):
        z = x + b
        return z - z.mean(0), None

    def backward(d, _):
        g = d - d.mean(0)
        return g, g.sum(0)
    return forward, backward


@right(positive((3, 4)))
def shares_of_a_row():
    return (lambda x: (x / x.sum(1, keepdims=True), x)), (
        lambda d, x: d / x.sum(1, keepdims=True) - (d * x).sum(1, keepdims=True) / x.sum(1, keepdims=True) ** 2)


@right(normal((2, 3, 4), (4, 4), 4))
def layer_norm_after_linear_with_bias_without_gain():
    def forward(x, w, b):
        y, std = _normalised(x @ w + b, -1)
        return y, (x, w, y, std)

    def backward(d, c):
        x, w, y, std = c
        g = _back(d, y, std, -1)
        return g @ w.T, np.einsum("bti,btj->ij", x, g), g.sum((0, 1))
    return forward, backward


@right(normal((6, 3)))
def whitening_by_two():
    def forward(x):
        s = np.sqrt(x.var())
        return x / s, (x, s)
    return forward, lambda d, c: d / c[1] - (d * c[0]).sum() * (c[0] - c[0].mean()) / c[0].size / c[1] ** 3


@right(positive((3, 5)))
def scale_free_loss():
    """The cosine to a fixed vector doesn't change with the length of x, so x . dx cancels to 0."""
    t = np.linspace(1, 2, 5)

    def forward(x, s=1.0):
        n = np.sqrt((x * x).sum(1))
        return x @ t / n, (x, n)
    return forward, lambda d, c: d[:, None] * (t / c[1][:, None] - c[0] * (c[0] @ t)[:, None] / c[1][:, None] ** 3)


@right(lambda rng: [rng.normal(size=(4, 3)), np.array(rng.uniform(0.5, 2))])
def a_scale_that_a_norm_takes_away():
    def forward(x, s):
        z = s * x
        n = np.sqrt((z * z).sum())
        return z / n, (x, s, z / n, n)

    def backward(d, c):
        x, s, y, n = c
        g = (d - y * (y * d).sum()) / n
        return s * g, (x * g).sum()
    return forward, backward
