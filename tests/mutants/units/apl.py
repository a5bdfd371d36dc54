"""Wrong backwards of the adaptive piecewise linear unit."""

# ruff: noqa: RUF059    (a cache is unpacked whole, as its forward packed it)
import numpy as np

from tinynet.blocks.units.apl import apl_backward

from ..registry import mutant


def hinges(dy, cache, on):
    """dx, da, db when hinge s counts where on(x, b_s) says so."""
    x, a, b = cache
    each = [(dy * on(x, b_s), a_s, b_s) for a_s, b_s in zip(a, b, strict=True)]
    dx = dy * (x > 0) - sum(a_s * d for d, a_s, _ in each)
    return (dx, np.stack([(d * (b_s - x)).sum(axis=0) for d, _, b_s in each]),
            np.stack([(a_s * d).sum(axis=0) for d, a_s, _ in each]))


@mutant("apl", "mask")
def hinges_on_the_wrong_side(dy, cache):
    return hinges(dy, cache, np.greater)


@mutant("apl", "mask")
def relu_on_the_wrong_side(dy, cache):
    x, *_ = cache
    dx, da, db = apl_backward(dy, cache)
    return dx - dy * (x > 0) + dy * (x < 0), da, db


@mutant("apl", "term")
def relu_forgotten(dy, cache):
    x, *_ = cache
    dx, da, db = apl_backward(dy, cache)
    return dx - dy * (x > 0), da, db


@mutant("apl", "term")
def hinges_forgotten(dy, cache):
    x, *_ = cache
    _, da, db = apl_backward(dy, cache)
    return dy * (x > 0), da, db


@mutant("apl", "sign")
def hinges_added(dy, cache):
    x, *_ = cache
    dx, da, db = apl_backward(dy, cache)
    return 2 * dy * (x > 0) - dx, da, db


@mutant("apl", "sign")
def offsets_sign(dy, cache):
    dx, da, db = apl_backward(dy, cache)
    return dx, da, -db


@mutant("apl", "swapped")
def slopes_and_offsets_exchanged(dy, cache):
    dx, da, db = apl_backward(dy, cache)
    return dx, db, da


@mutant("apl", "swapped")
def first_two_hinges_exchanged(dy, cache):
    dx, da, db = apl_backward(dy, cache)
    return dx, da[[1, 0, *range(2, len(da))]], db


@mutant("apl", "not summed")
def slopes_per_example(dy, cache):
    x, a, b = cache
    dx, _, db = apl_backward(dy, cache)
    return dx, np.maximum(b[:, None] - x, 0) * dy, db


@mutant("apl_batch", "not summed")
def offsets_of_the_last_batch(dy, cache):
    x, a, b = cache
    dx, da, _ = apl_backward(dy, cache)
    return dx, da, apl_backward(dy[-1], (x[-1], a, b))[2]


@mutant("apl", "factor")
def offsets_averaged(dy, cache):
    dx, da, db = apl_backward(dy, cache)
    return dx, da, db / len(dy)


@mutant("apl", "summed too far")
def one_slope_for_all_units(dy, cache):
    dx, da, db = apl_backward(dy, cache)
    return dx, np.broadcast_to(da.sum(axis=1, keepdims=True), da.shape), db


@mutant("apl", None)
def offsets_without_their_slope(dy, cache):
    x, a, b = cache
    dx, da, db = apl_backward(dy, cache)
    return dx, da, db / a


@mutant("apl", "upstream ignored")
def slope_of_the_unit_alone(dy, cache):
    _, da, db = apl_backward(dy, cache)
    return apl_backward(np.ones_like(dy), cache)[0], da, db


@mutant("apl", "zero")
def offsets_frozen(dy, cache):
    dx, da, db = apl_backward(dy, cache)
    return dx, da, np.zeros_like(db)
