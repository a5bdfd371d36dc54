"""Dropout: in training each entry is dropped with probability p, and the rest are scaled up so
that the mean stays what it is in evaluation ("inverted" dropout).

    (1)  y = x mask / (1 - p)      Srivastava et al. 2014, JMLR 15
    (2)  dx = dy mask / (1 - p)

x, y (...)   mask (...) or what broadcasts to it, true where an entry stays   p in [0, 1)
The pair is a plain function of its mask; only the module draws one.
"""

import numpy as np

from tinynet import nn
from tinynet.backend import at_least
from tinynet.engine import Op
from tinynet.jit import contiguous, floating, parallel_jit, prange
from tinynet.masks import checked_chance, module_mask, must_be_mask
from tinynet.shapes import ShapeError


# %% 1. The mathematics
def dropout_forward(x, mask, p=0.5):
    cache = mask_and_scale(x, mask, p)
    mask, scale = cache
    return x * (mask * scale), cache                            # (1)


def dropout_backward(dy, cache):
    mask, scale = cache
    return dy * (mask * scale), None                            # (2)


def mask_and_scale(x, mask, p):
    """mask as booleans that broadcast to x, and 1 / (1 - p) in the dtype of y."""
    must_be_mask("dropout", mask)
    dtype = floating(x)
    try:
        np.broadcast_to(mask, x.shape)
    except ValueError:
        raise ShapeError(f"dropout: x has shape {x.shape}, mask {mask.shape}; make them equal") from None
    return mask, dtype.type(1 / (1 - checked_chance(p)))


def apply_mask(x, mask, p):
    """(1) where a mask is drawn, x itself where none is: dropout inside another block."""
    return x if mask is None else dropout.pair(x)[0](x, mask, p)[0]


# %% 2. The fast twin.  The mask is used as the number 0 or 1: an `if` would be slow, because the processor can't
# predict a random branch
@parallel_jit
def _thin(x, mask, scale, y):
    for i in prange(x.size):
        y[i] = x[i] * (scale * np.float32(mask[i]))


def _thinned(x, mask, scale):
    flat, bits = contiguous(x).reshape(-1), np.ascontiguousarray(np.broadcast_to(mask, x.shape)).view(np.uint8)
    y = np.empty_like(flat)
    _thin(flat, bits.reshape(-1), flat.dtype.type(scale), y)
    return y.reshape(x.shape)


def dropout_forward_fast(x, mask, p=0.5):
    cache = mask_and_scale(x, mask, p)
    return _thinned(x, *cache), cache                           # (1)


def dropout_backward_fast(dy, cache):
    return _thinned(dy, *cache), None                           # (2)


# %% 3. The op
dropout = Op(dropout_forward, dropout_backward, fast=(dropout_forward_fast, dropout_backward_fast),
             fast_when=at_least(10_000))


# %% 4. The module
class Dropout(nn.Module):
    """x (...) -> y (...): a fresh mask at every call in training, x itself in evaluation.

    rng is a seed or np.random.Generator; `.rng` holds the generator, so that a checkpoint can
    mask its state.  Raises ValueError unless p lies in [0, 1).
    """

    def __init__(self, p=0.5, rng=None):
        self.p, self.rng = checked_chance(p), np.random.default_rng(rng)

    def forward(self, x):
        mask = module_mask(self, *x.shape)
        return x if mask is None else dropout(x, mask, p=self.p)
