"""`python -m benchmarks [NAME ...] [--json FILE] [--plot FILE]`: medians and ratios of one interleaved run."""

import argparse
import importlib
import json
import os
import sys
from importlib.metadata import version

from benchmarks import graph, graph_baselines, startup, timing
from tinynet import memory

THREADS = "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"            # of BLAS and PyTorch, and of numba: the same for all
OTHERS = {"import": startup.import_rows, "lessons": startup.lesson_rows,
          "ppi_share": graph.ppi_share, "ppi_epoch": graph.ppi_epoch, "cora_runs": graph.cora_runs,
          "graph_scale": graph.scale_rows, "graph_deep_walk": graph_baselines.deep_walk_rows,
          "image_cold": lambda: importlib.import_module("benchmarks.images").cold_rows()}
# what the names of a group's benchmarks begin with; those on graphs need the real graphs
GROUPS = {"graph": ("cora_", "pubmed_", "ppi_", "graph_"), "images": ("image_",), "sequences": ("sequences_",),
          "tasks": ("tasks_", "taan_")}


def contenders():
    """{name: function that returns rows}; importing the modules registers their benchmarks."""
    try:
        for module in ("blocks", "training", "images", "sequences", "tasks", "adaptive_activation"):
            importlib.import_module(f"benchmarks.{module}")
        import torch
    except ImportError as error:
        sys.exit(f'benchmarks: {error.name} is not installed; pip install -e ".[lessons,bench]"')
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return {name: lambda name=name: timing.rows(name) for name in timing.BENCHMARKS} | OTHERS


def chosen(names, known):
    """For the name of a group, e.g. `images`, all its benchmarks; without names all that are in no group."""
    groups = {group: [name for name in known if name.startswith(begin)] for group, begin in GROUPS.items()}
    if not names:
        return [name for name in known if not any(name in group for group in groups.values())]
    return [each for name in names for each in groups.get(name, [name])]


def line(row):
    goal = "" if row.goal is None else f"   goal {row.goal:.3g}: {'reached' if row.ratio >= row.goal else 'MISSED'}"
    return f"{row.name:66} {row.ours_ms:11.3f} {row.other:20} {row.other_ms:11.3f} {row.ratio:7.2f}{goal}"


def draw(rows, file):
    """Ratios as bars on a logarithmic axis: right of 1 tinynet is the faster; a tick marks the goal."""
    from tinynet import plot

    fig, ax = plot.subplots(height=0.34 * len(rows) + 1.4)
    labels = [f"{row.name}\nv. {row.other}" for row in rows]
    colours = [plot.COLOURS[0] if row.other.startswith("PyTorch") else plot.GREY for row in rows]
    ax.barh(range(len(rows)), [row.ratio - 1 for row in rows], left=1, color=colours)
    for i, row in enumerate(rows):
        ax.annotate(f"{row.ratio:.2g}", (max(row.ratio, 1), i), (3, 0), textcoords="offset points", va="center")
        if row.goal:
            ax.plot([row.goal, row.goal], [i - 0.4, i + 0.4], color=plot.COLOURS[1], linestyle="-")
    ax.set(xscale="log", xlabel="time of the other / time of tinynet (dark: PyTorch; tick: goal)")
    ax.set_yticks(range(len(rows)), labels, fontsize=7)
    ax.axvline(1, color="black", linewidth=1, linestyle="-")
    ax.invert_yaxis()
    fig.savefig(file)


def main():
    count = os.environ.get(THREADS[0], "2")
    if any(os.environ.get(name) != count for name in THREADS):      # they are read at the start of a process only
        os.execve(sys.executable, sys.orig_argv, os.environ | dict.fromkeys(THREADS, count))
    memory.keep()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which benchmarks, or a group of them: "
                        f"{', '.join(GROUPS)}; graph reads the folder TINYNET_DATA (default: all in no group)")
    parser.add_argument("--json", metavar="FILE", help="write the rows: name, ours_ms, other, other_ms, ratio, goal")
    parser.add_argument("--plot", metavar="FILE", default="benchmarks/ratios.png", help="where the plot goes")
    options = parser.parse_args()
    known = contenders()
    names = chosen(options.names, known)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join([*GROUPS, *known])}")
    print(f"{count} threads each, {', '.join(f'{name} {version(name)}' for name in ('numpy', 'numba', 'torch'))}")
    print(f"{'median milliseconds, forward + backward':66} {'tinynet':>11} {'':20} {'other':>11} {'ratio':>7}")
    rows = []
    for name in names:
        try:
            for row in known[name]():
                print(line(row), flush=True)
                rows.append(row)
        except FileNotFoundError as error:          # the real graphs
            print(f"{name} is left out: {error}", file=sys.stderr)
    if options.json:
        with open(options.json, "w") as file:
            json.dump([row._asdict() for row in rows], file, indent=1)
    draw(rows, options.plot)


if __name__ == "__main__":
    main()
