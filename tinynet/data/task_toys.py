"""Small problems with several tasks, made up on the spot or from the scanned digits: for lessons, tables and tests.

Each function returns named arrays; the same seed gives the same ones.
"""

from typing import NamedTuple

import numpy as np

from tinynet.data.digits import digits


class Tasks(NamedTuple):
    """X_train (N, D) and X_test for all tasks, or (T, N, D) with examples of its own for each task; targets with the
    tasks first, Y_train (T, N, ...) and Y_test.
    """

    X_train: np.ndarray
    Y_train: np.ndarray
    X_test: np.ndarray
    Y_test: np.ndarray


# %% Digits with few labels for some classes
ATTRIBUTES = np.array([[d % 2 == 0, d >= 5, d in (0, 6, 8, 9), d in (1, 4, 7)] for d in range(10)], float)


class StarvedDigits(NamedTuple):
    """X (N, 64); digit (N) int64, -1 where the label isn't given; attributes (N, 4) float32 of 0 and 1: even, 5 or
    more, has a loop, is one of 1 4 7.  starved: the classes with few labels.
    """

    X: np.ndarray
    digit: np.ndarray
    attributes: np.ndarray
    starved: np.ndarray
    X_test: np.ndarray
    digit_test: np.ndarray
    attributes_test: np.ndarray


def starved_digits(labels, seed=0, examples=600, classes=5, others=40):
    """600 scanned digits.  `classes` random classes have `labels` given labels each, the other classes `others`; the
    attributes are known for all.  Tested on 500 further digits.
    """
    rng, images = np.random.default_rng(seed), digits(seed)
    chosen = rng.permutation(len(images.X_train))[:examples]
    X, y = images.X_train[chosen], images.y_train[chosen]
    starved, given = rng.permutation(10)[:classes], np.full(examples, -1, np.int64)
    for d in range(10):
        rows = np.flatnonzero(y == d)[:labels if d in starved else others]
        given[rows] = d
    tell = ATTRIBUTES.astype(np.float32)
    return StarvedDigits(X, given, tell[y], starved, images.X_test, images.y_test, tell[images.y_test])


# %% Functions of one shared subspace
def shared_features(seed=0, tasks=6, examples=200, test=1000, d=20, features=3, hidden=8, noise=0.1):
    """Regressions y_t = MLP_t(tanh(x W)): W (d, features) is shared, each task has its own hidden layer of tanh.

    Each task has examples of its own.  Targets are scaled to variance 1 before the noise is added.
    """
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(d, features)) / np.sqrt(d)
    own = [(rng.normal(size=(features, hidden)) * 2, rng.normal(size=hidden), rng.normal(size=hidden))
           for _ in range(tasks)]
    X = rng.normal(size=(tasks, examples + test, d))
    Y = np.stack([np.tanh(np.tanh(x @ W * 2) @ A + b) @ v for x, (A, b, v) in zip(X, own, strict=True)])
    Y = (Y - Y.mean(axis=1, keepdims=True)) / Y.std(axis=1, keepdims=True)
    Y[:, :examples] += noise * rng.normal(size=(tasks, examples))
    X, Y = X.astype(np.float32), Y[..., None].astype(np.float32)
    return Tasks(X[:, :examples], Y[:, :examples], X[:, examples:], Y[:, examples:])


class OnePlane(NamedTuple):
    """X (N, d); y (N) int64, 0 or 1.  Further inputs Z (M, d) with regressions (M, tasks) float32 that depend on the
    same plane of the inputs as y does, and with the same functions on another plane.
    """

    X: np.ndarray
    y: np.ndarray
    Z: np.ndarray
    same_plane: np.ndarray
    other_plane: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def one_plane(seed=0, examples=60, others=200, tasks=6, d=20, hidden=8, noise=0.1, test=2000):
    """A classification that depends on 2 directions of d, with few examples, and regressions with more of them.

    The functions on a plane are random nets of one hidden layer of tanh.  Each class has half of the examples drawn.
    """
    rng = np.random.default_rng(seed)
    plane, other = (np.linalg.qr(rng.normal(size=(d, 2)))[0] for _ in range(2))
    y_of, aux_of = (_random_net(rng, hidden, outputs) for outputs in (1, tasks))
    X, Z = (rng.normal(size=(n, d)) for n in (examples + test, others))
    score = y_of(X @ plane)[:, 0]
    y = (score > np.median(score)).astype(np.int64)
    regressions = []
    for chosen in (plane, other):
        target = aux_of(Z @ chosen)
        target = (target - target.mean(axis=0)) / target.std(axis=0)
        regressions.append((target + noise * rng.normal(size=target.shape)).astype(np.float32))
    X = X.astype(np.float32)
    return OnePlane(X[:examples], y[:examples], Z.astype(np.float32), *regressions, X[examples:], y[examples:])


def _random_net(rng, hidden, outputs):
    A, b, v = rng.normal(size=(2, hidden)) * 2, rng.normal(size=hidden), rng.normal(size=(hidden, outputs))
    return lambda z: np.tanh(z @ A + b) @ v


# %% Tasks with hints
class Hints(NamedTuple):
    """X (N, d); y (N) int64, the parity of `sides`; sides (N, k) float32 of 0 and 1: on which side of each plane."""

    X: np.ndarray
    y: np.ndarray
    sides: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def half_spaces(seed=0, examples=300, d=20, k=2, test=2000):
    """Is x on the positive side of an odd number of k planes?  The sides themselves are the hint."""
    rng = np.random.default_rng(seed)
    X, planes = rng.normal(size=(examples + test, d)), rng.normal(size=(d, k))
    sides = X @ planes > 0
    y, X = sides.sum(axis=1) % 2, X.astype(np.float32)
    return Hints(X[:examples], y[:examples], sides[:examples].astype(np.float32), X[examples:], y[examples:])


class Bars(NamedTuple):
    """X (N, 100) pictures of 10 x 10; y (N) int64, the bar's direction; where (N, 100) float32: its pixels."""

    X: np.ndarray
    y: np.ndarray
    where: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def bars_on_digits(seed=0, examples=600, test=1000, brightness=0.6, clutter=1.0, directions=2):
    """A bar of three pixels in one of so many directions (up to 4) over a scanned digit, which is only clutter."""
    rng, images = np.random.default_rng(seed), digits(seed)
    below = clutter * np.concatenate([images.X_train, images.X_test])
    n = examples + test
    X = np.zeros((n, 10, 10), np.float32)
    X[:, 1:9, 1:9] = below[rng.integers(len(below), size=n)].reshape(-1, 8, 8)
    y, middle = rng.integers(directions, size=n), rng.integers(1, 9, size=(n, 2))
    steps = np.array([[0, 1], [1, 0], [1, 1], [1, -1]])[y]
    where = np.zeros((n, 10, 10), np.float32)
    for at in (-1, 0, 1):
        row, column = (middle + at * steps).T
        where[np.arange(n), row, column] = 1
    X = np.minimum(X + brightness * where, 1).reshape(n, 100)
    where = where.reshape(n, 100)
    return Bars(X[:examples], y[:examples], where[:examples], X[examples:], y[examples:])


# %% Losses of different scale
def scaled_regressions(seed=0, scales=(20.0, 1.0), examples=200, test=1000, d=15, noise=0.5):
    """Two or more linear regressions in different units: y_t = scale_t (x theta_t + noise e), one x for all."""
    rng, T = np.random.default_rng(seed), len(scales)
    X, theta = rng.normal(size=(examples + test, d)), rng.normal(size=(d, T))
    Y = X @ theta / np.sqrt(d)
    Y[:examples] += noise * rng.normal(size=(examples, T))
    Y = (Y * np.array(scales)).T[..., None].astype(np.float32)
    X = X.astype(np.float32)
    return Tasks(X[:examples], Y[:, :examples], X[examples:], Y[:, examples:])


def noisy_lines(seed=0, examples=100):
    """The toy of Kendall et al.'s code: y = 2x + 8 + 10 e and y = 3x + 3 + e, x and e from N(0, 1).

    Returns x (N, 1) and y (2, N, 1), float64.  The draws are those of NumPy's RandomState(seed), as there.
    """
    rng = np.random.RandomState(seed)
    x = rng.randn(examples, 1)
    first = 2 * x + 8 + 10 * rng.randn(examples, 1)
    return x, np.stack([first, 3 * x + 3 + rng.randn(examples, 1)])


class ScaledTanh:
    """GradNorm's toy: f_t(x) = sigma_t tanh((B + eps_t) x), B shared by all tasks; small, so that it can be learnt.

    draw(rng, n) -> x (n, d), y (T, n, outputs), float32, fresh examples each time.
    """

    def __init__(self, sigma, seed=0, d=20, outputs=10, shared=1.0, own=0.35):
        rng = np.random.default_rng(seed)
        self.sigma, self.spread = np.array(sigma, float), np.sqrt(9 / d)
        B = rng.normal(size=(d, outputs)) * shared
        self.weights = B + own * rng.normal(size=(len(sigma), d, outputs))

    def draw(self, rng, n):
        x = self.spread * rng.normal(size=(n, self.weights.shape[1]))
        y = self.sigma[:, None, None] * np.tanh(x @ self.weights)
        return x.astype(np.float32), y.astype(np.float32)
