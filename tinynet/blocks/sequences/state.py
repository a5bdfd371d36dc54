"""State that is carried from step to step: a recurrent cell is one step, and a run is that step repeated.

    (1)  s[t] = step(x[t], s[t-1])              csc321 seq2seq, stacked
    (2)  s[t] = s[t-1]   where mask[t] is False: a sequence that has ended keeps its last state

x (B, T, D)      B sequences of T steps with D features
mask (B, T)      boolean, True where a sequence has a token; tokens come first, padding after them
s                a state: a tensor whose first axis is the batch, None, or a tuple of states (h and c, one a layer, ...)

Everything that decodes (greedy, sampling, beam search) needs only `step`, and `chosen` to follow a part of the batch.
Truncated backpropagation is `run(x, detached(state))`: the state goes on, its gradient stops.
"""

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.sequences.masking import check_tokens
from tinynet.engine import Tensor


# %% States, however nested
def mapped(function, *states):
    """function(tensor, tensor, ...) for all tensors that stand at the same place of these states."""
    first = states[0]
    if isinstance(first, (tuple, list)):
        return tuple(mapped(function, *parts) for parts in zip(*states, strict=True))
    return None if first is None else function(*states)


def detached(state):
    """The same numbers, and no gradient to what came before: truncated backpropagation."""
    return mapped(lambda s: s.detach() if isinstance(s, Tensor) else s, state)


def chosen(state, rows):
    """The states of these sequences of the batch, a number or a boolean each; beam search takes some twice."""
    return mapped(lambda s: s[rows], state)


def held(mask, new, old):
    """(2) The new state where mask (B) is True, the old one elsewhere."""
    return mapped(lambda a, b: ops.where(mask.reshape(-1, *(1,) * (a.ndim - 1)), a, b), new, old)       # (2)


def last(h, start):
    """The state after the last step of h (B, T, H), whose padded steps repeat the state before; start if T is 0."""
    return h[:, -1] if h.shape[1] else start


# %% A cell
class Recurrent(nn.Module):
    """A cell.  A subclass has `start(B, dtype)` and `step(x, state)`; the rest follows from them.

    start(B, dtype)  the state before the first step, zeros as a rule
    step             x (B, D), state -> state
    shown            state -> h (B, H), what the layer above sees of it
    run              x (B, T, D), state or None, mask or None -> h (B, T, H), the state after the last token

    A subclass whose steps are one op overrides `run` with it.
    """

    def shown(self, state):
        return state

    def step(self, x, state):
        """One step as a run of length 1; a subclass has either this or `run` from the other."""
        return self.run(x.reshape(x.shape[0], 1, x.shape[1]), state)[1]

    def run(self, x, state=None, mask=None):
        return repeated(self, x, state, mask)

    def forward(self, x, state=None, mask=None):
        return self.run(x, state, mask)


def repeated(cell, x, state=None, mask=None):
    """`cell.step` over all T steps: what `run` is where no op does all steps at once."""
    B, T = x.shape[:2]
    check_tokens(type(cell).__name__, mask, B, T)
    state = cell.start(B, x.dtype) if state is None else state
    h = []
    for t in range(T):
        new = cell.step(x[:, t], state)                                             # (1)
        state = new if mask is None or mask[:, t].all() else held(mask[:, t], new, state)           # (2)
        h.append(cell.shown(state))
    if not h:
        return Tensor(np.zeros((B, 0, *cell.shown(state).shape[1:]), x.dtype)), state
    return ops.stack(*h, axis=1), state
