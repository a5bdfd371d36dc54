"""The cases of every op: importing this package registers those of all topics, one file a topic."""

import importlib
import pkgutil

from tinynet.cases.registry import CASES, Case, distinct, draw, of, op_names, possible

for _topic in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_topic.name}")

__all__ = ["CASES", "Case", "distinct", "draw", "of", "op_names", "possible"]
