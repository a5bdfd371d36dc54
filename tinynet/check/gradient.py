"""gradcheck: is this backward the derivative of this forward, and if not, what is wrong with it?

    >>> import numpy as np
    >>> from tinynet.check import gradcheck
    >>> def square_forward(x):
    ...     return x * x, x
    >>> def square_backward(dy, x):
    ...     return dy * x
    >>> print(gradcheck(square_forward, square_backward, np.array([1.0, 2.0, 3.0])))
    square: WRONG
      dx: off by a constant factor: every entry is 1/2 times what it should be
          worst entry dx[2]: analytic -2.11121, numeric -4.22241, ratio 0.5
"""

import warnings

import numpy as np

from tinynet.check.diagnosis import explain, explain_shape
from tinynet.check.evidence import Evidence
from tinynet.check.numeric import measure
from tinynet.check.pair import floating, pair_of
from tinynet.check.report import Problem, Report

UPSTREAMS = 4       # random ones, so that no single lucky direction decides
LARGEST = 40_000_000    # entries of a Jacobian: 320 MB


# %% The check
def gradcheck(function, *inputs, **settings):
    """Compare a backward with the measured derivative of its forward, on these inputs in float64.

    gradcheck(forward, backward, *arrays, **settings)   a pair on arrays:
        forward(*arrays, **settings) -> y, cache;  backward(dy, cache) -> one gradient per array
    gradcheck(op, *inputs, **settings)                  an Op
    gradcheck(function, *inputs, **settings)            any function of tensors that returns a tensor,
                                                        or a Module: its parameters are checked too

    Every entry of every floating input is moved, so choose small inputs (a few hundred entries),
    with sizes that differ from each other: then a mistake has one explanation.  Arrays of
    integers or booleans and None are passed over; an input for which backward returns None must have no influence.
    Several random upstream gradients must each give the measured gradient within fixed tolerances;
    further, backward run twice must give the same bits, a zero upstream exactly zero, an upstream
    in another memory layout (strided, Fortran-ordered, read-only, stride 0) the same gradient, and
    neither inputs, upstream, y nor returned gradients may be changed.  The same arrays cut down to
    one entry along every axis, and to none, must do as well wherever forward takes them.

    Returns a Report; raises what forward or the first run of backward raise, and ValueError when
    an output isn't finite or the arrays are too large to check.
    """
    return Check(pair_of(function, inputs, settings)).report()


class Check:
    """One run of gradcheck: the stages in order; a stage that fails ends it where the next needs it."""

    def __init__(self, pair, seed=0):
        self.pair, self.problems, self.notes = pair, [], []
        self.before = [None if a is None else a.tobytes() for a in pair.arrays]
        self.y = self._forward()[0]
        rng = np.random.default_rng(seed)
        self.upstreams = [np.asarray(rng.normal(size=self.y.shape)) for _ in range(UPSTREAMS)]

    def report(self):
        y_before = self.y.copy()
        first = self._backward(self.upstreams[0])
        kept = _copies(first)
        grads = [kept] + [_copies(self._backward(dy)) for dy in self.upstreams[1:]]
        if not all(np.array_equal(g, k) for g, k in zip(first, kept, strict=True) if g is not None):
            self._wrong("alias", "", "a gradient changes after backward returned it: return a new array every time")
        usable = self._counted(grads)
        if usable and self._values(grads, usable) and not self.problems:
            self._habits()
            self._smaller()
        if not np.array_equal(self.y, y_before):
            self._wrong("alias", "", "y changes after forward returned it: forward must not keep the array it "
                                     "returns and write to it again")
        return Report(self.pair.name, self.problems, self.notes)

    def _wrong(self, kind, name, text):
        if all((p.kind, p.name, p.text) != (kind, name, text) for p in self.problems):
            self.problems.append(Problem(kind, name, text))

    # ---- running the pair, and watching what it does to arrays that aren't its own
    def _forward(self):
        y, cache = _two(self.pair.forward(*self.pair.arrays), self.pair.name)
        self._unchanged("forward")
        return np.asarray(y), cache

    def _backward(self, dy, as_it_is=False):
        """The gradients for (a copy of) one upstream, with a cache of their own."""
        kept, given = dy.copy(), dy if as_it_is else dy.copy()
        y, cache = self._forward()
        if not np.array_equal(y, self.y):
            self._wrong("random", "", "two runs of forward give different y: fix its seed or pass the random part in")
        grads = self._as_tuple(self.pair.backward(given, cache))
        if not np.array_equal(given, kept):
            self._wrong("changed", "", "backward changes the upstream gradient: work on a copy")
        if not np.array_equal(y, self.y):
            self._wrong("changed", "", "backward changes y, which forward has returned: work on a copy")
        self._unchanged("backward")
        return grads

    def _unchanged(self, who):
        for name, array, before in zip(self.pair.names, self.pair.arrays, self.before, strict=True):
            if array is not None and array.tobytes() != before:
                self._wrong("changed", "", f"{who} changes its input {name}: work on a copy")
                array[...] = np.frombuffer(before, array.dtype).reshape(array.shape)

    # ---- the stages
    def _counted(self, grads):
        """Which inputs have a gradient to compare; notes the others."""
        names, arrays = self.pair.names, self.pair.arrays
        got, extra = len(grads[0]), [g for g in grads[0][len(arrays):] if g is not None]
        if got < len(arrays) or (extra and got > self.pair.most):
            self._wrong("count", "", f"backward returns {got} gradients for {len(arrays)} arrays ({', '.join(names)}): "
                                     "return one each, in the order of forward, None where there is none")
            return []
        usable = [i for i, a in enumerate(arrays) if floating(a) and grads[0][i] is not None]
        if not any(floating(a) for a in arrays):
            raise ValueError(f"{self.pair.name}: no input holds floating numbers, so there is nothing to "
                             "differentiate; convert one, e.g. x.astype(float)")
        for i, a in enumerate(arrays):
            if floating(a) and grads[0][i] is None:
                measured = self._measured(i)
                if measured and measured.jacobian.any():
                    self._wrong("count", names[i], "backward returns None, but y depends on this input")
                elif measured:
                    self.notes.append(f"backward returns None for {names[i]}, and y doesn't depend on it")
        return usable

    def _values(self, grads, usable):
        """Shapes, then dtypes, then values of every usable input; True when all are right."""
        cells = max(self.pair.arrays[i].size for i in usable) * self.y.size
        if cells > LARGEST:
            raise ValueError(f"{self.pair.name}: a Jacobian of {cells:,} entries is too large to measure; "
                             "check with smaller arrays (a few hundred entries)")
        if not np.isfinite(self.y).all():
            raise ValueError(f"{self.pair.name}: forward gives NaN or inf on these inputs; choose others")
        measured = {i: m for i in usable if (m := self._measured(i))}
        self._unchanged("forward")
        for i in measured:
            evidence = Evidence(self, i, measured, [np.asarray(g[i]) for g in grads])
            shape, dtype = evidence.grads[0].shape, evidence.grads[0].dtype
            if shape != evidence.x.shape:
                self._wrong(*explain_shape(evidence))
            elif dtype != np.float64:
                self._wrong("dtype", evidence.name, f"is {dtype} where dy is float64: keep dy's dtype")
            elif not evidence.right().all():
                self._wrong(*explain(evidence))
            elif measured[i].kinks:
                self.notes.append(evidence.kinks_met())
        return not self.problems

    def _measured(self, i):
        """The derivative for input i, or None where it can't be moved: a target of 1 that must be in 0..1."""
        try:
            return measure(self.pair.value, self.pair.arrays, i, self.pair.analytic)
        except ValueError as error:
            self.notes.append(f"not checked: {self.pair.names[i]}, which forward refuses when it is moved ({error})")
            return None

    def _habits(self):
        """What a backward must keep to beside the values."""
        y, cache = self._forward()
        dy = self.upstreams[0]
        self._same("repeat", "backward run twice on one cache gives two different gradients: it changes its cache",
                   lambda: self.pair.backward(dy, cache), lambda: self.pair.backward(dy, cache), exactly=True)
        zero = [g for g in self._backward(np.zeros(y.shape)) if g is not None]
        if any(np.any(g) for g in map(np.asarray, zero)):       # NaN counts as not zero, too
            self._wrong("zero upstream", "", "an upstream of zeros gives a gradient that isn't exactly zero")
        for layout, given in _layouts(dy):
            plain = np.ascontiguousarray(given).reshape(dy.shape)
            self._same("layout", f"backward gives another result when the upstream is {layout}: "
                       "don't count on its memory layout", lambda p=plain: self._backward(p),
                       lambda g=given: self._backward(g, as_it_is=True))

    def _smaller(self):
        """The gradients on one entry of every axis, and on none; forward may refuse such arrays."""
        for size, what in ((1, "size-1"), (0, "empty")):
            arrays = [None if a is None else np.array(a[(slice(size),) * a.ndim]) for a in self.pair.arrays]
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                try:
                    smaller = Check(self.pair._replace(arrays=arrays))
                except Exception:       # it needs more: that is its right
                    continue
                if not np.isfinite(smaller.y).all():
                    continue
                try:
                    grads = [_copies(smaller._backward(dy)) for dy in smaller.upstreams]
                    smaller._values(grads, smaller._counted(grads))
                except Exception as error:
                    smaller._wrong("size", "", f"backward fails ({type(error).__name__}: {error})")
            for p in smaller.problems:
                self._wrong("size", p.name, f"on {what} arrays, which forward takes: {p.text}")

    def _same(self, kind, text, one, other, exactly=False):
        try:
            pairs = list(zip(_copies(self._as_tuple(one())), self._as_tuple(other()), strict=True))
            largest = max((np.abs(a).max(initial=0.0) for a, _ in pairs if a is not None), default=0.0)
            slack = 0 if exactly else 1e-10 * largest       # of all: one of them may be zero but for rounding
            same = all((a is None and b is None) or _equal(np.asarray(a), np.asarray(b), slack) for a, b in pairs)
        except Exception as error:
            self._wrong(kind, "", f"{text} ({type(error).__name__}: {error})")
        else:
            if not same:
                self._wrong(kind, "", text)

    @staticmethod
    def _as_tuple(grads):
        return tuple(grads) if isinstance(grads, (tuple, list)) else (grads,)


def _copies(grads):
    return [None if g is None else np.array(g) for g in grads]


def _two(returned, name):
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"{name}: forward must return two things, y and the cache")
    return returned


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
        yield "a broadcast number (stride 0)", np.broadcast_to(1.5, dy.shape)
