"""Mistakes in a softmax, and in functions that are applied entry by entry."""

import numpy as np


# %% A softmax
def softmax(e):
    if e.y.shape != e.x.shape or not e.y.size or e.y.min() < 0:
        return None
    for axis in range(e.y.ndim):
        if not np.isclose(e.y.sum(axis=axis), 1).all() or e.y.shape[axis] < 2:
            continue
        for kind, sentence, wrong in softmax_mistakes(e.dys, e.y, e.x, axis):
            if e.fits(wrong):
                return kind, sentence
    return None


def softmax_mistakes(dy, p, x, axis):
    """(kind, sentence, wrong gradient) of p = softmax(x); dy may have one more leading axis."""
    axis = axis - p.ndim                                        # the same in both, counted from the end
    inner = (p * dy).sum(axis=axis, keepdims=True)
    diagonal, off = "only the diagonal of the softmax Jacobian", "only the off-diagonal part of the softmax Jacobian"
    yield "softmax diagonal", f"{diagonal}: the term -p (p . dy) is missing", p * dy
    yield "softmax diagonal", f"{diagonal}: it is p (1 - p) dy", p * (1 - p) * dy
    yield "softmax off-diagonal", f"{off}: the term p dy is missing", -p * inner
    yield "softmax off-diagonal", f"{off}: its diagonal p (1 - p) dy is missing", -p * (inner - p * dy)
    yield "sign", "the term p (p . dy) has the wrong sign", p * (dy + inner)
    yield "skipped", "the softmax's backward is skipped: this is dy itself", dy + 0 * p
    for c, what in ((1, "p - dy"), (-1, "dy - p")):
        yield "p - t", (f"{what} is the gradient of softmax and cross-entropy together (p - t), where the softmax "
                        "alone has p (dy - p . dy)"), c * (p - dy)
    for other in range(-p.ndim, 0):
        if other != axis and p.shape[other] > 1:
            yield "softmax axis", (f"the sum p . dy of the softmax runs over axis {other + p.ndim}, where the softmax "
                                   f"is taken over axis {axis + p.ndim}"), (
                p * (dy - (p * dy).sum(axis=other, keepdims=True)))
    if p.ndim > 1:
        everything = (p * dy).sum(axis=tuple(range(-p.ndim, 0)), keepdims=True)
        yield "softmax axis", "the sum p . dy of the softmax runs over all axes", p * (dy - everything)
    yield "softmax", "the factor p in front of the softmax's backward is missing", dy - inner
    yield "softmax", "the softmax's sum is of dy alone, where it must be p . dy", p * (dy - dy.sum(axis, keepdims=True))
    yield "input for output", "the softmax's input stands where its output p belongs", (
        x * (dy - (x * dy).sum(axis=axis, keepdims=True)))


# %% Entry by entry
OF_OUTPUT = {           # slopes written with the output y
    "1 - y^2": lambda y: 1 - y * y, "y (1 - y)": lambda y: y * (1 - y), "y": lambda y: y,
    "1 / (2 y)": lambda y: 0.5 / y, "-y^2": lambda y: -y * y, "1 - e^-y": lambda y: 1 - np.exp(-y),
    "1 + y^2": lambda y: 1 + y * y}


def _slopes(e):
    """(analytic, numeric) slopes of a function that is applied entry by entry, or None where it isn't one."""
    if e.x.shape != e.y.shape or not e.x.size or (e.jacobian - np.diag(np.diag(e.jacobian))).any():
        return None
    return e.analytic / e.flat_dys, e.numeric / e.flat_dys


def input_for_output(e):
    if e.x.shape != e.y.shape:
        return None
    x, y = e.x.ravel(), e.y.ravel()
    with np.errstate(all="ignore"):
        slopes = _slopes(e)
        if slopes is None:
            return None
        for formula, slope in OF_OUTPUT.items():
            if e.fits(e.numeric, e.flat_dys * slope(y)) and e.fits(e.flat_dys * slope(x)):
                return "input for output", f"the slope {formula} is written with the input x where the output y belongs"
        at_y = e.slopes_at(y)
    if at_y is not None and e.fits(e.flat_dys * at_y):
        return "input for output", "the slope is taken at the output y, where it belongs to the input x"
    return None


def mask_of_slopes(e):
    """Two slopes, each where the other belongs: a leaky ReLU with its threshold the wrong way round."""
    with np.errstate(all="ignore"):
        slopes = _slopes(e)
    if slopes is None:
        return None
    does, should = (s[:, e.smooth] for s in slopes)
    if not should.size or not np.isfinite(should).all() or not np.isfinite(does).all():
        return None
    low, high = should.min() + 0, should.max() + 0      # -0.0 becomes 0.0
    if low < high and np.allclose(should + does, low + high) and np.allclose(np.minimum(should, does), low):
        return "mask", f"a threshold is on the wrong side: the slopes {low:.4g} and {high:.4g} are exchanged"
    return None


def mask(e):
    wrong = ~e.right() & e.smooth
    passed, blocked = wrong & (np.abs(e.numeric) <= e.allowed), wrong & (np.abs(e.analytic) <= e.allowed)
    if (wrong & ~passed & ~blocked).any() or not (passed.any() or blocked.any()):
        return None
    let_through, held = int(passed.any(axis=0).sum()), int(blocked.any(axis=0).sum())
    if not held:
        return "mask", (f"a mask or threshold is forgotten: of {e.x.size} entries, {let_through} let a gradient "
                        "through where it is zero")
    if not let_through:
        return "mask", f"a mask or threshold blocks too much: {held} of {e.x.size} entries get no gradient, but should"
    return "mask", (f"a mask or threshold is on the wrong side: of {e.x.size} entries, {let_through} let a gradient "
                    f"through where it is zero, and {held} block it where it isn't")


SLOPES = {              # of what may stand in front of a layer, entry by entry
    "tanh": lambda x: 1 - np.tanh(x) ** 2, "sigmoid": lambda x: 1 / (2 + np.exp(x) + np.exp(-x)), "sine": np.cos,
    "exponential": np.exp}


def factor_of_each_entry(e):
    """Right once each entry is multiplied by a number of its own: a mask, or the slope of a function in front."""
    a, n = e.analytic, e.numeric
    if e.x.size < 3 or not a[:, e.smooth].any(axis=0).all():
        return None
    with np.errstate(all="ignore"):
        factors = (a * n).sum(axis=0) / (a * a).sum(axis=0)
        if not np.isfinite(factors[e.smooth]).all() or not e.fits(n, a * np.where(e.smooth, factors, 0)):
            return None
        f, x = factors[e.smooth], e.x.ravel()[e.smooth]
        for name, slope in SLOPES.items():
            if np.allclose(f, slope(x), rtol=1e-5, atol=1e-9):
                return "skipped", f"the derivative of a {name} of {e.name} is skipped, as if it were 1"
        on = np.abs(f) > 1e-9 * np.abs(f).max()
        if not on.all() and on.any() and np.allclose(f[on], f[on][0], rtol=1e-6):
            more = "" if np.isclose(f[on][0], 1) else f", and so is its factor {f[on][0]:.6g}"
            return "mask", (f"a mask or threshold is forgotten{more}: of {e.x.size} entries, {np.sum(~on)} let a "
                            "gradient through where it is zero")
    return None


def mask_of_outputs(e):
    """Entries of y that don't depend on any input: right once their upstream is left out."""
    depends = np.any([m.jacobian.any(axis=1) for m in e.measured.values()], axis=0)
    if depends.all() or not depends.any():
        return None
    grads = e.gradients_for(e.dys * depends.reshape(e.y.shape))
    if grads is None or not e.fits(e.numeric, grads):
        return None
    return "mask", (f"a mask or threshold is forgotten: {np.sum(~depends)} of {e.y.size} entries of y don't depend on "
                    "the inputs here, but let their upstream gradient through")


def skipped(e):
    if e.x.shape == e.y.shape and e.fits(e.flat_dys):
        return "skipped", "the backward of the function is skipped: this is dy itself"
    return None
