"""The backward pass of several losses: a rule weighs them, and every leaf gets its gradient.

    (1)  dtheta = sum_i w[i] dL[i]/dtheta        the shared parameters
    (2)  dphi[i] = dL[i]/dphi[i]                 a task's own, for rules that balance the shared ones only

An array (T, ...) that holds a layer of each task is no shared parameter: the gradient of task i is 0 outside its
i-th part.  The rule doesn't see it, and (2) holds for it.  So it is with (k T, ...), k layers of each task one after
the other (CGC's own experts).
"""

import numpy as np

from tinynet.engine import Step, Tensor, gradients


def balanced_backward(losses, rule, shared=None):
    """Add to `.grad` of every leaf what `rule` makes of the tasks' losses; returns the weights (T,).

    losses  a list of tensors with one entry, one a task
    rule    a tinynet.balancing rule
    shared  the parameters, or the one, on which the rule sees gradients; without it all leaves that two or more
            losses reach.  GradNorm wants the last shared layer alone.  The weights then hold for all
            that several losses reach.

    Weights alone cost one backward pass of the weighted sum.  Rules that ask for gradients cost one a task.
    Raises ValueError for no task and, under a rule that asks for gradients, with two tasks or more, for parameters that
    no two tasks share and for a task whose loss and gradients are 0; TypeError for losses that aren't single numbers,
    FloatingPointError for a loss that is NaN or inf.
    """
    losses = _checked(losses)
    values = np.array([loss.item() for loss in losses])
    if not rule.asks_gradients or len(losses) == 1:
        weights = rule(values)
        _weighted_sum(losses, weights).backward()                               # (1)
        return weights
    reached = [_leaves(loss) for loss in losses]
    together = _in_several(reached)
    if shared is not None:
        shared = [shared] if isinstance(shared, Tensor) else list(shared)
        _must_be_shared(rule, together, shared)
    G, own = _gradients(losses, reached, together)
    _must_have_data(rule, values, G, own)
    apart = _apart(rule, together, G)
    seen = ~apart & _columns(together, [shared is None or any(leaf is p for p in shared) for leaf in together])
    weights = rule(values, lambda: G if seen.all() and shared is None else G[:, seen])
    step = np.asarray(weights, G.dtype) @ G                                     # (1)
    if rule.shared_only and apart.any():
        step[apart] = G[:, apart].sum(axis=0)                                   # (2)
    _add(together, step)
    for w, (leaves, grads) in zip(np.ones(len(own)) if rule.shared_only else weights, own, strict=True):
        for leaf, grad in zip(leaves, grads, strict=True):
            step = grad if w == 1 else grad * leaf.dtype.type(w)                # (2)
            leaf.grad = step if leaf.grad is None else leaf.grad + step
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
    start = loss.step or loss
    seen, waiting, leaves = {start}, [start], []
    for place in waiting:
        if not isinstance(place, Step):
            leaves.append(place)
            continue
        for parent in place.parents:
            if parent is not None and parent.requires_grad and parent not in seen:
                seen.add(parent)
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


def _must_be_shared(rule, together, named):
    known = {id(leaf) for leaf in together}
    strange = [leaf for leaf in named if id(leaf) not in known]
    if strange:
        what = f"shape {strange[0].shape}" if isinstance(strange[0], Tensor) else f"type {type(strange[0]).__name__}"
        raise ValueError(f"{rule.name}: no two losses depend on {len(strange)} of the {len(named)} parameters that are "
                         f"named as shared, the first of {what}; name parameters that tasks share, of the net that is "
                         "trained")


def _must_have_data(rule, values, G, own):
    """A mean over no data is 0 in some losses, and rules on gradients would then follow a task that isn't there."""
    for i in np.flatnonzero(values == 0):
        if not G[i].any() and not any(grad.any() for grad in own[i][1]):
            raise ValueError(f"{rule.name}: the loss of task {i} is 0, and so are its gradients; did the task have "
                             "data in this batch? Draw batches that hold every task, or leave a solved one out")


def _apart(rule, together, G):
    """(P,) Which columns of G belong to arrays (k T, ...) of the tasks' own weights?"""
    own = [_is_each_tasks_own(leaf, part) for leaf, part in zip(together, _parts(together, G), strict=True)]
    if own and all(own):
        raise ValueError(f"{rule.name}: no parameter is shared, because each task has weights of its own in arrays "
                         f"(T = {len(G)}, ...); share a layer, or train the tasks without a rule on gradients")
    return _columns(together, own)


def _is_each_tasks_own(leaf, part):
    T = len(part)
    if not leaf.size or leaf.ndim == 0 or len(leaf) % T:
        return False
    by_task = part.reshape(T, T, -1)                # whose gradient, whose weights
    if by_task[0, 1].any():                         # a quick answer for nearly all that is shared
        return False
    touched = by_task.any(axis=2)
    return touched.any() and not touched[~np.eye(T, dtype=bool)].any()


def _parts(leaves, flat):
    """The columns of an array (..., P), leaf by leaf."""
    return np.split(flat, np.cumsum([leaf.size for leaf in leaves])[:-1], axis=-1) if leaves else []


def _columns(leaves, chosen):
    """(P,) Does a column belong to a chosen leaf?  chosen has a boolean for each leaf."""
    return np.repeat(np.array(chosen, bool), [leaf.size for leaf in leaves])


def _gradients(losses, reached, together):
    """G (T, P): each task's gradient on the shared leaves, end to end; and [(its own leaves, their gradients)]."""
    known, own = {id(leaf) for leaf in together}, []
    dtype = np.result_type(*(leaf.dtype for leaf in together)) if together else float
    G = np.empty((len(losses), sum(leaf.size for leaf in together)), dtype)
    for row, loss, leaves in zip(G, losses, reached, strict=True):
        alone = [leaf for leaf in leaves if id(leaf) not in known]
        grads = gradients(loss, [*together, *alone])
        if together:
            np.concatenate(grads[:len(together)], axis=None, out=row)
        own.append((alone, grads[len(together):]))
    return G, own


def _add(leaves, flat):
    """Add to each leaf's `.grad` its part of a flat array."""
    for leaf, part in zip(leaves, _parts(leaves, flat), strict=True):
        step = part.reshape(leaf.shape).astype(leaf.dtype, copy=False)
        leaf.grad = step if leaf.grad is None else leaf.grad + step
