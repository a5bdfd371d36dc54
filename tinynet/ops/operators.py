"""Operators and methods of Tensor: the elementary ops as users write them."""

import math

import numpy as np

from tinynet import names
from tinynet.engine import Tensor
from tinynet.ops import elementwise, moves, reductions
from tinynet.ops.arithmetic import absolute, add, divide, exp, log, multiply, negative, power, sqrt, subtract
from tinynet.ops.moves import getitem, reshape, transpose
from tinynet.ops.products import matmul
from tinynet.shapes import ShapeError, is_whole


def _comparison(ufunc):
    """Comparisons answer with a plain boolean array: no gradient flows through them."""
    return lambda self, other: ufunc(self.data, other.data if isinstance(other, Tensor) else other)


def _exponent(x, exponent):
    if np.ndim(exponent) or getattr(exponent, "requires_grad", False):
        raise TypeError("power: the exponent must be one constant number; for a variable one write (b * a.log()).exp()")
    return power(x, exponent=float(exponent))


def _as_exponent(x, base):
    raise TypeError("power: the exponent can't be a tensor; for a ** b write (b * a.log()).exp()")


def _index(x, index):
    """Tensors in an index count as their arrays."""
    if isinstance(index, tuple):
        index = tuple(i.data if isinstance(i, Tensor) else i for i in index)
    return getitem(x, index=index.data if isinstance(index, Tensor) else index)


def _shape(args):
    return args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args


def _filled(x, shape):
    """The shape with x's own size where it says -1."""
    before = len(shape) - x.ndim
    return tuple(x.shape[i - before] if n == -1 else n for i, n in enumerate(shape))


def _swap(x, first, second):
    axes = list(range(x.ndim))
    if not (-x.ndim <= first < x.ndim and -x.ndim <= second < x.ndim):
        raise ShapeError(f"swapaxes: x has shape {x.shape}, which has no axes {first} and {second}")
    axes[first], axes[second] = axes[second], axes[first]
    return transpose(x, axes=tuple(axes))


def _flatten(x, start=0):
    """All axes from `start` on in one."""
    if not (is_whole(start, -x.ndim) and start < max(x.ndim, 1)):
        raise ShapeError(f"flatten: x has shape {x.shape}, which has no axis {start!r}; give the first of the axes "
                         "that become one, as a whole number")
    return x.reshape(*x.shape[:start], math.prod(x.shape[start:]))


for _name, _op in dict(add=add, sub=subtract, mul=multiply, truediv=divide, matmul=matmul).items():
    setattr(Tensor, f"__{_name}__", lambda self, other, op=_op: op(self, other))
    setattr(Tensor, f"__r{_name}__", lambda self, other, op=_op: op(other, self))
for _name, _ufunc in dict(eq=np.equal, ne=np.not_equal, lt=np.less, le=np.less_equal,
                          gt=np.greater, ge=np.greater_equal).items():
    setattr(Tensor, f"__{_name}__", _comparison(_ufunc))

Tensor.__neg__ = lambda self: negative(self)
Tensor.__abs__ = lambda self: absolute(self)
Tensor.__pow__ = _exponent
Tensor.__rpow__ = _as_exponent
Tensor.__getitem__ = _index
Tensor.exp = lambda self: exp(self)
Tensor.log = lambda self: log(self)
Tensor.sqrt = lambda self: sqrt(self)
Tensor.abs = lambda self: absolute(self)
Tensor.reshape = lambda self, *shape: reshape(self, shape=_shape(shape))
Tensor.transpose = lambda self, *axes: transpose(self, axes=_shape(axes) or None)
Tensor.swapaxes = _swap
Tensor.T = property(lambda self: transpose(self))


# Methods that PyTorch has, too.  Where it has another name, that name stands beside NumPy's.
def _method(op, *names):
    """A method whose positional arguments are the op's settings of these names; PyTorch's words for them are known."""
    def method(self, *values, **settings):
        named = {PYTORCH.get(name, name): value for name, value in settings.items()}
        return op(self, **dict(zip(names, values, strict=False)), **named)
    return method


PYTORCH = {"dim": "axis", "keepdim": "keepdims", "min": "low", "max": "high"}


for _name in ("sin", "cos", "log1p", "expm1", "softplus", "sign", "floor"):
    setattr(Tensor, _name, _method(getattr(elementwise, _name)))
for _name in ("min", "prod", "norm"):
    setattr(Tensor, _name, _method(getattr(reductions, _name), "axis", "keepdims"))
for _name in ("var", "std"):
    setattr(Tensor, _name, _method(getattr(reductions, _name), "axis", "keepdims", "ddof"))
Tensor.clip = Tensor.clamp = _method(elementwise.clip, "low", "high")
Tensor.cumsum = _method(reductions.cumsum, "axis")
Tensor.tril, Tensor.triu = _method(moves.tril, "k"), _method(moves.triu, "k")
Tensor.repeat = _method(moves.repeat, "count", "axis")
Tensor.gather = lambda self, axis, indices: moves.take_along_axis(self, indices, axis=axis)
Tensor.split, Tensor.tile, Tensor.sort, Tensor.topk = moves.split, moves.tile, moves.sort, moves.topk
Tensor.squeeze, Tensor.unsqueeze, Tensor.moveaxis = moves.squeeze, moves.expand_dims, moves.moveaxis
Tensor.flatten = _flatten
Tensor.expand = Tensor.broadcast_to = lambda self, *shape: moves.broadcast_to(self, shape=_filled(self, _shape(shape)))
for _name in ("sum", "mean", "max"):
    setattr(Tensor, _name, _method(getattr(reductions, _name), "axis", "keepdims"))
Tensor.view = Tensor.reshape
Tensor.argmax = lambda self, axis=None: self.data.argmax(axis)       # places have no gradient
Tensor.argmin = lambda self, axis=None: self.data.argmin(axis)
Tensor.permute, Tensor.pow, Tensor.matmul = Tensor.transpose, Tensor.__pow__, Tensor.__matmul__
Tensor.numel = lambda self: self.size
for _name in ("relu", "tanh", "sigmoid", "softmax"):        # blocks, which are loaded when first asked for
    setattr(Tensor, _name, lambda self, *, _name=_name, **settings: names.find(
        "tinynet", names.FUNCTIONS, _name)(self, **{PYTORCH.get(k, k): v for k, v in settings.items()}))
