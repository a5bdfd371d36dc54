"""What a student hands in: a file, a notebook, or a folder of both, read as text and never run here.

    Submission(path).sources -> [Source(path, chunks, neighbours), ...]
"""

import ast
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tinynet.exercises.frames import LENT

LARGEST = 32 << 20          # bytes of one file: a notebook may hold figures
LARGEST_CODE = 1 << 19      # characters of code in it


class Unreadable(Exception):
    """A file that can't be read as Python or as a notebook; the message says why."""


@dataclass
class Source:
    """One file.

    chunks      [(label, text)]: the file itself, or the code cells of a notebook
    neighbours  {name: bytes} of the files beside it that it imports
    """

    path: Path
    chunks: list
    neighbours: dict

    notebook = property(lambda self: self.path.suffix == ".ipynb")
    text = property(lambda self: "\n\n".join(text for _, text in self.chunks))

    @cached_property
    def trees(self):
        """The syntax tree of every chunk that has one."""
        return [tree for _, text in self.chunks if (tree := _parsed(text))]

    def function(self, name):
        """The syntax tree of the last function with this name, or None."""
        found = [node for tree in self.trees for node in ast.walk(tree)
                 if isinstance(node, ast.FunctionDef) and node.name == name]
        return found[-1] if found else None

    @cached_property
    def defined(self):
        """The names that the file's top level defines or imports."""
        found = set()
        for node in (node for tree in self.trees for node in tree.body):
            found |= {getattr(node, "name", "")} | {alias.asname or alias.name for alias in getattr(node, "names", ())
                                                    if isinstance(alias, ast.alias)}
            found |= {target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)}
        return found

    def where(self, label, line, brief=False):
        """A place in the file, as the student would look for it."""
        path = self.path.name if brief else self.path
        cell = f", {label.strip('[]')}" if self.notebook else ""
        return f"{path}{cell}, line {line}" if line else str(path)


def _parsed(text):
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


# %% Reading
def read(path):
    """The Source of one .py or .ipynb file; raises Unreadable."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise Unreadable(f"can't read {path}: it is no file")
        if path.stat().st_size > LARGEST:
            raise Unreadable(f"can't read {path}: it is larger than {LARGEST >> 20} MiB")
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        if "\0" in text:
            raise ValueError
        chunks = _cells(text) if path.suffix == ".ipynb" else [(_label(path), text)]
    except OSError as error:
        raise Unreadable(f"can't read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        kind = "a notebook" if path.suffix == ".ipynb" else "Python source in UTF-8"
        raise Unreadable(f"can't read {path}: it isn't {kind}") from None
    if sum(len(text) for _, text in chunks) > LARGEST_CODE:
        raise Unreadable(f"can't read {path}: it holds more than {LARGEST_CODE:,} characters of code")
    return Source(path, chunks, _neighbours(path, [text for _, text in chunks]))


def _label(path):
    """The name under which the child runs the file; it ends in .py, so that its lines are known in a traceback."""
    return path.name if path.suffix == ".py" else f"{path.name}.py"


def _cells(text):
    """[(label, text)] of a notebook's code cells; the lines of IPython (%matplotlib, !pip, x?) are blanked."""
    cells = []
    for number, cell in enumerate(json.loads(text)["cells"], 1):
        if cell["cell_type"] != "code":
            continue
        source = cell["source"]
        lines = ("".join(source) if isinstance(source, list) else source).split("\n")
        if lines[0].startswith("%%") and not re.match(r"%%(time|timeit|capture)\b", lines[0]):
            continue
        lines = [re.sub(r"^(\s*)([%!?].*|[\w.]+\?\??)$", r"\1pass", line) for line in lines]
        cells.append((f"[cell {number}]", "\n".join(lines)))
    return cells


def _neighbours(path, texts):
    """The .py files beside this one that it imports, and those that they import."""
    found, todo = {}, list(texts)
    while todo:
        tree = _parsed(todo.pop())
        for name in _imported(tree) if tree else ():
            beside = path.with_name(f"{name}.py")
            if beside.name not in found and beside != path and _own(beside, path.parent):
                found[beside.name] = beside.read_bytes()
                todo.append(found[beside.name].decode("utf-8", "replace"))
    return found


def _own(path, folder):
    """Whether this is a file of the folder itself: a link may lead to somebody else's, the secret for instance."""
    real = path.resolve()
    return path.is_file() and real.is_relative_to(folder.resolve()) and real.stat().st_size < LARGEST_CODE


def _imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


# %% A submission
class Submission:
    """A student's work.

    student     the name of the file or folder
    sources     [Source]
    unreadable  what can't be read, and why
    """

    def __init__(self, path, student=None):
        self.path = Path(path)
        self.student = student or self.name_of(path)
        self.sources, self.unreadable = [], []
        paths = [self.path]
        if self.path.is_dir():
            paths = sorted(p for kind in ("*.py", "*.ipynb") for p in self.path.rglob(kind)
                           if not any(part.startswith(".") for part in p.relative_to(self.path).parts))
            foreign = [p for p in paths if not p.resolve().is_relative_to(self.path.resolve())]
            self.unreadable += [f"can't read {p}: it is a link to somewhere else" for p in foreign]
            paths = [p for p in paths if p not in foreign]
            if not paths:
                self.unreadable.append(f"can't read {self.path}: the folder holds no .py and no .ipynb file")
        for each in paths:
            try:
                self.sources.append(read(each))
            except Unreadable as error:
                self.unreadable.append(str(error))

    @staticmethod
    def name_of(path):
        path = Path(path)
        return path.resolve().name if path.is_dir() else path.stem

    @property
    def hash(self):
        """SHA-256 of all that was handed in, as hexadecimal digits."""
        total = hashlib.sha256()
        for source in self.sources:
            total.update(source.text.encode("utf-8", "replace"))
            for name in sorted(source.neighbours):
                total.update(source.neighbours[name])
        return total.hexdigest()


def _of_ours(tree):
    """What is imported of tinynet beside what it lends, also by a name in a string."""
    lent = {"tinynet", *(f"tinynet.{name}" for name in LENT)}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = [f"tinynet.{alias.name}" for alias in node.names]
            names = inside if node.module == "tinynet" else [node.module]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = re.findall(r"^tinynet(?:\.\w+)+$", node.value)
        yield from (name for name in names if name.partition(".")[0] == "tinynet" and name not in lent)


# %% For people, not a wall
HARMLESS = {"numpy", "math", "typing", "functools", "itertools", "dataclasses", "collections", "warnings", "time",
            "matplotlib", "tinynet", "__future__"}
TELLING = {"eval", "exec", "compile", "open", "__import__", "globals", "setattr", "__builtins__", "__subclasses__"}


def look_at(source):
    """What a person may want to look at in this file: nothing is deducted for it, and it is easy to hide."""
    found = []
    for tree in source.trees:
        names = set(_imported(tree)) - HARMLESS - {Path(name).stem for name in source.neighbours}
        found += [f"imports {name}" for name in sorted(names)]
        found += [f"imports tinynet's own code ({name})" for name in sorted(set(_of_ours(tree)))]
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        found += [f"uses {name}" for name in sorted(used & TELLING)]
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            inside = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
            block = function.name.removesuffix("_backward")
            if block != function.name and f"{block}_forward" in inside:
                found.append(f"{function.name} calls {block}_forward")
            if any(isinstance(node, ast.Attribute) and node.attr == "imag" for node in ast.walk(function)):
                found.append(f"{function.name} takes an imaginary part")
    return list(dict.fromkeys(found))


def not_written(function):
    """Whether a function's syntax tree is still a stub: pass, ... or NotImplementedError after taking things apart."""
    if function is None:
        return False
    body = [node for node in function.body if not _says_nothing(node)]
    return not body or (len(body) == 1 and isinstance(body[0], ast.Raise) and "NotImplemented" in ast.dump(body[0]))


def _says_nothing(node):
    """A docstring, `...`, pass, or names taken out of the cache."""
    unpacks = isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
    words = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return unpacks or words or isinstance(node, ast.Pass)
