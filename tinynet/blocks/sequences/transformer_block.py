"""A transformer's layer: attention mixes positions, then a small network works on each; both are residual.

    (1)  x = x + attention(norm(x))                             csc321 transformer; norm first: Xiong et al. 2020
    (2)  x = x + attention(norm(x), memory)                     csc321 transformer; in a decoder of translations
    (3)  x = x + W2 phi(W1 norm(x) + b1) + b2                   csc321 transformer; Vaswani et al. 2017, eq. 2
    (4)  x = norm(x + f(x))                                     norm after, as in Vaswani et al. 2017, section 3.1

x (B, T, C)          one vector a token
memory (B, N, C)     what an encoder made of another sequence
mask, memory_mask    which tokens may be seen, (B, T) and (B, N)
phi  GELU or ReLU    f  attention or feed-forward   C features, W1 to 4 C of them
Vaswani et al. 2017, arXiv:1706.03762.  Xiong et al. 2020, arXiv:2002.04745.
"""

import math

import numpy as np

from tinynet import nn
from tinynet.blocks.sequences.multi_head import MultiHeadAttention
from tinynet.blocks.units.activations import gelu, relu, tanh
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.layer_norm import LayerNorm
from tinynet.blocks.units.linear import Linear


# %% 1. The mathematics, 2. the fast twin, and 3. the op: those of the blocks it is made of
def gelu_tanh(x):
    """GELU with tanh(sqrt(2/pi) (x + 0.044715 x^3)) for 2 Phi(x) - 1, at most 5e-4 off: what GPT-2 was trained with."""
    return x * 0.5 * (tanh((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)) + 1.0)


ACTIVATIONS = dict(gelu=gelu, relu=relu, gelu_tanh=gelu_tanh)


# %% 4. The modules
class FeedForward(nn.Module):
    """x (..., features) -> (..., features), through `hidden` units: the same network at every position."""

    def __init__(self, features, hidden, activation="gelu", bias=True, rng=None, dtype=np.float32):
        if activation not in ACTIVATIONS:
            raise ValueError(f"FeedForward: there is no activation {activation!r}; choose one of "
                             f"{', '.join(ACTIVATIONS)}")
        rng = np.random.default_rng(rng)
        self.inner = Linear(features, hidden, bias, rng=rng, dtype=dtype)
        self.outer = Linear(hidden, features, bias, rng=rng, dtype=dtype)
        self.activation = activation

    def forward(self, x):
        return self.outer(ACTIVATIONS[self.activation](self.inner(x)))      # (3)


class TransformerBlock(nn.Module):
    """x (B, T, features), mask (B, T), memory (B, N, features), memory_mask (B, N) -> (B, T, features).

    causal   a token sees those before it only      cross   True where there is a memory to look at
    first    norm before attention and feed-forward; False: after them
    p        dropout of the attention weights and of both branches
    rng is a seed or np.random.Generator.
    """

    def __init__(self, features, heads, hidden=None, causal=False, cross=False, first=True, p=0.0, bias=True,
                 activation="gelu", rotary=None, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.first = first
        self.norm1, self.norm2 = (LayerNorm(features, dtype=dtype) for _ in range(2))
        self.attention = MultiHeadAttention(features, heads, causal, p, bias, rotary, rng, dtype)
        self.norm_cross = LayerNorm(features, dtype=dtype) if cross else None
        self.cross = MultiHeadAttention(features, heads, False, p, bias, None, rng, dtype) if cross else None
        self.feed_forward = FeedForward(features, hidden or 4 * features, activation, bias, rng, dtype)
        self.drop = Dropout(p, rng)

    def _residual(self, x, norm, branch):
        if self.first:
            return x + self.drop(branch(norm(x)))                   # (1) (2) (3)
        return norm(x + self.drop(branch(x)))                       # (4)

    def forward(self, x, mask=None, memory=None, memory_mask=None):
        seen, remembered = (None if m is None else m[:, None, None, :] for m in (mask, memory_mask))
        x = self._residual(x, self.norm1, lambda x: self.attention(x, None, seen))          # (1)
        if self.cross is not None:
            x = self._residual(x, self.norm_cross, lambda x: self.cross(x, memory, remembered))     # (2)
        return self._residual(x, self.norm2, self.feed_forward)     # (3)

    def begun(self, memory=None, memory_mask=None):
        """The state before the first token: (keys and values of the tokens so far, those of the memory, its mask)."""
        return None, None if self.cross is None else self.cross.memorised(memory), memory_mask

    def extend(self, x, state):
        """T more tokens x (B, T, features) -> (their vectors, state)."""
        seen, remembered, mask = state
        found = {}

        def attend(x):
            y, found["seen"] = self.attention.extend(x, seen)
            return y

        x = self._residual(x, self.norm1, attend)                   # (1)
        if self.cross is not None:
            may = None if mask is None else mask[:, None, None, :]
            x = self._residual(x, self.norm_cross,
                               lambda x: self.cross.extend(x, remembered, fixed=True, mask=may)[0])     # (2)
        return self._residual(x, self.norm2, self.feed_forward), (found["seen"], remembered, mask)          # (3)
