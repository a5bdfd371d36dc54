"""Tasks made up on the spot whose right answer is known: reversal, dates, and pictures of shapes with captions.

    >>> rng = np.random.default_rng(0)
    >>> dates(rng, 2)
    (['23/1/35', 'wednesday, 11th september 2013'], ['2035-01-23', '2013-09-11'])
"""

import datetime
from typing import NamedTuple

import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyz"


# %% Strings
def reversal(rng, count, shortest=3, longest=10):
    """(strings, the same read backwards): random letters; where to look is known, from the last to the first."""
    if not 1 <= shortest <= longest:
        raise ValueError(f"reversal: lengths from {shortest} to {longest} don't do; give 1 <= shortest <= longest")
    lengths = rng.integers(shortest, longest + 1, count)
    strings = ["".join(LETTERS[i] for i in rng.integers(26, size=n)) for n in lengths]
    return strings, [s[::-1] for s in strings]


FORMATS = ("{day} {month} {year}", "{month} {day}, {year}", "{weekday}, {day}{th} {month} {year}", "{d}.{m}.{year}",
           "{d}/{m}/{yy}", "{weekday} {mon} {day} {year}", "{mon} {day}{th} {year}", "the {day}{th} of {month}, {year}")


def dates(rng, count):
    """(dates as people write them in eight ways, the same as 1962-06-27), from 1950 to 2049."""
    found = [datetime.date(1950, 1, 1) + datetime.timedelta(days=int(n)) for n in rng.integers(36524, size=count)]
    return [_written(d, FORMATS[i]) for d, i in zip(found, rng.integers(len(FORMATS), size=count), strict=True)], [
        d.isoformat() for d in found]


MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
          "november", "december")
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


def _written(d, form):
    th = "th" if 10 < d.day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(d.day % 10, "th")
    month = MONTHS[d.month - 1]
    return form.format(day=d.day, month=month, mon=month[:3], year=d.year, yy=f"{d.year % 100:02}", th=th, d=d.day,
                       m=d.month, weekday=WEEKDAYS[d.weekday()])


# %% Sentences
WHO = ["markets", "farmers", "nurses", "pilots", "teachers", "banks", "miners", "voters", "doctors", "sailors"]
DOES = ["fear", "welcome", "reject", "demand", "expect", "question", "praise", "oppose"]
WHAT = ("higher taxes", "new rules", "the strike", "lower prices", "the election", "a merger", "more ships",
        "the vote", "cheap oil", "the budget")
WHERE = ["france", "japan", "brazil", "canada", "kenya", "norway", "india", "poland"]
WHEN = ["today", "again", "tomorrow", "soon"]


def headlines(rng, count):
    """Sentences like those of a newspaper's first page, as lists of words: "nurses in norway reject new rules"."""
    def one(words):
        return words[rng.integers(len(words))]

    found = []
    for _ in range(count):
        where = ["in", one(WHERE)] if rng.random() < 0.6 else []
        when = [one(WHEN)] if rng.random() < 0.5 else []
        found.append([one(WHO), *where, one(DOES), *one(WHAT).split(), *when])
    return found


# %% Pictures
COLOURS = dict(red=(220, 40, 40), green=(40, 170, 70), blue=(50, 80, 220), yellow=(235, 205, 50))
SHAPES = ("square", "circle", "triangle", "cross")


class Drawn(NamedTuple):
    """N pictures: images (N, 3, S, S) float32 in 0..1, captions N lists of words, boxes (N, 2, 4) of the two shapes.

    A box is (top, left, bottom, right) in pixels; the first is that of the shape named first, on the left.
    """

    images: np.ndarray
    captions: list
    boxes: np.ndarray


def shapes(rng, count, size=28):
    """Two coloured shapes beside each other on a grey ground: "a red circle left of a blue cross".

    Where a net looks for each word can be compared with where the shape is.
    """
    if size < 16:
        raise ValueError(f"shapes: pictures of {size} x {size} pixels are too small for two shapes; give 16 or more")
    images = np.full((count, 3, size, size), 0.85, np.float32) + 0.03 * rng.normal(size=(count, 3, size, size))
    captions, boxes, names = [], np.empty((count, 2, 4), int), list(COLOURS)
    for n in range(count):
        said = []
        for side in range(2):
            shape, colour = SHAPES[rng.integers(len(SHAPES))], names[rng.integers(len(names))]
            box = _box(rng, size, side)
            _draw(images[n], shape, np.array(COLOURS[colour]) / 255, box)
            boxes[n, side] = box
            said += ["a", colour, shape] if side else ["a", colour, shape, "left", "of"]
        captions.append(said)
    return Drawn(np.clip(images, 0, 1).astype(np.float32), captions, boxes)


def _box(rng, size, side):
    half = size // 2
    width = int(rng.integers(half // 2 + 1, half))
    top = int(rng.integers(0, size - width + 1))
    left = side * half + int(rng.integers(0, half - width + 1))
    return top, left, top + width, left + width


def _draw(image, shape, colour, box):
    top, left, bottom, right = box
    width = bottom - top
    y, x = (np.mgrid[:width, :width] + 0.5) / width * 2 - 1         # -1..1 within the box
    inside = {"square": np.maximum(abs(x), abs(y)) < 0.9, "circle": x * x + y * y < 0.95,
              "triangle": abs(x) < (y + 1) / 2, "cross": np.minimum(abs(x), abs(y)) < 0.3}[shape]
    image[:, top:bottom, left:right][:, inside] = colour[:, None]
