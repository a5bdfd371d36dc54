"""Several tasks at once: a batch with as many examples of each task, and what a net says of sets of unequal size.

    >>> import numpy as np
    >>> from tinynet.data.task_batches import task_batches
    >>> tasks = [(np.zeros((7, 3)), np.arange(7)), (np.ones((2, 3)), np.arange(2))]
    >>> x, labels = next(task_batches(tasks, size=4, rng=0))
    >>> x.shape, [y.shape for y in labels]
    ((2, 4, 3), [(4,), (4,)])
"""

import numpy as np

from tinynet.engine import no_grad


def task_batches(tasks, size, rng=0):
    """Yield (x (T, size, ...), [labels (size, ...) of each task]) for ever.

    tasks  [(X, y)] with examples of its own for each task
    Each task is gone through in a random order and then anew, so that a small one comes round more often.
    Raises ValueError for a task without examples, for X and y of unequal lengths and for X of another form.
    """
    for t, (X, y) in enumerate(tasks):
        if len(X) != len(y) or X.shape[1:] != tasks[0][0].shape[1:]:
            raise ValueError(f"task_batches: task {t} has X {X.shape} and labels {np.shape(y)}, task 0 has X "
                             f"{tasks[0][0].shape}; give a label for each example, and examples of one form")
        if not len(X):
            raise ValueError(f"task_batches: task {t} has no examples, so no batch can have any of it; leave the task "
                             "out, or give it some")
    rng = np.random.default_rng(rng)
    orders = [_for_ever(len(X), size, rng) for X, _ in tasks]
    while True:
        rows = [next(order) for order in orders]
        yield (np.stack([X[r] for (X, _), r in zip(tasks, rows, strict=True)]),
               [y[r] for (_, y), r in zip(tasks, rows, strict=True)])


def _for_ever(n, size, rng):
    left = np.empty(0, int)
    while True:
        while len(left) < size:
            left = np.concatenate([left, rng.permutation(n)])
        now, left = left[:size], left[size:]
        yield now


def outputs_of(net, inputs, size=64):
    """[output (N[t], ...) of each task] for inputs [X (N[t], ...)], in evaluation mode and without a tape.

    The net takes (T, size, ...): where a task has no more examples zeros stand in, whose outputs are left out.
    """
    longest = max(len(X) for X in inputs)
    found, was = [[] for _ in inputs], net.training
    net.eval()
    with no_grad():
        for start in range(0, longest, size):
            x = np.zeros((len(inputs), min(size, longest - start), *inputs[0].shape[1:]), inputs[0].dtype)
            for t, X in enumerate(inputs):
                x[t, :len(X[start:start + size])] = X[start:start + size]
            for t, y in enumerate(net(x)):
                found[t].append(y.data[:len(inputs[t][start:start + size])])
    net.train(was)
    return [np.concatenate(parts) for parts in found]
