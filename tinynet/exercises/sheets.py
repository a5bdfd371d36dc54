"""Sheets: the exercises of a deck, in the order of its slides, with points.

A sheet is made from the blocks: a block belongs to every deck that its equations cite.  A lecturer may edit the
JSON that `python -m tinynet exercise --deck csc321` writes, and grade with it.
"""

import difflib
import inspect
import json
import re
from pathlib import Path
from typing import NamedTuple

from tinynet import cases
from tinynet.exercises import described
from tinynet.exercises.forms import form_of

# the decks' titles, and their items in the order of the slides
DECKS = {
    "shi": ("Residual learning, attention and multi-task learning",
            "1.1 1.2 1.3 1.4 1.5 1.6 fig1 fig2 fig3 fig4 fig5 2.1 2.2 2.3 2.4 2.5 2.6 2.7 fig6 fig7 fig8 fig9 fig10 "
            "fig11 fig12 aux"),
    "tomaszewska": ("Multi-task architectures and loss balancing",
                    "fig1 fig2 negative-transfer shared-trunk fig4 fig5 fig6 fig7 fig8 fig9 init fig10 fig11 fig12 "
                    "wu2020 weighted uncertainty gradnorm fig13 fig14 fig15 fig16"),
    "saha": ("Adaptive activation networks",
             "sigmoid chain relu leaky-relu maxout stochastic-maxout lp apl fig1 fig2 aal metric Ltn Lcos Ldis Ltotal "
             "table1 table2 heatmaps"),
    "csc321": ("Deep residual networks, attention, project 4",
               "alexnet vgg depth rnn-jacobian cnn-jacobian block resmath cifar imagenet seq2seq birnn context score "
               "map length caption stacked transformer lm augment generate teacher"),
}
PARTS = ("forward", "backward", "both")


class NoSheet(ValueError):
    """There is no such sheet, or its file can't be read; the message says which there are."""


class Exercise(NamedTuple):
    """One exercise.

    name     the block
    points   for all that is right
    parts    what is to be written: "forward", "backward" or "both"
    slides   the items of the deck that the block computes
    variant  the rule of a variant, see variants.py, "" for the block itself
    """

    name: str
    points: float
    parts: str = "both"
    slides: tuple = ()
    variant: str = ""

    function = property(lambda self: f"{self.name}_variant" if self.variant else self.name)


class Sheet(NamedTuple):
    """Exercises in their order; `name` is the deck's."""

    name: str
    title: str
    exercises: list

    points = property(lambda self: sum(e.points for e in self.exercises))


# %% Which blocks
def blocks():
    """The names of all blocks: what has a file in tinynet.blocks, without those that are for speed only."""
    return [name for name in cases.op_names() if _is_block(cases.of(name)[0].op)]


def _is_block(op):
    module = inspect.getmodule(op.forward)
    if not form_of(op.name, {}).cases:
        return False                    # its inputs can't be sent to a student's process
    first = (module.__doc__ or "").strip().partition("\n")[0].lower()
    return module.__name__.startswith("tinynet.blocks.") and "speed only" not in first


def items(op, deck):
    """The deck's items that the op's lines compute, in the order of the slides."""
    order, found = DECKS[deck][1].split(), set()
    known = described.equations(op)
    for number in described.tags(op.forward) + described.tags(op.backward):
        for part in known.get(number, ("", ""))[1].split(";"):
            named, _, listed = part.strip().partition(" ")
            if named == deck:
                found.update(_expanded(listed, order))
    return tuple(item for item in order if item in found)


def _expanded(listed, order):
    """1.1-1.3, fig1 -> the items one by one."""
    for item in (part.strip() for part in listed.split(",")):
        first, _, last = item.partition("-")
        if item not in order and first in order and last in order:
            yield from order[order.index(first):order.index(last) + 1]
        else:
            yield item


# %% Sheets
def of_deck(deck):
    """The Sheet of a deck, made from the blocks.  Raises NoSheet."""
    if deck not in DECKS:
        raise NoSheet(f"there is no deck {deck!r}; there are {', '.join(DECKS)}")
    title, order = DECKS[deck]
    listed = [(name, items(cases.of(name)[0].op, deck)) for name in blocks()]
    listed = sorted((e for e in listed if e[1]), key=lambda e: ([order.split().index(i) for i in e[1]], e[0]))
    return Sheet(deck, title, [exercise(name, slides=slides) for name, slides in listed])


def exercise(name, parts="both", slides=(), variant=""):
    """The Exercise of one block: 2 points for the forward, 2 for each gradient.  Raises NoSheet."""
    if name not in cases.op_names():
        near = difflib.get_close_matches(name, blocks(), 1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(blocks())}"
        raise NoSheet(f"there is no block {name!r}; {meant}")
    if parts not in PARTS:
        raise NoSheet(f"parts is {parts!r}; choose one of {', '.join(PARTS)}")
    gradients = len(described.gradients(cases.of(name)[0]))
    points = 2 * (parts != "backward") + 2 * gradients * (parts != "forward")
    return Exercise(name, points, parts, slides, variant)


def find(name):
    """The Sheet of a deck, or the one in a JSON file.  Raises NoSheet."""
    if name in DECKS:
        return of_deck(name)
    path = Path(name)
    if path.is_dir():
        path = path / "sheet.json"
    if path.suffix != ".json":
        raise NoSheet(f"there is no sheet {name!r}; give a deck ({', '.join(DECKS)}) or a sheet.json")
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        listed = [Exercise(**(e | dict(slides=tuple(e.get("slides", ()))))) for e in read["exercises"]]
        sheet = Sheet(read["sheet"], read["title"], listed)
    except OSError as error:
        raise NoSheet(f"can't read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise NoSheet(f"can't read {path}: it is no sheet ({error})") from None
    for e in sheet.exercises:
        exercise(e.name, e.parts)
    return sheet


def as_json(sheet):
    listed = [{key: value for key, value in e._asdict().items() if value} for e in sheet.exercises]
    return json.dumps(dict(sheet=sheet.name, title=sheet.title, exercises=listed), indent=1) + "\n"


def variants_in(text):
    """{name of the functions: (block, rule)} of the variants that stubs name in their first lines."""
    return {f"{name}_variant": (name, rule) for name, rule in re.findall(r"^Variant: (\w+) (\S+)$", text, re.MULTILINE)
            if name in cases.op_names()}


def named_in(text):
    """The deck that a stub's first lines name, or None."""
    m = re.search(r"\bSheet: (\w+)", text)
    return m[1] if m and m[1] in DECKS else None


def blocks_of(deck):
    """The names of a sheet's blocks; all blocks without a deck."""
    return [e.name for e in of_deck(deck).exercises] if deck else blocks()
