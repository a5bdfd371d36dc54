"""Recipes of the blocks in blocks/sequences."""

import numpy as np

from tinynet import ops
from tinynet.engine import Tensor


def attention(valve, Q, K, V, mask=None, keep=None, causal=False, scale=None, p=0.0):
    from tinynet.blocks.sequences.masking import forbidden
    S = Q @ K.swapaxes(-1, -2) * (1 / max(Q.shape[-1], 1) ** 0.5 if scale is None else scale)
    S = S if mask is None or mask.dtype == bool else S + mask
    hidden = forbidden(mask, causal, *S.shape[-2:])
    P = valve.softmax("the softmax of the scores", S, hidden)
    return (P if keep is None else P * (keep / (1 - p))) @ V


def additive_attention(valve, s, h, W, U, v, mask=None):
    Ws, Uh = s @ W.T, valve("the path through the score", h) @ U.T
    Ws = Ws.reshape(*Ws.shape[:-1], 1, Ws.shape[-1])
    Uh = Uh.reshape(*Uh.shape[:-2], 1, *Uh.shape[-2:])
    e = (valve.activation("the tanh", Ws + Uh, "tanh") * v).sum(axis=-1)
    alpha = valve.softmax("the softmax of the scores", e, None if mask is None else np.broadcast_to(~mask, e.shape))
    return alpha @ valve("the path through the mixture", h)


def lstm(valve, x, W, U, b, h0=None, c0=None, mask=None):
    (B, T), H = x.shape[:2], U.shape[0]
    h, c = (Tensor(np.zeros((B, H))) if start is None else start for start in (h0, c0))
    steps = [valve.each("the steps", w, T, "step") for w in (W, U, b)]
    hs, cs = [], []
    for t, (W_t, U_t, b_t) in enumerate(zip(*steps, strict=True)):
        z = x[:, t] @ W_t + b_t + valve("the way back through h[t-1]", h) @ U_t
        i, f, g, o = (valve.activation(f"the {what}", z[:, k * H:(k + 1) * H], name) for k, (what, name) in
                      enumerate((("input gate", "sigmoid"), ("forget gate", "sigmoid"), ("tanh of g", "tanh"),
                                 ("output gate", "sigmoid"))))
        written = valve("what the input gate does", i) * valve("what is written", g)
        now = written + valve("what the forget gate does", f) * valve("the way back through c[t-1]", c)
        out = valve("what the output gate does", o) * valve("the way back through the cell", valve.activation(
            "the tanh of c", now, "tanh"))
        token = True if mask is None else mask[:, t, None]
        h, c = ops.where(np.broadcast_to(token, (B, H)), out, h), ops.where(np.broadcast_to(token, (B, H)), now, c)
        hs.append(h)
        cs.append(c)
    return ops.stack(ops.stack(*hs, axis=1), ops.stack(*cs, axis=1))


RECIPES = (attention, additive_attention, lstm)
