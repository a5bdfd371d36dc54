"""Binary cross-entropy from logits: one yes-or-no question an entry.

    (1)  l[k] = -t[k] log p[k] - (1 - t[k]) log(1 - p[k])          Nielsen 2015, chapter 3
    (2)  l[k] = max(x[k], 0) - x[k] t[k] + log(1 + exp(-|x[k]|))   the same, stable for all x
    (3)  loss = 1/K sum_k l[k]
    (4)  p[k] = 1 / (1 + exp(-x[k]))
    (5)  dx[k] = dloss/K (p[k] - t[k])                             Nielsen 2015, chapter 3
    (6)  dt[k] = -dloss/K x[k]

x logits, t targets in 0..1 (also in between), of one shape with K >= 1 entries in all
"""

import numpy as np

from tinynet.engine import Op
from tinynet.shapes import ShapeError


def _check(x, t):
    if x.shape != t.shape:
        raise ShapeError(f"binary_cross_entropy: x has shape {x.shape} and t {t.shape}; "
                         "make them equal, e.g. t.reshape(x.shape)")
    if x.size == 0:
        raise ValueError(f"binary_cross_entropy: x has shape {x.shape}, and the mean over no entries is undefined; "
                         "leave out empty batches")
    wrong = np.argwhere(~((t >= 0) & (t <= 1)))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise ValueError(f"binary_cross_entropy: the target at position {at[0] if len(at) == 1 else at} is {t[at]}, "
                         "but must be in 0..1; correct the labels")


# %% 1. The mathematics
def binary_cross_entropy_forward(x, t):
    """The mean binary cross-entropy of sigmoid(x) and t over all entries, in nats.

    Raises ShapeError on different shapes, ValueError on none and on targets outside 0..1.
    """
    _check(x, t)
    t = t.astype(x.dtype, copy=False)
    positive = x.real > 0
    l = np.where(positive, x, 0) - x * t + np.log1p(np.exp(np.where(positive, -x, x)))      # (1) (2)
    return l.mean(), (x, t)                                                                 # (3)


def binary_cross_entropy_backward(dloss, cache):
    x, t = cache
    e = np.exp(-np.abs(x))
    p = np.where(x > 0, 1, e) / (1 + e)                                                     # (4)
    share = dloss / x.dtype.type(x.size)
    return (p - t) * share, -x * share                                                      # (5) (6)


# %% 2. The fast twin: none, a loss sees few numbers and NumPy's exp runs in vectors

# %% 3. The op
binary_cross_entropy = Op(binary_cross_entropy_forward, binary_cross_entropy_backward)

# %% 4. The module: none, a loss has nothing to learn
