"""How many threads BLAS uses: one for a small product; for a large job, one for each independent part.

A product of 128 x 64 numbers is over before a second thread has woken up.  NumPy's own OpenBLAS can be told to
use one thread; where NumPy has another BLAS the parts run one after the other, as they would without this file.
`gemm` is OpenBLAS for compiled loops.
"""

import ctypes
import functools
import math
import threading
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


BY_ROWS, AS_IT_IS, TURNED = map(np.int32, (101, 111, 112))          # words of CBLAS


def gemm(dtype):
    """The matrix product cblas_sgemm or cblas_dgemm of NumPy's OpenBLAS, as an argument for compiled loops.

    None where NumPy has another BLAS.  A kernel calls it inside `with_one`, on as many threads as it has itself.
    """
    return _gemm(np.dtype(dtype).char) if _openblas() else None


@functools.cache
def _gemm(char):
    try:
        import numba.experimental.function_type  # by it numba knows functions that are arguments

        library = ctypes.CDLL(np._core._multiarray_umath.__file__)
        call = {"f": library.scipy_cblas_sgemm64_, "d": library.scipy_cblas_dgemm64_}[char]
    except (AttributeError, ImportError, OSError):
        return None
    real = {"f": "float32", "d": "float64"}[char]
    # order, transposed A, transposed B, M, N, K, alpha, A, its row length, B, its row length, beta, C, its row length
    arguments = 3 * ["int32"] + 3 * ["int64"] + [real, *(2 * ["uint64", "int64"]), real, "uint64", "int64"]
    call.restype, call.argtypes = None, [getattr(ctypes, _C_TYPES[name]) for name in arguments]

    class Gemm(numba.types.WrapperAddressProtocol):
        """An address alone would be a constant of the machine code, which then couldn't be kept in a cache."""

        __call__ = staticmethod(call)                   # for loops that aren't compiled

        def __wrapper_address__(self):
            return ctypes.cast(call, ctypes.c_void_p).value

        def signature(self):
            return numba.types.void(*(getattr(numba.types, name) for name in arguments))

    return Gemm()


_C_TYPES = {"int32": "c_int32", "int64": "c_int64", "uint64": "c_uint64", "float32": "c_float", "float64": "c_double"}


SMALL = range(2**18, 2**27)     # multiplications in a product; below it OpenBLAS takes one thread by itself
_lock, _callers, _before = threading.Lock(), 0, 1


def with_one(work):
    """work() while BLAS uses one thread.  The first caller sets it, the last one gives BLAS back what it had.

    Python notices Ctrl-C only after a call, so in `finally` nothing is called before the count is right again.
    """
    global _callers, _before
    (get, set_), entered = _openblas(), False
    try:
        with _lock:
            if _callers == 0:
                _before = get()
            _callers += 1
            entered = True
            if _callers == 1:
                set_(1)
        return work()
    finally:
        with _lock:
            _callers -= entered
            if entered and _callers == 0:
                set_(_before)


def product(multiply, multiplications):
    """multiply(), with one thread of BLAS where the product is too small to gain by two.

    OpenBLAS itself would take two.  Its second thread has to be woken, and has to wait for a core that a kernel's
    thread may still spin on.
    """
    return with_one(multiply) if multiplications in SMALL and _openblas() else multiply()


def matmul(a, b):
    """a @ b, with one thread of BLAS where `product` says so; in a batch each product counts by itself."""
    columns = b.shape[-1] if b.ndim > 1 else 1
    return product(lambda: np.matmul(a, b), math.prod(a.shape[-2:]) * columns)


def use_one():
    """Let BLAS use one thread from now on."""
    if _openblas():
        _openblas()[1](1)


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

    def side_by_side():
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, parts))

    with_one(side_by_side)
