"""Which path left out, or which threshold turned, gives a wrong gradient?"""

from itertools import combinations

import numpy as np

from tinynet.check.recipes import losses, sequences, tasks, units
from tinynet.check.recipes.valves import Valves
from tinynet.engine import Tensor

# kinds of a closed path that isn't simply one of several terms
KIND_OF = {
    "identity path": "identity",
    "softmax, other entries in the normaliser": "softmax diagonal",
    "softmax, numerator": "softmax off-diagonal",
}

RECIPES = {f.__name__: f for topic in (units, losses, sequences, tasks) for f in topic.RECIPES}


def alternatives(block, inputs, settings, i, dys):
    """(full, an iterator of (names, kind, gradients)) for input i by the recipe for `block`.

    full       the gradient with all valves open, one for each upstream
    gradients  the same with some closed, or with some thresholds turned
    """
    recipe, valves = RECIPES[block], Valves()
    full = _gradients(recipe, valves, inputs, settings, i, dys)
    return full, _mistaken(recipe, valves, inputs, settings, i, dys)


def _mistaken(recipe, valves, *given):
    for count in (1, 2, 3):
        for names in combinations(valves.paths, count):
            kinds = {KIND_OF[n] for n in names if n in KIND_OF}
            kind = kinds.pop() if len(kinds) == 1 and count < 3 else "term"
            yield names, kind, _gradients(recipe, Valves(names), *given)
    for count in range(1, len(valves.sides) + 1):
        for names in combinations(valves.sides, count):
            yield names, "mask", _gradients(recipe, Valves((), names), *given)


def _gradients(recipe, valves, inputs, settings, i, dys):
    """(K, *shape): the gradient of input i for every upstream."""
    leaves = [Tensor(a, requires_grad=j == i) if a is not None and a.dtype.kind == "f" else a
              for j, a in enumerate(inputs)]
    y = recipe(valves, *leaves, **settings)
    grads = []
    for dy in dys:
        leaves[i].zero_grad()
        if y.requires_grad:
            y.backward(dy)
        grads.append(np.zeros(leaves[i].shape) if leaves[i].grad is None else leaves[i].grad)
    return np.stack(grads)
