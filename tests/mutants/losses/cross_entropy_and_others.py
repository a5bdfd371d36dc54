"""Wrong backwards of the losses."""

# ruff: noqa: RUF059    (a cache is unpacked whole, as its forward packed it)
import numpy as np

from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy_backward
from tinynet.blocks.losses.cross_entropy import cross_entropy_backward
from tinynet.blocks.losses.mean_squared_error import mean_squared_error_backward
from tinynet.blocks.units.softmax import log_sum_exp_backward

from ..registry import mutant


def probabilities(cache):
    X, t, m, s, keep, shape, q, M, each = cache
    return np.exp(X - m[:, None]) / s[:, None]


# %% Cross-entropy
@mutant("cross_entropy", "factor")
def cross_entropy_summed(dloss, cache):
    dx, _ = cross_entropy_backward(dloss, cache)
    return dx * len(dx), None


@mutant("cross_entropy", "factor")
def cross_entropy_averaged_over_classes(dloss, cache):
    dx, _ = cross_entropy_backward(dloss, cache)
    return dx / dx.shape[-1], None


@mutant("cross_entropy", "term")
def cross_entropy_target_forgotten(dloss, cache):
    p = probabilities(cache)
    return dloss * p / len(p), None


@mutant("cross_entropy", "term")
def cross_entropy_softmax_forgotten(dloss, cache):
    p = probabilities(cache)
    return cross_entropy_backward(dloss, cache)[0] - dloss * p / len(p), None


@mutant("cross_entropy", "sign")
def cross_entropy_target_minus_p(dloss, cache):
    return -cross_entropy_backward(dloss, cache)[0], None


@mutant("cross_entropy", "sign")
def cross_entropy_target_added(dloss, cache):
    p = probabilities(cache)
    return 2 * dloss * p / len(p) - cross_entropy_backward(dloss, cache)[0], None


@mutant("cross_entropy", "upstream ignored")
def cross_entropy_starts_at_one(dloss, cache):
    return cross_entropy_backward(np.ones_like(dloss), cache)


@mutant("cross_entropy_sequence_ignored", "mask")
def ignored_targets_count(dloss, cache):
    X, t, m, s, keep, shape, q, M, each = cache
    dx = cross_entropy_backward(dloss, cache)[0].reshape(-1, shape[-1])
    dx[~keep] = dloss / len(X) / shape[-1]
    return dx.reshape(shape), None


@mutant("cross_entropy_sequence_ignored", "factor")
def ignored_targets_in_the_mean(dloss, cache):
    X, keep = cache[0], cache[4]
    return cross_entropy_backward(dloss, cache)[0] * len(X) / len(keep), None


@mutant("cross_entropy_weighted_and_smoothed", None)
def smoothing_forgotten(dloss, cache):
    X, t, m, s, keep, shape, q, M, each = cache
    hard = q * (t[:, None] == np.arange(X.shape[1]))
    return cross_entropy_backward(dloss, (X, t, m, s, keep, shape, hard, M, each))


@mutant("cross_entropy_weighted_and_smoothed", None)
def weights_forgotten(dloss, cache):
    X, t, m, s, keep, shape, q, M, each = cache
    return cross_entropy_backward(dloss, (X, t, m, s, keep, shape, None, M, each))


@mutant("cross_entropy_probabilities", "term")
def probabilities_forgotten(dloss, cache):
    p = probabilities(cache)
    return dloss * p, cross_entropy_backward(dloss, cache)[1]


@mutant("cross_entropy_of_each_row", "upstream ignored")
def rows_of_ones(dloss, cache):
    return cross_entropy_backward(np.ones_like(dloss), cache)


# %% Log-sum-exp
@mutant("log_sum_exp", None)
def log_sum_exp_not_normalised(dL, cache):
    x, m, s, _ = cache
    return np.exp(x - m[..., None]) * dL[..., None]


@mutant("log_sum_exp", "upstream ignored")
def log_sum_exp_softmax_alone(dL, cache):
    return log_sum_exp_backward(np.ones_like(dL), cache)


@mutant("log_sum_exp", "mask")
def log_sum_exp_is_the_maximum(dL, cache):
    x, m, *_ = cache
    dx = log_sum_exp_backward(dL, cache)
    return np.where(x == m[..., None], dx, 0)


@mutant("log_sum_exp_middle_axis", "shape")
def log_sum_exp_axis_left_last(dL, cache):
    return log_sum_exp_backward(dL, cache).reshape(-1)


# %% Binary cross-entropy
@mutant("binary_cross_entropy", "factor")
def binary_summed(dloss, cache):
    dx, _ = binary_cross_entropy_backward(dloss, cache)
    return dx * dx.size, None


@mutant("binary_cross_entropy", "term")
def binary_target_forgotten(dloss, cache):
    x, _ = cache
    return dloss / x.size / (1 + np.exp(-x)), None


@mutant("binary_cross_entropy", "sign")
def binary_t_minus_p(dloss, cache):
    return -binary_cross_entropy_backward(dloss, cache)[0], None


@mutant("binary_cross_entropy", None)
def binary_slope_of_the_sigmoid_twice(dloss, cache):
    x, _ = cache
    p = 1 / (1 + np.exp(-x))
    return binary_cross_entropy_backward(dloss, cache)[0] * p * (1 - p), None


# %% Mean squared error
@mutant("mean_squared_error", "factor")
def square_without_two(dloss, error):
    return dloss * error / error.size, None


@mutant("mean_squared_error", "factor")
def averaged_over_examples_alone(dloss, error):
    return 2 * dloss * error / len(error), None


@mutant("mean_squared_error", "sign")
def target_minus_prediction(dloss, error):
    return -mean_squared_error_backward(dloss, error)[0], None


@mutant("mean_squared_error", "upstream ignored")
def error_alone(dloss, error):
    return 2 * error / error.size, None


@mutant("mean_squared_error", None)
def absolute_error(dloss, error):
    return dloss * np.sign(error) / error.size, None


@mutant("mean_squared_error", "repeat")
def works_in_the_cache(dloss, error):
    error *= 2 * dloss / error.size
    return error.copy(), None
