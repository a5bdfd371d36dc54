"""The slide index: for every slide item its equation's lines, its tests, its lessons and its figures.

Everything is read from the sources, nothing is imported: the numbered equations of the blocks'
docstrings, the tags at the ends of their code lines, and the fields of the lessons' docstrings.

    python -m lessons --slides > lessons/README.md      brings the index up to date
"""

import ast
import importlib.util
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from lessons.catalogue import FOLDER, catalogue, read

ROOT = FOLDER.parent
DECKS = {
    "shi": ("Residual learning, attention and multi-task learning",
            "1.1 1.2 1.3 1.4 1.5 1.6 fig1 fig2 fig3 fig4 fig5 2.1 2.2 2.3 2.4 2.5 2.6 2.7 fig6 fig7 fig8 fig9 "
            "fig10 fig11 fig12 aux"),
    "tomaszewska": ("Multi-task architectures and loss balancing",
                    "fig1 fig2 negative-transfer shared-trunk fig4 fig5 fig6 fig7 fig8 fig9 fig10 fig11 init fig12 "
                    "wu2020 weighted uncertainty gradnorm fig13 fig14 fig15 fig16"),
    "saha": ("Adaptive activation networks",
             "sigmoid chain relu leaky-relu maxout stochastic-maxout lp apl fig1 fig2 aal metric Ltn Lcos Ldis Ltotal "
             "table1 table2 heatmaps"),
    "csc321": ("Deep residual networks, attention, project 4",
               "rnn-jacobian cnn-jacobian block resmath cifar seq2seq birnn context score map length caption stacked "
               "transformer lm augment generate teacher"),
}
ITEMS = {deck: [*names.split(), *(f"erratum {n}" for n in range(1, 8))] for deck, (_, names) in DECKS.items()}

INTRO = """# The lessons

`python -m lessons` runs them all on embedded data, `python -m lessons residual` runs one, `--quick` runs them on less,
`--list` names them. Each is a script of percent cells that opens as a notebook (VS Code, Spyder, Jupytext).

"""
INDEX = """
## From slide to code

Generated from the blocks' and the lessons' docstrings; `python -m lessons --slides > lessons/README.md` brings it up
to date. (5) residual.py:88,93 is equation (5) in the docstring of tinynet/blocks/residual.py and the lines that
compute it.
"""


@dataclass
class Row:
    """Where one slide item is found."""

    equations: list = field(default_factory=list)
    tests: list = field(default_factory=list)
    lessons: list = field(default_factory=list)
    figures: list = field(default_factory=list)


# %% Reading
def cited(text):
    """(deck, item) of every slide item in "shi 1.1-1.3, fig1; csc321 block"; papers are passed over."""
    for part in text.split(";"):
        deck, _, names = part.strip().partition(" ")
        if deck not in ITEMS:
            continue
        for name in (n.strip() for n in names.split(",")):
            first, _, last = name.partition("-")
            if name not in ITEMS[deck] and first in ITEMS[deck] and last in ITEMS[deck]:
                yield from ((deck, item) for item in ITEMS[deck][ITEMS[deck].index(first):ITEMS[deck].index(last) + 1])
            else:
                yield deck, name


def equations(source):
    """{number: source} of the equation lines `    (1)  formula   source` in a module's docstring."""
    lines = (ast.get_docstring(ast.parse(source), clean=False) or "").splitlines()
    numbered = (re.match(r"    \((\d+)\) +(\S.*)", line) for line in lines)
    pieces = ((m[1], re.split(r"  +", m[2].strip())) for m in numbered if m)
    return {number: parts[-1] if len(parts) > 1 else "" for number, parts in pieces}


def tags(source):
    """{number: lines} of the code lines that end with `# (1)` or `# (1) (2)`."""
    found = defaultdict(list)
    for n, line in enumerate(source.splitlines(), 1):
        tag = re.search(r"#((?: \(\d+\))+)\s*$", line)
        for number in re.findall(r"\d+", tag[1]) if tag else ():
            found[number].append(n)
    return dict(found)


def blocks(root=ROOT):
    """Every file of tinynet/blocks as (path, source)."""
    paths = sorted((package(root) / "blocks").rglob("*.py"))
    return [(path, path.read_text(encoding="utf-8")) for path in paths]


def checked_in(block, root):
    """The battery if it has cases of this block, and the test file that speaks most of it."""
    imports = re.compile(rf"^from tinynet\.blocks[\w.]*(\.{block} import| import {block}\b)", re.MULTILINE)
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted((root / "tests").rglob("test_*.py"))}
    own = {name: len(re.findall(rf"\b{block}", text)) for name, text in texts.items() if imports.search(text)}
    best = f"test_{block}.py" if f"test_{block}.py" in own else max(own, key=own.get, default=None)
    battery = any(imports.search(path.read_text(encoding="utf-8")) for path in (package(root) / "cases").glob("*.py"))
    return (["test_battery.py"] if battery else []) + ([best] if best else [])


def package(root):
    """tinynet in the tree, or where it is installed when the tree holds only lessons and tests."""
    here = root / "tinynet"
    return here if here.exists() else Path(importlib.util.find_spec("tinynet").origin).parent


# %% Complaints: what makes the index wrong
def complaints(root=ROOT, folder=FOLDER):
    """One sentence for each tag without an equation, equation without a tag, and item that no deck has."""
    wrong = []
    for path, source in blocks(root):
        numbered, tagged = equations(source), tags(source)
        wrong += [f"{path.name}: line {tagged[n][0]} is tagged ({n}), but the docstring has no equation ({n})"
                  for n in tagged.keys() - numbered.keys()]
        wrong += [f"{path.name}: no code line ends with the tag of equation ({n})"
                  for n in numbered.keys() - tagged.keys()]
        wrong += [f"{path.name}, equation ({n}): {unknown}"
                  for n, text in numbered.items() for unknown in _strange(text)]
    for entry in catalogue(folder):
        wrong += [f"{entry.path.name}: {unknown}" for unknown in _strange(entry.slides)]
        wrong += [f"{entry.path.name}: there is no tinynet/blocks/{name}.py" for name in entry.blocks
                  if not any((package(root) / "blocks").rglob(f"{name}.py"))]
    return sorted(wrong)


def _strange(text):
    return [f"deck {deck} has no item {item!r}" for deck, item in cited(text) if item not in ITEMS[deck]]


# %% The index
def rows(root=ROOT, folder=FOLDER):
    """{(deck, item): Row} of everything that has an equation or a lesson."""
    found = defaultdict(Row)
    for path, source in blocks(root):
        tagged = tags(source)
        for number, text in equations(source).items():
            for key in cited(text):
                lines = ",".join(map(str, tagged.get(number, ())))
                _add(found[key].equations, f"({number}) {path.name}:{lines}")
                _add(found[key].tests, *checked_in(path.stem, root))
    tables = [(read(path), f"tables/{path.name}", "test_table_recipes.py")
              for path in sorted((folder / "tables").glob("*.py"))]
    lessons = [(entry, entry.name, "test_lessons.py") for entry in catalogue(folder)]
    for entry, name, test in lessons + tables:
        for deck, item in cited(entry.slides):
            row = found[deck, item]
            _add(row.lessons, name)
            _add(row.tests, test)
            _add(row.figures, *(f for f in entry.figures
                                if f.startswith(f"{deck}_") and item in re.split(r"_|\.png", f)))
    return found


def _add(items, *new):
    items += [item for item in new if item not in items]


def index(root=ROOT, folder=FOLDER):
    """The text of lessons/README.md."""
    entries, found = catalogue(folder), rows(root, folder)
    lines = [INTRO, _head("lesson", "question", "slides", "run time")]
    lines += [_row(f"[{e.name}]({e.path.name})", e.question, e.slides, e.fields.get("Run time", "")) for e in entries]
    lines.append(INDEX)
    for deck, (title, _) in DECKS.items():
        lines.append(f"\n### {deck}: {title}\n\n" + _head("item", "equation and lines", "test", "lesson", "figure"))
        for item in ITEMS[deck]:
            if row := found.get((deck, item)):
                cells = (row.equations, row.tests, row.lessons, row.figures)
                lines.append(_row(item, *(", ".join(cell) for cell in cells)))
    return "".join(lines)


def _row(*cells):
    return f"| {' | '.join(cells)} |\n"


def _head(*names):
    return _row(*names) + "|" + " --- |" * len(names) + "\n"
