"""Parameters and modules: named tensors in a tree, with train/eval and a state dict.

    >>> import numpy as np
    >>> from tinynet import nn
    >>> from tinynet.blocks.units.linear import Linear
    >>> net = nn.Sequential(Linear(3, 4, rng=0), Linear(4, 2, rng=1))
    >>> [name for name, _ in net.named_parameters()]
    ['0.W', '0.b', '1.W', '1.b']
"""

import math

import numpy as np

from tinynet import names
from tinynet.engine import Tensor


def __getattr__(name):
    """The layers, e.g. nn.Linear: they stand in tinynet.blocks and are loaded when first asked for."""
    return names.find(__name__, names.LAYERS, name, ("Module", "Parameter", "Buffer", "Sequential"))


def __dir__():
    return sorted({*globals(), *names.places(names.LAYERS)})


class Parameter(Tensor):
    """A tensor that training changes: a leaf with requires_grad=True."""

    __slots__ = ()

    def __init__(self, data):
        super().__init__(data, requires_grad=True)


class Buffer(Tensor):
    """State that isn't learnt, e.g. a running mean: named, saved and cast like a parameter, without a gradient.

    Change it by giving it another array: `self.mean.data = 0.9 * self.mean.data + 0.1 * x.mean(axis=0)`.
    """

    __slots__ = ()

    def __init__(self, data):
        super().__init__(data)


class Module:
    """A function with parameters.  A subclass sets parameters, buffers and modules as attributes
    (or lists and dictionaries of them) in `__init__` and writes `forward(*inputs)`.

    An attribute that is a NumPy array counts as state, like a Buffer.
    `training` tells layers such as dropout whether they are in training or evaluation mode.
    """

    training = True

    def __call__(self, *inputs, **settings):
        return self.forward(*inputs, **settings)

    def forward(self, *inputs):
        raise TypeError(f"{type(self).__name__} has no forward; define forward(self, *inputs)")

    def _places(self):
        """(name, holder, key, thing) of all that stands in the attributes and in their lists and dictionaries."""
        for name, value in vars(self).items():
            yield from _places(name, vars(self), name, value)

    def _all(self, kinds):
        """(name, holder, key, thing) of these kinds in this module and all below, each thing once."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, holder, key, thing in module._places():
                constant = isinstance(thing, np.ndarray) and isinstance(holder, tuple)     # a tuple can't be refilled
                if isinstance(thing, kinds) and not constant and id(thing) not in seen:
                    seen.add(id(thing))
                    yield (f"{prefix}.{name}" if prefix else name), holder, key, thing

    def named_modules(self):
        """(name, module) for this module (name "") and all below, each once, in order of definition."""
        seen, waiting = set(), [("", self)]
        while waiting:
            prefix, module = waiting.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield prefix, module
            below = [(f"{prefix}.{name}" if prefix else name, thing) for name, _, _, thing in module._places()
                     if isinstance(thing, Module)]
            waiting += reversed(below)

    def named_parameters(self):
        """(name, Parameter), each parameter once, in order of definition."""
        return ((name, thing) for name, _, _, thing in self._all(Parameter))

    def parameters(self):
        """All parameters, as a list."""
        return [p for _, p in self.named_parameters()]

    def named_rngs(self):
        """(name, np.random.Generator) of every module that draws at random, e.g. dropout's."""
        return ((name, thing) for name, _, _, thing in self._all(np.random.Generator))

    def zero_grad(self):
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def train(self, mode=True):
        """Put this module and all below into training (or, with False, evaluation) mode."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self):
        """Put this module and all below into evaluation mode."""
        return self.train(False)

    def astype(self, dtype):
        """Turn all parameters and floating state into `dtype`, e.g. np.float64 for a gradient check; returns self."""
        for _, holder, key, thing in self._all(_STATE):
            if thing.dtype.kind == "f":
                _set(holder, key, thing, _array(thing).astype(dtype))
        return self

    def state_dict(self):
        """Copies of the arrays of all parameters, then of all other state, by name."""
        found = {name: np.array(_array(thing)) for name, _, _, thing in self._all(_STATE)}
        learnt = {name for name, _ in self.named_parameters()}
        return {name: found[name] for name in sorted(found, key=lambda name: name not in learnt)}

    def load_state_dict(self, state):
        """Fill the parameters and the other state from arrays by name.

        Raises KeyError when names are missing or unknown, ValueError when a shape differs, and what NumPy raises for
        an array that doesn't hold numbers; nothing is changed then.
        """
        own = {name: (holder, key, thing) for name, holder, key, thing in self._all(_STATE)}
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise KeyError(f"{type(self).__name__}: the state lacks {missing} and has unknown {unknown}")
        for name, (_, _, thing) in own.items():
            if thing.shape != np.shape(state[name]):
                raise ValueError(f"{type(self).__name__}: {name} has shape {thing.shape} here "
                                 f"and {np.shape(state[name])} in the state; build the same model first")
        arrays = {name: np.array(state[name], thing.dtype) for name, (_, _, thing) in own.items()}
        for name, (holder, key, thing) in own.items():          # only now, when all arrays could be converted
            _set(holder, key, thing, arrays[name])

    def __repr__(self):
        """The tree of layers, each with the shapes of its own parameters, and how many numbers they hold."""
        seen = {}           # {name: how deep it stands} of the modules above
        lines = [f"{_line(self)}: {sum(p.size for p in self.parameters()):,} parameters"]
        for name, module in self.named_modules():
            if name:
                above = max((other for other in seen if name.startswith(f"{other}.")), key=len, default="")
                depth = seen[above] + 1 if above else 1
                seen[name] = depth
                lines.append(f"{'  ' * depth}{name.removeprefix(above).removeprefix('.')}  {_line(module)}")
        return "\n".join(lines)


_STATE = (Parameter, Buffer, np.ndarray)


def _line(module):
    """The module's type, and the shapes of the parameters that it holds itself."""
    own = [f"{name} {thing.shape}" for name, _, _, thing in module._places() if isinstance(thing, Parameter)]
    return f"{type(module).__name__}({', '.join(own)})"


def _places(name, holder, key, value):
    """(name, holder, key, thing): what an attribute holds, itself or in its lists, tuples and dictionaries."""
    if isinstance(value, (list, tuple, dict)):
        for k, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(f"{name}.{k}", value, k, part)
    else:
        yield name, holder, key, value


def _array(thing):
    return thing.data if isinstance(thing, Tensor) else thing


def _set(holder, key, thing, array):
    """Put another array in the place of the one that `thing` is or holds."""
    if isinstance(thing, Tensor):
        thing.data, thing.grad = array, None if array.dtype != thing.dtype else thing.grad
    else:
        holder[key] = array


class Sequential(Module):
    """Modules (or functions on tensors) applied one after the other."""

    def __init__(self, *layers):
        self.layers = list(layers)

    def _places(self):
        for i, layer in enumerate(self.layers):
            yield str(i), self.layers, i, layer

    def __getitem__(self, i):
        return self.layers[i]

    def __len__(self):
        return len(self.layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Flatten(Module):
    """X (N, ...) -> (N, D): all axes but the first in one, e.g. between convolutions and a linear layer."""

    def forward(self, X):
        return X.reshape(len(X), math.prod(X.shape[1:]))            # not -1, which an empty batch leaves open


# %% First values of parameters
def glorot_uniform(rng, shape, dtype=np.float32, fans=None):
    """U(-r, r) with r = sqrt(6 / (fan_in + fan_out)).  Glorot and Bengio 2010.

    fans  fan_in + fan_out; without it that of a (fan_out, fan_in) matrix
    """
    r = np.sqrt(6 / max(sum(shape[-2:]) if fans is None else fans, 1))
    return np.random.default_rng(rng).uniform(-r, r, shape).astype(dtype)


def he_normal(rng, shape, dtype=np.float32):
    """N(0, 2 / fan_in) for a (fan_out, fan_in) matrix before a ReLU.  He et al. 2015, arXiv:1502.01852."""
    return (np.random.default_rng(rng).normal(size=shape) * np.sqrt(2 / max(shape[-1], 1))).astype(dtype)
