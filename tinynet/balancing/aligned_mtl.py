"""Aligned-MTL: the gradients are turned into orthogonal ones of equal length, as near to them as can be.

    (1)  K = V diag(lambda) V'
    (2)  a = sqrt(lambda_min) V diag(lambda^-1/2) V' 1

The matrix before 1 maps the gradients to orthogonal ones of length sqrt(lambda_min) (the procrustes
problem's solution); a sums these.  Directions with lambda = 0 are left out, and lambda_min is the
smallest one above 0.
Senushkin et al. 2023, arXiv:2305.19000
"""

import numpy as np

from tinynet.balancing.rule import Rule, gram


class AlignedMTL(Rule):
    """Weights for equally important tasks."""

    asks_gradients = shared_only = True

    def weigh(self, losses, gradients):
        return aligned_weights(gram(gradients))


def aligned_weights(K):
    """Weights (T,) for the Gram matrix K; 1 each where all gradients are 0."""
    eigenvalues, V = np.linalg.eigh(K)                                          # (1)
    kept = eigenvalues > len(K) * 1e-7 * eigenvalues[-1]       # of float32 gradients K is known to about 1e-7
    if not kept.any():
        return np.ones(len(K))
    eigenvalues, V = eigenvalues[kept], V[:, kept]
    return np.sqrt(eigenvalues[0] / eigenvalues) * V.sum(axis=0) @ V.T          # (2)
