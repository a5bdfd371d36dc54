"""Softmax, cross-entropy and the other losses."""

import numpy as np

from .registry import mistake


def softmax_forward(z):
    e = np.exp(z - np.max(z, axis=1, keepdims=True))
    p = e / np.sum(e, axis=1, keepdims=True)
    return p, p


X = (4, 3)


@mistake("softmax diagonal", softmax_forward, X)
def like_a_sigmoid(dp, p):
    return dp * p * (1 - p)


@mistake("softmax diagonal", softmax_forward, X)
def the_sum_left_out(dp, p):
    return p * dp


@mistake("p - t", softmax_forward, X)
def p_minus_t(dp, p):
    return p - dp


@mistake("p - t", softmax_forward, X)
def t_minus_p(dp, p):
    return dp - p


@mistake("skipped", softmax_forward, X)
def softmax_skipped(dp, p):
    return dp


@mistake("softmax axis", softmax_forward, X)
def summed_over_the_batch(dp, p):
    return p * (dp - np.sum(p * dp, axis=0))


@mistake("softmax axis", softmax_forward, X)
def summed_over_everything(dp, p):
    return p * (dp - np.sum(p * dp))


@mistake("softmax", softmax_forward, X)
def sum_of_the_upstream_alone(dp, p):
    return p * (dp - dp.sum(axis=1, keepdims=True))


@mistake("softmax", softmax_forward, X)
def p_in_front_forgotten(dp, p):
    return dp - (p * dp).sum(axis=1, keepdims=True)


@mistake("sign", softmax_forward, X)
def plus_in_place_of_minus(dp, p):
    return p * (dp + (p * dp).sum(axis=1, keepdims=True))


@mistake("sign", softmax_forward, X)
def jacobian_with_the_wrong_sign(dp, p):
    dz = np.zeros_like(p)
    for i in range(len(p)):
        J = np.outer(p[i], p[i]) - np.diag(p[i])
        dz[i] = J @ dp[i]
    return dz


@mistake("softmax off-diagonal", softmax_forward, X)
def jacobian_without_its_diagonal(dp, p):
    dz = np.zeros_like(p)
    for i in range(len(p)):
        J = -np.outer(p[i], p[i])
        dz[i] = J @ dp[i]
    return dz


@mistake("softmax off-diagonal", softmax_forward, X)
def loop_without_i_equals_j(dp, p):
    dz = np.zeros_like(p)
    for n in range(p.shape[0]):
        for i in range(p.shape[1]):
            for j in range(p.shape[1]):
                if i != j:
                    dz[n, j] += -p[n, i] * p[n, j] * dp[n, i]
    return dz


@mistake("softmax diagonal", softmax_forward, X)
def loop_with_i_equals_j_alone(dp, p):
    dz = np.zeros_like(p)
    for n in range(p.shape[0]):
        for i in range(p.shape[1]):
            dz[n, i] = p[n, i] * (1 - p[n, i]) * dp[n, i]
    return dz


@mistake("zero", softmax_forward, X)
def checked_with_the_sum_of_all(dp, p):
    return np.zeros_like(p)


@mistake("factor", softmax_forward, X)
def divided_by_the_batch(dp, p):
    return p * (dp - (p * dp).sum(1, keepdims=True)) / len(p)


def softmax_of_logits_forward(z):
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return p, z


@mistake("input for output", softmax_of_logits_forward, X)
def logits_in_place_of_p(dp, z):
    return z * (dp - (z * dp).sum(axis=1, keepdims=True))


def log_softmax_forward(z):
    y = z - np.log(np.exp(z).sum(1, keepdims=True))
    return y, np.exp(y)


@mistake("identity", log_softmax_forward, X)
def only_the_normaliser(dy, p):
    return -p * dy.sum(1, keepdims=True)


@mistake("skipped", log_softmax_forward, X)
def normaliser_taken_as_constant(dy, p):
    return dy


# %% Cross-entropy with labels
T = np.array([0, 2, 1, 2])


def cross_entropy_forward(z, t):
    e = np.exp(z - z.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(len(t)), t]).sum() / len(t)
    return loss, (p, t)


def _labels(rng):
    return [rng.normal(size=X), T]


def _p_minus_t(cache):
    p, t = cache
    g = p.copy()
    g[np.arange(len(t)), t] -= 1
    return g


@mistake("factor", cross_entropy_forward, _labels)
def not_divided_by_n(dloss, cache):
    return dloss * _p_minus_t(cache), None


@mistake("factor", cross_entropy_forward, _labels)
def divided_by_the_classes(dloss, cache):
    return dloss * _p_minus_t(cache) / 3, None


@mistake("upstream ignored", cross_entropy_forward, _labels)
def loss_gradient_taken_as_one(dloss, cache):
    return _p_minus_t(cache) / len(T), None


@mistake("sign", cross_entropy_forward, _labels)
def targets_minus_p(dloss, cache):
    return -dloss * _p_minus_t(cache) / len(T), None


@mistake("term", cross_entropy_forward, _labels)
def targets_forgotten(dloss, cache):
    return dloss * cache[0] / len(T), None


@mistake("term", cross_entropy_forward, _labels)
def softmax_forgotten(dloss, cache):
    t = cache[1]
    return -dloss * np.eye(3)[t] / len(t), None


@mistake("repeat", cross_entropy_forward, _labels)
def p_changed_in_place(dloss, cache):
    p, t = cache
    p[np.arange(len(t)), t] -= 1
    return dloss * p / len(t), None


@mistake("sign", cross_entropy_forward, _labels)
def plus_one_at_the_target(dloss, cache):
    p, t = cache
    g = p.copy()
    g[np.arange(len(t)), t] += 1
    return dloss * g / len(t), None


@mistake("count", cross_entropy_forward, _labels)
def two_losses_returned(dloss, cache):
    return (None, None)


# %% Other losses
def mse_forward(y, t):
    return ((y - t) ** 2).mean(), (y, t)


PAIR = (4, 3), (4, 3)


@mistake("factor", mse_forward, *PAIR)
def two_forgotten(d, c):
    y, t = c
    return d * (y - t) / y.size, -d * (y - t) / y.size


@mistake("factor", mse_forward, *PAIR)
def mean_over_the_batch_only(d, c):
    y, t = c
    return 2 * d * (y - t) / len(y), -2 * d * (y - t) / len(y)


@mistake("sign", mse_forward, *PAIR)
def t_minus_y(d, c):
    y, t = c
    return 2 * d * (t - y) / y.size, 2 * d * (y - t) / y.size


@mistake("upstream ignored", mse_forward, *PAIR)
def no_upstream(d, c):
    y, t = c
    return 2 * (y - t) / y.size, -2 * (y - t) / y.size


@mistake("term", mse_forward, *PAIR)
def target_forgotten(d, c):
    y, t = c
    return 2 * d * y / y.size, -2 * d * (y - t) / y.size


@mistake("sign", mse_forward, *PAIR)
def same_gradient_for_both(d, c):
    y, t = c
    g = 2 * d * (y - t) / y.size
    return g, g


def bce_forward(z, t):
    p = 1 / (1 + np.exp(-z))
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(), (p, t)


def _binary(rng):
    return [rng.normal(size=7), rng.integers(0, 2, size=7)]


@mistake("factor", bce_forward, _binary)
def mean_forgotten(d, c):
    return d * (c[0] - c[1]), None


@mistake("sign", bce_forward, _binary)
def t_minus_p_of_bce(d, c):
    return d * (c[1] - c[0]) / len(c[1]), None


@mistake("upstream ignored", bce_forward, _binary)
def upstream_forgotten_in_bce(d, c):
    return (c[0] - c[1]) / len(c[1]), None


@mistake("term", bce_forward, _binary)
def target_left_out(d, c):
    return d * c[0] / len(c[1]), None


def hinge_forward(s, t):
    margins = np.maximum(0, s - s[np.arange(len(t)), t][:, None] + 1)
    margins[np.arange(len(t)), t] = 0
    return margins.sum() / len(t), (margins, t)


@mistake("factor", hinge_forward, _labels)
def svm_not_averaged(d, c):
    g = (c[0] > 0).astype(float)
    g[np.arange(len(c[1])), c[1]] = -g.sum(1)
    return d * g, None


@mistake("mask", hinge_forward, _labels)
def svm_true_class_forgotten(d, c):
    return d * (c[0] > 0) / len(c[1]), None


def l1_forward(w):
    return np.abs(w).sum(), w


@mistake("sign", l1_forward, (3, 4))
def sign_turned(d, w):
    return -d * np.sign(w)


@mistake("upstream ignored", l1_forward, (3, 4))
def l1_no_upstream(d, w):
    return np.sign(w)


def weight_decay_forward(w):
    return 0.5 * 0.1 * (w ** 2).sum(), w


@mistake("factor", weight_decay_forward, (3, 4))
def one_half_forgotten(d, w):
    return d * 2 * 0.1 * w


def mean_forward(x):
    return x.mean(axis=0), x.shape


@mistake("factor", mean_forward, (4, 3))
def sum_in_place_of_mean(d, s):
    return np.broadcast_to(d, s).copy()


@mistake("factor", mean_forward, (4, 3))
def wrong_count(d, s):
    return np.broadcast_to(d / s[1], s).copy()


@mistake("summed too far", mean_forward, (4, 3))
def not_spread(d, s):
    return d / s[0]
