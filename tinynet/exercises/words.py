"""What a student is told: one sentence with the place in the file, the case, and the slide's letters."""

import re

import numpy as np

from tinynet.exercises import described
from tinynet.exercises.sandbox import Gone

NOT_WRITTEN = "not written yet"
ABOUT_SHAPES = ("ValueError", "IndexError", "AxisError", "TypeError")
SHAPES = r"shape|dimension|broadcast|mismatch|axis|axes|subscript|size|unpack|out of bounds"


def not_yet(error):
    return error.what["kind"] == "NotImplementedError"


def sentence(error, student, name, case, brief=False):
    """An exception of the student's code: where it was raised, and what was agreed on; never NumPy's words alone.

    A brief one says where, and that shapes don't fit; it is the same for all cases.
    """
    what, half = error.what, student.last
    if not_yet(error):
        return f"{half}: {NOT_WRITTEN}"
    if what["kind"] == "Form":
        asked = ": is its `return` missing?" if what["text"] == "returns nothing" else ""
        return f"{half} {what['text']}{asked}"
    inside = f", in {what['function']}" if what["function"] not in ("", "<module>") else ""
    start = f"{student.source.where(what['label'], what['line'], brief)}{inside}: " if what["line"] else ""
    said = f"{what['kind']}: {what['text'].partition(chr(10))[0]}"
    if what["kind"] == "MemoryError":
        return f"{start}MemoryError: it asks for more memory than it may have"
    if re.match(rf"{name}_\w+\(\) (takes|missing|got)", what["text"]):
        agreed = "" if brief else f"; {described.agreed(case)}"
        return f"{what['text']}: write {described.call(name, half, case)}{agreed}"
    if what["kind"] in ABOUT_SHAPES and re.search(SHAPES, what["text"], re.IGNORECASE):
        return f"{start}the shapes don't fit" + ("" if brief else f": {described.agreed(case)} (NumPy says {said})")
    return f"{start}{said}"


def numerical(name, student):
    """A sentence where a backward was a derivative by differences (or by complex steps), else ""."""
    if not student.numerical:
        return ""
    calls, entries = student.numerical
    return (f"{name}_backward calls a function of the whole input {calls} times for {entries} entries: that is a "
            "numerical derivative, right on small arrays only; write the backward of the slide")


def remedy(op):
    if re.search(r"softmax|log.sum.exp", described.docstring(op), re.IGNORECASE):
        return "subtract the largest score of a row first, which changes nothing else"
    return "write it so that exp gets no large argument"


def worst(name, theirs, right):
    error = np.abs(theirs - right)
    worst = np.unravel_index(error.argmax(), error.shape)       # NaN is the worst of all
    ratios = theirs[right != 0] / right[right != 0]
    same = ratios.size and np.ptp(ratios) < 1e-9
    factor = f"; every entry is {ratios[0]:.6g} times what it should be" if same else ""
    where = f"[{', '.join(map(str, worst))}]" if worst else ""
    return f"{name} is wrong, worst {name}{where}: {theirs[worst]:.6g} where it should be {right[worst]:.6g}{factor}"


def unlocked(what):
    return (f"not locked on this machine: {', '.join(map(str, what))}; run only files that you have read, or use "
            "Linux, WSL2 or a virtual machine")


def does_not_run(source, error):
    if isinstance(error, Gone):
        return f"{source.path}: the file doesn't run: {error}"
    what = error.what
    place = source.where(what["label"], what["line"])
    if what["kind"] in ("SyntaxError", "IndentationError", "TabError"):
        return f"{place}: {what['text']}"
    inside = f", in {what['function']}" if what["function"] else ""
    return f"the file doesn't run: {place}{inside}: {what['kind']}: {what['text']}"
