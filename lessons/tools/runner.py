"""Running lessons: two side by side with one thread each, or one in this process, and the table at the end."""

import io
import multiprocessing
import os
import random
import runpy
import sys
import textwrap
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

EXTRA = 'pip install -e ".[lessons]"'
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
SIDE_BY_SIDE = 2


@dataclass
class Outcome:
    """What became of one lesson, for the table at the end."""

    entry: object
    seconds: float
    figures: list
    shown: str
    failed: bool = False


# %% All that were asked for
def run_all(entries, asked):
    """Returns the exit code: 0, 1 if a lesson failed, 130 after Ctrl-C."""
    if not asked.show:
        os.environ["MPLBACKEND"] = "Agg"
    outcomes = []
    here = asked.show or len(entries) == 1
    try:
        for outcome, text in (one_by_one if here else side_by_side)(entries, asked):
            outcomes.append(outcome)
            print(text, end="", flush=True)
    except KeyboardInterrupt:
        print("\nstopped by Ctrl-C; the figures that were written are whole")
        return 130
    outcomes.sort(key=lambda o: entries.index(o.entry))
    print(table(outcomes))
    failed = [o.entry.name for o in outcomes if o.failed]
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


def title(entry):
    return f"\n{entry.name}: {entry.question}"


def one_by_one(entries, asked):
    """(Outcome, "") of each lesson, which prints as it goes."""
    for entry in entries:
        print(title(entry))
        yield run(entry, asked), ""


def side_by_side(entries, asked):
    """(Outcome, all that it printed) of each lesson, in the order in which they end."""
    spawn = multiprocessing.get_context("spawn")
    with one_thread_each(), ProcessPoolExecutor(SIDE_BY_SIDE, spawn) as pool, progress(len(entries)) as advance:
        waiting = {pool.submit(run_quietly, entry, asked): entry for entry in entries}
        try:
            for done in as_completed(waiting):
                outcome, text = _result(done, waiting[done])
                advance()
                yield outcome, text
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


@contextmanager
def one_thread_each():
    """Workers that are started inside find in the environment that they are to use one thread."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _result(done, entry):
    """What a worker returned, also where its process is gone."""
    try:
        return done.result()
    except BrokenProcessPool:
        error = "FAILED: its process ended suddenly (was there enough memory?)"
        return Outcome(entry, 0.0, [], error, True), f"{title(entry)}\n  {error}\n"


def run_quietly(entry, asked):
    """run, with what was printed as text.  Raises KeyboardInterrupt where the lesson was stopped."""
    text = io.StringIO()
    with redirect_stdout(text), redirect_stderr(text):
        print(title(entry))
        outcome = run(entry, asked)
    return outcome, text.getvalue()


# %% One lesson
def run(entry, asked):
    """Run one lesson in this process and tidy up behind it."""
    from tinynet.lesson import lesson

    lesson.quick, lesson.seed, lesson.format = asked.quick, asked.seed, asked.format
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
@contextmanager
def progress(count):
    """A function that moves a progress bar on; where there is no terminal, no bar."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        print(f"no progress bar: tqdm is missing; install it with  {EXTRA}")
        yield lambda: None
        return
    with tqdm(total=count, desc="lessons", unit="lesson", leave=False) as bar:
        yield bar.update


def wrapped(text, width):
    """The lines of a cell; slide items such as rnn-jacobian are not broken."""
    return [piece for line in text.split("\n") for piece in textwrap.wrap(line, width, break_on_hyphens=False)] or [""]


def table(outcomes):
    """The summary: lesson, slide items, figures, seconds, what was shown."""
    widths = (26, 24, 32, 7, 44)
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
