"""Geometric mean of the losses: scaling a loss by a constant doesn't change the path.

    (1)  L = (prod_i L[i])^(1/T)                    Chennupati et al. 2019, arXiv:1904.08492
    (2)  w[i] = dL/dL[i] = L / (T L[i])

LibMTL logs another weight for this rule; (2) is the derivative of (1).
"""

import numpy as np

from tinynet.balancing.rule import Rule


class GeometricMean(Rule):
    """Needs positive losses."""

    def weigh(self, losses, gradients):
        self._must_be_positive(losses)
        L = np.exp(np.log(losses).mean())                                       # (1)
        return L / (len(losses) * losses)                                       # (2)
