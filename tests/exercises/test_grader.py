"""A class of ten is graded: points, tables, files for other programs, and nothing else is touched."""

import contextlib
import csv
import hashlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

import tinynet
from tinynet import cases
from tinynet.__main__ import main
from tinynet.exercises import described, marking, packages, results, sheets
from tinynet.exercises.grader import grade, grade_class
from tinynet.exercises.marking import Seeds
from tinynet.exercises.sandbox import Limits
from tinynet.exercises.submission import Submission

from .classroom import CLASS, DIAGONAL, HEAD, SOFTMAX, STITCH, notebook

SHEET = sheets.Sheet("ps1", "first sheet", [sheets.exercise(n) for n in ("residual", "cross_stitch", "softmax")])
ONE = sheets.Sheet("ps2", "softmax", [sheets.exercise("softmax")])
LIMITS = Limits(call=4.0, load=4.0, all=20.0, memory=700)
ROOT = Path(tinynet.__file__).parent.parent


def one(tmp_path, text, name="mine.py", **given):
    (tmp_path / name).write_text(text)
    return grade(Submission(tmp_path / name), given.pop("sheet", ONE), limits=LIMITS, **given)


def fingerprint(folder):
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_a_signature_that_does_not_fit_is_told_that_of_the_stub(tmp_path):
    text = "import numpy as np\ndef softmax_forward(x):\n    e = np.exp(x)\n    return e / e.sum(-1)[..., None], e\n"
    said = results.report(one(tmp_path, text), hints=2)
    assert "got an unexpected keyword argument 'axis': write softmax_forward(x, axis=-1)" in said


# %% The class
@pytest.fixture(scope="module")
def classroom(tmp_path_factory):
    """(Results by student, the folder with what was written); two at once."""
    folder = tmp_path_factory.mktemp("class")
    for student, files in CLASS.items():
        for name, text in files.items():
            path = folder / "handed in" / student / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    before = fingerprint(folder)
    graded = grade_class(sorted((folder / "handed in").iterdir()), SHEET, b"the secret", hints=3, limits=LIMITS, jobs=2)
    assert fingerprint(folder) == before
    results.write_all(folder / "out", graded, hints=3)
    return {r.student: r for r in graded}, folder / "out"


def shares(result):
    """The share of each exercise's points, in percent."""
    return [round(100 * sum(p.points for p in parts) / sum(p.of for p in parts)) for _, parts in result.exercises()]


def test_right_answers_in_three_styles_get_all_points(classroom):
    graded, _ = classroom
    assert [shares(graded[name]) for name in ("anna", "ben", "carla")] == [[100, 100, 100]] * 3


def test_wrong_answers_lose_what_is_wrong(classroom):
    graded, _ = classroom
    residual, stitch, softmax = shares(graded["dora"])
    assert (residual, stitch) == (100, 100)
    assert 50 < softmax < 70                # y and dx's shape
    residual, stitch, softmax = shares(graded["emil"])
    assert 70 < residual < 90               # dx alone is wrong
    assert 60 < stitch < 90                 # dalpha alone
    assert 80 < softmax < 100               # right but for scores of 1000
    assert "only the diagonal of the softmax Jacobian" in graded["dora"].hints["softmax"]
    assert "(6)  dE/dx_l" in graded["emil"].hints["residual"]
    assert "exp overflows" in graded["emil"].hints["softmax"]


def test_what_is_missing_or_hostile_costs_its_own_points(classroom):
    graded, _ = classroom
    assert shares(graded["fritz"]) == [0, 0, 100]
    assert [shares(graded[name]) for name in ("gina", "hugo", "jens")] == [[0, 0, 0]] * 3
    assert shares(graded["ida"]) == [0, 100, 0]         # her other file is right
    texts = {name: results.report(graded[name]) for name in ("fritz", "gina", "hugo", "ida", "jens")}
    assert "backward: not written yet" in texts["fritz"]
    assert "line 1: invalid syntax" in texts["gina"]
    assert "the process ended (exit code 0)" in texts["hugo"]
    assert "endless loop" in texts["ida"]
    assert "is tinynet's own code" in texts["jens"]


def test_the_tables_hold_every_student_and_part(classroom):
    graded, out = classroom
    with open(out / "class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["student"] for row in rows] == sorted(CLASS)
    assert {row["student"]: float(row["points"]) for row in rows} == {
        name: pytest.approx(r.points, abs=0.006) for name, r in graded.items()}
    with open(out / "parts.csv", newline="") as file:
        parts = list(csv.DictReader(file))
    assert len(parts) == sum(len(r.parts) for r in graded.values())
    assert sum(float(p["of"]) for p in parts if p["student"] == "anna") == pytest.approx(SHEET.points, abs=0.01)
    assert {p["seeds"] for p in parts} == {Seeds(b"the secret").id}


def test_gradescopes_file_and_junits_are_whole(classroom):
    graded, out = classroom
    for name, r in graded.items():
        tree = json.loads((out / name / "results.json").read_text())
        assert tree["score"] == pytest.approx(r.points, abs=1e-3)
        assert [t["name"] for t in tree["tests"]] == ["residual", "cross_stitch", "softmax"]
        assert sum(t["max_score"] for t in tree["tests"]) == pytest.approx(SHEET.points, abs=1e-3)
        assert all(t["output_format"] == "text" and t["output"] for t in tree["tests"])
        assert (out / name / "report.txt").read_text().startswith(f"{name}: ")
    suites = ElementTree.parse(out / "junit.xml").getroot()
    assert [s.get("name") for s in suites] == sorted(CLASS)
    anna = next(s for s in suites if s.get("name") == "anna")
    assert anna.get("failures") == "0"
    assert len(anna.findall("testcase")) == len(graded["anna"].parts)


# %% Seeds, hints and words
def test_hidden_inputs_come_from_the_secret_the_student_and_the_file():
    draws = {Seeds(*key).rng("softmax", "case", 0).integers(2**60) for key in (
        (), (b"a", "anna", "1"), (b"b", "anna", "1"), (b"a", "ben", "1"), (b"a", "anna", "2"))}
    assert len(draws) == 5
    assert Seeds(None, "anna", "1").rng("x").random() == Seeds(None, "ben", "2").rng("x").random()


def test_printed_hidden_inputs_are_worthless(tmp_path):
    """A file that holds the answers to the inputs that it has printed is another file: it gets other inputs."""
    spy = HEAD + SOFTMAX.replace("    p, axis = cache\n", "    p, axis = cache\n    print(dy.ravel()[0])\n")
    one(tmp_path, spy, secret=b"s")
    first = Seeds(b"s", "mine", Submission(tmp_path / "mine.py").hash)
    one(tmp_path, spy + "# and now the answers", secret=b"s")
    second = Seeds(b"s", "mine", Submission(tmp_path / "mine.py").hash)
    assert first.rng("softmax", "softmax", 0).random() != second.rng("softmax", "softmax", 0).random()


def test_hints_go_from_right_or_wrong_to_the_equation(tmp_path):
    texts = [results.report(one(tmp_path, HEAD + DIAGONAL, hints=level), level) for level in range(4)]
    said = ["wrong", "dx (values", "only the diagonal", "see (4)  dx[c] = y[c] (dy[c] - sum_k dy[k] y[k])"]
    for level, text in enumerate(texts):
        assert [s in text for s in said] == [True] * (level + 1) + [False] * (3 - level)


def test_the_bar_says_what_passes_and_what_is_next(tmp_path):
    half = results.bar(one(tmp_path, HEAD + SOFTMAX.replace("def softmax_backward", "def other")))
    assert half.startswith("[#####")
    assert "next: softmax, dx" in half
    assert results.bar(one(tmp_path, HEAD + SOFTMAX)).endswith("parts are right; all is right")


def test_cells_that_a_spreadsheet_would_run_are_harmless(tmp_path):
    results.write_csv(tmp_path / "t.csv", [["=cmd()", "@x", "fine", 1.5, "a\x1b[31m"]])
    assert (tmp_path / "t.csv").read_text().strip() == "'=cmd(),'@x,fine,1.5,a?[31m"


def test_a_teacher_is_told_where_to_look(tmp_path):
    text = HEAD + "import os\n" + SOFTMAX.replace("    p, axis = cache\n", "    p, axis = cache\n    eval('1')\n")
    assert one(tmp_path, text).look_at == ["mine.py imports os", "mine.py uses eval"]


@pytest.mark.parametrize("line", ["from tinynet.blocks.units.softmax import softmax_backward as ours",
                                  "import tinynet.blocks.units.softmax", "from tinynet import ops",
                                  "import importlib; importlib.import_module('tinynet.blocks.units.softmax')"])
def test_the_teacher_sees_who_imports_tinynets_own_code(tmp_path, line):
    text = f"from tinynet.shapes import sizes\nimport tinynet\ntry:\n    {line}\nexcept Exception:\n    pass\n{SOFTMAX}"
    graded = one(tmp_path, text)
    named = "tinynet.blocks.units.softmax" if "blocks" in line else "tinynet.ops"
    assert f"mine.py imports tinynet's own code ({named})" in graded.look_at
    (tmp_path / "out").mkdir()
    results.write_all(tmp_path / "out", [graded])
    assert f"tinynet's own code ({named})" in (tmp_path / "out" / "class.csv").read_text()


def test_what_tinynet_lends_is_nothing_to_look_at(tmp_path):
    assert one(tmp_path, f"from tinynet.shapes import sizes\nfrom tinynet import graph\n{SOFTMAX}").look_at == []


def test_a_wrong_backward_earns_nothing_where_sizes_of_one_hide_it(tmp_path):
    zeros = f"{SOFTMAX}\n\ndef softmax_backward(dy, cache):\n    return np.zeros_like(dy)\n"
    graded = one(tmp_path, zeros, secret=b"s")
    assert {p.what: p.points for p in graded.parts if p.name == "dx" and p.what != "shape"} == {
        "values": 0, "odd layouts": 0}


@pytest.mark.parametrize("name", [n for n in cases.op_names() if "blocks" in cases.of(n)[0].op.forward.__module__])
@pytest.mark.parametrize("wrong", [lambda g: 0 * g, lambda g: 2 * g, lambda g: 0 * g + 1])
def test_what_is_wrong_everywhere_earns_nothing_on_any_case(name, wrong):
    for case in cases.of(name):
        looked = {}
        for number, (sizes, scale, tells) in enumerate(marking.variations(case)):
            with contextlib.suppress(ValueError):
                draw = marking.Draw.of(case, Seeds().rng(name, case.name, number), sizes, scale)
                for i in described.gradients(case):
                    right = draw.grads[i]
                    marking._add(looked, i, marking._same(wrong(right), right, scale), tells and right.any())
        assert all(marking._count(draws) == 0 for draws in looked.values())


def test_what_cant_be_locked_is_said(tmp_path, monkeypatch):
    """The same child without namespaces and Landlock: forging and importing stay blocked, and the report tells."""
    folder = tmp_path / "tinynet" / "exercises"
    folder.mkdir(parents=True)
    source = Path(packages.__file__).parent
    text = (source / "child.py").read_text()
    off = text.replace("libc.unshare(new_namespaces) != 0", "True").replace("if abi < 1:", "if True:")
    assert off != text
    (folder / "child.py").write_text(off)
    (folder / "frames.py").write_text((source / "frames.py").read_text())
    for name in ("shapes.py", "sparse.py", "graph.py"):
        (folder.parent / name).write_text((source.parent / name).read_text())
    monkeypatch.setattr("tinynet.exercises.sandbox.CHILD", folder / "child.py")
    result = one(tmp_path, HEAD + SOFTMAX)
    assert result.points == pytest.approx(result.of)
    if sys.platform == "linux":
        assert result.not_locked == ["the network", "files and signals"]
    assert "not locked on this machine: the network, files and signals" in results.report(result)
    forks = HEAD + "import os\n" + SOFTMAX.replace("    p, axis = cache\n", "    os.fork(); p, axis = cache\n")
    assert "BlockingIOError" in results.report(one(tmp_path, forks))


# %% The commands
def test_grade_prints_points_and_writes_what_it_is_asked_for(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(HEAD + SOFTMAX + STITCH)
    (tmp_path / "secret").write_bytes(b"x")
    run = ["grade", str(tmp_path / "mine.py"), "--jobs", "1", "--secret-file", str(tmp_path / "secret"), "--out",
           str(tmp_path / "out")]
    assert main(run) == 0
    text = capsys.readouterr().out
    assert "mine: 10 of 10 points" in text
    assert (tmp_path / "out" / "class.csv").exists()
    (tmp_path / "none.py").write_text("x = 1")
    assert main(["grade", str(tmp_path / "none.py")]) == 2
    assert "there is nothing to grade" in capsys.readouterr().out
    assert main(["grade", str(tmp_path / "missing.py"), "--sheet", "softmax", "--jobs", "1"]) == 2


# %% Packages
@pytest.fixture
def gradescope_folder(tmp_path):
    """Gradescope's container, as a folder: the zip unpacked, and the places for submission and results."""
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "ps.json").write_text(sheets.as_json(ONE))
    run = ["package", "gradescope", "--sheet", str(tmp_path / "ps.json"), "--secret-file", str(tmp_path / "secret"),
           "--out", str(tmp_path / "autograder.zip")]
    assert main(run) == 0
    root = tmp_path / "autograder"
    for name in ("source", "submission", "results"):
        (root / name).mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        archive.extractall(root / "source")
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    assert modes["run_autograder"] & 0o111
    assert modes["setup.sh"] & 0o111
    (root / "submission_metadata.json").write_text(json.dumps(dict(users=[dict(id=7, email="anna@uni.edu")])))
    return root


@pytest.mark.skipif(sys.platform == "win32", reason="Gradescope runs Linux")
def test_gradescopes_zip_grades_in_a_folder_like_gradescopes(gradescope_folder):
    root = gradescope_folder
    (root / "submission" / "mine.py").write_text(HEAD + SOFTMAX)
    python = root / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    environment = os.environ | dict(AUTOGRADER_ROOT=str(root), PATH=f"{python.parent}:{os.environ['PATH']}")
    run = subprocess.run(["bash", str(root / "source" / "run_autograder")], env=environment, capture_output=True,
                         text=True, timeout=120)
    tree = json.loads((root / "results" / "results.json").read_text())
    assert tree["score"] == pytest.approx(4, abs=1e-3), run.stderr
    assert tree["tests"][0]["status"] == "passed"
    assert tree["extra_data"]["seeds"] == Seeds(b"x").id


def test_a_grader_that_crashes_leaves_a_result_of_zero(gradescope_folder):
    (gradescope_folder / "source" / "sheet.json").write_text("{")
    with pytest.raises(sheets.NoSheet):
        packages.run_gradescope(gradescope_folder)
    assert json.loads((gradescope_folder / "results" / "results.json").read_text())["score"] == 0


def test_classrooms_json_runs_check(tmp_path):
    assert main(["package", "classroom", "--sheet", "csc321", "--out", str(tmp_path)]) == 0
    tests = json.loads((tmp_path / ".github" / "classroom" / "autograding.json").read_text())["tests"]
    assert [t["name"] for t in tests] == [e.name for e in sheets.of_deck("csc321").exercises]
    assert all(t["run"].startswith("python -m tinynet check ") for t in tests)
    workflow = (tmp_path / ".github" / "workflows" / "classroom.yml").read_text()
    assert workflow.count("autograding-command-grader") == len(tests)


CHEAT = HEAD + "np.allclose = lambda *a, **k: True\nnp.abs = lambda a: 0 * a\n" + DIAGONAL


def test_a_notebooks_test_cell_asks_the_grader_and_not_the_kernel(monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    from tinynet.exercises.notebook import points, require
    assert points("softmax", of=8, cells=[HEAD, SOFTMAX]) == 8
    assert "all is right" in capsys.readouterr().out
    with pytest.raises(AssertionError, match=r"dx \(values, case softmax\): wrong"):
        require("softmax", "dx", cells=[CHEAT])
    require("softmax", "y", cells=[CHEAT])


def test_nbgrader_gives_our_points(tmp_path, monkeypatch):
    pytest.importorskip("nbgrader")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert main(["package", "nbgrader", "--sheet", "softmax", "--out", str(tmp_path)]) == 0
    _run(tmp_path, "-m", "nbgrader", "generate_assignment", "softmax")
    release = json.loads((tmp_path / "release" / "softmax" / "softmax.ipynb").read_text())
    for student, text in (("anna", HEAD + SOFTMAX), ("carl", CHEAT)):
        for cell in release["cells"]:
            if cell["metadata"].get("nbgrader", {}).get("grade_id") == "softmax-answer":
                cell["source"] = text
        path = tmp_path / "submitted" / student / "softmax" / "softmax.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(release))
    _run(tmp_path, "-m", "nbgrader", "autograde", "softmax")
    _run(tmp_path, "-m", "nbgrader", "export")
    with open(tmp_path / "grades.csv", newline="") as file:
        marks = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert marks["anna"] == 4
    assert 2 < marks["carl"] < 2.6


def test_otter_gives_our_points(tmp_path, monkeypatch):
    pytest.importorskip("otter")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert main(["package", "otter", "--sheet", "softmax", "--out", str(tmp_path)]) == 0
    _run(tmp_path, "-m", "otter", "assign", "softmax.ipynb", "dist")
    student = json.loads((tmp_path / "dist" / "student" / "softmax.ipynb").read_text())
    answer = next(c for c in student["cells"] if "def softmax_forward" in "".join(c["source"]))
    archive = next((tmp_path / "dist" / "autograder").glob("*.zip"))
    scores = {}
    for name, text in (("anna", HEAD + SOFTMAX), ("carl", CHEAT)):
        answer["source"] = text
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(student))
        (tmp_path / name).mkdir()
        _run(tmp_path, "-m", "otter", "run", "-a", str(archive), "-o", name, f"{name}.ipynb")
        tests = json.loads((tmp_path / name / "results.json").read_text())["tests"]
        scores[name] = sum(t.get("score") or 0 for t in tests)
    assert scores == dict(anna=4, carl=2)           # y is right, dx is not


def _run(folder, *arguments):
    programs = dict(PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")         # alembic, jupyter
    run = subprocess.run([sys.executable, *arguments], cwd=folder, env=os.environ | programs, capture_output=True,
                         text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_notebook_is_read_cell_by_cell(tmp_path):
    text = notebook("import numpy as np\n!pip install x\n%timeit 1", "this is no Python", SOFTMAX)
    assert one(tmp_path, text, "work.ipynb").points == pytest.approx(4)


# %% What is handed in
def test_two_students_with_the_same_file_name_keep_their_names(tmp_path):
    for student in ("anna", "ben"):
        (tmp_path / student).mkdir()
        (tmp_path / student / "hw.py").write_text(HEAD + SOFTMAX)
    graded = grade_class([tmp_path / s / "hw.py" for s in ("anna", "ben")], ONE, limits=LIMITS, jobs=1)
    assert [r.student for r in graded] == ["anna hw", "ben hw"]


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
def test_links_and_pipes_in_a_submission_are_not_followed(tmp_path):
    (tmp_path / "secret.py").write_text("SECRET = 1")
    folder = tmp_path / "anna"
    folder.mkdir()
    (folder / "mine.py").write_text("import helper\n" + HEAD + SOFTMAX)
    (folder / "helper.py").symlink_to(tmp_path / "secret.py")
    (folder / "other.py").symlink_to(tmp_path / "secret.py")
    os.mkfifo(folder / "pipe.py")
    submission = Submission(folder)
    assert [s.path.name for s in submission.sources] == ["mine.py"]
    assert submission.sources[0].neighbours == {}
    assert "it is a link to somewhere else" in submission.unreadable[0]
    assert any("pipe.py: it is no file" in line for line in submission.unreadable)


def test_a_file_may_import_its_neighbours(tmp_path):
    (tmp_path / "helper.py").write_text("import numpy as np\ndef weighted(p, dy, axis):\n"
                                        "    return (dy * p).sum(axis=axis, keepdims=True)\n")
    text = HEAD + "from helper import weighted\n" + SOFTMAX.replace("(dy * p).sum(axis=axis, keepdims=True)",
                                                                    "weighted(p, dy, axis)")
    assert one(tmp_path, text).points == pytest.approx(4)


def test_what_cant_be_read_is_said(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "long.py").write_text("#" * 600_000)
    said = {"empty": "the folder holds no .py", "long.py": "more than 524,288 characters", "none.py": "No such file"}
    for name, words in said.items():
        result = grade(Submission(tmp_path / name), ONE)
        assert (result.points, result.of) == (0, pytest.approx(4))
        assert words in "".join(result.notes)
