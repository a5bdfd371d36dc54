"""RESULTS.md and its figures: the papers' numbers beside ours, with seeds, spread and seconds."""

import os
from collections.abc import Callable
from statistics import fmean, median, stdev
from types import MappingProxyType
from typing import NamedTuple

from tinynet import plot

HEAD = """# The papers' tables, from raw data

Written by `python -m lessons.tables` from `ledger.jsonl`, which holds every run.  Paper: as printed there, with its
spread where it gives one.  Ours: mean and standard deviation over the seeds.  Nothing was chosen by test accuracy;
GAT's paper doesn't tell which epoch's weights are kept, so two rules have a row each.
Seconds are a run's mean, with reading and compiling, beside whatever else the machine was doing.
"""
FAR = 5     # a spread so many times the paper's, or so many units of the last digit but one: runs went astray
NAMES = {"cora": "Cora", "citeseer": "Citeseer", "pubmed": "Pubmed", "ppi": "PPI",
         "pubmed in pieces": "Pubmed in pieces"}


class Table(NamedTuple):
    """A table of a paper: what it reports, and which of its systems we run.

    paper   {system: {dataset: "83.0 +- 0.7"}}, in the paper's order
    run     {system: {variant: run(dataset, seed, folder) -> {metric: value}}}; of several variants the one with the
            better mean "val accuracy" stands for the system
    """

    name: str
    unit: str
    datasets: tuple
    paper: dict
    run: dict
    metric: str = "test accuracy"
    digits: int = 1
    deterministic: tuple = ()                 # systems that draw nothing at random: one run tells all
    why: dict = MappingProxyType({})    # {(system, dataset): reason} where ours differs by more than the spread
    about: str = ""                     # what a reader has to know of the whole table
    needs: Callable = None              # needs(folder) raises FileNotFoundError where a reader has to bring the files


def write(tables, runs, folder):
    """Write RESULTS.md and a figure for each table; returns the text."""
    text = "\n".join([HEAD, *(section(table, dataset, runs) for table in tables for dataset in table.datasets)])
    part = folder / "RESULTS.md.part"
    part.write_text(text, encoding="utf-8")
    os.replace(part, folder / "RESULTS.md")
    for table in tables:
        if any(cell.table == table.name for cell in runs):
            beside = "_paper-beside-ours" if any(table.paper.values()) else ""
            draw(table, runs, folder / f"{table.name.replace(' ', '_')}{beside}.png")
    return text


def ours(table, system, dataset, runs):
    """(variant, [values], mean seconds) of what stands for the system; ("", [], 0) where nothing was run."""
    found = []
    for variant in table.run.get(system, ()):
        of = [measured for cell, measured in sorted(runs.items())
              if (cell.table, cell.system, cell.dataset) == (table.name, variant, dataset) and table.metric in measured]
        if of:
            val = fmean(m["val accuracy"][0] for m in of) if "val accuracy" in of[0] else 0
            values, seconds = zip(*(m[table.metric] for m in of), strict=True)
            found.append((val, variant, list(values), fmean(seconds)))
    return max(found, default=(0, "", [], 0))[1:]


def stated(paper):
    """(value, spread or 0) of "83.0 +- 0.7"; None of an empty cell."""
    value, _, spread = paper.partition(" +- ")
    return (float(value), float(spread or 0)) if value else None


# %% RESULTS.md
def section(table, dataset, runs):
    lines = [f"## {table.name}: {NAMES.get(dataset, dataset)}, {table.unit}", ""]
    lines += [table.about, ""] if table.about else []
    lines += ["| system | paper | ours | seeds | seconds a run | |", "| --- | --- | --- | --- | --- | --- |"]
    for system in table.paper:
        paper = table.paper[system].get(dataset, "")
        variant, values, seconds = ours(table, system, dataset, runs)
        remark = verdict(table, system, dataset, paper, values)
        mine = mean_and_spread(values, table.digits) if values else ""
        lines.append(f"| {system} | {paper} | {mine} | {len(values) or ''} | {f'{seconds:.1f}' if values else ''} | "
                     f"{', '.join(filter(None, [variant if variant != system else '', remark]))} |")
    return "\n".join([*lines, ""])


def mean_and_spread(values, digits):
    return f"{fmean(values):.{digits}f}" + (f" +- {stdev(values):.{digits}f}" if len(values) > 1 else "")


def verdict(table, system, dataset, paper, values):
    """What a reader has to know about the row."""
    if system not in table.run:
        return "as quoted"
    if not values:
        return "not run"
    single = len(values) == 1 and system not in table.deterministic
    if not stated(paper):
        return "a single run" if single else ""
    value, spread = stated(paper)
    difference = fmean(values) - value
    if single:
        return f"{difference:+.{table.digits}f}, a single run"
    our_spread = stdev(values) if len(values) > 1 else 0
    if our_spread > FAR * max(spread, 10 * 10 ** -table.digits):
        low, middle, high = (f"{value:.{table.digits}f}" for value in (min(values), median(values), max(values)))
        why = table.why.get((system, dataset), "reason not found")
        return f"single runs from {low} to {high}, half of them above {middle}: {why}"
    if abs(difference) <= max(spread, our_spread, 0.5 * 10 ** -table.digits):
        return ""
    why = table.why.get((system, dataset), "more than the spread, reason not found")
    return f"{difference:+.{table.digits}f}: {why}"


# %% The figure
def draw(table, runs, path):
    """A panel for each dataset: squares for the paper, diamonds for us, with their spreads."""
    fig, axes = plot.subplots(1, len(table.datasets), sharey=True, squeeze=False,
                              figsize=(max(8.5, 4.2 * len(table.datasets)), 0.36 * len(table.paper) + 2.2))
    for ax, dataset in zip(axes[0], table.datasets, strict=True):
        for row, system in enumerate(table.paper):
            if paper := stated(table.paper[system].get(dataset, "")):
                ax.errorbar(paper[0], row - 0.16, xerr=paper[1] or None, fmt="s", color=plot.GREY, capsize=3,
                            label="paper")
            if values := ours(table, system, dataset, runs)[1]:
                ax.errorbar(fmean(values), row + 0.16, xerr=stdev(values) if len(values) > 1 else None, fmt="D",
                            color=plot.COLOURS[0], capsize=3, label="tinynet")
        ax.set(title=NAMES.get(dataset, dataset), xlabel=table.unit, yticks=range(len(table.paper)),
               ylim=(len(table.paper) - 0.5, -0.5))
    axes[0, 0].set_yticklabels(table.paper)
    named = {label: handle for ax in axes[0] for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    axes[0, -1].legend(named.values(), named.keys(), loc="upper left", bbox_to_anchor=(1, 1))
    fig.savefig(path, format="png")
