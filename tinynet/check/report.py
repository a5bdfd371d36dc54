"""What gradcheck found: a report that prints as text and counts as True when all is right."""

from typing import NamedTuple


class GradientError(AssertionError):
    """A backward that is not the derivative of its forward."""


class Problem(NamedTuple):
    """One thing that is wrong.

    kind   the kind of mistake, one of `tinynet.check.KINDS`, or None when none fits
    name   the input whose gradient it is, or "" for the pair as a whole
    text   the sentence (and the worst entry) to print
    """

    kind: str | None
    name: str
    text: str


class Report(NamedTuple):
    """What gradcheck found.  Prints as text, counts as True when all is right.

    problems  what is wrong, [] when all is right
    notes     what the reader should know: kinks met, entries that could not be measured
    verdict   "right", "WRONG", or "unchecked" where of some input no entry could be measured
    """

    name: str
    problems: list
    notes: list

    ok = property(lambda self: not self.problems)
    verdict = property(lambda self: "right" if self.ok else "unchecked" if {*self.kinds} == {"unchecked"} else "WRONG")
    kinds = property(lambda self: [p.kind for p in self.problems], doc="The kinds of mistake, None where none fits.")

    def __bool__(self):
        return self.ok

    def __str__(self):
        lines = [f"{self.name}: {self.verdict}"]
        for p in self.problems:
            lines.append(f"  {f'd{p.name}: ' if p.name else ''}{p.text}")
        return "\n".join(lines + [f"  {note}" for note in self.notes])

    def raise_if_wrong(self):
        """Raises GradientError (an AssertionError) with this text; returns the report when all is right."""
        if not self.ok:
            raise GradientError(str(self))
        return self
