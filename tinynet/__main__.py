"""The commands: `python -m tinynet check`, `exercise`, `grade`, `package` and `rates`; `--help` explains each."""

import argparse
import os
import sys
from pathlib import Path


def main(arguments=None):
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tinynet", description="Gradient checks, exercises and marks.")
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (_check, _exercise, _grade, _package, _rates, _new_block):
        add(commands)
    given = parser.parse_args(arguments)
    try:
        code = given.run(given)
        sys.stdout.flush()
    except BrokenPipeError:             # the reader has seen enough: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())      # for what Python flushes at its end
        return 1
    return code


def _check(commands):
    check = commands.add_parser("check", help="check the X_forward and X_backward that a file or notebook defines")
    check.add_argument("file")
    check.set_defaults(run=lambda given: _student().check_file(given.file))


def _student():
    from tinynet.exercises import student
    return student


# %% Exercises
def _exercise(commands):
    from_sheets = "a deck (csc321) or a sheet.json"
    exercise = commands.add_parser("exercise", help="write the stub of an exercise, or a whole sheet")
    exercise.add_argument("name", nargs="?", help="a block, see --list")
    exercise.add_argument("--deck", metavar="SHEET", help=f"the whole sheet: {from_sheets}")
    exercise.add_argument("--parts", choices=("forward", "backward", "both"), help="what is to be written "
                                                                                  "(default: both)")
    exercise.add_argument("--variant", metavar="STUDENT", help="a variant of the block for this student, which our own "
                                                               "backward doesn't solve")
    exercise.add_argument("--secret-file", help="the secret that variants are drawn from")
    exercise.add_argument("--out", metavar="DIR", help="the folder to write to (default: here)")
    exercise.add_argument("--list", action="store_true", help="list blocks and decks")
    exercise.set_defaults(run=_run_exercise)


def _run_exercise(given):
    from tinynet.exercises import handout
    if given.list or not (given.name or given.deck):
        print(handout.listing())
        return 0
    try:
        written = handout.write(given.name, given.deck, given.parts, given.variant, _secret(given), given.out or ".")
    except (ValueError, OSError) as error:
        print(error)
        return 2
    for path in written:
        print(f"wrote {path}")
    return 0


# %% Marks
def _grade(commands):
    grade = commands.add_parser("grade", help="give points to submissions: files, notebooks or folders of them, "
                                              "one a student")
    grade.add_argument("submissions", nargs="+", metavar="SUBMISSION")
    grade.add_argument("--sheet", help="what is marked: a deck (csc321), a sheet.json or a block (default: all blocks "
                                       "that are handed in)")
    grade.add_argument("--secret-file", help="mark with hidden inputs that are drawn from this file's content")
    grade.add_argument("--variants", action="store_true", help="mark each student's own variant, drawn from the secret "
                                                               "and the student's name (exercise --variant NAME)")
    grade.add_argument("--hints", type=int, choices=range(4), default=2,
                       help="0 right or wrong, 1 which part, 2 which kind of mistake (default), 3 which equation")
    grade.add_argument("--out", metavar="DIR", help="write class.csv, parts.csv, junit.xml and each student's "
                                                    "report.txt and results.json")
    grade.add_argument("--jobs", type=int, help="submissions at once (default: one for each processor)")
    grade.set_defaults(run=_run_grade)


def _run_grade(given):
    from tinynet.exercises import grader, handout, results
    try:
        sheet = handout.sheet_for(given.sheet, given.submissions)
        secret = _secret(given)
    except (ValueError, OSError) as error:
        print(error)
        return 2

    def done(result):
        text = results.clean(results.report(result, given.hints))
        print(text if len(given.submissions) == 1 else "\n".join(text.splitlines()[:2]), flush=True)
    graded = grader.grade_class(given.submissions, sheet, secret, given.hints, variant=given.variants,
                                jobs=given.jobs, done=done)
    if given.out:
        results.write_all(given.out, graded, given.hints)
        print(f"wrote {Path(given.out) / 'class.csv'}, parts.csv, junit.xml and a folder for each student")
    return 0 if any(r.hash != grader.NOTHING for r in graded) else 2


def _secret(given):
    return Path(given.secret_file).read_bytes() if given.secret_file else None


def _package(commands):
    package = commands.add_parser("package", help="an assignment for Gradescope, Otter, nbgrader or GitHub Classroom")
    package.add_argument("kind", choices=("gradescope", "otter", "nbgrader", "classroom"))
    package.add_argument("--sheet", required=True, help="a deck (csc321), a sheet.json or a block")
    package.add_argument("--secret-file", help="mark with hidden inputs (Gradescope)")
    package.add_argument("--out", required=True, help="autograder.zip, a folder for notebooks, or autograding.json")
    package.set_defaults(run=_run_package)


def _run_package(given):
    from tinynet.exercises import handout, packages
    try:
        written = packages.KINDS[given.kind](handout.sheet_for(given.sheet, ()), Path(given.out), _secret(given))
    except (ValueError, OSError) as error:
        print(error)
        return 2
    print(f"wrote {written}")
    return 0


def _rates(commands):
    rates = commands.add_parser("rates", help="how many planted mistakes are caught and named, how many right "
                                              "backwards are rejected")
    rates.add_argument("--draws", type=int, default=10_000, help="random right backwards to check (default 10000)")
    rates.set_defaults(run=_run_rates)


def _run_rates(given):
    from tinynet.check.rates import print_rates
    return print_rates(given.draws)


# %% For whoever writes a block
def _new_block(commands):
    new = commands.add_parser("new-block", help="write the skeletons of a new block: file, case, recipe, planted "
                                                "mistake and test, which fail until they are filled")
    new.add_argument("name")
    new.add_argument("--topic", required=True, help="units, losses, images, sequences, graphs or tasks")
    new.set_defaults(run=_run_new_block)


def _run_new_block(given):
    from tinynet.new_block import new_block
    try:
        written = new_block(given.name, given.topic, Path.cwd())
    except (ValueError, OSError) as error:
        print(error)
        return 2
    for path in written:
        print(f"wrote {path.relative_to(Path.cwd())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
