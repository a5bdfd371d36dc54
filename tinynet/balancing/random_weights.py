"""Random weights: new ones in every step.  The control that a rule with an idea has to beat.

    (1)  w = T softmax(z),  z[i] ~ N(0, 1)          Lin et al. 2022, arXiv:2111.10603

The paper's weights sum to 1; ours sum to T, so that the mean weight is 1 as in a plain sum.
"""

import numpy as np

from tinynet.balancing.rule import Rule
from tinynet.blocks.units.softmax import masked_softmax


class RandomWeights(Rule):
    """Weights drawn anew in every step; the draw depends on `seed` and the step alone."""

    def __init__(self, seed=0):
        self.seed = seed
        self.step = np.zeros((), np.int64)

    def weigh(self, losses, gradients):
        z = np.random.default_rng([self.seed, int(self.step)]).normal(size=len(losses))
        self.step += 1
        return len(losses) * masked_softmax(z)                                  # (1)
