"""The one place with numba's flags: `jit`, `parallel_jit`, `reordering_jit` for the kernels of the blocks,
`inner_jit` and `reordering_inner_jit` for the parts that long kernels call.

A kernel is compiled at its first call, not at import: numba takes longer to import than all of
tinynet, and a run on the NumPy backend never needs it.  The machine code is kept in numba's cache
(NUMBA_CACHE_DIR, else __pycache__); where neither can be written, work goes on without one.

Inside a kernel `prange` marks a loop whose iterations own their outputs, so that results are
the same bits for any number of threads.  A sum over all rows is taken in PARTS sums, each over rows of its own.
"""

import functools
import os
import threading
import warnings

import numpy as np

from tinynet.shapes import block_name

PARTS = 4           # a fixed number, so that threads don't change the bits
ROWS = 32          # the most rows of a part where many parts cost nothing: errors of long float32 sums stay small
prange = range      # numba's own prange takes this name's place when a kernel is compiled

# numba's default thread pool ends the process when two threads start kernels at once, and in a process that was
# forked after a kernel ran: there, kernels are compiled anew for one thread
_one_at_a_time, _ran, _forked = threading.Lock(), False, False


def _after_fork():
    global _one_at_a_time, _forked
    _one_at_a_time, _forked = threading.Lock(), _ran


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
_NO_CACHE = "no locator available"


class Kernel:
    """A function of scalar loops that becomes machine code when it is first called."""

    def __init__(self, loops, parallel=False, fastmath=False):
        functools.update_wrapper(self, loops)
        self.loops, self.parallel, self.fastmath, self._compiled = loops, parallel, fastmath, None
        self._mended = False

    def __call__(self, *args):
        try:
            return self._run(*args)
        except OSError:                 # kernels touch no files: the disk is full, or the cache was taken away
            self._compile(cache=False)
            return self._run(*args)
        except Exception as error:      # what a damaged file in the cache raises is any of a dozen kinds
            if not self._forget_damaged():
                raise
            result = self._run(*args)
            warnings.warn(f"tinynet: a file of compiled kernels was damaged ({type(error).__name__}) and is made anew",
                          stacklevel=2)
            return result

    def _run(self, *args):
        global _ran
        if self.parallel and _forked:
            self.parallel = False
            self._compile(cache=False, told=False)
        if not self._compiled:
            self._compile()
        if not self.parallel:
            return self._compiled(*args)
        with _one_at_a_time:
            _ran = True
            return self._compiled(*args)

    def _forget_damaged(self):
        """Empty this kernel's part of the cache, once, and compile it anew; False where that was done before."""
        cache = getattr(self._compiled, "_cache", None)
        if self._mended or not hasattr(cache, "flush"):
            return False
        self._mended = True
        cache.flush()
        self._compile()
        return True

    def _compile(self, cache=True, told=True):
        import llvmlite.binding
        import numba

        # LLVM would handle 32 numbers at a time and the rest one by one.  A head has 8 features, so all of them
        # would be "the rest".
        # It has no such option for one kernel; this one holds for the whole process.
        llvmlite.binding.set_option("", "-force-vector-interleave=1")
        # And a loop over more than a few arrays it would leave scalar, rather than ask first whether they overlap.
        llvmlite.binding.set_option("", "-runtime-memory-check-threshold=100")
        self.loops.__globals__["prange"] = numba.prange
        self._compile_parts()
        try:
            compiler = numba.njit(cache=cache, parallel=self.parallel, fastmath=self.fastmath, error_model="numpy",
                                  nogil=True)
            self._compiled = compiler(self.loops)
        except RuntimeError as error:
            if _NO_CACHE not in str(error):
                raise
            self._compile(cache=False)
        if not cache and told:
            warnings.warn("tinynet: no folder for compiled kernels can be written, so every run compiles "
                          "them again; set NUMBA_CACHE_DIR to a writable folder", stacklevel=4)

    def _compile_parts(self):
        """Compile the kernels that this one calls by name (see inner_jit).

        Their machine code becomes part of this kernel's, so the cache needs no copy of it.
        """
        names = self.loops.__globals__
        for name in self.loops.__code__.co_names:
            if isinstance(names.get(name), Kernel):
                names[name]._compile(cache=False, told=False)
                names[name] = names[name]._compiled


def jit(loops):
    """Compile scalar loops to machine code at the first call (single thread)."""
    return Kernel(loops)


def parallel_jit(loops):
    """The same, with the iterations of `prange` spread over the cores."""
    return Kernel(loops, parallel=True)


def reordering_jit(loops):
    """parallel_jit for long sums: several of their terms are added at once, so they round in another order."""
    return Kernel(loops, parallel=True, fastmath={"reassoc"})


def inner_jit(loops):
    """A part of kernels, which call it by name: loops that would be too long in one piece.
    A product and a sum become one instruction, which rounds once.
    It stands in the file of its kernels (but see float32_kernels): numba's cache looks at the date of that file alone.
    """
    return Kernel(loops, fastmath={"contract"})


def reordering_inner_jit(loops):
    """inner_jit for long sums, as reordering_jit is."""
    return Kernel(loops, fastmath={"contract", "reassoc"})


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
    ready = tuple(a if a is None or (a.dtype == dtype and a.flags.carray) else np.require(a, dtype, ["C", "A", "W"])
                  for a in arrays)                  # carray: all three, told at a fifth of the price
    return ready if len(ready) > 1 else ready[0]
