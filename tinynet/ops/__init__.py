"""The elementary ops: arithmetic with broadcasting, products, reductions, moves, and NumPy's functions on tensors."""

from tinynet.ops import numpy_functions, operators  # noqa: F401  (hang functions and operators on Tensor)
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
from tinynet.ops.elementwise import clip, cos, expm1, floor, log1p, sign, sin, softplus
from tinynet.ops.moves import (
    broadcast_to,
    concatenate,
    expand_dims,
    getitem,
    moveaxis,
    pad,
    repeat,
    reshape,
    sort,
    split,
    squeeze,
    stack,
    take_along_axis,
    tile,
    topk,
    transpose,
    tril,
    triu,
)
from tinynet.ops.products import dot, einsum, matmul, outer
from tinynet.ops.reductions import cumsum, max, mean, min, norm, prod, std, sum, var  # noqa: A004  (NumPy's names)

__all__ = [
    "absolute", "add", "broadcast_to", "clip", "concatenate", "cos", "cumsum", "divide", "dot", "einsum", "exp",
    "expand_dims", "expm1", "floor", "getitem", "log", "log1p", "matmul", "max", "maximum", "mean", "min",
    "minimum", "moveaxis", "multiply", "negative", "norm", "outer", "pad", "power", "prod", "repeat", "reshape",
    "sign", "sin", "softplus", "sort", "split", "sqrt", "squeeze", "stack", "std", "subtract", "sum",
    "take_along_axis", "tile", "topk", "transpose", "tril", "triu", "var", "where",
]
