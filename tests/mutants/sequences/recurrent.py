"""Wrong backwards of the recurrent layers and of the embedding."""

# ruff: noqa: RUF059    (a cache is unpacked whole, as its forward packed it)
import numpy as np

from tinynet.blocks.sequences.bidirectional import turned_backward
from tinynet.blocks.sequences.embedding import embedding_backward
from tinynet.blocks.sequences.gru import gru_backward
from tinynet.blocks.sequences.lstm import lstm_backward
from tinynet.blocks.sequences.rnn import rnn_backward

from ..registry import mutant

RNN = ("x", "W", "U", "h", "m", "started")
GRU = ("x", "W", "U", "h", "rz", "n", "u", "m", "biased", "started", "reset")
LSTM = ("x", "W", "U", "h", "c", "i", "f", "g", "o", "m", "no_h0", "no_c0")


def with_(names, cache, **changes):
    """The cache with some of its arrays changed: where they are read, a path is closed or taken wrongly."""
    return tuple(changes.get(name, array) for name, array in zip(names, cache, strict=True))


# %% Long short-term memory
@mutant("lstm", "term")
def nothing_comes_back_through_h(dy, cache):
    return lstm_backward(dy, with_(LSTM, cache, U=np.zeros_like(cache[2])))


@mutant("lstm", "term")
def nothing_comes_back_through_the_forget_gate(dy, cache):
    return lstm_backward(dy, with_(LSTM, cache, f=np.zeros_like(cache[6])))


@mutant("lstm", None)
def each_gates_matrix_transposed(dy, cache):
    U = cache[2]
    return lstm_backward(dy, with_(LSTM, cache, U=np.concatenate([u.T for u in np.split(U, 4, axis=1)], axis=1)))


@mutant("lstm", None)
def state_of_the_step_itself(dy, cache):
    return lstm_backward(dy, with_(LSTM, cache, h=np.roll(cache[3], -1, axis=0)))


@mutant("lstm", None)
def input_gate_for_the_output_gate(dy, cache):
    return lstm_backward(dy, with_(LSTM, cache, o=cache[5]))


@mutant("lstm", "not summed")
def loss_at_the_last_step_alone(dy, cache):
    last = np.zeros_like(dy)
    last[:, :, -1:] = dy[:, :, -1:]
    return lstm_backward(last, cache)


@mutant("lstm", "not summed")
def gradient_of_the_cells_forgotten(dy, cache):
    return lstm_backward(np.stack([dy[0], 0 * dy[1]]), cache)


@mutant("lstm", "sign")
def recurrent_matrix_sign(dy, cache):
    dx, dW, dU, *rest = lstm_backward(dy, cache)
    return dx, dW, -dU, *rest


@mutant("lstm", "transposed")
def recurrent_matrix_transposed(dy, cache):
    dx, dW, dU, *rest = lstm_backward(dy, cache)
    return dx, dW, dU.T, *rest


@mutant("lstm", "factor")
def averaged_over_the_steps(dy, cache):
    dx, dW, *rest = lstm_backward(dy, cache)
    return dx, dW / dx.shape[1], *rest


@mutant("lstm", "not summed")
def bias_of_each_example(dy, cache):
    """db (B, 4 H): of one example at a time."""
    dx, dW, dU, _, *rest = lstm_backward(dy, cache)
    B = dy.shape[1]
    each = [lstm_backward(np.where(np.arange(B)[:, None, None] == n, dy, 0), cache)[3] for n in range(B)]
    return dx, dW, dU, np.stack(each), *rest


@mutant("lstm", "zero")
def recurrent_matrix_not_learned(dy, cache):
    dx, dW, dU, *rest = lstm_backward(dy, cache)
    return dx, dW, np.zeros_like(dU), *rest


@mutant("lstm", "upstream ignored")
def lstm_upstream_of_ones(dy, cache):
    return lstm_backward(np.ones_like(dy), cache)


@mutant("lstm_start_and_mask", None)
def lstm_padding_counts(dy, cache):
    return lstm_backward(dy, with_(LSTM, cache, m=None))


@mutant("lstm_start_and_mask", "zero")
def lstm_start_is_a_constant(dy, cache):
    *rest, dh0, dc0, none = lstm_backward(dy, cache)
    return *rest, np.zeros_like(dh0), dc0, none


# %% Gated recurrent unit
@mutant("gru", None)
def gru_nothing_comes_back_through_h(dh, cache):
    return gru_backward(dh, with_(GRU, cache, U=np.zeros_like(cache[2])))


@mutant("gru", None)
def gru_reset_before_taken_for_after(dh, cache):
    return gru_backward(dh, with_(GRU, cache, reset="before", biased=True))


@mutant("gru_reset_before", None)
def gru_reset_after_taken_for_before(dh, cache):
    x, W, U, h, *rest = cache
    return gru_backward(dh, with_(GRU, cache, reset="after"))


@mutant("gru", None)
def update_gate_turned_round(dh, cache):
    H = len(cache[2])
    rz = cache[4].copy()
    rz[..., H:] = 1 - rz[..., H:]
    return gru_backward(dh, with_(GRU, cache, rz=rz))


@mutant("gru", "sign")
def gru_recurrent_matrix_sign(dh, cache):
    dx, dW, dU, *rest = gru_backward(dh, cache)
    return dx, dW, -dU, *rest


@mutant("gru", "zero")
def second_bias_not_learned(dh, cache):
    dx, dW, dU, db, dc, *rest = gru_backward(dh, cache)
    return dx, dW, dU, db, np.zeros_like(dc), *rest


@mutant("gru", None)
def second_bias_outside_the_reset_gate(dh, cache):
    dx, dW, dU, db, dc, *rest = gru_backward(dh, cache)
    return dx, dW, dU, db, db[-len(dc):], *rest


@mutant("gru", "upstream ignored")
def gru_upstream_of_ones(dh, cache):
    return gru_backward(np.ones_like(dh), cache)


@mutant("gru_start_and_mask", None)
def gru_padding_counts(dh, cache):
    return gru_backward(dh, with_(GRU, cache, m=None))


# %% Plain recurrent layer
@mutant("rnn", "term")
def truncated_after_one_step(dh, cache):
    return rnn_backward(dh, with_(RNN, cache, U=np.zeros_like(cache[2])))


@mutant("rnn", None)
def jacobian_not_transposed(dh, cache):
    return rnn_backward(dh, with_(RNN, cache, U=cache[2].T))


@mutant("rnn", None)
def slope_of_the_state_before(dh, cache):
    return rnn_backward(dh, with_(RNN, cache, h=np.roll(cache[3], 1, axis=0)))


@mutant("rnn", "transposed")
def rnn_recurrent_matrix_transposed(dh, cache):
    dx, dW, dU, *rest = rnn_backward(dh, cache)
    return dx, dW, dU.T, *rest


@mutant("rnn", "factor")
def rnn_averaged_over_the_steps(dh, cache):
    dx, dW, dU, db, *rest = rnn_backward(dh, cache)
    return dx, dW, dU, db / dx.shape[1], *rest


@mutant("rnn_start_and_mask", None)
def rnn_padding_counts(dh, cache):
    return rnn_backward(dh, with_(RNN, cache, m=None))


# %% Embedding
@mutant("embedding", "not summed")
def a_word_keeps_its_last_gradient_alone(dy, cache):
    shape, t, padding = cache
    dE = np.zeros(shape)
    dE[t] = dy
    return dE, None


@mutant("embedding", "factor")
def embedding_halved(dy, cache):
    return embedding_backward(dy, cache)[0] / 2, None


@mutant("embedding", "sign")
def embedding_sign(dy, cache):
    return -embedding_backward(dy, cache)[0], None


@mutant("embedding_padding", "mask")
def padding_is_learnt(dy, cache):
    shape, t, _ = cache
    return embedding_backward(dy, (shape, t, None))


# %% Turned sequences
@mutant("turned", "factor")
def turned_doubled(dy, cache):
    return 2 * turned_backward(dy, cache)[0], None


@mutant("turned", "upstream ignored")
def turned_ones(dy, cache):
    return turned_backward(np.ones_like(dy), cache)


@mutant("turned", None)
def padding_turned_too(dy, cache):
    return dy[:, ::-1], None
