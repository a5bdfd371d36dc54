"""Attention, cross-stitch of two tasks, residual blocks, dropout, piecewise linear units."""

import numpy as np

from .registry import mistake, normal


# %% Attention of one head
def attention_forward(Q, K, V):
    d = Q.shape[-1]
    S = Q @ K.T / np.sqrt(d)
    E = np.exp(S - S.max(axis=-1, keepdims=True))
    A = E / E.sum(axis=-1, keepdims=True)
    return A @ V, {"Q": Q, "K": K, "V": V, "A": A}


QKV = (3, 4), (5, 4), (5, 2)


def _attention_backward(dY, c, dS=None, scale=True):
    """The right one, or one with another way back through the softmax."""
    Q, K, V, A = c["Q"], c["K"], c["V"], c["A"]
    dA = dY @ V.T
    dS = A * (dA - (A * dA).sum(-1, keepdims=True)) if dS is None else dS(dA, A)
    dS = dS / np.sqrt(Q.shape[-1]) if scale else dS
    return dS @ K, dS.T @ Q, A.T @ dY


@mistake("factor", attention_forward, *QKV)
def scale_forgotten(dY, c):
    return _attention_backward(dY, c, scale=False)


@mistake("softmax diagonal", attention_forward, *QKV)
def only_a_times_da(dY, c):
    return _attention_backward(dY, c, lambda dA, A: A * dA)


@mistake("softmax diagonal", attention_forward, *QKV)
def a_times_one_minus_a(dY, c):
    return _attention_backward(dY, c, lambda dA, A: A * (1 - A) * dA)


@mistake("skipped", attention_forward, *QKV)
def softmax_forgotten(dY, c):
    return _attention_backward(dY, c, lambda dA, A: dA)


@mistake("softmax axis", attention_forward, *QKV)
def softmax_over_the_queries(dY, c):
    return _attention_backward(dY, c, lambda dA, A: A * (dA - (A * dA).sum(0, keepdims=True)))


@mistake("sign", attention_forward, *QKV)
def softmax_with_a_plus(dY, c):
    return _attention_backward(dY, c, lambda dA, A: A * (dA + (A * dA).sum(-1, keepdims=True)))


@mistake("p - t", attention_forward, *QKV)
def softmax_like_cross_entropy(dY, c):
    return _attention_backward(dY, c, lambda dA, A: A - dA)


@mistake("softmax", attention_forward, *QKV)
def sum_without_a(dY, c):
    return _attention_backward(dY, c, lambda dA, A: A * (dA - dA.sum(-1, keepdims=True)))


@mistake("swapped", attention_forward, (4, 4), (4, 4), (4, 4))
def queries_and_keys_swapped(dY, c):
    dQ, dK, dV = _attention_backward(dY, c)
    return dK, dQ, dV


@mistake("transposed", attention_forward, (4, 3), (4, 3), (4, 2))
def values_without_transpose(dY, c):
    dQ, dK, _ = _attention_backward(dY, c)
    return dQ, dK, c["A"] @ dY


@mistake("not summed", attention_forward, *QKV)
def keys_overwritten_query_by_query(dY, c):
    Q, _K, V, A = c["Q"], c["K"], c["V"], c["A"]
    dQ, dK, dV = _attention_backward(dY, c)
    for i in range(len(Q)):
        da = dY[i] @ V.T
        ds = A[i] * (da - A[i] @ da) / np.sqrt(Q.shape[1])
        dK = np.outer(ds, Q[i])
    return dQ, dK, dV


# %% Additive attention: one decoder state
def bahdanau_forward(s, H, W, U, v):
    t = np.tanh(s @ W + H @ U)
    e = t @ v
    a = np.exp(e - e.max())
    a = a / a.sum()
    return a @ H, (s, H, W, U, v, t, a)


STATES = 3, (5, 4), (3, 2), (4, 2), 2


@mistake("term", bahdanau_forward, *STATES)
def states_only_through_the_mixture(dc, cache):
    s, H, W, _U, v, t, a = cache
    da = H @ dc
    de = a * (da - a @ da)
    dz = np.outer(de, v) * (1 - t * t)
    return dz.sum(0) @ W.T, np.outer(a, dc), np.outer(s, dz.sum(0)), H.T @ dz, t.T @ de


# %% Cross-stitch of two tasks, as on the slide
def cross_stitch_forward(x_A, x_B, alpha):
    y_A = alpha[0, 0] * x_A + alpha[0, 1] * x_B
    y_B = alpha[1, 0] * x_A + alpha[1, 1] * x_B
    return np.stack([y_A, y_B]), (x_A, x_B, alpha)


AB = (3, 4), (3, 4), (2, 2)


def _cross_stitch_backward(dY, cache):
    x_A, x_B, a = cache
    dy_A, dy_B = dY
    d_alpha = np.array([[(dy_A * x_A).sum(), (dy_A * x_B).sum()], [(dy_B * x_A).sum(), (dy_B * x_B).sum()]])
    return a[0, 0] * dy_A + a[1, 0] * dy_B, a[0, 1] * dy_A + a[1, 1] * dy_B, d_alpha


@mistake("swapped", cross_stitch_forward, *AB)
def alpha_as_printed_on_the_slide(dY, cache):
    dx_A, dx_B, d = _cross_stitch_backward(dY, cache)
    return dx_A, dx_B, d.T


@mistake("transposed", cross_stitch_forward, *AB)
def alpha_not_transposed_on_the_way_back(dY, cache):
    _, _, d = _cross_stitch_backward(dY, cache)
    return *_cross_stitch_backward(dY, (*cache[:2], cache[2].T))[:2], d


@mistake("swapped", cross_stitch_forward, *AB)
def tasks_swapped(dY, cache):
    dx_A, dx_B, d = _cross_stitch_backward(dY, cache)
    return dx_B, dx_A, d


@mistake("term", cross_stitch_forward, *AB)
def only_the_own_task(dY, cache):
    a = cache[2]
    return a[0, 0] * dY[0], a[1, 1] * dY[1], _cross_stitch_backward(dY, cache)[2]


@mistake("term", cross_stitch_forward, *AB)
def only_the_other_task(dY, cache):
    a = cache[2]
    return a[1, 0] * dY[1], a[0, 1] * dY[0], _cross_stitch_backward(dY, cache)[2]


@mistake("factor", cross_stitch_forward, *AB)
def alpha_averaged_over_the_batch(dY, cache):
    dx_A, dx_B, d = _cross_stitch_backward(dY, cache)
    return dx_A, dx_B, d / len(cache[0])


@mistake("shape", cross_stitch_forward, *AB)
def alpha_of_each_example(dY, cache):
    dx_A, dx_B, _ = _cross_stitch_backward(dY, cache)
    return dx_A, dx_B, np.einsum("inc,jnc->ijn", dY, np.stack(cache[:2]))[..., :1]


@mistake("not summed", cross_stitch_forward, *AB)
def alpha_of_each_example_and_feature(dY, cache):
    dx_A, dx_B, _ = _cross_stitch_backward(dY, cache)
    return dx_A, dx_B, np.einsum("inc,jnc->ijnc", dY, np.stack(cache[:2]))


def cross_stitch_of_all_forward(X, A):
    T = len(X)
    Y = np.zeros_like(X @ np.ones((X.shape[-1], X.shape[-1]))) * A[0, 0]
    for i in range(T):
        for j in range(T):
            Y[i] += A[i, j] * X[j]
    return Y, (X, A)


@mistake("not summed", cross_stitch_of_all_forward, (3, 4, 2), (3, 3))
def overwrites_dx_in_the_loop(dY, cache):
    X, A = cache
    dX, dA = np.zeros_like(X), np.zeros_like(A)
    for i in range(len(X)):
        for j in range(len(X)):
            dX[j] = A[i, j] * dY[i]
            dA[i, j] = (dY[i] * X[j]).sum()
    return dX, dA


@mistake("transposed", cross_stitch_of_all_forward, (3, 4, 2), (3, 3))
def a_forward_in_place_of_its_transpose(dY, cache):
    X, A = cache
    return np.einsum("ij,jnd->ind", A, dY), np.einsum("ind,jnd->ij", dY, X)


# %% Residual blocks
def residual_forward(x, W1, W2):
    h = np.maximum(0, x @ W1)
    return x + h @ W2, (x, h, W1, W2)


BLOCK = (5, 4), (4, 3), (3, 4)


def _residual_backward(dy, cache, skip=1.0, mask=True):
    x, h, W1, W2 = cache
    dz = dy @ W2.T * (h > 0) if mask else dy @ W2.T
    return skip * dy + dz @ W1.T, x.T @ dz, h.T @ dy


@mistake("identity", residual_forward, *BLOCK)
def identity_path_forgotten(dy, cache):
    return _residual_backward(dy, cache, skip=0)


@mistake("identity", residual_forward, *BLOCK)
def identity_path_twice(dy, cache):
    return _residual_backward(dy, cache, skip=2)


@mistake("term", residual_forward, *BLOCK)
def only_the_identity(dy, cache):
    return dy.copy(), *_residual_backward(dy, cache)[1:]


@mistake("term", residual_forward, *BLOCK)
def x_changed_into_its_sum(dy, cache):
    _x, h, _W1, _W2 = cache
    dx, dW1, _ = _residual_backward(dy, cache)
    return dx - dy.mean(0), dW1, h.T @ dy


def scaled_residual_forward(x, f):
    return x + 0.5 * np.tanh(f * x), (x, f)


@mistake("identity", scaled_residual_forward, (3, 4), (3, 4))
def skip_forgotten(dy, c):
    x, f = c
    g = 0.5 * dy * (1 - np.tanh(f * x) ** 2)
    return g * f, g * x


# %% Dropout with a given mask
def dropout_forward(x, keep, p=0.5):
    return x * keep / (1 - p), (keep, p)


def _dropped(rng):
    return [rng.normal(size=(4, 5)), rng.random((4, 5)) < 0.6]


@mistake("factor", dropout_forward, _dropped, p=0.4)
def not_scaled_up(dy, c):
    return dy * c[0], None


@mistake("factor", dropout_forward, _dropped, p=0.4)
def divided_by_p(dy, c):
    return dy * c[0] / c[1], None


@mistake("mask", dropout_forward, _dropped, p=0.4)
def nothing_dropped(dy, c):
    return dy / (1 - c[1]), None


@mistake("mask", dropout_forward, _dropped, p=0.4)
def the_dropped_ones(dy, c):
    return dy * ~c[0] / (1 - c[1]), None


# %% Hinges and pieces
def apl_forward(x, a, b):
    y = np.maximum(0, x)
    for s in range(len(a)):
        y = y + a[s] * np.maximum(0, -x + b[s])
    return y, (x, a, b)


UNITS = (6, 4), (3, 4), (3, 4)


def _apl_backward(dy, cache):
    x, a, b = cache
    dx = dy * (x > 0)
    da, db = np.zeros_like(a), np.zeros_like(b)
    for s in range(len(a)):
        on = b[s] - x > 0
        dx = dx - dy * a[s] * on
        da[s] = (dy * np.maximum(0, b[s] - x)).sum(0)
        db[s] = (dy * a[s] * on).sum(0)
    return dx, da, db


@mistake("term", apl_forward, *UNITS)
def hinges_left_out_of_dx(dy, cache):
    return dy * (cache[0] > 0), *_apl_backward(dy, cache)[1:]


@mistake("sign", apl_forward, *UNITS)
def hinges_with_a_plus(dy, cache):
    x, a, b = cache
    dx = dy * (x > 0)
    for s in range(len(a)):
        dx = dx + dy * a[s] * (x < b[s])
    return dx, *_apl_backward(dy, cache)[1:]


@mistake("term", apl_forward, *UNITS)
def the_first_hinge_left_out(dy, cache):
    x, a, b = cache
    dx = dy * (x > 0)
    for s in range(1, len(a)):
        dx = dx - dy * a[s] * (x < b[s])
    return dx, *_apl_backward(dy, cache)[1:]


@mistake("sign", apl_forward, *UNITS)
def one_offset_with_the_wrong_sign(dy, cache):
    dx, da, db = _apl_backward(dy, cache)
    db[1] = -db[1]
    return dx, da, db


@mistake("not summed", apl_forward, *UNITS)
def slopes_of_each_example(dy, cache):
    x, _a, b = cache
    dx, _, db = _apl_backward(dy, cache)
    return dx, dy * np.maximum(0, b[:, None] - x), db


@mistake("zero", apl_forward, *UNITS)
def slope_of_one_hinge_never_set(dy, cache):
    dx, da, db = _apl_backward(dy, cache)
    da[2] = 0
    return dx, da, db


def maxout_forward(x, W):
    z = np.einsum("nd,kdc->nkc", x, W)
    return z.max(axis=1), (x, W, z)


@mistake("mask", maxout_forward, (5, 4), (2, 4, 3))
def every_piece_gets_it(dy, cache):
    x, W, _ = cache
    dz = np.repeat(dy[:, None], len(W), axis=1)
    return np.einsum("nkc,kdc->nd", dz, W), np.einsum("nkc,nd->kdc", dz, x)


def max_forward(x):
    return x.max(axis=1), x


@mistake("mask", max_forward, (4, 5))
def all_but_the_largest(d, x):
    return d[:, None] * (x < x.max(axis=1, keepdims=True))


@mistake("upstream ignored", max_forward, (4, 5))
def a_one_at_the_largest(d, x):
    return (x == x.max(axis=1, keepdims=True)) * 1.0


# %% Broadcasting
def scale_and_shift_forward(x, gamma, beta):
    return x * gamma + beta, (x, gamma)


@mistake("not summed", scale_and_shift_forward, (4, 3), 3, 3)
def gain_not_summed(dy, c):
    return dy * c[1], dy * c[0], dy.sum(0)


@mistake("factor", scale_and_shift_forward, (4, 3), 3, 3)
def gain_averaged(dy, c):
    return dy * c[1], (dy * c[0]).mean(0), dy.sum(0)


@mistake("swapped", scale_and_shift_forward, (4, 3), 3, 3)
def gain_and_shift_swapped(dy, c):
    return dy * c[1], dy.sum(0), (dy * c[0]).sum(0)


def product_forward(a, b):
    return a * b, (a, b)


@mistake("swapped", product_forward, (3, 4), (3, 4))
def a_gets_a(dy, c):
    return dy * c[0], dy * c[1]


def quotient_forward(a, b):
    return a / b, (a, b)


def _positive(rng):
    return [rng.normal(size=(3, 4)), rng.uniform(1, 2, size=(3, 4))]


@mistake("sign", quotient_forward, _positive)
def minus_of_the_quotient_rule(dy, c):
    return dy / c[1], dy * c[0] / c[1] ** 2


def transpose_forward(x):
    return x.T.copy(), None


@mistake("transposed", transpose_forward, (3, 3))
def not_turned_back(dy, _):
    return dy


def shared_input_forward(x):
    return np.sin(x) + x ** 2, x


@mistake("term", shared_input_forward, normal((3, 4)))
def second_use_overwrites_the_first(dy, x):
    dx = dy * np.cos(x)
    dx = 2 * dy * x
    return dx
