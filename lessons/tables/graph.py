"""The tables on graph attention: shi fig9, shi fig8, and an inductive task of our own."""

from lessons.tables.inductive import FIG8, PUBMED
from lessons.tables.transductive import FIG9

TABLES = (FIG9, FIG8, PUBMED)
