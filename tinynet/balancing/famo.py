"""FAMO: equal relative improvement of all tasks, from the losses before and after the step.

    (1)  z = softmax(xi)
    (2)  l = sum_i z[i] log(L[i] - Lmin[i]) / c,   c = sum_i z[i] / (L[i] - Lmin[i])
    (3)  w[i] = dl/dL[i] = z[i] / (c (L[i] - Lmin[i]))                  the weights sum to 1
    (4)  delta[i] = log(L[i](t) - Lmin[i]) - log(L[i](t+1) - Lmin[i])   how much task i improved
    (5)  dxi = (diag(z) - z z') delta + decay xi

A task that improved most loses weight.  The second look at the batch costs a forward pass; no
gradients of single tasks are needed.
Liu et al. 2023, arXiv:2306.03792, Algorithm 1
"""

import numpy as np

from tinynet.balancing.rule import Rule
from tinynet.blocks.units.softmax import masked_softmax


class FAMO(Rule):
    """After the net's step call `after_step` with the losses on the same batch.

    tasks    T
    lr       of xi, which the rule's own Adam trains
    decay    gamma of the paper
    minimum  Lmin: a bound from below that the losses don't reach, 0 for the usual ones
    """

    looks_again = True

    def __init__(self, tasks, lr=0.025, decay=1e-3, minimum=0.0):
        self.tasks, self.decay = tasks, float(decay)
        self._need_tasks()
        self.minimum = np.broadcast_to(np.asarray(minimum, float), (tasks,)).copy()
        self.xi = self.learnable(np.zeros(tasks), lr)
        self.before = np.zeros(tasks)               # L(t) - Lmin

    def weigh(self, losses, gradients):
        self._must_be_positive(losses, minimum=self.minimum)
        self.before = losses - self.minimum
        z = masked_softmax(self.xi.data.copy())                                 # (1)
        c = (z / self.before).sum()                                             # (2)
        return z / (c * self.before)                                            # (3)

    def after_step(self, losses):
        """Learn from the losses (T,) that the step has left on the same batch."""
        losses = self._checked(losses)
        if self.tasks == 1:
            return
        self._must_be_positive(losses, minimum=self.minimum)
        delta = np.log(self.before) - np.log(losses - self.minimum)             # (4)
        z = masked_softmax(self.xi.data.copy())
        self.learn(self.xi, z * (delta - z @ delta) + self.decay * self.xi.data)    # (5)
