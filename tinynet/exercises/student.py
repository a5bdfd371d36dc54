"""`python -m tinynet check FILE`: a student's forwards and backwards, run through our battery.

A file (.py or .ipynb) may define `X_forward` and/or `X_backward` for any block X that `tinynet.cases` knows:
both are checked together; a backward alone gets the cache of our forward; a forward alone must give our y.
The student's code runs in a process of its own, see sandbox.py.
"""

import ast
import contextlib
import difflib
import functools
import inspect
import warnings
from typing import NamedTuple

import numpy as np

from tinynet import cases
from tinynet.check.gradient import gradcheck
from tinynet.exercises import described, sheets, stubs
from tinynet.exercises.forms import form_of
from tinynet.exercises.remote import Student
from tinynet.exercises.sandbox import LIMITS, Gone, Raised
from tinynet.exercises.submission import Unreadable, not_written, read
from tinynet.exercises.words import NOT_WRITTEN, does_not_run, not_yet, numerical, remedy, sentence, unlocked, worst

RIGHT, WRONG = "right", "WRONG"
CLOSE = 1e-9            # of the largest entry: what two right programs may differ by
FLOOR = 1e-3            # a gradient that is 0 by cancellation: entries are compared with at least this
LARGER = 1000           # scores that overflow in exp


class Verdict(NamedTuple):
    """What was found about one block: state is RIGHT, WRONG or NOT_WRITTEN, text says why, notes what else to know."""

    state: str
    text: str
    notes: list = []        # noqa: RUF012  (never changed)


class Wrong(Exception):
    """The first thing that is wrong, as a sentence."""


class NotWritten(Exception):
    """This half is still a stub."""


# %% The inputs
def draws(case, only):
    """(empty?, arrays, settings) of a case: different sizes, two random ones, each axis of size 1, each empty."""
    varied = [cases.distinct(case), {}, {}, *({letter: 1} for letter in case.letters),
              *({letter: 0} for letter in case.letters if letter not in case.never_empty)]
    for seed, sizes in enumerate(varied):
        sizes = sizes | {letter: n for letter, n in only.items() if letter in case.letters}
        if not cases.possible(case, **sizes):       # a kernel larger than its image
            continue
        _, arrays, settings = cases.draw(case, np.random.default_rng(seed), **sizes)
        yield 0 in sizes.values(), arrays, settings


def close(theirs, right):
    """Whether two arrays of one shape are equal but for rounding."""
    slack = CLOSE * max(np.abs(right).max(initial=0.0), FLOOR)
    return bool((np.abs(theirs - right) <= slack).all())


# %% One block
class Block:
    """The check of one block in one student's process; `verdict()` is what was found."""

    def __init__(self, student, name, form=None, only=None):
        self.student, self.name = student, name
        block, rule = sheets.variants_in(student.source.text).get(name, (name, ""))
        self.form = form or form_of(block, student.functions, rule)
        self.only = only or {}
        if only:
            self.form = self.form._replace(cases=self.form.cases[:1])
        self.halves = [half for half in ("forward", "backward") if f"{name}_{half}" in student.functions]
        self.forward, self.backward = self.form.pair(student, name)
        if "forward" not in self.halves:
            self.forward.__signature__ = inspect.signature(self.form.op.forward)
        self.notes, self.tried, self.passed_over = {}, set(), {}

    def verdict(self):
        stubs_left = [half for half in self.halves if not_written(self.student.source.function(f"{self.name}_{half}"))]
        if stubs_left == self.halves:
            return Verdict(NOT_WRITTEN, f"{self.name}: {' and '.join(stubs_left)}: {NOT_WRITTEN}")
        self.written = [half for half in self.halves if half not in stubs_left]
        if not self.form.cases:
            return Verdict(WRONG, f"{self.name}: can't be checked here: its inputs can't be sent to another process")
        if self.halves == ["backward"] and self.name not in self.student.given:
            return Verdict(WRONG, f"{self.name}: {WRONG}\n  write {self.name}_forward, too: ours can't be given to it")
        if "forward" in stubs_left:
            return Verdict(NOT_WRITTEN, f"{self.name}: forward: {NOT_WRITTEN}; write it first, backward needs it")
        try:
            for case in self.form.cases:
                self._case(case)
            self._large_scores()
        except Wrong as error:
            return self._for_the_slide_alone() or Verdict(WRONG, f"{self.name}: {WRONG}\n  {error}")
        except NotWritten as error:
            return Verdict(NOT_WRITTEN, f"{self.name}: {error}: {NOT_WRITTEN}")
        except Gone as error:
            return Verdict(WRONG, f"{self.name}: {WRONG}\n  {error}")
        if not self.tried:
            return Verdict(WRONG, f"{self.name}: {WRONG}\n  {next(iter(self.passed_over.values()))}")
        if stubs_left:
            return Verdict(NOT_WRITTEN, f"{self.name}: forward is right; backward: {NOT_WRITTEN}", self._all_notes())
        return Verdict(RIGHT, f"{self.name}: {RIGHT} ({' and '.join(self.halves)})", self._all_notes())

    def _all_notes(self):
        return [*self.passed_over.values(), *filter(None, self.notes.values())]

    def _for_the_slide_alone(self):
        """A verdict for code written for the slide's own sizes: two tasks, say.  None if it's wrong there, too."""
        if not self.form.only or self.only or self.student.sandbox.why_gone:
            return None
        found = Block(self.student, self.name, self.form, self.form.only).verdict()
        sizes = ", ".join(f"{letter} = {n}" for letter, n in self.form.only.items())
        note = f"note: it is right for {sizes} alone, the slide's case; try to write it for any number"
        return found._replace(notes=[*found.notes, note]) if found.state == RIGHT else None

    # ---- one case
    def _case(self, case):
        for number, (empty, arrays, settings) in enumerate(draws(case, self.only)):
            if not number and "forward" in self.halves and (why := self._not_made_for(case, arrays, settings)):
                self.passed_over[case.name] = f"case {case.name} was passed over: {why}"
                return
            self.tried.add(case.name)
            try:
                self._draw(case, arrays, settings, thorough=not number and case is self.form.cases[0])
            except Wrong as error:
                if not empty:
                    raise
                self.notes.setdefault("empty", f"note: with an empty axis {str(error).partition(chr(10))[0]}")
        self._float32(case)

    def _not_made_for(self, case, arrays, settings):
        """Why this case isn't one for the student's forward, or None.

        Its signature decides; once a case has been tried, an error in another counts, too.
        """
        try:
            inspect.signature(self.forward).bind(*arrays, **settings)
        except TypeError as error:
            return (f"{self.name}_forward: {error}: write {described.call(self.name, 'forward', case)}; "
                    f"{described.agreed(case)}")
        if not self.tried:
            return None
        try:
            self.forward(*_copies(arrays), **settings)
        except Raised as error:
            return f"{error.what['kind']}: {error.what['text'].partition(chr(10))[0]}"
        return None

    def _draw(self, case, arrays, settings, thorough):
        """Raises Wrong with the first thing that is wrong on these arrays."""
        op = self.form.op
        here = f"\n  in case {case.name} with {described.in_words(case, arrays)}{_settings(settings)}"
        try:
            right, cache = op.forward(*_copies(arrays), **settings)
            token = self._forward(arrays, settings, np.asarray(right))
            def as_ours():
                return self._as_ours(right, cache, token)

            if "backward" in self.written and (thorough or not as_ours()):
                self._gradcheck(arrays, settings, as_ours)
        except Raised as error:
            raise self._in_words(error, case, here) from None
        except Wrong as error:
            raise Wrong(f"{error}{here}") from None

    def _forward(self, arrays, settings, right):
        """The student's y beside ours; returns the Token of its cache."""
        before = _copies(arrays)
        y, token = self.forward(*arrays, **settings)
        for name, a, b in zip(described.names(self.form.op), arrays, before, strict=False):
            if a is not None and not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
                a[...] = b
                raise Wrong(f"forward changes its inputs ({name}): work on copies")
        if isinstance(y, tuple):
            raise Wrong("forward must return two things, y and the cache")
        if y.shape != right.shape:
            raise Wrong(f"y has shape {y.shape} where it should be {right.shape}")
        if y.dtype == np.float32 != right.dtype:
            raise Wrong("y is float32 where the inputs are float64: keep the dtype of the input")
        if not close(y, right):
            raise Wrong(worst("y", y, right))
        return token

    def _as_ours(self, y, cache, token):
        """Whether a random upstream gives the gradients of our backward."""
        dy = np.random.default_rng(0).normal(size=np.shape(y))
        right = _tuple(self.form.op.backward(dy, cache))
        theirs = _tuple(self.backward(dy, token))
        return len(theirs) >= len([g for g in right if g is not None]) and all(
            g is None or (t is not None and t.shape == g.shape and close(t, g))
            for t, g in zip([*theirs, *[None] * len(right)], right, strict=False))

    def _gradcheck(self, arrays, settings, as_ours):
        """Raises Wrong with what the checker says; where it can't measure, it decides whether backward is as ours."""
        self.student.numerical = None
        forward, backward = self._measured_here(arrays)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            report = gradcheck(forward, backward, *arrays, **settings)
        if self.student.sandbox.why_gone:
            raise Gone(self.student.sandbox.why_gone)
        if said := numerical(self.name, self.student):
            raise Wrong(said)
        report = report._replace(problems=[p for p in report.problems if p.kind != "size"])    # we draw these ourselves
        if report.verdict == "unchecked":
            why = report.problems[0].text.partition(";")[0]
            if not as_ours():
                raise Wrong(f"backward gives another gradient than ours; {why}")
            self.notes["unchecked"] = f"note: compared with our backward alone; {why}"
        elif not report.ok:
            raise Wrong(str(report).partition("\n")[2].strip())

    def _measured_here(self, arrays):
        """The student's pair, except that our forward, which gives the same y, is moved a little to measure slopes.

        That takes hundreds of calls, which needn't go to another process.
        """
        @functools.wraps(self.forward)
        def forward(*given, **settings):
            if not _moved_a_little(given, arrays):
                return self.forward(*given, **settings)
            return self.form.op.forward(*given, **settings)[0], (given, settings)

        def backward(dy, cache):
            if isinstance(cache, tuple):        # the cache of a forward that was run here
                cache = self.forward(*cache[0], **cache[1])[1]
            return self.backward(dy, cache)
        return forward, backward

    def _large_scores(self):
        """Inputs of about 1000: softmax must subtract the maximum, or exp overflows."""
        case = self.form.cases[0]
        _, arrays, settings = next(draws(case, self.only))
        first = next((i for i, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"), None)
        if first is None or case.name in self.passed_over:
            return
        arrays = [LARGER * a if i == first else a for i, a in enumerate(arrays)]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            y, cache = self.form.op.forward(*arrays, **settings)
            dy = np.random.default_rng(0).normal(size=np.shape(y))
            grads = _tuple(self.form.op.backward(dy, cache))
        name = described.names(self.form.op)[first]
        try:
            theirs, token = self.forward(*arrays, **settings)
            if np.isfinite(y).all() and not np.isfinite(theirs).all():
                raise Wrong(f"forward gives NaN or inf when {name} is {LARGER} times larger, where y is finite: "
                            f"exp overflows above 709; {remedy(self.form.op)}")
            if "backward" in self.written and all(g is None or np.isfinite(g).all() for g in grads) and not all(
                    g is None or np.isfinite(g).all() for g in _tuple(self.backward(dy, token))):
                raise Wrong(f"backward gives NaN or inf when {name} is {LARGER} times larger: the gradient is finite")
        except Raised as error:
            raise self._in_words(error, case, "") from None

    def _float32(self, case):
        """Note what turns float32 into float64."""
        _, arrays, settings = next(draws(case, self.only))
        if "float32" in self.notes or any(a is not None and a.dtype.kind in "iu" for a in arrays):
            return              # NumPy makes float64 of float32 and integers
        arrays = [a.astype(np.float32) if a is not None and a.dtype.kind == "f" else a for a in arrays]
        try:
            y, token = self.forward(*arrays, **settings)
            if y.dtype != np.float32 and "forward" in self.halves:
                self.notes["float32"] = (f"note: forward turns float32 into {y.dtype}; keep the dtype of the input "
                                         "(np.sqrt(d) is a float64, d ** 0.5 isn't)")
            elif "backward" in self.written:
                other = [g.dtype for g in _tuple(self.backward(np.ones_like(y), token))
                         if g is not None and g.dtype != np.float32]
                if other:
                    self.notes["float32"] = f"note: backward turns float32 into {other[0]}; keep the dtype of dy"
        except Raised as error:
            self.notes["float32"] = f"note: in float32 {self._in_words(error, case, '')}"

    def _in_words(self, error, case, here):
        """The exception that the student's code raised, as Wrong or NotWritten."""
        if not_yet(error):
            return NotWritten(self.student.last)
        return Wrong(sentence(error, self.student, self.name, case) + here)


def _moved_a_little(given, arrays):
    """Whether these are the arrays with some entries changed by less than 1 %, or by an imaginary part."""
    pairs = [(a, b) for a, b in zip(given, arrays, strict=True) if a is not None and b is not None]
    if any(a.shape != b.shape for a, b in pairs):
        return False
    moves = [np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), 1) for a, b in pairs if b.dtype.kind == "f"]
    return 0 < max(moves, default=0) < 0.01


def _copies(arrays):
    return [None if a is None else a.copy() for a in arrays]


def _settings(settings):
    return "".join(f", {name} = {value}" for name, value in settings.items() if not hasattr(value, "__dict__"))


def _tuple(grads):
    return tuple(grads) if isinstance(grads, (tuple, list)) else (grads,)


# %% The command
def check_file(path, out=print, limits=LIMITS):
    """Check every known block in the file and print what was found; returns the exit code:
    0 all right, 1 something is wrong or not written yet, 2 nothing could be checked."""
    try:
        source = read(path)
        student = Student(source, limits, alone(source))
    except Unreadable as error:
        out(str(error))
        return 2
    except (Raised, Gone) as error:
        out(does_not_run(source, error))
        return 2
    try:
        for what in student.failed:
            out(f"note: {source.where(what['label'], what['line'])}: {what['kind']}: {what['text']}")
        names, notes = blocks_in(student)
        if not names:
            out(f"{path} defines nothing to check.\n" + "\n".join(notes or [_nothing(source)]))
            return 2
        verdicts = {}
        for name in names:
            if student.sandbox.why_gone:            # the block before has ended the process
                student.close()
                student = Student(source, limits, student.given)
            verdicts[name] = Block(student, name).verdict()
            out(verdicts[name].text)
            for note in verdicts[name].notes:
                out(f"  {note}")
        for line in [*notes, *_around(student)]:
            out(line)
    except (Raised, Gone) as error:                 # it doesn't run a second time
        out(does_not_run(source, error))
        return 1
    finally:
        student.close()
    return _summary(verdicts, out)


def _summary(verdicts, out):
    """The last lines, and the exit code."""
    by_state = {state: [n for n, v in verdicts.items() if v.state == state] for state in (RIGHT, WRONG, NOT_WRITTEN)}
    if by_state[NOT_WRITTEN]:
        out(f"{NOT_WRITTEN}: {', '.join(by_state[NOT_WRITTEN])}")
    failed = [n for n, v in verdicts.items() if v.state != RIGHT]
    out(f"failed: {', '.join(failed)}" if failed else f"passed: {', '.join(verdicts)}")
    return 1 if failed else 0


def _around(student):
    """What was printed, and what this machine could not lock."""
    if student.sandbox.printed:
        yield f"it printed:\n    {student.sandbox.words.replace(chr(10), chr(10) + '    ')}"
    if student.sandbox.not_locked:
        yield unlocked(student.sandbox.not_locked)


# %% Which blocks
def alone(source):
    """{block: our forward as text} of the blocks whose backward the file defines without a forward."""
    found = {}
    for name in cases.op_names():
        if f"{name}_backward" in source.defined and f"{name}_forward" not in source.defined:
            with contextlib.suppress(stubs.NotAlone):
                found[name] = stubs.forward_alone(cases.of(name)[0].op)
    return found


def blocks_in(student):
    """The blocks that the file defines, and notes on names that no block has."""
    known, found, notes = [*cases.op_names(), *sheets.variants_in(student.source.text)], [], []
    of_sheet = sheets.blocks_of(sheets.named_in(student.source.text))
    for name in student.functions:
        block, _, half = name.rpartition("_")
        if block in known:
            found += [block] * (block not in found and not _only_given(student, block))
        else:
            near = difflib.get_close_matches(block, of_sheet, 1) or difflib.get_close_matches(block, known, 1)
            meant = f"; did you mean {near[0]}_{half}?" if near else f"; there are {', '.join(of_sheet)}"
            notes.append(f"{name} was passed over: there is no block {block!r}{meant}")
    return found, notes


def _only_given(student, block):
    """Whether the file holds our own forward alone: a stub gives it as a part of another block."""
    if f"{block}_backward" in student.functions or block not in cases.op_names():
        return False
    own = student.source.function(f"{block}_forward")
    ours = ast.parse(inspect.getsource(cases.of(block)[0].op.forward)).body[0]
    return own is not None and ast.dump(own) == ast.dump(ours)


def _nothing(source):
    return f"define X_forward or X_backward for one of: {', '.join(sheets.blocks_of(sheets.named_in(source.text)))}"
