"""What is checked, made uniform: a pair on arrays, an op, a function of tensors, or a module."""

import copy
import inspect
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from tinynet.engine import Op, Tensor, no_grad
from tinynet.nn import Module


class Pair(NamedTuple):
    """What is checked, made uniform: forward(*arrays) -> y, cache; backward; value(*arrays) -> y."""

    name: str
    names: list
    arrays: list
    forward: object
    backward: object
    value: object
    analytic: bool
    settings: dict
    most: int = 1000     # gradients it may return: more are of arrays left out


def pair_of(function, inputs, settings):
    if isinstance(function, Op):
        size = np.size(inputs[0].data if isinstance(inputs[0], Tensor) else inputs[0])
        forward, backward = function.pair(size)
    elif inputs and callable(inputs[0]):
        forward, backward, inputs = function, inputs[0], inputs[1:]
    else:
        return _pair_of_tensors(function, inputs, settings)
    arrays = [_in_float64(x) for x in inputs]

    random = any(isinstance(s, np.random.Generator) for s in settings.values())

    def run(*arrays):
        return forward(*arrays, **(copy.deepcopy(settings) if random else settings))    # a generator starts anew

    compiled = forward.__name__.endswith("_loops")              # complex numbers would compile them again
    return Pair(_plain(forward), _names(forward, arrays), arrays, run, backward,
                lambda *a: run(*a)[0], not compiled, settings, _room(forward))


def _pair_of_tensors(function, inputs, settings):
    """A function of tensors, or a module: then its parameters are inputs like the others."""
    parameters = dict(function.named_parameters()) if isinstance(function, Module) else {}
    count = len(inputs)

    def forward(*arrays):
        with _holding(parameters.values(), arrays[count:]):
            leaves = [Tensor(a, requires_grad=True) if floating(a) else a for a in arrays[:count]]
            y = function(*leaves, **settings)
            return y.data, (y, leaves, arrays)

    def backward(dy, cache):
        y, leaves, arrays = cache
        with _holding(parameters.values(), arrays[count:]):
            leaves = [*leaves, *parameters.values()]
            for leaf in leaves:
                if isinstance(leaf, Tensor):
                    leaf.zero_grad()
            y.backward(dy)
            return tuple((np.zeros(leaf.shape) if leaf.grad is None else leaf.grad)
                         if isinstance(leaf, Tensor) else None for leaf in leaves)

    def value(*arrays):
        with no_grad(), _holding(parameters.values(), arrays[count:]):
            return function(*(Tensor(a) if floating(a) else a for a in arrays[:count]), **settings).data

    named = function.forward if parameters else function
    names = _names(named, inputs) + list(parameters)
    arrays = [_in_float64(x) for x in (*inputs, *parameters.values())]
    name = type(function).__name__ if isinstance(function, Module) else _plain(function)
    return Pair(name, names, arrays, forward, backward, value, False, settings)


@contextmanager
def _holding(parameters, arrays):
    """Inside, the parameters hold these arrays and no gradient."""
    before = [(p, p.data, p.grad) for p in parameters]
    for (p, _, _), array in zip(before, arrays, strict=True):
        p.data, p.grad = array, None
    try:
        yield
    finally:
        for p, data, grad in before:
            p.data, p.grad = data, grad


def floating(a):
    return a is not None and a.dtype.kind == "f"


def _in_float64(x):
    if x is None:
        return None
    array = np.asarray(x.data if isinstance(x, Tensor) else x)
    return array.astype(float) if array.dtype.kind == "f" else array.copy()


def _plain(function):
    name = getattr(function, "__name__", type(function).__name__)
    return name.removesuffix("_loops").removesuffix("_forward")


def _parameters(function):
    try:
        return inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()


def _room(function):
    """How many arrays the function takes at most."""
    kinds = [p.kind for p in _parameters(function)]
    return 1000 if not kinds or inspect.Parameter.VAR_POSITIONAL in kinds else len(kinds)


def _names(function, arrays):
    """The inputs' names as the function's author wrote them."""
    parameters = _parameters(function)
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "input")
    return (names + [f"{rest}[{i}]" for i in range(len(arrays) - len(names))])[:len(arrays)]
