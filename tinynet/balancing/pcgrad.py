"""PCGrad: where two tasks' gradients conflict, each loses its part against the other.

    (1)  for each i, for the others j in random order, if <g', g[j]> < 0:
    (2)      g' = g' - <g', g[j]> / |g[j]|^2 g[j]            starting at g' = g[i]
    (3)  d = sum_i g'[i]

Every g' is a combination c of the gradients, so that <g', g[j]> = (K c)[j]: only K is needed.
Yu et al. 2020, arXiv:2001.06782, Algorithm 1
"""

import numpy as np

from tinynet.balancing.rule import Rule, gram


class PCGrad(Rule):
    """The order of the others depends on `seed` and the step alone."""

    asks_gradients = shared_only = True

    def __init__(self, seed=0):
        self.seed = seed
        self.step = np.zeros((), np.int64)

    def weigh(self, losses, gradients):
        rng = np.random.default_rng([self.seed, int(self.step)])
        self.step += 1
        return pcgrad_weights(gram(gradients), [rng.permutation(len(losses)) for _ in losses])


def pcgrad_weights(K, orders):
    """Weights (T,) for the Gram matrix K and, for each task, the order in which it meets the others."""
    C = np.eye(len(K))
    for i, order in enumerate(orders):
        for j in order:
            product = K[j] @ C[i]
            if j != i and product < 0:                                          # (1)
                C[i, j] -= product / K[j, j]                                    # (2)
    return C.sum(axis=0)                                                        # (3)
