"""Wrong backwards of the trace norm."""

import numpy as np

from tinynet.blocks.tasks.trace_norm import trace_norm_backward

from ..registry import mutant


@mutant("trace_norm", "sign")
def norm_is_pushed_up(dloss, cache):
    return -trace_norm_backward(dloss, cache)


@mutant("trace_norm", "upstream ignored")
def weight_of_the_penalty_forgotten(_, cache):
    return trace_norm_backward(1.0, cache)


@mutant("trace_norm", "zero")
def norm_not_learned(dloss, cache):
    return np.zeros_like(trace_norm_backward(dloss, cache))


@mutant("trace_norm", None)
def largest_singular_value_alone(dloss, cache):
    U, Vt, shape = cache
    return (dloss * np.outer(U[:, 0], Vt[0])).reshape(shape)


@mutant("trace_norm", "factor")
def squared_singular_values_slope(dloss, cache):
    return 2 * trace_norm_backward(dloss, cache)
