"""The register of planted mistakes."""

from collections.abc import Callable
from typing import NamedTuple

MUTANTS = []


class Mutant(NamedTuple):
    """A wrong backward: for the op of which case, of which kind (None: none that has a name)."""

    case: str
    kind: str | None
    name: str
    backward: Callable


def mutant(case, kind):
    """Register the decorated backward(dy, cache) as a wrong one for the op of `case`."""
    def register(backward):
        MUTANTS.append(Mutant(case, kind, f"{case}: {backward.__name__}", backward))
        return backward
    return register
