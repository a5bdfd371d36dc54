"""Parameters and modules: named tensors in a tree, with train/eval and a state dict.

    >>> import numpy as np
    >>> from tinynet import nn
    >>> from tinynet.blocks.units.linear import Linear
    >>> net = nn.Sequential(Linear(3, 4, rng=0), Linear(4, 2, rng=1))
    >>> [name for name, _ in net.named_parameters()]
    ['0.W', '0.b', '1.W', '1.b']
"""

import numpy as np

from tinynet.engine import Tensor


class Parameter(Tensor):
    """A tensor that training changes: a leaf with requires_grad=True."""

    __slots__ = ()

    def __init__(self, data):
        super().__init__(data, requires_grad=True)


class Module:
    """A function with parameters.  A subclass sets parameters and modules as attributes
    (or lists and dictionaries of them) in `__init__` and writes `forward(*inputs)`.

    `training` tells layers such as dropout which of their two faces to show.
    """

    training = True

    def __call__(self, *inputs, **settings):
        return self.forward(*inputs, **settings)

    def forward(self, *inputs):
        raise TypeError(f"{type(self).__name__} has no forward; define forward(self, *inputs)")

    def named_modules(self, prefix=""):
        """(name, module) for this module (name "") and all below, in order of definition."""
        yield prefix, self
        for name, child in self._children():
            if isinstance(child, Module):
                yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self):
        """(name, Parameter), each parameter once, in order of definition."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, child in module._children():
                if isinstance(child, Parameter) and id(child) not in seen:
                    seen.add(id(child))
                    yield (f"{prefix}.{name}" if prefix else name), child

    def parameters(self):
        """All parameters, as a list."""
        return [p for _, p in self.named_parameters()]

    def named_rngs(self):
        """(name, np.random.Generator) of every module that draws at random, e.g. dropout's."""
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, np.random.Generator):
                    yield (f"{prefix}.{name}" if prefix else name), value

    def _children(self):
        for name, value in vars(self).items():
            yield from _parts(name, value)

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
        """Turn all parameters into `dtype`, e.g. np.float64 for a gradient check; returns self."""
        for parameter in self.parameters():
            parameter.data, parameter.grad = parameter.data.astype(dtype), None
        return self

    def state_dict(self):
        """Copies of all parameters' arrays by name."""
        return {name: p.data.copy() for name, p in self.named_parameters()}

    def load_state_dict(self, state):
        """Fill the parameters from arrays by name.

        Raises KeyError when names are missing or unknown and ValueError when a shape differs;
        nothing is changed then.
        """
        own = dict(self.named_parameters())
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise KeyError(f"{type(self).__name__}: the state lacks {missing} and has unknown {unknown}")
        for name, parameter in own.items():
            if parameter.shape != np.shape(state[name]):
                raise ValueError(f"{type(self).__name__}: {name} has shape {parameter.shape} here "
                                 f"and {np.shape(state[name])} in the state; build the same model first")
        for name, parameter in own.items():
            parameter.data = np.array(state[name], parameter.dtype)


def _parts(name, value):
    """(name, module or parameter) in an attribute: itself, or those in its lists, tuples and dictionaries."""
    if isinstance(value, (Module, Parameter)):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _parts(f"{name}.{key}", part)


class Sequential(Module):
    """Modules (or functions on tensors) applied one after the other."""

    def __init__(self, *layers):
        self.layers = list(layers)

    def _children(self):
        return ((str(i), layer) for i, layer in enumerate(self.layers) if isinstance(layer, Module))

    def __getitem__(self, i):
        return self.layers[i]

    def __len__(self):
        return len(self.layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


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
