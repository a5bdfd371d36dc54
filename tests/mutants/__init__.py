"""Planted mistakes: wrong backwards for every block, which the checker must reject and name.

One folder a topic; every file in it is read.
"""

import importlib
from pathlib import Path

from .registry import MUTANTS, Mutant

_folder = Path(__file__).parent
for _file in sorted(_folder.glob("*/*.py")):
    importlib.import_module(f"{__name__}.{_file.parent.name}.{_file.stem}")

__all__ = ["MUTANTS", "Mutant"]
