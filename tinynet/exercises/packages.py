"""`python -m tinynet package KIND`: assignments for Gradescope, Otter, nbgrader and GitHub Classroom.

    gradescope   autograder.zip: upload it, and students hand in their files
    otter        a folder with NAME.ipynb for `otter assign NAME.ipynb dist`
    nbgrader     a course folder for `nbgrader generate_assignment NAME`
    classroom    a folder with .github/classroom/autograding.json and a workflow: for practice, students can edit both

Gradescope's zip holds the secret; for Otter and nbgrader the grader's machine names it in TINYNET_SECRET_FILE.
"""

import json
import stat
import zipfile
from pathlib import Path

import numpy as np

import tinynet
from tinynet.exercises import described, results, sheets, stubs
from tinynet.exercises.forms import form_of
from tinynet.exercises.grader import grade
from tinynet.exercises.submission import Submission

REQUIRES = f"tinynet>={tinynet.__version__}"

# %% Gradescope
SETUP = f"""#!/usr/bin/env bash
# Gradescope runs this once, as root, when the image is built.
set -e
apt-get update && apt-get install -y python3 python3-pip
python3 -m pip install --break-system-packages "numpy=={np.__version__}" || python3 -m pip install "numpy>=2"
"""
RUN = """#!/usr/bin/env bash
# Gradescope runs this for each submission, as root.  Only results/results.json counts.
ROOT=${AUTOGRADER_ROOT:-/autograder}
chmod 700 "$ROOT/source" "$ROOT/results"
cd "$ROOT/source"
exec python3 -c "import sys; from tinynet.exercises.packages import run_gradescope; run_gradescope(sys.argv[1])" "$ROOT"
"""


def gradescope(sheet, out, secret=None):
    """Write autograder.zip: the two scripts, the sheet, the secret and tinynet itself.  Returns its path."""
    package = Path(tinynet.__file__).parent
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "setup.sh", SETUP, executable=True)
        _add(archive, "run_autograder", RUN, executable=True)
        _add(archive, "sheet.json", sheets.as_json(sheet))
        if secret is not None:
            _add(archive, "secret", secret)
        for path in sorted(package.rglob("*.py")):
            _add(archive, f"tinynet/{path.relative_to(package).as_posix()}", path.read_bytes())
    return out


def _add(archive, name, content, executable=False):
    info = zipfile.ZipInfo(name, date_time=(2000, 1, 1, 0, 0, 0))
    info.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, content)


def run_gradescope(root):
    """Inside Gradescope: grade root/submission by root/source and write root/results/results.json."""
    root = Path(root)
    target, source = root / "results" / "results.json", root / "source"
    results.write_json(target, dict(score=0, output="the grader did not finish; tell your teacher"))
    students = []
    metadata = root / "submission_metadata.json"
    if metadata.exists():
        users = json.loads(metadata.read_text(encoding="utf-8")).get("users", [])
        students = [str(user.get("email") or user.get("id")) for user in users]
    secret = (source / "secret").read_bytes() if (source / "secret").exists() else None
    submission = Submission(root / "submission", ", ".join(sorted(students)) or "submission")
    result = grade(submission, sheets.find(str(source / "sheet.json")), secret)
    results.write_json(target, results.gradescope(result))


# %% Notebooks
def _cell(kind, source, **metadata):
    cell = dict(cell_type=kind, id="", metadata=metadata, source=source)
    return cell | (dict(execution_count=None, outputs=[]) if kind == "code" else {})


def _notebook(path, cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = dict(kernelspec=dict(name="python3", display_name="Python 3", language="python"))
    path.write_text(json.dumps(dict(nbformat=4, nbformat_minor=5, metadata=kernel, cells=cells), indent=1),
                    encoding="utf-8")
    return path


def _without_variants(sheet):
    if any(e.variant for e in sheet.exercises):
        raise ValueError("a notebook for all can't hold the variants of one student; give a sheet without variants")
    return sheet.exercises


def _intro(exercise):
    """The exercise's page of text: what the stub's docstring says."""
    text = stubs.stub(exercise).split('"""')[1]
    head, _, _ = text.partition("\n\nWrite ")
    return f"## {exercise.name}\n\n```\n{head}\n```\n\nWrite {_functions(exercise)} with NumPy alone."


def _functions(exercise):
    halves = ("forward", "backward") if exercise.parts == "both" else (exercise.parts,)
    return " and ".join(f"`{exercise.name}_{half}`" for half in halves)


def _answer(exercise, before, after):
    """The stub's functions, each body between two marks."""
    imports, functions = stubs.pieces(exercise)
    empty = "    raise NotImplementedError"
    return "\n\n\n".join([imports, *(f.replace(empty, f"{before}{empty}{after}") for f in functions)])


def _looked_at(exercise):
    """y, dx, dW: what has points."""
    form = form_of(exercise.name, {})
    names = described.names(form.op)
    gradients = list(dict.fromkeys(f"d{names[i]}" for case in form.cases for i in described.gradients(case)))
    return ["y"] * (exercise.parts != "backward") + (gradients if exercise.parts != "forward" else [])


def otter(sheet, out, _secret=None):
    """Write out/NAME.ipynb, the source of an Otter assignment; a test for y and for each gradient."""
    cells = [_cell("raw", f"# ASSIGNMENT CONFIG\nname: {sheet.name}\ninit_cell: true\nexport_cell: false\n"
                          "solutions_pdf: false\nrun_tests: false\nenvironment: false\nrequirements:\n"
                          f"  - {REQUIRES}\ngenerate:\n  show_stdout: false\n")]
    for e in _without_variants(sheet):
        looked_at = _looked_at(e)
        cells += [_cell("raw", f"# BEGIN QUESTION\nname: {e.name}\npoints: {e.points:g}\n"),
                  _cell("markdown", _intro(e)),
                  _cell("raw", "# BEGIN SOLUTION"), _cell("code", _answer(e, "", "  # SOLUTION")),
                  _cell("raw", "# END SOLUTION"), _cell("raw", "# BEGIN TESTS")]
        for part in looked_at:
            share = e.points / len(looked_at)
            cells.append(_cell("code", f'""" # BEGIN TEST CONFIG\npoints: {share:g}\n""" # END TEST CONFIG\n'
                                       "from tinynet.exercises.notebook import require\n"
                                       f'require("{e.name}", "{part}")'))
        cells += [_cell("raw", "# END TESTS"), _cell("raw", "# END QUESTION")]
    return _notebook(out / f"{sheet.name}.ipynb", cells)


def nbgrader(sheet, out, _secret=None):
    """Write out/nbgrader_config.py and out/source/NAME/NAME.ipynb; a test cell's last line gives its points."""
    cells = []
    for e in _without_variants(sheet):
        asked = dict(schema_version=3, task=False)
        answer = asked | dict(grade_id=f"{e.name}-answer", solution=True, grade=False, locked=False)
        test = asked | dict(grade_id=f"{e.name}-points", solution=False, grade=True, locked=True, points=e.points)
        cells += [_cell("markdown", _intro(e)),
                  _cell("code", _answer(e, "    ### BEGIN SOLUTION\n", "\n    ### END SOLUTION"), nbgrader=answer),
                  _cell("code", f'from tinynet.exercises.notebook import points\n\npoints("{e.name}", of={e.points:g})',
                        nbgrader=test)]
    out.mkdir(parents=True, exist_ok=True)
    (out / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.course_id = 'tinynet'\nc.ExecutePreprocessor.timeout = 120\n",
        encoding="utf-8")
    return _notebook(out / "source" / sheet.name / f"{sheet.name}.ipynb", cells)


# %% GitHub Classroom
WORKFLOW = """name: Autograding tests
on: [push, workflow_dispatch]
permissions:
  checks: write
  actions: read
  contents: read
jobs:
  run-autograding-tests:
    runs-on: ubuntu-latest
    if: github.actor != 'github-classroom[bot]'
    steps:
    - uses: actions/checkout@v4
"""


def classroom(sheet, out, _secret=None):
    """Write .github/classroom/autograding.json and .github/workflows/classroom.yml: exit code 0 earns the points."""
    setup = f"pip install '{REQUIRES}'"
    tests = [dict(name=e.function, setup=setup, run=f"python -m tinynet check {number}_{e.function}.py", input="",
                  output="", comparison="included", timeout=5, points=round(e.points))
             for number, e in enumerate(sheet.exercises, 1)]
    steps = "".join(
        f"    - name: {t['name']}\n      id: {t['name']}\n"
        "      uses: classroom-resources/autograding-command-grader@v1\n      with:\n"
        f"        test-name: {t['name']}\n        setup-command: {setup}\n        command: {t['run']}\n"
        f"        timeout: 5\n        max-score: {t['points']}\n" for t in tests)
    report = "    - uses: classroom-resources/autograding-grading-reporter@v1\n      env:\n" + "".join(
        f"        {t['name'].upper()}_RESULTS: \"${{{{steps.{t['name']}.outputs.result}}}}\"\n" for t in tests)
    report += f"      with:\n        runners: {','.join(t['name'] for t in tests)}\n"
    for name, text in ((".github/classroom/autograding.json", json.dumps(dict(tests=tests), indent=1) + "\n"),
                       (".github/workflows/classroom.yml", WORKFLOW + steps + report)):
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return out / ".github" / "classroom" / "autograding.json"


KINDS = dict(gradescope=gradescope, otter=otter, nbgrader=nbgrader, classroom=classroom)
