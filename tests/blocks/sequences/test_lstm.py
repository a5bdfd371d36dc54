"""The long short-term memory by hand; test_battery.py checks its gradients, test_torch.py compares it with PyTorch."""

import math

import numpy as np
import pytest

import tinynet as tn
from tinynet import optim
from tinynet.blocks.losses.mean_squared_error import mean_squared_error
from tinynet.blocks.sequences.lstm import LSTM, lstm_backward, lstm_forward
from tinynet.blocks.units.linear import Linear
from tinynet.check import gradcheck
from tinynet.shapes import ShapeError


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
    y, _ = lstm_forward(np.array(x).reshape(2, 1, 1), np.array([W]), np.array([U]), np.array(b))
    np.testing.assert_allclose(y.ravel(), hidden, rtol=1e-14)


def test_the_gradient_of_one_step_by_hand():
    # all sums are 0: the gates are 1/2 and nothing is written, so only g's path is open
    x, W, U, b = np.ones((1, 1, 1)), np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(4)
    y, cache = lstm_forward(x, W, U, b)
    dx, dW, dU, db = lstm_backward(np.array([[[3.0]]]), cache)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(db, [0, 0, 3 * 0.5 * 0.5, 0])
    np.testing.assert_array_equal(dW, [db])
    np.testing.assert_array_equal(dU, 0)
    np.testing.assert_array_equal(dx, 0)


def test_an_open_forget_gate_keeps_the_cell_and_passes_its_gradient_back():
    T, gates = 50, np.array([0.0, 100, 0, 100])             # f = o = 1, i = 1/2
    x = np.zeros((T, 1, 1))
    x[0] = 1
    y, cache = lstm_forward(x, np.array([[0.0, 0, 1, 0]]), np.zeros((1, 4)), gates)
    np.testing.assert_allclose(y[:, 0, 0], math.tanh(0.5 * math.tanh(1)), rtol=1e-12)
    dh = np.zeros_like(y)
    dh[-1] = 1
    dx = lstm_backward(dh, cache)[0]
    np.testing.assert_allclose(dx[0], (1 - y[-1] ** 2) * 0.5 * (1 - math.tanh(1) ** 2), rtol=1e-12)


def test_a_step_knows_nothing_of_later_ones():
    x, net = np.random.default_rng(0).normal(size=(5, 2, 3)), LSTM(3, 4, rng=0, dtype=float)
    np.testing.assert_array_equal(net(x[:3]).data, net(x).data[:3])


def test_no_steps_no_examples_no_units():
    for T, B, H in ((0, 2, 4), (3, 0, 4), (3, 2, 0)):
        net = LSTM(3, H, rng=0)
        h = net(np.ones((T, B, 3), np.float32))
        assert h.shape == (T, B, H)
        h.sum().backward()
        assert all(np.isfinite(p.grad).all() for p in net.parameters())
        assert T * B or not net.W.grad.any()


def test_values_so_large_that_the_gates_are_0_or_1():
    x = np.array([1e4, -1e4, 1e30], np.float32).reshape(3, 1, 1)
    h, cache = lstm_forward(x, np.ones((1, 4), np.float32), np.ones((1, 4), np.float32), np.zeros(4, np.float32))
    assert np.isfinite(h).all()
    assert all(np.isfinite(g).all() for g in lstm_backward(np.ones_like(h), cache))


def test_the_module():
    net = LSTM(3, 5, rng=0)
    assert [(name, p.shape, p.dtype) for name, p in net.named_parameters()] == [
        ("W", (3, 20), np.float32), ("U", (5, 20), np.float32), ("b", (20,), np.float32)]
    np.testing.assert_array_equal(net.b.data.reshape(4, 5), np.repeat([[0], [1], [0], [0]], 5, axis=1))
    assert 0.8 < np.abs(net.W.data).max() / math.sqrt(6 / 8) <= 1       # Glorot's range of one gate
    assert net(np.ones((2, 4, 3), np.float32)).dtype == np.float32
    np.testing.assert_array_equal(net.U.data, LSTM(3, 5, rng=0).U.data)
    gradcheck(LSTM(2, 3, rng=1), np.random.default_rng(1).normal(size=(4, 2, 2))).raise_if_wrong()


def test_it_learns_to_recall_the_first_of_ten_inputs():
    rng = np.random.default_rng(0)
    net, readout = LSTM(1, 8, rng=1), Linear(8, 1, rng=2)
    adam = optim.Adam([*net.parameters(), *readout.parameters()], lr=0.03)
    for _ in range(150):
        x = rng.uniform(-1, 1, (10, 64, 1)).astype(np.float32)
        for module in (net, readout):
            module.zero_grad()
        loss = mean_squared_error(readout(net(x)[-1]), x[0])
        loss.backward()
        adam.step()
    with tn.no_grad():
        x = rng.uniform(-1, 1, (10, 500, 1)).astype(np.float32)
        error = mean_squared_error(readout(net(x)[-1]), x[0]).item()
    assert error < 0.05             # the inputs' variance is 1/3


@pytest.mark.parametrize(("change", "message"), [
    (dict(x=np.ones((2, 3))), "x has shape (2, 3), but needs 3 axes (T B D)"),
    (dict(W=np.ones((5, 8))), "x (T B D) = (6, 3, 4) and W (D G) = (5, 8): D is 4 and 5"),
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
