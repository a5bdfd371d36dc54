"""Lets the tests import the lessons without the tree on sys.path, where its tinynet would hide an installed one."""

import importlib.util
import os
import sys
from pathlib import Path

import numba  # noqa: F401  before tinynet.lesson, which would keep kernels to one thread

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")      # a second thread only waits, on arrays as tiny as the tests'

_folder = Path(__file__).resolve().parent.parent / "lessons"
_spec = importlib.util.spec_from_file_location("lessons", _folder / "__init__.py",
                                               submodule_search_locations=[str(_folder)])
sys.modules["lessons"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["lessons"])
