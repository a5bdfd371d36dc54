"""`python -m tinynet check FILE.py`: what it says of a student's file."""

import json
import subprocess
import sys

import pytest

from tinynet.check.report import Problem, Report
from tinynet.exercises.sandbox import Limits
from tinynet.exercises.student import check_file

RIGHT = """
import numpy as np

def relu_forward(x):
    return np.maximum(x, 0), x

def relu_backward(dy, x):
    return dy * (x > 0)

def softmax_backward(dy, cache):
    p, axis = cache
    dy = np.moveaxis(dy, axis, -1)
    return np.moveaxis(p * (dy - (p * dy).sum(axis=-1, keepdims=True)), -1, axis)
"""


def checked(tmp_path, source):
    """(exit code, text) of the command for a file with this source."""
    path, lines = tmp_path / "mine.py", []
    path.write_text(source)
    return check_file(path, lines.append), "\n".join(lines)


@pytest.mark.parametrize(("slope", "code", "said"), [
    ("x > 0", 0, "compared with our backward alone; could not be checked: y jumps there"),
    ("x < 0", 1, "backward gives another gradient than ours; could not be checked: y jumps there")])
def test_where_no_slope_can_be_measured_our_backward_decides(tmp_path, monkeypatch, slope, code, said):
    problem = Problem("unchecked", "x", "could not be checked: y jumps there; choose other inputs")
    monkeypatch.setattr("tinynet.exercises.student.gradcheck", lambda *_, **__: Report("relu", [problem], []))
    found, text = checked(tmp_path, f"def relu_backward(dy, x): return dy * ({slope})")
    assert found == code
    assert said in text
    assert "choose other inputs" not in text


def test_a_right_file_passes(tmp_path):
    code, text = checked(tmp_path, RIGHT)
    assert code == 0
    assert text.splitlines()[-1] == "passed: relu, softmax"


@pytest.mark.parametrize(("source", "said"), [
    ("def relu_backward(dy, x): return dy * (x < 0)", "threshold"),
    ("def relu_forward(x): return 2 * np.maximum(x, 0), x", "every entry is 2 times"),
    ("def relu_forward(x): return np.maximum(x, 0)[:1], x", "y has shape"),
    ("def relu_forward(x): return np.maximum(x, 0)", "must return two things"),
    ("def relu_forward(x):\n    x[x < 0] = 0\n    return x.copy(), x", "forward changes its inputs"),
    ("def multiply_backward(dy, c): return dy * c[1], None", "backward returns None, but y depends on this input"),
    ("def linear_forward(x): return x, x",
     "linear_forward: too many positional arguments: write linear_forward(x, W, b=None); here"),
    ("def tanh_backward(dy, cache):\n    a, *b = 1 / 0\n    return dy", "line 4, in tanh_backward: ZeroDivisionError"),
    ("def tanh_backward(dy): return dy",
     "takes 1 positional argument but 2 were given: write tanh_backward(dy, cache)"),
])
def test_a_wrong_file_fails_and_says_why(tmp_path, source, said):
    code, text = checked(tmp_path, f"import numpy as np\n\n{source}\n")
    assert code == 1
    assert said in text
    assert text.splitlines()[-1].startswith("failed: ")


@pytest.mark.parametrize(("source", "note"), [
    ("def relu_backward(dy, x): return dy * (x > 0).astype(float)", "note: backward turns float32 into float64"),
    ("def tanh_forward(x):\n    assert x.size\n    return np.tanh(x), x", "in tanh_forward: AssertionError"),
    ("def softmax_forward(x):\n    e = np.exp(x - x.max(-1, keepdims=True))\n    return e / e.sum(-1)[..., None], e",
     "case softmax_first_axis was passed over: softmax_forward: got an unexpected keyword argument 'axis': "
     "write softmax_forward(x, axis=-1); here"),
    ("def cross_stitch_forward(X, A):\n    return np.einsum('ij,jnd->ind', A, X), (X, A)",
     "case cross_stitch_images_one_alpha was passed over: ValueError: operand has more dimensions"),
])
def test_right_mathematics_passes_with_notes(tmp_path, source, note):
    code, text = checked(tmp_path, f"import numpy as np\n\n{source}\n")
    assert code == 0, text
    assert note in text


SOFTMAX = """
def softmax_forward(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)
    return p, (x, p, axis)
"""
TWO_TASKS = """
def cross_stitch_forward(x_A, x_B, alpha):
    y_A = alpha[0, 0] * x_A + alpha[0, 1] * x_B
    return (y_A, alpha[1, 0] * x_A + alpha[1, 1] * x_B), (x_A, x_B, alpha)
"""
TWO_ROWS = """
def cross_stitch_forward(X, A):
    x_A, x_B = X
    return np.stack([A[0, 0] * x_A + A[0, 1] * x_B, A[1, 0] * x_A + A[1, 1] * x_B]), (X, A)
"""


@pytest.mark.parametrize(("source", "said"), [
    ("def linear_forward(x, W, b=None):\n    return x @ W, x", [
        "line 4, in linear_forward: the shapes don't fit: here x (N, D), W (C, D), b (C), and y = x W' + b (NumPy says",
        "in case linear with x (N, D) = (3, 5), W (C, D) = (2, 5), b (C) = (2,)"]),
    (SOFTMAX.replace(" - x.max(axis=axis, keepdims=True)", ""), [
        "NaN or inf when x is 1000 times larger", "subtract the largest score of a row first"]),
    (SOFTMAX + "def softmax_backward(dy, cache):\n    pass", ["forward is right; backward: not written yet"]),
    (SOFTMAX + "def softmax_backward(dy, cache):\n    x, p, axis = cache\n    raise NotImplementedError",
     ["forward is right; backward: not written yet", "not written yet: softmax"]),
    ("def softmax_forward(x, axis=-1): ...\ndef softmax_backward(dy, cache): ...",
     ["forward and backward: not written yet"]),
    (SOFTMAX + "def softmax_backward(dy, cache):\n    dx = dy * cache[1]", ["is its `return` missing?"]),
    (SOFTMAX + """
def softmax_backward(dy, cache):
    x, p, axis = cache
    dx = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        a, b = x.copy(), x.copy()
        a[i] += 1e-6
        b[i] -= 1e-6
        dx[i] = ((softmax_forward(a, axis)[0] - softmax_forward(b, axis)[0]) * dy).sum() / 2e-6
    return dx""", ["30 times for 15 entries: that is a numerical derivative, right on small arrays only"]),
    ("def tanh_forward(x): return np.tanh(x), x\ndef tanh_backward(dy, x):\n    while True: pass",
     ["there was no answer within", "is there an endless loop?"]),
    (TWO_TASKS + "def cross_stitch_backward(dy, cache):\n    x_A, x_B, a = cache\n"
                 "    return a[0, 0] * dy[0] + a[0, 1] * dy[1], a[1, 0] * dy[0] + a[1, 1] * dy[1], a",
     ["dx_A", "in case cross_stitch_two_tasks with x_A (N, C) = (3, 5), x_B (N, C) = (3, 5)"]),
    ("import os\nprint('passed: tanh')\ndef tanh_backward(dy, y): os._exit(0)", ["the process ended (exit code 0)"]),
    ("def tanh_backward(dy, y):\n    import sys; sys.exit(0)", ["in tanh_backward: SystemExit"]),
    ("def tanh_forward(x): return np.tanh(x).astype('f'), x", ["y is float32 where the inputs are float64"]),
    ("from tinynet.blocks.units.activations import tanh_backward", ["is tinynet's own code, which can't be used here"]),
])
def test_a_student_is_told_in_the_slides_letters(tmp_path, source, said):
    lines, path = [], tmp_path / "mine.py"
    path.write_text(f"import numpy as np\n\n{source}\n")
    assert check_file(path, lines.append, Limits(call=1.0)) == 1
    assert [s for s in said if s not in "\n".join(lines)] == [], "\n".join(lines)


@pytest.mark.parametrize("source", [
    TWO_TASKS + "def cross_stitch_backward(dy, cache):\n    (x_A, x_B, a), (d_A, d_B) = cache, dy\n"
                "    da = [[(d_A * x_A).sum(), (d_A * x_B).sum()], [(d_B * x_A).sum(), (d_B * x_B).sum()]]\n"
                "    return a[0, 0] * d_A + a[1, 0] * d_B, a[0, 1] * d_A + a[1, 1] * d_B, np.array(da, a.dtype)",
    TWO_TASKS + "def cross_stitch_backward(d_A, d_B, cache):\n    x_A, x_B, a = cache\n"
                "    da = [[(d_A * x_A).sum(), (d_A * x_B).sum()], [(d_B * x_A).sum(), (d_B * x_B).sum()]]\n"
                "    return a[0, 0] * d_A + a[1, 0] * d_B, a[0, 1] * d_A + a[1, 1] * d_B, np.array(da, a.dtype)"])
def test_the_slides_own_code_for_two_tasks_passes(tmp_path, source):
    code, text = checked(tmp_path, f"import numpy as np\n\n{source}\n")
    assert code == 0, text
    assert "cross_stitch: right (forward and backward)" in text


def test_code_for_two_rows_alone_is_right_with_a_note(tmp_path):
    code, text = checked(tmp_path, f"import numpy as np\n\n{TWO_ROWS}\n")
    assert code == 0, text
    assert "it is right for T = 2 alone, the slide's case" in text


def test_a_notebook_is_checked_and_its_failing_cells_are_named(tmp_path):
    cells = ["%matplotlib inline\nimport numpy as np\nimport matplotlib.pyplot as plt", "plt.plot([1]); 1 / 0",
             SOFTMAX, "def softmax_backward(dy, cache):\n    x, p, axis = cache\n    return p * dy"]
    notebook = dict(cells=[dict(cell_type="code", source=text.splitlines(keepends=True)) for text in cells])
    path, lines = tmp_path / "mine.ipynb", []
    path.write_text(json.dumps(notebook))
    assert check_file(path, lines.append) == 1
    text = "\n".join(lines)
    assert "mine.ipynb, cell 2, line 1: ZeroDivisionError" in text
    assert "only the diagonal of the softmax Jacobian" in text


def test_a_misspelt_name_lists_only_the_blocks_of_the_sheet(tmp_path):
    code, text = checked(tmp_path, '"""Exercise 1.   Sheet: tomaszewska"""\ndef resnet_x_backward(dy, c): return dy')
    assert code == 2
    assert "there is no block 'resnet_x'; there are cross_stitch" in text
    assert "softmax" not in text


def test_what_a_file_prints_is_shown_and_marked_as_its_own(tmp_path):
    code, text = checked(tmp_path, "print('passed: everything')\n" + RIGHT)
    assert code == 0
    assert "it printed:\n    passed: everything" in text


@pytest.mark.parametrize(("source", "said"), [
    ("def f(:", "line 1: invalid syntax"), ("import numpy.nothing", "line 1, in <module>: ModuleNotFoundError"),
    ("x = 1", "defines nothing to check"), ("raise SystemExit", "SystemExit"),
    ("def sigmod_backward(dy, y): return dy", "did you mean sigmoid_backward?")])
def test_a_file_with_nothing_to_check_says_so(tmp_path, source, said):
    code, text = checked(tmp_path, source)
    assert code == 2
    assert said in text


def test_an_unreadable_file_says_so(tmp_path):
    lines = []
    assert check_file(tmp_path / "missing.py", lines.append) == 2
    assert check_file(tmp_path, lines.append) == 2
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    assert check_file(tmp_path / "binary.py", lines.append) == 2
    assert all(line.startswith("can't read ") for line in lines)


def test_the_command_exits_with_1_and_its_last_line_says_failed(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def negative_backward(dy, cache): return dy")
    command = [sys.executable, "-m", "tinynet", "check", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 1, run.stderr
    assert "the sign is flipped" in run.stdout
    assert run.stdout.splitlines()[-1] == "failed: negative"
