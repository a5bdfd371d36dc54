"""RESULTS.md and its figures: the papers' numbers beside ours, with seeds, spread and seconds."""

from statistics import fmean, median, stdev

from tinynet import plot
from tinynet.whole_file import whole_file

HEAD = """# The papers' tables, from raw data: {topic}

Written by `python -m lessons.tables {topic}` from the ledgers, which hold every run.  Paper: as printed there, with its
spread where it gives one.  Ours: mean and standard deviation over the seeds.  Nothing was chosen by test results.
Seconds are a run's mean, with reading and compiling, beside whatever else the machine was doing.
"""
BESIDE = ("The last column compares each row with {0}, seed by seed: the mean difference, its standard error, and in "
          "how many seeds the row is better.")
FAR = 5     # a spread so many times the paper's, or so many units of the last digit but one: runs went astray


def write(tables, runs, folder, topic):
    """Write results/TOPIC.md and the figures of its tables; returns the text."""
    text = "\n".join([HEAD.format(topic=topic), *(section(table, dataset, runs) for table in tables
                                                  for dataset in table.datasets)])
    path = folder / "results" / f"{topic}.md"
    with whole_file(path) as file:
        file.write(text.encode())
    for table in tables:
        if any(cell.table == table.name for cell in runs):
            beside = "_paper-beside-ours" if any(table.paper.values()) else ""
            if beside or len(table.paper) > 1:              # one number of ours alone makes no picture
                draw(table, runs, folder / f"{table.slug}{beside}.png")
            for column in table.columns:
                if column.axis:
                    draw_curves(table, column, runs, folder / f"{table.slug}_{column.metric.replace(' ', '-')}.png")
    return text


def ours(table, system, dataset, runs):
    """(variant, {metric: [values]}, mean seconds) of what stands for the system; ("", {}, 0) where nothing was run."""
    found = []
    for variant in table.run.get(system, ()):
        of = [measured for cell, measured in sorted(runs.items())
              if (cell.table, cell.system, cell.dataset) == (table.name, variant, dataset) and table.metric in measured]
        if of:
            val = fmean(m["val accuracy"][0] for m in of) if "val accuracy" in of[0] else 0
            values = {c.metric: [m[c.metric][0] for m in of if c.metric in m] for c in table.columns}
            found.append((val, variant, values, fmean(m[table.metric][1] for m in of)))
    return max(found, key=lambda f: f[:2], default=(0, "", {}, 0))[1:]


def stated(paper):
    """(value, spread or 0) of "83.0 +- 0.7"; None of an empty cell."""
    value, _, spread = paper.partition(" +- ")
    return (float(value), float(spread or 0)) if value else None


# %% RESULTS.md
def section(table, dataset, runs):
    lines = [f"## {table.name}: {table.names.get(dataset, dataset)}, {table.unit}", ""]
    lines += [table.about, ""] if table.about else []
    lines += [BESIDE.format(table.beside), ""] if table.beside else []
    columns = [c for c in table.columns if not c.axis]                      # curves are drawn
    printed = [any(table.of_paper(system, dataset, c) for system in table.paper) for c in columns]
    titles = [c.title or c.metric if len(columns) > 1 else "" for c in columns]
    heads = [f"{title} {word}".strip() for title, given in zip(titles, printed, strict=True)
             for word in (("paper", "ours") if given else ("ours",))]
    lines += [f"| system | {' | '.join(heads)} | seeds | seconds a run | |", "| --- " * (len(heads) + 4) + "|"]
    for system in table.paper:
        variant, values, seconds = ours(table, system, dataset, runs)
        cells, remarks = [], [variant if variant != system else ""]
        for column, given in zip(columns, printed, strict=True):
            paper, mine = table.of_paper(system, dataset, column), values.get(column.metric, ())
            cells += [paper] * given + [mean_and_spread(mine, column.digits) if mine else ""]
            remarks.append(verdict(table, system, dataset, paper, mine, column))
        remarks.append(compared(table, system, dataset, runs))
        count = len(values.get(table.metric, ()))
        remarks += ["a single run"] * (count == 1 and system not in table.deterministic)
        lines.append(f"| {system} | {' | '.join(cells)} | {count or ''} | {f'{seconds:.1f}' if count else ''} | "
                     f"{', '.join(dict.fromkeys(filter(None, remarks)))} |")
    return "\n".join([*lines, ""])


def mean_and_spread(values, digits):
    return f"{fmean(values):.{digits}f}" + (f" +- {stdev(values):.{digits}f}" if len(values) > 1 else "")


def verdict(table, system, dataset, paper, values, column=None):
    """What a reader has to know about the row."""
    digits = (column or table.columns[0]).digits
    if system not in table.run:
        return "as quoted"
    if not values:
        return "not run"
    if not stated(paper):
        return ""
    value, spread = stated(paper)
    difference = fmean(values) - value
    if len(values) == 1 and system not in table.deterministic:
        why = table.why.get((system, dataset))
        return f"{difference:+.{digits}f}" + (f": {why}" if why else "")
    our_spread = stdev(values) if len(values) > 1 else 0
    if our_spread > FAR * max(spread, 10 * 10 ** -digits):
        low, middle, high = (f"{value:.{digits}f}" for value in (min(values), median(values), max(values)))
        why = table.why.get((system, dataset), "reason not found")
        return f"single runs from {low} to {high}, half of them above {middle}: {why}"
    if abs(difference) <= max(spread, our_spread, 0.5 * 10 ** -digits):
        return ""
    why = table.why.get((system, dataset), "more than the spread, reason not found")
    return f"{difference:+.{digits}f}: {why}"


def compared(table, system, dataset, runs):
    """The row against the one that `table.beside` names, in the first column: "+1.2 +- 0.3, better in 4 of 5 seeds"."""
    if not table.beside or system == table.beside:
        return ""
    mine, other = (by_seed(table, name, dataset, runs) for name in (system, table.beside))
    differences = [mine[seed] - other[seed] for seed in sorted(mine.keys() & other.keys())]
    n, digits, lower = len(differences), table.columns[0].digits, table.columns[0].lower
    if n < 2:
        return ""
    better = sum(d < 0 if lower else d > 0 for d in differences)
    error = stdev(differences) / n ** 0.5
    return f"{fmean(differences):+.{digits}f} +- {error:.{digits}f}, better in {better} of {n} seeds"


def by_seed(table, system, dataset, runs):
    """{seed: number in the first column} of what stands for the system."""
    variant = ours(table, system, dataset, runs)[0]
    return {cell.seed: measured[table.metric][0] for cell, measured in runs.items()
            if (cell.table, cell.system, cell.dataset) == (table.name, variant, dataset) and table.metric in measured}


# %% The figure
def draw(table, runs, path):
    """A panel for each dataset: squares for the paper, diamonds for us, with their spreads."""
    fig, axes = plot.subplots(1, len(table.datasets), sharey=True, squeeze=False,
                              height=0.36 * len(table.paper) + 2.2)
    unit = table.unit if len(table.columns) == 1 else table.metric + " %" * ("%" in table.unit)
    for ax, dataset in zip(axes[0], table.datasets, strict=True):
        for row, system in enumerate(table.paper):
            if paper := stated(table.of_paper(system, dataset, table.columns[0])):
                ax.errorbar(paper[0], row - 0.16, xerr=paper[1] or None, fmt="s", color=plot.GREY, capsize=3,
                            label="paper")
            if values := ours(table, system, dataset, runs)[1].get(table.metric, ()):
                ax.errorbar(fmean(values), row + 0.16, xerr=stdev(values) if len(values) > 1 else None, fmt="D",
                            color=plot.COLOURS[0], capsize=3, label="tinynet")
        ax.set(title=table.names.get(dataset, dataset), xlabel=unit, yticks=range(len(table.paper)),
               ylim=(len(table.paper) - 0.5, -0.5))
    axes[0, 0].set_yticklabels(table.paper)
    if any(table.paper.values()):
        legend_beside(axes[0])
    if any(points.has_xerr for ax in axes[0] for points in ax.containers):
        fig.suptitle("Bars: standard deviation over the seeds")
    save(fig, path)


def draw_curves(table, column, runs, path):
    """A panel for each dataset, one more for systems that train longer: the mean over the seeds of every curve."""
    panels = [(dataset, longer) for dataset in table.datasets for longer in range(1 + bool(table.longer))]
    fig, axes = plot.subplots(1, len(panels), sharey=True, squeeze=False)
    for ax, (dataset, longer) in zip(axes[0], panels, strict=True):
        for i, system in enumerate(table.run):
            curves = [curve for curve in ours(table, system, dataset, runs)[1].get(column.metric, ()) if curve]
            if curves and (system in table.longer) == longer:
                points = list(zip(*curves, strict=False))
                ax.plot([p[0][0] for p in points], [fmean(y for _, y in p) for p in points], label=system,
                        markevery=max(1, len(points) // 8), **plot.look(i))
        ax.set(title=table.names.get(dataset, dataset) + ", longer" * longer, xlabel=column.axis)
    axes[0, 0].set_ylabel(column.title or column.metric)
    legend_beside(axes[0])
    save(fig, path)


def legend_beside(axes):
    """One legend beside the last panel, for what stands in any of them."""
    named = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    axes[-1].legend(named.values(), named.keys(), loc="upper left", bbox_to_anchor=(1, 1))


def save(fig, path):
    """Write the figure, and let pyplot forget it: the tables of all topics have more than it likes to keep."""
    import matplotlib.pyplot as plt

    fig.savefig(path, format="png")
    plt.close(fig)
