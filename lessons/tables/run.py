"""Run one cell of a table, in this process or in a worker."""

import importlib
import re
import threading
import time
from pathlib import Path

from lessons.tables.table import Run
from tinynet import memory

_one_at_a_time = threading.Lock()       # a dask worker's threads share its process, and with it BLAS's threads


def folder_of(folder, cell):
    """Where a run keeps what it needs to go on after a stop."""
    return Path(folder, re.sub(r"[^\w.-]+", "_", str(cell)))


def run(module, cell, data, folder):
    """(cell, {metric: value}, seconds) of one run, with one thread: the same bits wherever it runs.

    data    the folder with the published files, or None
    folder  under which the run has a folder of its own; the command removes it when the run is in the ledger

    In place of the values stands the error of a run that diverged.
    """
    import numba
    from threadpoolctl import threadpool_limits

    memory.keep()
    table = next(t for t in importlib.import_module(module).TABLES if t.name == cell.table)
    function = next(variants[cell.system] for variants in table.run.values() if cell.system in variants)
    before = numba.get_num_threads()
    with _one_at_a_time, threadpool_limits(1):
        try:
            numba.set_num_threads(1)
            start = time.perf_counter()
            own = folder_of(folder, cell)
            own.mkdir(parents=True, exist_ok=True)
            measured = function(Run(cell.dataset, cell.seed, data, own))
        except ArithmeticError as error:
            measured = error
        finally:
            numba.set_num_threads(before)
        return cell, measured, time.perf_counter() - start
