"""Random masks: which entries dropout keeps.

    >>> import numpy as np
    >>> from tinynet.masks import draw_mask
    >>> mask = draw_mask(np.random.default_rng(0), (2, 1000), p=0.25)
    >>> mask.shape, mask.dtype, mask.sum(axis=1).tolist()
    ((2, 1000), dtype('bool'), [728, 742])
"""

import math

import numpy as np

from tinynet import backend
from tinynet.jit import parallel_jit, prange

STEP, MIX_1, MIX_2 = map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))      # of SplitMix64
_is_long = backend.at_least(10_000)     # entries of a mask


def checked_chance(p):
    """p as a number; raises ValueError unless it lies in [0, 1)."""
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p is {p}, but the chance to be dropped must lie in [0, 1); use e.g. p=0.5")
    return float(p)


def must_be_mask(block, mask):
    """Raises TypeError, in the name of `block`, for a mask that isn't boolean."""
    if mask is not None and mask.dtype != bool:
        raise TypeError(f"{block}: mask holds {mask.dtype}; give booleans, True for what stays, as "
                        "tinynet.masks.draw_mask(rng, shape, p) draws them")


# %% Drawing
def draw_mask(rng, shape, p):
    """Which entries stay: booleans of this shape, True with probability 1 - p, to the nearest 1 / 65,536.

    The generator gives the seed of SplitMix64 (Steele, Lea and Flood 2014), whose i-th number needs none before it.
    """
    count, seed = math.prod(shape), rng.integers(2**64 - 1, dtype=np.uint64, endpoint=True)
    four_a_word = np.empty(-(-count // 4), "<u4")
    draw = _draw_mask_fast if backend.runs_fast(_is_long, [four_a_word.view(bool)]) else _draw_mask
    with np.errstate(over="ignore"):            # it wraps around; loops that aren't compiled would warn
        draw(seed, round(65_536 * p), four_a_word)
    return four_a_word.view(bool)[:count].reshape(shape)


def _draw_mask(seed, low, four_a_word):
    """Four bytes a word: 1 where 16 of a number's 64 bits, four entries from one number, are at least `low`, else 0."""
    z = seed + STEP * np.arange(len(four_a_word), dtype=np.uint64)
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    four_a_word.view(bool)[:] = (z ^ (z >> np.uint64(31))).astype("<u8").view("<u2") >= low


@parallel_jit
def _draw_mask_fast(seed, low, four_a_word):
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


# %% What modules and kernels take
def module_mask(module, *shape):
    """A mask of this shape for a module that drops with chance p while it trains; else None, for all stays."""
    return draw_mask(module.rng, shape, module.p) if module.training and module.p else None


def bits_and_scale(x, mask, p, shape=()):
    """What loops take for c = mask / (1 - p): 0 or 1 for each entry of `mask`, and 1 / (1 - p) in the dtype of x.
    Without a mask nothing is dropped: ones of this shape, and 1.
    """
    if mask is None:
        return np.ones(shape, np.uint8), x.dtype.type(1)
    return np.ascontiguousarray(mask).view(np.uint8), x.dtype.type(1 / (1 - checked_chance(p)))
