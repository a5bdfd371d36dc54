"""NumPy's functions on tensors: each runs our op, or refuses with the name of what to use.

None hands out an array and loses the gradient.
"""

import difflib

import numpy as np

from tinynet.engine import Tensor
from tinynet.ops import arithmetic, elementwise, moves, products, reductions

UFUNCS = {
    **{getattr(np, name): getattr(arithmetic, name) for name in (
        "add", "subtract", "multiply", "divide", "maximum", "minimum", "negative", "exp", "log", "sqrt", "absolute")},
    **{getattr(np, name): getattr(elementwise, name) for name in ("sin", "cos", "log1p", "expm1", "sign", "floor")},
    np.matmul: products.matmul,
    np.square: lambda x: x ** 2,
    np.power: lambda a, b: a ** b,
    np.reciprocal: lambda x: 1 / x,
}
# what has no slope, or one that is 0 wherever there is one: the array is the answer
PLAIN_UFUNCS = {np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.isfinite, np.isnan,
                np.isinf, np.signbit}


def _norm(x, ord=None, axis=None, keepdims=False):         # noqa: A002  (NumPy's name)
    if ord not in (None, 2, "fro") or (ord == 2 and axis is None and x.ndim > 1):
        raise TypeError(f"np.linalg.norm: tinynet has the Euclidean norm alone, not ord={ord!r}; write it with ops")
    return reductions.norm(x, axis=axis, keepdims=keepdims)


def _reduction(op):
    return lambda a, axis=None, *, keepdims=False: op(a, axis=axis, keepdims=keepdims)


FUNCTIONS = {
    **{getattr(np, name): _reduction(getattr(reductions, name)) for name in ("sum", "mean", "max", "min", "prod")},
    np.var: lambda a, axis=None, *, ddof=0, keepdims=False: reductions.var(a, axis=axis, ddof=ddof, keepdims=keepdims),
    np.std: lambda a, axis=None, *, ddof=0, keepdims=False: reductions.std(a, axis=axis, ddof=ddof, keepdims=keepdims),
    np.linalg.norm: _norm,
    np.cumsum: lambda a, axis=None: reductions.cumsum(a.reshape(-1) if axis is None else a, axis=axis or 0),
    np.concatenate: lambda arrays, axis=0: moves.concatenate(*arrays, axis=axis) if axis is not None else
        moves.concatenate(*(moves.reshape(a, shape=(-1,)) for a in arrays)),
    np.stack: lambda arrays, axis=0: moves.stack(*arrays, axis=axis),
    np.where: arithmetic.where,
    np.clip: lambda a, a_min=None, a_max=None, *, min=None, max=None: elementwise.clip(     # noqa: A006
        a, low=min if a_min is None else a_min, high=max if a_max is None else a_max),
    np.einsum: lambda subscripts, *arrays, optimize=True: products.einsum(subscripts, *arrays),
    np.dot: products.dot,
    np.outer: products.outer,
    np.reshape: lambda a, shape: moves.reshape(a, shape=shape),
    np.ravel: lambda a: moves.reshape(a, shape=(-1,)),
    np.transpose: lambda a, axes=None: moves.transpose(a, axes=axes),
    np.swapaxes: lambda a, first, second: a.swapaxes(first, second),
    np.moveaxis: moves.moveaxis,
    np.squeeze: moves.squeeze,
    np.expand_dims: moves.expand_dims,
    np.broadcast_to: lambda a, shape: moves.broadcast_to(a, shape=shape),
    np.pad: lambda a, pad_width, mode="constant", constant_values=0: _pad(a, pad_width, mode, constant_values),
    np.split: moves.split,
    np.tile: moves.tile,
    np.repeat: lambda a, repeats, axis=None: moves.repeat(a.reshape(-1) if axis is None else a, count=repeats,
                                                          axis=axis or 0),
    np.take: lambda a, indices, axis=None: _take(a, indices, axis),
    np.take_along_axis: lambda a, indices, axis=-1: moves.take_along_axis(a, indices, axis=axis),
    np.sort: lambda a, axis=-1: moves.sort(a, axis),
    np.tril: lambda a, k=0: moves.tril(a, k=k),
    np.triu: lambda a, k=0: moves.triu(a, k=k),
}
# their answer is a shape, a place, a truth or a constant, through which no gradient flows
PLAIN_FUNCTIONS = {np.shape, np.ndim, np.size, np.argmax, np.argmin, np.argsort, np.allclose, np.array_equal,
                   np.isclose, np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.result_type,
                   np.array2string, np.array_repr, np.array_str, np.may_share_memory, np.shares_memory, np.iscomplexobj}


def _pad(x, widths, mode, value):
    if mode != "constant":
        raise TypeError(f"np.pad: tinynet pads with a constant alone, not mode={mode!r}; write it with ops.concatenate")
    return moves.pad(x, widths=widths, value=value)


def _take(x, indices, axis):
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis % x.ndim)
    return x[(slice(None),) * axis + (indices,)]


def _arrays(thing):
    """Tensors in nested tuples, lists and dictionaries as their arrays."""
    if isinstance(thing, Tensor):
        return thing.data
    if isinstance(thing, (tuple, list)):
        return type(thing)(_arrays(part) for part in thing)
    return {k: _arrays(v) for k, v in thing.items()} if isinstance(thing, dict) else thing


def _ufunc(self, ufunc, method, *inputs, **settings):
    """np.exp(x), array + tensor, ..."""
    if method == "__call__" and not settings:
        if ufunc in UFUNCS:
            return UFUNCS[ufunc](*inputs)
        if ufunc in PLAIN_UFUNCS:
            return ufunc(*_arrays(inputs))
    if settings.get("out"):
        raise TypeError(f"np.{ufunc.__name__}: the result of a tensor can't be written into an array, which has no "
                        "gradient; write y = y + x instead of y += x")
    raise TypeError(f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method} would lose the gradient of a "
                    f"tensor, and tinynet has no such op; {_instead(ufunc.__name__)}")


def _function(self, function, types, inputs, settings):
    """np.sum(x), np.concatenate([x, y]), ..."""
    if function in FUNCTIONS:
        try:
            return FUNCTIONS[function](*inputs, **settings)
        except TypeError as error:
            if "unexpected keyword" in str(error) or "positional argument" in str(error):
                raise TypeError(f"np.{function.__name__}: on a tensor it takes no such argument "
                                f"({str(error).rpartition('() ')[2]}); see tinynet.ops") from None
            raise
    if function in PLAIN_FUNCTIONS:
        return function(*_arrays(inputs), **_arrays(settings))
    raise TypeError(f"np.{function.__name__} would lose the gradient of a tensor, and tinynet has no such op; "
                    f"{_instead(function.__name__)}")


INSTEAD = {"tanh": "tn.tanh", "logaddexp": "tn.log_sum_exp", "hstack": "np.concatenate", "vstack": "np.concatenate",
           "append": "np.concatenate", "block": "np.concatenate", "trace": "np.einsum", "tensordot": "np.einsum",
           "inner": "np.einsum", "kron": "np.einsum", "diagonal": "np.einsum", "amax": "np.max", "amin": "np.min",
           "flip": "x[::-1]", "reduce": "np.sum"}


def _instead(name):
    if name in INSTEAD:
        return f"use {INSTEAD[name]}, or x.data for the array alone"
    known = sorted({f.__name__ for f in (*UFUNCS, *FUNCTIONS)})
    near = difflib.get_close_matches(name, known, 2, 0.8)
    ours = f"np.{' or np.'.join(near)}" if near else "the ops of tinynet.ops"
    return f"use {ours}, or x.data for the array alone"


Tensor.__array_ufunc__ = _ufunc
Tensor.__array_function__ = _function
