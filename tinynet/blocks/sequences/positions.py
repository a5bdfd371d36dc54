"""Positions: attention sees a set of words; what stands where must be told it.

    (1)  P[t,2i] = sin(t w[i]), P[t,2i+1] = cos(t w[i])         csc321 transformer; Vaswani et al. 2017, section 3.5
    (2)  w[i] = 10000^(-2i/D)                                   Vaswani et al. 2017, section 3.5
    (3)  y[t,i] = x[t,i] cos(t w[i]) - x[t,i+D/2] sin(t w[i])   rotary: Su et al. 2021, eq. 34
    (4)  y[t,i+D/2] = x[t,i+D/2] cos(t w[i]) + x[t,i] sin(t w[i])
    (5)  dx is dy turned by the same angles the other way

P (T, D)             added to the words' vectors; of learnt positions every entry is a parameter
x, y (..., T, D)     queries or keys of one head, turned in pairs of features: entry i with entry i + D/2
T positions, D features, an even number
After the rotation the product of a query at t with a key at t' depends on t - t' alone.
Vaswani et al. 2017, arXiv:1706.03762.  Su et al. 2021, arXiv:2104.09864.
"""

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.sequences.embedding import embedding
from tinynet.engine import Op
from tinynet.shapes import ShapeError


def _angles(T, D, first, dtype):
    w = 10000.0 ** (-2 * np.arange(D // 2) / max(D, 1))             # (2)
    return ((first + np.arange(T))[:, None] * w).astype(dtype)


# %% 1. The mathematics
def sinusoid(T, D, first=0, dtype=np.float32):
    """P (T, D) of the positions first, ..., first + T - 1."""
    if D % 2:
        raise ShapeError(f"sinusoid: {D} features don't go in pairs; give an even number")
    P, angle = np.empty((T, D), dtype), _angles(T, D, first, float)
    P[:, 0::2], P[:, 1::2] = np.sin(angle), np.cos(angle)           # (1)
    return P


def rotary_forward(x, first=0):
    """Turn each pair of features of x (..., T, D) by its position's angles."""
    if x.ndim < 2 or x.shape[-1] % 2:
        raise ShapeError(f"rotary: x has shape {x.shape}, but needs (... T D) with an even D, to be turned in pairs")
    angle = _angles(*x.shape[-2:], first, x.dtype if x.dtype.kind == "f" else float)
    return _turned(x, np.cos(angle), np.sin(angle)), angle


def rotary_backward(dy, angle):
    return _turned(dy, np.cos(angle), -np.sin(angle))               # (5)


def _turned(x, cos, sin):
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)          # (3) (4)


# %% 2. The fast twin: none; the angles are few and the rest is two products an entry

# %% 3. The op
rotary = Op(rotary_forward, rotary_backward)


# %% 4. The modules: each is called with the words' vectors (B, T, D) and the position of the first
class Sinusoid(nn.Module):
    """x (B, T, D) -> x + P[first:first + T], of any length."""

    def forward(self, x, first=0):
        return ops.add(x, sinusoid(x.shape[1], x.shape[2], first, x.dtype))         # (1)


class LearntPositions(nn.Module):
    """x (B, T, D) -> x + P[first:first + T]; P (longest, D) starts N(0, scale^2)."""

    def __init__(self, longest, features, scale=0.02, rng=None, dtype=np.float32):
        self.P = nn.Parameter((scale * np.random.default_rng(rng).normal(size=(longest, features))).astype(dtype))

    def forward(self, x, first=0):
        T, longest = x.shape[1], len(self.P.data)
        if first + T > longest:
            raise ShapeError(f"LearntPositions: x has T = {T} steps from position {first} on, but there are only "
                             f"{longest} positions; shorten the text or build the net with more")
        return ops.add(x, embedding(self.P, np.arange(first, first + T)))


class Rotary(nn.Module):
    """Turns queries and keys: qkv (B, T, 3 C), heads, first -> the same with Q and K turned; for MultiHeadAttention."""

    def forward(self, qkv, heads, first=0):
        B, T, E = qkv.shape
        parts = qkv.reshape(B, T, 3 * heads, E // (3 * heads)).transpose(0, 2, 1, 3)
        turned = rotary(parts[:, :2 * heads], first=first)
        return ops.concatenate(turned, parts[:, 2 * heads:], axis=1).transpose(0, 2, 1, 3).reshape(B, T, E)
