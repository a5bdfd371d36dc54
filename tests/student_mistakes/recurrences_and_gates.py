"""Recurrent layers with a start, fused gates, gated units, layers behind each other, masks that stand inside."""

import numpy as np

from .registry import mistake

LABELS = np.array([0, 2, 1, 3, 2])
KEPT = np.random.default_rng(5).random((5, 3)) < 0.6
DROPPED = (np.random.default_rng(6).random((5, 4)) < 0.6) / 0.6


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


# %% A recurrent layer with a first state, batch first
def rnn_with_start_forward(x, h0, Wx, Wh, b):
    h = [h0]
    for t in range(x.shape[1]):
        h.append(np.tanh(x[:, t] @ Wx + h[-1] @ Wh + b))
    return np.stack(h[1:], axis=1), (x, Wx, Wh, h)


START = (2, 4, 3), (2, 5), (3, 5), (5, 5), 5


def _rnn_backward(dh, cache, overwritten=(), back=1.0):
    x, Wx, Wh, h = cache
    total, dx, dnext = {"Wx": 0, "Wh": 0, "b": 0}, np.zeros_like(x), 0
    for t in reversed(range(x.shape[1])):
        dz = (dh[:, t] + back * dnext) * (1 - h[t + 1] ** 2)
        dx[:, t], dnext = dz @ Wx.T, dz @ Wh.T
        for name, more in {"Wx": x[:, t].T @ dz, "Wh": h[t].T @ dz, "b": dz.sum(axis=0)}.items():
            total[name] = more if name in overwritten else total[name] + more
    return dx, dnext, total["Wx"], total["Wh"], total["b"]


@mistake("not summed", rnn_with_start_forward, *START)
def input_weights_overwritten(dh, cache):
    return _rnn_backward(dh, cache, overwritten=["Wx"])


@mistake("not summed", rnn_with_start_forward, *START)
def all_weights_overwritten(dh, cache):
    return _rnn_backward(dh, cache, overwritten=["Wx", "Wh", "b"])


@mistake("sign", rnn_with_start_forward, *START)
def the_way_back_is_subtracted(dh, cache):
    return _rnn_backward(dh, cache, back=-1.0)


def last_state_forward(x, h0, Wx, Wh, b):
    states, cache = rnn_with_start_forward(x, h0, Wx, Wh, b)
    return states[:, -1], cache


def _last_backward(dh, cache, **how):
    states = np.zeros((len(dh), cache[0].shape[1], dh.shape[1]))
    states[:, -1] = dh
    return _rnn_backward(states, cache, **how)


@mistake("not summed", last_state_forward, *START)
def recurrent_weights_overwritten(dh, cache):
    return _last_backward(dh, cache, overwritten=["Wh"])


# %% A GRU with its gates in one matrix
def gru_forward(x, W, U, b, c, h0):
    h, steps, H = h0, [], h0.shape[1]
    for t in range(x.shape[1]):
        zx, zh = x[:, t] @ W + b, h @ U + c
        r, z = _sigmoid(zx[:, :H] + zh[:, :H]), _sigmoid(zx[:, H:2 * H] + zh[:, H:2 * H])
        n = np.tanh(zx[:, 2 * H:] + r * zh[:, 2 * H:])
        steps.append((h, r, z, n, zh[:, 2 * H:]))
        h = (1 - z) * n + z * h
    hs = [step[0] for step in steps[1:]] + [h]
    return np.stack(hs, axis=1), (x, W, U, steps)


GRU = (2, 4, 3), (3, 15), (5, 15), 15, 15, (2, 5)


def _gru_backward(dh, cache, wrong=""):
    x, W, U, steps = cache
    dW, dU, db, dc, dx, back = np.zeros_like(W), np.zeros_like(U), 0, 0, np.zeros_like(x), 0
    for t in reversed(range(x.shape[1])):
        h, r, z, n, u = steps[t]
        d = dh[:, t] + back
        dn = d * (1 - z) * (1 - n * n)
        dz = d * (h if wrong == "no candidate" else h - n) * (1 if wrong == "no slope" else z * (1 - z))
        dz = -dz if wrong == "sign" else dz
        dr = dn * u * r * (1 - r)
        at_x, at_h = np.hstack([dr, dz, dn]), np.hstack([dr, dz, dn if wrong == "no reset" else r * dn])
        back = (0 if wrong == "no way past" else d * z) + at_h @ U.T
        at_x = np.hstack([dz, dr, dn]) if wrong == "order" else at_x
        dx[:, t] = np.hstack([dr, dz, dn]) @ W.T
        more = x[:, t].T @ at_x, h.T @ at_h
        dW, dU = more if wrong == "overwritten" else (dW + more[0], dU + more[1])
        db, dc = db + at_x.sum(axis=0), dc + at_h.sum(axis=0)
    return dx, dW, dU, db, dc, back


@mistake("skipped", gru_forward, *GRU)
def slope_of_the_update_gate_skipped(dh, cache):
    return _gru_backward(dh, cache, "no slope")


@mistake("skipped", gru_forward, *GRU)
def reset_gate_skipped(dh, cache):
    return _gru_backward(dh, cache, "no reset")


@mistake("sign", gru_forward, *GRU)
def update_gate_with_the_wrong_sign(dh, cache):
    return _gru_backward(dh, cache, "sign")


@mistake("term", gru_forward, *GRU)
def update_gate_without_the_candidate(dh, cache):
    return _gru_backward(dh, cache, "no candidate")


@mistake("term", gru_forward, *GRU)
def nothing_comes_back_past_the_gates(dh, cache):
    return _gru_backward(dh, cache, "no way past")


@mistake("swapped", gru_forward, *GRU)
def gates_in_the_other_order(dh, cache):
    return _gru_backward(dh, cache, "order")


@mistake("not summed", gru_forward, *GRU)
def gates_overwritten_step_by_step(dh, cache):
    return _gru_backward(dh, cache, "overwritten")


# %% Gated linear units
def glu_forward(a, b):
    return a * _sigmoid(b), (a, b)


@mistake("skipped", glu_forward, (4, 3), (4, 3))
def slope_of_the_gate_skipped(dy, cache):
    a, b = cache
    return dy * _sigmoid(b), dy * a


@mistake("input for output", glu_forward, (4, 3), (4, 3))
def slope_of_the_gate_by_its_input(dy, cache):
    a, b = cache
    return dy * _sigmoid(b), dy * a * b * (1 - b)


# %% Two layers
def net_forward(x, W1, b1, W2, b2):
    z = x @ W1 + b1
    h = np.tanh(z)
    return h @ W2 + b2, (x, W1, W2, z, h)


NET = (6, 4), (4, 5), 5, (5, 3), 3


def _net_backward(dy, cache, slope):
    x, W1, W2, z, h = cache
    dz = dy @ W2.T * slope(z, h)
    return dz @ W1.T, x.T @ dz, dz.sum(axis=0), h.T @ dy, dy.sum(axis=0)


@mistake("skipped", net_forward, *NET)
def hidden_slope_skipped(dy, cache):
    return _net_backward(dy, cache, lambda z, h: 1.0)


@mistake("input for output", net_forward, *NET)
def hidden_slope_by_its_input(dy, cache):
    return _net_backward(dy, cache, lambda z, h: 1 - z * z)


@mistake("input for output", net_forward, *NET)
def hidden_slope_at_its_output(dy, cache):
    return _net_backward(dy, cache, lambda z, h: 1 - np.tanh(h) ** 2)


# %% A dense layer with a mask
def masked_layer_forward(x, W, b):
    return (x @ W + b) * KEPT, (x, W)


@mistake("mask", masked_layer_forward, (5, 4), (4, 3), 3)
def mask_behind_the_layer_forgotten(dy, cache):
    x, W = cache
    return dy @ W.T, x.T @ dy, dy.sum(axis=0)


@mistake("mask", masked_layer_forward, (5, 4), (4, 3), 3)
def mask_for_the_input_alone(dy, cache):
    x, W = cache
    return (dy * KEPT) @ W.T, x.T @ dy, dy.sum(axis=0)


def dropout_then_layer_forward(x, W):
    return (x * DROPPED) @ W, (x, W)


@mistake("mask", dropout_then_layer_forward, (5, 4), (4, 3))
def dropout_forgotten(dy, cache):
    x, W = cache
    return dy @ W.T, (x * DROPPED).T @ dy


def rectified_layer_forward(x, W, b):
    z = x @ W + b
    return np.maximum(z, 0), (x, W, z)


@mistake("mask", rectified_layer_forward, (5, 4), (4, 3), 3)
def threshold_on_the_wrong_side(dy, cache):
    x, W, z = cache
    dz = dy * (z < 0)
    return dz @ W.T, x.T @ dz, dz.sum(axis=0)


# %% Cross-entropy with labels that stand inside
def loss_forward(x):
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(5), LABELS]).mean(), p


@mistake("term", loss_forward, (5, 4))
def ones_of_the_labels_not_subtracted(d, p):
    return d * p / len(p)


@mistake("skipped", loss_forward, (5, 4))
def only_the_logarithm(d, p):
    dp = np.zeros_like(p)
    dp[np.arange(5), LABELS] = -1 / p[np.arange(5), LABELS]
    return d * dp / len(p)


# %% Causal attention
def causal_forward(Q, K, V):
    S = np.where(np.tri(len(Q)) > 0, Q @ K.T / np.sqrt(Q.shape[1]), -1e9)
    A = np.exp(S - S.max(axis=1, keepdims=True))
    A = A / A.sum(axis=1, keepdims=True)
    return A @ V, (Q, K, V, A)


CAUSAL = (4, 3), (4, 3), (4, 2)


@mistake("softmax diagonal", causal_forward, *CAUSAL)
def causal_softmax_diagonal(dY, cache):
    Q, K, V, A = cache
    dS = A * (1 - A) * (dY @ V.T) / np.sqrt(Q.shape[1])
    return dS @ K, dS.T @ Q, A.T @ dY


@mistake("transposed", causal_forward, *CAUSAL)
def scores_not_transposed_for_the_keys(dY, cache):
    Q, K, V, A = cache
    dA = dY @ V.T
    dS = A * (dA - (A * dA).sum(axis=1, keepdims=True)) / np.sqrt(Q.shape[1])
    return dS @ K, dS @ Q, A.T @ dY


# %% Outer products, rows of length 1, a reshape
def outer_forward(a, b):
    return np.outer(a, b), (a, b)


@mistake("transposed", outer_forward, 4, 4)
def upstream_of_the_outer_product_transposed(dY, cache):
    a, b = cache
    return dY.T @ b, dY @ a


def unit_forward(x):
    n = np.sqrt((x * x).sum(axis=1, keepdims=True))
    return x / n, n


@mistake("term", unit_forward, (4, 3))
def divided_by_the_norm_alone(dy, n):
    return dy / n


def transpose_forward(x):
    return x.T.copy(), x.shape


@mistake("transposed", transpose_forward, (4, 3))
def reshaped_in_place_of_transposed(dy, shape):
    return dy.reshape(shape)
