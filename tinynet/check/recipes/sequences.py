"""Recipes of the blocks in blocks/sequences."""

from itertools import permutations, product

import numpy as np

from tinynet import ops
from tinynet.engine import Tensor


def attention(valve, Q, K, V, mask=None, keep=None, causal=False, scale=None, p=0.0):
    from tinynet.blocks.sequences.masking import forbidden
    scale = 1 / max(Q.shape[-1], 1) ** 0.5 if scale is None else scale
    S = valve.product("the scores Q K'", Q, K.swapaxes(-1, -2)) * scale
    S = S if mask is None or mask.dtype == bool else S + mask
    hidden = forbidden(mask, causal, *S.shape[-2:])
    P = valve.softmax("the softmax of the scores", S, hidden)
    return (P if keep is None else P * (keep / (1 - p))) @ V


def _attention_with(name, **fixed):
    """Attention whose settings its author left inside."""
    def recipe(valve, Q, K, V):
        return attention(valve, Q, K, V, **fixed)
    recipe.__name__ = name
    return recipe


ATTENTIONS = [_attention_with("causal attention", causal=True), _attention_with("unscaled attention", scale=1.0),
              _attention_with("unscaled causal attention", causal=True, scale=1.0)]


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


# %% Recurrences as students write them: any order of the arrays, of the gates and of the axes
def _roles(arrays, gates):
    """x, W, U, b, c, h0 told apart by their shapes; raises ValueError where none can be meant."""
    sequences, matrices, vectors = ([a for a in arrays if a.ndim == ndim] for ndim in (3, 2, 1))
    for x, (W, U) in product(sequences, permutations(matrices, 2)):
        H, rest = len(U), [a for a in matrices if a is not W and a is not U]
        if W.shape == (x.shape[2], gates * H) and U.shape == (H, gates * H) and len(sequences) == 1 and (
                len(rest) < 2 and len(vectors) < 3 and all(v.shape == (gates * H,) for v in vectors)):
            return x, W, U, *(vectors + [None] * 2)[:2], rest[0] if rest else None
    raise ValueError("no recurrence")


def _recurrence(valve, arrays, gates, cell, layout, **settings):
    """The states of all steps, (B, T, H) or time first, or the last one alone."""
    x, W, U, b, c, h = _roles(arrays, gates)
    x = x.swapaxes(0, 1) if layout == "time first" else x
    T, H, none = x.shape[1], len(U), Tensor(np.zeros(gates * len(U)))
    state = Tensor(np.zeros((len(x), H))) if h is None else h, Tensor(np.zeros((len(x), H)))
    steps, hs = [valve.each("the steps", none if w is None else w, T, "step") for w in (W, U, b, c)], []
    for t, (W_t, U_t, b_t, c_t) in enumerate(zip(*steps, strict=True)):
        state = cell(valve, x[:, t] @ W_t + b_t, U_t, c_t, *state, **settings)
        hs.append(state[0])
    return hs[-1] if layout == "last" else ops.stack(*hs, axis=0 if layout == "time first" else 1)


def _rnn_cell(valve, z, U, c, h, _):
    return valve.activation("the tanh", z + valve("the way back through h[t-1]", h) @ U + c, "tanh"), h


def _gru_cell(valve, z, U, c, h, _, order, reset, keeps):
    H, back = h.shape[1], valve("the way back through h[t-1]", h)

    def part(a, k):
        return a[..., k * H:(k + 1) * H]

    r, u = (valve.activation(f"the {name} gate", part(z, k) + back @ part(U, k) + part(c, k), "sigmoid")
            for name, k in (("reset", order.index("r")), ("update", order.index("z"))))
    r, u = valve("what the reset gate does", r), valve("what the update gate does", u)
    if reset == "after":
        inner = valve.gated("the factor r", r, back @ part(U, 2) + part(c, 2))
    else:
        inner = valve.gated("the factor r", r, back) @ part(U, 2) + part(c, 2)
    n = valve.activation("the tanh", part(z, 2) + inner, "tanh")
    old, new = (u, 1 - u) if keeps else (1 - u, u)
    old, new = valve("what the update gate does to h[t-1]", old), valve("what it does to the candidate", new)
    return (valve.gated("the update gate's factor of h[t-1]", old, valve("the way back past the gates", h))
            + valve.gated("the update gate's factor of the candidate", new, n)), h


def _lstm_cell(valve, z, U, c, h, cell, order):
    H, z = h.shape[1], z + valve("the way back through h[t-1]", h) @ U + c
    i, f, g, o = (valve.activation(f"the {what}", z[:, k * H:(k + 1) * H], name) for what, name, k in (
        ("input gate", "sigmoid", 0), ("forget gate", "sigmoid", 1), ("tanh of g", "tanh", order.index("g")),
        ("output gate", "sigmoid", order.index("o"))))
    i, f, o = (valve(f"what the {name} gate does", gate) for name, gate in (("input", i), ("forget", f), ("output", o)))
    cell = (valve.gated("the factor i", i, g)
            + valve.gated("the factor f", f, valve("the way back through c[t-1]", cell)))
    return valve.gated("the factor o", o, valve.activation("the tanh of c", cell, "tanh")), cell


def _students(name, gates, cell, layout, **settings):
    def recipe(valve, *arrays):
        return _recurrence(valve, [a for a in arrays if a is not None], gates, cell, layout, **settings)
    recipe.__name__ = " ".join(map(str, (name, layout, *settings.values())))
    return recipe


LAYOUTS = "batch first", "time first", "last"
RECURRENCES = [
    *(_students("RNN", 1, _rnn_cell, layout) for layout in LAYOUTS),
    *(_students("LSTM", 4, _lstm_cell, layout, order=order) for layout in LAYOUTS for order in ("ifgo", "ifog")),
    *(_students("GRU", 3, _gru_cell, layout, order=order, reset=reset, keeps=keeps) for layout in LAYOUTS
      for order in ("rz", "zr") for reset in ("after", "before") for keeps in (True, False))]
RECIPES = (attention, *ATTENTIONS, additive_attention, lstm, *RECURRENCES)
