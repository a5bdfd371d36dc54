"""`python -m lessons.tables graphs --data DIR --runs 100 --workers 2`: run, resume, and write the tables down."""

import argparse
import contextlib
import importlib
import os
import shutil
import sys
from pathlib import Path

from lessons.tables import ledger, report
from lessons.tables.ledger import Cell
from lessons.tables.run import folder_of, run
from tinynet.data import files

FIGURES = Path(__file__).resolve().parents[2] / "figures"
TOPICS = sorted(path.parent.name for path in Path(__file__).parent.glob("*/tables.py"))
EXTRA = 'pip install -e ".[tables]"'


def parse(argv):
    parser = argparse.ArgumentParser("python -m lessons.tables", description="Run what is missing in the ledger of the "
                                     "papers' tables, then write the tables. Stop it at any moment; the same command "
                                     "goes on.")
    parser.add_argument("topic", choices=TOPICS, help="which tables")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with the published files (else TINYNET_DATA)")
    parser.add_argument("--runs", type=int, metavar="N", help="seeds 0..N-1 of every system (else as many as the "
                        "topic's tables.py says)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="runs side by side, one thread each (2)")
    parser.add_argument("--only", default="", metavar="TEXT", help='runs whose name has it, e.g. "GAT on cora"')
    parser.add_argument("--dask", metavar="ADDRESS", help="run on this dask.distributed scheduler instead")
    parser.add_argument("--figures", type=Path, default=FIGURES, metavar="DIR", help="where ledger and tables are")
    return parser.parse_args(argv)


def main(argv=None):
    """Returns the exit code: 0, 1 if a run failed, 2 if the command can't be done, 130 after Ctrl-C."""
    asked = parse(argv)
    group = importlib.import_module(f"lessons.tables.{asked.topic}.tables")
    try:
        todo = missing(group, ledger.read_all(group.TABLES, asked.figures), asked)
        failed = run_all(group, todo, asked)
    except KeyboardInterrupt:
        report.write(group.TABLES, ledger.read_all(group.TABLES, asked.figures), asked.figures, asked.topic)
        print("\nstopped; every finished run is in the ledger and the tables; the same command goes on from there")
        return 130
    except (OSError, ValueError, ImportError) as error:
        print(f"python -m lessons.tables: {error}", file=sys.stderr)
        return 2
    print(report.write(group.TABLES, ledger.read_all(group.TABLES, asked.figures), asked.figures, asked.topic))
    return 1 if failed else 0


def missing(group, done, asked):
    """The cells that are still to be run, all systems of a seed before the next seed."""
    runs = group.SEEDS if asked.runs is None else asked.runs
    if runs < 0 or asked.workers < 1:
        raise ValueError(f"--runs {runs} --workers {asked.workers}: give 0 or more runs and 1 or more workers")
    cells = [Cell(table.name, variant, dataset, seed) for seed in range(runs) for table in group.TABLES
             for dataset in table.datasets for system, variants in table.run.items() for variant in variants
             if seed == 0 or system not in table.deterministic]
    chosen = [cell for cell in cells if asked.only in str(cell)]
    if cells and not chosen:
        raise ValueError(f'--only "{asked.only}": no run has this in its name; they read like "{cells[0]}"')
    names = {cell.table for cell in chosen}
    metrics = {table.name: table.metric for table in group.TABLES if table.name in names and there(table, asked.data)}
    return [cell for cell in chosen if cell.table in metrics and metrics[cell.table] not in done.get(cell, {})]


def there(table, folder):
    """Are the files there that only the reader can have?"""
    try:
        return bool(not table.needs or table.needs(folder))
    except FileNotFoundError as error:
        print(f"{table.name} is left out: {error}")
        return False


def run_all(group, todo, asked):
    """Run the cells, each with one thread; note each down at once, in the order in which they end.

    Returns how many failed; each has said why.
    """
    if not todo:
        return 0
    try:
        from joblib import Parallel, delayed
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError(f"{error.name} is missing; install it with  {EXTRA}") from None
    folder = asked.data or os.environ.get("TINYNET_DATA")
    folder = folder and str(Path(folder).resolve())         # workers may stand elsewhere
    work, failed = files.cache_folder() / "tables", 0
    books = {table.name: ledger.path_of(table, asked.figures) for table in group.TABLES}
    with workers(asked):
        runs = Parallel(return_as="generator_unordered")(delayed(run)(group.__name__, c, folder, work) for c in todo)
        for cell, measured, seconds in tqdm(runs, total=len(todo), unit="run", smoothing=0):
            if isinstance(measured, dict):
                ledger.append(books[cell.table], cell, measured, seconds)
                shutil.rmtree(folder_of(work, cell), ignore_errors=True)
            else:
                failed += 1
                tqdm.write(f"{cell} failed: {measured}", file=sys.stderr)
    return failed


@contextlib.contextmanager
def workers(asked):
    """Processes of this machine, or those of a dask cluster."""
    from joblib import parallel_config

    if not asked.dask:
        with parallel_config("loky", n_jobs=asked.workers):
            yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise ImportError('distributed is missing; install it with  pip install -e ".[tables,dask]"') from None
    with Client(asked.dask), parallel_config("dask"):
        yield


if __name__ == "__main__":
    sys.exit(main())
