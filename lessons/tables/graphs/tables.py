"""The tables of the topic graphs: shi fig9, shi fig8, and an inductive task of our own."""

from lessons.tables.graphs.fig8 import FIG8, PUBMED
from lessons.tables.graphs.fig9 import FIG9

SEEDS = 100
TABLES = (FIG9, FIG8, PUBMED)
