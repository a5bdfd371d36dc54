"""The register of right pairs."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

RIGHT = []


class Right(NamedTuple):
    """A forward, its right backward, and draw(rng) -> its inputs; settings go to gradcheck."""

    name: str
    forward: Callable
    backward: Callable
    draw: Callable
    settings: dict


def right(draw, **settings):
    """Register what the decorated function returns, forward and backward, as a right pair."""
    def register(make):
        forward, backward = make()
        RIGHT.append(Right(make.__name__, forward, backward, draw, settings))
        return make
    return register


# %% How inputs are drawn
def normal(*shapes):
    return lambda rng: [np.asarray(rng.normal(size=s)) for s in shapes]


def positive(*shapes):
    return lambda rng: [rng.uniform(0.2, 2, size=s) for s in shapes]


def sizes_from(low, high, *shapes):
    """Numbers of both signs whose sizes are spread evenly over decades."""
    return lambda rng: [rng.choice([-1, 1], size=s) * 10 ** rng.uniform(np.log10(low), np.log10(high), size=s)
                        for s in shapes]
