"""One run of a table, in whatever process it comes to stand."""

import importlib
import threading
import time

from tinynet import memory

_one_at_a_time = threading.Lock()       # a dask worker's threads share its process, and with it BLAS's threads


def run(module, cell, folder):
    """(cell, {metric: value}, seconds) of one run, with one thread: the same bits wherever it runs.

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
            measured = function(cell.dataset, cell.seed, folder)
        except ArithmeticError as error:
            measured = error
        finally:
            numba.set_num_threads(before)
        return cell, measured, time.perf_counter() - start
