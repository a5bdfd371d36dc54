"""Task adaptive activation network (saha aal, table1): one trunk for all tasks, which each task bends in its own way.

    >>> import numpy as np
    >>> from tinynet.models.tasks.taan import TAAN
    >>> net = TAAN(8, (6, 6), classes=(2, 4, 3), hinges=4, regularizer="distance", rng=0)
    >>> [y.shape for y in net(np.ones((3, 5, 8), np.float32))]
    [(5, 2), (5, 4), (5, 3)]
    >>> net.penalty().shape
    ()

Liu, Yang, Xie and others, AAAI 2020.
"""

import numpy as np

from tinynet import ops
from tinynet.blocks.tasks.activation_distance import activation_distance_forward, distribution
from tinynet.blocks.tasks.adaptive_activation import AdaptiveActivation
from tinynet.blocks.tasks.functional_regularization import cosine_regularizer, distance_regularizer
from tinynet.blocks.tasks.trace_norm import trace_norm
from tinynet.models.tasks.multi_task_net import MultiTaskNet


# %% The regularizers as the published code computes them (erratum 6)
def published_trace(alpha, b):
    """The sum of the rows' lengths: it shrinks each task's alpha, and says nothing of how alike two tasks are."""
    return ops.norm(alpha, axis=1).sum()


def published_cosine(alpha, b):
    """Lcos with .4 for 1/sqrt(2 pi), relu(b) for 1[b > 0] in U, and W, U and the norms as constants: no gradient for b.
    """
    at = b.data
    low, high, Phi = np.minimum.outer(at, at), np.maximum.outer(at, at), distribution(at).astype(at.dtype)
    W = (1 + np.outer(at, at)) * np.minimum.outer(Phi, Phi) + 0.4 * high * np.exp(-low * low / 2)
    U = (0.4 * at + 0.5 - Phi) * np.maximum(at, 0)
    with_relu = alpha @ U
    K = alpha @ W @ alpha.T + with_relu[:, None] + with_relu + 0.5
    n = np.sqrt(np.diag(K.data))
    return -(K / np.outer(n, n)).mean()


# %% The net
REGULARIZERS = {None: None, "trace": lambda alpha, b: trace_norm(alpha), "cosine": cosine_regularizer,
                "distance": distance_regularizer, "published trace": published_trace,
                "published cosine": published_cosine}


class TAAN(MultiTaskNet):
    """hinges       M of each layer
    regularizer  None, "trace" (Ltn), "cosine" (Lcos) or "distance" (Ldis); "published trace" and "published cosine" are
                 what the published code computes for the first two
    c            its weight; the published code has .1
    """

    needs_tasks = True

    def __init__(self, *sizes, hinges=64, regularizer=None, c=0.1, **settings):
        if regularizer not in REGULARIZERS:
            raise ValueError(f"TAAN: there is no regularizer {regularizer!r}; choose None, "
                             f"{', '.join(repr(name) for name in REGULARIZERS if name)}")
        self.hinges, self.regularizer, self.c = hinges, regularizer, c
        super().__init__(*sizes, **settings)

    def bend(self, rng):
        return AdaptiveActivation(self.tasks, self.hinges, rng, self.dtype)

    def activations(self):
        """The AdaptiveActivation of each layer, from the first on."""
        return [layer.bend for layer in self.layers]

    def penalty(self):
        if not self.regularizer:
            return None
        terms = [REGULARIZERS[self.regularizer](f.alpha, f.b) for f in self.activations()]
        return self.c * sum(terms[1:], terms[0])

    def distances(self, mu=0.0, sigma=1.0):
        """[d (T, T)] of each layer: how far apart the tasks' activation functions are (saha heatmaps)."""
        return [activation_distance_forward(f.alpha.data, f.b.data, mu, sigma)[0] for f in self.activations()]

    def slower(self, factor=0.1):
        """[(parameters, factor)] for an optimiser: alpha and b at `factor` times its learning rate, because the M
        hinges of a unit add up.
        """
        return self.rates(self.activations(), factor)
