"""`python -m tinynet check FILE.py`: what it says of a student's file."""

import subprocess
import sys

import pytest

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
    ("def linear_forward(x): return x, x", "forward: too many positional arguments"),
    ("def tanh_backward(dy, cache):\n    a, *b = 1 / 0\n    return dy", "line 4, in tanh_backward: ZeroDivisionError"),
    ("def tanh_backward(dy): return dy", "takes 1 positional argument but 2 were given"),
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
     "case softmax_first_axis was passed over: softmax_forward: got an unexpected keyword argument 'axis'"),
    ("def cross_stitch_forward(X, A):\n    return np.einsum('ij,jnd->ind', A, X), (X, A)",
     "case cross_stitch_images_one_alpha was passed over: ValueError: operand has more dimensions"),
])
def test_right_mathematics_passes_with_notes(tmp_path, source, note):
    code, text = checked(tmp_path, f"import numpy as np\n\n{source}\n")
    assert code == 0, text
    assert note in text


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
