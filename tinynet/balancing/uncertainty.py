"""Uncertainty weighting: each task's noise sigma is learnt, and a noisy task counts less.

Regression, y ~ N(f(x), sigma^2), one number: the negative log likelihood is

    -log p(y | f(x)) = (y - f(x))^2 / (2 sigma^2) + log sigma + log(2 pi) / 2,

so that with L the mean squared error, and without the constant,

    (1)  l = L / (2 sigma^2) + log sigma = exp(-s) L / 2 + s / 2      tomaszewska uncertainty, erratum 4
    (2)  dl/dL = exp(-s) / 2
    (3)  dl/ds = (1 - exp(-s) L) / 2                                  0 at sigma^2 = L

Classification, y ~ softmax(f(x) / sigma^2): with L the cross-entropy of softmax(f(x)),

    -log p(y | f(x)) = L / sigma^2 + log(sum_c exp(f_c / sigma^2) / (sum_c exp f_c)^(1/sigma^2)),

and the paper takes log sigma = s/2 for the last term, so

    (4)  l = L / sigma^2 + log sigma = exp(-s) L + s / 2              tomaszewska uncertainty
    (5)  dl/dL = exp(-s)
    (6)  dl/ds = 1/2 - exp(-s) L                                      0 at sigma^2 = 2 L

The last term is 0 at sigma = 1, as s/2 is, but its slope in s there is the entropy of the prediction, not
1/2: (4) is a rough approximation.
s = log sigma^2, so that sigma stays positive and no division can fail
The slide prints (4) for every task.  For a regression that makes sigma^2 twice the mean squared
residual (erratum 4).
Kendall, Gal and Cipolla 2018, arXiv:1705.07115
"""

import numpy as np

from tinynet.balancing.rule import Rule

KINDS = ("regression", "classification")


class Uncertainty(Rule):
    """Weights exp(-s) / 2 or exp(-s); s is trained beside the net by Adam at its own learning rate.

    kinds  "regression" or "classification" for each task
    lr     of s.  At the net's own rate s lags behind the losses for a long time (erratum 16), so
           take about ten times that.
    s      first values, 0 (sigma = 1) if None
    """

    def __init__(self, kinds, lr=1e-2, s=None):
        self.tasks = len(kinds)
        self._need_tasks()
        self._need(set(kinds) <= set(KINDS), f"the kinds are {kinds}; give {' or '.join(KINDS)} for each task")
        self.factor = np.array([0.5 if kind == "regression" else 1.0 for kind in kinds])
        self.s = self.learnable(np.zeros(self.tasks) if s is None else s, lr)
        self._need(self.s.shape == (self.tasks,), f"s has shape {self.s.shape}; give one for each of {self.tasks} "
                   "tasks")

    @property
    def sigma(self):
        """The noise of each task, a standard deviation."""
        return np.exp(self.s.data / 2)

    def weigh(self, losses, gradients):
        weights, slope = uncertainty_slopes(losses, self.s.data, self.factor)
        self.learn(self.s, slope)
        return weights


def uncertainty_loss(L, s, factor):
    """The loss of each task; factor 1/2 for a regression, 1 for a classification."""
    return factor * np.exp(-s) * L + s / 2                                      # (1) (4)


def uncertainty_slopes(L, s, factor):
    """(dl/dL, dl/ds)"""
    weights = factor * np.exp(-s)                                               # (2) (5)
    return weights, 0.5 - weights * L                                           # (3) (6)
