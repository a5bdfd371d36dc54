"""What kind of mistake is it?  Each test asks whether one explanation fits every entry, for
every upstream; the first that fits is named, from the most specific to the most general.
Where none fits, none is named.
"""

from itertools import combinations, permutations

import numpy as np

from tinynet.check.evidence import FIT
from tinynet.check.recipes.search import RECIPES, alternatives

KINDS = {
    "count": "not one gradient per array",
    "shape": "the gradient has another shape than its array",
    "dtype": "the gradient has another dtype than its array",
    "zero": "all zero",
    "upstream ignored": "the upstream gradient is not used",
    "sign": "sign flipped",
    "factor": "off by a constant factor",
    "swapped": "two gradients swapped",
    "transposed": "transposed",
    "not summed": "not summed over a broadcast or batch axis",
    "summed too far": "summed over an axis along which the array has entries of its own",
    "identity": "the identity path is missing",
    "softmax diagonal": "only the diagonal of the softmax Jacobian",
    "softmax off-diagonal": "only the off-diagonal part of the softmax Jacobian",
    "term": "one of several additive terms is missing",
    "mask": "a mask or threshold is on the wrong side",
    "random": "forward isn't repeatable",
    "repeat": "backward changes its cache",
    "zero upstream": "a zero upstream doesn't give exactly zero",
    "layout": "depends on the upstream's memory layout",
    "size": "right on these arrays, wrong on empty or size-1 ones",
    "changed": "changes an array that isn't its own",
    "alias": "a returned array is written to later",
}


def explain(evidence):
    """(kind or None, name, text) for a gradient of the right shape with wrong values."""
    for test in TESTS:
        found = test(evidence)
        if found:
            kind, sentence = found
            return kind, evidence.name, f"{sentence}\n      {evidence.worst()}"
    return None, evidence.name, f"wrong, and no known kind of mistake fits all entries\n      {evidence.worst()}"


# %% One mistake each
def _all_zero(e):
    if (np.abs(e.analytic) <= 1e-12 * e.terms.max(initial=0.0)).all():
        return "zero", "all zero"
    return None


def _upstream_ignored(e):
    if e.dys[0].size and np.array_equal(e.analytic, np.broadcast_to(e.analytic[0], e.analytic.shape)):
        return "upstream ignored", "the upstream gradient is ignored: every upstream gives the same result"
    if e.fits(np.broadcast_to(e.jacobian.sum(axis=0), e.numeric.shape)):
        return "upstream ignored", "the upstream gradient is ignored: it is taken as ones"
    return None


def _sign(e):
    return ("sign", "the sign is flipped") if e.fits(-e.numeric) else None


def _factor(e):
    smooth = e.numeric[:, e.smooth]
    if not smooth.any():
        return None
    c = float((e.analytic[:, e.smooth] * smooth).sum() / (smooth * smooth).sum())
    if c == 0 or not e.fits(c * e.numeric):
        return None
    sign = " and its sign is flipped" if c < 0 else ""
    return "factor", f"off by a constant factor: every entry is {_named(abs(c), e)} what it should be{sign}"


def _named(c, e):
    """The factor in the terms of the axes' sizes, e.g. "0.2 times (1/5, 5 the size of axis 0 of x)"."""
    meanings = [text for value, text in _factors(e) if abs(c - value) <= 1e-6 * c]
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


def _swapped(e):
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


def _transposed(e):
    numeric = e.shaped(e.numeric)
    for a, b in combinations(range(e.x.ndim), 2):
        if e.x.shape[a] == e.x.shape[b] > 1 and e.fits(numeric.swapaxes(a + 1, b + 1)):
            return "transposed", (f"transposed: axes {a} and {b} are exchanged, so that the gradient of entry [i, j] "
                                  "stands at [j, i]")
    if e.y.size == e.x.size > 1 and e.fits(e.flat_dys @ e.jacobian.T):
        return "transposed", "a matrix is transposed: the gradient is J dy, where the chain rule needs J' dy"
    return None


def _not_summed(e):
    for axis, n in enumerate(e.y.shape):
        if n < 2:
            continue
        for index, which in ((0, "first"), (n - 1, "last")):
            only = np.zeros_like(e.dys)
            here = (slice(None),) * (axis + 1) + (index,)
            only[here] = e.dys[here]
            if e.fits(only.reshape(e.flat_dys.shape) @ e.jacobian):
                return "not summed", (f"not summed over axis {axis} of y (size {n}): "
                                      f"only the {which} entry along it contributes")
    return None


def _one_of_several(e):
    contributions = e.flat_dys[:, :, None] * e.jacobian
    one = (np.abs(contributions - e.analytic[:, None]) <= FIT * e.terms[:, None] + e.allowed[:, None]).all(axis=0)
    several = (e.jacobian != 0).sum(axis=0) > 1
    if several.any() and (one & (e.jacobian != 0)).any(axis=0)[e.smooth & (e.numeric != 0).any(axis=0)].all():
        return "not summed", "not summed: where an entry contributes to y several times, only one of them counts"
    return None


def _summed_too_far(e):
    numeric = e.shaped(e.numeric)
    for axis, n in enumerate(e.x.shape):
        total = numeric.sum(axis=axis + 1, keepdims=True)
        for value, what in ((total, "summed"), (total / max(n, 1), "averaged")):
            if n > 1 and e.fits(np.broadcast_to(value, numeric.shape)):
                return "summed too far", f"{what} over axis {axis}, along which {e.name} has entries of its own"
    return None


def _identity(e):
    if e.y.shape != e.x.shape:
        return None
    if e.fits(e.numeric - e.flat_dys):
        return "identity", "the identity path is missing: the difference from the measured gradient is dy itself"
    if e.fits(e.numeric + e.flat_dys):
        return "identity", "the identity path is counted twice: the difference from the measured gradient is dy itself"
    return None


def _softmax(e):
    if e.y.shape != e.x.shape or not e.y.size or e.y.min() < 0:
        return None
    for axis in range(e.y.ndim):
        p = e.y
        if not np.isclose(p.sum(axis=axis), 1).all() or p.shape[axis] < 2:
            continue
        inner = (p * e.dys).sum(axis=axis + 1, keepdims=True)
        if e.fits(p * e.dys) or e.fits(p * (1 - p) * e.dys):
            return "softmax diagonal", "only the diagonal of the softmax Jacobian: the part -p (p . dy) is missing"
        if e.fits(-p * inner) or e.fits(-p * (inner - p * e.dys)):
            return "softmax off-diagonal", "only the off-diagonal part of the softmax Jacobian: p dy is missing"
    return None


def _mistaken_paths(e):
    """Those of our block of this name, or, for another name, of the block that computes the same."""
    for block in [e.block] if e.block in RECIPES else RECIPES:
        try:
            with np.errstate(all="ignore"):
                full, mistaken = alternatives(block, e.arrays, e.settings, e.i, e.dys)
        except Exception:       # other arrays or settings than this block takes: whatever NumPy says to that
            continue
        if full.size == e.numeric.size and e.fits(e.numeric, full.reshape(e.numeric.shape)):
            return mistaken
    return ()


def _paths(e):
    """For our own blocks: the gradient with one path closed, or with one threshold turned."""
    for names, kind, wrong in _mistaken_paths(e):
        wrong = wrong.reshape(e.numeric.shape)
        lost = e.numeric - wrong
        if e.fits(e.numeric, wrong):
            continue            # nothing flows there
        if e.fits(wrong):
            return kind, f"{KINDS[kind]}: {' and '.join(names)}"
        if kind != "mask":
            c = float(((e.analytic - wrong) * lost)[:, e.smooth].sum() / (lost * lost)[:, e.smooth].sum())
            if e.fits(wrong + c * lost):
                return ("sign", f"one term has its sign flipped: {' and '.join(names)}") if abs(c + 1) < FIT else (
                    "factor", f"one term is off by a constant factor: {' and '.join(names)} counts {_named(c, e)}")
    return None


def _mask(e):
    wrong = ~e.right() & e.smooth
    passed, blocked = wrong & (np.abs(e.numeric) <= e.allowed), wrong & (np.abs(e.analytic) <= e.allowed)
    if (wrong & ~passed & ~blocked).any() or not (passed.any() or blocked.any()):
        return None
    let_through, held = int(passed.any(axis=0).sum()), int(blocked.any(axis=0).sum())
    return "mask", (f"a mask or threshold is on the wrong side: of {e.x.size} entries, {let_through} let a gradient "
                    f"through where it is zero, and {held} block it where it isn't")


def _slopes_exchanged(e):
    """Two slopes, each where the other belongs: a leaky ReLU with its threshold the wrong way round."""
    if e.x.shape != e.y.shape:
        return None
    with np.errstate(all="ignore"):
        should, does = (e.numeric / e.flat_dys)[:, e.smooth], (e.analytic / e.flat_dys)[:, e.smooth]
    if not should.size or not np.isfinite(should).all() or not np.isfinite(does).all():
        return None
    low, high = should.min() + 0, should.max() + 0      # -0.0 becomes 0.0
    if low < high and np.allclose(should + does, low + high) and np.allclose(np.minimum(should, does), low):
        return "mask", f"a threshold is on the wrong side: the slopes {low:.4g} and {high:.4g} are exchanged"
    return None


def _term(e):
    """A term that is constant, or one fixed vector, along an axis: what a mean or a norm leaves behind."""
    missing = e.shaped(e.numeric - e.analytic)
    for axis, n in enumerate(e.x.shape):
        if n > 2 and e.fits(e.numeric - np.broadcast_to(missing.mean(axis=axis + 1, keepdims=True),
                                                        missing.shape).reshape(e.numeric.shape)):
            return "term", (f"one of several terms is missing: what is lacking is constant along axis {axis}, "
                            "as from the derivative of a mean")
    return None


TESTS = [_all_zero, _upstream_ignored, _sign, _factor, _swapped, _transposed, _not_summed, _identity, _softmax,
         _paths, _slopes_exchanged, _mask, _one_of_several, _summed_too_far, _term]


# %% Wrong shapes
def explain_shape(e):
    """(kind, name, text) for a gradient whose shape isn't its array's."""
    got = e.grads[0].shape
    text = f"has shape {got} where {e.name} has {e.x.shape}"
    numeric = e.shaped(e.numeric)
    grads = np.stack(e.grads)

    def fits(candidate):
        return e.fits(e.numeric, candidate.reshape(e.numeric.shape))

    if len(got) == e.x.ndim:
        for order in permutations(range(len(got))):
            turned = grads.transpose(0, *(a + 1 for a in order))
            if turned.shape == numeric.shape and fits(turned):
                return "transposed", e.name, f"{text}: transposed"
    for count in range(1, len(got) + 1):
        for axes in combinations(range(len(got)), count):
            summed = grads.sum(axis=tuple(a + 1 for a in axes))
            if summed.size == numeric.size and fits(summed):
                where = " and ".join(map(str, axes))
                return "not summed", e.name, f"{text}: not summed over axis {where}, along which {e.name} was broadcast"
    for j, other in e.measured.items():
        if j != e.i and e.arrays[j].shape == got:
            theirs = e.flat_dys @ other.jacobian
            if np.allclose(grads.reshape(theirs.shape), theirs, rtol=FIT, atol=FIT * np.abs(theirs).max(initial=0.0)):
                return "swapped", e.name, f"{text}: two gradients are swapped, this is d{e.names[j]}"
    if grads.size == numeric.size and fits(grads):
        return "shape", e.name, f"{text}: the numbers are right, reshape them"
    return "shape", e.name, f"{text}; no known kind of mistake explains it"
