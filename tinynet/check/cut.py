"""The same check on the same arrays, cut down to one entry along an axis, and to none.

A mistake that shows there alone is often one of shapes: `squeeze`, a maximum of nothing.  Our own blocks are held
to it.  Another pair may close over arrays that aren't cut along, or need two entries; what shows there is a note.
"""

import warnings

import numpy as np

from tinynet.check.habits import copies

WHAT = {1: "size-1", 0: "empty"}


def look_at_smaller_arrays(check):
    for size, arrays, shape in _ours(check) if check.pair.own else _others(check):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            smaller = _checked(check, arrays, shape)
        for p in smaller.problems if smaller else ():
            text = f"on {WHAT[size]} arrays, which forward takes: {p.text}"
            if check.pair.own:
                check.wrong("size", p.name, text)
            elif p.kind != "unchecked":
                check.note(f"note: {f'd{p.name}: ' if p.name else ''}{text}")


def _checked(check, arrays, shape):
    """The check on these arrays; None where forward refuses them, or gives y another shape than expected."""
    try:
        smaller = type(check)(check.pair._replace(arrays=arrays), check.data, check.rtol)
        if not np.isfinite(smaller.y).all() or shape not in (None, smaller.y.shape):
            return None
    except Exception:           # it needs more: that is its right
        return None
    try:
        grads = [copies(smaller.gradients(dy)) for dy in smaller.upstreams]
        smaller.values(grads, smaller.counted(grads))
    except Exception as error:
        smaller.wrong("size", "", f"backward fails ({type(error).__name__}: {error})")
    return smaller


def _ours(check):
    """Every axis of every array cut to the same size."""
    for size in WHAT:
        yield size, [None if a is None else np.array(a[(slice(size),) * a.ndim]) for a in check.pair.arrays], None


def _others(check):
    """Axes of equal size are cut together, and one of 2, 3 or 4 times another size stays so many times as large
    (gates that share an axis).  An axis of size 1 stays, because it broadcasts.  y must shrink in the same way."""
    sizes = {n for a in (*check.pair.arrays, check.y) if a is not None for n in a.shape if n > 1}
    for size in WHAT:
        cut = {n: size * next((k for k in (4, 3, 2) if n % k == 0 and n // k in sizes), 1) for n in sizes}
        arrays = [None if a is None else np.array(a[tuple(slice(cut.get(n, n)) for n in a.shape)])
                  for a in check.pair.arrays]
        yield size, arrays, tuple(cut.get(n, n) for n in check.y.shape)
