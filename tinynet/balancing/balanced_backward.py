"""The backward pass of several losses: a rule weighs them, and every leaf gets its gradient.

    (1)  dtheta = sum_i w[i] dL[i]/dtheta        the shared parameters
    (2)  dphi[i] = dL[i]/dphi[i]                 a task's own, for rules that balance the shared ones only
"""

import numpy as np

from tinynet.engine import Tensor, gradients


def balanced_backward(losses, rule, shared=None):
    """Add to `.grad` of every leaf what `rule` makes of the tasks' losses; returns the weights (T,).

    losses  a list of tensors with one entry, one a task
    rule    a tinynet.balancing rule
    shared  the parameters on which the rule sees gradients; without it all leaves that two or more
            losses reach.  GradNorm wants the last shared layer alone.  The weights then hold for all
            that several losses reach.

    Weights alone cost one backward pass of the weighted sum.  Rules that ask for gradients cost one a task.
    Raises ValueError for no task or no shared parameter, TypeError for losses that aren't single numbers,
    FloatingPointError for a loss that is NaN or inf.
    """
    losses = _checked(losses)
    values = np.array([loss.item() for loss in losses])
    if not rule.asks_gradients or len(losses) == 1:
        weights = rule(values)
        _weighted_sum(losses, weights).backward()                               # (1)
        return weights
    reached = [_leaves(loss) for loss in losses]
    every = list({id(leaf): leaf for leaves in reached for leaf in leaves}.values())
    chosen = _in_several(reached) if shared is None else list(shared)
    by_task = [dict(zip(map(id, every), gradients(loss, every), strict=True)) for loss in losses]
    weights = rule(values, lambda: _matrix(by_task, chosen))
    inside = {id(leaf) for leaf in (*_in_several(reached), *chosen)}
    for leaf in every:
        w = weights if id(leaf) in inside or not rule.shared_only else np.ones(len(losses))     # (2)
        grad = sum(leaf.dtype.type(w[i]) * grads[id(leaf)] for i, grads in enumerate(by_task))  # (1)
        leaf.grad = grad if leaf.grad is None else leaf.grad + grad
    return weights


# %% Parts
def _checked(losses):
    losses = list(losses)
    if not losses:
        raise ValueError("balanced_backward: there is no task; give a list with the loss of each task")
    for i, loss in enumerate(losses):
        if not isinstance(loss, Tensor) or loss.size != 1:
            raise TypeError(f"balanced_backward: the loss of task {i} is {loss!r}; it must be a tensor with one entry")
    return losses


def _weighted_sum(losses, weights):
    total = None
    for loss, w in zip(losses, weights, strict=True):
        part = loss.reshape(()) * loss.dtype.type(w)
        total = part if total is None else total + part
    return total


def _leaves(loss):
    """The leaves that want a gradient and that `loss` was computed from."""
    seen, waiting, leaves = {id(loss)}, [loss], []
    while waiting:
        tensor = waiting.pop()
        if tensor.step is None:
            leaves.append(tensor)
        for parent in tensor.step.parents if tensor.step else ():
            if parent is not None and parent.requires_grad and id(parent) not in seen:
                seen.add(id(parent))
                waiting.append(parent)
    return leaves


def _in_several(reached):
    """The leaves that two or more tasks reach."""
    found, count = {}, {}
    for leaves in reached:
        for leaf in leaves:
            found[id(leaf)] = leaf
            count[id(leaf)] = count.get(id(leaf), 0) + 1
    return [found[key] for key in found if count[key] > 1]


def _matrix(by_task, chosen):
    """(T, P): each task's gradient on the chosen leaves, end to end; zero where it doesn't reach one."""
    if not chosen:
        return np.zeros((len(by_task), 0))
    return np.stack([np.concatenate([grads.get(id(leaf), np.zeros(leaf.size, leaf.dtype)).reshape(-1)
                                     for leaf in chosen]) for grads in by_task])
