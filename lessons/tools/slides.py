"""The slide index: for every slide item its equation, the function that computes it, its tests, lessons and figures.

Everything is read from the sources, nothing is imported: the numbered equations of the
docstrings of blocks and models, the tags at the ends of their code lines, the docstrings of tests and lessons.

    python -m lessons --slides > lessons/README.md      brings the index up to date
    python -m lessons --item "shi 1.6"                  prints all about one item, with line numbers
"""

import ast
import difflib
import importlib.util
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from lessons.tools.catalogue import FOLDER, catalogue, read
from tinynet.cases import CASES

ROOT = FOLDER.parent
DECKS = {
    "shi": ("Residual learning, attention and multi-task learning",
            "1.1 1.2 1.3 1.4 1.5 1.6 fig1 fig2 fig3 fig4 fig5 2.1 2.2 2.3 2.4 2.5 2.6 2.7 fig6 fig7 fig8 fig9 "
            "fig10 fig11 fig12 aux", (2, 3, 17, 18, 19)),
    "tomaszewska": ("Multi-task architectures and loss balancing",
                    "fig1 fig2 negative-transfer shared-trunk fig4 fig5 fig6 fig7 fig8 fig9 init fig10 fig11 fig12 "
                    "wu2020 weighted uncertainty gradnorm fig13 fig14 fig15 fig16", (1, 4, 7, 9, 16)),
    "saha": ("Adaptive activation networks",
             "sigmoid chain relu leaky-relu maxout stochastic-maxout lp apl fig1 fig2 aal metric Ltn Lcos Ldis Ltotal "
             "table1 table2 heatmaps", (5, 6, 8)),
    "csc321": ("Deep residual networks, attention, project 4",
               "alexnet vgg depth rnn-jacobian cnn-jacobian block resmath cifar imagenet seq2seq birnn context score "
               "map length caption stacked transformer lm augment generate teacher", (10, 11, 12, 13, 14, 15)),
}
ITEMS = {deck: [*names.split(), *(f"erratum {n}" for n in errata)] for deck, (_, names, errata) in DECKS.items()}
BATTERY = "tests/blocks/test_battery.py::test_backward_is_the_derivative_of_forward"
TAG = r"#((?: \(\d+\)(?:-\(\d+\))?)+)"        # at the end of a code line: "# (1)", "# (1) (4)-(6)"
HOME = {f"erratum {n}": deck for deck, (_, _, errata) in DECKS.items() for n in errata}

INTRO = """# The lessons

`python -m lessons` runs them all on embedded data, two side by side. `python -m lessons residual` runs one,
`python -m lessons shi` those of a deck, `--quick` runs them on less, `--list` names them. Each is a script of percent
cells that opens as a notebook (VS Code, Spyder, Jupytext).

"""
INDEX = """
## From slide to code

Generated from the docstrings of blocks, tests and lessons; `python -m lessons --slides > lessons/README.md` brings it
up to date. (5) stands for equation (5) in the block's docstring; behind it are the functions that compute it, plain
NumPy first. `python -m lessons --item "shi 1.6"` prints an item's equation, lines and tests. Items marked **owed** are
not there yet.
"""


@dataclass
class Row:
    """Where one slide item is found."""

    equations: list = field(default_factory=list)
    tests: list = field(default_factory=list)
    lessons: list = field(default_factory=list)
    figures: list = field(default_factory=list)


# %% What a text names
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
                yield HOME.get(name, deck), name


def named(text):
    """The (deck, item)s that stand anywhere in running text: "what shi 1.1-1.6 and csc321 block claim"."""
    for deck, items in ITEMS.items():
        item = "|".join(re.escape(name) for name in sorted(items, key=len, reverse=True))
        for match in re.findall(rf"\b{deck} ((?:{item})(?:(?:, | and |-)(?:{item}))*)(?![\w-])", text):
            yield from cited(f"{deck} {match.replace(' and ', ', ')}")


def of_heading(heading, among):
    """The (deck, item)s that a lesson's heading names: in full, else those `among` the lesson's own that stand there
    without their deck, as in "fig1: one trunk", "Negative transfer, exactly" or "Errata 10 and 11".
    """
    words = "|".join(re.escape(_spaced(item)) for _, item in sorted(among, key=lambda key: len(key[1]), reverse=True))
    alone = set(re.findall(rf"(?<!\w)(?:{words})(?!\w)", _spaced(heading))) if words else set()
    return set(named(heading)) or {key for key in among if _spaced(key[1]) in alone or (
        key[1].startswith("erratum") and names_erratum(heading, erratum_number(key[1])))}


def _spaced(text):
    return text.lower().replace("-", " ")


def erratum_number(item):
    """The number of "erratum 5", else 0."""
    return int(item.removeprefix("erratum ")) if item.startswith("erratum ") else 0


def names_erratum(text, number):
    """Does the text name it, alone or as in "Errata 10 and 11"?"""
    return bool(re.search(rf"\b[Ee]rrat(?:um|a(?: \d+(?:,| and))*) {number}\b", text))


# %% Blocks and models
class Block:
    """A block or a model: one file, or a folder whose __init__.py has the docstring."""

    def __init__(self, path):
        self.path = path
        self.name = path.parent.name if path.name == "__init__.py" else path.stem
        self.files = sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]

    @cached_property
    def docstring(self):
        return ast.get_docstring(ast.parse(self.path.read_text(encoding="utf-8")), clean=False) or ""

    @cached_property
    def equations(self):
        """{number: (formula, source)} of the lines `    (1)  formula   source` in the docstring."""
        lines = (re.match(r"    \((\d+)\) +(\S.*)", line) for line in self.docstring.splitlines())
        pieces = ((m[1], re.split(r"  +", m[2].strip())) for m in lines if m)
        return {number: ("  ".join(parts[:-1]), parts[-1]) if len(parts) > 1 else (parts[0], "")
                for number, parts in pieces}

    @cached_property
    def tags(self):
        """{number: [(file, line number, function)]} of the code lines that end with `# (1)` or `# (1) (2)`, NumPy
        before the fast twins.
        """
        found = defaultdict(list)
        for file in self.files:
            source = file.read_text(encoding="utf-8")
            for n, line in enumerate(source.splitlines(), 1):
                for number in tagged(line):
                    function = outermost(source, n)
                    found[number].append((file, n, function.name if function else ""))
        return {number: sorted(places, key=lambda p: (p[0] != self.path, _is_fast(p[0], p[1]), p[1]))
                for number, places in found.items()}


def tagged(line):
    """The numbers of a code line's tag: "1", "4", "5", "6" of "# (1) (4)-(6)"."""
    tag = re.search(rf"{TAG}\s*$", line)
    pairs = re.findall(r"\((\d+)\)(?:-\((\d+)\))?", tag[1]) if tag else ()
    return [str(n) for first, last in pairs for n in range(int(first), int(last or first) + 1)]


def outermost(source, line):
    """The outermost function or method that this line stands in, as a node of the tree; None where there is none."""
    return next((f for f in _functions(source) if f.lineno <= line <= f.end_lineno), None)


@cache
def _functions(source):
    return sorted((f for f in ast.walk(ast.parse(source)) if isinstance(f, ast.FunctionDef)), key=lambda f: f.lineno)


def _is_fast(file, line):
    """Does the line stand behind the heading of the fast twin?"""
    sections = [int(m[1]) for text in file.read_text(encoding="utf-8").splitlines()[:line]
                if (m := re.match(r"# %% (\d)", text))]
    return bool(sections) and sections[-1] == 2


def package(root):
    """tinynet in the tree, or where it is installed when the tree holds only lessons and tests."""
    here = root / "tinynet"
    return here if here.exists() else Path(importlib.util.find_spec("tinynet").origin).parent


def blocks(root=ROOT):
    """Every block, those that are there for speed alone last, every model and every balancing rule."""
    folder = package(root)
    files = [path for path in sorted(folder.glob("blocks/*/*.py")) if path.name != "__init__.py"]
    found = [Block(path) for path in [*files, *sorted(folder.glob("blocks/*/*/__init__.py"))]]
    rest = [*sorted(folder.glob("models/*/*.py")), *sorted(folder.glob("balancing/*.py"))]
    models = [Block(path) for path in rest if path.name != "__init__.py"]
    return sorted(found, key=lambda block: block.docstring.startswith("Speed only")) + models


# %% Tests
def tests_of(root):
    """{(deck, item): ["file.py::test"]} by the docstrings of tests, and by those of their files."""
    found = defaultdict(list)
    for path in sorted((root / "tests").rglob("test_*.py")):
        tree, name = ast.parse(path.read_text(encoding="utf-8")), path.relative_to(root).as_posix()
        for key in set(named(ast.get_docstring(tree) or "")):
            found[key].append(name)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for key in set(named(ast.get_docstring(node) or "")):
                    _add(found[key], f"{name}::{node.name}")
    return found


def cases_of(block, number=None):
    """The names of the battery's cases for a block; with an equation's number those of the ops whose pair computes it,
    all of them where a helper does.
    """
    ops = {name: case.op for name, case in CASES.items() if home(case.op) == block.name}
    functions = {function for _, _, function in block.tags.get(number, ())}
    return [name for name, op in ops.items() if functions & {op.forward.__name__, op.backward.__name__}] or [*ops]


def home(op):
    """The name of the block whose file an op's forward stands in."""
    return op.forward.__module__.rpartition(".")[2]


# %% Complaints: what makes the index wrong
def complaints(root=ROOT, folder=FOLDER):
    """One sentence for each tag without an equation, equation without a tag, and item that no deck has."""
    wrong, there = [], {block.name for block in blocks(root)}
    for block in blocks(root):
        wrong += [f"{block.tags[n][0][0].name}: line {block.tags[n][0][1]} is tagged ({n}), but the docstring has no "
                  f"equation ({n})" for n in block.tags.keys() - block.equations.keys()]
        wrong += [f"{block.name}: no code line ends with the tag of equation ({n})"
                  for n in block.equations.keys() - block.tags.keys()]
        wrong += [f"{block.name}, equation ({n}): {unknown}"
                  for n, (_, source) in block.equations.items() for unknown in _strange(source)]
    topics = [entry.topic for entry in catalogue(folder)]
    wrong += [f"two lessons have the topic {topic!r}" for topic in set(topics) if topics.count(topic) > 1]
    for block in blocks(root):
        if (told := re.search(r"Lesson: (\w+)", block.docstring)) and told[1] not in topics:
            wrong.append(f"{block.name}: there is no lesson {told[1]!r}")
    for entry in catalogue(folder):
        wrong += [f"{entry.name}: {unknown}" for unknown in _strange(entry.slides)]
        wrong += [f"{entry.name}: there is no block {name}" for name in entry.blocks if name not in there]
    return sorted(wrong)


def _strange(text):
    return [f"deck {deck} has no item {item!r}" for deck, item in cited(text) if item not in ITEMS[deck]]


# %% The index
def rows(root=ROOT, folder=FOLDER):
    """{(deck, item): Row} of everything that has an equation, a test or a lesson."""
    found = defaultdict(Row)
    for block in blocks(root):
        link = f"[{block.name}]({_from_lessons(block.path, root)})"
        battery = [f"battery of {block.name}"] if block.equations and cases_of(block) else []
        for number, (_, source) in block.equations.items():
            for key in cited(source):
                functions = list(dict.fromkeys(f"`{name}`" for _, _, name in block.tags.get(number, ()) if name))
                _add(found[key].equations, f"{link} ({number}) {', '.join(functions)}")
                _add(found[key].tests, *battery)
    for key, tests in tests_of(root).items():
        _add(found[key].tests, *(f"[{test.rpartition('/')[2]}](../{test.partition('::')[0]})" for test in tests))
    for entry in told(folder):
        for deck, item in cited(entry.slides):
            row = found[deck, item]
            _add(row.lessons, f"[{entry.topic}]({entry.path.relative_to(folder).as_posix()})")
            _add(row.figures, *(f"[{f}](../figures/{f})" for f in figures_of(entry, deck, item)))
    return found


def told(folder):
    """What names slide items in its docstring: the lessons, then the modules of the tables."""
    return [*catalogue(folder), *recipes(folder)]


def recipes(folder=FOLDER):
    """The modules of the tables, as their docstrings describe them."""
    return [read(path) for path in sorted((folder / "tables").rglob("*.py"))]


def figures_of(entry, deck, item):
    return [f for f in entry.figures if is_figure_of(f, deck, item)]


def is_figure_of(name, deck, item):
    """Is a figure named after this item, as "shi_1.6_two-terms.png" is?"""
    return name.startswith(f"{deck}_") and item in re.split(r"_|\.png", name)


def _from_lessons(path, root):
    return f"../tinynet/{path.relative_to(package(root)).as_posix()}"


def _add(items, *new):
    items += [item for item in new if item not in items]


def index(root=ROOT, folder=FOLDER):
    """The text of lessons/README.md."""
    entries, found = catalogue(folder), rows(root, folder)
    lines = [INTRO, _head("lesson", "question", "slides", "run time")]
    lines += [_row(f"[{e.name}]({e.name}.py)", e.question, e.slides, e.fields.get("Run time", "")) for e in entries]
    lines.append(INDEX)
    for deck, (title, *_) in DECKS.items():
        lines.append(f"\n### {deck}: {title}\n\n" + _head("item", "equation and function", "test", "lesson", "figure"))
        for item in ITEMS[deck]:
            row = found.get((deck, item), Row())
            owed = "" if row.equations or row.lessons else "**owed**"
            cells = (row.equations, row.tests, row.lessons, row.figures)
            lines.append(_row(item, *("; ".join(cell) or (owed if i == 0 else "") for i, cell in enumerate(cells))))
    return "".join(lines)


def _row(*cells):
    return f"| {' | '.join(cells)} |\n"


def _head(*names):
    return _row(*names) + "|" + " --- |" * len(names) + "\n"


# %% One item
def about(asked, root=ROOT, folder=FOLDER):
    """All about one item, e.g. "shi 1.6": equation, lines, test ids to paste, the lesson's cell, figures.

    Raises KeyError with a sentence that suggests the nearest item.
    """
    keys = {f"{deck} {item}": (deck, item) for deck in ITEMS for item in ITEMS[deck]}
    if asked not in keys:
        near = difflib.get_close_matches(asked, keys, n=3, cutoff=0.3)
        raise KeyError(f"there is no slide item {asked!r}; did you mean {' or '.join(near) or 'shi 1.6'}?")
    key, lines = keys[asked], [asked]
    for block in blocks(root):
        for number, (formula, source) in block.equations.items():
            if key in cited(source):
                lines += ["", f"{block.name} ({number})  {formula}", *_places(block, number, root)]
                lines += [f"  test      {BATTERY}[{name}]" for name in cases_of(block, number)[:1]]
    lines += ["", *(f"  test      {test}" for test in tests_of(root)[key])]
    for entry in told(folder):
        if key in cited(entry.slides):
            lines.append(f"  lesson    {entry.path.relative_to(folder.parent).as_posix()}:{_cell(entry, key)}")
            lines += [f"  figure    figures/{figure}" for figure in figures_of(entry, *key)]
    return "\n".join(lines) + "\n"


def _places(block, number, root):
    for file, n, name in block.tags.get(number, ()):
        code = file.read_text(encoding="utf-8").splitlines()[n - 1].strip()
        kind = "fast" if _is_fast(file, n) else "line"
        yield f"  {kind}      tinynet/{file.relative_to(package(root))}:{n}  {code}   in {name}"


def _cell(entry, key):
    """The line of the first cell whose heading names the item; the first line where none does."""
    start = 1
    for n, line in enumerate(entry.path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("# %%"):
            start = n
        if line.startswith("# ## ") and key in of_heading(line, set(cited(entry.slides))):
            return start
    return 1
