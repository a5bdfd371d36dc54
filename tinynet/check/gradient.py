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
          worst entry dx[2]: analytic 1.92127, numeric 3.84254, ratio 0.5
"""


import numpy as np

from tinynet.check.cut import look_at_smaller_arrays
from tinynet.check.diagnosis import explain, explain_shape
from tinynet.check.evidence import LARGE, SMALL, Evidence, Place
from tinynet.check.habits import copies, look_at_habits
from tinynet.check.numeric import Moves, climb, measure
from tinynet.check.pair import NotAnArray, floating, pair_of, parameters_of
from tinynet.check.report import Problem, Report
from tinynet.check.rounding import roughness, wobble

LARGEST = 40_000_000    # entries of a Jacobian: 320 MB
RTOL_SINGLE = 1e-4     # for a forward in float32
NEAR_OVERFLOW = 1e300   # gradients of the checker's own large upstream stay below
ROWS_DIFFER = 1e3       # rows of the Jacobian whose sizes differ more get an upstream of their own


def gradcheck(function, *inputs, **settings):
    """Compare a backward with the measured derivative of its forward, on these inputs in float64.

    gradcheck(forward, backward, *inputs, **settings)   a pair on arrays:
        forward(*inputs, **settings) -> y, cache;  backward(dy, cache) -> one gradient per input
    gradcheck(op, *inputs, **settings)                  an Op
    gradcheck(function, *inputs, **settings)            any function of tensors that returns a tensor,
                                                        or a Module: its parameters are checked too

    An input is an array, or a dictionary or list of arrays, whose gradient has the same form.
    Every entry of every floating input is moved, so choose small inputs (a few hundred entries),
    with sizes that differ from each other: then a mistake has one explanation.  Arrays of
    integers or booleans and None are passed over; an input for which backward returns None must have no influence.
    An entry that can't be moved, or where y jumps, is noted by name; where no entry of an input can be measured the
    verdict is "unchecked", which is not right.

    data       names of floating inputs that are data: no gradient of them is compared; backward may leave them out
    tolerance  relative, for a forward that iterates until it is right to so many digits (1e-6, say)
    Both are settings of the forward instead, where it has parameters of these names.

    Several random upstream gradients, of several sizes, must each give the measured gradient within fixed
    tolerances; further, backward run twice must give the same bits, also after another forward, a zero upstream
    exactly zero, an upstream in another memory layout (strided, Fortran-ordered, read-only, stride 0) the same
    gradient, and neither inputs, upstream, y nor returned gradients may be changed.  The same arrays cut down to
    one entry along an axis, and to none, should do as well wherever forward takes them: a block of ours is
    rejected otherwise, for other pairs the report has a note.

    Returns a Report; raises what forward or the first run of backward raise, and ValueError when
    an output isn't finite or the arrays are too large to check.
    """
    ours = {}
    for name, default in (("data", ()), ("tolerance", 0.0)):
        taken = any(p.name == name for p in parameters_of(function))
        ours[name] = default if taken else settings.pop(name, default)
    return Check(pair_of(function, inputs, settings), **ours).report()


class Check:
    """One run of gradcheck: the stages in order; a stage that fails ends it where the next needs it."""

    def __init__(self, pair, data=(), tolerance=0.0, seed=0):
        self.pair, self.problems, self.notes, self.rtol = pair, [], [], tolerance
        self.single, self.eps = False, np.finfo(float).eps
        self.largest, self.data = 0.0, {data} if isinstance(data, str) else set(data)
        unknown = self.data - set(pair.names)
        if unknown:
            raise ValueError(f"{pair.name}: data={', '.join(unknown)}, but its inputs are {', '.join(pair.names)}")
        if self.data:
            self.pair = pair._replace(backward=with_none_for(self.data, pair))
        self.before = [None if a is None else a.tobytes() for a in pair.arrays]
        self.y = self.forward()[0]
        if self.y.dtype.kind == "c":
            raise ValueError(f"{pair.name}: y is complex; return its real and imaginary part as one array, "
                             "e.g. np.stack([y.real, y.imag])")
        rng = np.random.default_rng(seed)
        one, two, three = (np.asarray(rng.normal(size=self.y.shape)) for _ in range(3))
        self.upstreams, self.large = [one, two, three, SMALL * one], LARGE

    def report(self):
        y_before = self.y.copy()
        try:
            first = self.gradients(self.upstreams[0])
        except NotAnArray as error:
            self.wrong("count", "", str(error))
            return Report(self.pair.name, self.problems, self.notes)
        kept = copies(first)
        grads = [kept] + [copies(self.gradients(dy)) for dy in self.upstreams[1:]]
        if not all(np.array_equal(g, k, equal_nan=True) for g, k in zip(first, kept, strict=True) if g is not None):
            self.wrong("alias", "", "a gradient changes after backward returned it: return a new array every time")
        self.usable = self.counted(grads)
        if self.usable and self.values(grads, self.usable) and not self.problems:
            look_at_habits(self)
            look_at_smaller_arrays(self)
        if not np.array_equal(self.y, y_before):
            self.wrong("alias", "", "y changes after forward returned it: forward must not keep the array it "
                                     "returns and write to it again")
        return Report(self.pair.name, self.problems, self.notes)

    def wrong(self, kind, name, text):
        if all((p.kind, p.name, p.text) != (kind, name, text) for p in self.problems):
            self.problems.append(Problem(kind, name, text))

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    # ---- running the pair, and watching what it does to arrays that aren't its own
    def forward(self):
        y, cache = self.pair.forward(*self.pair.arrays)
        self._unchanged("forward")
        return y, cache

    def gradients(self, dy, as_it_is=False, meanwhile=None):
        """The gradients for (a copy of) one upstream, with a cache of their own."""
        kept, given = dy.copy(), dy if as_it_is else dy.copy()
        y, cache = self.forward()
        if not np.array_equal(y, self.y):
            self.wrong("random", "", "two runs of forward give different y: fix its seed or pass the random part in")
        if meanwhile:
            meanwhile()
        grads = self.pair.backward(given, cache)
        if not np.array_equal(given, kept):
            self.wrong("changed", "", "backward changes the upstream gradient: work on a copy")
        if not np.array_equal(y, self.y):
            self.wrong("changed", "", "backward changes y, which forward has returned: work on a copy")
        self._unchanged("backward")
        return grads

    def _unchanged(self, who):
        for name, array, before in zip(self.pair.names, self.pair.arrays, self.before, strict=True):
            if array is not None and array.tobytes() != before:
                self.wrong("changed", "", f"{who} changes its input {name}: work on a copy")
                array[...] = np.frombuffer(before, array.dtype).reshape(array.shape)

    # ---- the stages
    def counted(self, grads):
        """Which inputs have a gradient to compare; notes the others."""
        names, arrays = self.pair.names, self.pair.arrays
        got, extra = len(grads[0]), [g for g in grads[0][len(arrays):] if g is not None]
        if got < len(arrays) or (extra and got > self.pair.most):
            wanted, which = [n for n in names if n not in self.data], " that aren't data" if self.data else ""
            self.wrong("count", "", f"backward returns {got} gradients for {len(wanted)} arrays{which} "
                                     f"({', '.join(wanted)}): return one each, in the order of forward, None where "
                                     "there is none")
            return []
        if not any(floating(a) for a in arrays):
            raise ValueError(f"{self.pair.name}: no input holds floating numbers, so there is nothing to "
                             "differentiate; convert one, e.g. x.astype(float)")
        usable = []
        for i, a in enumerate(arrays):
            if not floating(a) or names[i] in self.data:
                continue
            if grads[0][i] is not None:
                usable.append(i)
                continue
            measured = self._measured(i)
            if (np.abs(measured.jacobian) > 8 * measured.error).any():
                self.wrong("count", names[i], "backward returns None, but y depends on this input")
            else:
                self.note(f"backward returns None for {names[i]}, and y doesn't depend on it")
        return usable

    def values(self, grads, usable):
        """Shapes, then dtypes, then values of every usable input; True when all are right."""
        if not usable:
            return False
        cells = max(self.pair.arrays[i].size for i in usable) * self.y.size
        if cells > LARGEST:
            raise ValueError(f"{self.pair.name}: a Jacobian of {cells:,} entries is too large to measure; "
                             "check with smaller arrays (a few hundred entries)")
        if not np.isfinite(self.y).all():
            raise ValueError(f"{self.pair.name}: forward gives NaN or inf on these inputs; choose others")
        self._single()
        measured = {i: self._measured(i) for i in usable}
        self._unchanged("forward")
        self.largest = max((np.abs(m.jacobian).max(initial=0.0) for m in measured.values()), default=0.0)
        self._large_upstream(grads)
        self._balance(grads, measured)
        for i in usable:
            given = [np.asarray(g[i]) for g in grads]
            if given[0].shape != self.pair.arrays[i].shape:
                self.wrong(*explain_shape(Evidence(self, i, measured, given)))
            elif given[0].dtype != np.float64 and not self.single:
                self.wrong("dtype", self.pair.names[i], f"is {given[0].dtype} where dy is float64: keep dy's dtype")
            else:
                self._value(i, measured, given)
        self._remarks(measured)
        return not self.problems

    @np.errstate(over="ignore", invalid="ignore")      # slopes near overflow, where a sum or a square is inf
    def _value(self, i, measured, given):
        """One gradient; where it seems wrong, the slope is measured again and rounding is looked at."""
        evidence = Evidence(self, i, measured, given)
        if not evidence.right().all():
            if not measured[i].exact:
                moves = Moves(self.pair.value, self.pair.arrays, i, self.eps)
                climb(moves, self.y.ravel(), measured[i], np.flatnonzero(evidence.doubtful()))
            evidence = Evidence(self, i, measured, given, wobble(self, i, measured[i].exact))
            if measured[i].exact and evidence.nearly_right():
                evidence.allow_roughness(roughness(self, i))
        if not evidence.right().all():
            self.wrong(*explain(evidence))
            return
        if measured[i].kinks:
            self.note(evidence.kinks_met())
        vague = evidence.vague()
        if len(vague) and not self.single:
            self.note(f"measured roughly, because y is rounded or bends sharply: {evidence.listed(vague)}")

    def _measured(self, i):
        return measure(self.pair.value, self.pair.arrays, i, self.pair.analytic, self.eps)

    @np.errstate(over="ignore")
    def _single(self):
        """Is forward computed in float32?  Then differences tell less, and gradients may be float32."""
        self.single = self.y.size > 0 and (self.y.dtype == np.float32 or (
            bool(np.any(self.y)) and np.array_equal(self.y, self.y.astype(np.float32))
            and self._rounds_to_single()))
        self.eps = np.finfo(np.float32 if self.single else float).eps
        if self.single:
            self.rtol = max(self.rtol, RTOL_SINGLE)
            self.note("forward computes in float32, so only about 4 digits are compared; keep the dtype of the input")

    def _rounds_to_single(self):
        """Does y of slightly larger inputs still fit float32?"""
        try:
            y = self.pair.value(*(a * (1 + 1e-3 * np.sqrt(2)) if floating(a) else a for a in self.pair.arrays))
        except Exception:
            return False
        long = np.any(np.frexp(y)[0] * 2 ** 14 % 1)         # not whole numbers or the like, which fit anyway
        return bool(long and (y != self.y).any()) and np.array_equal(y, np.asarray(y, np.float32))

    def _large_upstream(self, grads):
        """The first upstream times a million, or times less where the gradient would come near overflow.
        Where the right gradient would overflow for the others already, all are made smaller."""
        dy = max(np.abs(dy).max(initial=0.0) for dy in self.upstreams) * max(self.y.size, 1)
        room = 2.0 ** np.floor(np.log2(NEAR_OVERFLOW / max(self.largest, 1.0) / max(dy, 1.0)))
        if self.largest > np.finfo(float).max / max(dy, 1.0):
            self.upstreams = [np.asarray(room * dy) for dy in self.upstreams]
            grads[:] = [copies(self.gradients(dy)) for dy in self.upstreams]
        self.large = max(1.0, min(LARGE, room))
        self._another_upstream(self.large * self.upstreams[0], grads)

    def _another_upstream(self, dy, grads):
        self.upstreams.append(np.asarray(dy))
        grads.append(copies(self.gradients(self.upstreams[-1])))

    def _balance(self, grads, measured):
        """Where y's entries have slopes of very different sizes, an upstream that makes the small ones count."""
        sizes = np.zeros(self.y.size)
        for m in measured.values():
            size = np.abs(m.jacobian)               # of differences, what may be rounding doesn't count
            rounding = np.maximum(8 * m.error, 1e-12 * size.max(axis=0, initial=0.0))
            sure = size * (m.exact | (size > rounding))
            sizes = np.maximum(sizes, sure.max(axis=1, initial=0.0))
        sizes[sizes == 0] = np.inf
        smallest, largest = sizes.min(initial=np.inf), sizes[np.isfinite(sizes)].max(initial=0.0)
        if not largest / ROWS_DIFFER > smallest:
            return
        dy = np.random.default_rng(1).normal(size=self.y.shape) * smallest / sizes.reshape(self.y.shape)
        self._another_upstream(dy, grads)

    def _remarks(self, measured):
        """What couldn't be checked, by name: a note on single entries, no verdict on an array without any other."""
        for i, m in measured.items():
            place = Place(self.pair.names[i], self.pair.arrays[i].shape)
            for why in dict.fromkeys(m.unmeasured.values()):
                these = [entry for entry in m.unmeasured if m.unmeasured[entry] == why]
                if len(m.unmeasured) < m.jacobian.shape[1]:
                    self.note(f"not checked: {place.listed(these)}: {why}")
                else:
                    which = "" if len(these) == m.jacobian.shape[1] else f" at {place.listed(these)}"
                    self.wrong("unchecked", place.name, f"could not be checked{which}: {why}; choose other inputs, or "
                                                        f"say data={place.name!r}")
            if m.jacobian.size and not m.jacobian.any() and not m.unmeasured:
                self.note(f"all slopes of y in {place.name} are 0 on these inputs: choose others")


def with_none_for(data, pair):
    """The pair's backward, with None in the places of the data where it returns the gradients of the others alone."""
    def backward(dy, cache):
        grads = pair.backward(dy, cache)
        if len(grads) != len(pair.names) - len(data):
            return grads
        others = iter(grads)
        return [None if name in data else next(others) for name in pair.names]
    return backward
