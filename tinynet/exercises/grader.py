"""Points for what students hand in: each gradient of each case, by shape, by value, and on odd memory layouts.

    result = grade(Submission("anna.py"), sheets.of_deck("csc321"))
    result.points, result.of

Practice has fixed inputs.  Marking draws them from a secret, the student's name and the files themselves, so that
printing hidden inputs is worthless: another file gets others.

The points of an exercise are shared among these, in proportion:
    y         2    forward, by cases
    each dX   2    1/4 its shape, 1/2 its values, 1/4 its values for an upstream in another memory layout, by cases
    large     5 %  of these: right on large arrays within 30 times our time (at least 1 s)
    habits    5 %  backward leaves arrays alone and repeats itself; float32 stays float32
The first case, the slide's, counts as much as all the others together.
"""

import concurrent.futures
import contextlib
import hashlib
import hmac
import multiprocessing
import os
import time
from typing import NamedTuple

import numpy as np

from tinynet import cases
from tinynet.exercises import described, stubs
from tinynet.exercises.forms import form_of
from tinynet.exercises.remote import Student
from tinynet.exercises.sandbox import Gone, Limits, Raised
from tinynet.exercises.student import RIGHT, Block, close, numerical
from tinynet.exercises.submission import Submission, Unreadable, look_at, not_written

LIMITS = Limits(all=30.0)         # of one submission
SHAPE, VALUE, LAYOUT = "shape", "values", "odd layouts"
SHARES = {SHAPE: 0.25, VALUE: 0.5, LAYOUT: 0.25}
OF_ALL = 0.05               # what `large` and `habits` count of the rest
ENTRIES = 60_000            # of the largest array of a large case
EXACT = 2e-12               # of the largest entry: differences are never so near, right programs almost always
RESTARTS = 3                # processes for one file, after the first


class Part(NamedTuple):
    """One row of the table: what was looked at, points of how many, and why not all."""

    exercise: str
    case: str
    name: str
    what: str
    points: float
    of: float
    message: str


class Result(NamedTuple):
    """What one student gets.  hints {exercise: text}; not_locked, look_at and notes for the teacher."""

    student: str
    parts: list
    hints: dict
    notes: list
    look_at: list
    not_locked: list
    seconds: float
    hash: str
    seeds: str

    points = property(lambda self: sum(p.points for p in self.parts))
    of = property(lambda self: sum(p.of for p in self.parts))

    def exercises(self):
        """[(name, points, of, parts)] in the order of the sheet."""
        names = dict.fromkeys(p.exercise for p in self.parts)
        groups = [(name, [p for p in self.parts if p.exercise == name]) for name in names]
        return [(name, sum(p.points for p in parts), sum(p.of for p in parts), parts) for name, parts in groups]


# %% Inputs
class Seeds:
    """Generators for the draws: fixed ones for practice, hidden ones from a secret, the student and the files."""

    def __init__(self, secret=None, student="", digest=""):
        self.key, self.whose = secret or b"practice", f"{student}\0{digest}" if secret else ""
        self.id = "practice" if secret is None else self._digest("id of the secret", whose="")[:8]

    def _digest(self, what, whose):
        return hmac.new(self.key, f"{whose}\0{what}".encode(), hashlib.sha256).hexdigest()

    def rng(self, *what):
        digest = self._digest("\0".join(map(str, what)), self.whose)
        return np.random.default_rng([int(digest[i:i + 8], 16) for i in range(0, 64, 8)])


def sizes_of(case):
    """The draws of one case: different sizes twice, random ones, and every axis of size 1."""
    return [cases.distinct(case), cases.distinct(case), {}, dict.fromkeys(case.letters, 1)]


def large_sizes(case):
    """Sizes at which the largest array has about ENTRIES entries."""
    most = max((len(axes.split()) for axes in described.letters(case)), default=0)
    return dict.fromkeys(case.letters, max(2, round(ENTRIES ** (1 / max(most, 1)))))


def layouts(dy):
    """The upstream's values read-only, strided and Fortran-ordered."""
    every_other = (*(slice(None, None, 2) for _ in dy.shape), ...)
    spread = np.zeros(tuple(2 * n for n in dy.shape))[every_other]
    spread[...] = dy
    frozen = dy.copy()
    frozen.flags.writeable = False
    return [frozen, spread, np.asfortranarray(dy)]


# %% One exercise
class Marking:
    """The marks of one exercise in one student's process.

    `score[case name, part name, what]` is a share between 0 and 1, `why` says what is missing.
    """

    def __init__(self, worker, exercise, seeds):
        self.worker, self.exercise, self.seeds = worker, exercise, seeds
        self.form = form_of(exercise.name, worker.student.functions if worker.student else {})
        self.score, self.why, self.errors, self.numeric = {}, {}, [], ""

    def keys(self):
        """{(case name, part name, what): weight} of all that is looked at."""
        found = {}
        for number, case in enumerate(self.form.cases):
            share = 1 if len(self.form.cases) == 1 else 0.5 if not number else 0.5 / (len(self.form.cases) - 1)
            if self.exercise.parts != "backward":
                found[case.name, "y", VALUE] = 2 * share
            if self.exercise.parts != "forward":
                for i in described.gradients(case):
                    for what, part in SHARES.items():
                        found[case.name, self.gradient(i), what] = 2 * share * part
        first = self.form.cases[0].name
        whole = sum(found.values())
        found[first, "all", "large arrays"] = OF_ALL * whole
        found[first, "all", "habits"] = OF_ALL * whole
        return found

    def gradient(self, i):
        return f"d{described.names(self.form.op)[i]}"

    def parts(self):
        """The Parts of this exercise, after running it."""
        missing = self.worker.missing(self.exercise)
        if not missing:
            self.run()
        keys = self.keys()
        whole = sum(keys.values())
        values = [self.score.get(key, 0) for key in keys if key[2] == VALUE]
        some_right = sum(values) / len(values)
        rows = []
        for key, weight in keys.items():
            score = self.score.get(key, 0.0) * (some_right if key[2] == "habits" else 1)
            why = missing or self.why.get(key, "") or ("" if score == 1 else "; ".join(self.errors[:1]) or "wrong")
            rows.append(Part(self.exercise.name, *key, self.exercise.points * weight / whole * score,
                             self.exercise.points * weight / whole, "" if score == 1 else why))
        return rows

    def run(self):
        only = self._only()
        for case in self.form.cases:
            if len(self.errors) > 1:
                return                          # no answer twice: the rest would only cost time
            with self._guarded():
                self._case(case, only)
        if self.numeric:
            for key in [k for k in self.score if k[1] != "y" and k[2] != SHAPE]:
                self.score[key], self.why[key] = 0.0, self.numeric
            return
        if not self.errors:
            with self._guarded():
                self._habits(self.form.cases[0], only)
            with self._guarded():
                self._large(self.form.cases[0], only)

    @contextlib.contextmanager
    def _guarded(self):
        """An answer that doesn't come ends this case; a new process does the next."""
        try:
            yield
        except Gone as error:
            self.errors.append(str(error))
            self.worker.restart()

    def _only(self):
        """{} or the sizes for which alone this code is written, which then are used in all draws: two tasks."""
        if not self.form.only or self.exercise.parts == "backward":
            return {}
        with contextlib.suppress(Gone):
            block = Block(self.worker.student, self.exercise.name)
            if block.verdict().state == RIGHT and any("alone" in note for note in block.verdict().notes):
                return self.form.only
        return {}

    def _drawn(self, case, number, sizes, only):
        rng = self.seeds.rng(self.exercise.name, case.name, number)
        sizes = sizes | {letter: n for letter, n in only.items() if letter in case.letters}
        op, arrays, settings = cases.draw(case, rng, **sizes)
        y, cache = op.forward(*arrays, **settings)
        dy = np.asarray(rng.normal(size=np.shape(y)))
        return arrays, settings, np.asarray(y), dy, _tuple(op.backward(dy, cache))

    # ---- what is looked at
    def _case(self, case, only):
        """All draws of one case: y, shapes, values and odd layouts."""
        right, inexact, draws = {}, [], 0
        for number, sizes in enumerate(sizes_of(case)):
            try:
                arrays, settings, y, dy, grads = self._drawn(case, number, sizes, only)
            except Exception:                   # sizes that the mathematics doesn't allow
                continue
            draws += 1
            try:
                theirs, token = self.forward(*arrays, **settings)
                self._add(right, (case.name, "y", VALUE), _same(theirs, y))
                if self.exercise.parts == "forward":
                    continue
                answer = _padded(self.backward(dy, token), grads)
                self.numeric = self.numeric or numerical(self.exercise.name, self.worker.student)
                inexact.append(max((_error(t, g) for t, g in zip(answer, grads, strict=False) if g is not None), default=0))
                for i, g in self._pairs(case, grads):
                    shape = answer[i] is not None and answer[i].shape == g.shape
                    self._add(right, (case.name, self.gradient(i), SHAPE), shape)
                    self._add(right, (case.name, self.gradient(i), VALUE), shape and _same(answer[i], g))
                if not number:
                    self._layouts(case, token, dy, grads, right)
            except Raised as error:
                if "exception" not in right:
                    right["exception"] = self.worker.sentence(error)
        for key in self.keys():
            if key[0] == case.name and key[1] != "all":
                self._settle(key, right.get(key, []), draws if key[2] != LAYOUT else 3, right.get("exception"))
        if inexact and EXACT < min(inexact) < 1e-7:
            self.numeric = self.numeric or (
                f"{self.exercise.name}_backward is right to about {max(inexact):.0e} only, as derivatives by differences "
                "are; write the backward of the slide")

    def _settle(self, key, right, of, exception):
        self.score[key] = sum(right) / max(of, 1)
        if self.score[key] < 1:
            wrong = f"wrong in {of - sum(right)} of {of} draws" if any(right) else "wrong"
            self.why[key] = exception if exception and len(right) < of else wrong

    def _add(self, right, key, yes):
        right.setdefault(key, []).append(bool(yes))

    def _pairs(self, case, grads):
        return [(i, grads[i]) for i in described.gradients(case) if i < len(grads) and grads[i] is not None]

    def _layouts(self, case, token, dy, grads, right):
        for given in layouts(dy):
            answer = _padded(self.backward(given, token), grads)
            for i, g in self._pairs(case, grads):
                self._add(right, (case.name, self.gradient(i), LAYOUT), _same(answer[i], g))

    def _habits(self, case, only):
        """Half for leaving arrays alone and repeating itself, half for float32."""
        key = case.name, "all", "habits"
        arrays, settings, _, dy, _ = self._drawn(case, "habits", cases.distinct(case), only)
        kept, wrong = [None if a is None else a.copy() for a in (*arrays, dy)], []
        try:
            y, token = self.forward(*arrays, **settings)
            if self.exercise.parts != "forward":
                one, two = (_tuple(self.backward(dy, token)) for _ in range(2))
                if not all(_identical(a, b) for a, b in zip(one, two, strict=False)):
                    wrong.append("two calls of backward give two answers")
            if not all(_identical(a, b) for a, b in zip((*arrays, dy), kept, strict=True)):
                wrong.append("it changes its inputs or dy")
            single = [a.astype(np.float32) if a is not None and a.dtype.kind == "f" else a for a in arrays]
            y, token = self.forward(*single, **settings)
            whole = any(a is not None and a.dtype.kind in "iu" for a in arrays)
            grads = _tuple(self.backward(np.ones_like(y), token)) if self.exercise.parts != "forward" else ()
            if not whole and any(g is not None and g.dtype != np.float32 for g in (y, *grads)):
                wrong.append("float32 becomes float64")
        except Raised as error:
            wrong.append(self.worker.sentence(error))
        self.score[key], self.why[key] = max(0, 1 - 0.5 * len(wrong)), "; ".join(wrong)

    def _large(self, case, only):
        """All or nothing: right on large arrays, in time.  Numerical derivatives and triple loops aren't."""
        key = case.name, "all", "large arrays"
        try:
            began = time.monotonic()
            with np.errstate(all="ignore"):
                arrays, settings, y, dy, grads = self._drawn(case, "large", large_sizes(case), only)
            limit = max(1.0, 30 * (time.monotonic() - began))
            if not np.isfinite(y).all():
                raise ValueError("too deep for such sizes")
        except Exception:
            self.score[key] = 1.0               # there is no large case
            return
        try:
            with self.worker.within(limit):
                theirs, token = self.forward(*arrays, **settings)
                fine = self.exercise.parts == "backward" or _same(theirs, y)
                if self.exercise.parts != "forward":
                    answer = _padded(self.backward(dy, token), grads)
                    fine = fine and all(g is None or _same(t, g) for t, g in zip(answer, grads, strict=False))
            self.score[key], self.why[key] = float(fine), "" if fine else "wrong on large arrays"
        except Raised as error:
            self.why[key] = self.worker.sentence(error)
        except Gone:
            self.why[key] = f"no answer within {limit:.2g} s on arrays of {max(a.size for a in arrays if a is not None):,} " \
                            "entries: use NumPy's own loops"
            raise

    @property
    def forward(self):
        return self.form.pair(self.worker.student, self.exercise.name)[0]

    @property
    def backward(self):
        return self.form.pair(self.worker.student, self.exercise.name)[1]


def _tuple(grads):
    return tuple(grads) if isinstance(grads, (tuple, list)) else (grads,)


def _padded(grads, right):
    """The gradients, with None for what is missing at the end."""
    grads = _tuple(grads)
    return [*grads, *[None] * (len(right) - len(grads))]


def _same(theirs, right):
    return isinstance(theirs, np.ndarray) and theirs.shape == np.shape(right) and close(theirs, right)


def _identical(a, b):
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b, equal_nan=True))


def _error(theirs, right):
    """The largest error beside the largest entry, 0 for what can't be compared."""
    if theirs is None or theirs.shape != right.shape or not right.size:
        return 0.0
    return float(np.abs(theirs - right).max() / max(np.abs(right).max(), 1e-3))


# %% One student
class Worker:
    """The process of one file, started anew when it has gone."""

    def __init__(self, source, limits, ends, given):
        self.source, self.limits, self.ends, self.given = source, limits, ends, given
        self.student, self.doomed, self.restarts, self.not_locked = None, "", RESTARTS, []
        self._start()

    def _start(self):
        try:
            self.student = Student(self.source, self.limits, self.given, self.ends)
            self.not_locked = self.student.sandbox.not_locked
        except Gone as error:
            self.doomed = f"the file doesn't run: {error}"
        except Raised as error:
            self.doomed = f"the file doesn't run: {self.sentence(error)}"

    def restart(self):
        self.restarts -= 1
        if self.restarts >= 0 and time.monotonic() < self.ends:
            functions = self.student.functions
            self.close()
            self._start()
            if self.doomed:
                raise Gone(self.doomed)
            self.student.functions = functions

    def missing(self, exercise):
        """Why there is nothing to mark, or ""."""
        if self.doomed:
            return self.doomed
        halves = ("forward", "backward") if exercise.parts == "both" else (exercise.parts,)
        absent = [half for half in halves if f"{exercise.name}_{half}" not in self.student.functions]
        if absent and (len(absent) == len(halves) or "forward" in absent):
            return f"{exercise.name}_{absent[0]} is not there"
        stubs_left = [h for h in halves if not_written(self.source.function(f"{exercise.name}_{h}"))]
        return f"{stubs_left[0]}: not written yet" if stubs_left == list(halves) or "forward" in stubs_left else ""

    @contextlib.contextmanager
    def within(self, seconds):
        """Inside, each call must be answered within so many seconds."""
        before = self.student.sandbox.limits
        self.student.sandbox.limits = before._replace(call=min(seconds, before.call))
        try:
            yield
        finally:
            self.student.sandbox.limits = before

    def sentence(self, error):
        """The student's exception, with its place in the file."""
        what = error.what
        if what["kind"] == "NotImplementedError" or what["text"] == "returns nothing":
            return "not written yet: it returns nothing"
        if what["kind"] == "Form":
            return what["text"]
        line = f"line {what['line']}: " if what["line"] else ""
        cell = f"{what['label'].strip('[]')}, " if self.source.notebook and what["line"] else ""
        return f"{cell}{line}{what['kind']}: {what['text'].partition(chr(10))[0]}"

    def close(self):
        if self.student:
            self.student.close()


def grade(submission, sheet, secret=None, hints=2, limits=LIMITS):
    """The Result of one Submission.

    secret  bytes for hidden inputs; None for practice
    hints   0 right or wrong, 1 which part, 2 which kind of mistake, 3 which equation of the slide
    """
    began = time.monotonic()
    seeds = Seeds(secret, submission.student, submission.hash)
    ends, workers = began + limits.all, []
    try:
        for source in submission.sources:
            given = {e.name: stubs.forward_alone(cases.of(e.name)[0].op) for e in sheet.exercises
                     if f"{e.name}_backward" in source.defined and f"{e.name}_forward" not in source.defined}
            workers.append(Worker(source, limits, ends, given))
        parts, said = [], {}
        for exercise in sheet.exercises:
            rows, hint = _marked(exercise, workers, seeds, hints)
            parts += rows
            said |= {exercise.name: hint} if hint else {}
        notes = [*submission.unreadable, *_printed(workers), *dict.fromkeys(w.doomed for w in workers if w.doomed)]
        locked = list(dict.fromkeys(what for w in workers for what in w.not_locked))
        look = [f"{source.path.name} {what}" for source in submission.sources for what in look_at(source)]
    finally:
        for worker in workers:
            worker.close()
    return Result(submission.student, parts, said, notes, look, locked, time.monotonic() - began, submission.hash, seeds.id)


def _marked(exercise, workers, seeds, hints):
    """(Parts, hint) of one exercise, in the file that defines it."""
    names = {f"{exercise.name}_forward", f"{exercise.name}_backward"}
    has = [w for w in workers if names & w.source.defined] or [w for w in workers if w.student and
                                                              names & set(w.student.functions)]
    if not has:
        form = form_of(exercise.name, {})
        marking = Marking(_Nothing(), exercise, seeds)
        marking.form = form
        return marking.parts(), ""
    marking = Marking(has[-1], exercise, seeds)
    rows = marking.parts()
    lost = [row for row in rows if row.points < row.of - 1e-9]
    if not lost or hints < 2:
        return rows, ""
    return rows, _hint(has[-1], exercise, marking, lost, hints)


class _Nothing:
    """In place of a Worker where no file has this exercise."""

    student = None

    def missing(self, exercise):
        return f"{exercise.name} is not there"


def _hint(worker, exercise, marking, lost, hints):
    """What kind of mistake it is, found on the fixed inputs of practice; and the equation of what is wrong."""
    lines = [marking.numeric] if marking.numeric else []
    if not lines and worker.student and not worker.doomed and not worker.student.sandbox.why_gone:
        verdict = Block(worker.student, exercise.name, marking.form.only if marking._only() else None).verdict()
        lines = verdict.text.splitlines()[1:] if verdict.state != RIGHT else []
    if hints > 2:
        wrong = dict.fromkeys(row.name for row in lost if row.name.startswith("d"))
        equations = [e for name in wrong if (e := described.equation_of_gradient(marking.form.op, name))]
        lines += [f"see {e}" for e in dict.fromkeys(equations)]
    return "\n".join(line.strip() for line in lines)


def _printed(workers):
    for worker in workers:
        if worker.student and worker.student.sandbox.printed:
            yield f"it printed {worker.student.sandbox.printed:,} bytes"


# %% A class
def grade_class(paths, sheet, secret=None, hints=2, limits=LIMITS, jobs=None, done=None):
    """The Results of many submissions, several at once, in the order of `paths`.

    done(result) is called as each is ready.  What can't be read gets a Result without points.
    """
    jobs = min(jobs or os.cpu_count() or 1, max(len(paths), 1))
    work = [(str(path), sheet, secret, hints, limits) for path in paths]
    if jobs == 1:
        results = map(_grade_path, work)
        return [_told(result, done) for result in results]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context) as pool:
        return [_told(result, done) for result in pool.map(_grade_path, work)]


def _told(result, done):
    if done:
        done(result)
    return result


def _grade_path(work):
    path, sheet, *settings = work
    try:
        return grade(Submission(path), sheet, *settings)
    except Unreadable as error:
        empty = Submission.__new__(Submission)
        empty.student, empty.sources, empty.unreadable = os.path.splitext(os.path.basename(path))[0], [], [str(error)]
        return grade(empty, sheet, *settings)
