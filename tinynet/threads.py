"""Threads of BLAS: none but one for a small product, or a thread for each independent part of one job.

A product of 128 x 64 numbers is over before a second thread has woken up.  NumPy's own OpenBLAS can be told to
use one thread; where NumPy has another BLAS the parts run one after the other, as they would without this file.
"""

import ctypes
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import numpy as np


@functools.cache
def _openblas():
    """The functions that get and set the number of threads of NumPy's OpenBLAS, or None."""
    try:
        library = ctypes.CDLL(np._core._multiarray_umath.__file__)
        return library.scipy_openblas_get_num_threads64_, library.scipy_openblas_set_num_threads64_
    except (AttributeError, OSError):
        return None


SMALL = range(2**18, 2**27)     # multiplications in a product; below it OpenBLAS takes one thread by itself
_lock, _callers, _before = threading.Lock(), 0, 1


@contextmanager
def _one_blas_thread(get, set_):
    """The first that comes in sets BLAS to one thread, the last that goes gives it back what it had."""
    global _callers, _before
    with _lock:
        if _callers == 0:
            _before = get()
            set_(1)
        _callers += 1
    try:
        yield
    finally:
        with _lock:
            _callers -= 1
            if _callers == 0:
                set_(_before)


def for_product(multiplications):
    """A context in which BLAS uses one thread where a product is too small to gain by two, though OpenBLAS thinks it
    isn't: its second thread has to be woken, and to wait for a core that a kernel's thread may still spin on.
    """
    return _one_blas_thread(*_openblas()) if multiplications in SMALL and _openblas() else nullcontext()


def available():
    """How many threads `each` would use: those that BLAS has now."""
    return _openblas()[0]() if _openblas() else 1


def each(work, parts):
    """work(part) for every part; the parts must write to different places."""
    parts = list(parts)
    threads = min(available(), len(parts))
    if threads < 2:
        for part in parts:
            work(part)
        return
    with _one_blas_thread(*_openblas()), ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, parts))
