"""For every op a few tiny inputs: tests, the checker's rates, exercises and lessons draw from here.

A case is a function of a random generator and of axis letters; `draw` gives each letter a size.

    >>> import numpy as np
    >>> from tinynet import cases
    >>> op, arrays, settings = cases.draw(cases.of("linear")[0], np.random.default_rng(0), N=3, D=4, C=2)
    >>> [a.shape for a in arrays]
    [(3, 4), (2, 4), (2,)]
"""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinynet import ops
from tinynet.blocks import activations as _act
from tinynet.blocks import additive_attention as _additive
from tinynet.blocks import apl as _apl
from tinynet.blocks import attention as _attention
from tinynet.blocks import binary_cross_entropy as _binary_cross_entropy
from tinynet.blocks import cross_entropy as _cross_entropy
from tinynet.blocks import cross_stitch as _cross_stitch
from tinynet.blocks import dropout as _dropout
from tinynet.blocks import dropout_matmul as _dropout_matmul
from tinynet.blocks import graph_attention as _graph_attention
from tinynet.blocks import layer_norm as _layer_norm
from tinynet.blocks import linear as _linear
from tinynet.blocks import lp_unit as _lp
from tinynet.blocks import lstm as _lstm
from tinynet.blocks import maxout as _maxout
from tinynet.blocks import mean_squared_error as _mean_squared_error
from tinynet.blocks import residual as _residual
from tinynet.blocks import softmax as _softmax
from tinynet.blocks import sparse_matmul as _sparse_matmul
from tinynet.engine import Op
from tinynet.graph import Graph, SparseRows


class Case(NamedTuple):
    """One way to call an op.

    letters   its axis letters
    never_empty  the letters that can't be 0, because the mathematics needs at least one entry
    """

    name: str
    op: Op
    make: Callable
    letters: tuple
    never_empty: tuple


CASES = {}


def case(op, never_empty=""):
    """Register make(rng, *letters) -> arrays or (arrays, settings) as a case of `op`."""
    def register(make):
        letters = tuple(inspect.signature(make).parameters)[1:]
        CASES[make.__name__] = Case(make.__name__, op, make, letters, tuple(never_empty.split()))
        return make
    return register


def of(op_name):
    """The cases of the op with this name; raises KeyError when there is none."""
    found = [c for c in CASES.values() if c.op.name == op_name]
    if not found:
        raise KeyError(f"no op named {op_name!r}; the ops are {', '.join(op_names())}")
    return found


def op_names():
    return sorted({c.op.name for c in CASES.values()})


def draw(case, rng, **given):
    """(op, arrays, settings) in float64 with random sizes of 1 to 4, except the `given` ones."""
    sizes = {letter: given.get(letter, int(rng.integers(1, 5))) for letter in case.letters}
    made = case.make(rng, **sizes)
    arrays, settings = made if isinstance(made[-1], dict) else (made, {})
    return case.op, tuple(arrays), settings


def normal(rng, size):
    return np.asarray(rng.normal(size=size))


def positive(rng, size):
    return np.asarray(rng.uniform(0.5, 2, size))


def plain(name, op, shapes, draw=normal, never_empty="", **settings):
    """Register a case whose arrays are `draw(rng, size=...)`; shapes "N D, D 1" in letters and numbers."""
    axes = [part.split() for part in shapes.split(",")]
    letters = tuple(dict.fromkeys(a for array in axes for a in array if not a.isdigit()))

    def make(rng, **sizes):
        return [draw(rng, size=[int(sizes.get(a, a)) for a in array]) for array in axes], settings
    CASES[name] = Case(name, op, make, letters, tuple(never_empty.split()))


# %% Elementary ops
for _op in (ops.add, ops.subtract, ops.multiply, ops.divide, ops.maximum, ops.minimum):
    for _name, _shapes in dict(same="B N D", right="N D, D", left="D, B N D", outer="N 1, 1 D", inner="N 1 D, B 1 1 D",
                               number=", N D", numbers=",").items():
        _shapes = f"{_shapes}, {_shapes}" if _name == "same" else _shapes
        plain(f"{_op.name}_{_name}", _op, _shapes, positive if _op is ops.divide else normal)


@case(ops.divide)
def divide_signs(rng, N, D):
    return rng.normal(size=(N, D)), positive(rng, D) * rng.choice([-1, 1], D)


@case(ops.where)
def where(rng, N, D):
    return rng.random((N, D)) < 0.5, rng.normal(size=(N, D)), rng.normal(size=(N, D))


@case(ops.where)
def where_rows(rng, B, N, D):
    return rng.random((N, 1)) < 0.5, rng.normal(size=(B, 1, D)), rng.normal(size=D)


@case(ops.where)
def where_mask_is_largest(rng, B, N, D):
    return rng.random((B, N, D)) < 0.5, rng.normal(size=(N, 1)), rng.normal(size=())


for _op in (ops.negative, ops.exp, ops.log, ops.sqrt, ops.absolute):
    _draw = positive if _op in (ops.log, ops.sqrt) else normal
    plain(_op.name, _op, "B N D", _draw)
    plain(f"{_op.name}_number", _op, "", _draw)
for _exponent in (-1.5, -1, 0, 0.5, 1):
    plain(f"power_{_exponent}", ops.power, "N D", positive, exponent=_exponent)
for _exponent in (2, 3):
    plain(f"power_{_exponent}", ops.power, "N D", exponent=_exponent)

for _name, _shapes in dict(matrices="N D, D C", batch="B N D, B D C", shared_right="B N D, D C",
                           shared_left="N D, B D C", broadcast="B 1 N D, H D C", one="1 N D, B D C", vectors="D, D",
                           row="D, D C", column="N D, D", row_batch="D, B D C", column_batch="B N D, D").items():
    plain(f"matmul_{_name}", ops.matmul, _shapes)

for _op, _all in ((ops.sum, ""), (ops.mean, "B N D"), (ops.max, "B N D")):
    for _name, _axis, _over in (("all", None, _all), ("first", 0, "B"), ("last", -1, "D"), ("two", (0, -1), "B D"),
                                ("three", (-2, 0, 2), "B N D"), ("no_axis", (), "")):
        _over = _over if _all else ""
        plain(f"{_op.name}_{_name}", _op, "B N D", never_empty=_over, axis=_axis)
        plain(f"{_op.name}_{_name}_kept", _op, "B N D", never_empty=_over, axis=_axis, keepdims=True)
    plain(f"{_op.name}_number", _op, "")

plain("reshape_flat", ops.reshape, "B N", shape=-1)
plain("reshape_number", ops.reshape, "1 1", shape=())
plain("transpose", ops.transpose, "B N D")
plain("transpose_axes", ops.transpose, "B N D", axes=(2, 0, 1))
plain("transpose_negative_axes", ops.transpose, "B N D", axes=(-1, 0, -2))
plain("transpose_number", ops.transpose, "")


@case(ops.reshape)
def reshape_split(rng, N, H, D):
    return [rng.normal(size=(N, H * D))], dict(shape=(N, H, D))


@case(ops.broadcast_to)
def broadcast_to_new_axis(rng, B, N, D):
    return [rng.normal(size=(N, 1))], dict(shape=(B, N, D))


@case(ops.broadcast_to)
def broadcast_to_from_number(rng, N, D):
    return [rng.normal(size=())], dict(shape=(N, D))


@case(ops.broadcast_to)
def broadcast_to_itself(rng, N, D):
    return [rng.normal(size=(N, D))], dict(shape=(N, D))


for _name, _index in dict(slice=slice(1, None), backwards=slice(None, None, -2), columns=(slice(None), slice(0, 2)),
                          new_axis=(None, ..., slice(None), None), nothing=slice(0, 0), everything=()).items():
    plain(f"getitem_{_name}", ops.getitem, "N D", index=_index)
plain("getitem_row", ops.getitem, "N D", index=-1, never_empty="N")
plain("getitem_entry", ops.getitem, "N D", index=(0, -1), never_empty="N D")
plain("getitem_repeated", ops.getitem, "3", index=np.array([0, 1, 0]))
plain("getitem_list", ops.getitem, "3 D", index=[2, 0, 2])
plain("getitem_pairs", ops.getitem, "3 2 D", index=(np.array([0, 2, 0]), np.array([1, 0, 1])))
plain("getitem_outer", ops.getitem, "3 N 2", index=(np.array([[0], [2]]), slice(None), np.array([1, 1, 0])))


@case(ops.getitem)
def getitem_boolean(rng, N, D):
    return [rng.normal(size=(N, D))], dict(index=rng.random((N, D)) < 0.5)


@case(ops.getitem)
def getitem_boolean_rows(rng, N, D):
    return [rng.normal(size=(N, D))], dict(index=(rng.random(N) < 0.5, slice(None, None, 2)))


plain("concatenate", ops.concatenate, "N D, M D, 1 D", axis=0)
plain("concatenate_last", ops.concatenate, "B N, B M", axis=-1)
plain("concatenate_one", ops.concatenate, "N D", axis=1)
plain("stack", ops.stack, "N D, N D, N D", axis=0)
plain("stack_last", ops.stack, "N D, N D", axis=-1)
plain("stack_numbers", ops.stack, ",", axis=0)


# %% Blocks
@case(_linear.linear)
def linear(rng, N, D, C):
    return rng.normal(size=(N, D)), rng.normal(size=(C, D)), rng.normal(size=C)


@case(_linear.linear)
def linear_without_bias(rng, B, N, D, C):
    return rng.normal(size=(B, N, D)), rng.normal(size=(C, D))


plain("linear_batch", _linear.linear, "B N D, C D, C")
plain("linear_vector", _linear.linear, "D, C D, C")


@case(_cross_stitch.cross_stitch)
def cross_stitch(rng, T, N, C):
    return rng.normal(size=(T, N, C)), rng.normal(size=(T, T))


@case(_cross_stitch.cross_stitch)
def cross_stitch_channels(rng, T, N, C, H, W):
    return rng.normal(size=(T, N, C, H, W)), rng.normal(size=(C, T, T))


plain("cross_stitch_channels_only", _cross_stitch.cross_stitch, "T N C, C T T")
plain("cross_stitch_images_one_alpha", _cross_stitch.cross_stitch, "T N C H W, T T")
plain("apl", _apl.apl, "N D, S D, S D")
plain("apl_vector", _apl.apl, "D, S D, S D")
plain("apl_batch", _apl.apl, "B N D, S D, S D")

plain("residual", _residual.residual, "N D, H D, D H, H")
plain("residual_without_bias", _residual.residual, "B N D, H D, D H")
plain("residual_vector", _residual.residual, "D, H D, D H, H", activation="tanh")
plain("residual_sigmoid", _residual.residual, "N D, H D, D H, H", activation="sigmoid")
plain("residual_tanh", _residual.residual, "N D, H D, D H, H", activation="tanh")
plain("residual_stack", _residual.residual_stack, "N D, L H D, L D H, L H", activation="tanh")
plain("residual_stack_relu", _residual.residual_stack, "N D, L H D, L D H, L H")
plain("residual_stack_without_bias", _residual.residual_stack, "N D, L H D, L D H", activation="sigmoid")


# %% Blocks: attention
plain("attention", _attention.attention, "M D, N D, N E")
plain("attention_batch_heads", _attention.attention, "B H M D, B H N D, B H N E", scale=0.7)
plain("attention_causal", _attention.attention, "B M D, B N D, B N E", causal=True)


@case(_attention.attention)
def attention_mask(rng, B, M, N, D, E):
    Q, K, V = rng.normal(size=(B, M, D)), rng.normal(size=(B, N, D)), rng.normal(size=(B, N, E))
    return Q, K, V, rng.random((B, M, N)) < 0.6


@case(_attention.attention)
def attention_padding_causal(rng, B, H, N, D):
    Q, K, V = rng.normal(size=(3, B, H, N, D))
    return (Q, K, V, rng.random((B, 1, 1, N)) < 0.6), dict(causal=True)


@case(_attention.attention)
def attention_row_without_keys(rng, M, N, D, E):
    may_attend = np.broadcast_to(np.arange(M)[:, None] > 0, (M, N))     # query 0 has nothing
    return rng.normal(size=(M, D)), rng.normal(size=(N, D)), rng.normal(size=(N, E)), may_attend


plain("additive_attention", _additive.additive_attention, "M P, N Q, A P, A Q, A")
plain("additive_attention_batch", _additive.additive_attention, "B M P, B N Q, A P, A Q, A")


@case(_additive.additive_attention)
def additive_attention_mask(rng, B, M, N, P, Q, A):
    s, h = rng.normal(size=(B, M, P)), rng.normal(size=(B, N, Q))
    W, U, v = rng.normal(size=(A, P)), rng.normal(size=(A, Q)), rng.normal(size=A)
    return s, h, W, U, v, rng.random((B, M, N)) < 0.6


@case(_additive.additive_attention)
def additive_attention_row_without_keys(rng, M, N, P, Q, A):
    may_attend = np.broadcast_to(np.arange(M)[:, None] > 0, (M, N))     # state 0 has nothing
    s, h = rng.normal(size=(M, P)), rng.normal(size=(N, Q))
    return s, h, rng.normal(size=(A, P)), rng.normal(size=(A, Q)), rng.normal(size=A), may_attend


# %% Blocks: recurrent
@case(_lstm.lstm)
def lstm(rng, T, B, D, H):
    return rng.normal(size=(T, B, D)), rng.normal(size=(D, 4 * H)), rng.normal(size=(H, 4 * H)), rng.normal(size=4 * H)


# %% Blocks: activation functions, pooling units, dropout
for _op in (_act.sigmoid, _act.tanh, _act.relu, _act.leaky_relu, _act.elu, _act.gelu):
    plain(_op.name, _op, "N D")
    plain(f"{_op.name}_number", _op, "")
plain("leaky_relu_slope", _act.leaky_relu, "B N D", slope=0.2)
plain("leaky_relu_slope_0", _act.leaky_relu, "N D", slope=0)
plain("elu_alpha", _act.elu, "B N D", alpha=0.5)

plain("maxout", _maxout.maxout, "N D, C K D, C K", never_empty="K")
plain("maxout_without_bias", _maxout.maxout, "B N D, C K D", never_empty="K")
plain("maxout_vector", _maxout.maxout, "D, C K D, C K", never_empty="K")

plain("lp_unit", _lp.lp_unit, "N C K, C K, C", never_empty="K")
plain("lp_unit_batch", _lp.lp_unit, "B N C K, C K, C", never_empty="K")
plain("lp_unit_vector", _lp.lp_unit, "C K, C K, C", never_empty="K")


@case(_dropout.dropout)
def dropout(rng, N, D):
    return [rng.normal(size=(N, D)), rng.random((N, D)) < 0.7], dict(p=0.3)


@case(_dropout.dropout)
def dropout_rows(rng, B, N, D):
    return [rng.normal(size=(B, N, D)), rng.random((N, 1)) < 0.5], dict(p=0.5)


@case(_dropout.dropout)
def dropout_none(rng, N, D):
    return [rng.normal(size=(N, D)), np.ones((N, D), bool)], dict(p=0)


# %% Blocks: softmax, losses, layer norm
plain("softmax", _softmax.softmax, "N C", never_empty="C")
plain("softmax_batch", _softmax.softmax, "B N C", never_empty="C")
plain("softmax_first_axis", _softmax.softmax, "C N D", never_empty="C", axis=0)
plain("log_sum_exp", _softmax.log_sum_exp, "N C", never_empty="C")
plain("log_sum_exp_vector", _softmax.log_sum_exp, "C", never_empty="C")
plain("log_sum_exp_middle_axis", _softmax.log_sum_exp, "N C D", never_empty="C", axis=1)


@case(_cross_entropy.cross_entropy, never_empty="C")
def cross_entropy(rng, N, C):
    return rng.normal(size=(N, C)), rng.integers(0, max(C, 1), N)


@case(_cross_entropy.cross_entropy, never_empty="C")
def cross_entropy_sequence_ignored(rng, B, T, C):
    return rng.normal(size=(B, T, C)), rng.integers(-1, C, (B, T))


@case(_cross_entropy.cross_entropy, never_empty="C")
def cross_entropy_ignored_class(rng, N, C):
    return (rng.normal(size=(N, C)), rng.integers(0, max(C, 1), N)), dict(ignore=0)


@case(_binary_cross_entropy.binary_cross_entropy, never_empty="N C")
def binary_cross_entropy(rng, N, C):
    return rng.normal(size=(N, C)), rng.integers(0, 2, (N, C))


@case(_binary_cross_entropy.binary_cross_entropy, never_empty="N")
def binary_cross_entropy_soft(rng, N):
    return 3 * rng.normal(size=N), rng.integers(0, 5, N) / 4


@case(_mean_squared_error.mean_squared_error, never_empty="N D")
def mean_squared_error(rng, N, D):
    return rng.normal(size=(N, D)), rng.integers(-2, 3, (N, D))


@case(_mean_squared_error.mean_squared_error, never_empty="N D")
def mean_squared_error_of_two_outputs(rng, N, D):
    return rng.normal(size=(2, N, D))


@case(_layer_norm.layer_norm, never_empty="D")
def layer_norm(rng, N, D):
    x = np.arange(D) + 0.3 * rng.normal(size=(N, D))        # not all nearly equal: there the slope is steep
    return x, rng.normal(size=D), rng.normal(size=D)


plain("layer_norm_batch", _layer_norm.layer_norm, "B N D, D, D", never_empty="D", eps=0.1)
plain("layer_norm_vector", _layer_norm.layer_norm, "D, D, D", never_empty="D", eps=0.1)


# %% Blocks: attention over a graph
def _graph_and_scores(rng, N, M, F):
    """Node 0 has no neighbours, node i has all but i + 1; the scores of a node's neighbours differ in sign."""
    edges = [(i, j) for i in range(1, N) for j in range(N) if j != (i + 1) % N]
    sign = np.where(np.arange(N) % 2, -1, 1)[:, None]
    arrays = rng.normal(size=(N, M, F)), 0.3 * rng.normal(size=(N, M)), sign * rng.uniform(1, 2, (N, M))
    return Graph.from_edges(edges, N), arrays


@case(_graph_attention.half_scores)
def half_scores(rng, N, M, F):
    return rng.normal(size=(N, M, F)), rng.normal(size=(2, M, F)), rng.normal(size=(2, M))


@case(_graph_attention.graph_attention)
def graph_attention(rng, N, M, F):
    graph, arrays = _graph_and_scores(rng, N, M, F)
    return arrays, dict(graph=graph)


@case(_graph_attention.graph_attention)
def graph_attention_apart(rng, N, M, F):
    """Pairs that nothing joins, the last node alone; every other pair with scores of 1e4 and -1e4, each edge twice."""
    edges = [(i, j) for i in range(N) for j in range(N) if i // 2 == j // 2]
    sign, large = np.where(np.arange(N) % 2, -1, 1), np.where(np.arange(N) // 2 % 2, 1e4, 1)
    r = (sign * large)[:, None] * np.ones((N, M))
    return (rng.normal(size=(N, M, F)), 0.3 * rng.normal(size=(N, M)), r), dict(graph=Graph.from_edges(edges * 2, N))


@case(_graph_attention.graph_attention)
def graph_attention_dropout(rng, N, M, F):
    graph, arrays = _graph_and_scores(rng, N, M, F)
    return (*arrays, rng.random((len(graph.indices), M)) < 0.6), dict(graph=graph, slope=0.1, p=0.4)


def _sparse(rng, N, D):
    """Every other number is 0, and so is all of the first row."""
    some = ((np.arange(N)[:, None] + np.arange(D)) % 2) * (np.arange(N) > 0)[:, None]
    return SparseRows.from_dense(rng.normal(size=(N, D)) * some)


@case(_sparse_matmul.sparse_matmul)
def sparse_matmul(rng, N, D, M, F):
    return [rng.normal(size=(D, M, F))], dict(x=_sparse(rng, N, D))


@case(_sparse_matmul.sparse_matmul)
def sparse_matmul_dropout(rng, N, D, M, F):
    x = _sparse(rng, N, D)
    return [rng.normal(size=(D, M, F)), rng.random((len(x.values), M)) < 0.6], dict(x=x, p=0.4)


@case(_dropout_matmul.dropout_matmul)
def dropout_matmul(rng, N, D, M, F):
    return [rng.normal(size=(N, D)), rng.normal(size=(D, M, F)), rng.random((M, N, D)) < 0.6], dict(p=0.4)
