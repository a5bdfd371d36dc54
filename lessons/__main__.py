"""Run the lessons: `python -m lessons`, or `python -m lessons residual attention --quick`."""

import argparse
import os
import random
import runpy
import sys
import tempfile
import textwrap
import time
import traceback
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from lessons.catalogue import FOLDER, catalogue, choose

EXTRA = 'pip install -e ".[lessons]"'


@dataclass
class Outcome:
    """What became of one lesson, for the table at the end."""

    entry: object
    seconds: float
    figures: list
    shown: str
    failed: bool = False


# %% The command line
def parse(argv):
    parser = argparse.ArgumentParser("python -m lessons", description="Run the lessons on embedded data; print their "
                                     "numbers beside the slides', write the figures and a table.")
    parser.add_argument("names", nargs="*", help="lessons to run, e.g. residual or 03_residual; all without")
    parser.add_argument("--list", action="store_true", help="name the lessons and what they ask, run none")
    parser.add_argument("--slides", action="store_true", help="print the slide index (lessons/README.md)")
    parser.add_argument("--quick", action="store_true", help="the same code on less")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random numbers (0)")
    parser.add_argument("--figures", type=Path, default=FOLDER.parent / "figures", metavar="DIR", help="where to write")
    parser.add_argument("--data", type=Path, metavar="DIR", help="real datasets, for the lessons that can use them")
    parser.add_argument("--show", action="store_true", help="open the figures in windows, too")
    return parser.parse_args(argv)


def main(argv=None, folder=FOLDER):
    """Returns the exit code: 0, 1 if a lesson failed, 2 if the command can't be done, 130 after Ctrl-C."""
    asked = parse(argv)
    if asked.slides:
        from lessons.slides import index
        print(index(), end="")
        return 0
    try:
        entries = choose(asked.names, catalogue(folder))
        if asked.list:
            for entry in entries:
                print(f"{entry.name:<26} {entry.question}")
            return 0
        if asked.seed < 0:
            raise ValueError(f"--seed: {asked.seed} is negative; seeds start at 0")
        if asked.data and not asked.data.is_dir():
            raise ValueError(f"--data: there is no folder {asked.data}; leave --data out to use embedded data")
        make_writable(asked.figures)
    except (KeyError, ValueError) as error:
        print(f"python -m lessons: {error.args[0]}", file=sys.stderr)
        return 2
    if asked.data and not any("lesson.data" in entry.path.read_text(encoding="utf-8") for entry in entries):
        print("--data: none of these lessons uses real data; they run on embedded data")
    return run_all(entries, asked)


def make_writable(folder):
    """Make the folder; raises ValueError where no file can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"--figures: no file can be written in {folder} ({error.strerror}); "
                         "choose another folder with --figures DIR") from None


# %% Running
def run_all(entries, asked):
    if not asked.show:
        os.environ["MPLBACKEND"] = "Agg"
    outcomes = []
    with progress(entries) as steps:
        try:
            for number, entry in steps:
                print(f"\n[{number}/{len(entries)}] {entry.name}: {entry.question}")
                outcomes.append(run(entry, asked))
        except KeyboardInterrupt:
            print("\nstopped by Ctrl-C; the figures that were written are whole")
            return 130
    print(table(outcomes))
    failed = [o.entry.name for o in outcomes if o.failed]
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


def run(entry, asked):
    """Run one lesson in this process (imports are what is slow) and tidy up behind it."""
    from lessons import lesson

    lesson.quick, lesson.seed = asked.quick, asked.seed
    lesson.data, lesson.figures = asked.data, asked.figures
    lesson.begin()
    start, error = time.perf_counter(), ""
    try:
        with fresh_state(asked.seed):
            runpy.run_path(str(entry.path), run_name="__main__")
            show_figures(asked.show)
    except (Exception, SystemExit) as wrong:
        error = explain(entry, wrong)
        print(f"  {error}")
    finally:
        close_figures()
    seconds = time.perf_counter() - start
    return Outcome(entry, seconds, lesson.saved, error or lesson.sentence, bool(error))


@contextmanager
def fresh_state(seed):
    """The same backend and global seeds for every lesson, whatever the one before has done."""
    import numpy as np

    from tinynet import backend

    random.seed(seed)
    np.random.seed(seed % 2**32)
    with backend.use_backend(backend.DEFAULT_BACKEND):
        yield


def explain(entry, error):
    """One sentence: which lesson failed, in which line, why, and what to install if that is the reason."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(entry.path)]
    line = lines[-1] if lines else getattr(error, "lineno", None)
    where = f"{entry.path.name}, line {line}" if line else entry.path.name
    hint = f"; install what is missing with  {EXTRA}" if isinstance(error, ImportError) else ""
    return f"FAILED in {where}: {type(error).__name__}: {error}{hint}"


def show_figures(wanted):
    plt = sys.modules.get("matplotlib.pyplot")
    if wanted and plt and plt.get_fignums():
        if plt.get_backend().lower() == "agg":
            print("  there is no display for --show; the figures are in the figures folder")
        else:
            plt.show()


def close_figures():
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


# %% Telling
class AboveBar:
    """Standard output while a progress bar is drawn: whole lines are printed above it."""

    def __init__(self, bar, out):
        self.bar, self.out, self.line = bar, out, ""

    def write(self, text):
        done, end, self.line = (self.line + text).rpartition("\n")
        if end:
            self.bar.clear()
            self.out.write(done + end)
            self.out.flush()
            self.bar.refresh()
        return len(text)

    def flush(self):
        self.out.flush()


@contextmanager
def progress(entries):
    """(number, entry) of each lesson under a progress bar; where there is no terminal, no bar."""
    steps = list(enumerate(entries, 1))
    if not sys.stderr.isatty():
        yield steps
        return
    try:
        from tqdm import tqdm
    except ImportError:
        print(f"no progress bar: tqdm is missing; install it with  {EXTRA}")
        yield steps
        return
    with tqdm(steps, desc="lessons", unit="lesson", leave=False) as bar, \
            redirect_stdout(AboveBar(bar, sys.stdout)):
        yield bar


def wrapped(text, width):
    """The lines of a cell; slide items such as rnn-jacobian are not broken."""
    return [piece for line in text.split("\n") for piece in textwrap.wrap(line, width, break_on_hyphens=False)] or [""]


def table(outcomes):
    """The summary: lesson, slide items, figures, seconds, what was shown."""
    widths = (24, 24, 32, 7, 44)
    rows = [("lesson", "slide items", "figures", "seconds", "what was shown")]
    rows += [(o.entry.name, o.entry.slides, "\n".join(o.figures), f"{o.seconds:7.1f}", o.shown) for o in outcomes]
    lines = [""]
    for row in rows:
        cells = [wrapped(text, width) for text, width in zip(row, widths, strict=True)]
        for i in range(max(map(len, cells))):
            lines.append("  ".join(f"{cell[i] if i < len(cell) else '':<{width}}"
                                   for cell, width in zip(cells, widths, strict=True)).rstrip())
        lines.append("-" * (sum(widths) + 8) if row is rows[0] else "")
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    sys.exit(main())
