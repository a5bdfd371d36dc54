"""What kind of mistake is it?  Each test asks whether one explanation fits every entry, for
every upstream; the first that fits is named, from the most specific to the most general.
Where none fits, none is named.
"""

from itertools import chain, combinations, permutations

import numpy as np

from tinynet.check.evidence import FIT
from tinynet.check.mistakes import AFTER_RECIPES, BEFORE_RECIPES, IN_ONE_SLICE, named_factor
from tinynet.check.recipes.search import RECIPES, alternatives

KINDS = {
    "count": "not one gradient per array",
    "shape": "the gradient has another shape than its array",
    "dtype": "the gradient has another dtype than its array, or was computed in a smaller one",
    "not finite": "NaN or inf in the gradient",
    "zero": "all zero",
    "upstream ignored": "the upstream gradient is not used",
    "nonlinear": "not linear in the upstream gradient",
    "sign": "sign flipped",
    "factor": "off by a constant factor",
    "swapped": "two gradients swapped",
    "transposed": "transposed",
    "not summed": "not summed over a broadcast or batch axis, or overwritten where it should be accumulated",
    "summed too far": "summed over an axis along which the array has entries of its own",
    "identity": "the identity path is missing",
    "skipped": "a function's backward is skipped, as if its derivative were 1",
    "input for output": "a derivative takes its input where its output belongs, or the other way round",
    "softmax diagonal": "only the diagonal of the softmax Jacobian",
    "softmax off-diagonal": "only the off-diagonal part of the softmax Jacobian",
    "softmax axis": "the softmax's sum runs over the wrong axis",
    "softmax": "another mistake in the softmax's backward",
    "p - t": "the gradient of softmax and cross-entropy together, where that of the softmax alone belongs",
    "term": "one of several additive terms is missing",
    "mask": "a mask or threshold is on the wrong side, or forgotten",
    "random": "forward isn't repeatable",
    "repeat": "backward changes its cache",
    "overwritten cache": "the next forward overwrites the cache",
    "zero upstream": "a zero upstream doesn't give exactly zero",
    "layout": "depends on the upstream's memory layout",
    "size": "right on these arrays, wrong on empty or size-1 ones",
    "changed": "changes an array that isn't its own",
    "alias": "a returned array is written to later",
    "unchecked": "no entry of an input could be measured",
}


def explain(evidence):
    """(kind or None, name, text) for a gradient of the right shape with wrong values."""
    kind, sentence = _explained(evidence) or (None, "wrong, and no known kind of mistake fits all entries")
    return kind, evidence.name, f"{sentence}\n      {evidence.worst()}"


def _explained(evidence):
    for e in [evidence] if evidence.smooth.any() else evidence.on_each_side():
        tests = (*BEFORE_RECIPES, _recipes, _in_one_slice, *AFTER_RECIPES)
        found = next(filter(None, (test(e) for test in tests)), None)
        if found:
            return found
    return None


def _in_one_slice(e):
    """A mistake of one hinge, one step, one head, one gate alone."""
    wrong = (~e.right()).any(axis=0).reshape(e.x.shape)
    for axis, n in enumerate(e.x.shape):
        along = wrong.any(axis=tuple(a for a in range(wrong.ndim) if a != axis))
        for size in [1, *(n // parts for parts in (4, 3, 2) if n % parts == 0 and n > parts)]:
            where = np.flatnonzero(along.reshape(-1, size).any(axis=1))
            if n < 2 or len(where) != 1:
                continue
            first = int(where[0]) * size
            here = np.zeros(e.x.shape, bool)
            here[(slice(None),) * axis + (slice(first, first + size),)] = True
            part = e.part(here.ravel())
            found = part.smooth.sum() > 1 and next(filter(None, (test(part) for test in IN_ONE_SLICE)), None)
            if found:
                which = f"{first}" if size == 1 else f"{first} to {first + size - 1}"
                return found[0], f"in the entries {which} along axis {axis} alone: {found[1]}"
    return None


# %% Recipes: our blocks, written with the spots where mistakes are made
def _recipes(e):
    """One mistake at one spot of our block of this name, or of a block that computes the same."""
    with np.errstate(all="ignore"):
        return _of_one_spot(e)


def _of_one_spot(e):
    for spots, kind, sentence, wrong in _mistaken(e):
        wrong = wrong.reshape(e.numeric.shape)
        lost = e.numeric - wrong
        if e.fits(e.numeric, wrong):
            continue            # nothing flows there
        if e.fits(wrong):
            return kind, sentence
        if spots:               # closed paths: perhaps they count, but with a wrong factor
            c = float(((e.analytic - wrong) * lost)[:, e.smooth].sum() / (lost * lost)[:, e.smooth].sum())
            if abs(c) > FIT and e.fits(wrong + c * lost):
                paths = " and ".join(spots)
                return ("sign", f"one term has the wrong sign: {paths}") if abs(c + 1) < FIT else (
                    "factor", f"one term is off by a constant factor: {paths} counts {named_factor(c, e)}")
    return None


def _mistaken(e):
    """The mistakes of the block that computes the same: that of this name first, then all others, and those again
    with weights that stand the other way round (x W in place of x W')."""
    names = [e.block] * (e.block in RECIPES) + [name for name in RECIPES if name != e.block]
    tries = [(name, e.arrays, e.settings, turned) for turned in _turned(e.arrays) for name in names]
    tries += [(name, [e.x, labels], dict(reduction=reduction), ()) for labels, reduction in _hidden_labels(e)
              for name in ("cross_entropy", "cross_entropy_of_a_softmax")]
    found = []
    for name, arrays, settings, turned in tries:
        try:
            full, mistaken = alternatives(name, arrays, settings, e.i, e.dys, turned)
        except Exception:       # other arrays or settings than this block takes: whatever NumPy says to that
            continue
        if full.shape[1:] == e.x.shape and e.fits(e.numeric, full.reshape(e.numeric.shape)):
            found.append(mistaken)
            if len(found) == 2:         # a second way to write the same
                break
    return chain(*found)


def _hidden_labels(e):
    """[(labels, reduction)] where y is the cross-entropy of x's rows with labels that its author left inside."""
    if len(e.arrays) > 1 or e.x.ndim != 2 or e.y.shape not in ((), e.x.shape[:1]):
        return
    p = np.exp(e.x - e.x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    slopes = e.jacobian.sum(axis=0).reshape(e.x.shape)
    kinds = ("none",) if e.y.ndim else ("mean", "sum")
    for reduction in kinds:
        t = p - slopes * (len(p) if reduction == "mean" else 1)
        if np.allclose(t, t.round(), atol=1e-6) and (t.round().sum(axis=1) == 1).all() and t.min() > -0.5:
            yield t.argmax(axis=1), reduction


def _turned(arrays):
    """No matrix, or some that follow each other."""
    matrices = [j for j, a in enumerate(arrays) if a is not None and a.ndim == 2 and a.dtype.kind == "f"]
    return [set(), *(set(matrices[start:end]) for end in range(len(matrices), 0, -1) for start in range(end))]


# %% Wrong shapes
def explain_shape(e):
    """(kind, name, text) for a gradient whose shape isn't its array's."""
    got = e.grads[0].shape
    text = f"has shape {got} where {e.name} has {e.x.shape}"
    if not np.isfinite(e.grads).all():
        return "not finite", e.name, f"{text}, and there is NaN or inf in it"
    kind, why = _explained_shape(e, got, e.shaped(e.numeric), np.stack(e.grads))
    return kind, e.name, text + why


def _explained_shape(e, got, numeric, grads):
    def fits(candidate):
        return candidate.size == numeric.size and e.fits(e.numeric, candidate.reshape(e.numeric.shape))

    if len(got) == e.x.ndim:
        for order in permutations(range(len(got))):
            turned = grads.transpose(0, *(a + 1 for a in order))
            if turned.shape == numeric.shape and fits(turned):
                return "transposed", ": transposed"
    if [n for n in got if n != 1] == [n for n in e.x.shape if n != 1] and fits(grads):
        more = "an axis of size 1 too many, as keepdims=True leaves it" if len(got) > e.x.ndim else \
               "an axis of size 1 too few, as keepdims=True or reshape would leave it"
        return "shape", f": the numbers are right; {more}"
    for count in range(1, len(got) + 1):
        for axes in combinations(range(len(got)), count):
            if fits(grads.sum(axis=tuple(a + 1 for a in axes))):
                where = " and ".join(map(str, axes))
                return "not summed", f": not summed over axis {where}, along which {e.name} was broadcast"
    if _summed_too_far(e, numeric, grads):
        return "summed too far", f": summed over axes along which {e.name} has entries of its own"
    for j, other in e.measured.items():
        if j != e.i and e.arrays[j].shape == got:
            theirs = e.flat_dys @ other.jacobian
            if np.allclose(grads.reshape(theirs.shape), theirs, rtol=FIT, atol=FIT * np.abs(theirs).max(initial=0.0)):
                return "swapped", f": two gradients are swapped, this is d{e.names[j]}"
    if fits(grads):
        return "shape", ": the numbers are right, reshape them"
    return "shape", "; no known kind of mistake explains it"


def _summed_too_far(e, numeric, grads):
    """Are these the right gradients, summed or averaged over some of the array's axes?"""
    for count in range(1, e.x.ndim + 1):
        for axes in combinations(range(1, e.x.ndim + 1), count):
            for total in (numeric.sum(axis=axes), numeric.mean(axis=axes)):
                slack = FIT * e.terms.max(axis=1).reshape(-1, *(1,) * (total.ndim - 1)) * numeric[0].size
                if total.size == grads.size and (np.abs(total - grads.reshape(total.shape)) <= slack).all():
                    return True
    return False
