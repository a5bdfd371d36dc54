"""Wrong backwards of the decoder that looks, of multi-head attention and of rotary positions."""

import numpy as np

from tinynet.blocks.sequences.attention_gru import attention_gru_backward
from tinynet.blocks.sequences.multi_head import multi_head_backward
from tinynet.blocks.sequences.positions import rotary_backward

from ..registry import mutant

NAMES = ("dx", "dh", "dk", "dA", "dv", "dW", "dU", "db", "dc", "ds0")


def changed(dy, cache, **changes):
    """The right gradients, some of them replaced by what changes[name](gradient) gives."""
    found = attention_gru_backward(dy, cache)
    return *(changes.get(n, lambda g: g)(g) for n, g in zip(NAMES, found[:-1], strict=True)), None


# %% The decoder
@mutant("attention_gru", None)
def decoder_asks_without_a_gradient(dy, cache):
    h, k, A, *rest = cache
    return changed(dy, (h, k, np.zeros_like(A), *rest))


@mutant("attention_gru", "sign")
def keys_turned_round(dy, cache):
    return changed(dy, cache, dk=np.negative)


@mutant("attention_gru", "zero")
def annotations_through_the_score_alone(dy, cache):
    return changed(dy, cache, dh=np.zeros_like)


@mutant("attention_gru", "shape")
def question_matrix_transposed(dy, cache):
    return changed(dy, cache, dA=np.transpose)


@mutant("attention_gru", None)
def maps_get_no_gradient(dy, cache):
    h, n = cache[0], cache[11]
    dy = dy.copy()
    dy[..., n.shape[2] + h.shape[2]:] = 0
    return attention_gru_backward(dy, cache)


@mutant("attention_gru", "upstream ignored")
def decoder_of_ones(dy, cache):
    return attention_gru_backward(np.ones_like(dy), cache)


# %% Many heads
@mutant("multi_head", "swapped")
def heads_in_the_wrong_place(dY, cache):
    _, shape, _, heads = cache
    dx = multi_head_backward(dY, cache)[0].reshape(*shape[:2], 3, heads, -1)
    return dx[:, :, ::-1].reshape(shape), None, None, None


@mutant("multi_head_over_a_memory", "sign")
def memory_pushed_away(dY, cache):
    dx, dz, *none = multi_head_backward(dY, cache)
    return dx, -dz, *none


@mutant("multi_head", "factor")
def averaged_over_the_heads(dY, cache):
    dx, *none = multi_head_backward(dY, cache)
    return dx / 3, *none


@mutant("multi_head_over_a_memory", "zero")
def heads_ask_without_a_gradient(dY, cache):
    dx, *rest = multi_head_backward(dY, cache)
    return np.zeros_like(dx), *rest


# %% Positions
@mutant("rotary", "transposed")
def turned_further(dy, angle):
    return rotary_backward(dy, -angle)


@mutant("rotary", "skipped")
def not_turned_back(dy, angle):
    return dy.copy()
