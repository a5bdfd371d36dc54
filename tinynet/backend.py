"""The switches: which twin of an op runs, plain NumPy or fast, whether the tape is written, and who looks on.

    >>> from tinynet import backend
    >>> with backend.use_backend("plain"):
    ...     backend.runs_fast(lambda x: x.size > 2, [[1, 2, 3]])
    False
"""

import os
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

watch = None            # tinynet.debug() puts its observer here
_tape = ContextVar("tape", default=True)
BACKENDS = ("auto", "plain", "fast")


class use_backend:
    """Choose which twin the ops run: "plain", "fast", or "auto", the one that was measured to be faster.

    It takes effect at once and for good.  As a context (`with use_backend("plain"):`) it is undone at the end.
    A step already on the tape keeps the backward that its forward chose.
    The environment variable TINYNET_BACKEND sets the first choice.  Without it that is "auto", or "plain"
    where NUMBA_DISABLE_JIT turns compilation off.
    """

    def __init__(self, name):
        global _backend
        if name not in BACKENDS:
            raise ValueError(f"there is no backend {name!r}; choose one of {', '.join(map(repr, BACKENDS))}")
        self.before, _backend = _backend, name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        global _backend
        _backend = self.before


@contextmanager
def no_grad():
    """Inside this context nothing is written on the tape."""
    token = _tape.set(False)
    try:
        yield
    finally:
        _tape.reset(token)


writes_tape = _tape.get


def runs_fast(rule, arrays):
    """Should the fast twin run on these arrays?  rule(*arrays) -> was it measured to be faster?

    Never on float16: the kernels are compiled for float32 and float64.
    """
    chosen = _backend == "fast" or (_backend == "auto" and rule(*arrays))
    return chosen and not any(getattr(array, "dtype", None) == np.float16 for array in arrays)


def at_least(entries):
    """The rule of most ops: the fast twin is faster where the first array has at least so many entries."""
    return lambda first, *_: first.size >= entries


_compiles = os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"        # kernels that stay Python would crawl
DEFAULT_BACKEND = os.environ.get("TINYNET_BACKEND", "auto" if _compiles else "plain")
_backend = "auto"
try:
    use_backend(DEFAULT_BACKEND)
except ValueError as error:
    raise ValueError(f"TINYNET_BACKEND: {error}") from None
