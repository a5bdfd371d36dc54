"""What ONNX calls our ops: for each op a function that adds its nodes to the Graph that onnx.py writes to a file.

    KNOWN[op](graph, *inputs, **settings) -> the name of the result
"""

import string

import numpy as np

from tinynet import ops
from tinynet.blocks.images.batch_norm import batch_norm
from tinynet.blocks.images.conv import conv
from tinynet.blocks.images.conv_residual import conv_residual
from tinynet.blocks.images.group_norm import group_norm
from tinynet.blocks.images.pool import average_pool, global_average, max_pool
from tinynet.blocks.sequences.attention import attention
from tinynet.blocks.sequences.embedding import embedding
from tinynet.blocks.sequences.gru import gru
from tinynet.blocks.sequences.lstm import lstm
from tinynet.blocks.sequences.rnn import rnn
from tinynet.blocks.tasks.cross_stitch import cross_stitch
from tinynet.blocks.units.activations import elu, gelu, leaky_relu, relu, sigmoid, tanh
from tinynet.blocks.units.apl import apl
from tinynet.blocks.units.layer_norm import layer_norm
from tinynet.blocks.units.linear import linear
from tinynet.blocks.units.maxout import maxout
from tinynet.blocks.units.residual import residual, residual_stack
from tinynet.blocks.units.softmax import log_sum_exp, softmax
from tinynet.engine import Tensor

KNOWN = {}          # {op: what writes it}


class NotInONNX(ValueError):
    """The net does what ONNX, or this bridge, has no word for."""


def array_of(a):
    return a.data if isinstance(a, Tensor) else np.asarray(a)


class Graph:
    """The nodes and constants so far; `known` has the names of arrays by their ids."""

    def __init__(self, net, helper):
        self.helper, self.nodes, self.constants, self.known = helper, [], {}, {}
        self.weights = {id(p.data): name for name, p in net.named_parameters()}
        self.kept = []                      # an array that is gone would leave its id to another

    def node(self, kind, *inputs, output="", **attributes):
        """Add a node; returns the name of its result."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def name(self, a):
        """The name of what an op made, or of a constant with these numbers."""
        array = array_of(a)
        if id(array) not in self.known:
            self.kept.append(array)
            self.known[id(array)] = self.constant(array, self.weights.get(id(array)))
        return self.known[id(array)]

    def constant(self, array, name=None):
        from onnx import numpy_helper

        name = name or f"constant_{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(np.shape(array)), name)
        return name

    def whole(self, *numbers):
        """A constant of whole numbers: shapes, axes."""
        return self.constant(np.array(numbers, np.int64))


def known(op):
    """Register write(graph, *inputs, **settings) -> name for this op."""
    def register(write):
        KNOWN[op] = write
        return write
    return register


for _kind, _op in dict(Relu=relu, Sigmoid=sigmoid, Tanh=tanh, Gelu=gelu, Add=ops.add, Sub=ops.subtract,
                       Mul=ops.multiply, Div=ops.divide, Max=ops.maximum, Min=ops.minimum, Neg=ops.negative,
                       Exp=ops.exp, Log=ops.log, Sqrt=ops.sqrt, Abs=ops.absolute, MatMul=ops.matmul, Where=ops.where,
                       Softplus=ops.softplus).items():
    known(_op)(lambda graph, *inputs, kind=_kind: graph.node(kind, *map(graph.name, inputs)))


@known(linear)
def _linear(graph, x, W, b=None):
    if array_of(x).ndim == 2:
        return graph.node("Gemm", *(graph.name(a) for a in (x, W, b) if a is not None), transB=1)
    return _plus(graph, graph.node("MatMul", graph.name(x), graph.node("Transpose", graph.name(W), perm=[1, 0])), b)


def _plus(graph, name, b):
    return name if b is None else graph.node("Add", name, graph.name(b))


@known(leaky_relu)
def _leaky_relu(graph, x, slope=0.01):
    return graph.node("Max", graph.name(x), graph.node("Mul", graph.name(x), graph.constant(_like(x, slope))))


def _like(x, numbers):
    return np.array(numbers, array_of(x).dtype)


@known(elu)
def _elu(graph, x, alpha=1.0):
    return graph.node("Elu", graph.name(x), alpha=float(alpha))


@known(softmax)
def _softmax(graph, x, axis=-1):
    return graph.node("Softmax", graph.name(x), axis=axis)


@known(log_sum_exp)
def _log_sum_exp(graph, x, axis=-1):
    return graph.node("ReduceLogSumExp", graph.name(x), graph.whole(axis), keepdims=0)


@known(ops.power)
def _power(graph, x, exponent=2):
    return graph.node("Pow", graph.name(x), graph.constant(_like(x, exponent)))


def _reduction(kind):
    def write(graph, x, axis=None, keepdims=False):
        axes = range(array_of(x).ndim) if axis is None else np.atleast_1d(axis)
        return graph.node(kind, graph.name(x), graph.whole(*axes), keepdims=int(keepdims))
    return write


for _op, _kind in ((ops.sum, "ReduceSum"), (ops.mean, "ReduceMean"), (ops.max, "ReduceMax"), (ops.min, "ReduceMin")):
    known(_op)(_reduction(_kind))


# %% Moves
@known(ops.reshape)
def _reshape(graph, x, shape=()):
    """0 takes the length of the example's first axis from what comes in, so that a batch may have any."""
    shape = list(array_of(x).reshape(shape).shape)
    if shape and shape[0] == array_of(x).shape[0]:
        shape[0] = 0
    return graph.node("Reshape", graph.name(x), graph.whole(*shape))


@known(ops.transpose)
def _transpose(graph, x, axes=None):
    order = axes if axes is not None else range(array_of(x).ndim)[::-1]
    return graph.node("Transpose", graph.name(x), perm=[int(a) % array_of(x).ndim for a in order])


@known(ops.concatenate)
def _concatenate(graph, *arrays, axis=0):
    return graph.node("Concat", *map(graph.name, arrays), axis=axis)


@known(ops.stack)
def _stack(graph, *arrays, axis=0):
    rows = [graph.node("Unsqueeze", graph.name(a), graph.whole(axis)) for a in arrays]
    return graph.node("Concat", *rows, axis=axis)


@known(ops.getitem)
def _getitem(graph, x, index=()):
    parts = index if isinstance(index, tuple) else (index,)
    if Ellipsis in [p for p in parts if not isinstance(p, np.ndarray)]:
        i = parts.index(Ellipsis)
        parts = (*parts[:i], *[slice(None)] * (array_of(x).ndim - len(parts) + 1), *parts[i + 1:])
    name, gone = graph.name(x), []
    for axis, part in enumerate(parts):
        if isinstance(part, int | np.integer):
            last = int(part) + 1 or np.iinfo(np.int64).max
            gone.append(axis)
        elif isinstance(part, slice) and part.step in (None, 1):
            last = np.iinfo(np.int64).max if part.stop is None else part.stop
            if part == slice(None):
                continue
            part = part.start or 0
        else:
            raise NotInONNX(f"onnx.save: x[{part!r}] has no counterpart; take slices and single numbers")
        name = graph.node("Slice", name, *(graph.whole(n) for n in (int(part), int(last), axis)))
    return graph.node("Squeeze", name, graph.whole(*gone)) if gone else graph.node("Identity", name)


@known(ops.einsum)
def _einsum(graph, *arrays, subscripts=""):
    return graph.node("Einsum", *map(graph.name, arrays), equation=subscripts)


# %% Units and tasks
@known(apl)
def _apl(graph, x, a, b):
    wide = graph.node("Unsqueeze", graph.name(x), graph.whole(-2))
    hinges = graph.node("Relu", graph.node("Sub", graph.name(b), wide))
    added = graph.node("ReduceSum", graph.node("Mul", graph.name(a), hinges), graph.whole(-2), keepdims=0)
    return graph.node("Add", graph.node("Relu", graph.name(x)), added)


@known(maxout)
def _maxout(graph, x, W, b=None):
    C, K, D = array_of(W).shape
    rows = graph.node("Transpose", graph.node("Reshape", graph.name(W), graph.whole(C * K, D)), perm=[1, 0])
    z = graph.node("MatMul", graph.name(x), rows)
    z = _plus(graph, graph.node("Reshape", z, graph.whole(*[0] * (array_of(x).ndim - 1), C, K)), b)
    return graph.node("ReduceMax", z, graph.whole(-1), keepdims=0)


@known(residual)
def _residual(graph, x, W1, W2, b1=None, activation="relu"):
    weights = [graph.node("Transpose", graph.name(W), perm=[1, 0]) for W in (W1, W2)]
    return _block(graph, graph.name(x), *weights, None if b1 is None else graph.name(b1), activation)


def _block(graph, x, W1, W2, b1, activation):
    z = graph.node("MatMul", x, W1)
    h = graph.node(activation.capitalize(), z if b1 is None else graph.node("Add", z, b1))
    return graph.node("Add", x, graph.node("MatMul", h, W2))


@known(residual_stack)
def _residual_stack(graph, x, W1, W2, b1=None, activation="relu"):
    name = graph.name(x)
    for l in range(len(array_of(W1))):
        W, V, b = (a if a is None else graph.node("Gather", graph.name(a), graph.constant(np.array(l)), axis=0)
                   for a in (W1, W2, b1))
        name = _block(graph, name, *(graph.node("Transpose", w, perm=[1, 0]) for w in (W, V)), b, activation)
    return name


@known(cross_stitch)
def _cross_stitch(graph, X, A):
    rest = "".join(c for c in string.ascii_lowercase if c not in "cijn")[:array_of(X).ndim - 3]
    mixture = "ij" if array_of(A).ndim == 2 else "cij"
    return graph.node("Einsum", graph.name(A), graph.name(X), equation=f"{mixture},jnc{rest}->inc{rest}")


@known(layer_norm)
def _layer_norm(graph, x, gain, bias, eps=1e-5):
    return graph.node("LayerNormalization", *map(graph.name, (x, gain, bias)), axis=-1, epsilon=float(eps))


# %% Images
def _pair(n):
    return [int(i) for i in np.broadcast_to(n, 2)]


@known(conv)
def _conv(graph, X, W, b=None, stride=1, padding=0, dilation=1, groups=1, **_):
    inputs = [graph.name(a) for a in (X, W, b) if a is not None]
    return graph.node("Conv", *inputs, strides=_pair(stride), pads=2 * _pair(padding), dilations=_pair(dilation),
                      group=int(groups))


@known(max_pool)
def _max_pool(graph, X, size=2, stride=None, padding=0, kind="MaxPool", **more):
    return graph.node(kind, graph.name(X), kernel_shape=_pair(size), strides=_pair(size if stride is None else stride),
                      pads=2 * _pair(padding), **more)


@known(average_pool)
def _average_pool(graph, X, **settings):
    return _max_pool(graph, X, kind="AveragePool", count_include_pad=1, **settings)


@known(global_average)
def _global_average(graph, X):
    return graph.node("ReduceMean", graph.name(X), graph.whole(2, 3), keepdims=0)


@known(batch_norm)
def _batch_norm(graph, X, gain, bias, skip=None, relu=False, **settings):
    return _normed(graph, graph.name(X), gain, bias, None if skip is None else graph.name(skip), relu, **settings)


def _normed(graph, X, gain, bias, skip=None, relu=False, eps=1e-5, fixed=None, observe=None):
    if fixed is None:
        raise NotInONNX("onnx.save: a batch norm that takes the batch's own mean has no counterpart; fix the mean")
    y = graph.node("BatchNormalization", X, *map(graph.name, (gain, bias, *fixed)), epsilon=float(eps))
    y = y if skip is None else graph.node("Add", y, skip)
    return graph.node("Relu", y) if relu else y


@known(conv_residual)
def _conv_residual(graph, X, *weights, stride=1, projected=False, preactivated=False, settings=None):
    """Its convolutions and norms one by one, in the order of its forward."""
    layers = [weights[i:i + 3] for i in range(0, len(weights), 3)]
    settings = [{}] * len(layers) if settings is None else settings
    projection = layers.pop() if projected else None
    skip = _shortcut(graph, X, len(array_of(layers[-1][0])), stride, projection, settings[-1])
    y = graph.name(X)
    for i, (W, gain, bias) in enumerate(layers):
        u, edge = _pair(stride if i == len(layers) - 2 else 1), _pair(array_of(W).shape[2] // 2)
        if preactivated:
            y = _normed(graph, y, gain, bias, relu=True, **settings[i])
        y = graph.node("Conv", y, graph.name(W), strides=u, pads=2 * edge)
        if not preactivated:
            y = _normed(graph, y, gain, bias, skip if i == len(layers) - 1 else None, relu=True, **settings[i])
    return graph.node("Add", y, skip) if preactivated else y


def _shortcut(graph, X, channels, stride, projection, settings):
    if projection is not None:
        W, gain, bias = projection
        return _normed(graph, graph.node("Conv", graph.name(X), graph.name(W), strides=_pair(stride)), gain, bias,
                       **settings)
    (_, C, H, W), name = array_of(X).shape, graph.name(X)
    if channels == C and stride == 1:
        return name
    steps = graph.whole(0, 0), graph.whole(H, W), graph.whole(2, 3), graph.whole(stride, stride)
    seen = graph.node("Slice", name, *steps)
    before = (channels - C) // 2
    return graph.node("Pad", seen, graph.whole(0, before, 0, 0, 0, channels - C - before, 0, 0))


@known(group_norm)
def _group_norm(graph, X, gain, bias, groups=1, eps=1e-5):
    return graph.node("GroupNormalization", *map(graph.name, (X, gain, bias)), num_groups=groups, epsilon=float(eps))


# %% Sequences
@known(embedding)
def _embedding(graph, E, t, padding=None):
    return graph.node("Gather", graph.name(E), graph.name(t), axis=0)


@known(attention)
def _attention(graph, Q, K, V, mask=None, keep=None, causal=False, scale=None, p=0.0):
    M, N, ndim = array_of(Q).shape[-2], array_of(K).shape[-2], array_of(K).ndim
    if mask is not None or keep is not None:
        raise NotInONNX("onnx.save: attention with a mask of its own has no counterpart here, because a row that may "
                        "attend to nothing is 0 with us; causal=True has one")
    scale = 1 / max(array_of(Q).shape[-1], 1) ** 0.5 if scale is None else scale
    turned = graph.node("Transpose", graph.name(K), perm=[*range(ndim - 2), ndim - 1, ndim - 2])
    S = graph.node("Mul", graph.node("MatMul", graph.name(Q), turned), graph.constant(_like(Q, scale)))
    if causal:
        S = graph.node("Add", S, graph.constant(_like(Q, np.where(np.tri(M, N, dtype=bool), 0, -np.inf))))
    return graph.node("MatMul", graph.node("Softmax", S, axis=-1), graph.name(V))


def _recurrent(graph, kind, x, W, U, b, second, starts, mask, order, **attributes):
    """ONNX's recurrent layer, one direction; `order` says where ONNX has our gates.  Returns (B, T, H)."""
    if mask is not None or any(start is not None for start in starts):
        raise NotInONNX(f"onnx.save: {kind} with a mask or a first state has no counterpart here; leave them out")
    W, U, first, second = (np.concatenate([np.split(array_of(a), len(order), axis=-1)[i] for i in order], axis=-1)
                           for a in (W, U, b, second))
    turned = graph.node("Transpose", graph.name(x), perm=[1, 0, 2])
    both = np.concatenate([first, second])[None]
    inputs = [graph.constant(a) for a in (W.T[None], U.T[None], both)]
    y = graph.node(kind, turned, *inputs, hidden_size=len(U), **attributes)         # (T, 1, B, H)
    return graph.node("Transpose", graph.node("Squeeze", y, graph.whole(1)), perm=[1, 0, 2])


@known(rnn)
def _rnn(graph, x, W, U, b, h0=None, mask=None):
    return _recurrent(graph, "RNN", x, W, U, b, np.zeros_like(array_of(b)), [h0], mask, [0])


@known(gru)
def _gru(graph, x, W, U, b, c=None, h0=None, mask=None, reset="after"):
    second = np.zeros_like(array_of(b))
    if c is not None:
        second[-len(array_of(c)):] = array_of(c)
    after = int(reset == "after")
    return _recurrent(graph, "GRU", x, W, U, b, second, [h0], mask, [1, 0, 2], linear_before_reset=after)


@known(lstm)
def _lstm(graph, x, W, U, b, h0=None, c0=None, mask=None):
    """What the op returns has h and c stacked; ONNX tells c of the last step alone, so only h can be taken."""
    h = _recurrent(graph, "LSTM", x, W, U, b, np.zeros_like(array_of(b)), [h0, c0], mask, [0, 3, 1, 2])
    return graph.node("Unsqueeze", h, graph.whole(0))
