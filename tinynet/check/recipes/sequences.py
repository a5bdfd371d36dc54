"""Recipes of the blocks in blocks/sequences."""

import numpy as np

from tinynet import ops


def attention(valve, Q, K, V, mask=None, causal=False, scale=None):
    from tinynet.blocks.sequences.masking import forbidden
    S = Q @ K.swapaxes(-1, -2) * (1 / max(Q.shape[-1], 1) ** 0.5 if scale is None else scale)
    hidden = forbidden(mask, causal, *S.shape[-2:])
    return valve.softmax("the softmax of the scores", S, hidden) @ V


def additive_attention(valve, s, h, W, U, v, mask=None):
    Ws, Uh = s @ W.T, valve("the path through the score", h) @ U.T
    Ws = Ws.reshape(*Ws.shape[:-1], 1, Ws.shape[-1])
    Uh = Uh.reshape(*Uh.shape[:-2], 1, *Uh.shape[-2:])
    e = (valve.activation("the tanh", Ws + Uh, "tanh") * v).sum(axis=-1)
    alpha = valve.softmax("the softmax of the scores", e, None if mask is None else np.broadcast_to(~mask, e.shape))
    return alpha @ valve("the path through the mixture", h)


def lstm(valve, x, W, U, b):
    H = U.shape[0]
    h = c = np.zeros((x.shape[1], H))
    steps = [valve.each("the steps", w, x.shape[0], "step") for w in (W, U, b)]
    hs = []
    for t, (W_t, U_t, b_t) in enumerate(zip(*steps, strict=True)):
        z = x[t] @ W_t + b_t
        if t:
            z = z + valve("the way back through h[t-1]", h) @ U_t
        i, f, g, o = (valve.activation(f"the {what}", z[:, k * H:(k + 1) * H], name) for k, (what, name) in
                      enumerate((("input gate", "sigmoid"), ("forget gate", "sigmoid"), ("tanh of g", "tanh"),
                                 ("output gate", "sigmoid"))))
        written = valve("what the input gate does", i) * valve("what is written", g)
        c = written + (valve("what the forget gate does", f) * valve("the way back through c[t-1]", c) if t else 0.0)
        h = valve("what the output gate does", o) * valve("the way back through the cell", valve.activation(
            "the tanh of c", c, "tanh"))
        hs.append(h)
    return ops.stack(*hs)


RECIPES = (attention, additive_attention, lstm)
