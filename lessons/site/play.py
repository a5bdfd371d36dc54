"""The figures to play with: titles, words and the numbers that their scripts start from."""

from typing import NamedTuple


class Figure(NamedTuple):
    """One figure; `name` is that of its function in play.js."""

    name: str
    title: str
    about: str
    formula: str
    lesson: str


FIGURES = []


def data():
    return {}
