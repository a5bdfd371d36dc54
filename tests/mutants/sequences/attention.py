"""Wrong backwards of the two attentions."""

# ruff: noqa: RUF059    (a cache is unpacked whole, as its forward packed it)
import numpy as np

from tinynet.blocks.sequences.additive_attention import additive_attention_backward
from tinynet.blocks.sequences.attention import attention_backward, attention_weights

from ..registry import mutant


def scores(dY, cache):
    """P, dP, and what brings a dS to dQ and dK."""
    Q, K, V, _, _, mask, _, causal, _, scale = cache
    P = attention_weights(Q, K, mask, causal, scale)
    return P, dY @ V.swapaxes(-1, -2), lambda dS: (dS @ K * scale, dS.swapaxes(-1, -2) @ Q * scale)


# %% Scaled dot-product
@mutant("attention", "factor")
def scale_forgotten(dY, cache):
    dQ, dK, dV, *none = attention_backward(dY, cache)
    return dQ / cache[-1], dK / cache[-1], dV, *none


@mutant("attention", "factor")
def scaled_twice(dY, cache):
    dQ, dK, dV, *none = attention_backward(dY, cache)
    return dQ * cache[-1], dK, dV, *none


@mutant("attention_batch_heads", "factor")
def given_scale_forgotten(dY, cache):
    dQ, dK, dV, *none = attention_backward(dY, cache)
    return dQ, dK / cache[-1], dV, *none


@mutant("attention", "softmax diagonal")
def attention_diag_p(dY, cache):
    P, dP, through = scores(dY, cache)
    return *through(P * dP), *attention_backward(dY, cache)[2:]


@mutant("attention_mask", "softmax diagonal")
def attention_diagonal(dY, cache):
    P, dP, through = scores(dY, cache)
    return *through(P * (1 - P) * dP), *attention_backward(dY, cache)[2:]


@mutant("attention", "softmax off-diagonal")
def attention_minus_pp(dY, cache):
    P, dP, through = scores(dY, cache)
    return *through(-P * (P * dP).sum(axis=-1, keepdims=True)), *attention_backward(dY, cache)[2:]


@mutant("attention_causal", "softmax off-diagonal")
def attention_beside_the_diagonal(dY, cache):
    P, dP, through = scores(dY, cache)
    return *through(P * (P * dP - (P * dP).sum(axis=-1, keepdims=True))), *attention_backward(dY, cache)[2:]


@mutant("attention", "zero")
def queries_get_nothing(dY, cache):
    dQ, dK, dV, *none = attention_backward(dY, cache)
    return np.zeros_like(dQ), dK, dV, *none


@mutant("attention_padding_causal", "transposed")
def weights_not_transposed(dY, cache):
    dQ, dK, _, *none = attention_backward(dY, cache)
    return dQ, dK, scores(dY, cache)[0] @ dY, *none


@mutant("attention_padding_causal", "swapped")
def queries_and_keys_exchanged(dY, cache):
    dQ, dK, dV, *none = attention_backward(dY, cache)
    return dK, dQ, dV, *none


@mutant("attention", "sign")
def keys_pushed_away(dY, cache):
    dQ, dK, dV, *none = attention_backward(dY, cache)
    return dQ, -dK, dV, *none


@mutant("attention_batch_heads", "not summed")
def values_of_the_first_query(dY, cache):
    dQ, dK, _, *none = attention_backward(dY, cache)
    return dQ, dK, scores(dY, cache)[0][..., :1, :].swapaxes(-1, -2) @ dY[..., :1, :], *none


@mutant("attention", "upstream ignored")
def attention_of_ones(dY, cache):
    return attention_backward(np.ones_like(dY), cache)


@mutant("attention", "transposed")
def value_gradient_transposed(dY, cache):
    dQ, dK, dV, *none = attention_backward(dY, cache)
    return dQ, dK, dV.swapaxes(-1, -2), *none


@mutant("attention_row_without_keys", "mask")
def hidden_rows_get_a_gradient(dY, cache):
    dQ, dK, dV, *none = attention_backward(dY, cache)
    dQ[0] = dY.mean()
    return dQ, dK, dV, *none


@mutant("attention", "count")
def mask_has_no_place(dY, cache):
    return attention_backward(dY, cache)[:2]


@mutant("attention", None)
def uniform_weights(dY, cache):
    P, dP, through = scores(dY, cache)
    dS = (dP - dP.mean(axis=-1, keepdims=True)) / P.shape[-1]
    return *through(dS), *attention_backward(dY, cache)[2:]


@mutant("attention_dropout", None)
def dropped_weights_get_their_gradient(dY, cache):
    P, dP, through = scores(dY, cache)
    dS = P * (dP - (P * dP).sum(axis=-1, keepdims=True))
    return *through(dS), *attention_backward(dY, cache)[2:]


@mutant("attention_causal", None)
def weights_of_another_sum(dY, cache):
    """A log-sum-exp of all keys, also of those that the query may not see."""
    P, dP, through = scores(dY, cache)
    all_seen = attention_weights(*cache[:2], scale=cache[-1]) * (P > 0)
    dS = all_seen * (dP - (all_seen * dP).sum(axis=-1, keepdims=True))
    return *through(dS), all_seen.swapaxes(-1, -2) @ dY, None, None


@mutant("attention_added_mask", "sign")
def values_turned_round(dY, cache):
    dQ, dK, dV, *none = attention_backward(dY, cache)
    return dQ, dK, -dV, *none


# %% Additive
@mutant("additive_attention", "term")
def mixture_held_constant(dc, cache):
    s, h, W, U, v, alpha = cache
    ds, dh, *rest = additive_attention_backward(dc, cache)
    return ds, dh - alpha.swapaxes(-1, -2) @ dc, *rest


@mutant("additive_attention", "term")
def score_held_constant(dc, cache):
    s, h, W, U, v, alpha = cache
    ds, _, *rest = additive_attention_backward(dc, cache)
    return ds, alpha.swapaxes(-1, -2) @ dc, *rest


@mutant("additive_attention", "sign")
def query_turned_round(dc, cache):
    ds, *rest = additive_attention_backward(dc, cache)
    return -ds, *rest


@mutant("additive_attention", "transposed")
def query_weights_transposed(dc, cache):
    ds, dh, dW, *rest = additive_attention_backward(dc, cache)
    return ds, dh, dW.T, *rest


@mutant("additive_attention", "factor")
def averaged_over_the_queries(dc, cache):
    *rest, dv, none = additive_attention_backward(dc, cache)
    return *rest, dv / dc.shape[-2], none


@mutant("additive_attention_batch", "not summed")
def score_weights_for_each_batch(dc, cache):
    s, h, W, U, v, alpha = cache
    *rest, dv, none = additive_attention_backward(dc, cache)
    each = [additive_attention_backward(dc[b], (s[b], h[b], W, U, v, alpha[b]))[4] for b in range(len(s))]
    return *rest, np.stack(each), none


@mutant("additive_attention_batch", "not summed")
def key_weights_of_the_first_batch(dc, cache):
    s, h, W, U, v, alpha = cache
    ds, dh, dW, _, dv, none = additive_attention_backward(dc, cache)
    return ds, dh, dW, additive_attention_backward(dc[0], (s[0], h[0], W, U, v, alpha[0]))[3], dv, none


@mutant("additive_attention", "softmax diagonal")
def alpha_alone(dc, cache):
    s, h, W, U, v, alpha = cache
    _, dh, dW, dU, dv, none = additive_attention_backward(dc, cache)
    t = np.tanh((s @ W.T)[..., :, None, :] + (h @ U.T)[..., None, :, :])
    de = alpha * (dc @ h.swapaxes(-1, -2))
    return (de[..., None] * v * (1 - t * t)).sum(axis=-2) @ W, dh, dW, dU, dv, none


@mutant("additive_attention", "zero")
def score_vector_frozen(dc, cache):
    *rest, dv, none = additive_attention_backward(dc, cache)
    return *rest, np.zeros_like(dv), none


@mutant("additive_attention_mask", "zero")      # because the rows of de sum to zero
def slope_of_the_score_forgotten(dc, cache):
    s, h, W, U, v, alpha = cache
    _, dh, dW, dU, dv, none = additive_attention_backward(dc, cache)
    dalpha = dc @ h.swapaxes(-1, -2)
    de = alpha * (dalpha - (alpha * dalpha).sum(axis=-1, keepdims=True))
    return (de[..., None] * v).sum(axis=-2) @ W, dh, dW, dU, dv, none
