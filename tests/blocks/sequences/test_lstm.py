"""The long short-term memory by hand; test_battery.py checks its gradients, test_torch.py compares it with PyTorch."""

import math

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn, optim
from tinynet.blocks.graphs.graph_sage import LSTMAggregator
from tinynet.blocks.losses.mean_squared_error import mean_squared_error
from tinynet.blocks.sequences.lstm import LSTM, lstm, lstm_backward, lstm_forward
from tinynet.blocks.units.activations import sigmoid_forward
from tinynet.blocks.units.linear import Linear
from tinynet.check import gradcheck
from tinynet.engine import Op
from tinynet.ops.broadcasting import summed
from tinynet.shapes import ShapeError


class Outputs(nn.Module):
    """The hidden states alone."""

    def __init__(self, net):
        self.net = net

    def forward(self, x):
        return self.net(x)[0]


def sigma(z):
    return 1 / (1 + math.exp(-z))


def test_two_steps_of_one_unit_by_hand():
    W, U, b = [0.5, -1, 2, 0.25], [0.1, 0.2, 0.3, 0.4], [0, 1, -0.5, 0.5]
    x, h, c, hidden = [2.0, -1.0], 0.0, 0.0, []
    for t in range(2):
        i, f, g, o = (w * x[t] + u * h + bias for w, u, bias in zip(W, U, b, strict=True))
        c = sigma(f) * c + sigma(i) * math.tanh(g)
        h = sigma(o) * math.tanh(c)
        hidden.append(h)
    y, _ = lstm_forward(np.array(x).reshape(1, 2, 1), np.array([W]), np.array([U]), np.array(b))
    np.testing.assert_allclose(y[0].ravel(), hidden, rtol=1e-14)
    np.testing.assert_allclose(y[1, 0, 1, 0], c, rtol=1e-14)


def test_the_gradient_of_one_step_by_hand():
    # all sums are 0: the gates are 1/2 and nothing is written, so only g's path is open
    x, W, U, b = np.ones((1, 1, 1)), np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(4)
    y, cache = lstm_forward(x, W, U, b)
    dx, dW, dU, db, *_ = lstm_backward(np.array([3.0, 0]).reshape(2, 1, 1, 1), cache)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(db, [0, 0, 3 * 0.5 * 0.5, 0])
    np.testing.assert_array_equal(dW, [db])
    np.testing.assert_array_equal(dU, 0)
    np.testing.assert_array_equal(dx, 0)


def test_an_open_forget_gate_keeps_the_cell_and_passes_its_gradient_back():
    T, gates = 50, np.array([0.0, 100, 0, 100])             # f = o = 1, i = 1/2
    x = np.zeros((1, T, 1))
    x[0, 0] = 1
    y, cache = lstm_forward(x, np.array([[0.0, 0, 1, 0]]), np.zeros((1, 4)), gates)
    np.testing.assert_allclose(y[0, 0, :, 0], math.tanh(0.5 * math.tanh(1)), rtol=1e-12)
    dy = np.zeros_like(y)
    dy[0, 0, -1] = 1
    dx = lstm_backward(dy, cache)[0]
    np.testing.assert_allclose(dx[0, 0], (1 - y[0, 0, -1] ** 2) * 0.5 * (1 - math.tanh(1) ** 2), rtol=1e-12)


def test_a_step_knows_nothing_of_later_ones():
    x, net = np.random.default_rng(0).normal(size=(2, 5, 3)), LSTM(3, 4, rng=0, dtype=float)
    np.testing.assert_array_equal(net(x[:, :3])[0].data, net(x)[0].data[:, :3])


def test_no_steps_no_examples_no_units():
    for T, B, H in ((0, 2, 4), (3, 0, 4), (3, 2, 0)):
        net = LSTM(3, H, rng=0)
        h, _ = net(np.ones((B, T, 3), np.float32))
        assert h.shape == (B, T, H)
        h.sum().backward()
        assert all(np.isfinite(p.grad).all() for p in net.parameters())
        assert T * B or not net.W.grad.any()


def test_values_so_large_that_the_gates_are_0_or_1():
    x = np.array([1e4, -1e4, 1e30], np.float32).reshape(1, 3, 1)
    h, cache = lstm_forward(x, np.ones((1, 4), np.float32), np.ones((1, 4), np.float32), np.zeros(4, np.float32))
    assert np.isfinite(h).all()
    assert all(np.isfinite(g).all() for g in lstm_backward(np.ones_like(h), cache)[:4])


def test_the_module():
    net = LSTM(3, 5, rng=0)
    assert [(name, p.shape, p.dtype) for name, p in net.named_parameters()] == [
        ("W", (3, 20), np.float32), ("U", (5, 20), np.float32), ("b", (20,), np.float32)]
    np.testing.assert_array_equal(net.b.data.reshape(4, 5), np.repeat([[0], [1], [0], [0]], 5, axis=1))
    assert 0.8 < np.abs(net.W.data).max() / math.sqrt(6 / 8) <= 1       # Glorot's range of one gate
    assert net(np.ones((4, 2, 3), np.float32))[0].dtype == np.float32
    np.testing.assert_array_equal(net.U.data, LSTM(3, 5, rng=0).U.data)
    gradcheck(Outputs(LSTM(2, 3, rng=1)), np.random.default_rng(1).normal(size=(2, 4, 2))).raise_if_wrong()


def test_it_learns_to_recall_the_first_of_ten_inputs():
    rng = np.random.default_rng(0)
    net, readout = LSTM(1, 8, rng=1), Linear(8, 1, rng=2)
    adam = optim.Adam([*net.parameters(), *readout.parameters()], lr=0.03)
    for _ in range(150):
        x = rng.uniform(-1, 1, (64, 10, 1)).astype(np.float32)
        for module in (net, readout):
            module.zero_grad()
        loss = mean_squared_error(readout(net(x)[0][:, -1]), x[:, 0])
        loss.backward()
        adam.step()
    with tn.no_grad():
        x = rng.uniform(-1, 1, (500, 10, 1)).astype(np.float32)
        error = mean_squared_error(readout(net(x)[0][:, -1]), x[:, 0]).item()
    assert error < 0.05             # the inputs' variance is 1/3


@pytest.mark.parametrize(("change", "message"), [
    (dict(x=np.ones((2, 3))), "x has shape (2, 3), but needs 3 axes (B T D)"),
    (dict(W=np.ones((5, 8))), "x (B T D) = (6, 3, 4) and W (D G) = (5, 8): D is 4 and 5"),
    (dict(mask=np.ones((6, 4), bool)), "mask has shape (6, 4), but x has (B T) = (6, 3)"),
    (dict(b=np.ones(2)), "b (G) = (2,): G is 8 and 2"),
    (dict(U=np.ones((3, 8))), "U (H G) = (3, 8): G is 8, but for 3 hidden units with three gates and a cell each it "
                              "must be 4 H = 12"),
])
def test_bad_input(change, message):
    good = dict(x=np.ones((6, 3, 4)), W=np.ones((4, 8)), U=np.ones((2, 8)), b=np.ones(8))
    with pytest.raises(ShapeError) as raised:
        lstm_forward(**(good | change))
    assert str(raised.value).startswith("lstm: ")
    assert message in str(raised.value)


# %% As it was before sequences were batch first: GraphSAGE's numbers in the tables rest on these bits.  What is summed
# over all steps is one product here as there, for BLAS rounds a product in pieces in another order
def _sigma(z):
    return sigmoid_forward(z)[0]


def lstm_forward_time_first(x, W, U, b):
    T, B, H = len(x), x.shape[1], len(U)
    z = (x.reshape(T * B, -1) @ W + b).reshape(T, B, 4 * H)
    zi, zf, zg, zo = np.split(z, 4, axis=2)
    h, c, i, f, g, o = np.zeros((6, T + 1, B, H), np.result_type(z, U))
    for t in range(T):
        z[t] += h[t - 1] @ U
        i[t], f[t], g[t], o[t] = _sigma(zi[t]), _sigma(zf[t]), np.tanh(zg[t]), _sigma(zo[t])
        c[t] = f[t] * c[t - 1] + i[t] * g[t]
        h[t] = o[t] * np.tanh(c[t])
    return h[:T], (x, W, U, h, c, i, f, g, o)


def lstm_backward_time_first(dh, cache):
    x, W, U, h, c, i, f, g, o = cache
    T, B, H = dh.shape
    dz, dc = np.zeros((T + 1, B, 4 * H), h.dtype), np.zeros_like(c)
    dzi, dzf, dzg, dzo = np.split(dz, 4, axis=2)
    turned = U.T.copy()
    for t in reversed(range(T)):
        tanh_c = np.tanh(c[t])
        dH = dh[t] + dz[t + 1] @ turned
        dc[t] = dH * o[t] * (1 - tanh_c ** 2) + dc[t + 1] * f[t + 1]
        dzi[t] = dc[t] * g[t] * i[t] * (1 - i[t])
        dzf[t] = dc[t] * c[t - 1] * f[t] * (1 - f[t])
        dzg[t] = dc[t] * i[t] * (1 - g[t] ** 2)
        dzo[t] = dH * tanh_c * o[t] * (1 - o[t])
    whole, x, earlier = dz[:T].reshape(T * B, 4 * H), x.reshape(T * B, -1), h[:T - 1].reshape((T - 1) * B, H)
    return (whole @ W.T).reshape(T, B, -1), x.T @ whole, earlier.T @ whole[B:], summed(dz, (0, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("B", "T", "D", "H"), [(1, 1, 3, 2), (37, 10, 7, 9), (128, 25, 50, 32)])
def test_both_twins_keep_the_bits(dtype, B, T, D, H):
    rng = np.random.default_rng(0)
    x, W, U, b = (rng.normal(size=s).astype(dtype) for s in ((B, T, D), (D, 4 * H), (H, 4 * H), 4 * H))
    h, cache = lstm_forward_time_first(x.transpose(1, 0, 2), W, U, b)
    dh = rng.normal(size=h.shape).astype(dtype)
    dx, *rest = lstm_backward_time_first(dh, cache)
    for forward, backward in ((lstm_forward, lstm_backward), lstm.fast):
        y, cache = forward(x, W, U, b)
        np.testing.assert_array_equal(y[0], h.swapaxes(0, 1))
        grads = backward(np.stack([dh.swapaxes(0, 1), np.zeros_like(y[1])]), cache)
        for ours, before in zip(grads[:4], (dx.swapaxes(0, 1), *rest), strict=True):
            np.testing.assert_array_equal(ours, before)


def test_graph_sages_aggregator_keeps_its_bits():
    rng = np.random.default_rng(1)
    layer, S = LSTMAggregator(6, 5, hidden=32, rng=0), np.array([[4], [1], [0], [3]])
    x, neighbours = (tn.Tensor(rng.normal(size=s).astype(np.float32), requires_grad=True) for s in ((4, 6), (4, 4, 6)))
    y = layer(x, neighbours, np.arange(4) < S)
    y.backward(np.ones_like(y.data))
    before = tn.Tensor(neighbours.data, requires_grad=True)
    steps = Op(lstm_forward_time_first, lstm_backward_time_first)
    W, U, b = (tn.Tensor(p.data, requires_grad=True) for p in (layer.look.W, layer.look.U, layer.look.b))
    h = steps(before.transpose(1, 0, 2), W, U, b)
    n = h[S[:, 0] - 1, np.arange(4)] * (S > 0)
    other = tn.ops.concatenate(x.data @ layer.W_self, n @ layer.W_neighbours, axis=1)
    other.backward(np.ones_like(y.data))
    np.testing.assert_array_equal(y.data, other.data)
    np.testing.assert_array_equal(neighbours.grad, before.grad)
    for now, then in ((layer.look.W, W), (layer.look.U, U), (layer.look.b, b)):
        np.testing.assert_array_equal(now.grad, then.grad)
