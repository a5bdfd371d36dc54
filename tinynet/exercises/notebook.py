"""What the test cells of a notebook call: the grader in a process of its own, on the cells that were run so far.

An assert in the student's kernel is worth nothing, because `np.allclose = lambda *a, **k: True` earns all points.
So the cells' text goes to `python -m tinynet grade`, and only the points come back.

    points("softmax", of=4)         for nbgrader: the last line of a test cell
    require("softmax", "dx")        for Otter: raises AssertionError unless dx is right

A student who replaces these two functions still fools this notebook.  For the marks that count run
`python -m tinynet grade` on the notebooks that were handed in: it reads .ipynb files.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SECRET = "TINYNET_SECRET_FILE"      # the environment variable that names the file with the secret, on the grader's side


def points(name, of, cells=None):
    """How many of `of` points the functions of this exercise earn; prints the report.

    cells  texts of code cells; those that this kernel has run if None
    """
    rows, report = _graded(name, cells)
    print(report)
    earned, most = (sum(float(row[key]) for row in rows) for key in ("points", "of"))
    return round(of * earned / most, 4)


def require(name, part, cells=None):
    """Raises AssertionError, with what is wrong, unless this part ("y", "dx" ...) is right in all cases."""
    rows = [row for row in _graded(name, cells)[0] if row["part"] == part]
    wrong = [row for row in rows if float(row["points"]) < float(row["of"]) - 1e-3]
    if wrong:
        raise AssertionError("\n".join(f"{row['part']} ({row['what']}, case {row['case']}): {row['message']}"
                                       for row in wrong))


def _graded(name, cells):
    """The grader's table of this exercise, and its report."""
    cells = _run_so_far() if cells is None else cells
    secret = ["--secret-file", os.environ[SECRET]] if SECRET in os.environ else []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "answer.ipynb")
        notebook = dict(cells=[dict(cell_type="code", source=text) for text in cells])
        path.write_text(json.dumps(notebook), encoding="utf-8")
        run = subprocess.run([sys.executable, "-m", "tinynet", "grade", str(path), "--sheet", name, "--out", folder,
                              *secret], capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(run.stdout + run.stderr)
        with open(Path(folder, "parts.csv"), newline="", encoding="utf-8") as table:
            return list(csv.DictReader(table)), run.stdout.partition("\nwrote ")[0]


def _run_so_far():
    """The texts of the cells that this kernel has run, without the one that asks."""
    try:
        from IPython import get_ipython
        return [text for text in get_ipython().user_ns["In"][1:-1] if "tinynet.exercises.notebook" not in text]
    except (ImportError, AttributeError, KeyError):
        raise RuntimeError("there is no notebook here; give the cells' texts as cells=[...]") from None
