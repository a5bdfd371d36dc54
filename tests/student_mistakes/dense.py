"""Linear layers, activations, two-layer nets."""

import numpy as np

from .registry import mistake


# %% y = x W + b, weights (in, out), as in many assignments
def affine_forward(x, w, b):
    out = x.dot(w) + b
    cache = (x, w, b)
    return out, cache


SHAPES = (5, 4), (4, 3), 3


@mistake("not summed", affine_forward, *SHAPES)
def bias_not_summed(dout, cache):
    x, w, _ = cache
    return dout.dot(w.T), x.T.dot(dout), dout


@mistake("not summed", affine_forward, *SHAPES)
def bias_of_the_last_example(dout, cache):
    x, w, b = cache
    db = np.zeros_like(b)
    for i in range(len(x)):
        db = dout[i]
    return dout @ w.T, x.T @ dout, db


@mistake("shape", affine_forward, *SHAPES)
def bias_keeps_its_axis(dout, cache):
    x, w, _ = cache
    return dout @ w.T, x.T @ dout, np.sum(dout, axis=0, keepdims=True)


@mistake("summed too far", affine_forward, *SHAPES)
def bias_summed_over_everything(dout, cache):
    x, w, _ = cache
    return dout @ w.T, x.T @ dout, np.sum(dout)


@mistake("shape", affine_forward, (5, 4), (4, 3), 3)
def bias_summed_over_the_features(dout, cache):
    x, w, _ = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=1)


@mistake("factor", affine_forward, *SHAPES)
def bias_averaged(dout, cache):
    x, w, _ = cache
    return dout @ w.T, x.T @ dout, dout.mean(axis=0)


@mistake("transposed", affine_forward, *SHAPES)
def weights_transposed(dout, cache):
    x, w, _ = cache
    return dout @ w.T, dout.T @ x, dout.sum(0)


@mistake("factor", affine_forward, *SHAPES)
def weights_divided_by_the_batch(dout, cache):
    x, w, _ = cache
    N = x.shape[0]
    return dout @ w.T, x.T @ dout / N, dout.sum(0)


@mistake("transposed", affine_forward, (5, 4), (4, 4), 4)
def square_weights_without_transpose(dout, cache):
    x, w, _ = cache
    return dout @ w, x.T @ dout, dout.sum(0)


@mistake("not summed", affine_forward, *SHAPES)
def weights_overwritten_in_the_loop(dout, cache):
    x, w, b = cache
    dw, db = np.zeros_like(w), np.zeros_like(b)
    for i in range(x.shape[0]):
        dw = np.outer(x[i], dout[i])
        db += dout[i]
    return dout @ w.T, dw, db


@mistake("upstream ignored", affine_forward, *SHAPES)
def upstream_left_out_of_the_bias(dout, cache):
    x, w, b = cache
    return dout @ w.T, x.T @ dout, np.ones_like(b) * len(x)


@mistake("swapped", affine_forward, (3, 3), (3, 3), 3)
def x_and_w_in_the_wrong_order(dout, cache):
    x, w, _ = cache
    dx, dw = dout @ w.T, x.T @ dout
    return dw, dx, dout.sum(0)


@mistake("count", affine_forward, *SHAPES)
def bias_forgotten(dout, cache):
    x, w, _ = cache
    return dout @ w.T, x.T @ dout


@mistake("count", affine_forward, *SHAPES)
def bias_is_none(dout, cache):
    x, w, _ = cache
    return dout @ w.T, x.T @ dout, None


@mistake("dtype", affine_forward, *SHAPES)
def returned_in_float32(dout, cache):
    x, w, _ = cache
    return (dout @ w.T).astype(np.float32), (x.T @ dout).astype(np.float32), dout.sum(0).astype(np.float32)


@mistake("changed", affine_forward, *SHAPES)
def works_in_the_upstream(dout, cache):
    x, w, _ = cache
    db = dout.sum(0)
    dx, dw = dout @ w.T, x.T @ dout
    dout *= 0
    return dx, dw, db


# %% y = W x + b for one example
def neuron_forward(x, W, b):
    z = np.dot(W, x) + b
    return z, {"x": x, "W": W}


@mistake("sign", neuron_forward, 4, (3, 4), 3)
def minus_in_front(dz, cache):
    return -np.dot(cache["W"].T, dz), -np.outer(dz, cache["x"]), -dz


@mistake("transposed", neuron_forward, 4, (3, 4), 3)
def outer_the_wrong_way_round(dz, cache):
    return np.dot(cache["W"].T, dz), np.outer(cache["x"], dz), dz


@mistake("not finite", neuron_forward, 4, (3, 4), 3)
def divides_by_zero(dz, cache):
    with np.errstate(all="ignore"):
        return np.dot(cache["W"].T, dz) / np.zeros(4), np.outer(dz, cache["x"]), dz


# %% Activations
def sigmoid_forward(z):
    a = 1.0 / (1.0 + np.exp(-z))
    return a, {"a": a, "z": z}


@mistake("input for output", sigmoid_forward, (4, 3))
def z_in_place_of_a(da, c):
    return da * c["z"] * (1 - c["z"])


@mistake("input for output", sigmoid_forward, (4, 3))
def sigmoid_of_the_sigmoid(da, c):
    s = 1 / (1 + np.exp(-c["a"]))
    return da * s * (1 - s)


@mistake("upstream ignored", sigmoid_forward, (4, 3))
def no_upstream(da, c):
    return c["a"] * (1 - c["a"])


@mistake("skipped", sigmoid_forward, (4, 3))
def passed_on(da, c):
    return da


@mistake("sign", sigmoid_forward, (4, 3))
def one_minus_a_turned_round(da, c):
    return da * c["a"] * (c["a"] - 1)


@mistake("alias", sigmoid_forward, (4, 3))
def one_buffer_for_all(da, c, buffer=np.empty((4, 3))):     # noqa: B008
    np.multiply(da, c["a"] * (1 - c["a"]), out=buffer)
    return buffer


def tanh_forward(x):
    y = np.tanh(x)
    return y, (x, y)


@mistake("input for output", tanh_forward, (3, 5))
def square_of_x(dy, cache):
    x, _ = cache
    return dy * (1 - x ** 2)


@mistake("input for output", tanh_forward, (3, 5))
def tanh_twice(dy, cache):
    _, y = cache
    return dy * (1 - np.tanh(y) ** 2)


@mistake("identity", tanh_forward, (3, 5))
def one_forgotten(dy, cache):
    return -dy * cache[1] ** 2


@mistake("sign", tanh_forward, (3, 5))
def y_squared_minus_one(dy, cache):
    return dy * (cache[1] ** 2 - 1)


@mistake("skipped", tanh_forward, (3, 5))
def the_slope_at_zero_everywhere(dy, cache):
    return 1.0 * dy


def relu_forward(x):
    out = np.maximum(0, x)
    return out, x


@mistake("mask", relu_forward, (4, 5))
def mask_forgotten(dout, x):
    return dout


@mistake("mask", relu_forward, (4, 5))
def mask_of_the_upstream(dout, x):
    return np.where(dout > 0, dout, 0)


@mistake("mask", relu_forward, (4, 5))
def mask_turned(dout, x):
    dx = dout.copy()
    dx[x > 0] = 0
    return dx


@mistake("upstream ignored", relu_forward, (4, 5))
def only_the_mask(dout, x):
    return (x > 0).astype(float)


@mistake("factor", relu_forward, (4, 5))
def half(dout, x):
    return 0.5 * dout * (x > 0)


@mistake("changed", relu_forward, (4, 5))
def mask_written_into_the_upstream(dout, x):
    dout[x <= 0] = 0
    return dout


@mistake("factor", relu_forward, lambda rng: [np.zeros((2, 3))])
def twice_at_the_kink(dout, x):
    return 2 * dout * (x >= 0)


@mistake("sign", relu_forward, lambda rng: [np.zeros(4)])
def minus_at_the_kink(dout, x):
    return -dout * (x >= 0)


def leaky_forward(x, alpha=0.1):
    return np.where(x > 0, x, alpha * x), (x, alpha)


@mistake("mask", leaky_forward, (4, 5), alpha=0.2)
def slopes_exchanged(dout, cache):
    x, alpha = cache
    return dout * np.where(x < 0, 1, alpha)


@mistake("mask", leaky_forward, (4, 5), alpha=0.2)
def as_if_it_were_relu(dout, cache):
    return dout * (cache[0] > 0)


def softplus_forward(x):
    return np.log(1 + np.exp(x)), x


@mistake("input for output", softplus_forward, (3, 4))
def sigmoid_of_the_output(dy, x):
    y = np.log(1 + np.exp(x))
    return dy / (1 + np.exp(-y))


def exp_forward(x):
    return np.exp(x), x


@mistake("dtype", exp_forward, (3, 4))
def exp_in_float32(dy, x):
    return (dy * np.exp(x.astype("float32"))).astype("float64")


@mistake("skipped", exp_forward, (3, 4))
def exp_forgotten(dy, x):
    return dy


@mistake("input for output", exp_forward, (3, 4))
def power_rule(dy, x):
    return dy * x


def square_forward(x):
    return x ** 2, x


@mistake("factor", square_forward, (3, 4))
def two_forgotten(dy, x):
    return dy * x


@mistake("nonlinear", square_forward, (3, 4))
def gradient_clipped(dy, x):
    return 2 * x * np.clip(dy, -1, 1)


@mistake("nonlinear", square_forward, (3, 4))
def gradient_rounded(dy, x):
    return np.round(2 * x * dy, 3)


@mistake("nonlinear", square_forward, (3, 4))
def sign_of_the_upstream(dy, x):
    return 2 * x * np.sign(dy)


@mistake("zero", square_forward, (3, 4))
def returns_zeros(dy, x):
    return np.zeros_like(x)


@mistake("zero upstream", square_forward, (3, 4))
def a_little_noise_against_zero(dy, x):
    return 2 * x * dy + 1e-14


def swish_forward(x):
    s = 1 / (1 + np.exp(-x))
    return x * s, (x, s)


@mistake("input for output", swish_forward, (3, 4))
def slope_at_the_output(dy, c):
    x = c[0] * c[1]
    s = 1 / (1 + np.exp(-x))
    return dy * (s + x * s * (1 - s))


def norm_forward(x):
    n = np.sqrt((x * x).sum(axis=1))
    return n, (x, n)


@mistake("not finite", norm_forward, lambda rng: [np.array([[0.0, 0, 0], [1, 2, 2]])])
def zero_over_zero(d, c):
    with np.errstate(all="ignore"):
        return d[:, None] * c[0] / c[1][:, None]


@mistake("factor", norm_forward, (4, 3))
def two_too_many(d, c):
    return d[:, None] * 2 * c[0] / c[1][:, None]


# %% Two layers
def two_layers_forward(x, W1, b1, W2, b2):
    h = np.maximum(0, x @ W1 + b1)
    return h @ W2 + b2, dict(x=x, h=h, W1=W1, W2=W2)


NET = (6, 4), (4, 5), 5, (5, 3), 3


def _two_layers_backward(dy, c, mask=True):
    dh = dy @ c["W2"].T
    dh = dh * (c["h"] > 0) if mask else dh
    return [dh @ c["W1"].T, c["x"].T @ dh, dh.sum(0), c["h"].T @ dy, dy.sum(0)]


@mistake("factor", two_layers_forward, *NET)
def regularisation_left_in_half(dy, c):
    g = _two_layers_backward(dy, c)
    g[3] = 0.5 * g[3]
    return g


@mistake("swapped", two_layers_forward, (5, 4), (4, 5), 5, (5, 5), 5)
def biases_swapped(dy, c):
    dx, dW1, db1, dW2, db2 = _two_layers_backward(dy, c)
    return dx, dW1, db2, dW2, db1


@mistake("sign", two_layers_forward, *NET)
def loss_minus_forgotten_in_one_layer(dy, c):
    g = _two_layers_backward(dy, c)
    return g[0], g[1], g[2], -g[3], -g[4]


@mistake("repeat", two_layers_forward, *NET)
def hidden_layer_masked_in_place(dy, c):
    g = _two_layers_backward(dy, c)
    c["h"] *= 0.5
    return g


# %% A cache that all calls share
_CACHE = {}


def cached_affine_forward(x, w):
    _CACHE["x"], _CACHE["w"] = x.copy(), w.copy()
    return x @ w, _CACHE


@mistake("overwritten cache", cached_affine_forward, (4, 3), (3, 2))
def global_cache(dy, cache):
    return dy @ cache["w"].T, cache["x"].T @ dy


class Affine:
    def forward(self, x, w):
        self.x, self.w = x, w
        return x @ w, None

    def backward(self, dy, _):
        return dy @ self.w.T, self.x.T @ dy


_layer = Affine()


def layer_forward(x, w):
    return _layer.forward(x, w)


@mistake("overwritten cache", layer_forward, (4, 3), (3, 2))
def state_on_self(dy, cache):
    return _layer.backward(dy, cache)
