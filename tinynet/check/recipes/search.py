"""Which mistake at which spot gives a wrong gradient?"""

from itertools import combinations

import numpy as np

from tinynet.check.recipes import graphs, images, losses, sequences, tasks, units
from tinynet.check.recipes.valves import CLOSED, Valves
from tinynet.engine import Tensor

RECIPES = {f.__name__: f for topic in (units, losses, images, sequences, tasks, graphs) for f in topic.RECIPES}


def alternatives(block, inputs, settings, i, dys, turned=()):
    """(full, an iterator of (paths, kind, sentence, gradients)) for input i by the recipe for `block`.

    full       the gradient without a mistake, one for each upstream
    gradients  the same with one mistake, or with several of one sort
    paths      the names of the paths that are closed; () for mistakes of another sort
    turned     the numbers of inputs that are transposed before they go into the recipe
    """
    recipe, valves, given = RECIPES[block], Valves(), (inputs, settings, i, dys, turned)
    full = _gradients(recipe, valves, *given)
    return full, _mistaken(recipe, list(valves.mistakes.values()), *given)


def _mistaken(recipe, mistakes, *given):
    for m in mistakes:
        yield (m.spot,) if m.how == CLOSED else (), m.kind, m.sentence, _with(recipe, [m], *given)
    for how in (CLOSED, "turned", "turned altogether", "forgotten"):
        sort = [m for m in mistakes if m.how == how]
        for count in range(2, (3 if len(sort) < 8 else 2) + 1):
            for several in combinations(sort, count):
                kind = several[0].kind if _alike(several) or how != CLOSED else "term"
                paths = tuple(m.spot for m in several) if how == CLOSED else ()
                yield paths, kind, _sentence(several), _with(recipe, several, *given)
    for how in sorted({str(m.how) for m in mistakes if m.how != CLOSED}):
        everywhere = [m for m in mistakes if str(m.how) == how]
        if len(everywhere) > 1 and _alike(everywhere):          # the same mistake at every spot
            yield (), everywhere[0].kind, _sentence(everywhere), _with(recipe, everywhere, *given)


def _alike(several):
    return len({m.kind for m in several}) == 1


def _sentence(several):
    first, *rest = several
    return first.sentence + "".join(f" and {m.spot}" for m in rest)


def _with(recipe, mistakes, *given):
    return _gradients(recipe, Valves((m.spot, m.how) for m in mistakes), *given)


def _gradients(recipe, valves, inputs, settings, i, dys, turned):
    """(K, *shape): the gradient of input i for every upstream."""
    leaves = [Tensor(a.T if j in turned else a, requires_grad=j == i) if a is not None and a.dtype.kind == "f" else a
              for j, a in enumerate(inputs)]
    y = recipe(valves, *leaves, **settings)
    grads = []
    for dy in dys:
        leaves[i].zero_grad()
        if y.requires_grad:
            y.backward(dy.reshape(y.shape))
        grads.append(np.zeros(leaves[i].shape) if leaves[i].grad is None else leaves[i].grad)
    return np.stack([g.T if i in turned else g for g in grads])
