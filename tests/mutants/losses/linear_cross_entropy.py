"""Wrong backwards of cross-entropy behind an output layer."""

import numpy as np

from tinynet.blocks.losses.linear_cross_entropy import linear_cross_entropy_backward

from ..registry import mutant


@mutant("linear_cross_entropy", None)
def the_last_rows_alone_reach_the_weights(dloss, cache):
    X, W, b, T, _, smoothing, rows = cache
    last = slice((len(T) - 1) // (rows or len(T)) * (rows or len(T)), None)
    share = dloss * len(T[last]) / max(len(T), 1)
    part = (X[last], W, b, T[last], np.ones(len(T[last]), bool), smoothing, rows)
    _, dW, db, _ = linear_cross_entropy_backward(share, part)       # dW = where it must be dW +=
    return linear_cross_entropy_backward(dloss, cache)[0], dW, db, None


@mutant("linear_cross_entropy", "factor")
def mean_over_all_rows_with_those_that_do_not_count(dloss, cache):
    counted = max(len(cache[3]), 1) / max(cache[4].size, 1)
    return tuple(None if d is None else d * counted for d in linear_cross_entropy_backward(dloss, cache))


@mutant("linear_cross_entropy", "zero")
def the_bias_is_not_learnt(dloss, cache):
    dx, dW, db, _ = linear_cross_entropy_backward(dloss, cache)
    return dx, dW, None if db is None else np.zeros_like(db), None


@mutant("linear_cross_entropy", "upstream ignored")
def loss_of_weight_one(dloss, cache):
    return linear_cross_entropy_backward(1.0, cache)


@mutant("linear_cross_entropy", "sign")
def target_minus_probability(dloss, cache):
    return tuple(None if d is None else -d for d in linear_cross_entropy_backward(dloss, cache))
