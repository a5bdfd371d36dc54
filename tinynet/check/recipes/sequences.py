"""Recipes of the blocks in blocks/sequences."""

import numpy as np

from tinynet.check.recipes.valves import softmax_of, tanh


def attention(valve, Q, K, V, mask=None, causal=False, scale=None):
    from tinynet.blocks.sequences.attention import forbidden
    S = Q @ K.swapaxes(-1, -2) * (1 / max(Q.shape[-1], 1) ** 0.5 if scale is None else scale)
    hidden = forbidden(mask, causal, *S.shape[-2:])
    return softmax_of(valve, S, None if hidden is None else np.broadcast_to(hidden, S.shape)) @ V


def additive_attention(valve, s, h, W, U, v, mask=None):
    Ws, Uh = s @ W.T, valve("the path through the score", h) @ U.T
    Ws = Ws.reshape(*Ws.shape[:-1], 1, Ws.shape[-1])
    Uh = Uh.reshape(*Uh.shape[:-2], 1, *Uh.shape[-2:])
    e = (tanh(Ws + Uh) * v).sum(axis=-1)
    alpha = softmax_of(valve, e, None if mask is None else np.broadcast_to(~mask, e.shape))
    return alpha @ valve("the path through the mixture", h)


RECIPES = (attention, additive_attention)
