"""Cases of the losses."""

import numpy as np

from tinynet.blocks.losses import binary_cross_entropy as _binary_cross_entropy
from tinynet.blocks.losses import cross_entropy as _cross_entropy
from tinynet.blocks.losses import linear_cross_entropy as _linear_cross_entropy
from tinynet.blocks.losses import mean_squared_error as _mean_squared_error
from tinynet.blocks.losses import skip_gram as _skip_gram
from tinynet.cases.registry import case


@case(_cross_entropy.cross_entropy, never_empty="C")
def cross_entropy(rng, N, C):
    return rng.normal(size=(N, C)), rng.integers(0, max(C, 1), N)


@case(_cross_entropy.cross_entropy, never_empty="C")
def cross_entropy_sequence_ignored(rng, B, T, C):
    return rng.normal(size=(B, T, C)), rng.integers(-1, C, (B, T))


@case(_cross_entropy.cross_entropy, never_empty="C")
def cross_entropy_ignored_class(rng, N, C):
    return (rng.normal(size=(N, C)), rng.integers(0, max(C, 1), N)), dict(ignore=0)


@case(_cross_entropy.cross_entropy, never_empty="C")
def cross_entropy_weighted_and_smoothed(rng, N, C):
    return (rng.normal(size=(N, C)), rng.integers(-1, C, N)), dict(smoothing=0.1, weights=rng.uniform(0.5, 2, C))


@case(_cross_entropy.cross_entropy, never_empty="C")
def cross_entropy_probabilities(rng, N, C):
    t = rng.random((N, C)) + 0.1
    return (rng.normal(size=(N, C)), t / t.sum(axis=1, keepdims=True)), dict(reduction="sum")


@case(_cross_entropy.cross_entropy, never_empty="C")
def cross_entropy_of_each_row(rng, B, T, C):
    return (rng.normal(size=(B, T, C)), rng.integers(-1, C, (B, T))), dict(reduction="none")


@case(_linear_cross_entropy.linear_cross_entropy, never_empty="C")
def linear_cross_entropy(rng, N, C, D):
    """One row at a time, so that there are several parts; the second doesn't count."""
    t = np.where(np.arange(N) == 1, -1, rng.integers(0, max(C, 1), N))
    return [*(rng.normal(size=s) for s in ((N, D), (C, D), C)), t], dict(rows=1)


@case(_linear_cross_entropy.linear_cross_entropy, never_empty="C")
def linear_cross_entropy_smoothed_without_bias(rng, B, T, C, D):
    return [rng.normal(size=(B, T, D)), rng.normal(size=(C, D)), None, rng.integers(-1, C, (B, T))], \
        dict(smoothing=0.1)


@case(_binary_cross_entropy.binary_cross_entropy, never_empty="N C")
def binary_cross_entropy(rng, N, C):
    return rng.normal(size=(N, C)), rng.integers(0, 2, (N, C))


@case(_binary_cross_entropy.binary_cross_entropy, never_empty="N")
def binary_cross_entropy_soft(rng, N):
    return 3 * rng.normal(size=N), rng.integers(0, 5, N) / 4


@case(_mean_squared_error.mean_squared_error, never_empty="N D")
def mean_squared_error(rng, N, D):
    return rng.normal(size=(N, D)), rng.integers(-2, 3, (N, D))


@case(_mean_squared_error.mean_squared_error, never_empty="N D")
def mean_squared_error_of_two_outputs(rng, N, D):
    return rng.normal(size=(2, N, D))


@case(_skip_gram.skip_gram, where="N > 0 and M > 0 or B == 0")
def skip_gram(rng, N, M, D, B):
    """Rows that stand in several pairs, and pairs of both kinds."""
    pairs = np.stack([rng.integers(0, max(N, 1), B), rng.integers(0, max(M, 1), B)], axis=1)
    return [rng.normal(size=(N, D)), rng.normal(size=(M, D))], dict(pairs=pairs, gamma=1 - 2 * (np.arange(B) % 2))
