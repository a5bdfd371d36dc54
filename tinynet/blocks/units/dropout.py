"""Dropout: in training each entry is dropped with probability p, and the rest are scaled up so
that the mean stays what it is in evaluation ("inverted" dropout).

    (1)  y = x keep / (1 - p)      Srivastava et al. 2014, JMLR 15
    (2)  dx = dy keep / (1 - p)

x, y (...)   keep (...) or what broadcasts to it, true where an entry stays   p in [0, 1)
The pair is a plain function of its mask; only the module draws one.
"""

import math

import numpy as np

from tinynet import nn
from tinynet.engine import Op
from tinynet.jit import contiguous, floating, parallel_jit, prange
from tinynet.shapes import ShapeError

STEP, MIX_1, MIX_2 = map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))      # of SplitMix64


def checked_chance(p):
    """p as a number; raises ValueError unless it lies in [0, 1)."""
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p is {p}, but the chance to be dropped must lie in [0, 1); use e.g. p=0.5")
    return float(p)


# %% 1. The mathematics
def dropout_forward(x, keep_mask, p=0.5):
    cache = mask_and_scale(x, keep_mask, p)
    keep, scale = cache
    return x * (keep * scale), cache                            # (1)


def dropout_backward(dy, cache):
    keep, scale = cache
    return dy * (keep * scale), None                            # (2)


def mask_and_scale(x, keep_mask, p):
    """keep as booleans that broadcast to x, and 1 / (1 - p) in the dtype of y."""
    dtype, keep = floating(x), keep_mask.astype(bool, copy=False)
    try:
        np.broadcast_to(keep, x.shape)
    except ValueError:
        raise ShapeError(f"dropout: x has shape {x.shape}, keep_mask {keep.shape}; make them equal") from None
    return keep, dtype.type(1 / (1 - checked_chance(p)))


def draw_mask(rng, shape, p):
    """Which entries stay: booleans of this shape, True with probability 1 - p, to the nearest 1 / 65,536.

    The generator gives the seed of SplitMix64 (Steele, Lea and Flood 2014), whose i-th number needs none before it.
    """
    count, seed = math.prod(shape), rng.integers(2**64 - 1, dtype=np.uint64, endpoint=True)
    four_a_word = np.empty(-(-count // 4), "<u4")
    draw = _draw_mask if dropout.pair(count)[0] is dropout_forward else _draw_mask_loops
    with np.errstate(over="ignore"):            # it wraps around; loops that aren't compiled would warn
        draw(seed, round(65_536 * p), four_a_word)
    return four_a_word.view(bool)[:count].reshape(shape)


def _draw_mask(seed, low, four_a_word):
    """Four bytes a word: 1 where 16 of a number's 64 bits, four entries from one number, are at least `low`, else 0."""
    z = seed + STEP * np.arange(len(four_a_word), dtype=np.uint64)
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    four_a_word.view(bool)[:] = (z ^ (z >> np.uint64(31))).astype("<u8").view("<u2") >= low


def must_be_mask(block, keep):
    """Raises TypeError, in the name of `block`, for a mask that isn't boolean."""
    if keep is not None and keep.dtype != bool:
        raise TypeError(f"{block}: keep holds {keep.dtype}; give booleans, True for what stays")


def drawn(module, *shape):
    """A mask of this shape for a module that drops with chance p while it trains; else None, for all stays."""
    return draw_mask(module.rng, shape, module.p) if module.training and module.p else None


def thinned(x, keep_mask, p):
    """(1) where a mask is drawn, x itself where none is: dropout inside another block."""
    return x if keep_mask is None else dropout.pair(x.size)[0](x, keep_mask, p)[0]


# %% 2. The same in loops, where a mask counts as 0 or 1: a branch would be foretold wrong as often as not
def bits_and_scale(x, keep, p, shape=()):
    """What loops take for c = keep / (1 - p): 0 or 1 for each entry of `keep`, and 1 / (1 - p) in the dtype of x.
    Without a mask nothing is dropped: ones of this shape, and 1.
    """
    if keep is None:
        return np.ones(shape, np.uint8), x.dtype.type(1)
    return np.ascontiguousarray(keep).view(np.uint8), x.dtype.type(1 / (1 - checked_chance(p)))


@parallel_jit
def _draw_mask_loops(seed, low, four_a_word):
    for i in prange(len(four_a_word)):
        z = seed + STEP * np.uint64(i)
        z = (z ^ (z >> np.uint64(30))) * MIX_1
        z = (z ^ (z >> np.uint64(27))) * MIX_2
        z = z ^ (z >> np.uint64(31))
        word = np.uint64(0)                     # and not four bytes, which would be written one by one
        for k in range(4):
            stays = ((z >> np.uint64(16 * k)) & np.uint64(65_535)) >= np.uint64(low)
            word |= np.uint64(stays) << np.uint64(8 * k)
        four_a_word[i] = word


@parallel_jit
def _thin(x, keep, scale, y):
    for i in prange(x.size):
        y[i] = x[i] * (scale * np.float32(keep[i]))


def _thinned(x, keep, scale):
    flat, bits = contiguous(x).reshape(-1), np.ascontiguousarray(np.broadcast_to(keep, x.shape)).view(np.uint8)
    y = np.empty_like(flat)
    _thin(flat, bits.reshape(-1), flat.dtype.type(scale), y)
    return y.reshape(x.shape)


def dropout_forward_loops(x, keep_mask, p=0.5):
    cache = mask_and_scale(x, keep_mask, p)
    return _thinned(x, *cache), cache                           # (1)


def dropout_backward_loops(dy, cache):
    return _thinned(dy, *cache), None                           # (2)


# %% 3. The op
dropout = Op(dropout_forward, dropout_backward, loops=(dropout_forward_loops, dropout_backward_loops),
             loops_from=10_000)


# %% 4. The module
class Dropout(nn.Module):
    """x (...) -> y (...): a fresh mask at every call in training, x itself in evaluation.

    rng is a seed or np.random.Generator; `.rng` holds the generator, so that a checkpoint can
    keep its state.  Raises ValueError unless p lies in [0, 1).
    """

    def __init__(self, p=0.5, rng=None):
        self.p, self.rng = checked_chance(p), np.random.default_rng(rng)

    def forward(self, x):
        keep = drawn(self, *x.shape)
        return x if keep is None else dropout(x, keep, p=self.p)
