"""Wrong backwards of the elementary ops."""


import numpy as np

from tinynet import ops

from ..registry import mutant


@mutant("add_right", "not summed")
def bias_keeps_the_batch_axis(dy, cache):
    return dy, dy


@mutant("add_outer", "not summed")
def stretched_axis_takes_its_first_slice(dy, cache):
    return dy[:, :1], dy[:1]


@mutant("add_outer", "swapped")
def sums_the_other_axis(dy, cache):
    return dy.sum(axis=0, keepdims=True), dy.sum(axis=1, keepdims=True)


@mutant("subtract_same", "sign")
def minus_forgotten(dy, cache):
    return dy, dy


@mutant("subtract_same", "zero")
def second_gets_nothing(dy, cache):
    return dy, np.zeros_like(dy)


@mutant("multiply_same", "swapped")
def each_times_itself(dy, cache):
    a, b = cache
    return dy * a, dy * b


@mutant("multiply_right", "not summed")
def product_keeps_the_batch_axis(dy, cache):
    a, b = cache
    return dy * b, dy * a


@mutant("multiply_same", "upstream ignored")
def product_without_upstream(dy, cache):
    a, b = cache
    return b.copy(), a.copy()


@mutant("divide_same", "sign")
def quotient_rule_without_minus(dy, cache):
    da, db = ops.divide.backward(dy, cache)
    return da, -db


@mutant("divide_same", None)
def multiplies_where_it_divides(dy, cache):
    _, b, y = cache
    return dy * b, -dy * y * b


@mutant("maximum_right", "mask")
def smaller_one_wins(dy, cache):
    a, b = cache
    return dy * (a < b), (dy * (a > b)).sum(axis=0)


@mutant("maximum_same", "mask")
def both_win(dy, cache):
    return dy, dy.copy()


@mutant("minimum_right", "mask")
def larger_one_wins(dy, cache):
    a, b = cache
    return dy * (a > b), ops.minimum.backward(dy, cache)[1]


@mutant("where", "swapped")
def branches_exchanged(dy, cache):
    _, da, db = ops.where.backward(dy, cache)
    return None, db, da


@mutant("where", "count")
def forgets_the_condition(dy, cache):
    _, da, db = ops.where.backward(dy, cache)
    return da, db


@mutant("negative", "sign")
def negative_of_negative(dy, _):
    return dy.copy()


@mutant("power_3", "factor")
def exponent_forgotten(dy, cache):
    x, exponent = cache
    return dy * x ** (exponent - 1)


@mutant("power_2", "factor")
def half_a_square(dy, cache):
    return ops.power.backward(dy, cache) / 2


@mutant("exp", "upstream ignored")
def slope_alone(dy, y):
    return y.copy()


@mutant("exp", "identity")
def exp_less_one(dy, y):
    return dy * y - dy


@mutant("log", None)
def log_times_x(dy, x):
    return dy * x


@mutant("sqrt", "factor")
def twice_the_slope_of_sqrt(dy, y):
    return dy / y


@mutant("absolute", "mask")
def slope_of_one_side_only(dy, x):
    return dy * (x > 0)


@mutant("absolute", "sign")
def points_the_other_way(dy, x):
    return -dy * np.sign(x)


@mutant("matmul_matrices", "transposed")
def transposes_both_gradients(dy, cache):
    da, db = ops.matmul.backward(dy, cache)
    return da.T, db.T


@mutant("matmul_matrices", "shape")
def flattens_both_gradients(dy, cache):
    da, db = ops.matmul.backward(dy, cache)
    return da.ravel(), db.ravel()


@mutant("matmul_shared_right", "not summed")
def shared_matrix_keeps_the_batch_axis(dy, cache):
    a, _ = cache
    return ops.matmul.backward(dy, cache)[0], np.swapaxes(a, -1, -2) @ dy


@mutant("sum_first", "mask")
def only_the_first_row_is_told(dy, cache):
    dx = np.zeros(cache[0])
    dx[0] = dy
    return dx


@mutant("sum_all", "factor")
def a_mean_instead_of_a_sum(dy, cache):
    return ops.sum.backward(dy, cache) / np.prod(cache[0])


@mutant("mean_last", "factor")
def a_sum_instead_of_a_mean(dy, cache):
    return ops.mean.backward(dy, cache) * cache[-1]


@mutant("mean_all", "upstream ignored")
def share_of_one(dy, cache):
    return ops.mean.backward(np.ones_like(dy), cache)


@mutant("max_last", "mask")
def everyone_is_the_largest(dy, cache):
    x, *_ = cache
    return np.broadcast_to(dy[..., None], x.shape)


@mutant("transpose", "transposed")
def not_turned_back(dy, axes):
    return dy.copy()


@mutant("transpose_axes", "transposed")
def turned_the_same_way_again(dy, axes):
    return dy.transpose(axes)


@mutant("broadcast_to_new_axis", "not summed")
def repeated_axis_kept(dy, shape):
    return dy.copy()


@mutant("broadcast_to_new_axis", "factor")
def repeated_axis_averaged(dy, shape):
    right = ops.broadcast_to.backward(dy, shape)
    return right * right.size / dy.size


@mutant("getitem_repeated", "not summed")
def the_last_one_counts(dy, cache):
    shape, index = cache
    dx = np.zeros(shape)
    dx[index] = dy
    return dx


@mutant("concatenate", "swapped")
def pieces_in_reverse(dy, cache):
    grads = ops.concatenate.backward(dy, cache)
    return grads[::-1]


@mutant("stack", "swapped")
def stacked_pieces_in_reverse(dy, axis):
    return ops.stack.backward(dy, axis)[::-1]


@mutant("sum_all", "dtype")
def single_precision_gradient(dy, cache):
    return ops.sum.backward(dy, cache).astype(np.float32)


@mutant("multiply_same", "changed")
def works_in_the_upstream(dy, cache):
    a, b = cache
    db = dy * a
    dy *= b
    return dy, db


@mutant("exp", "changed")
def works_in_the_output(dy, y):
    y *= dy
    return y


@mutant("multiply_same", "changed")
def works_in_an_input(dy, cache):
    a, b = cache
    da, db = dy * b, dy * a
    a += 1
    return da, db
