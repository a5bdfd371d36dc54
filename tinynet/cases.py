"""For every op a few tiny inputs: tests, the checker's rates, exercises and lessons draw from here.

A case is a function of a random generator and of axis letters; `draw` gives each letter a size.

    >>> import numpy as np
    >>> from tinynet import cases
    >>> op, arrays, settings = cases.draw(cases.of("linear")[0], np.random.default_rng(0), N=3, D=4, C=2)
    >>> [a.shape for a in arrays]
    [(3, 4), (2, 4), (2,)]
"""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinynet import ops
from tinynet.blocks import cross_stitch as _cross_stitch
from tinynet.blocks import linear as _linear
from tinynet.engine import Op


class Case(NamedTuple):
    """One way to call an op.

    letters   its axis letters
    never_empty  the letters that can't be 0, because the mathematics needs at least one entry
    """

    name: str
    op: Op
    make: Callable
    letters: tuple
    never_empty: tuple


CASES = {}


def case(op, never_empty=""):
    """Register make(rng, *letters) -> arrays or (arrays, settings) as a case of `op`."""
    def register(make):
        letters = tuple(inspect.signature(make).parameters)[1:]
        CASES[make.__name__] = Case(make.__name__, op, make, letters, tuple(never_empty.split()))
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
    """(op, arrays, settings) in float64 with random sizes of 1 to 4, except the `given` ones."""
    sizes = {letter: given.get(letter, int(rng.integers(1, 5))) for letter in case.letters}
    made = case.make(rng, **sizes)
    arrays, settings = made if isinstance(made[-1], dict) else (made, {})
    return case.op, tuple(arrays), settings


# %% Elementary ops
@case(ops.add)
def add(rng, N, D):
    return rng.normal(size=(N, D)), rng.normal(size=D)


@case(ops.add)
def add_broadcast_both(rng, N, D):
    return rng.normal(size=(N, 1)), rng.normal(size=(1, D))


@case(ops.getitem)
def getitem_repeated(rng, N):
    return (rng.normal(size=(N + 2,)),), dict(index=np.array([0, 1, 0]))


# %% Blocks
@case(_linear.linear)
def linear(rng, N, D, C):
    return rng.normal(size=(N, D)), rng.normal(size=(C, D)), rng.normal(size=C)


@case(_linear.linear)
def linear_without_bias(rng, B, N, D, C):
    return rng.normal(size=(B, N, D)), rng.normal(size=(C, D))


@case(_cross_stitch.cross_stitch, never_empty="T")
def cross_stitch(rng, T, N, C):
    return rng.normal(size=(T, N, C)), rng.normal(size=(T, T))


@case(_cross_stitch.cross_stitch, never_empty="T")
def cross_stitch_channels(rng, T, N, C, H, W):
    return rng.normal(size=(T, N, C, H, W)), rng.normal(size=(C, T, T))
