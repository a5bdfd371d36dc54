"""Stubs, sheets and variants: what a student gets."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

from lessons.tools import slides
from tinynet import cases
from tinynet.__main__ import main
from tinynet.check import gradcheck
from tinynet.engine import Op
from tinynet.exercises import described, grader, handout, sheets, stubs, variants
from tinynet.exercises.student import check_file
from tinynet.exercises.submission import Submission

CSC321 = sheets.of_deck("csc321")


def checked(path):
    lines = []
    return check_file(path, lines.append), "\n".join(lines)


@pytest.mark.parametrize("name", sheets.blocks())
def test_every_block_has_a_stub_whose_given_forward_is_ours(name):
    for parts in sheets.PARTS:
        text = stubs.stub(sheets.exercise(name, parts))
        compile(text, name, "exec")
        assert text.count("raise NotImplementedError") == (2 if parts == "both" else 1)
    space = {"__name__": "student"}
    exec(stubs.stub(sheets.exercise(name, "backward")), space)
    case = cases.of(name)[0]
    op, arrays, settings = cases.draw(case, np.random.default_rng(3), **cases.distinct(case))
    ours, theirs = op.forward(*arrays, **settings)[0], space[f"{name}_forward"](*arrays, **settings)[0]
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["residual", "attention", "softmax", "graph_attention"])
def test_a_stub_does_not_hold_the_answer(name):
    text = stubs.stub(sheets.exercise(name, "backward"))
    answer = stubs.collected(cases.of(name)[0].op.backward)[1][-1]
    given = stubs.forward_alone(cases.of(name)[0].op)
    wanted = [line.partition("#")[0].strip() for line in answer.splitlines()[1:] if " = cache" not in line]
    assert not [line for line in wanted if len(line) > 12 and line in text and line not in given]


def test_a_stub_is_called_not_written_yet_and_its_examples_run_when_it_is_solved(tmp_path, capsys):
    assert main(["exercise", "linear", "--parts", "backward", "--out", str(tmp_path)]) == 0
    path = tmp_path / "linear.py"
    code, text = checked(path)
    assert code == 1
    assert "linear: forward is right; backward: not written yet" in text
    solved = path.read_text().replace("    raise NotImplementedError", (
        "    axes = tuple(range(x.ndim - 1))\n"
        "    return dy @ W, np.tensordot(dy, x, (axes, axes)), dy.sum(axis=axes) if has_bias else None"))
    path.write_text(solved)
    assert checked(path)[0] == 0
    capsys.readouterr()
    exec(solved, {"__name__": "__main__"})
    said = [line.rpartition("# ")[2] for line in solved.splitlines() if "print(np.shape(y)" in line]
    assert capsys.readouterr().out.splitlines() == said
    assert len(said) == stubs.EXAMPLES


def test_a_stub_is_not_written_over_work(tmp_path, capsys):
    assert main(["exercise", "softmax", "--out", str(tmp_path)]) == 0
    (tmp_path / "softmax.py").write_text("my work")
    assert main(["exercise", "softmax", "--out", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().out
    assert (tmp_path / "softmax.py").read_text() == "my work"


def test_a_sheet_has_the_exercises_in_the_order_of_the_slides(tmp_path, capsys):
    assert main(["exercise", "--deck", "csc321", "--out", str(tmp_path)]) == 0
    sheet = sheets.find(str(tmp_path / "sheet.json"))
    assert sheet == CSC321
    order = sheets.DECKS["csc321"][1].split()
    firsts = [order.index(e.slides[0]) for e in sheet.exercises]
    assert firsts == sorted(firsts)
    page = (tmp_path / "SHEET.md").read_text()
    for number, e in enumerate(sheet.exercises, 1):
        assert "Sheet: csc321" in (tmp_path / f"{number}_{e.name}.py").read_text()
        assert f"| {number} | [{e.name}]({number}_{e.name}.py)" in page
    assert f"({sheet.points:g} points)" in page


def test_the_decks_are_those_of_the_slide_index():
    assert {deck: entry[:2] for deck, entry in slides.DECKS.items()} == sheets.DECKS


def test_the_list_names_every_block_and_deck(capsys):
    assert main(["exercise", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in [*sheets.blocks(), *sheets.DECKS])


def test_a_reader_may_stop_before_the_list_ends():
    command = [sys.executable, "-m", "tinynet", "exercise", "--list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        listing.stdout.close()
        assert listing.stderr.read() == b""
    assert listing.returncode == 1


@pytest.mark.parametrize(("arguments", "said"), [
    (["exercise", "softmaxx"], "there is no block 'softmaxx'; did you mean softmax?"),
    (["exercise", "qqq"], "there is no block 'qqq'; there are"), (["exercise", "--deck", "csc322"], "csc321"),
    (["grade", "nothing.py", "--sheet", "nothing"], "there is no sheet 'nothing'"),
    (["package", "gradescope", "--sheet", "missing.json", "--out", "x.zip"], "can't read missing.json")])
def test_what_is_not_there_is_said_in_one_sentence(arguments, said, capsys):
    assert main(arguments) == 2
    assert said in capsys.readouterr().out


def test_a_damaged_sheet_is_refused(tmp_path):
    for text in ("{", "[]", json.dumps(dict(sheet="x", title="x", exercises=[dict(name="nothing", points=1)]))):
        (tmp_path / "sheet.json").write_text(text)
        with pytest.raises(sheets.NoSheet):
            sheets.find(str(tmp_path))


# %% Variants
@pytest.mark.parametrize("name", ["linear", "softmax", "residual", "cross_stitch", "apl", "attention"])
def test_the_right_gradient_of_a_variant_comes_from_the_tape(name):
    for student in ("anna", "ben"):
        rule = variants.draw(name, b"secret", student)
        for case in variants.cases_of(name, rule.text)[:2]:
            op, arrays, settings = cases.draw(case, np.random.default_rng(0), **cases.distinct(case))
            gradcheck(op.forward, op.backward, *arrays, **settings).raise_if_wrong()


@pytest.mark.parametrize("deck", sheets.DECKS)
def test_every_exercise_of_a_sheet_has_a_stub_for_every_student(deck):
    sheet = sheets.of_deck(deck)
    for student in ("anna", "ben"):
        for number, exercise in enumerate(sheet.exercises, 1):
            variant = variants.of_student(exercise, b"secret", student)
            text = stubs.stub(variant, sheet, number)
            compile(text, exercise.name, "exec")
            assert f"Variant: {exercise.name} {variant.variant}" in text


def test_variants_differ_by_student_and_secret_and_are_otherwise_fixed():
    rules = {variants.draw("residual", secret, who).text for secret in (b"a", b"b") for who in ("anna", "ben", "carl")}
    assert len(rules) > 3
    assert variants.draw("residual", b"a", "anna") == variants.draw("residual", b"a", "anna")
    with pytest.raises(ValueError, match="no rule of a variant"):
        variants.Rule.read("0,1.0,__import__,x")


def test_our_own_backward_earns_next_to_nothing_on_a_variant(tmp_path):
    rule = variants.Rule(1, 2.0, "tanh", ("u", "m", "q"))
    exercise = sheets.exercise("linear", variant=rule.text)
    sheet = sheets.Sheet("v", "v", [exercise])
    imports, bodies = stubs.collected(cases.of("linear")[0].op.forward, cases.of("linear")[0].op.backward)
    pasted = (imports + "\n\n" + "\n\n".join(bodies)).replace("linear_", "linear_variant_")
    solved = """
import numpy as np

def linear_variant_forward(u, m, q=None):
    y = 2 * u @ m
    y = np.tanh(y if q is None else y + q)
    return y, (u, m, q is not None, y)

def linear_variant_backward(dy, cache):
    u, m, bias, y = cache
    dz = dy * (1 - y * y)
    rows, u_rows = dz.reshape(-1, m.shape[1]), u.reshape(-1, m.shape[0])
    return 2 * dz @ m.T, 2 * u_rows.T @ rows, rows.sum(0) if bias else None
"""
    points = []
    for text in (pasted, solved):
        (tmp_path / "mine.py").write_text(text)
        points.append(grader.grade(Submission(tmp_path / "mine.py"), sheet).points)
    assert points[0] < 0.25 * exercise.points
    assert points[1] == pytest.approx(exercise.points)
    (tmp_path / "mine.py").write_text(solved)
    mine = variants.draw("linear", b"s", "mine")
    own = grader.grade(Submission(tmp_path / "mine.py"), handout.sheet_for("linear", ()), b"s", variant=True)
    assert (own.points == pytest.approx(own.of)) == (mine[:3] == rule[:3])
    stub = stubs.stub(exercise)
    assert f"Variant: linear {rule.text}" in stub
    (tmp_path / "mine.py").write_text(stub.replace("raise NotImplementedError", "return None", 1) + solved)
    assert checked(tmp_path / "mine.py")[0] == 0


def test_a_block_may_be_a_folder_with_the_equations_in_its_first_file(tmp_path, monkeypatch):
    folder = tmp_path / "folded"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Twice.\n\n    (1)  y = 2 x     shi 1.1\n"""\n')
    (folder / "helper_of_folded.py").write_text("def double(x):\n    return 2 * x        # (1)\n")
    (folder / "pair_of_folded.py").write_text(
        "from folded.helper_of_folded import double\n\n\ndef twice_forward(x):\n    return double(x), None\n\n\n"
        "def twice_backward(dy, cache):\n    return 2 * dy\n")
    monkeypatch.syspath_prepend(tmp_path)
    pair = importlib.import_module("folded.pair_of_folded")
    op = Op(pair.twice_forward, pair.twice_backward)
    assert described.equations(op) == {"1": ("y = 2 x", "shi 1.1")}
    assert described.tags(op.forward) == ["1"]
    assert sheets.items(op, "shi") == ("1.1",)


def test_a_block_says_what_is_agreed_on_in_its_own_letters():
    case = cases.of("linear")[0]
    assert described.agreed(case) == "here x (N, D), W (C, D), b (C), and y = x W' + b"
    assert described.equation_of_gradient(case.op, "dW").startswith("(3)  dW = dy' x")
    assert handout.sheet_for("softmax", ()).points == 4
