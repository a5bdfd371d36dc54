"""lessons/TEACHING.md is true: its commands run, its lessons, cells, questions and exercises exist."""

import re
import shlex
from pathlib import Path

import pytest

import lessons
from tinynet import cases
from tinynet.__main__ import main
from tinynet.exercises import sheets

FOLDER = Path(lessons.__file__).parent
TEXT = (FOLDER / "TEACHING.md").read_text(encoding="utf-8")
PARTS = re.split(r"^### \d\. ", TEXT.partition("## How points are given")[0], flags=re.MULTILINE)[1:]


def test_there_are_seven_lectures_of_fifty_minutes_that_ask_the_lessons_five_questions():
    assert len(PARTS) == 7
    for part in PARTS:
        asked = re.findall(r"questions? ([^|;]+?)\s*[|;]", part)
        numbers = {int(n) for text in asked for n in _numbers(text)}
        assert numbers == {1, 2, 3, 4, 5}, part[:40]
        minutes = re.findall(r"^\| (\d+)-(\d+) \|", part, re.MULTILINE)
        assert (minutes[0][0], minutes[-1][1]) == ("0", "50")
        assert [start for start, _ in minutes[1:]] == [end for _, end in minutes[:-1]]


def _numbers(text):
    """The numbers in "1 to 3" or "1, 2 and 4"."""
    first, *rest = map(int, re.findall(r"\d", text))
    return range(first, rest[-1] + 1) if " to " in text else [first, *rest]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.partition(":")[0].split()[0])
def test_the_cells_to_show_are_in_the_lesson(part):
    headings = {topic: headings_of(topic) for topic in part.partition(":")[0].split(" and ")}
    shown = [cell for row in re.findall(r"^\| \d.*$", part, re.MULTILINE) for cell in re.findall(r"`([^`]+)`", row)]
    assert len(shown) >= 4
    assert [cell for cell in shown if cell not in set().union(*headings.values())] == []
    assert [topic for topic, found in headings.items() if not found & set(shown)] == []


def headings_of(topic):
    """The headings of a lesson's markdown cells."""
    lesson = next(FOLDER.glob(f"*/[0-9]*_{topic}.py"))
    assert lesson.stem.partition("_")[2] == topic
    return set(re.findall(r"^# %% \[markdown\]\n# ## (.+)$", lesson.read_text(encoding="utf-8"), re.MULTILINE))


def test_the_exercises_exist():
    named = re.findall(r"^Exercise: (.*?)\n\n", TEXT, re.MULTILINE | re.DOTALL)
    blocks = {name for line in named for name in re.findall(r"`(\w+)`", line)}
    assert len(named) == 7
    assert blocks <= set(cases.op_names())


def test_a_reader_can_hand_out_the_sheet_of_csc321_by_these_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = [line for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
    Path("secret").write_bytes(b"a long text")
    assert len(commands) == 7
    first = next(shlex.split(command)[-1] for command in commands if " check " in command)
    for command in commands:
        python, m, tinynet, *arguments = shlex.split(command)
        assert (python, m, tinynet) == ("python", "-m", "tinynet")
        if "handed_in/*" in arguments:
            Path("handed_in/anna").mkdir(parents=True, exist_ok=True)
            Path("handed_in/anna/mine.py").write_text(Path(first).read_text())
            arguments[arguments.index("handed_in/*")] = "handed_in/anna"
        assert main(arguments) == (1 if arguments[0] == "check" else 0), capsys.readouterr().out
    sheet = sheets.find("csc321/sheet.json")
    assert f"csc321: 0 of {sheet.points:g} points" in capsys.readouterr().out
    assert Path("marks/class.csv").exists()
    assert Path("marks/anna/report.txt").read_text().startswith("anna: 0 of")
