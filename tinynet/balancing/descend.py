"""Gradient descent on several losses that a rule weighs: for whole batches and for batches made on the spot.

    >>> import numpy as np
    >>> from tinynet import nn, optim
    >>> from tinynet.balancing.descend import descend
    >>> w = nn.Parameter(np.array([4.0]))
    >>> path = descend(lambda: [((w - 1) ** 2).sum(), ((w - 3) ** 2).sum()], optim.SGD([w], 0.1), steps=50)
    >>> w.data.round(3), path.losses.shape
    (array([2.]), (50, 2))
"""

from typing import NamedTuple

import numpy as np

from tinynet.backend import no_grad
from tinynet.balancing.balanced_backward import balanced_backward
from tinynet.balancing.weighted_sum import WeightedSum


class Path(NamedTuple):
    """losses (steps, T) before each step, weights (steps, T) that the rule gave."""

    losses: np.ndarray
    weights: np.ndarray


def descend(losses, optimizer, steps, rule=None, shared=None):
    """Take `steps` steps and return the Path.

    losses     losses() -> a list of tensors with one entry, one a task
    optimizer  of the net's parameters; a rule's own ones are the rule's affair
    rule       a tinynet.balancing rule; the plain sum if None
    shared     the parameters that the rule sees, as in balanced_backward

    Raises what balanced_backward raises.
    """
    rule, values, weights = rule or WeightedSum(), [], []
    for _ in range(steps):
        optimizer.zero_grad()
        now = list(losses())
        values.append([loss.item() for loss in now])
        weights.append(balanced_backward(now, rule, shared))
        optimizer.step()
        if rule.looks_again:
            with no_grad():
                rule.after_step(np.array([loss.item() for loss in losses()]))
    return Path(np.array(values), np.array(weights))
