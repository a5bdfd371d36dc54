"""Recipes of the blocks in blocks/losses."""

import numpy as np

from tinynet import ops


def cross_entropy(valve, x, t, ignore=-1, smoothing=0.0, weights=None, reduction="mean"):
    C, hard = x.shape[-1], t.dtype.kind != "f"
    counts = t != ignore if hard else np.ones(t.shape[:-1], bool)
    target = np.clip(t, 0, C - 1)[..., None] == np.arange(C) if hard else t
    w = np.ones(C) if weights is None else weights
    q = target * (w * (1 - smoothing)) + w * smoothing / C
    top = x.data.max(axis=-1, keepdims=True)
    log_sum = (x - top).exp().sum(axis=-1).log() + top[..., 0]
    l = valve("the softmax", log_sum) * q.sum(axis=-1) - valve("the target's logit", (x * q).sum(axis=-1))
    l = valve.where("ignored targets", counts, l, 0.0 * l)
    if reduction == "none":
        return l
    M = (w[np.clip(t, 0, C - 1)] * counts).sum() if hard else l.size
    return l.sum() / (max(M, 1e-300) if reduction == "mean" else 1)


def cross_entropy_of_a_softmax(valve, x, t, reduction="mean"):
    """In two steps, as students take them: first the softmax, then -log of the target's chance."""
    p, target = valve.softmax("the softmax", x), t[..., None] == np.arange(x.shape[-1])
    l = -(p.log() * target).sum(axis=-1)
    return l if reduction == "none" else l.sum() / (l.size if reduction == "mean" else 1)


def linear_cross_entropy(valve, x, W, b, t, ignore=-1, smoothing=0.0, rows=None):
    z = valve("the product", x @ W.T)
    return cross_entropy(valve, z if b is None else z + valve("the bias", b), t, ignore, smoothing)


def binary_cross_entropy(valve, x, t):
    softplus = ((-abs(x)).exp() + 1).log() + ops.maximum(x, 0.0 * x)
    return (valve("the sigmoid", softplus) - valve("the target", x * t)).mean()


def mean_squared_error(valve, y, t):
    return (valve("the prediction", y * y) - valve("the target", y * t) * 2 + t * t).mean()


RECIPES = (cross_entropy, cross_entropy_of_a_softmax, linear_cross_entropy, binary_cross_entropy, mean_squared_error)
