"""The one place with numba's flags: `jit`, `parallel_jit` and `reordering_jit` for the kernels of the blocks.

A kernel is compiled at its first call, not at import: numba takes longer to import than all of
tinynet, and a run on the NumPy backend never needs it.  The machine code is kept in numba's cache
(NUMBA_CACHE_DIR, else __pycache__); where neither can be written, work goes on without one.

Inside a kernel `prange` marks a loop whose iterations own their outputs, so that results are
the same bits for any number of threads.  A sum over all rows is taken in PARTS sums, each over rows of its own.
"""

import functools
import threading
import warnings

import numpy as np

from tinynet.shapes import block_name

PARTS = 4           # a fixed number, so that threads don't change the bits
ROWS = 256          # the most rows of a part where many parts cost nothing: errors of long float32 sums stay small
prange = range      # numba's own prange takes this name's place when a kernel is compiled

# numba's default thread pool ends the process when two threads start kernels at once
_one_at_a_time = threading.Lock()
_NO_CACHE = "no locator available"


class Kernel:
    """A function of scalar loops that becomes machine code when it is first called."""

    def __init__(self, loops, parallel=False, fastmath=False):
        functools.update_wrapper(self, loops)
        self.loops, self.parallel, self.fastmath, self._compiled = loops, parallel, fastmath, None

    def __call__(self, *args):
        try:
            return self._run(*args)
        except OSError:                 # kernels touch no files: the disk is full, or the cache was taken away
            self._compile(cache=False)
            return self._run(*args)

    def _run(self, *args):
        if not self._compiled:
            self._compile()
        if not self.parallel:
            return self._compiled(*args)
        with _one_at_a_time:
            return self._compiled(*args)

    def _compile(self, cache=True):
        import llvmlite.binding
        import numba

        # LLVM would take 32 numbers at once, and one by one what is left: of the 8 features of a head, all.
        # It has no such option for one kernel; this one holds for the whole process.
        llvmlite.binding.set_option("", "-force-vector-interleave=1")
        self.loops.__globals__["prange"] = numba.prange
        try:
            compiler = numba.njit(cache=cache, parallel=self.parallel, fastmath=self.fastmath, error_model="numpy",
                                  nogil=True)
            self._compiled = compiler(self.loops)
        except RuntimeError as error:
            if _NO_CACHE not in str(error):
                raise
            self._compile(cache=False)
        if not cache:
            warnings.warn("tinynet: no folder for compiled kernels can be written, so every run compiles "
                          "them again; set NUMBA_CACHE_DIR to a writable folder", stacklevel=4)


def jit(loops):
    """Compile scalar loops to machine code at the first call (single thread)."""
    return Kernel(loops)


def parallel_jit(loops):
    """The same, with the iterations of `prange` spread over the cores."""
    return Kernel(loops, parallel=True)


def reordering_jit(loops):
    """parallel_jit for long sums: several of their terms are added at once, so they round in another order."""
    return Kernel(loops, parallel=True, fastmath={"reassoc"})


def parts_of(rows):
    """How many parts to take a sum over so many rows in: PARTS, or more where there are many rows."""
    return max(PARTS, -(-rows // ROWS))


def floating(x):
    """The dtype of x where that is floating; float64 is computed from whole numbers and booleans."""
    return x.dtype if x.dtype.kind == "f" else np.dtype(float)


def contiguous(*arrays):
    """What every compiled twin does at its door, so that one signature is compiled.

    Returns the arrays C-contiguous, aligned and writeable (copied only where they aren't), in the common dtype of
    the floating ones.  None stays None.  Raises TypeError for floats other than float32 and float64.
    """
    floats = [a.dtype for a in arrays if a is not None and a.dtype.kind == "f"]
    dtype = np.result_type(*floats) if floats else np.dtype(float)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"{block_name(2)}: compiled loops take float32 and float64, not {dtype}; convert the arrays, "
                        'or choose tinynet.use_backend("plain")')
    ready = tuple(None if a is None else np.require(a, dtype, ["C", "A", "W"]) for a in arrays)
    return ready if len(ready) > 1 else ready[0]
