"""MGDA: the shortest convex combination of the gradients, which goes down for every task.

    (1)  c = argmin |sum_i c[i] g[i]|^2   over c >= 0, sum_i c[i] = 1
    (2)  <d, g[i]> >= |d|^2 for all i,    d = sum_i c[i] g[i]: no task's loss rises, and d = 0 only
         where no direction helps all of them (Pareto stationarity)

The shortest combination leans on the shortest gradient, so MGDA follows the task that has least left
to learn.  Public code clips the weights to .001 ... .999; here they are exact.
Desideri 2012; Sener and Koltun 2018, arXiv:1810.04650
"""

from tinynet.balancing.min_norm import min_norm_weights
from tinynet.balancing.rule import Rule, gram


class MGDA(Rule):
    """Weights that sum to 1."""

    asks_gradients = shared_only = True

    def weigh(self, losses, gradients):
        return min_norm_weights(gram(gradients))                                # (1) (2)
