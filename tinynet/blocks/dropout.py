"""Dropout: in training each entry is dropped with probability p, and the rest are scaled up so
that the mean stays what it is in evaluation ("inverted" dropout).

    (1)  y = x keep / (1 - p)      Srivastava et al. 2014, JMLR 15
    (2)  dx = dy keep / (1 - p)

x, y (...)   keep (...) or what broadcasts to it, true where an entry stays   p in [0, 1)
The pair is a plain function of its mask; only the module draws one.
"""

import numpy as np

from tinynet import nn
from tinynet.engine import Op
from tinynet.shapes import ShapeError


def _checked(p):
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p is {p}, but the chance to be dropped must lie in [0, 1); use e.g. p=0.5")
    return float(p)


# %% 1. The mathematics
def dropout_forward(x, keep_mask, p=0.5):
    stay = np.result_type(x, np.float16).type(1 - _checked(p))
    mask = keep_mask.astype(bool, copy=False) / stay
    try:
        np.broadcast_to(mask, x.shape)
    except ValueError:
        raise ShapeError(f"dropout: x has shape {x.shape}, keep_mask {mask.shape}; make them equal") from None
    return x * mask, mask                                       # (1)


def dropout_backward(dy, mask):
    return dy * mask, None                                      # (2)


def thinned(x, keep_mask, p):
    """(1) where a mask is drawn, x itself where none is: dropout inside another block."""
    return x if keep_mask is None else dropout_forward(x, keep_mask, p)[0]


# %% 2. The same in loops: none, drawing the mask takes longer than both

# %% 3. The op
dropout = Op(dropout_forward, dropout_backward)


# %% 4. The module
class Dropout(nn.Module):
    """x (...) -> y (...): a fresh mask at every call in training, x itself in evaluation.

    rng is a seed or np.random.Generator; `.rng` holds the generator, so that a checkpoint can
    keep its state.  Raises ValueError unless p lies in [0, 1).
    """

    def __init__(self, p=0.5, rng=None):
        self.p, self.rng = _checked(p), np.random.default_rng(rng)

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        keep_mask = self.rng.random(x.shape, np.float32) >= self.p
        return dropout(x, keep_mask, p=self.p)
