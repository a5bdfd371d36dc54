"""One loss a task, from the tasks' outputs and targets, with what is wrong said task by task."""

import numpy as np


def task_losses(outputs, targets, losses):
    """[loss of task 0, loss of task 1, ...], tensors with one entry.

    outputs  what the net returns: a list of tensors (N, ...), one a task
    targets  a list of arrays (N, ...), one a task
    losses   one function(output, target), e.g. cross_entropy, for all tasks, or a list of one each

    Raises ValueError for no task, for lists of different lengths, for a task without data, and for
    outputs and targets of different numbers of examples.
    """
    outputs, targets = list(outputs), list(targets)
    losses = list(losses) if isinstance(losses, (list, tuple)) else [losses] * len(outputs)
    if not outputs:
        raise ValueError("task_losses: there is no task; give the outputs and the targets of at least one")
    if not len(outputs) == len(targets) == len(losses):
        raise ValueError(f"task_losses: there are outputs of {len(outputs)} tasks, targets of {len(targets)} and "
                         f"{len(losses)} losses; give one of each for every task")
    for i, (output, target) in enumerate(zip(outputs, targets, strict=True)):
        rows, expected = len(target), len(output)
        if rows != expected:
            raise ValueError(f"task_losses: task {i} has {expected} outputs and {rows} targets; give one target for "
                             "each example")
        if rows == 0:
            raise ValueError(f"task_losses: task {i} has no data in this batch; draw batches that hold every task, "
                             "e.g. by drawing from each task's examples apart")
    return [loss(output, np.asarray(target)) for loss, output, target in zip(losses, outputs, targets, strict=True)]
