"""CAGrad: stay near the mean gradient, and within that ball help the task that is helped least.

    (1)  d = argmax min_i <g[i], d>   over |d - g0| <= c |g0|,   g0 = mean_i g[i]
    (2)  w = argmin <gw, g0> + c |g0| |gw|,   gw = sum_i w[i] g[i],   over w >= 0, sum_i w[i] = 1
    (3)  d = g0 + c |g0| gw / |gw|
    (4)  |gw| = min over u > 0 of (|gw|^2 / u + u) / 2,   reached at u = |gw|
    (5)  for fixed u: w = argmin |gw + u / (c |g0|) g0|^2, the nearest point of a shifted simplex

(2) is the dual of (1).  It is convex; (4) turns it into two steps that are both exact: w for fixed u
by (5), then u = |gw|.  c = 0 is plain descent on the mean, c < 1 still finds a minimum of the mean,
c = 1 and beyond comes near MGDA.
Liu et al. 2021, arXiv:2110.14048.  Their code divides d by 1 + c^2; here d is as in the paper.
"""

import numpy as np

from tinynet.balancing.min_norm import min_norm_weights
from tinynet.balancing.rule import Rule, gram


class CAGrad(Rule):
    """c: the radius of the ball, in lengths of the mean gradient."""

    asks_gradients = shared_only = True

    def __init__(self, c=0.5):
        self._need(c >= 0, f"c is {c}; it must be 0 or more")
        self.c = float(c)

    def weigh(self, losses, gradients):
        return cagrad_weights(gram(gradients), self.c)


def cagrad_weights(K, c, steps=200):
    """Weights (T,) of d (3) for the Gram matrix K."""
    T = len(K)
    mean = np.full(T, 1 / T)
    radius = c * np.sqrt(max(mean @ K @ mean, 0.0))
    if radius == 0:
        return mean
    w, length = mean, np.sqrt(max(mean @ K @ mean, 0.0))
    for _ in range(steps):
        shift = length / radius * mean
        w = min_norm_weights(_shifted(K, shift), w)                              # (2) (5)
        before, length = length, np.sqrt(max(w @ K @ w, 0.0))                   # (4)
        if abs(before - length) <= 1e-10 * before:
            break
    return mean + (radius / length * w if length > 1e-12 * radius else 0)       # (1) (3)


def _shifted(K, shift):
    """The Gram matrix of the points g[i] + sum_j shift[j] g[j]."""
    along = K @ shift
    return K + along[:, None] + along[None, :] + shift @ along
