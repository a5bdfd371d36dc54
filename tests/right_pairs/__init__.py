"""Right backwards of other fields, in other people's styles: none of them may be rejected.

Every file in this folder is read; each pair says how its inputs are drawn.
"""

import importlib
from pathlib import Path

from .registry import RIGHT, Right

for _file in sorted(Path(__file__).parent.glob("*.py")):
    if _file.stem not in ("__init__", "registry"):
        importlib.import_module(f"{__name__}.{_file.stem}")

__all__ = ["RIGHT", "Right"]
