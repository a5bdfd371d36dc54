"""Wrong backwards of skip-gram."""

import numpy as np

from tinynet.blocks.losses.skip_gram import skip_gram_backward

from ..registry import mutant


@mutant("skip_gram", "sign")
def ascent(dL, cache):
    de, dw = skip_gram_backward(dL, cache)
    return -de, -dw


@mutant("skip_gram", "zero")
def contexts_not_learned(dL, cache):
    de, dw = skip_gram_backward(dL, cache)
    return de, np.zeros_like(dw)


@mutant("skip_gram", None)
def a_row_takes_its_last_pair_alone(dL, cache):
    e, w, pairs, share = cache
    i, c = pairs.T
    de = np.zeros_like(e)
    de[i] = -dL * share[:, None] * w[c]             # assigns where it must add
    return de, skip_gram_backward(dL, cache)[1]


@mutant("skip_gram", "factor")
def mean_over_the_pairs(dL, cache):
    return tuple(d / len(cache[2]) for d in skip_gram_backward(dL, cache))


@mutant("skip_gram", "upstream ignored")
def loss_of_weight_one(dL, cache):
    return skip_gram_backward(1.0, cache)
