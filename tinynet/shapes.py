"""Axis letters: documentation, check and error message at once.

    >>> import numpy as np
    >>> from tinynet.shapes import sizes
    >>> sizes("X: N D, W: C D", np.zeros((5, 3)), np.zeros((2, 3)))
    (5, 3, 2)

A letter means the same size wherever it stands.  `1` and other numbers stand for themselves, a
leading `...` for any number of axes, and an array that is None is passed over.

Sizes that are given as numbers, like d_in, are checked by `must_be_whole`.
"""

import sys
from functools import cache, lru_cache

import numpy as np


class ShapeError(ValueError):
    """Arrays whose axes don't fit each other; the message names block, letters and sizes."""


@cache
def _parse(pattern):
    """"X: N D, W: C D" -> (("X", ("N", "D")), ("W", ("C", "D"))) and the letters in order."""
    arrays = []
    for part in pattern.split(","):
        name, _, axes = part.partition(":")
        arrays.append((name.strip(), tuple(axes.split())))
    letters = dict.fromkeys(a for _, axes in arrays for a in axes if a != "..." and not a.isdigit())
    return tuple(arrays), tuple(letters)


def sizes(pattern, *arrays):
    """Bind the letters of `pattern` to the arrays' sizes and return them in order of appearance.

    Raises ShapeError, which names the block (the calling function), both arrays with their
    letters and sizes, and the letter that disagrees.
    """
    return _bind(pattern, tuple([None if a is None else a.shape for a in arrays]))


@lru_cache(maxsize=4096)        # training meets the same shapes again and again
def _bind(pattern, shapes):
    named, letters = _parse(pattern)
    bound = {}
    for (name, axes), whole in zip(named, shapes, strict=True):
        if whole is None:
            continue
        shape = whole
        if axes[:1] == ("...",):
            axes = axes[1:]
            shape = shape[max(len(shape) - len(axes), 0):]
        if len(shape) != len(axes):
            _fail(f"{name} has shape {whole}, but needs {len(axes)} axes ({' '.join(axes)})")
        for letter, size in zip(axes, shape, strict=True):
            expected = int(letter) if letter.isdigit() else bound.setdefault(letter, (size, name, axes, shape))[0]
            if size != expected:
                _disagree(name, axes, shape, letter, bound.get(letter))
    return tuple(bound[letter][0] if letter in bound else None for letter in letters)


def _disagree(name, axes, shape, letter, first):
    here = f"{name} ({' '.join(axes)}) = {shape}"
    if first is None:
        _fail(f"{here}: the axis marked {letter} must have size {letter}")
    size, other, other_axes, other_shape = first
    now = [s for a, s in zip(axes, shape, strict=True) if a == letter][0 if other != name else -1]
    there = f"{other} ({' '.join(other_axes)}) = {other_shape} and " if other != name else ""
    _fail(f"{there}{here}: {letter} is {size} and {now}; make them equal")


def _fail(message):
    raise ShapeError(f"{block_name(3)}: {message}")


def block_name(depth=1):
    """The name of the block whose function called: cross_stitch_forward -> cross_stitch."""
    frame = sys._getframe(depth)
    while frame.f_globals.get("__name__") == __name__ or frame.f_code.co_name[0] in "_<":
        frame = frame.f_back            # helpers of a block speak in the block's name
    name = frame.f_code.co_name
    for ending in ("_fast", "_forward", "_backward"):
        name = name.removesuffix(ending)
    return name


def is_whole(n, least=1):
    """Is n a whole number, `least` or more?  Neither True nor 2.0 is one."""
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= least


def must_be_whole(block, name, n, least=1):
    """Raises ValueError, in the name of `block`, unless n is a whole number, `least` or more."""
    if not is_whole(n, least):
        raise ValueError(f"{block}: {name} is {n!r}; give a whole number, {least} or more")
