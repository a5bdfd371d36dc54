"""One mistake a function: (kind, sentence) where it explains every entry of a gradient, else None."""

from itertools import combinations

import numpy as np

from tinynet.check.evidence import FIT, ROUNDING, SMALL
from tinynet.check.slopes import (
    factor_of_each_entry,
    input_for_output,
    mask,
    mask_of_outputs,
    mask_of_slopes,
    skipped,
    softmax,
)


# %% Numbers that can't be
def not_finite(e):
    bad = np.flatnonzero((~np.isfinite(e.analytic) & ~e.both_overflow()).any(axis=0))
    if not len(bad):
        return None
    what = "NaN" if np.isnan(e.analytic).any() else "inf"
    return "not finite", f"{what} in the gradient at {e.listed(bad)}"


def all_zero(e):
    nothing = (np.abs(e.analytic) <= 1e-12 * e.terms.max(initial=0.0))[:, e.smooth].all()
    return ("zero", "all zero") if nothing and (np.abs(e.numeric) > e.allowed)[:, e.smooth].any() else None


def added(e):
    """Something is added that doesn't depend on the upstream."""
    gap = (e.analytic - e.numeric)[:, e.smooth]
    if np.abs(gap[3]).max(initial=0.0) > 0 and (np.abs(gap - gap[3]) <= e.allowed[:, e.smooth]).all():
        return "zero upstream", "something is added to it that doesn't depend on the upstream gradient"
    return None


def in_single(e):
    """Right but for the rounding of float32 (or nearly right)."""
    gap, size = np.abs(e.analytic - e.numeric)[:, e.smooth], e.terms[:, e.smooth]
    if not gap.size or not (size > 0).any():
        return None
    if (gap <= ROUNDING * (e.unsteady + 0 * e.numeric)[:, e.smooth] + e.allowed[:, e.smooth]).all() and (
            gap <= 1e-2 * size).all() and (gap > 1e-9 * size).any():
        return None, (f"right to {_digits((gap[size > 0] / size[size > 0]).max())} digits only: backward loses the "
                      "others on these inputs, because it subtracts numbers that are nearly equal")
    if not (gap <= 1e-5 * size + e.allowed[:, e.smooth]).all():
        return None
    relative = (gap / np.where(size > 0, size, np.inf))[:, (size > 0).any(axis=0)]
    if relative.max() > 2e-9 and np.median(relative) > 1e-10:
        return "dtype", (f"right to {_digits(relative.max())} digits only: something is computed in float32, "
                         "keep the dtype of the input")
    return None, f"right to {_digits(relative.max())} digits only"


def _digits(error):
    return max(int(-np.log10(max(error, 1e-16))), 0)


# %% What is done with the upstream
def upstream_ignored(e):
    if e.dys[0].size and np.array_equal(e.analytic, np.broadcast_to(e.analytic[0], e.analytic.shape)):
        return "upstream ignored", "the upstream gradient is ignored: every upstream gives the same result"
    return None


def nonlinear(e):
    a = e.analytic[:, e.smooth]
    small, large = SMALL * a[0], e.large * a[0]
    far = max(_distance(a[3], small), _distance(a[4], large))
    if far < 1e-5:
        return None
    right = [bool(row[e.smooth].all()) for row in e.right()]
    where = " (right for a small one)" if right[3] and not right[4] else \
            " (right for a large one)" if right[4] and not right[3] else ""
    return "nonlinear", ("backward isn't linear in the upstream gradient: a million times the upstream doesn't give a "
                         f"million times the gradient{where}; don't clip, round or add anything to it")


def _distance(a, b):
    return np.abs(a - b).max(initial=0.0) / max(np.abs(b).max(initial=0.0), np.finfo(float).tiny)


def straight_through(e):
    if e.y.shape == e.x.shape and not e.numeric[:, e.smooth].any() and e.fits(e.flat_dys):
        return None, "y is flat there and its slope is 0: backward passes the upstream gradient through, as if y were x"
    return None


# %% One number for all entries
def sign(e):
    return ("sign", "the sign is flipped") if e.fits(-e.numeric) else None


def factor(e):
    smooth = e.numeric[:, e.smooth]
    if not smooth.any():
        return None
    loud = np.abs(smooth).max(axis=1, keepdims=True)
    weight = np.where(loud > 0, 1 / np.where(loud > 0, loud, 1), 0)
    scaled = smooth * weight            # the square of a slope near overflow would overflow
    c = float((e.analytic[:, e.smooth] * weight * scaled).sum() / (scaled * scaled).sum())
    if abs(c) < FIT or abs(c - 1) < FIT or not e.fits(c * e.numeric):
        return None
    flipped = " and its sign is flipped" if c < 0 else ""
    return "factor", f"off by a constant factor: every entry is {named_factor(abs(c), e)} what it should be{flipped}"


def named_factor(c, e):
    """The factor in the terms of the axes' sizes, e.g. "0.2 times (1/5, 5 the size of axis 0 of x)"."""
    meanings = [text for value, text in _factors(e) if abs(c - value) <= 1e-6 * abs(c)]
    number = {2.0: "2", 0.5: "1/2", 4.0: "4", 0.25: "1/4"}.get(round(c, 8), f"{c:.6g}")
    return f"{number} times ({' or '.join(meanings)})" if meanings else f"{number} times"


def _factors(e):
    sizes = {}
    for name, a in [*zip(e.names, e.arrays, strict=True), ("y", e.y)]:
        for axis, n in enumerate(a.shape if a is not None else ()):
            if n > 1:
                sizes.setdefault(n, f"axis {axis} of {name}")
    for n, where in sizes.items():
        yield n, f"{n}, the size of {where}"
        yield 1 / n, f"1/{n}, {n} the size of {where}"
        yield n ** 0.5, f"sqrt({n}), {n} the size of {where}"
        yield n ** -0.5, f"1/sqrt({n}), {n} the size of {where}"
    for (n, a), (m, b) in combinations(sizes.items(), 2):
        yield n * m, f"{n} * {m}, the sizes of {a} and {b}"
        yield 1 / (n * m), f"1/({n} * {m}), the sizes of {a} and {b}"
    for name, s in e.settings.items():
        if isinstance(s, (int, float)) and not isinstance(s, bool) and s not in (0, 1):
            yield s, name
            yield 1 / s, f"1/{name}"
            yield 1 - s, f"1 - {name}"
            yield 1 / (1 - s), f"1/(1 - {name})"


# %% In the wrong place
def swapped(e):
    for j, other in e.measured.items():
        if j != e.i and e.arrays[j].shape == e.x.shape and e.fits(e.flat_dys @ other.jacobian):
            return "swapped", f"two gradients are swapped: this is d{e.names[j]}"
    numeric = e.shaped(e.numeric)
    for a, b in combinations(range(e.x.ndim), 2):
        if e.x.shape[a] == e.x.shape[b] == 2 and e.fits(numeric.swapaxes(a + 1, b + 1)):
            return "swapped", (f"two gradients are swapped: those of entries [0, 1] and [1, 0] along axes {a} and {b}, "
                               "as if transposed")
    for axis, n in enumerate(e.x.shape):
        for a, b in combinations(range(min(n, 8)), 2):
            order = np.arange(n)
            order[[a, b]] = b, a
            if e.fits(numeric.take(order, axis=axis + 1)):
                return "swapped", f"two gradients are swapped: those of entries {a} and {b} along axis {axis}"
    return None


def parts_swapped(e):
    """Gates that share an axis, in another order."""
    numeric = e.shaped(e.numeric)
    for axis, n in enumerate(e.x.shape):
        for count in (2, 3, 4):
            if n % count or n == count:
                continue
            parts = np.split(numeric, count, axis=axis + 1)
            for a, b in combinations(range(count), 2):
                order = np.arange(count)
                order[[a, b]] = b, a
                if e.fits(np.concatenate([parts[k] for k in order], axis=axis + 1)):
                    return "swapped", (f"two gradients are swapped: of {count} equal parts along axis {axis}, those of "
                                       f"parts {a} and {b}")
    return None


def upstream_turned(e):
    """dy with two of its axes exchanged, or reshaped where it should be transposed."""
    for a, b in combinations(range(1, e.y.ndim + 1), 2):
        shape = list(e.dys.shape)
        shape[a], shape[b] = shape[b], shape[a]
        turned = e.dys.reshape(shape).swapaxes(a, b)
        if min(shape[a], shape[b]) > 1 and e.fits(turned.reshape(e.flat_dys.shape) @ e.jacobian):
            what = "transposed on the way back, or needs to be" if shape[a] == shape[b] else \
                   "reshaped where it should be transposed"
            return "transposed", f"the upstream gradient is {what}"
    return None


def taken_elsewhere(e):
    """The right derivative, but of a forward with a matrix transposed or with two other inputs exchanged."""
    others = [j for j in e.measured if j != e.i][:8]
    for j in others:
        a = e.arrays[j]
        if a.ndim == 2 and a.shape[0] == a.shape[1] > 1 and e.fits(e.gradient_with({j: a.T})):
            return "transposed", (f"{e.names[j]} stands the wrong way round on the way back: {e.names[j]}' where "
                                  f"{e.names[j]} belongs, or {e.names[j]} where {e.names[j]}' belongs")
    for j, k in combinations(others, 2):
        if e.arrays[j].shape == e.arrays[k].shape and e.fits(e.gradient_with({j: e.arrays[k], k: e.arrays[j]})):
            return "swapped", f"{e.names[j]} and {e.names[k]} are exchanged on the way back"
    return None


def transposed(e):
    numeric = e.shaped(e.numeric)
    for a, b in combinations(range(e.x.ndim), 2):
        if e.x.shape[a] == e.x.shape[b] > 1 and e.fits(numeric.swapaxes(a + 1, b + 1)):
            return "transposed", (f"transposed: axes {a} and {b} are exchanged, so that the gradient of entry [i, j] "
                                  "stands at [j, i]")
    if e.y.size == e.x.size > 1 and e.fits(e.flat_dys @ e.jacobian.T):
        return "transposed", "a matrix is transposed: the gradient is J dy, where the chain rule needs J' dy"
    return None


# %% Sums
def not_summed(e):
    for axis, n in enumerate(e.y.shape):
        if n < 2:
            continue
        for index, which in ((0, "first"), (n - 1, "last")):
            if e.fits(_of_outputs(e, axis, index)):
                return "not summed", (f"not summed over axis {axis} of y (size {n}): only the {which} entry along it "
                                      "contributes, as where a loop overwrites what it should accumulate")
    return None


def one_output_missing(e):
    """One step of the loop over y's entries is left out, or counts with another factor."""
    for axis, n in enumerate(e.y.shape):
        for index in range(n if 1 < n <= 8 else 0):
            part = _of_outputs(e, axis, index)
            if not np.abs(part[:, e.smooth]).max(initial=0.0):
                continue
            for c, kind, what in ((0, "term", "is missing"), (-1, "sign", "has the wrong sign")):
                if e.fits(e.numeric + (c - 1) * part):
                    return kind, f"what entry {index} along axis {axis} of y contributes {what}"
    return None


def _of_outputs(e, axis, index):
    """The gradient that flows from the entries of y with this index along the axis."""
    only = np.zeros_like(e.dys)
    here = (slice(None),) * (axis + 1) + (index,)
    only[here] = e.dys[here]
    return only.reshape(e.flat_dys.shape) @ e.jacobian


def one_of_several(e):
    contributions = e.flat_dys[:, :, None] * e.jacobian
    one = (np.abs(contributions - e.analytic[:, None]) <= FIT * e.terms[:, None] + e.allowed[:, None]).all(axis=0)
    several = (e.jacobian != 0).sum(axis=0) > 1
    if several.any() and (one & (e.jacobian != 0)).any(axis=0)[e.smooth & (e.numeric != 0).any(axis=0)].all():
        return "not summed", ("not summed: where an entry contributes to y several times, only one of them counts, as "
                              "where one overwrites the other")
    return None


def summed_too_far(e):
    numeric = e.shaped(e.numeric)
    for count in range(1, e.x.ndim + 1):
        for axes in combinations(range(e.x.ndim), count):
            n = int(np.prod([e.x.shape[a] for a in axes]))
            total = numeric.sum(axis=tuple(a + 1 for a in axes), keepdims=True)
            for value, what in ((total, "summed"), (total / max(n, 1), "averaged")):
                if n > 1 and e.fits(np.broadcast_to(value, numeric.shape)):
                    return "summed too far", (f"{what} over axis {' and '.join(map(str, axes))}, along which {e.name} "
                                              "has entries of its own")
    return None


# %% Terms
def identity(e):
    if e.y.shape != e.x.shape:
        return None
    if e.fits(e.numeric - e.flat_dys):
        return "identity", "the identity path is missing: the difference from the measured gradient is dy itself"
    if e.fits(e.numeric + e.flat_dys):
        return "identity", "the identity path is counted twice: the difference from the measured gradient is dy itself"
    return None


def term(e):
    """A term that is constant, or one fixed vector, along an axis: what a mean or a norm leaves behind."""
    missing = e.shaped(e.numeric - e.analytic)
    for axis, n in enumerate(e.x.shape):
        if n > 2 and e.fits(e.numeric - np.broadcast_to(missing.mean(axis=axis + 1, keepdims=True),
                                                        missing.shape).reshape(e.numeric.shape)):
            return "term", (f"one of several terms is missing: what is lacking is constant along axis {axis}, "
                            "as from the derivative of a mean")
    return None


BEFORE_RECIPES = (not_finite, all_zero, added, in_single, upstream_ignored, straight_through, softmax, sign, factor,
                  swapped, transposed, not_summed, identity, input_for_output)
IN_ONE_SLICE = (all_zero, in_single, sign, factor, input_for_output)
AFTER_RECIPES = (nonlinear, parts_swapped, upstream_turned, taken_elsewhere, mask_of_slopes, mask, mask_of_outputs,
                 factor_of_each_entry, skipped, one_of_several, one_output_missing, summed_too_far, term)
