"""What hostile submissions get: the points that they deserve, one sentence, and nothing else."""

import sys
import time
from pathlib import Path

import pytest

from tinynet.exercises import results, sheets
from tinynet.exercises.grader import grade
from tinynet.exercises.remote import Student
from tinynet.exercises.sandbox import Limits
from tinynet.exercises.submission import Submission, read

from .attacks import BREAK, FAKE, REACH, source

SHEET = sheets.Sheet("softmax", "softmax", [sheets.exercise("softmax")])
LIMITS = Limits(call=0.8, load=4.0, all=6.0, cpu=8, memory=600)
locked = pytest.mark.skipif(sys.platform != "linux", reason="only Linux locks everything")


def graded(tmp_path, text, limits=LIMITS):
    """(Result, its report) of one submission."""
    path = tmp_path / "hostile.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = grade(Submission(path), SHEET, hints=2, limits=limits)
    return result, results.report(result)


@pytest.fixture(scope="module")
def deserved(tmp_path_factory):
    """The points for a right forward beside a wrong backward."""
    result, _ = graded(tmp_path_factory.mktemp("wrong"), source())
    assert 1.5 < result.points < 2.5
    return result.points


@pytest.fixture(autouse=True)
def _nothing_is_left():
    """No file, no process and no change of the working folder comes out of a submission."""
    folders = [Path("."), Path("/dev/shm"), Path("/tmp")]
    before = {folder: _names(folder) for folder in folders if folder.exists()}
    yield
    for folder, names in before.items():
        assert not (_names(folder) - names) & {"tinynet-attack", "pwned", "note.txt"}
    assert _children() == []


def _names(folder):
    return {path.name for path in folder.iterdir()}


def _children():
    """Processes that this one has started and that still run."""
    found = [pid for task in Path("/proc/self/task").glob("*/children") for pid in _text(task).split()]
    return [pid for pid in found if "child.py" in _text(Path(f"/proc/{pid}/cmdline"))]


def _text(path):
    """What a file in /proc holds, nothing where its thread or process has ended meanwhile."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@locked
@pytest.mark.parametrize("name", FAKE)
def test_fakes_earn_nothing(tmp_path, deserved, name):
    text, said = FAKE[name]
    result, report = graded(tmp_path, text)
    assert result.points <= deserved + 1e-9, report
    assert said in report
    assert result.not_locked == []


@locked
@pytest.mark.parametrize("name", REACH)
def test_nothing_can_be_reached(tmp_path, deserved, name):
    result, report = graded(tmp_path, REACH[name])
    assert result.points <= deserved + 1e-9, report


@locked
@pytest.mark.parametrize("name", BREAK)
def test_what_breaks_things_costs_its_own_points(tmp_path, deserved, name):
    text, said = BREAK[name]
    began = time.monotonic()
    result, report = graded(tmp_path, text)
    assert time.monotonic() - began < 120           # the file's own limits end it, however busy the machine is
    assert result.points <= deserved + 1e-9, report
    assert said in report


def test_a_right_submission_gets_all_points(tmp_path):
    result, report = graded(tmp_path, source("", "return right(dy, y, axis)"), LIMITS._replace(call=3.0))
    assert result.points == pytest.approx(result.of), report


def test_the_folder_and_the_process_of_a_submission_are_gone_afterwards(tmp_path):
    (tmp_path / "mine.py").write_text(source())
    student = Student(read(tmp_path / "mine.py"), LIMITS)
    folder, process = Path(student.sandbox.folder), student.sandbox.process
    assert folder.exists()
    assert list(folder.iterdir()) == []
    student.close()
    assert not folder.exists()
    assert process.poll() is not None
