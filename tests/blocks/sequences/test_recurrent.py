"""RNN, GRU, bidirectional and stacked nets, and the state they carry; the battery checks the gradients."""

import math

import numpy as np
import pytest

import tinynet as tn
from tinynet.blocks.sequences.bidirectional import Bidirectional, turned
from tinynet.blocks.sequences.gru import GRU, gru_backward, gru_forward
from tinynet.blocks.sequences.lstm import LSTM
from tinynet.blocks.sequences.masking import tokens
from tinynet.blocks.sequences.rnn import RNN, rnn_backward, rnn_forward
from tinynet.blocks.sequences.stacked import Stacked
from tinynet.blocks.sequences.state import chosen, detached, repeated
from tinynet.shapes import ShapeError

CELLS = {
    "rnn": lambda: RNN(3, 4, rng=0, dtype=float),
    "gru": lambda: GRU(3, 4, rng=0, dtype=float),
    "gru before": lambda: GRU(3, 4, reset="before", rng=0, dtype=float),
    "lstm": lambda: LSTM(3, 4, rng=0, dtype=float),
    "stacked": lambda: Stacked(LSTM(3, 4, rng=0, dtype=float), GRU(4, 4, rng=1, dtype=float)),
}
EACH = pytest.mark.parametrize("cell", [make() for make in CELLS.values()], ids=CELLS)


def sequences(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def flat(state):
    return [state] if isinstance(state, tn.Tensor) else [s for part in state for s in flat(part)]


# %% By hand
def test_two_steps_of_a_gru_by_hand_in_both_forms():
    W, U, b, c, x = [0.5, -1, 2], [0.1, 0.2, 0.3], [0.3, -0.2, 0.1], 0.7, [2.0, -1.0]
    for reset in ("after", "before"):
        h, states = 0.0, []
        for t in range(2):
            r, z = (1 / (1 + math.exp(-(W[k] * x[t] + U[k] * h + b[k]))) for k in range(2))
            inner = r * (U[2] * h + c) if reset == "after" else r * h * U[2]
            h = (1 - z) * math.tanh(W[2] * x[t] + b[2] + inner) + z * h
            states.append(h)
        y, _ = gru_forward(np.array(x).reshape(1, 2, 1), np.array([W]), np.array([U]), np.array(b),
                           np.array([c]) if reset == "after" else None, reset=reset)
        np.testing.assert_allclose(y.ravel(), states, rtol=1e-14)


def test_z_at_1_keeps_the_old_state():
    y, _ = gru_forward(np.ones((1, 3, 1)), np.zeros((1, 3)), np.zeros((1, 3)), np.array([0, 100.0, 0]),
                       h0=np.array([[0.3]]))
    np.testing.assert_allclose(y, 0.3)


def test_the_gradient_through_an_rnn_is_the_product_of_its_jacobians():
    rng = np.random.default_rng(0)
    x, W, U, b = rng.normal(size=(1, 6, 2)), rng.normal(size=(2, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)
    h, cache = rnn_forward(x, W, U, b, h0=np.zeros((1, 3)))
    dh = np.zeros_like(h)
    dh[0, -1] = upstream = rng.normal(size=3)
    product = upstream
    for t in reversed(range(6)):
        product = product * (1 - h[0, t] ** 2) @ U.T
    np.testing.assert_allclose(rnn_backward(dh, cache)[4][0], product, rtol=1e-12)


# %% What every cell keeps
@EACH
def test_a_run_is_the_step_repeated(cell):
    x, mask = sequences(3, 5, 3), tokens([5, 2, 0])
    h, state = cell.run(x, None, mask)
    g, other = repeated(cell, x, None, mask)
    np.testing.assert_allclose(h.data, g.data, atol=1e-14)
    for ours, theirs in zip(flat(state), flat(other), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, atol=1e-14)


@EACH
def test_a_sequence_doesnt_depend_on_the_batch_it_is_in(cell):
    x = sequences(3, 5, 3)
    h, state = cell.run(x, None, tokens([5, 2, 3], 5))
    alone, last = cell.run(x[1:2, :2])
    np.testing.assert_allclose(h.data[1, :2], alone.data[0], atol=1e-14)
    for ours, theirs in zip(flat(chosen(state, [1])), flat(last), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, atol=1e-14)


@EACH
def test_two_runs_in_a_row_are_one(cell):
    x = sequences(2, 6, 3)
    whole, last = cell.run(x)
    first, state = cell.run(x[:, :4])
    second, end = cell.run(x[:, 4:], state)
    np.testing.assert_allclose(np.concatenate([first.data, second.data], axis=1), whole.data, atol=1e-14)
    for ours, theirs in zip(flat(end), flat(last), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, atol=1e-14)


@EACH
def test_a_detached_state_stops_the_gradient(cell):
    x = tn.Tensor(sequences(2, 4, 3), requires_grad=True)
    _, state = cell.run(x)
    h, _ = cell.run(sequences(2, 4, 3, seed=1), detached(state))
    h.sum().backward()
    assert x.grad is None
    h, _ = cell.run(sequences(2, 4, 3, seed=1), state)
    h.sum().backward()
    assert x.grad.any()


@EACH
def test_an_empty_sequence_keeps_its_start_and_gets_no_gradient(cell):
    x = tn.Tensor(sequences(2, 3, 3), requires_grad=True)
    h, state = cell.run(x, None, tokens([0, 3]))
    (h * sequences(2, 3, 4)).sum().backward()
    assert not h.data[0].any()
    assert not x.grad[0].any()
    assert not any(s.data[0].any() for s in flat(state))
    h, state = cell.run(x[:, :0], None)
    assert h.shape == (2, 0, 4)
    assert all(s.shape == (2, 4) and not s.data.any() for s in flat(state))


@EACH
def test_the_module_keeps_float32(cell):
    x = np.ones((2, 3, 3), np.float32)
    assert cell.astype(np.float32).run(x)[0].dtype == np.float32
    cell.astype(np.float64)


# %% Bidirectional
def test_the_backward_direction_starts_at_each_sequences_own_last_token():
    net = Bidirectional(GRU(3, 4, rng=0, dtype=float), GRU(3, 4, rng=1, dtype=float))
    x = sequences(2, 5, 3)
    h, (ahead, back) = net(x, mask=tokens([2, 5]))
    alone, _ = net.back.run(x[:1, 1::-1])
    np.testing.assert_allclose(h.data[0, :2, 4:], alone.data[0, ::-1], atol=1e-14)
    np.testing.assert_allclose(back.data[0], h.data[0, 0, 4:], atol=1e-14)
    np.testing.assert_allclose(ahead.data[0], h.data[0, 1, :4], atol=1e-14)


def test_turning_twice_changes_nothing():
    x, mask = sequences(3, 4, 2), tokens([0, 3, 4])
    np.testing.assert_array_equal(turned(turned(x, mask), mask).data, x)
    np.testing.assert_array_equal(turned(x, mask).data[1], x[1, [2, 1, 0, 3]])


# %% Stacked
def test_dropout_stands_between_the_layers_only_and_in_training_only():
    net = Stacked(GRU(3, 4, rng=0), GRU(4, 50, rng=1), p=0.5, rng=2)
    x = sequences(1, 3, 3).astype(np.float32)
    assert not np.array_equal(net(x)[0].data, net(x)[0].data)
    net.eval()
    np.testing.assert_array_equal(net(x)[0].data, net(x)[0].data)
    one = Stacked(GRU(3, 4, rng=0), p=0.5, rng=2)
    np.testing.assert_array_equal(one(x)[0].data, one(x)[0].data)


def test_a_gradient_reaches_the_first_layer_through_the_second():
    net = Stacked(LSTM(3, 4, rng=0), RNN(4, 2, rng=1))
    net(np.ones((2, 3, 3), np.float32))[0].sum().backward()
    assert all(p.grad.any() for p in net.parameters())


# %% The same bits for any number of steps at once and for the compiled twin
def test_a_gru_is_one_in_both_twins_with_and_without_padding():
    x, W, U = sequences(5, 4, 3), sequences(3, 48), sequences(16, 48, seed=1)
    b, c, dh = sequences(48), sequences(16), sequences(5, 4, 16)
    for mask in (None, tokens([4, 0, 1, 3, 2])):
        results = []
        for backend in ("plain", "fast"):
            with tn.use_backend(backend):
                from tinynet.blocks.sequences.gru import gru
                forward, backward = gru.pair(x, W, U)
                y, cache = forward(x, W, U, b, c, None, mask)
                results.append([y, *backward(dh, cache)[:5]])
        for plain, fast in zip(*results, strict=True):
            np.testing.assert_allclose(plain, fast, atol=1e-12)


# %% Bad input
@pytest.mark.parametrize(("call", "error", "said"), [
    (lambda: gru_forward(np.ones((1, 2, 3)), np.ones((3, 8)), np.ones((2, 8)), np.ones(8)), ShapeError,
     "gru: .*3 H = 6"),
    (lambda: gru_forward(np.ones((1, 2, 3)), np.ones((3, 6)), np.ones((2, 6)), np.ones(6), reset="first"), ValueError,
     "gru: reset is 'first'"),
    (lambda: gru_forward(np.ones((1, 2, 3)), np.ones((3, 6)), np.ones((2, 6)), np.ones(6), np.ones(2),
                         reset="before"), ValueError, 'gru: .*"before" without c'),
    (lambda: rnn_forward(np.ones((1, 2, 3)), np.ones((3, 2)), np.ones((2, 2)), np.ones(2),
                         mask=np.ones((2, 2), bool)), ShapeError, r"rnn: mask has shape \(2, 2\).*\(1, 2\)"),
    (lambda: rnn_forward(np.ones((1, 2, 3)), np.ones((3, 2)), np.ones((2, 2)), np.ones(2), mask=np.ones((1, 2))),
     TypeError, "rnn: mask holds float64; give booleans"),
    (lambda: rnn_forward(np.ones((1, 2, 3)), np.ones((3, 2)), np.ones((2, 2)), np.ones(2), np.ones((2, 2))), ShapeError,
     "rnn: .*h0 .*B is 1 and 2"),
    (lambda: tokens([3, 1], 2), ValueError, "tokens: sequence 0 has length 3, but there are T = 2"),
    (lambda: tokens([2.5, 1]), TypeError, "tokens: the lengths are float64"),
    (lambda: tokens([[2, 1]]), ShapeError, r"tokens: the lengths have shape \(1, 2\), but must be \(B\)"),
    (lambda: turned(np.ones((2, 3, 1)), np.array([[1, 1, 0], [1, 0, 1]], bool)), ShapeError,
     "turned: mask .* has a token behind padding in sequence 1"),
    (lambda: LSTM(2, 3, rng=0)(np.ones((1, 2, 2)), np.ones((1, 3))), TypeError, r"LSTM: its state is a pair \(h, c\)"),
    (lambda: Stacked(), ValueError, "Stacked: there are no layers"),
])
def test_bad_input(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_reset_before_and_after_differ_with_the_same_weights():
    x, W, U, b = sequences(1, 3, 2), sequences(2, 9), sequences(3, 9), sequences(9)
    after, cache = gru_forward(x, W, U, b)
    before, _ = gru_forward(x, W, U, b, reset="before")
    assert np.abs(after - before).max() > 0.01
    assert len(gru_backward(np.ones_like(after), cache)) == 7
