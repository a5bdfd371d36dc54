"""What a table is made of: columns, the papers' numbers, and the recipes that we run."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple


class Run(NamedTuple):
    """One run of a recipe: recipe(run) -> {metric: number}; a curve is {metric: [[x, y], ...]}.

    data    the folder with the published files, or None
    folder  a folder of this run's own, in which it keeps checkpoints: a run of hours resumes there
    """

    dataset: str
    seed: int
    data: str | None = None
    folder: Path | None = None


class Column(NamedTuple):
    """One number of each run.

    metric  its name in what a recipe returns
    title   its words in the table; without it the metric
    digits  behind the point
    axis    the word for x where the metric is a curve, which is drawn and not written
    lower   is a lower number better?
    """

    metric: str = "test accuracy"
    title: str = ""
    digits: int = 1
    axis: str = ""
    lower: bool = False


class Table(NamedTuple):
    """A table of a paper, or of our own.

    paper    {system: {dataset: "83.0 +- 0.7"}}, in the paper's order; of several columns the first is the paper's,
             or {dataset: {metric: "83.0"}}
    run      {system: {variant: recipe}}; of several variants the one with the better mean "val accuracy" stands for
             the system
    """

    name: str
    unit: str
    datasets: tuple
    paper: dict
    run: dict
    columns: tuple = (Column(),)
    deterministic: tuple = ()           # systems that draw nothing at random: one run tells all
    why: dict = MappingProxyType({})    # {(system, dataset): reason} where ours differs by more than the spread
    about: str = ""                     # what a reader has to know of the whole table
    names: dict = MappingProxyType({})  # {dataset: how it is written}
    needs: Callable = None              # needs(folder) raises FileNotFoundError where a reader has to bring the files
    beside: str = ""                    # the system that every other row is compared with, seed by seed
    longer: tuple = ()                  # systems that train longer: their curves have a panel of their own

    metric = property(lambda self: self.columns[0].metric)
    slug = property(lambda self: self.name.replace(" ", "_"))

    def of_paper(self, system, dataset, column):
        """What the paper prints there, or ""."""
        stated = self.paper[system].get(dataset, "")
        if isinstance(stated, dict):
            return stated.get(column.metric, "")
        return stated if column is self.columns[0] else ""
