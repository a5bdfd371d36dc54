"""tinynet: deep learning from scratch, one readable file a block."""

from tinynet import ops  # noqa: F401  (hangs the operators on Tensor)
from tinynet.backend import use_backend
from tinynet.debugging import debug
from tinynet.drawing import draw_graph
from tinynet.engine import Op, Tensor, no_grad

__version__ = "0.2.0"
__all__ = ["Op", "Tensor", "debug", "draw_graph", "gradcheck", "no_grad", "use_backend"]


def __getattr__(name):
    """gradcheck comes with the checker, which most runs don't need: loaded when first asked for."""
    if name == "gradcheck":
        from tinynet.check import gradcheck
        return gradcheck
    raise AttributeError(f"module 'tinynet' has no attribute {name!r}")
