"""`python -m tinynet grade SUBMISSION...`: points, hints and a table for a class.

    result = grade(Submission("anna.py"), sheets.find("csc321"))
    result.points, result.of

How the points of an exercise are shared stands in marking.py, how a file is kept from doing harm in sandbox.py.
"""

import concurrent.futures
import contextlib
import hashlib
import multiprocessing
import os
import time
from pathlib import Path
from typing import NamedTuple

from tinynet.backend import use_backend
from tinynet.exercises import described, variants
from tinynet.exercises.marking import Marking, Seeds
from tinynet.exercises.remote import Student
from tinynet.exercises.sandbox import Gone, Left, Limits, Raised
from tinynet.exercises.student import RIGHT, Block, alone
from tinynet.exercises.submission import Submission, look_at, not_written
from tinynet.exercises.words import does_not_run

LIMITS = Limits(all=30.0)       # of one file
RESTARTS = 3                    # processes for one file, after the first
NOTHING = hashlib.sha256().hexdigest()          # the hash of a submission that could not be read


class Result(NamedTuple):
    """What one student gets.

    parts       [Part], see marking.py
    hints       {exercise: text}
    notes       what the student should know: files that can't be read or run
    look_at     for the teacher: nothing is deducted for it
    not_locked  what this machine could not lock
    hash, seeds   SHA-256 of the files, and which secret the inputs came from
    """

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
        """[(name, parts)] in the order of the sheet."""
        names = dict.fromkeys(p.exercise for p in self.parts)
        return [(name, [p for p in self.parts if p.exercise == name]) for name in names]


# %% One file
class Worker:
    """The process of one file, started anew when it has gone."""

    def __init__(self, source, limits, exercises):
        self.source, self.limits, self.left = source, limits, Left(limits.all)
        asked = {e.name for e in exercises if not e.variant}
        self.given = {name: text for name, text in alone(source).items() if name in asked}
        self.student, self.doomed, self.restarts, self.functions, self.not_locked = None, "", RESTARTS, {}, []
        self._start()

    def _start(self):
        try:
            self.student = Student(self.source, self.limits, self.given, self.left)
            self.functions, self.not_locked = self.student.functions, self.student.sandbox.not_locked
        except (Gone, Raised) as error:
            self.doomed = does_not_run(self.source, error)

    def restart(self):
        """A new process in place of one that has gone; False where there is none left, or no time."""
        self.restarts -= 1
        if self.restarts < 0 or self.left.seconds <= 0:
            return False
        self.close()
        self._start()
        return not self.doomed

    def missing(self, exercise):
        """Why there is nothing to mark, or ""."""
        if self.doomed:
            return self.doomed
        halves = ("forward", "backward") if exercise.parts == "both" else (exercise.parts,)
        absent = [h for h in halves if f"{exercise.function}_{h}" not in self.functions]
        stubs_left = [h for h in halves if not_written(self.source.function(f"{exercise.function}_{h}"))]
        if len(absent) == len(halves):
            return f"{exercise.function}_{absent[0]} is not there"
        nothing = {*absent, *stubs_left} == {*halves} or "forward" in stubs_left
        return f"{stubs_left[0]}: not written yet" if nothing else ""

    @contextlib.contextmanager
    def within(self, seconds):
        """Inside, each call must be answered within so many seconds."""
        sandbox = self.student.sandbox
        before, sandbox.limits = sandbox.limits, sandbox.limits._replace(call=min(seconds, sandbox.limits.call))
        try:
            yield
        finally:
            sandbox.limits = before

    def close(self):
        if self.student:
            self.student.close()


class Nobody:
    """In place of a Worker where no file has the exercise."""

    student, functions, doomed = None, {}, ""

    def missing(self, exercise):
        return f"{exercise.function} is not there"


# %% One student
def grade(submission, sheet, secret=None, hints=2, limits=LIMITS, variant=False):
    """The Result of one Submission.

    secret   bytes for hidden inputs; None for practice
    hints    0 right or wrong, 1 which part, 2 which kind of mistake, 3 which equation of the slide
    variant  whether each exercise is the student's own variant, drawn from the secret and the student's name
    """
    if variant:
        sheet = sheet._replace(exercises=[variants.of_student(e, secret, submission.student) for e in sheet.exercises])
    with use_backend("plain"):          # a grader's machine may have no compiler
        return _graded(submission, sheet, secret, hints, limits)


def _graded(submission, sheet, secret, hints, limits):
    began, workers, parts, said = time.monotonic(), [], [], {}
    seeds = Seeds(secret, submission.student, submission.hash)
    try:
        for source in submission.sources:
            workers.append(Worker(source, limits, sheet.exercises))
        for exercise in sheet.exercises:
            rows, said[exercise.function] = _marked(exercise, workers, seeds, hints)
            parts += rows
    finally:
        for worker in workers:
            worker.close()
    notes = [*submission.unreadable, *filter(None, (w.doomed for w in workers)), *_printed(workers)]
    locked = list(dict.fromkeys(str(what) for w in workers for what in w.not_locked))
    look = [f"{source.path.name} {what}" for source in submission.sources for what in look_at(source)]
    return Result(submission.student, parts, {name: hint for name, hint in said.items() if hint}, notes, look, locked,
                  time.monotonic() - began, submission.hash, seeds.id)


def _marked(exercise, workers, seeds, hints):
    """(Parts, hint) of one exercise, in the last file that defines it."""
    names = {f"{exercise.function}_forward", f"{exercise.function}_backward"}
    has = [w for w in workers if names & {*w.functions, *w.source.defined}]
    worker = has[-1] if has else Nobody()
    marking = Marking(worker, exercise, seeds)
    rows = marking.parts()
    lost = [row for row in rows if not row.right]
    return rows, _hint(worker, marking, lost, hints) if lost and has and hints > 1 else ""


def _hint(worker, marking, lost, hints):
    """What kind of mistake it is, found on the fixed inputs of practice; and the equation of what is wrong."""
    lines = [marking.numeric] if marking.numeric else []
    if not lines and not worker.doomed and not worker.student.sandbox.why_gone:
        verdict = Block(worker.student, marking.name, marking.form, marking.only).verdict()
        lines = verdict.text.splitlines()[1:] if verdict.state != RIGHT else []
    if hints > 2:
        wrong = dict.fromkeys(row.name for row in lost if row.name.startswith("d"))
        equations = [e for name in wrong if (e := described.equation_of_gradient(marking.form.op, name))]
        lines += [f"see {e}" for e in dict.fromkeys(equations)]
    return "\n".join(line.strip() for line in lines)


def _printed(workers):
    for worker in workers:
        if worker.student and worker.student.sandbox.printed:
            yield f"{worker.source.path.name} printed {worker.student.sandbox.printed:,} bytes"


# %% A class
def grade_class(paths, sheet, secret=None, hints=2, limits=LIMITS, variant=False, jobs=None, done=None):
    """The Results of many submissions, `jobs` at once, in the order of `paths`.

    done(result) is called as each is ready.  What can't be read gets a Result without points.
    """
    jobs = min(jobs or os.cpu_count() or 1, max(len(paths), 1))
    settings = sheet, secret, hints, limits, variant
    work = [(str(path), name, *settings) for path, name in zip(paths, _names(paths), strict=True)]
    with contextlib.ExitStack() as stack:
        mapped = map
        if jobs > 1:
            context = multiprocessing.get_context("spawn")
            mapped = stack.enter_context(concurrent.futures.ProcessPoolExecutor(jobs, context)).map
        results = []
        for result in mapped(_grade_path, work):
            results.append(result)
            if done:
                done(result)
    return results


def _grade_path(work):
    path, name, *rest = work
    return grade(Submission(Path(path), name), *rest)


def _names(paths):
    """The students' names: of the file or folder, with the folder above it where two would be the same."""
    names = [Submission.name_of(path) for path in paths]
    return [name if names.count(name) == 1 else f"{Path(path).resolve().parent.name} {name}"
            for path, name in zip(paths, names, strict=True)]
