"""tinynet: deep learning from scratch, one readable file a block."""

import importlib

from tinynet import names, ops
from tinynet.backend import no_grad, use_backend
from tinynet.debugging import debug
from tinynet.drawing import draw_graph
from tinynet.engine import Op, Tensor

__version__ = "0.2.0"
__all__ = ["Op", "Tensor", "debug", "draw_graph", "gradcheck", "no_grad", "use_backend"]
_LATER = {"gradcheck": "tinynet.check"}                 # what most runs don't need is loaded when first asked for
_MODULES = ("metrics", "nn", "npz", "optim", "train")


def __getattr__(name):
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"tinynet.{name}")
    if name in ops.__all__:
        return getattr(ops, name)
    return names.find("tinynet", names.FUNCTIONS, name, __all__)


def __dir__():
    return sorted({*globals(), *__all__, *_MODULES, *ops.__all__, *names.places(names.FUNCTIONS)})
