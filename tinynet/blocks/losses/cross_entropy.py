"""Cross-entropy of a softmax: minus the log of the probability given to the right class.

    (1)  p[n,c] = exp(x[n,c] - m[n]) / s[n]                       m and s as in softmax
    (2)  l[n] = -log p[n,t[n]] = log s[n] + m[n] - x[n,t[n]]      Nielsen 2015, chapter 3
    (3)  loss = 1/M sum_n l[n]                                    over the M rows that count
    (4)  dx[n,c] = dloss/M (p[n,c] - [c = t[n]])                  Nielsen 2015, chapter 3

x (..., C) logits   t (...) integer targets 0..C-1, or `ignore` for rows that don't count
N rows (all leading axes together), C classes
Where no row counts, also in an empty batch, the loss is 0 and so is the gradient.  A target whose
logit is -inf costs inf.  Only m and s are kept for the backward pass, which computes p afresh.
"""

import numpy as np

from tinynet.backend import at_least
from tinynet.blocks.units.softmax import exp_rows_fast, part_of, sum_exp, sum_exp_fast
from tinynet.engine import Op
from tinynet.shapes import ShapeError


def _counted(x, t, ignore):
    """The rows that count (M, C), their targets (M), and the mask (N) that picked them."""
    if x.ndim == 0 or t.shape != x.shape[:-1]:
        raise ShapeError(f"cross_entropy: x (... C) = {x.shape} and t (...) = {t.shape}: t needs one class index "
                         "for each row of x, so make their leading axes equal")
    if t.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: the targets are {t.dtype}, but class indices are integers; "
                        "convert them, e.g. t.astype(np.int64)")
    C = x.shape[-1]
    if C == 0:
        raise ValueError(f"cross_entropy: x has shape {x.shape}, with no classes to choose from; give it at least 1")
    keep = t != ignore
    wrong = np.argwhere(keep & ((t < 0) | (t >= C)))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        where = at[0] if len(at) == 1 else at
        raise ValueError(f"cross_entropy: the target at position {where} is {t[at]}, but must be in 0..{C - 1} "
                         f"(or {ignore} to be ignored); correct the labels or give x more classes")
    keep, X = keep.reshape(-1), x.reshape(t.size, C)
    return (X, t.reshape(-1), keep) if keep.all() else (X[keep], t.reshape(-1)[keep], keep)


def _spread(dX, keep, shape):
    """The gradient of the counted rows in x's shape, 0 for the ignored rows."""
    if keep.all():
        return dX.reshape(shape)
    dx = np.zeros((keep.size, shape[-1]), dX.dtype)
    dx[keep] = dX
    return dx.reshape(shape)


def _mean_loss(X, t, m, s):
    l = np.log(s + (s == 0)) - (X[np.arange(t.size), t] - m)                # (2)
    return l.sum() / s.dtype.type(max(t.size, 1))                           # (3)


# %% 1. The mathematics
def cross_entropy_forward(x, t, ignore=-1):
    """The mean cross-entropy of softmax(x) (..., C) and integer targets t (...), in nats.

    Raises ShapeError when x and t don't fit, TypeError for targets that aren't integers and
    ValueError for targets outside 0..C-1.
    """
    X, t, keep = _counted(x, t, ignore)
    m, s = sum_exp(X)
    return _mean_loss(X, t, m, s), (X, t, m, s, keep, x.shape)


def cross_entropy_backward(dloss, cache):
    X, t, m, s, keep, shape = cache
    share = dloss / s.dtype.type(max(t.size, 1))
    dX = np.exp(X - m[:, None])
    dX *= part_of(share, s)[:, None]                                        # (1) (4)
    dX[np.arange(t.size), t] -= share                                       # (4)
    return _spread(dX, keep, shape), None


# %% 2. The fast twin: those of softmax
def cross_entropy_forward_fast(x, t, ignore=-1):
    X, t, keep = _counted(x, t, ignore)
    m, s = sum_exp_fast(X)
    return _mean_loss(X, t, m, s), (X, t, m, s, keep, x.shape)


def cross_entropy_backward_fast(dloss, cache):
    X, t, m, s, keep, shape = cache
    share = dloss / s.dtype.type(max(t.size, 1))
    dX = exp_rows_fast(X, m, part_of(share, s))                            # (1) (4)
    dX[np.arange(t.size), t] -= share                                       # (4)
    return _spread(dX, keep, shape), None


# %% 3. The op
cross_entropy = Op(cross_entropy_forward, cross_entropy_backward,
                   fast=(cross_entropy_forward_fast, cross_entropy_backward_fast), fast_when=at_least(65536))

# %% 4. The module: none, a loss has nothing to learn
