"""The register of students' mistakes."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

MISTAKES = []


class Mistake(NamedTuple):
    """A wrong backward for a forward, the kind of mistake it makes, and draw(rng) -> its inputs."""

    name: str
    kind: str
    forward: Callable
    backward: Callable
    draw: Callable
    settings: dict


def mistake(kind, forward, *shapes, **settings):
    """Register the decorated backward(dy, cache).  shapes: of normal inputs, or one draw(rng) -> inputs."""
    def register(backward):
        draw = shapes[0] if len(shapes) == 1 and callable(shapes[0]) else normal(*shapes)
        MISTAKES.append(Mistake(f"{forward.__name__}: {backward.__name__}", kind, forward, backward, draw, settings))
        return backward
    return register


def normal(*shapes):
    return lambda rng: [np.asarray(rng.normal(size=s)) for s in shapes]
