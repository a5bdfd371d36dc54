"""Sum of log losses: uncertainty weighting with its sigma already at the optimum.

    (1)  L = sum_i log L[i]
    (2)  w[i] = dL/dL[i] = 1 / L[i]

Uncertainty weighting minimises sum_i (L[i] / (2 sigma[i]^2) + log sigma[i]).  For fixed L the best
sigma^2 is L, which leaves 1/2 sum_i (1 + log L[i]): (1) up to a factor and a constant.
The direction is that of the geometric mean; the step is another one, as there is no factor L / T.
"""

from tinynet.balancing.rule import Rule


class LogLosses(Rule):
    """Needs positive losses."""

    def weigh(self, losses, gradients):
        self._must_be_positive(losses)
        return 1 / losses                                                       # (1) (2)
