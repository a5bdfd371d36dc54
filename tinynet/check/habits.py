"""What a backward must keep to beside the values of its gradients."""

import numpy as np

from tinynet.check.rounding import wobble


def look_at_habits(check):
    """Tell `check` what is wrong: runs that aren't repeatable, a cache that isn't kept, a zero that isn't zero,
    a memory layout that matters."""
    dy = check.upstreams[0]
    y, cache = check.forward()
    _same(check, "repeat", "backward run twice on one cache gives two different gradients: it changes its cache",
          lambda: check.pair.backward(dy, cache), lambda: check.pair.backward(dy, cache), exactly=True)
    zero = [g for g in check.gradients(np.zeros(y.shape)) if g is not None]
    if any(np.any(g) for g in zero):        # NaN counts as not zero, too
        check.wrong("zero upstream", "", "an upstream of zeros gives a gradient that isn't exactly zero")
    _same(check, "overwritten cache", "forward writes to the cache that an earlier forward returned: in a net that "
          "uses this twice the gradient is wrong; make a new cache every time",
          lambda: check.gradients(dy), lambda: check.gradients(dy, meanwhile=lambda: _another_forward(check)))
    for layout, given in _layouts(dy):
        plain = np.ascontiguousarray(given).reshape(dy.shape)
        _same(check, "layout", f"backward gives another result when the upstream is {layout}: don't count on its "
              "memory layout", lambda p=plain: check.gradients(p),
              lambda g=given: check.gradients(g, as_it_is=True))


def _another_forward(check):
    """Run forward on other numbers: a cache that is shared shows that."""
    for factor in (0.75, 1.001):
        others = [a * factor if a is not None and a.dtype.kind == "f" else a for a in check.pair.arrays]
        try:
            with np.errstate(all="ignore"):
                check.pair.forward(*others)
            return
        except Exception:       # these numbers lie outside its domain
            continue


def _same(check, kind, text, one, other, exactly=False):
    """Both give the same gradients, or `check` is told."""
    try:
        pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(copies(one()), other(), strict=True)
                 if not (a is None and b is None)]
        largest = max((np.abs(a).max(initial=0.0) for a, _ in pairs), default=0.0)
        slack = 0.0 if exactly else 1e-10 * largest     # of all: one of them may be zero but for rounding
        same = all(_equal(a, b, slack) for a, b in pairs)
        if not same and not exactly:
            slack += 64 * max((wobble(check, i).gradient.max(initial=0.0) for i in check.usable), default=0.0)
            same = all(_equal(a, b, slack) for a, b in pairs)
    except Exception as error:
        check.wrong(kind, "", f"{text} ({type(error).__name__}: {error})")
    else:
        if not same:
            check.wrong(kind, "", text)


def copies(grads):
    return [None if g is None else np.array(g) for g in grads]


def _equal(a, b, slack):
    if not slack:
        return np.array_equal(a, b)
    return a.shape == b.shape and bool((np.abs(a - b) <= slack).all())


def _layouts(dy):
    """The upstream's values in other memory layouts, and a constant upstream of stride 0."""
    frozen = dy.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    if dy.ndim:
        spread = np.zeros(tuple(2 * n for n in dy.shape))[tuple(slice(None, None, 2) for _ in dy.shape)]
        spread[...] = dy
        yield "strided", spread
        yield "Fortran-ordered", np.asfortranarray(dy)
        yield "a broadcast number (stride 0)", np.broadcast_to(np.abs(dy).max(initial=0.0), dy.shape)
