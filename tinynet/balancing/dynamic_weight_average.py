"""Dynamic weight average: a task whose loss falls slowly gets more weight.

    (1)  r[i] = Lbar[i](e-1) / Lbar[i](e-2)         Liu et al. 2019, arXiv:1803.10704
    (2)  w = T softmax(r / temperature)

Lbar(e)  mean losses of period e, e.g. of an epoch; in the first two periods all weights are 1
It sees losses only, so it can't tell a task that is done from one that is stuck: both fall slowly.
"""

import numpy as np

from tinynet.balancing.rule import Rule
from tinynet.blocks.units.softmax import masked_softmax


class DynamicWeightAverage(Rule):
    """every: how many steps make a period, usually the batches of an epoch; temperature: large for even weights."""

    def __init__(self, tasks, every, temperature=2.0):
        self.tasks, self.every, self.temperature = tasks, every, temperature
        self._need(tasks >= 1 and every >= 1 and temperature > 0, f"tasks is {tasks}, every {every} and temperature "
                   f"{temperature}; all must be above 0")
        self.step = np.zeros((), np.int64)
        self.total = np.zeros(tasks)                # of the losses in this period
        self.means = np.ones((2, tasks))            # of the two periods before, the later one first

    def weigh(self, losses, gradients):
        self._must_be_positive(losses, "ratio to an earlier one")
        if self.step and self.step % self.every == 0:
            self.means = np.stack([self.total / self.every, self.means[0]])
            self.total = np.zeros_like(self.total)
        self.step += 1
        self.total = self.total + losses
        if self.step <= 2 * self.every:
            return np.ones(len(losses))
        r = self.means[0] / self.means[1]                                       # (1)
        return len(losses) * masked_softmax(r / self.temperature)               # (2)
