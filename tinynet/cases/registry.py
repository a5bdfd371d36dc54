"""For every op a few tiny inputs: tests, the checker's rates, exercises and lessons draw from here.

A case is a function of a random generator and of axis letters; `draw` gives each letter a size.

    >>> import numpy as np
    >>> from tinynet import cases
    >>> op, arrays, settings = cases.draw(cases.of("linear")[0], np.random.default_rng(0), N=3, D=4, C=2)
    >>> [a.shape for a in arrays]
    [(3, 4), (2, 4), (2,)]
"""

import inspect
import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinynet.engine import Op


class Case(NamedTuple):
    """One way to call an op.

    letters      its axis letters
    never_empty  the letters that can't be 0, because the mathematics needs at least one entry
    where        what the sizes must fulfil, an expression in the letters such as "K <= H", or ""
    """

    name: str
    op: Op
    make: Callable
    letters: tuple
    never_empty: tuple
    where: str = ""

    def allows(self, sizes):
        """Do these sizes, one for each letter, fulfil `where`?"""
        return not self.where or bool(eval(self.where, {}, sizes))      # written by us, in this package


CASES = {}


def case(op, never_empty="", where=""):
    """Register make(rng, *letters) -> arrays or (arrays, settings) as a case of `op`."""
    def register(make):
        letters = tuple(inspect.signature(make).parameters)[1:]
        CASES[make.__name__] = Case(make.__name__, op, make, letters, tuple(never_empty.split()), where)
        return make
    return register


def of(op_name):
    """The cases of the op with this name; raises KeyError when there is none."""
    found = [c for c in CASES.values() if c.op.name == op_name]
    if not found:
        raise KeyError(f"no op named {op_name!r}; the ops are {', '.join(op_names())}")
    return found


def op_names():
    return sorted({c.op.name for c in CASES.values()})


def draw(case, rng, **given):
    """(op, arrays, settings) in float64 with random sizes of 1 to 4, except the `given` ones.

    Raises ValueError where the given sizes leave none that the case allows.
    """
    for _ in range(1000):
        sizes = {letter: given.get(letter, int(rng.integers(1, 5))) for letter in case.letters}
        if case.allows(sizes):
            break
    else:
        raise ValueError(f"case {case.name}: no sizes of 1 to 4 fit {case.where!r} beside {given}")
    made = case.make(rng, **sizes)
    arrays, settings = made if isinstance(made[-1], dict) else (made, {})
    return case.op, tuple(arrays), settings


def possible(case, **given):
    """Are there sizes of 1 to 4 that the case allows beside the given ones?"""
    free = [letter for letter in case.letters if letter not in given]
    return any(case.allows(given | dict(zip(free, sizes, strict=True)))
               for sizes in itertools.product(range(1, 5), repeat=len(free)))


# all different, so that a mistake has one explanation; the first axes (batch, heads) small where there are many
SIZES, SIZES_OF_MANY = (3, 5, 2, 4), (2, 3, 5, 4, 7, 6, 8, 9)


def distinct(case):
    """Sizes for the axis letters of a case that differ from each other (up to eight letters) and that it allows."""
    several = SIZES if len(case.letters) <= len(SIZES) else SIZES_OF_MANY
    for order in itertools.permutations(several, len(case.letters)):
        sizes = dict(zip(case.letters, order, strict=True))
        if case.allows(sizes):
            return sizes
    raise ValueError(f"case {case.name}: no sizes that differ fit {case.where!r}")


def normal(rng, size):
    return np.asarray(rng.normal(size=size))


def positive(rng, size):
    return np.asarray(rng.uniform(0.5, 2, size))


def plain(name, op, shapes, draw=normal, never_empty="", where="", **settings):
    """Register a case whose arrays are `draw(rng, size=...)`; shapes "N D, D 1" in letters and numbers."""
    axes = [part.split() for part in shapes.split(",")]
    letters = tuple(dict.fromkeys(a for array in axes for a in array if not a.isdigit()))

    def make(rng, **sizes):
        return [draw(rng, size=[int(sizes.get(a, a)) for a in array]) for array in axes], settings
    CASES[name] = Case(name, op, make, letters, tuple(never_empty.split()), where)
