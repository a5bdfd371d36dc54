"""Normalisations, convolutions, pooling, recurrent layers, embeddings."""

import numpy as np

from .registry import mistake


# %% Batch normalisation
def batchnorm_forward(x, gamma, beta, eps=1e-5):
    mu, var = x.mean(axis=0), x.var(axis=0)
    xhat = (x - mu) / np.sqrt(var + eps)
    return gamma * xhat + beta, (x, xhat, mu, var, gamma, eps)


BN = (5, 4), 4, 4


def _batchnorm_backward(dout, cache, dmu=1.0, dvar=1.0):
    x, xhat, mu, var, gamma, eps = cache
    N, istd = len(x), 1 / np.sqrt(var + eps)
    dxhat = dout * gamma
    dv = (dxhat * (x - mu)).sum(0) * -0.5 * istd ** 3
    dm = -(dxhat * istd).sum(0)
    dx = dxhat * istd + dvar * dv * 2 * (x - mu) / N + dmu * dm / N
    return dx, (dout * xhat).sum(0), dout.sum(0)


@mistake("term", batchnorm_forward, *BN)
def mean_taken_as_constant(dout, cache):
    return _batchnorm_backward(dout, cache, dmu=0)


@mistake("term", batchnorm_forward, *BN)
def variance_taken_as_constant(dout, cache):
    return _batchnorm_backward(dout, cache, dvar=0)


@mistake("term", batchnorm_forward, *BN)
def statistics_taken_as_constant(dout, cache):
    return _batchnorm_backward(dout, cache, dmu=0, dvar=0)


@mistake("factor", batchnorm_forward, *BN)
def gamma_divided_by_the_batch(dout, cache):
    dx, dg, db = _batchnorm_backward(dout, cache)
    return dx, dg / len(dout), db / len(dout)


@mistake("not summed", batchnorm_forward, *BN)
def beta_not_summed(dout, cache):
    dx, dg, _ = _batchnorm_backward(dout, cache)
    return dx, dg, dout


@mistake("shape", batchnorm_forward, *BN)
def gamma_keeps_its_axis(dout, cache):
    dx, _, db = _batchnorm_backward(dout, cache)
    return dx, (dout * cache[1]).sum(axis=0, keepdims=True), db


@mistake("swapped", batchnorm_forward, *BN)
def gamma_and_beta_swapped(dout, cache):
    dx, dg, db = _batchnorm_backward(dout, cache)
    return dx, db, dg


@mistake("sign", batchnorm_forward, *BN)
def beta_subtracted(dout, cache):
    dx, dg, db = _batchnorm_backward(dout, cache)
    return dx, dg, -db


# %% Layer normalisation
def layernorm_forward(x, gain, bias):
    mu = x.mean(axis=-1, keepdims=True)
    var = ((x - mu) ** 2).mean(axis=-1, keepdims=True)
    y = (x - mu) / np.sqrt(var + 1e-5)
    return gain * y + bias, (y, var, gain)


LN = (3, 5), 5, 5


@mistake("term", layernorm_forward, *LN)
def mean_left_out(dout, cache):
    y, var, gain = cache
    g = dout * gain
    return (g - y * (g * y).mean(-1, keepdims=True)) / np.sqrt(var + 1e-5), (dout * y).sum(0), dout.sum(0)


@mistake("term", layernorm_forward, *LN)
def variance_left_out(dout, cache):
    y, var, gain = cache
    g = dout * gain
    return (g - g.mean(-1, keepdims=True)) / np.sqrt(var + 1e-5), (dout * y).sum(0), dout.sum(0)


@mistake("not summed", layernorm_forward, *LN)
def gain_of_each_row(dout, cache):
    y, var, gain = cache
    g = dout * gain
    dx = (g - g.mean(-1, keepdims=True) - y * (g * y).mean(-1, keepdims=True)) / np.sqrt(var + 1e-5)
    return dx, dout * y, dout.sum(0)


# %% Convolution by loops
def conv_forward(x, w, b):
    N, _C, H, W = x.shape
    F, _, k, _ = w.shape
    out = np.zeros((N, F, H - k + 1, W - k + 1), dtype=np.result_type(x, w, b))
    for i in range(H - k + 1):
        for j in range(W - k + 1):
            out[:, :, i, j] = np.einsum("ncij,fcij->nf", x[:, :, i:i + k, j:j + k], w) + b
    return out, (x, w)


IMAGES = (2, 2, 4, 5), (3, 2, 2, 2), 3


def _conv_backward(dout, cache, add_dx=True, add_dw=True):
    x, w = cache
    dx, dw, k = np.zeros_like(x), np.zeros_like(w), w.shape[2]
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            here = np.s_[:, :, i:i + k, j:j + k]
            more_x = np.einsum("nf,fcij->ncij", dout[:, :, i, j], w)
            more_w = np.einsum("nf,ncij->fcij", dout[:, :, i, j], x[here])
            dx[here] = dx[here] + more_x if add_dx else more_x
            dw = dw + more_w if add_dw else more_w
    return dx, dw, dout.sum(axis=(0, 2, 3))


@mistake("not summed", conv_forward, (2, 2, 3, 2), (3, 2, 2, 2), 3)
def filter_overwritten(dout, cache):
    return _conv_backward(dout, cache, add_dw=False)


@mistake("not summed", conv_forward, *IMAGES)
def bias_summed_over_the_batch_only(dout, cache):
    dx, dw, _ = _conv_backward(dout, cache)
    return dx, dw, dout.sum(axis=0)


@mistake("summed too far", conv_forward, *IMAGES)
def bias_summed_over_the_filters_too(dout, cache):
    dx, dw, _ = _conv_backward(dout, cache)
    return dx, dw, dout.sum()


@mistake("factor", conv_forward, *IMAGES)
def filter_averaged_over_the_batch(dout, cache):
    dx, dw, db = _conv_backward(dout, cache)
    return dx, dw / len(dout), db / len(dout)


@mistake("sign", conv_forward, *IMAGES)
def filter_subtracted(dout, cache):
    dx, dw, db = _conv_backward(dout, cache)
    return dx, -dw, db


@mistake("swapped", conv_forward, *IMAGES)
def filter_turned_round_along_one_axis(dout, cache):
    dx, dw, db = _conv_backward(dout, cache)
    return dx, dw[:, :, ::-1], db


@mistake("shape", conv_forward, *IMAGES)
def bias_with_the_axes_of_the_image(dout, cache):
    dx, dw, _ = _conv_backward(dout, cache)
    return dx, dw, dout.sum(axis=(0, 2, 3), keepdims=True)


# %% Pooling
def maxpool_forward(x):
    N, C, H, W = x.shape
    v = x.reshape(N, C, H // 2, 2, W // 2, 2)
    return v.max(axis=(3, 5)), (x, v)


@mistake("mask", maxpool_forward, (2, 3, 4, 2))
def gradient_to_the_whole_window(dout, cache):
    return dout.repeat(2, axis=2).repeat(2, axis=3)


@mistake("upstream ignored", maxpool_forward, (2, 3, 4, 2))
def the_mask_alone(dout, cache):
    x, v = cache
    return (v == v.max(axis=(3, 5), keepdims=True)).reshape(x.shape).astype(float)


def meanpool_forward(x):
    return x.mean(axis=(2, 3)), x.shape


@mistake("factor", meanpool_forward, (2, 3, 4, 5))
def not_divided_by_the_window(dout, shape):
    return np.broadcast_to(dout[:, :, None, None], shape).copy()


@mistake("factor", meanpool_forward, (2, 3, 4, 5))
def divided_by_one_side_only(dout, shape):
    return np.broadcast_to(dout[:, :, None, None] / shape[2], shape).copy()


# %% A recurrent layer, time first
def rnn_forward(x, Wx, Wh, b):
    T, N, _ = x.shape
    h = np.zeros((T + 1, N, len(b)), dtype=np.result_type(x, Wx, Wh, b))
    for t in range(T):
        h[t] = np.tanh(x[t] @ Wx + h[t - 1] @ Wh + b)
    return h[:T].copy(), (x, h, Wx, Wh)


RNN = (4, 2, 3), (3, 5), (5, 5), 5


def _rnn_backward(dh, cache, back=1.0, steps=None):
    x, h, Wx, Wh = cache
    T = len(x)
    dx, dWx, dWh, db, dnext = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), 0, 0
    for t in reversed(range(T)):
        dz = (dh[t] + back * dnext) * (1 - h[t] ** 2)
        dx[t], dnext = dz @ Wx.T, dz @ Wh.T
        dWx += x[t].T @ dz
        dWh += h[t - 1].T @ dz
        db = db + dz.sum(0)
    return dx, dWx, dWh, db


@mistake("sign", rnn_forward, *RNN)
def recurrent_weights_with_a_minus(dh, cache):
    dx, dWx, dWh, db = _rnn_backward(dh, cache)
    return dx, dWx, -dWh, db


@mistake("factor", rnn_forward, *RNN)
def averaged_over_time(dh, cache):
    dx, dWx, dWh, db = _rnn_backward(dh, cache)
    return dx, dWx / len(dh), dWh / len(dh), db / len(dh)


@mistake("transposed", rnn_forward, (4, 2, 3), (3, 5), (5, 5), 5)
def recurrent_weights_transposed(dh, cache):
    dx, dWx, dWh, db = _rnn_backward(dh, cache)
    return dx, dWx, dWh.T, db


@mistake("not summed", rnn_forward, (4, 2, 3), (3, 5), (5, 5), 5)
def only_the_last_step_has_an_upstream(dh, cache):
    only = np.zeros_like(dh)
    only[-1] = dh[-1]
    return _rnn_backward(only, cache)


@mistake("term", rnn_forward, *RNN)
def first_upstream_left_out(dh, cache):
    less = dh.copy()
    less[0] = 0
    return _rnn_backward(less, cache)


# %% An LSTM, time first; what is before the start stands at the end, as row -1
def lstm_forward(x, W, U, b):
    T, B, _ = x.shape
    H = len(U)
    h, c, i, f, g, o = np.zeros((6, T + 1, B, H), dtype=np.result_type(x, W, U, b))
    for t in range(T):
        zi, zf, zg, zo = np.split(x[t] @ W + h[t - 1] @ U + b, 4, axis=1)
        i[t], f[t], g[t], o[t] = 1 / (1 + np.exp(-zi)), 1 / (1 + np.exp(-zf)), np.tanh(zg), 1 / (1 + np.exp(-zo))
        c[t] = f[t] * c[t - 1] + i[t] * g[t]
        h[t] = o[t] * np.tanh(c[t])
    return h[:T].copy(), (x, W, U, h, c, i, f, g, o)


LSTM = (3, 2, 4), (4, 8), (2, 8), 8


def _lstm_backward(dh, cache, through_h=1.0, through_c=1.0, only=None, slope=lambda v: 1 - v * v):
    x, W, U, h, c, i, f, g, o = cache
    T, B, H = dh.shape
    dW, dU, db = np.zeros_like(W), np.zeros_like(U), np.zeros(4 * H)
    dx, dz_next, dc_next = np.zeros_like(x), np.zeros((B, 4 * H)), np.zeros((B, H))
    for t in reversed(range(T)):
        tanh_c = np.tanh(c[t])
        dH = dh[t] + through_h * dz_next @ U.T
        dc = dH * o[t] * slope(tanh_c) + through_c * dc_next
        dz = np.concatenate([dc * g[t] * i[t] * (1 - i[t]), dc * c[t - 1] * f[t] * (1 - f[t]),
                             dc * i[t] * (1 - g[t] ** 2), dH * tanh_c * o[t] * (1 - o[t])], axis=1)
        dx[t], dz_next, dc_next = dz @ W.T, dz, dc * f[t]
        more = x[t].T @ dz, h[t - 1].T @ dz, dz.sum(0)
        if only in (None, "added"):
            dW, dU, db = dW + more[0], dU + more[1], db + more[2]
        else:
            dW, dU, db = more
    return dx, dW, dU, db


@mistake("term", lstm_forward, *LSTM)
def nothing_comes_back_through_h(dh, cache):
    return _lstm_backward(dh, cache, through_h=0)


@mistake("term", lstm_forward, *LSTM)
def nothing_comes_back_through_c(dh, cache):
    return _lstm_backward(dh, cache, through_c=0)


@mistake("skipped", lstm_forward, *LSTM)
def tanh_of_the_cell_skipped(dh, cache):
    return _lstm_backward(dh, cache, slope=lambda v: 1.0)


@mistake("not summed", lstm_forward, (3, 2, 4), (4, 8), (2, 8), 8)
def weights_overwritten_step_by_step(dh, cache):
    dx, dW, _, db = _lstm_backward(dh, cache, only="first")
    return dx, dW, _lstm_backward(dh, cache)[2], db


# %% Embeddings
IDS = np.array([0, 2, 2, 5, 2])


def embedding_forward(W):
    return W[IDS], W.shape


@mistake("not summed", embedding_forward, (6, 3))
def assigned_in_place_of_added(dy, shape):
    dW = np.zeros(shape)
    dW[IDS] = dy
    return dW


@mistake("not summed", embedding_forward, (6, 3))
def plus_equal_with_repeated_rows(dy, shape):
    dW = np.zeros(shape)
    dW[IDS] += dy
    return dW


@mistake("factor", embedding_forward, (6, 3))
def averaged_over_the_tokens(dy, shape):
    dW = np.zeros(shape)
    np.add.at(dW, IDS, dy / len(IDS))
    return dW


@mistake("shape", embedding_forward, (6, 3))
def gradient_of_the_rows_taken(dy, shape):
    return dy


# %% Concatenation and reshaping
def concatenate_forward(a, b):
    return np.concatenate([a, b], axis=1), a.shape[1]


@mistake("swapped", concatenate_forward, (3, 4), (3, 4))
def the_halves_swapped(dy, n):
    return dy[:, n:], dy[:, :n]


def flatten_forward(x):
    return x.reshape(len(x), -1), x.shape


@mistake("shape", flatten_forward, (2, 3, 4))
def not_reshaped_back(dy, shape):
    return dy


@mistake("layout", flatten_forward, (2, 3, 4))
def reshaped_in_memory_order(dy, shape):
    return dy.ravel(order="K").reshape(shape)
