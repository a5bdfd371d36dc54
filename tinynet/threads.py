"""Independent parts of one job on all threads of BLAS: a thread a part, instead of all threads on every small product.

A product of 128 x 64 numbers is over before a second thread has woken up.  NumPy's own OpenBLAS can be told to
use one thread; where NumPy has another BLAS the parts run one after the other, as they would without this file.
"""

import ctypes
import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np


@functools.cache
def _openblas():
    """The functions that get and set the number of threads of NumPy's OpenBLAS, or None."""
    try:
        library = ctypes.CDLL(np._core._multiarray_umath.__file__)
        return library.scipy_openblas_get_num_threads64_, library.scipy_openblas_set_num_threads64_
    except (AttributeError, OSError):
        return None


def each(work, parts):
    """work(part) for every part; the parts must write to different places."""
    parts = list(parts)
    get, set_ = _openblas() or (lambda: 1, None)
    threads = min(get(), len(parts))
    if threads < 2:
        for part in parts:
            work(part)
        return
    before = get()
    set_(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, parts))
    finally:
        set_(before)
