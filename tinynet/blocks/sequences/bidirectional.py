"""Bidirectional recurrent net: the annotation of a word knows what comes before it and what comes after it.

    (1)  y[t] = x[L-1-t] for t < L, x[t] after that             turned: each sequence by itself, its padding stays
    (2)  dx[t] = dy[L-1-t] for t < L, dy[t] after that          turning twice changes nothing
    (3)  h[t] = [forward h[t]; backward h[t]]                   csc321 birnn; Schuster and Paliwal 1997

x, y (B, T, D)   sequences
mask (B, T)      boolean, True where a sequence has a token: its first L
h (B, T, 2 H)    the annotations
The backward direction starts at each sequence's own last token, and not at the padding behind it.
Schuster and Paliwal 1997, IEEE Transactions on Signal Processing 45(11).
"""

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.sequences.masking import check_tokens, reversed_steps
from tinynet.engine import Op
from tinynet.shapes import ShapeError, sizes


# %% 1. The mathematics
def turned_forward(x, mask=None):
    """Each sequence of x (B, T, D) from its last token to its first."""
    B, T, _ = sizes("x: B T D", x)
    check_tokens("turned", mask, B, T)
    if mask is None:
        return x[:, ::-1], None
    if (mask[:, 1:] > mask[:, :-1]).any():
        row = int(np.flatnonzero((mask[:, 1:] > mask[:, :-1]).any(axis=1))[0])
        raise ShapeError(f"turned: mask (B T) = ({B}, {T}) has a token behind padding in sequence {row}; put each "
                         "sequence's tokens first and its padding after them")
    steps = reversed_steps(mask, B, T)
    return x[np.arange(B)[:, None], steps], steps                   # (1)


def turned_backward(dy, steps):
    if steps is None:
        return dy[:, ::-1], None                                    # (2)
    return dy[np.arange(len(dy))[:, None], steps], None             # (2)


# %% 2. The fast twin: none, rows are copied and nothing is computed

# %% 3. The op
turned = Op(turned_forward, turned_backward)


# %% 4. The module
class Bidirectional(nn.Module):
    """x (B, T, d_in), mask (B, T) or None -> annotations (B, T, 2 width), the two directions' last states.

    ahead, back   two recurrent layers of the same kind, e.g. GRU(8, 16), GRU(8, 16)
    state         (state of ahead, state of back) to start from, or None
    """

    def __init__(self, ahead, back):
        self.ahead, self.back = ahead, back

    def forward(self, x, state=None, mask=None):
        return self.run(x, state, mask)

    def run(self, x, state=None, mask=None):
        first, second = state or (None, None)
        h, s = self.ahead.run(x, first, mask)
        g, r = self.back.run(turned(x, mask), second, mask)
        return ops.concatenate(h, turned(g, mask), axis=2), (s, r)          # (3)
