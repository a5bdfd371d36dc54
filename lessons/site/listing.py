"""A block's code as lines: numbered, coloured, each with the equations that its tag names; and the pairs of lines of a
forward and its backward.
"""

import ast
import html
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from lessons.tools.slides import TAG, outermost, tagged


@dataclass(frozen=True)
class Line:
    """One line of a file: its number, its HTML, the equations it computes, and the function it stands in, with the
    function's first line.
    """

    path: Path
    number: int
    markup: str
    equations: tuple = ()
    function: str = ""
    start: int = 0


def coloured(source):
    """The lines of Python code as HTML."""
    return highlight(source, PythonLexer(stripnl=False, ensurenl=False), HtmlFormatter(nowrap=True)).split("\n")


@cache
def lines_of(path):
    """Every Line of a file; line n is at place n - 1."""
    source = path.read_text(encoding="utf-8")
    found = []
    for n, (text, markup) in enumerate(zip(source.split("\n"), coloured(source), strict=True), 1):
        function = outermost(source, n)
        name, start = (function.name, function.lineno) if function else ("", 0)
        found.append(Line(path, n, _linked(markup), tuple(tagged(text)), name, start))
    return found


def _linked(markup):
    """The tag's numbers as links to their equations, near the code, so that narrow pages show them."""
    comment = re.search(rf'<span class="c1">{TAG}</span>$', markup)
    if not comment:
        return markup
    links = re.sub(r"\((\d+)\)", r'<a href="#eq-\1">(\1)</a>', comment[1])
    return f'{markup[:comment.start()].rstrip()}  <span class="tag">#{links}</span>'


# %% Sections
@cache
def sections(block):
    """{"before" | "plain" | "fast" | "rest": [(title, [Line])]} of a block's files.

    before  imports and helpers; plain  the mathematics in NumPy; fast  the twin, with further files of the block's
    folder; rest  op and module
    """
    found = dict(before=[], plain=[], fast=[], rest=[])
    docstring_end = ast.parse(block.path.read_text(encoding="utf-8")).body[0].end_lineno
    place, title, kept = "before", "", []
    for line in lines_of(block.path)[docstring_end:]:
        heading = re.match(r"# %% (?:(\d)\. )?(.*)", html.unescape(re.sub("<[^>]*>", "", line.markup)))
        if heading:
            _keep(found[place], title, kept)
            title, kept = heading[2], []
            place = {"1": "plain", "2": "fast", "3": "rest", "4": "rest", None: "plain" if place == "before" else place
                     }[heading[1]]
        else:
            kept.append(line)
    _keep(found[place], title, kept)
    for path in block.files:
        if path != block.path:
            _keep(found["fast"], path.name, lines_of(path))
    return found


def imports(lines):
    """The lines up to the last import."""
    last = max((i for i, line in enumerate(lines) if re.match(r'<span class="kn">|\)$', line.markup)), default=-1)
    while last + 1 < len(lines) and not lines[last + 1].markup.strip():
        last += 1
    return lines[:last + 1]


def _keep(parts, title, lines):
    while lines and not lines[-1].markup.strip():
        lines = lines[:-1]
    while lines and not lines[0].markup.strip():
        lines = lines[1:]
    if title or lines:
        parts.append((title, lines))


def computed(block, number):
    """[(path, function's name, its Lines)] of the plain functions that compute an equation; of the fast twin's where no
    plain one does.
    """
    parts, found = sections(block), {}
    for places in (("before", "plain"), ("rest",), ("fast",)):
        for line in (line for place in places for _, lines in parts[place] for line in lines):
            if number in line.equations:
                found.setdefault((line.path, line.function), _around(line))
        if found:
            break
    return [(path, name, lines) for (path, name), lines in found.items()]


def _around(line):
    """The lines of the function that a line stands in; the line alone where there is none."""
    lines = [other for other in lines_of(line.path) if other.start == line.start]
    return lines if line.start else [line]


# %% Forward and back
@dataclass(frozen=True)
class Statement:
    """One statement: the names it gives values to, the names it uses, its first and last line."""

    gives: frozenset
    uses: frozenset
    first: int
    last: int


def pairs(block):
    """[(name, [(forward Lines, [backward Lines])], [further backward Lines])] of a block's plain pairs.

    Each tagged statement of a forward, from the last one to the first, with the tagged statements of the backward that
    undo it: what makes `dx` from `dy` undoes what makes `y` from `x`.  Names alone decide; further are those tagged
    statements of which the names don't tell.  Where they tell nothing all of the forward stands beside all of the
    backward.
    """
    plain = {line.number for part in ("before", "plain") for _, lines in sections(block)[part] for line in lines}
    tree = ast.parse(block.path.read_text(encoding="utf-8"))
    functions = {f.name: f for f in tree.body if isinstance(f, ast.FunctionDef) and f.lineno in plain}
    lines, found = lines_of(block.path), []
    for name, backward in functions.items():
        stem = name.removesuffix("_backward")
        if stem in (name, "") or f"{stem}_forward" not in functions:
            continue
        undone, further = _undone(functions[f"{stem}_forward"], backward, functions, lines)
        if undone:
            rows = [(_text(lines, home), [_text(lines, s) for s in undone[home]])
                    for home in sorted(undone, key=lambda s: -s.first)]
            found.append((stem, rows, [_text(lines, s) for s in further]))
        else:
            forward = _all_tagged(functions[f"{stem}_forward"], functions, lines)
            back = [line for line in _all_tagged(backward, functions, lines) if line not in forward]
            if forward and back:
                found.append((stem, [(forward, [back])], []))
    return found


def _all_tagged(function, functions, lines):
    """The tagged lines of a function and of those that it calls, directly or through others, in the file's order."""
    found, new = [], [function]
    while new:
        found += new
        new = [f for caller in new for f in _called(caller, functions) if f not in found]
    numbers = sorted({n for f in found for n in range(f.lineno, f.end_lineno + 1)})
    return [lines[n - 1] for n in numbers if lines[n - 1].equations]


def _undone(forward, backward, functions, lines):
    """({forward Statement: [backward Statement]}, [further backward Statement])."""
    arguments = [a.arg for a in forward.args.args]
    made = _of_forward(forward, functions, backward.args.args[0].arg.removeprefix("d"))
    known = {name for s in made for name in s.gives | s.uses} | set(arguments)
    steps = _of_backward(backward, functions, arguments, _called(forward, functions))
    came = _origins(steps, known, backward.args.args[0].arg)
    reached = _reached(made, lines)
    undone, further = {}, []
    for step in steps:
        if not _tagged_lines(step, lines):
            continue
        of = {name[1:] for name in step.gives if name.startswith("d")} & known
        since = {y for name in step.uses for y in came.get(name, ())} - (of if len(of) == 1 else set())
        home = next((s for s in made if _tagged_lines(s, lines) and of & reached[s] and since & s.gives), None)
        target = further if home is None else undone.setdefault(home, [])
        if not any((s.first, s.last) == (step.first, step.last) for s in target):
            target.append(step)
    placed = {(s.first, s.last) for steps in undone.values() for s in steps}
    return undone, [s for s in further if (s.first, s.last) not in placed]


def _reached(made, lines):
    """{statement of the forward: the names it uses}, with those that they were made from without an equation, such as X
    where a line before it says `x = X.reshape(...)`.
    """
    behind, reached = {}, {}
    for s in sorted(made, key=lambda s: s.first):
        reached[s] = s.uses | {name for used in s.uses for name in behind.get(used, ())}
        if not _tagged_lines(s, lines):
            behind |= dict.fromkeys(s.gives, reached[s])
    return reached


def _origins(steps, known, upstream):
    """{name: the y of the dy that its value comes from}; a name such as dz_rows or `through` hands on what it had."""
    came = {f"d{name}": {name} for name in known} | {upstream: {upstream[1:]}}
    for step in steps:
        for name in step.gives - came.keys():
            came[name] = {y for used in step.uses for y in came.get(used, ())}
    return came


def _tagged_lines(statement, lines):
    return any(line.equations for line in _text(lines, statement))


def _text(lines, statement):
    return lines[statement.first - 1:statement.last]


def _statements(function):
    """(node, Statement) of a function's assignments, returns and calls such as np.add.at(dh, ...), in order."""
    found = []
    for node in ast.walk(function):
        called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.value.args
        if called or isinstance(node, ast.Assign | ast.AugAssign | ast.Return):
            targets = [node.value.args[0]] if called else [node.target] if hasattr(node, "target") else getattr(
                node, "targets", [])
            gives = {_root(t) for target in targets for t in getattr(target, "elts", [target])} - {None}
            found.append((node, Statement(frozenset(gives), _names(node.value), node.lineno, node.end_lineno)))
    return sorted(found, key=lambda pair: pair[1].first)


def _names(node):
    return frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name)) if node else frozenset()


def _root(target):
    while isinstance(target, ast.Subscript | ast.Starred | ast.Attribute):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None


def _called(function, functions):
    """The helpers of the same file that a function calls."""
    names = {n.func.id for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    return [f for name, f in functions.items() if name in names and f is not function]


def _of_forward(forward, functions, output):
    """The statements of a forward and its helpers.  What is returned first is called as the backward's upstream tells,
    what a helper returns as the name that it is given to.
    """
    called, made = {forward.name: {output}}, []
    for node, statement in _statements(forward):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name):
            called[node.value.func.id] = statement.gives
    for function in [forward, *(f for f in _called(forward, functions) if f.name in called)]:
        for node, statement in _statements(function):
            if isinstance(node, ast.Return):
                first = node.value.elts[0] if isinstance(node.value, ast.Tuple) and function is forward else node.value
                statement = Statement(frozenset(called[function.name]), _names(first), statement.first, statement.last)
            made.append(statement)
    return made


def _of_backward(backward, functions, arguments, of_forward):
    """The statements of a backward and of the helpers that are its own; what is returned are the gradients of the
    forward's arguments.
    """
    made = []
    for function in [backward, *(f for f in _called(backward, functions) if f not in of_forward)]:
        for node, statement in _statements(function):
            returned = function is backward and isinstance(node, ast.Return) and node.value
            parts = getattr(node.value, "elts", [node.value]) if returned else []
            for argument, part in zip(arguments, parts, strict=False):
                if not isinstance(part, ast.Name | ast.Constant):
                    made.append(Statement(frozenset({f"d{argument}"}), _names(part), statement.first, statement.last))
            if not returned:
                made.append(statement)
    return made
