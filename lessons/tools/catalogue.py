"""The lessons, as their docstrings describe them; nothing is run or imported here.

A lesson's docstring: the question it answers, then one line each of

    Slides: shi 1.1-1.6, fig1; csc321 block
    Blocks: residual, linear
    Run time: 8 s, --quick 2 s
    Figures: shi_fig1_degradation.png

and, after an empty line, what else there is to say.
"""

import ast
import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
HOMES = ("start", "shi", "tomaszewska", "saha", "csc321")       # the decks' folders, in the order of reading
FIELDS = ("Slides", "Blocks", "Run time", "Figures")


@dataclass
class Entry:
    """One lesson: `name` is deck and file, e.g. shi/10_residual, `topic` the file without its number."""

    path: Path
    question: str
    fields: dict = field(default_factory=dict)

    deck = property(lambda self: self.path.parent.name)
    name = property(lambda self: f"{self.deck}/{self.path.stem}")
    topic = property(lambda self: re.sub(r"^\d\d_", "", self.path.stem))
    slides = property(lambda self: self.fields.get("Slides", ""))
    blocks = property(lambda self: _parts(self.fields.get("Blocks", "")))
    figures = property(lambda self: _parts(self.fields.get("Figures", "")))


def catalogue(folder=FOLDER):
    """Every NN_topic.py of the decks' folders, in order."""
    return [read(path) for deck in HOMES for path in sorted(Path(folder, deck).glob("[0-9][0-9]_*.py"))]


def read(path):
    """The docstring of a lesson, taken apart; a lesson that can't be parsed has no fields."""
    try:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    except SyntaxError:
        text = ""
    starts = re.compile(rf"^({'|'.join(FIELDS)}):", re.MULTILINE)
    first = starts.search(text)
    head = text[:first.start()] if first else text
    pieces = starts.split(text)[1:]
    fields = {name: _paragraph(value) for name, value in zip(pieces[::2], pieces[1::2], strict=True)}
    return Entry(path, _paragraph(head), fields)


def _paragraph(text):
    """The text up to the first empty line, on one line."""
    return " ".join(text.strip().split("\n\n")[0].split())


def choose(names, entries):
    """The lessons that `names` ask for, all without names.

    A name is a topic (`residual`), a file with or without its deck and with any number before the topic
    (`shi/10_residual`, `03_residual.py`), or a deck, for all its lessons.
    Raises KeyError with a sentence that suggests the nearest name.
    """
    known = {entry.topic: [entry] for entry in entries}
    known |= {deck: [entry for entry in entries if entry.deck == deck] for deck in HOMES}
    plain = [re.sub(r"^\d\d_", "", Path(name).name).removesuffix(".py") for name in names]
    unknown = [name for name in plain if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1, cutoff=0.4)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise KeyError(f"there is no lesson {unknown[0]!r}{meant} (python -m lessons --list names them all)")
    asked = [entry for name in plain for entry in known[name]]
    return [e for e in entries if e in asked] if names else entries


def _parts(text):
    return [part.strip() for part in text.split(",") if part.strip() and part.strip() != "none"]
