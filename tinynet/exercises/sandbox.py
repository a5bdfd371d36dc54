"""The grader's half of the sandbox: start a student's process, ask it, end it.

    with Sandbox(files) as sandbox:
        sandbox.not_locked                          # what this machine could not lock, [] when all was
        sandbox.ask(dict(do="load", ...), seconds=3)

Linux locks everything: see `child.py`.  On macOS and Windows the time limits hold, and `not_locked` says what doesn't.
"""

import contextlib
import ctypes
import itertools
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinynet.exercises import frames

START = 30.0            # seconds for Python itself to start, on a busy machine
PATIENCE = 20           # times a limit at most, however busy the machine is
CHILD = Path(__file__).with_name("child.py")


class Limits(NamedTuple):
    """What one student's process may use.

    call     seconds for one call of a student's function
    load     seconds to run the file itself
    all      seconds for the whole file, counted while its answers are waited for: a busy grader costs nobody points
    cpu      seconds of processor time for one process
    memory   MiB
    printed  bytes of what it prints that are kept
    """

    call: float = 3.0
    load: float = 5.0
    all: float = 60.0
    cpu: int = 40
    memory: int = 1024
    printed: int = 2000


LIMITS = Limits()


class Left:
    """The seconds that one file has left, over all of its processes."""

    def __init__(self, seconds):
        self.seconds = seconds

    @contextlib.contextmanager
    def used(self, process):
        """What is waited for a process inside counts."""
        waited = stopwatch(process)
        try:
            yield
        finally:
            self.seconds -= waited()


def stopwatch(process):
    """A function that says how many seconds have passed, without those in which this process and the other one stood
    in line for a processor: a busy machine is nobody's fault.  At least 1 / PATIENCE of them count."""
    began, stood = time.monotonic(), _stood_in_line(process)

    def passed():
        seconds = time.monotonic() - began
        return max(seconds / PATIENCE, seconds - (_stood_in_line(process) - stood))
    return passed


def _stood_in_line(process):
    """Seconds, over all threads of both, as Linux tells; 0 elsewhere."""
    total = 0.0
    for threads in Path("/proc").glob(f"{process}/task/*"), Path("/proc/self/task").glob("*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += sum(int((thread / "schedstat").read_text().split()[1]) for thread in threads) / 1e9
    return total


class Gone(Exception):
    """The student's process gave no answer: it was too slow, it ended, or it sent no frame."""


class Raised(Exception):
    """The student's code raised an exception; `what` holds kind, text, label, line and function."""

    def __init__(self, what):
        self.what = {key: _printable(what[key]) for key in ("kind", "text", "label", "line", "function")}
        super().__init__(self.what["text"])


def _printable(value):
    """Text without what could steer a terminal; whole numbers as they are."""
    return value if type(value) is int else "".join(c if c.isprintable() or c == "\n" else "?" for c in str(value))


def raised(what):
    """The exception that stands for the student's: it has the same name, and is a ValueError or AssertionError if
    that was, because the checker looks for these: a forward may refuse what it is given.
    """
    like = dict(ValueError=(ValueError,), AssertionError=(AssertionError,)).get(what.get("like"), ())
    return type(str(what["kind"]), (Raised, *like), {})(what)


class Sandbox:
    """One locked-in process for one student's files, {name: bytes}."""

    def __init__(self, files, limits=LIMITS, left=None):
        self.limits, self.left = limits, left or Left(limits.all)
        self.number, self.text, self.printed, self.why_gone = itertools.count(), b"", 0, ""
        self.folder = tempfile.mkdtemp(prefix="tinynet-")
        try:
            os.chmod(self.folder, 0o755)
            for name, content in files.items():
                Path(self.folder, name).write_bytes(content)
            self.dumpable = _unreadable()
            self._start()
            self.not_locked = self._asked(dict(do="lost"), START, "Python did not start")   # before the student's code
        except BaseException:
            self.close()
            raise

    def _start(self):
        packages = Path(np.__path__[0]).resolve().parent
        one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        needed = {key: os.environ[key] for key in ("SYSTEMROOT",) if key in os.environ}         # Windows
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-u", str(CHILD), str(packages), self.folder, str(self.limits.cpu),
             str(self.limits.memory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, cwd=self.folder, env=one | needed, bufsize=0)
        self.questions, self.answers = queue.SimpleQueue(), queue.SimpleQueue()
        for work in (self._write, self._read, self._listen):
            threading.Thread(target=work, daemon=True).start()

    # ---- three threads, so that no full pipe can stop the grader
    def _write(self):
        with contextlib.suppress(OSError, ValueError):
            while (question := self.questions.get()) is not None:
                while question:
                    question = question[self.process.stdin.write(question):]

    def _read(self):
        """Put every whole frame into `answers`; what is no frame, or the end, puts an exception there."""
        data = bytearray()
        try:
            while more := self.process.stdout.read(1 << 16):
                data += more
                while (length := frames.whole(data)) is not None:
                    self.answers.put(bytes(data[:length]))
                    del data[:length]
            self.answers.put(Gone("the process ended"))
        except (OSError, ValueError):
            self.answers.put(Gone("it sent something that is no answer"))

    def _listen(self):
        """Keep the first bytes that are printed and throw the rest away."""
        with contextlib.suppress(OSError, ValueError):
            while more := self.process.stderr.read(1 << 16):
                self.text += more[:max(0, self.limits.printed - len(self.text))]
                self.printed += len(more)

    # ---- questions
    def ask(self, request, seconds=None):
        """The answer.  Raises Raised with the student's exception, Gone when there is none, then and ever after."""
        if self.why_gone:
            raise Gone(self.why_gone)
        seconds = self.limits.call if seconds is None else seconds
        late = f"there was no answer within {seconds:.3g} s: is there an endless loop?"
        if self.left.seconds < seconds:
            seconds, late = max(self.left.seconds, 0.001), f"the {self.limits.all:g} s for this file are used up"
        with self.left.used(self.process.pid):
            return self._asked(request, seconds, late)

    def _asked(self, request, seconds, late):
        number = next(self.number)
        self.questions.put(frames.pack(dict(request, drop=request.get("drop", []))))
        try:
            state, value = self._answer(number, seconds, late)
        except Gone as error:
            self.why_gone = str(error)
            self._kill()
            raise
        if state == "ok":
            return value
        raise value

    def _answer(self, number, seconds, late):
        waited, frame = stopwatch(self.process.pid), None
        while frame is None:
            try:
                frame = self.answers.get(timeout=max(seconds - waited(), 0.01))
            except queue.Empty:
                if waited() >= seconds:
                    raise Gone(late) from None
        if isinstance(frame, Gone):
            raise Gone(f"{frame}{_how(self.process)}")
        try:
            theirs, state, value = frames.unpack(frame)
            if type(theirs) is not int or theirs != number or state not in ("ok", "error"):
                raise ValueError("an answer to no question")
            return state, raised(value) if state == "error" else value
        except Exception:                       # hostile bytes may raise anything
            raise Gone("it sent something that is no answer") from None

    # ---- the end
    def _kill(self):
        if hasattr(os, "killpg"):
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self.process.kill()

    def close(self):
        """End the process, and all in its session; remove its folder.  Nothing of it is left behind."""
        if hasattr(self, "process"):
            self._kill()
            self.process.wait()
            self.questions.put(None)
            for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
                with contextlib.suppress(OSError):
                    pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        _unreadable(getattr(self, "dumpable", None))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def words(self):
        """The first lines that the student's code printed, as text without control characters."""
        text = self.text.decode("utf-8", "replace")
        kept = "".join(c if c.isprintable() or c == "\n" else "?" for c in text).strip()
        more = self.printed - len(self.text)
        return f"{kept}\n... and {more:,} bytes more" if more > 0 else kept


def _how(process):
    """", by signal 9" and the like, of a process that has ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        code = process.wait(timeout=1)
        signals = {-getattr(signal, "SIGXCPU", 24): " (it had used up its processor time)",
                   -signal.SIGSEGV: " (it read memory that isn't its own)",
                   -getattr(signal, "SIGXFSZ", 25): " (it wrote a file)"}
        return signals.get(code, f" (signal {-code})" if code < 0 else f" (exit code {code})")
    return ""


def _unreadable(state=0):
    """Make this process's memory unreadable for others of the same user, on Linux; returns how it was before."""
    if sys.platform != "linux" or state is None:
        return None
    libc = ctypes.CDLL(None)
    before = libc.prctl(3, 0, 0, 0, 0)          # PR_GET_DUMPABLE
    libc.prctl(4, state, 0, 0, 0)               # PR_SET_DUMPABLE
    return before
