"""Wrong backwards as students write them, in their own styles, with forwards of their own.

Every file in this folder is read.  The mistakes are the typical ones of course forums; the code is ours.
"""

import importlib
from pathlib import Path

from .registry import MISTAKES, Mistake

for _file in sorted(Path(__file__).parent.glob("*.py")):
    if _file.stem not in ("__init__", "registry"):
        importlib.import_module(f"{__name__}.{_file.stem}")

__all__ = ["MISTAKES", "Mistake"]
