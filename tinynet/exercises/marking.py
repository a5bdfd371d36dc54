"""The marks of one exercise: each gradient of each case, by shape, by value, and on odd memory layouts.

The points of an exercise are shared among these, in proportion:
    y         2    forward, by cases
    each dX   2    1/4 its shape, 1/2 its values, 1/4 its values for an upstream in another memory layout, by cases
    large     5 %  of these: right on large arrays within 30 times our time (at least 1 s)
    habits    5 %  backward leaves arrays alone and repeats itself; float32 stays float32
The first case, the slide's, counts as much as all the others together.  Right is what our backward gives.
"""

import contextlib
import hashlib
import hmac
import time
from typing import NamedTuple

import numpy as np

from tinynet import cases
from tinynet.exercises import described
from tinynet.exercises.forms import form_of
from tinynet.exercises.sandbox import Gone, Raised
from tinynet.exercises.student import LARGER, close
from tinynet.exercises.words import numerical, sentence

SHAPE, VALUE, LAYOUT, LARGE, HABITS = "shape", "values", "odd layouts", "large arrays", "habits"
SHARES = {SHAPE: 0.25, VALUE: 0.5, LAYOUT: 0.25}
OF_ALL = 0.05               # what LARGE and HABITS count, each, of the rest
ENTRIES = 20_000            # of the largest array of a large case
EXACT = 2e-12               # of the largest entry: differences are never so near, right programs are


class Part(NamedTuple):
    """One row of the table: what was looked at, points of how many, and why not all."""

    exercise: str
    case: str
    name: str
    what: str
    points: float
    of: float
    message: str

    right = property(lambda self: self.points > self.of - 1e-9)


# %% Inputs
class Seeds:
    """Generators for the draws: fixed ones for practice, hidden ones from a secret, the student and the files.

    Another file gets other inputs, so printing hidden inputs and handing them in again is worthless.
    """

    def __init__(self, secret=None, student="", digest=""):
        self.key, self.whose = secret or b"practice", f"{student}\0{digest}" if secret else ""
        self.id = self._digest("which secret", "")[:8] if secret else "practice"

    def _digest(self, what, whose):
        return hmac.new(self.key, f"{whose}\0{what}".encode(), hashlib.sha256).hexdigest()

    def rng(self, *what):
        digest = self._digest("\0".join(map(str, what)), self.whose)
        return np.random.default_rng([int(digest[i:i + 8], 16) for i in range(0, 64, 8)])


class Draw(NamedTuple):
    """Inputs, and what is right for them."""

    arrays: tuple
    settings: dict
    y: np.ndarray
    dy: np.ndarray
    grads: tuple

    @classmethod
    def of(cls, case, rng, sizes, scale=1):
        """A draw whose first floating array is `scale` times larger.  Raises ValueError where y isn't finite."""
        op, arrays, settings = cases.draw(case, rng, **sizes)
        first = next((i for i, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"), None)
        arrays = tuple(scale * a if i == first else a for i, a in enumerate(arrays))
        with np.errstate(all="ignore"):
            y, cache = op.forward(*arrays, **settings)
            dy = np.asarray(rng.normal(size=np.shape(y)))
            grads = as_tuple(op.backward(dy, cache))
        if not all(np.isfinite(a).all() for a in (y, *grads) if a is not None):
            raise ValueError("these inputs are too large for the block")
        return cls(arrays, settings, np.asarray(y), dy, grads)


def variations(case):
    """[(sizes, scale, tells?), ...] of one case.

    Different sizes twice, which tell right from wrong.  The others count only where these are right: random sizes and
    every axis of size 1, where many a gradient is 0, and scores of 1000, where exp may overflow.
    """
    distinct, ones = cases.distinct(case), dict.fromkeys(case.letters, 1)
    return [(distinct, 1, True), (distinct, 1, True), ({}, 1, False), (ones, 1, False), (distinct, LARGER, False)]


def large_sizes(case):
    """Sizes at which the largest array, y included, has at most about ENTRIES entries."""
    most = max((len(axes.split()) for axes in described.letters(case)), default=0)
    size = max(2, round(ENTRIES ** (1 / max(most, 1))))
    while size > 2 and cases.possible(case, **dict.fromkeys(case.letters, size)):
        op, arrays, settings = cases.draw(case, np.random.default_rng(0), **dict.fromkeys(case.letters, size))
        if max(np.size(a) for a in (*arrays, op.forward(*arrays, **settings)[0]) if a is not None) < 2 * ENTRIES:
            break
        size = int(0.7 * size)
    return dict.fromkeys(case.letters, size)


def layouts(dy):
    """The upstream's values read-only, strided and Fortran-ordered."""
    every_other = (*(slice(None, None, 2) for _ in dy.shape), ...)
    spread = np.zeros(tuple(2 * n for n in dy.shape))[every_other]
    spread[...] = dy
    frozen = dy.copy()
    frozen.flags.writeable = False
    return [frozen, spread, np.array(dy, order="F")]


# %% Comparing
def as_tuple(grads):
    return tuple(grads) if isinstance(grads, (tuple, list)) else (grads,)


def _padded(grads, right):
    """The gradients, with None for what is missing at the end."""
    grads = as_tuple(grads)
    return [*grads, *[None] * (len(right) - len(grads))]


def _shaped(theirs, right):
    return isinstance(theirs, np.ndarray) and theirs.dtype.kind in "fiu" and theirs.shape == np.shape(right)


def _same(theirs, right, scale=1):
    """Equal but for rounding; where exp may overflow it is enough that nothing has."""
    if not _shaped(theirs, right):
        return False
    return bool(np.isfinite(theirs).all()) if scale > 1 else close(theirs, right)


def _add(found, key, right, tells=True):
    """Note whether one draw is right, and whether it tells right from wrong."""
    found.setdefault(key, []).append((right, tells))


def _count(draws, others=()):
    """How many draws are right; those that don't tell count only where all that do are right, here and in others."""
    sure = all(right for right, tells in (*draws, *others) if tells)
    return sum(bool(right and (tells or sure)) for right, tells in draws)


def _identical(a, b):
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b, equal_nan=True))


def _error(theirs, right):
    """The largest error beside the largest entry, 0 for what can't be compared."""
    if not _shaped(theirs, right) or not right.size:
        return 0.0
    return float(np.abs(theirs - right).max() / max(np.abs(right).max(), 1e-3))


# %% One exercise
class Marking:
    """The marks of one exercise in one student's process; `parts()` runs it.

    worker   see grader.py
    seeds    Seeds
    """

    def __init__(self, worker, exercise, seeds):
        self.worker, self.exercise, self.seeds = worker, exercise, seeds
        functions = worker.functions
        self.name, self.form = exercise.function, form_of(exercise.name, functions, exercise.variant)
        self.asked = ["forward", "backward"] if exercise.parts == "both" else [exercise.parts]
        self.there = [half for half in self.asked if f"{self.name}_{half}" in functions]
        self.score, self.why, self.gone, self.numeric, self.only = {}, {}, [], "", {}

    def weights(self):
        """{(case name, part name, what): weight} of all that is looked at."""
        found, count = {}, len(self.form.cases)
        for number, case in enumerate(self.form.cases):
            share = 1 if count == 1 else 0.5 if not number else 0.5 / (count - 1)
            if "forward" in self.asked:
                found[case.name, "y", VALUE] = 2 * share
            for i in described.gradients(case) if "backward" in self.asked else ():
                for what, part in SHARES.items():
                    found[case.name, self._gradient(i), what] = 2 * share * part
        whole, first = sum(found.values()), self.form.cases[0].name
        return found | {(first, "all", LARGE): OF_ALL * whole, (first, "all", HABITS): OF_ALL * whole}

    def _gradient(self, i):
        return f"d{described.names(self.form.op)[i]}"

    def parts(self):
        """A Part for each weight."""
        missing = self.worker.missing(self.exercise)
        if not missing:
            self._run()
        weights = self.weights()
        point = self.exercise.points / sum(weights.values())
        values = [self.score.get(key, 0) for key in weights if key[2] == VALUE]
        some_right = sum(values) / len(values)          # habits count as far as something is right at all
        rows = []
        for key, weight in weights.items():
            score = self.score.get(key, 0.0) * (some_right if key[2] == HABITS else 1)
            why = missing or self.why.get(key) or next(iter(self.gone), "") or "counts as far as the values are right"
            points, of = point * weight * score, point * weight
            rows.append(Part(self.name, *key, points, of, "" if points > of - 1e-9 else why))
        return rows

    def _run(self):
        with self._guarded():
            self._for_the_slide_alone()
        for case in self.form.cases:
            if len(self.gone) < 2:              # no answer twice: the rest would only cost time
                with self._guarded():
                    self._case(case)
        if self.numeric:
            for key in [k for k in self.score if k[1] != "y" and k[2] != SHAPE]:
                self.score[key], self.why[key] = 0.0, self.numeric
        for look in (self._habits, self._large):
            if not self.gone and not self.numeric:
                with self._guarded():
                    look(self.form.cases[0])

    @contextlib.contextmanager
    def _guarded(self):
        """An answer that doesn't come ends this case; a new process does the next."""
        try:
            yield
        except Gone as error:
            self.gone.append(str(error))
            if not self.worker.restart():
                self.gone.append(str(error))

    def _for_the_slide_alone(self):
        """Code that is right for the slide's own sizes alone (two tasks) is marked on those."""
        if self.form.only and self.there and not self._fits():
            self.only = self.form.only
            if self._fits():
                self.form = self.form._replace(cases=self.form.cases[:1])
            else:
                self.only = {}

    def _fits(self):
        """Whether y, or the first gradient without a forward, is right on one draw of the first case."""
        case = self.form.cases[0]
        draw = self._draw(case, "form", cases.distinct(case))
        try:
            y, token = self.forward(*draw.arrays, **draw.settings)
            answer = _padded(self._answer(draw.dy, token), draw.grads)
            return _same(y, draw.y) and ("backward" not in self.there or _shaped(answer[0], draw.grads[0]))
        except Raised:
            return False

    def _draw(self, case, what, sizes, scale=1):
        """The Draw, or None for sizes and values that the mathematics doesn't allow."""
        sizes = sizes | {letter: n for letter, n in self.only.items() if letter in case.letters}
        if not cases.possible(case, **sizes):
            return None
        with contextlib.suppress(ValueError):
            return Draw.of(case, self.seeds.rng(self.name, case.name, what), sizes, scale)
        return None

    # ---- what is looked at
    def _case(self, case):
        """All draws of one case: y, shapes, values and odd layouts."""
        found, inexact, raised, self.worker.student.numerical = {}, [], "", None
        draws = [(self._draw(case, k, *v[:2]), *v[1:]) for k, v in enumerate(variations(case))]
        draws = [draw for draw in draws if draw[0]]
        for draw, scale, tells in draws:
            try:
                y, token = self.forward(*draw.arrays, **draw.settings)
                _add(found, (case.name, "y", VALUE), _same(y, draw.y, scale), tells and draw.y.any())
                if "backward" not in self.there:
                    continue
                answer = _padded(self.backward(draw.dy, token), draw.grads)
                if draw is draws[0][0]:
                    self.numeric = self.numeric or numerical(self.name, self.worker.student)
                for i, right in self._pairs(case, draw):
                    _add(found, (case.name, self._gradient(i), SHAPE), _shaped(answer[i], right), tells)
                    _add(found, (case.name, self._gradient(i), VALUE), _same(answer[i], right, scale),
                         tells and right.any())
                    inexact += [_error(answer[i], right)] if scale == 1 else []
                if draw is draws[0][0]:
                    self._layouts(case, token, draw, found)
            except Raised as error:
                raised = raised or self._brief(error, case)
        self._settle(case, found, len(draws), raised)
        worst = max(inexact, default=0)
        if EXACT < worst < 1e-7 and sum(error > EXACT for error in inexact) > len(inexact) / 2:
            self.numeric = self.numeric or (f"{self.name}_backward is right to {worst:.0e} only, as derivatives by "
                                            "differences are; write the backward of the slide")

    def _pairs(self, case, draw):
        return [(i, draw.grads[i]) for i in described.gradients(case)]

    def _layouts(self, case, token, draw, found):
        for dy in layouts(draw.dy):
            answer = _padded(self.backward(dy, token), draw.grads)
            for i, right in self._pairs(case, draw):
                _add(found, (case.name, self._gradient(i), LAYOUT), _same(answer[i], right), right.any())

    def _settle(self, case, found, draws, raised):
        """Scores of this case: the share of its draws that are right."""
        for key in [key for key in self.weights() if key[0] == case.name and key[1] != "all"]:
            looked, of = found.get(key, []), 3 if key[2] == LAYOUT else draws
            right = _count(looked, found.get((*key[:2], VALUE), ()) if key[2] == LAYOUT else ())
            self.score[key] = right / max(of, 1)
            half = "forward" if key[1] == "y" else "backward"
            if half not in self.there:
                self.score[key], self.why[key] = 0.0, f"{self.name}_{half} is not there"
            elif raised and len(looked) < of:
                self.why[key] = raised
            else:
                self.why[key] = f"wrong in {of - right} of {of} draws" if right else "wrong"

    def _habits(self, case):
        """Half for leaving arrays alone and repeating itself, half for float32."""
        draw, wrong = self._draw(case, HABITS, cases.distinct(case)), set()
        kept = [None if a is None else a.copy() for a in (*draw.arrays, draw.dy)]
        single = [a.astype(np.float32) if a is not None and a.dtype.kind == "f" else a for a in draw.arrays]
        whole_numbers = any(a is not None and a.dtype.kind in "iu" for a in draw.arrays)
        try:
            y, token = self.forward(*draw.arrays, **draw.settings)
            one, two = (self._answer(draw.dy, token) for _ in range(2))
            if not all(_identical(a, b) for a, b in zip(one, two, strict=False)):
                wrong.add("two calls of backward give two answers")
            elif not all(_identical(a, b) for a, b in zip((*draw.arrays, draw.dy), kept, strict=True)):
                wrong.add("it changes its inputs or dy")
            y, token = self.forward(*single, **draw.settings)
            grads = self._answer(np.ones(y.shape, np.float32), token)
            if not whole_numbers and any(g is not None and g.dtype != np.float32 for g in (y, *grads)):
                wrong.add("float32 becomes float64")
        except Raised as error:
            wrong = {self._brief(error, case)}
        self.score[case.name, "all", HABITS] = 1 - 0.5 * len(wrong)
        self.why[case.name, "all", HABITS] = "; ".join(sorted(wrong))

    def _brief(self, error, case):
        return sentence(error, self.worker.student, self.name, case, brief=True)

    def _answer(self, dy, token):
        return as_tuple(self.backward(dy, token)) if "backward" in self.there else ()

    def _large(self, case):
        """All or nothing: right on large arrays, in time.  Derivatives by differences and triple loops aren't."""
        key, sizes = (case.name, "all", LARGE), large_sizes(case)
        began = time.monotonic()
        draw = self._draw(case, LARGE, sizes)
        if draw is None:
            self.score[key] = 1.0               # the block has no such sizes
            return
        limit = max(1.0, 30 * (time.monotonic() - began))
        try:
            with self.worker.within(limit):
                y, token = self.forward(*draw.arrays, **draw.settings)
                answer = _padded(self._answer(draw.dy, token), draw.grads)
            fine = ("forward" not in self.asked or _same(y, draw.y)) and ("backward" not in self.asked or all(
                right is None or _same(g, right) for g, right in zip(answer, draw.grads, strict=False)))
            self.score[key], self.why[key] = float(fine), "wrong"
        except Raised as error:
            self.why[key] = self._brief(error, case)
        except Gone:
            entries = max(a.size for a in draw.arrays if a is not None)
            self.why[key] = f"no answer within {limit:.2g} s on arrays of {entries:,} entries: let NumPy do the loops"
            raise

    # a new process may have come since
    forward = property(lambda self: self.form.pair(self.worker.student, self.name)[0])
    backward = property(lambda self: self.form.pair(self.worker.student, self.name)[1])
