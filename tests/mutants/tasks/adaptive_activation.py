"""Wrong backwards of the adaptive activation, of the metric and of the regularizers."""

# ruff: noqa: RUF059    (a cache is unpacked whole, as its forward packed it)
import numpy as np

from tinynet.blocks.tasks.activation_distance import (
    activation_cosine_backward,
    activation_distance_backward,
    activation_inner_backward,
)
from tinynet.blocks.tasks.adaptive_activation import adaptive_activation_backward
from tinynet.blocks.tasks.functional_regularization import (
    cosine_regularizer_backward,
    distance_regularizer_backward,
)

from ..registry import mutant


# %% Adaptive activation
@mutant("adaptive_activation", "sign")
def offsets_sign(dh, cache):
    dz, dalpha, db = adaptive_activation_backward(dh, cache)
    return dz, dalpha, -db


@mutant("adaptive_activation", "not summed")
def hinges_moved_by_the_first_task_alone(dh, cache):
    z, alpha, b, k = cache
    dz, dalpha, _ = adaptive_activation_backward(dh, cache)
    return dz, dalpha, adaptive_activation_backward(dh[:1], (z[:1], alpha[:1], b, None))[2]


@mutant("adaptive_activation", "summed too far")
def one_coordinate_row_for_all_tasks(dh, cache):
    dz, dalpha, db = adaptive_activation_backward(dh, cache)
    return dz, np.broadcast_to(dalpha.sum(axis=0), dalpha.shape), db


@mutant("adaptive_activation", "swapped")
def first_two_tasks_exchanged(dh, cache):
    dz, dalpha, db = adaptive_activation_backward(dh, cache)
    return dz, dalpha[[1, 0, *range(2, len(dalpha))]], db


@mutant("adaptive_activation", "factor")
def coordinates_averaged_over_examples(dh, cache):
    dz, dalpha, db = adaptive_activation_backward(dh, cache)
    return dz, dalpha / dh.shape[1], db


@mutant("adaptive_activation", "upstream ignored")
def slope_of_the_function_alone(dh, cache):
    _, dalpha, db = adaptive_activation_backward(dh, cache)
    return adaptive_activation_backward(np.ones_like(dh), cache)[0], dalpha, db


@mutant("adaptive_activation", "zero")
def hinges_frozen(dh, cache):
    dz, dalpha, db = adaptive_activation_backward(dh, cache)
    return dz, dalpha, np.zeros_like(db)


@mutant("adaptive_activation", None)
def hinges_moved_without_their_slopes(dh, cache):
    z, alpha, b, k = cache
    dz, dalpha, _ = adaptive_activation_backward(dh, cache)
    return dz, dalpha, adaptive_activation_backward(dh, (z, np.ones_like(alpha), b, None))[2]


# %% The metric
@mutant("activation_inner", "factor")
def pairs_counted_once(dK, cache):
    da, db = activation_inner_backward(dK, cache)
    return da / 2, db


@mutant("activation_inner", None)
def relu_forgotten(dK, cache):
    A, moments, dtype = cache
    nothing = moments._replace(U=0 * moments.U)
    return activation_inner_backward(dK, (A, nothing, dtype))[0], activation_inner_backward(dK, cache)[1]


@mutant("activation_distance", "zero")
def hinges_stay(dd, cache):
    da, db = activation_distance_backward(dd, cache)
    return da, np.zeros_like(db)


@mutant("activation_distance", None)
def square_root_forgotten(dd, cache):
    apart, d, moments, dtype = cache
    return activation_distance_backward(2 * d * dd, cache)[0], activation_distance_backward(dd, cache)[1]


@mutant("activation_distance", "sign")
def pushed_apart(dd, cache):
    da, db = activation_distance_backward(dd, cache)
    return -da, db


@mutant("activation_cosine", None)
def norms_not_differentiated(dC, cache):
    A, moments, n, C, dtype = cache
    da, db = activation_inner_backward(dC / np.outer(n, n), (A, moments, dtype))
    return da, activation_cosine_backward(dC, cache)[1]


@mutant("activation_cosine", "sign")
def turned_away(dC, cache):
    da, db = activation_cosine_backward(dC, cache)
    return da, -db


# %% The regularizers
@mutant("cosine_regularizer", "factor")
def sum_over_tasks_in_place_of_the_mean(dL, cache):
    da, db = cosine_regularizer_backward(dL, cache)
    return da * len(da), db


@mutant("cosine_regularizer", "zero")
def w_and_u_detached(dL, cache):
    da, db = cosine_regularizer_backward(dL, cache)
    return da, np.zeros_like(db)


@mutant("distance_regularizer", "factor")
def half_of_the_pairs(dL, cache):
    da, db = distance_regularizer_backward(dL, cache)
    return da / 2, db


@mutant("distance_regularizer", None)
def coordinates_compared_in_place_of_functions(dL, cache):
    A, moments, dtype = cache
    return 4 * dL / len(A) * A, distance_regularizer_backward(dL, cache)[1]
