"""The elementary ops: arithmetic with broadcasting, matmul, reductions, shape moves, indexing."""

from tinynet.ops import operators  # noqa: F401  (hangs the operators on Tensor)
from tinynet.ops.arithmetic import (
    absolute,
    add,
    divide,
    exp,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    sqrt,
    subtract,
    where,
)
from tinynet.ops.moves import broadcast_to, concatenate, getitem, reshape, stack, transpose
from tinynet.ops.products import matmul
from tinynet.ops.reductions import max, mean, sum  # noqa: A004  (NumPy's names)

__all__ = [
    "absolute", "add", "broadcast_to", "concatenate", "divide", "exp", "getitem", "log", "matmul", "max", "maximum",
    "mean", "minimum", "multiply", "negative", "power", "reshape", "sqrt", "stack", "subtract", "sum", "transpose",
    "where",
]
