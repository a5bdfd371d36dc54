"""What is checked, made uniform: a pair on arrays, an op, a function of tensors, or a module.

Inputs may be dictionaries or lists of arrays, too: here they become one flat list of arrays, and the
gradients that backward returns in the same form become one flat list as well.
"""

import copy
import functools
import inspect
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from tinynet.backend import no_grad
from tinynet.engine import Op, Tensor
from tinynet.nn import Module


class Pair(NamedTuple):
    """What is checked, made uniform.

    names, arrays   every array that goes in; None where there is none
    forward         forward(*arrays) -> y, cache
    backward        backward(dy, cache) -> list of gradients, aligned with the arrays
    value           value(*arrays) -> y alone
    analytic        whether complex steps may be tried
    settings        what forward gets beside the arrays
    own             one of this framework's blocks: held to be right on arrays of every size
    most            gradients it may return: more are of arrays left out
    """

    name: str
    names: list
    arrays: list
    forward: object
    backward: object
    value: object
    analytic: bool
    settings: dict
    own: bool = False
    most: int = 1000


def pair_of(function, inputs, settings):
    if isinstance(function, Op):
        forward, backward = function.pair(*(x.data if isinstance(x, Tensor) else x for x in inputs))
    elif inputs and callable(inputs[0]):
        forward, backward, inputs = function, inputs[0], inputs[1:]
    else:
        return _pair_of_tensors(function, inputs, settings)
    form = _Form(_names(forward, inputs), inputs)
    random = any(isinstance(s, np.random.Generator) for s in (*inputs, *settings.values()))
    name = _plain(forward)

    def run(*arrays):
        given, kept = form.filled(arrays), settings
        if random:              # a generator starts anew
            given, kept = _anew(given), _anew(settings)
        return _two(forward(*given, **kept), name)

    compiled = getattr(forward, "__name__", "").endswith("_fast")       # complex numbers would compile them again
    own = (getattr(forward, "__module__", "") or "").startswith("tinynet.")
    return Pair(name, form.names, form.arrays, run, lambda dy, cache: form.gradients(backward(dy, cache)),
                lambda *a: run(*a)[0], not compiled, settings, own, _room(forward))


def _two(returned, name):
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"{name}: forward must return two things, y and the cache")
    y = np.asarray(returned[0])
    if y.dtype.kind not in "biufc":
        raise TypeError(f"{name}: y must be one array of numbers; it is {type(returned[0]).__name__}")
    return y.astype(float) if y.dtype.kind in "biu" else y, returned[1]


def _anew(settings):
    """The same, with a copy of each random generator."""
    def one(s):
        return copy.deepcopy(s) if isinstance(s, np.random.Generator) else s
    return {k: one(s) for k, s in settings.items()} if isinstance(settings, dict) else [one(s) for s in settings]


# %% Dictionaries and lists of arrays
class _Form:
    """The inputs as their author passes them, and the flat list of arrays in them."""

    def __init__(self, names, inputs):
        self.tops, self.inputs = names, inputs
        leaves = [leaf for name, x in zip(names, inputs, strict=True) for leaf in _leaves(name, x)]
        self.names = [name for name, _ in leaves]
        self.arrays = [_in_float64(x) for _, x in leaves]
        self.plain = not any(map(_is_nested, inputs)) and all(
            x is None or a is not None for (_, x), a in zip(leaves, self.arrays, strict=True))

    def filled(self, arrays):
        """The inputs with other arrays in the places of theirs."""
        if self.plain:
            return arrays
        rest = iter(arrays)
        return [_rebuilt(x, rest) for x in self.inputs]

    def gradients(self, returned):
        """Flat, aligned with self.arrays; further ones come at the end."""
        tops = self._tops(returned)
        if len(tops) < len(self.inputs):
            return [_array(g) for g in tops]
        flat = []
        for name, x, g in zip(self.tops, self.inputs, tops, strict=False):
            flat += _aligned(name, x, g)
        return flat + [_array(g) for g in tops[len(self.inputs):]]

    def _tops(self, returned):
        """One gradient for each input."""
        if isinstance(returned, dict) and not (len(self.inputs) == 1 and isinstance(self.inputs[0], dict)):
            return [returned.get(f"d{name}", returned.get(name)) for name in self.tops]
        x = self.inputs[0] if len(self.inputs) == 1 else None
        if _is_nested(x) and isinstance(returned, (tuple, list)):
            return list(returned) if len(returned) == 1 and _is_nested(returned[0]) else [returned]
        if isinstance(returned, list) and x is not None:
            return [returned] if _shape(returned) == np.shape(self.arrays[0]) else returned
        return list(returned) if isinstance(returned, (tuple, list)) else [returned]


def _is_nested(x):
    """A dictionary, or a list with arrays in it; a list of numbers is an array."""
    return isinstance(x, dict) or (isinstance(x, (list, tuple)) and any(
        isinstance(v, (dict, np.ndarray, Tensor)) or _is_nested(v) for v in x))


def _items(x):
    return x.items() if isinstance(x, dict) else enumerate(x)


def _shape(x):
    try:
        return np.shape(x)
    except ValueError:          # rows of different lengths
        return None


def _leaves(name, x):
    if not _is_nested(x):
        yield name, x
        return
    for key, v in _items(x):
        yield from _leaves(f"{name}[{key!r}]", v)


def _rebuilt(x, rest):
    if not _is_nested(x):
        array = next(rest)
        return x if array is None else array
    if isinstance(x, dict):
        return {key: _rebuilt(v, rest) for key, v in x.items()}
    return type(x)(_rebuilt(v, rest) for v in x) if type(x) in (list, tuple) else [_rebuilt(v, rest) for v in x]


def _aligned(name, x, g):
    """The gradients in g for the arrays in x; None where there is none."""
    if not _is_nested(x):
        return [_array(g, name)]
    flat = []
    for key, v in _items(x):
        if isinstance(g, dict):
            found = g.get(key, g.get(f"d{key}"))
        else:
            found = g[key] if isinstance(g, (list, tuple)) and isinstance(key, int) and key < len(g) else None
        flat += _aligned(f"{name}[{key!r}]", v, found)
    return flat


class NotAnArray(TypeError):
    """A gradient that isn't an array of numbers."""


def _array(g, name=""):
    if g is None:
        return None
    try:
        array = np.asarray(g)
    except ValueError:          # rows of different lengths
        array = None
    if array is None or array.dtype.kind not in "biufc":
        raise NotAnArray(f"what backward returns{f' for {name}' if name else ''} is no array of numbers: return one "
                         "gradient for each input, in the order of forward")
    return array


def floating(a):
    return a is not None and a.dtype.kind == "f"


def _in_float64(x):
    """The array; None for what is no array: a string, a whole number, a generator."""
    if x is None or not isinstance(x, (np.ndarray, Tensor, float, list, tuple, np.floating)):
        return None
    array = np.asarray(x.data if isinstance(x, Tensor) else x)
    if array.dtype.kind not in "biuf":
        return None
    return array.astype(float) if array.dtype.kind == "f" else array.copy()


# %% Functions of tensors
def _pair_of_tensors(function, inputs, settings):
    """A function of tensors, or a module: then its parameters are inputs like the others."""
    parameters = dict(function.named_parameters()) if isinstance(function, Module) else {}
    named = function.forward if parameters else function
    form = _Form(_names(named, inputs), inputs)
    count = len(form.arrays)

    def run(arrays, wanted):
        leaves = [Tensor(a, requires_grad=wanted) if floating(a) else a for a in arrays[:count]]
        return function(*form.filled(leaves), **settings), leaves

    def forward(*arrays):
        with _holding(parameters.values(), arrays[count:]):
            y, leaves = run(arrays, True)
            return y.data, (y, leaves, arrays)

    def backward(dy, cache):
        y, leaves, arrays = cache
        with _holding(parameters.values(), arrays[count:]):
            leaves = [*leaves, *parameters.values()]
            for leaf in leaves:
                if isinstance(leaf, Tensor):
                    leaf.zero_grad()
            y.backward(dy)
            return [(np.zeros(leaf.shape) if leaf.grad is None else leaf.grad)
                    if isinstance(leaf, Tensor) else None for leaf in leaves]

    def value(*arrays):
        with no_grad(), _holding(parameters.values(), arrays[count:]):
            return run(arrays, False)[0].data

    arrays = form.arrays + [_in_float64(p) for p in parameters.values()]
    name = type(function).__name__ if isinstance(function, Module) else _plain(function)
    return Pair(name, form.names + list(parameters), arrays, forward, backward, value, False, settings)


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


# %% Names
def _plain(function):
    """The function's name without _forward; that of a partial is its function's, that of an object its class's."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    return name.removesuffix("_fast").removesuffix("_forward")


def parameters_of(function):
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):     # a builtin doesn't say
        return []


def _room(function):
    """How many arrays the function takes at most."""
    kinds = [p.kind for p in parameters_of(function)]
    return 1000 if not kinds or inspect.Parameter.VAR_POSITIONAL in kinds else len(kinds)


def _names(function, inputs):
    """The inputs' names as the function's author wrote them."""
    parameters = parameters_of(function)
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "input")
    return (names + [f"{rest}[{i}]" for i in range(len(inputs) - len(names))])[:len(inputs)]
