"""Several tasks at once: a batch with as many examples of each task, and what a net says of sets of unequal size.

    >>> import numpy as np
    >>> from tinynet.data.task_batches import TaskBatches
    >>> tasks = [(np.zeros((7, 3)), np.arange(7)), (np.ones((2, 3)), np.arange(2))]
    >>> (x, *labels), weight = next(TaskBatches(tasks, size=4).epoch(np.random.default_rng(0)))
    >>> x.shape, [y.shape for y in labels], weight
    ((2, 4, 3), [(4,), (4,)], 8)
"""

import numpy as np

from tinynet.backend import no_grad


class TaskBatches:
    """Batches for `fit`: a batch is (x (T, size, ...), labels of task 0, labels of task 1, ...).

    tasks  [(X, y)] with examples of its own for each task: arrays, or what has a shape and gives arrays of rows when
           it is asked X[rows]
    An epoch is as long as the largest task's.  Each task is gone through in a random order and then anew, so that a
    small one comes round more often.
    Raises ValueError for no task, for a size below 1, for a task without examples, for X and y of unequal lengths and
    for X of another form.
    """

    def __init__(self, tasks, size):
        tasks = [(X, y if hasattr(y, "shape") else np.asarray(y)) for X, y in tasks]
        if not tasks or size < 1:
            raise ValueError(f"TaskBatches: there are {len(tasks)} tasks and batches of {size} examples each; give at "
                             "least 1 of both")
        for t, (X, y) in enumerate(tasks):
            if len(X) != len(y) or X.shape[1:] != tasks[0][0].shape[1:]:
                raise ValueError(f"TaskBatches: task {t} has X {X.shape} and labels {y.shape}, task 0 has X "
                                 f"{tasks[0][0].shape}; give a label for each example, and examples of one form")
            if not len(X):
                raise ValueError(f"TaskBatches: task {t} has no examples, so no batch can have any of it; leave the "
                                 "task out, or give it some")
        self.tasks, self.size = tasks, size

    def __len__(self):
        return -(-max(len(X) for X, _ in self.tasks) // self.size)

    def epoch(self, rng):
        orders = [_order(len(X), len(self) * self.size, rng) for X, _ in self.tasks]
        for start in range(0, len(self) * self.size, self.size):
            rows = [order[start:start + self.size] for order in orders]
            x = np.stack([X[r] for (X, _), r in zip(self.tasks, rows, strict=True)])
            labels = [y[r] for (_, y), r in zip(self.tasks, rows, strict=True)]
            yield (x, *labels), self.size * len(self.tasks)

    def describe(self):
        """What a checkpoint has to find again."""
        return {"size": self.size, "shapes": [list(X.shape) for X, _ in self.tasks]}


def _order(n, count, rng):
    """`count` row numbers below n: whole rounds, each in an order of its own (in order without rng)."""
    rounds = [np.arange(n) if rng is None else rng.permutation(n) for _ in range(-(-count // n))]
    return np.concatenate(rounds)[:count]


def outputs_of(net, inputs, size=64):
    """[output (N[t], ...) of each task] for inputs [X (N[t], ...)], in evaluation mode and without a tape.

    The net takes (T, size, ...): where a task has no more examples zeros stand in, whose outputs are left out.
    """
    longest = max(len(X) for X in inputs)
    found, was = [[] for _ in inputs], net.training
    net.eval()
    with no_grad():
        for start in range(0, longest, size):
            rows = [X[start:start + size] for X in inputs]
            x = np.zeros((len(inputs), min(size, longest - start), *inputs[0].shape[1:]), inputs[0].dtype)
            for t, its in enumerate(rows):
                x[t, :len(its)] = its
            for t, y in enumerate(net(x)):
                found[t].append(y.data[:len(rows[t])])
    net.train(was)
    return [np.concatenate(parts) for parts in found]
