"""Cross-entropy of a softmax: minus the log of the probability given to the right class.

    (1)  p[n,c] = exp(x[n,c] - m[n]) / s[n]                       m and s as in softmax
    (2)  l[n] = -log p[n,t[n]] = log s[n] + m[n] - x[n,t[n]]      Nielsen 2015, chapter 3
    (3)  loss = 1/M sum_n l[n]                                    over the rows that count; M how many they are
    (4)  dx[n,c] = dloss/M (p[n,c] - [c = t[n]])                  Nielsen 2015, chapter 3
    (5)  q[n,c] = w[c] ((1 - a) [c = t[n]] + a / C)               Szegedy et al. 2016, section 7
    (6)  l[n] = sum_c q[n,c] (log s[n] + m[n] - x[n,c])           for weighted or smoothed targets, or probabilities
    (7)  dx[n,c] = dl[n] (p[n,c] sum_k q[n,k] - q[n,c])
    (8)  dt[n,c] = dl[n] w[c] (1 - a) (log s[n] + m[n] - x[n,c])  where t are probabilities

x (..., C)   logits
t (...)      targets: whole numbers 0..C-1, or `ignore` for rows that don't count
t (..., C)   or floating: the probability that each class should get, which stands for [c = t[n]]
w (C)        `weights` of the classes, 1 unless they are given
a            label `smoothing`: the share of each target that is spread over all classes
N rows (all leading axes together), C classes

reduction   "mean": with weights M is sum_n w[t[n]], as in PyTorch; "sum": M = 1; "none": l itself, 0 where ignored
Where no row counts, also in an empty batch, the loss is 0 and so is the gradient.  A target whose
logit is -inf costs inf.  Only m and s are kept for the backward pass, which computes p afresh.
"""

import numpy as np

from tinynet.backend import at_least
from tinynet.blocks.units.softmax import exp_rows_fast, part_of, sum_exp, sum_exp_fast
from tinynet.engine import Op
from tinynet.shapes import ShapeError

REDUCTIONS = ("mean", "sum", "none")


def _check(x, t, w, smoothing, reduction):
    if x.ndim == 0 or t.shape != (x.shape if t.dtype.kind == "f" and t.ndim == x.ndim else x.shape[:-1]):
        raise ShapeError(f"cross_entropy: x (... C) = {x.shape} and t (...) = {t.shape}: t needs one class index "
                         "for each row of x, so make their leading axes equal")
    C = x.shape[-1]
    if C == 0:
        raise ValueError(f"cross_entropy: x has shape {x.shape}, with no classes to choose from; give it at least 1")
    if w is not None and (w.shape != (C,) or not (w >= 0).all()):
        raise ShapeError(f"cross_entropy: x has {C} classes and weights of shape {w.shape}; give each class a weight "
                         "of 0 or more")
    if not 0 <= smoothing <= 1 or reduction not in REDUCTIONS:
        raise ValueError(f"cross_entropy: smoothing is {smoothing} and reduction {reduction!r}; choose a smoothing in "
                         f"[0, 1] and one of {', '.join(map(repr, REDUCTIONS))}")


def right_targets(block, t, C, ignore):
    """Where t (...) counts: a mask.  Raises ValueError for a target outside 0..C-1, TypeError for no whole numbers."""
    if t.dtype.kind not in "iu":
        raise TypeError(f"{block}: the targets are {t.dtype}, but class indices are integers; convert them, e.g. "
                        "t.astype(np.int64)")
    keep = t != ignore
    wrong = keep & ((t < 0) | (t >= C))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f" at position {at[0] if len(at) == 1 else at}" if at else ""
        raise ValueError(f"{block}: the target{where} is {t[at]}, but must be in 0..{C - 1} "
                         f"(or {ignore} to be ignored); correct the labels or give x more classes")
    return keep


def _counted(x, t, ignore):
    """The rows that count (M, C), their targets (M) or (M, C), and the mask (N) that picked them."""
    C = x.shape[-1]
    if t.dtype.kind == "f" and t.ndim == x.ndim:
        return x.reshape(-1, C), t.reshape(-1, C), np.ones(t[..., 0].size, bool)
    keep, X = right_targets("cross_entropy", t, C, ignore).reshape(-1), x.reshape(t.size, C)
    return (X, t.reshape(-1), keep) if keep.all() else (X[keep], t.reshape(-1)[keep], keep)


def _soft(X, t, w, smoothing):
    """q (M, C), or None where the plain targets are all there is to it."""
    if t.ndim == 1 and w is None and not smoothing:
        return None
    hard = t if t.ndim == 2 else (t[:, None] == np.arange(X.shape[1])).astype(X.dtype)
    q = ((1 - smoothing) * hard + smoothing / X.shape[1]).astype(X.dtype)   # (5)
    return q if w is None else q * w.astype(X.dtype)                        # (5)


def _losses(X, t, q, m, s):
    log_sum = np.log(s + (s == 0))
    if q is None:
        return log_sum - (X[np.arange(len(t)), t] - m)                      # (2)
    return log_sum * q.sum(axis=1) - (np.where(q == 0, 0, X - m[:, None]) * q).sum(axis=1)      # (6)


def _reduced(l, t, w, keep, shape, reduction):
    """The loss, and what a row's gradient is divided by."""
    if reduction == "none":
        whole = np.zeros(keep.size, l.dtype)
        whole[keep] = l
        return whole.reshape(shape[:-1]), l.dtype.type(1)
    M = l.dtype.type(1) if reduction == "sum" else l.dtype.type(
        max(len(t), 1) if w is None or t.ndim == 2 else w[t].sum() or 1)
    return l.sum() / M, M                                                   # (3)


def _share(dloss, M, keep):
    """dl[n] of each row that counts, or one number for all."""
    return dloss / M if np.ndim(dloss) == 0 else dloss.reshape(-1)[keep] / M


def _minus_target(dX, share, t, q):
    if q is None:
        dX[np.arange(len(t)), t] -= share                                   # (4)
    else:
        dX -= np.reshape(share, (-1, 1)) * q                                # (7)


def _to_target(share, cache):
    X, t, m, s, _, shape, _, _, each = cache
    if t.ndim == 1:
        return None
    log_p = X - m[:, None] - np.log(s + (s == 0))[:, None]
    return (-np.reshape(share, (-1, 1)) * (each * log_p)).astype(X.dtype).reshape(shape)        # (8)


def _spread(dX, keep, shape):
    """The gradient of the counted rows in x's shape, 0 for the ignored rows."""
    if keep.all():
        return dX.reshape(shape)
    dx = np.zeros((keep.size, shape[-1]), dX.dtype)
    dx[keep] = dX
    return dx.reshape(shape)


def _forward(sum_of, x, t, w, ignore, smoothing, reduction):
    w = None if w is None else np.asarray(w)
    _check(x, t, w, smoothing, reduction)
    X, t, keep = _counted(x, t, ignore)
    m, s = sum_of(X)
    q = _soft(X, t, w, smoothing)
    loss, M = _reduced(_losses(X, t, q, m, s), t, w, keep, x.shape, reduction)
    return loss, (X, t, m, s, keep, x.shape, q, M, (1 - smoothing) * (np.ones(1) if w is None else w))


# %% 1. The mathematics
def cross_entropy_forward(x, t, ignore=-1, smoothing=0.0, weights=None, reduction="mean"):
    """The cross-entropy of softmax(x) (..., C) and targets t, in nats.

    Raises ShapeError when x, t and w don't fit, TypeError for targets that are neither whole numbers nor probabilities
    and ValueError for targets outside 0..C-1.
    """
    return _forward(sum_exp, x, t, weights, ignore, smoothing, reduction)


def cross_entropy_backward(dloss, cache):
    X, t, m, s, keep, shape, q, M, _ = cache
    share = _share(dloss, M, keep)
    total = share if q is None else share * q.sum(axis=1)                   # (7)
    dX = np.exp(X - m[:, None])
    dX *= part_of(total, s)[:, None]                                        # (1) (4)
    _minus_target(dX, share, t, q)
    return _spread(dX, keep, shape), _to_target(share, cache)


# %% 2. The fast twin: those of softmax
def cross_entropy_forward_fast(x, t, ignore=-1, smoothing=0.0, weights=None, reduction="mean"):
    return _forward(sum_exp_fast, x, t, weights, ignore, smoothing, reduction)


def cross_entropy_backward_fast(dloss, cache):
    X, t, m, s, keep, shape, q, M, _ = cache
    share = _share(dloss, M, keep)
    total = share if q is None else share * q.sum(axis=1)                   # (7)
    dX = exp_rows_fast(X, m, part_of(total, s))                             # (1) (4)
    _minus_target(dX, share, t, q)
    return _spread(dX, keep, shape), _to_target(share, cache)


# %% 3. The op
cross_entropy = Op(cross_entropy_forward, cross_entropy_backward,
                   fast=(cross_entropy_forward_fast, cross_entropy_backward_fast), fast_when=at_least(8192),
                   counts=lambda cache: float(cache[7]))           # M

# %% 4. The module: none, a loss has nothing to learn
