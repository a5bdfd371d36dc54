"""A trained net as an ONNX file: its ops on one example are written down, and each becomes what ONNX calls it.

    save("net.onnx", net, x)            x: an example, a batch of any size
    onnxruntime.InferenceSession("net.onnx").run(None, {"x": other_x})

The first axis of x may have any length in the file, all others are those of the example.  The net is taken in
evaluation mode.  NotInONNX names an op that has no counterpart; those that have stand in onnx_ops.py.
"""

from contextlib import contextmanager

import numpy as np

from tinynet.backend import no_grad
from tinynet.bridges.onnx_ops import KNOWN, Graph, NotInONNX, array_of
from tinynet.engine import Op, Tensor
from tinynet.whole_file import whole_file

OPSET, IR = 21, 10


def save(path, net, x):
    """Write the net's file; x is an array of an example, in the dtype that the file is to take.

    Raises NotInONNX for an op, or a setting of one, that has no counterpart, and where the net takes numbers out of its
    tensors, because these would stay those of the example; ImportError without the package onnx.
    """
    try:
        from onnx import TensorProto, checker, helper
    except ImportError:
        raise ImportError('onnx.save: the package onnx is missing; install it with  pip install -e ".[onnx]"') from None
    x, graph = np.asarray(x), Graph(net, helper)
    (steps, y), other = recorded(net, x), _another(x)
    _must_be_the_same(steps, recorded(net, other)[0], x, other)
    graph.known[id(x)] = "x"
    for op, inputs, settings, out in _needed(steps, y):
        if op not in KNOWN:
            raise NotInONNX(f"onnx.save: the op {op.name} has no counterpart; known are "
                            f"{', '.join(sorted(o.name for o in KNOWN))}")
        graph.known[id(array_of(out))] = KNOWN[op](graph, *inputs, **settings)
    graph.node("Identity", graph.name(y), output="y")
    kinds = {np.dtype(kind): getattr(TensorProto, name) for kind, name in (
        ("f4", "FLOAT"), ("f8", "DOUBLE"), ("i8", "INT64"), ("i4", "INT32"), ("?", "BOOL"))}
    ends = [helper.make_tensor_value_info(name, kinds[array_of(a).dtype], ["N", *array_of(a).shape[1:]])
            for name, a in (("x", x), ("y", y))]
    made = helper.make_graph(graph.nodes, "tinynet", ends[:1], ends[1:], list(graph.constants.values()))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR,
                              producer_name="tinynet")
    checker.check_model(model, full_check=True)
    with whole_file(path) as file:
        file.write(model.SerializeToString())


# %% What a net does
def recorded(net, x):
    """([(op, inputs, settings, out)], y) of the net, in evaluation mode, on x."""
    modes = [(module, module.training) for _, module in net.named_modules()]
    try:
        with no_grad(), _watched() as steps:
            y = net.eval()(Tensor(x) if x.dtype.kind == "f" else x)
    finally:
        for module, mode in modes:
            module.training = mode
    if not isinstance(y, Tensor):
        raise NotInONNX(f"onnx.save: the net returns {type(y).__name__}; write a module that returns one tensor")
    return steps, y


@contextmanager
def _watched():
    """The calls of ops inside, as a list that grows."""
    steps, call = [], Op.__call__

    def watched(op, *inputs, **settings):
        out = call(op, *inputs, **settings)
        arrays = [np.asarray(x, out.dtype) if type(x) is float else x for x in inputs]
        steps.append((op, arrays, settings, out))
        return out
    Op.__call__ = watched
    try:
        yield steps
    finally:
        Op.__call__ = call


def _another(x):
    """Other numbers of the same kind and shape."""
    return x * x.dtype.type(0.5) + x.dtype.type(0.25) if x.dtype.kind == "f" else np.roll(x.ravel(), 1).reshape(x.shape)


def _needed(steps, y):
    """The steps that y comes from, in their order."""
    wanted, found = {id(array_of(y))}, []
    for step in reversed(steps):
        if id(array_of(step[3])) in wanted:
            wanted |= {id(array_of(a)) for a in step[1] if a is not None}
            found.append(step)
    return found[::-1]


def _must_be_the_same(steps, others, x, other):
    """Ops, and all arrays that no op made, must not depend on the example's numbers."""
    made = [{id(given), *(id(array_of(out)) for *_, out in run)} for given, run in ((x, steps), (other, others))]
    same = [(op, repr(settings)) for op, _, settings, _ in steps] == [
        (op, repr(settings)) for op, _, settings, _ in others]
    for (_, ours, *_), (_, theirs, *_) in zip(steps, others, strict=False) if same else ():
        for a, b in zip(ours, theirs, strict=True):
            known = id(array_of(a)) in made[0] and id(array_of(b)) in made[1]
            if not known and a is not None and not np.array_equal(array_of(a), array_of(b)):
                same = False
    if not same:
        raise NotInONNX("onnx.save: what the net does depends on the numbers it is given, because it takes them out "
                        "of a tensor; write it in ops alone")
