"""A block in words, read from the block itself: its equations, the letters of its arrays, its signature."""

import ast
import inspect
import re
import sys
import textwrap
from functools import cache
from itertools import permutations

import numpy as np

from tinynet import cases

MOST = 64                   # arrays of an op that takes any number of them
PRIMES = (5, 7, 11, 13, 3, 17, 2, 19)           # sizes that tell the letters of a case apart


def block_of(op):
    """The op itself, or the block that a variant was made from."""
    return getattr(op, "block", op)


# %% Equations
def home(function):
    """The module in which a block's function is written; its package where the block is a folder of files."""
    module = inspect.getmodule(function)
    package = sys.modules.get(module.__name__.rpartition(".")[0])
    numbered = re.search(r"^\s+\(1\) ", (package and package.__doc__) or "", re.MULTILINE)
    return package if numbered else module


def docstring(op):
    """The docstring of the file (or of the folder) in which the block is written."""
    return home(block_of(op).forward).__doc__ or ""


def equations(op):
    """{number: (formula, source)} of the numbered lines in the block's docstring."""
    found = {}
    for line in docstring(op).splitlines():
        if m := re.match(r"\s+\((\d+\w?)\) +(\S.*)", line):
            *formula, source = re.split(r"  +", m[2].strip()) if "  " in m[2].strip() else (m[2].strip(), "")
            found[m[1]] = "  ".join(formula), source
    return found


@cache
def tags(function):
    """The numbers of the equations that the code lines of a function, and of its helpers in the same block, are
    tagged with, in the order of the numbers.
    """
    found, todo, seen = set(), [function], {function}
    while todo:
        here = todo.pop()
        source = textwrap.dedent(inspect.getsource(here))
        found.update(tags_in(source))
        used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
        helpers = {thing for name in used if inspect.isfunction(thing := here.__globals__.get(name))
                   and home(thing) is home(function) and not name.endswith(("_fast", "_loops"))}
        todo += helpers - seen
        seen |= helpers
    return sorted(found, key=lambda number: (int(re.match(r"\d+", number)[0]), number))


def tags_in(source):
    """The tags at the ends of code lines: ["1", "2"] of `# (1) (2)`."""
    tails = re.findall(r"#((?: ?\(\d+\w?\))+)\s*$", source, re.MULTILINE)
    return re.findall(r"\d+\w?", " ".join(tails))


def equation_of_gradient(op, name):
    """The equation of the gradient with this name, as "(3)  dW = dy' x   (source)", or "" where none says so."""
    if block_of(op) is not op:
        return ""                       # its arrays have other names
    known = equations(op)
    own = [n for n in tags(op.backward) if re.search(rf"(^|[\s,]){re.escape(name)}(?![A-Za-z\d])[^=]*=", known[n][0])]
    lines = inspect.getsource(op.backward).splitlines()
    tagged = [tags_in(line) for line in lines if re.match(rf"\s*(\w+, )*{re.escape(name)}\b.*=", line)]
    tagged += [tags_in(line) for line in lines if "return" in line]
    number = next((n for n in own + [n for some in tagged for n in some] if n in known), None)
    return f"({number})  {known[number][0]}{f'   ({known[number][1]})' if known[number][1] else ''}" if number else ""


# %% Arrays
def signature(function):
    """(x, W, b=None): what the function takes, as its author wrote it."""
    return str(inspect.signature(function)).replace("'", '"')


def names(op, count=None):
    """The names of the op's arrays, as its forward calls them; `count` of them, `arrays[0]` ... where it takes any."""
    parameters = list(inspect.signature(op.forward).parameters.values())
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    if rest:
        known += [f"{rest}[{i}]" for i in range(MOST)]
    return known if count is None else known[:count]


def call(name, half, case):
    """softmax_forward(x, axis=-1): the signature of the stub, with settings that the case at hand may not use."""
    return f"{name}_{half}{'(dy, cache)' if half == 'backward' else signature(case.op.forward)}"


@cache
def letters(case):
    """The axis letters of each array of a case, e.g. ("N D", "C D", "C"), found out with sizes that tell them apart."""
    for order in permutations(PRIMES[:max(len(case.letters), 1)]):
        sizes = dict(zip(case.letters, order, strict=False))
        if not case.allows(sizes):      # a case may ask for K <= H
            continue
        _, arrays, _ = cases.draw(case, np.random.default_rng(0), **sizes)
        return tuple("" if a is None else " ".join(_letter(n, sizes) for n in a.shape) for a in arrays)
    _, arrays, _ = cases.draw(case, np.random.default_rng(0))
    return tuple("" if a is None else " ".join(map(str, a.shape)) for a in arrays)


def _letter(size, sizes):
    exact = [letter for letter, n in sizes.items() if n == size]
    several = [f"{size // n}{letter}" for letter, n in sizes.items() if n > 4 and size % n == 0 and size // n <= 8]
    return (exact or several or [str(size)])[0]


def in_words(case, arrays):
    """x (N, D) = (3, 5), W (C, D) = (2, 5), b = None: the arrays of a case with their letters and sizes."""
    parts = []
    for name, axes, a in zip(names(case.op, len(arrays)), letters(case), arrays, strict=False):
        parts.append(f"{name} = None" if a is None else f"{name} ({', '.join(axes.split())}) = {np.shape(a)}"
                     if np.ndim(a) else f"{name}, a number")
    return ", ".join(parts)


def agreed(case):
    """linear_forward(x, W, b): x (N, D), W (C, D), b (C); y = x W' + b: what is agreed on, in the case's letters."""
    given = letters(case)
    known = names(case.op, len(given))
    arrays = ", ".join(f"{name} ({', '.join(axes.split())})" if axes else f"{name}, a number"
                       for name, axes in zip(known, given, strict=False))
    formulas = [formula for n in tags(block_of(case.op).forward) for formula in equations(case.op).get(n, ("",))[:1]]
    return f"here {arrays}, and {'; '.join(formulas[:4])}" if formulas else f"here {arrays}"


@cache
def gradients(case):
    """The indices of the arrays of a case that a gradient flows to."""
    op, arrays, settings = cases.draw(case, np.random.default_rng(0), **cases.distinct(case))
    y, cache = op.forward(*arrays, **settings)
    grads = op.backward(np.ones_like(y), cache)
    grads = grads if isinstance(grads, (tuple, list)) else (grads,)
    return tuple(i for i, (_, g) in enumerate(zip(arrays, grads, strict=False)) if g is not None)
