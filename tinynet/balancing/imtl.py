"""IMTL: impartial to the tasks.  The direction has equal projections on all gradients, and losses have equal scale.

    (1)  <d, g[i]> / |g[i]| is the same for all i,  d = sum_i a[i] g[i],  sum_i a[i] = 1       IMTL-G
    (2)  K a = c n,  n[i] = |g[i]|: (1) times n[i]; solved up to c, then scaled
    (3)  l[i] = exp(s[i]) L[i] - s[i]                                                          IMTL-L
    (4)  dl/dL = exp(s),  dl/ds = exp(s) L - 1                                 0 at exp(s) = 1 / L

The paper's closed form, a = g[1] U' (D U')^-1, is (2) for differences to the first task; (2) treats
all alike and stands also where gradients are parallel, where the shortest solution is taken.
Weights a may be negative.  (3) is uncertainty weighting with exp(-s) for exp(s) and another constant.
Liu et al. 2021, Towards impartial multi-task learning
"""

import numpy as np

from tinynet.balancing.rule import Rule, gram


class IMTLG(Rule):
    """IMTL's part for gradients: weights that sum to 1."""

    asks_gradients = shared_only = True

    def weigh(self, losses, gradients):
        return imtl_weights(gram(gradients))


def imtl_weights(K):
    """Weights (T,) for the Gram matrix; equal ones where the projections can't be made equal and above 0."""
    n = np.sqrt(np.diag(K))
    a = np.linalg.lstsq(K, n, rcond=1e-10)[0]                                   # (1) (2)
    total = a.sum()
    return a / total if total > 1e-12 * np.abs(a).sum() else np.full(len(K), 1 / len(K))


class IMTLL(Rule):
    """IMTL's part for losses: exp(s) is trained beside the net by Adam at its own learning rate."""

    def __init__(self, tasks, lr=1e-2):
        self.tasks = tasks
        self._need_tasks()
        self.s = self.learnable(np.zeros(tasks), lr)

    def weigh(self, losses, gradients):
        weights = np.exp(self.s.data)                                           # (3) (4)
        self.learn(self.s, weights * losses - 1)                                # (4)
        return weights
