"""Wrong backwards of the long short-term memory."""

import numpy as np

from tinynet.blocks.sequences.lstm import lstm_backward

from ..registry import mutant

NAMES = ("x", "W", "U", "h", "c", "i", "f", "g", "o")


def with_(cache, **changes):
    """The cache with some of its arrays changed: where they are read, a path is closed or taken wrongly."""
    return tuple(changes.get(name, array) for name, array in zip(NAMES, cache, strict=True))


@mutant("lstm", "term")
def nothing_comes_back_through_h(dh, cache):
    return lstm_backward(dh, with_(cache, U=np.zeros_like(cache[2])))


@mutant("lstm", "term")
def nothing_comes_back_through_the_forget_gate(dh, cache):
    return lstm_backward(dh, with_(cache, f=np.zeros_like(cache[6])))


@mutant("lstm", None)
def each_gates_matrix_transposed(dh, cache):
    U = cache[2]
    return lstm_backward(dh, with_(cache, U=np.concatenate([u.T for u in np.split(U, 4, axis=1)], axis=1)))


@mutant("lstm", None)
def state_of_the_step_itself(dh, cache):
    return lstm_backward(dh, with_(cache, h=np.roll(cache[3], -1, axis=0)))


@mutant("lstm", None)
def input_gate_for_the_output_gate(dh, cache):
    return lstm_backward(dh, with_(cache, o=cache[5]))


@mutant("lstm", "not summed")
def loss_at_the_last_step_alone(dh, cache):
    last = np.zeros_like(dh)
    last[-1:] = dh[-1:]
    return lstm_backward(last, cache)


@mutant("lstm", "sign")
def recurrent_matrix_sign(dh, cache):
    dx, dW, dU, db = lstm_backward(dh, cache)
    return dx, dW, -dU, db


@mutant("lstm", "transposed")
def recurrent_matrix_transposed(dh, cache):
    dx, dW, dU, db = lstm_backward(dh, cache)
    return dx, dW, dU.T, db


@mutant("lstm", "factor")
def averaged_over_the_steps(dh, cache):
    dx, dW, dU, db = lstm_backward(dh, cache)
    return dx, dW / len(dx), dU, db


@mutant("lstm", "not summed")
def bias_of_each_example(dh, cache):
    """db (B, 4 H): of one example at a time."""
    dx, dW, dU, _ = lstm_backward(dh, cache)
    B = dh.shape[1]
    each = [lstm_backward(np.where(np.arange(B)[:, None] == n, dh, 0), cache)[3] for n in range(B)]
    return dx, dW, dU, np.stack(each)


@mutant("lstm", "zero")
def recurrent_matrix_not_learned(dh, cache):
    dx, dW, dU, db = lstm_backward(dh, cache)
    return dx, dW, np.zeros_like(dU), db


@mutant("lstm", "upstream ignored")
def lstm_upstream_of_ones(dh, cache):
    return lstm_backward(np.ones_like(dh), cache)
