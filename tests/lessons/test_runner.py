"""The runner of the lessons, on tiny lessons of its own; then all real lessons, once and quickly."""

import ast
import json
import os
import re
import subprocess
import sys

import pytest

from lessons.__main__ import FIGURES, main, parse
from lessons.tools.catalogue import FIELDS, FOLDER, catalogue

FAKE = '''"""Is {topic} {topic}?

Slides: shi 1.1
Blocks: linear
Run time: 1 s, --quick 1 s
Figures: {figures}
"""

# %%
import json
import random

import numpy as np

from tinynet.lesson import lesson

# %% Body
{body}
'''
SAVE = '''class Figure:
    def savefig(self, file, format):
        file.write(b"half")
        {then}

lesson.save(Figure(), "shi_1.1_fake")
'''


@pytest.fixture
def run(tmp_path, capfd, monkeypatch):
    """run({"01_topic": body}, *arguments) -> (exit code, standard output, standard error)."""
    monkeypatch.syspath_prepend(str(FOLDER.parent))         # workers find the lessons there

    def run(bodies, *arguments):
        folder = tmp_path / "lessons"
        (folder / "shi").mkdir(parents=True, exist_ok=True)
        for name, body in bodies.items():
            (folder / "shi" / f"{name}.py").write_text(FAKE.format(topic=name[3:], body=body, figures="none"))
        code = main(["--figures", str(tmp_path / "figures"), *arguments], folder)
        return code, *capfd.readouterr()
    return run


# %% Choosing
def test_list_names_the_lessons_and_runs_none(run):
    code, out, _ = run({"01_good": "1 / 0", "02_bad": "1 / 0"}, "--list")
    assert code == 0
    assert re.search(r"shi/01_good +Is good good\?\nshi/02_bad +Is bad bad\?", out)


@pytest.mark.parametrize("name", ["bad", "02_bad", "07_bad", "02_bad.py", "shi/02_bad"])
def test_a_lesson_is_chosen_by_topic_or_by_file_with_any_number(run, name):
    code, out, _ = run({"01_good": "1 / 0", "02_bad": "print('hello')"}, name)
    assert code == 0
    assert "hello" in out
    assert "01_good" not in out


def test_several_names_stand_in_the_lessons_order_in_the_table(run):
    _, out, _ = run({f"0{i}_{x}": f"print('{x}!')" for i, x in enumerate("abc")}, "c", "a")
    assert re.findall(r"^shi/0\d_(\w) .*\d$", out, re.MULTILINE) == ["a", "c"]
    assert sorted(re.findall(r"^(\w)!", out, re.MULTILINE)) == ["a", "c"]


def test_a_deck_stands_for_its_lessons(run):
    _, out, _ = run({"01_a": "print('a!')", "02_b": "print('b!')"}, "shi")
    assert sorted(re.findall(r"^(\w)!", out, re.MULTILINE)) == ["a", "b"]


def test_a_misspelt_name_suggests_the_nearest_and_exits_with_2(run):
    code, out, err = run({"01_residual": "print('ran')", "02_apl": ""}, "apl", "residaul")
    assert code == 2
    assert "no lesson 'residaul'; did you mean residual?" in err
    assert out == ""


@pytest.mark.parametrize(("arguments", "message"), [
    (["--data", "nowhere"], "--data: there is no folder nowhere"),
    (["--seed", "-1"], "--seed: -1 is negative"),
    (["--figures", __file__ + "/figures"], "--figures: no file can be written in"),
])
def test_what_cannot_be_done_is_one_sentence_before_any_lesson_runs(run, arguments, message):
    code, out, err = run({"01_good": "print('ran')"}, *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert out == ""


# %% Running
def test_the_table_tells_lesson_items_figures_seconds_and_what_was_shown(run, tmp_path):
    body = "lesson.number('a half', 0.5, 0.25, 'shi 1.1')\nlesson.shown('a half is a half')\n" + SAVE.format(then="")
    code, out, _ = run({"01_good": body})
    assert code == 0
    assert re.search(r"a half +0\.5 +shi 1\.1: 0\.25", out)
    assert re.search(r"^shi/01_good +shi 1\.1 +shi_1\.1_fake\.png +\d+\.\d +a half is a half$", out, re.MULTILINE)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["shi_1.1_fake.png"]


def test_a_failing_lesson_names_itself_and_the_run_goes_on(run):
    code, out, _ = run({"01_bad": "def f():\n    return 1 / 0\n\nf()", "02_good": "lesson.shown('good')"})
    assert code == 1
    assert "FAILED in 01_bad.py, line 19: ZeroDivisionError: division by zero" in out
    assert re.search(r"^shi/02_good .* good$", out, re.MULTILINE)
    assert out.rstrip().endswith("failed: shi/01_bad")


def test_a_lesson_that_does_not_parse_and_one_that_leaves_fail_alone(run):
    code, out, _ = run({"01_broken": "x = = 1", "02_leaves": "raise SystemExit(0)", "03_good": "print('hello')"})
    assert code == 1
    assert "FAILED in 01_broken.py, line 18: SyntaxError" in out
    assert "FAILED in 02_leaves.py, line 18: SystemExit" in out
    assert "hello" in out


def test_a_missing_package_names_the_command_that_installs_it(run):
    _, out, _ = run({"01_bad": "import a_package_that_is_not_there"})
    assert 'pip install -e ".[lessons]"' in out


def test_settings_reach_the_lesson_and_nothing_passes_from_one_to_the_next(run, tmp_path):
    tell = "print(json.dumps([lesson.quick, lesson.seed, str(lesson.data), np.random.rand(), random.random(), " \
           "tinynet.Op(ops.add.forward, None, fast=(1, 2), fast_when=lambda x: len(x) >= 9).pair([1]) == (1, 2)]))"
    body = f"import tinynet\nfrom tinynet import ops\n{tell}\ntinynet.use_backend('fast')\nlesson.shown('x')"
    _, out, _ = run({"01_a": body, "02_b": body}, "--quick", "--seed", "7", "--data", str(tmp_path))
    first, second = (json.loads(line) for line in out.splitlines() if line.startswith("[true"))
    assert first == second
    assert first[:3] == [True, 7, str(tmp_path)]
    assert first[5] is (os.environ.get("TINYNET_BACKEND") == "fast")


@pytest.mark.parametrize("then", ["raise KeyboardInterrupt", "raise OSError('disk full')"])
def test_no_half_written_figure_is_left(run, tmp_path, then):
    code, out, _ = run({"01_stopped": SAVE.format(then=then), "02_after": "print('ran')"})
    assert list((tmp_path / "figures").iterdir()) == []
    assert code == (130 if "Keyboard" in then else 1)
    assert "Keyboard" in then or "ran" in out


def test_a_lesson_whose_process_dies_is_told_and_the_table_stands(run):
    code, out, _ = run({"01_dies": "import os\nos._exit(9)", "02_dies": "import os\nos._exit(9)"})
    assert code == 1
    assert "its process ended suddenly" in out
    assert out.rstrip().endswith("failed: shi/01_dies, shi/02_dies")


def test_quick_concludes_nothing_and_writes_elsewhere(run):
    _, out, _ = run({"01_good": "lesson.shown('it is so')"}, "--quick")
    assert "too little training to conclude" in out
    assert "it is so" not in out
    assert parse(["--quick"]).figures == FIGURES / "quick"
    assert parse([]).figures == FIGURES


# %% The real lessons
SHORT = {"start/10_autograd", "start/20_gradient_check", "shi/10_residual", "shi/30_graph_attention",
         "shi/35_selective_attention", "tomaszewska/30_cross_stitch", "saha/10_apl", "csc321/10_vanishing_gradients",
         "csc321/50_attention", "csc321/85_language_model"}
# held to 300 lines before the questions, and 25 a code cell


def cells(source):
    """[(is it markdown?, text)] of a percent script."""
    parts = re.split(r"^# %%(.*)$", source, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [(head.strip() == "[markdown]", text.strip("\n")) for head, text in pairs]


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.name)
def test_a_lesson_opens_as_a_notebook(entry):
    source = entry.path.read_text(encoding="utf-8")
    assert set(entry.fields) == set(FIELDS)
    assert entry.question.endswith(("?", "."))
    assert source.startswith("# %% [markdown]\n# # "), "a lesson opens with its title; its text, the docstring too, " \
                                                      "stands in `# %% [markdown]` cells"
    assert re.search(r'^# %% \[markdown\]\n"""', source, re.MULTILINE)
    assert not re.search(r"^# %% (?!\[markdown\]$)", source, re.MULTILINE), "a notebook loses a title behind `# %%`"
    for markdown, text in cells(source):
        ast.parse(text)
        if entry.name in SHORT and not markdown:
            assert text.count("\n") < 25, text
        assert markdown or not text.endswith("raise_if_wrong()"), "a notebook shows what this returns: assert report.ok"
    assert "figsize" not in source, "figures are plot.WIDTH wide: give plot.subplots a height"
    if entry.name in SHORT:
        assert source.partition("\n# %% [markdown]\n# ## Five questions")[0].count("\n") <= 300


def test_a_notebook_shows_every_title_and_equation():
    jupytext, nbconvert = pytest.importorskip("jupytext"), pytest.importorskip("nbconvert")
    source = (FOLDER / "shi/10_residual.py").read_text(encoding="utf-8")
    notebook = jupytext.reads(source, "py:percent")
    assert not any(set(cell.metadata) - {"lines_to_next_cell"} for cell in notebook.cells)
    page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    titles = re.findall(r"^# #+ (.+)$", source, re.MULTILINE)
    assert len(titles) > 8
    for title in titles:
        assert re.search(rf"<h[12][^>]*>{re.escape(title)}<", page), title
    assert page.count("$$") >= source.count("$$")
    assert "Why can a net of 64 layers learn" in page


def test_all_lessons_run_quickly_without_display_or_home_and_write_what_they_declare(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "HOME", "MPLCONFIGDIR")}
    environment["TINYNET_CACHE"], figures = str(tmp_path / "cache"), tmp_path / "figures"
    ran = subprocess.run([sys.executable, "-W", "error", "-m", "lessons", "--quick", "--figures", str(figures)],
                         cwd=FOLDER.parent, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout + ran.stderr
    entries = catalogue()
    assert all(f"{entry.name}: {entry.question}" in ran.stdout for entry in entries)
    assert ran.stdout.count("  shown: ") == len(entries)
    assert sorted(path.name for path in figures.iterdir()) == sorted(f for e in entries for f in e.figures)


def test_a_lesson_runs_alone_from_its_own_folder(tmp_path):
    ran = subprocess.run([sys.executable, "-c", "from tinynet.lesson import lesson; print(lesson.figures)"],
                         cwd=FOLDER / "shi", capture_output=True, text=True)
    assert ran.stdout.strip() == str(FOLDER.parent / "figures"), ran.stderr
