"""Ways of sharing and balancing rules on four problems, single-task nets always beside them.

Slides: tomaszewska fig10, fig11, weighted, uncertainty, gradnorm; shi fig11, fig12

`python -m lessons.tables tasks` runs all of it in about 80 minutes of one core.
"""

from functools import partial

from lessons.tables.table import Column, Table
from lessons.tables.tasks.recipes import LEFT_OUT, SYSTEMS, cell
from tinynet.data.multitask import multi_mnist, sarcos, school


def on(run, system):
    """A recipe: the score of a system on the run's problem.  Seeds begin at 1, see recipes."""
    return {"score": cell(system, run.dataset, run.seed + 1, run.folder, run.data)}


def _table(name, unit, datasets, about, needs=None, lower=False, beside="separate nets"):
    systems = [s for s in SYSTEMS if not any((s, dataset) in LEFT_OUT for dataset in datasets)]
    return Table(name, unit, datasets, {system: {} for system in systems},
                 {system: {system: partial(on, system=system)} for system in systems},
                 columns=(Column("score", lower=lower),), about=about, needs=needs, beside=beside)


RULES = ("The rows behind CGC are balancing rules on a shared trunk; \"shared trunk\" has equal weights.  No "
         "paper's number stands beside: none did the same work.")
DIGITS = _table("ours starved digits", "accuracy % on starved classes", ("starved digits",),
                "600 scanned digits, 3 labels for five random classes and 40 for the others; four attributes are known "
                "for all.  " + RULES)
PAIRS = _table("ours multimnist", "accuracy %", ("MultiMNIST",),
               "20,000 pairs of digits, the mean accuracy of both.  " + RULES,
               lambda folder: multi_mnist(folder, train=1, test=1))
ROBOT = _table("ours sarcos", "error in % of the variance (lower is better)", ("SARCOS",),
               "Seven torques from 1,000 rows, tested on the other 3,449 of SARCOS's test file.  " + RULES, sarcos,
               lower=True)
PUPILS = _table("ours school", "explained variance %", ("School",),
                "139 schools, 15 % of each one's pupils to train on.  The single-task row learns each school by "
                "itself.  In all other rows, separate nets too, the schools start alike, and each one's head (and "
                "MMoE's gate) is pulled to the mean over the schools.  Nets that hold a part for each pair of tasks "
                "are left out.  " + RULES, school, beside="single task")
SEEDS = 5
TABLES = (DIGITS, PAIRS, ROBOT, PUPILS)
