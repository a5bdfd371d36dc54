"""Batches: how data is handed to a training loop, one epoch after the other.

    >>> import numpy as np
    >>> from tinynet.train.batches import Shuffled
    >>> data = Shuffled((np.arange(5), np.arange(5) ** 2), size=2)
    >>> [(batch[1].tolist(), weight) for batch, weight in data.epoch(None)]
    [([0, 1], 2), ([4, 9], 2), ([16], 1)]

What trains draws from `epoch(rng)`: all batches of an epoch, each with its weight, which is how many
things its loss is a mean over (examples, or tokens).  `epoch(None)` draws nothing at random: everything
once, in order, as validation needs it.  `len` is the number of batches in an epoch.
"""

import numpy as np

from tinynet.shapes import must_be_whole


class Shuffled:
    """Arrays whose first axis counts the examples, in a new order every epoch; a batch is a tuple of arrays.

    augment  augment(rng, *batch) -> batch, on training batches only (csc321 augment): with epoch(None) it isn't called
    """

    def __init__(self, arrays, size, augment=None):
        self.arrays = arrays if isinstance(arrays, tuple) else tuple(arrays) if _several(arrays) else (arrays,)
        self.size, self.augment = _whole("size", size), augment

    def __len__(self):
        return -(-len(self.arrays[0]) // self.size)

    def epoch(self, rng):
        n = len(self.arrays[0])
        order = np.arange(n) if rng is None else rng.permutation(n)
        for start in range(0, n, self.size):
            rows = order[start:start + self.size]
            batch = tuple(a[rows] for a in self.arrays)
            yield (self.augment(rng, *batch) if self.augment and rng is not None else batch), len(rows)

    def describe(self):
        """What a checkpoint has to find again."""
        return {"size": self.size, "shapes": [list(a.shape) for a in self.arrays]}


class ByLength:
    """Sequences of different lengths, similar ones together; a batch is (ids, mask) of each sequence of an example.

    examples  a list of tuples of 1-D integer arrays, e.g. (source, target); or a list of such arrays
    size      examples in a batch
    pad       the number that fills up; mask (B, T) is True where there is a token
    pool      so many batches are sorted by length at once: little padding, and still another mixture every epoch

    The weight of a batch is the number of tokens of the last sequence, because its loss is a mean over these.
    """

    def __init__(self, examples, size, pad=0, pool=50):
        self.examples = [e if isinstance(e, tuple) else (e,) for e in examples]
        self.size, self.pad, self.pool = _whole("size", size), pad, _whole("pool", pool)
        if not self.examples:
            raise ValueError("ByLength: there are no sequences; give at least one")
        empty = next((i for i, e in enumerate(self.examples) if min(map(len, e)) == 0), None)
        if empty is not None:
            raise ValueError(f"ByLength: example {empty} has an empty sequence; leave it out, or give it an end token")
        self.lengths = np.array([[len(s) for s in e] for e in self.examples])

    def __len__(self):
        return -(-len(self.examples) // self.size)

    def epoch(self, rng):
        n = len(self.examples)
        order = np.arange(n) if rng is None else rng.permutation(n)
        batches = []
        for start in range(0, n, self.size * self.pool):
            rows = order[start:start + self.size * self.pool]
            rows = rows[np.lexsort(self.lengths[rows].T)]           # the last sequence decides, then the one before
            batches += [rows[i:i + self.size] for i in range(0, len(rows), self.size)]
        for k in range(len(batches)) if rng is None else rng.permutation(len(batches)):
            yield self._batch(batches[k]), int(self.lengths[batches[k], -1].sum())

    def _batch(self, rows):
        return tuple(array for position in range(self.lengths.shape[1])
                     for array in padded([self.examples[i][position] for i in rows], self.pad))

    def describe(self):
        """What a checkpoint has to find again."""
        return {"size": self.size, "pool": self.pool, "examples": len(self.examples), "tokens": int(self.lengths.sum())}


def padded(sequences, pad=0):
    """(ids (B, T), mask (B, T)) of B sequences of at most T tokens, filled up with `pad`."""
    lengths = np.array([len(s) for s in sequences], int)
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    ids = np.full(mask.shape, pad, np.result_type(*sequences, np.int64) if sequences else np.int64)
    ids[mask] = np.concatenate([np.asarray(s) for s in sequences]) if len(sequences) else ()
    return ids, mask


class Windows:
    """Windows of one long sequence: a batch is (x (B, T), y (B, T)), y one token further.

    ids     1-D array of tokens
    length  T
    size    B
    steps   batches in an epoch of random windows; without it, as many as the windows fill

    epoch(None) goes through the whole sequence, window after window.  The weight is the number of tokens.
    """

    def __init__(self, ids, length, size, steps=None):
        self.ids, self.length, self.size = np.asarray(ids), _whole("length", length), _whole("size", size)
        if self.ids.ndim != 1 or len(self.ids) <= length:
            raise ValueError(f"Windows: ids have shape {self.ids.shape}; windows of {length} tokens and the next one "
                             f"need (N) with N > {length}")
        self.steps = steps or -(-len(self._starts()) // size)

    def _starts(self):
        return np.arange(0, len(self.ids) - self.length, self.length)

    def __len__(self):
        return self.steps

    def epoch(self, rng):
        if rng is None:
            starts = self._starts()
            groups = [starts[i:i + self.size] for i in range(0, len(starts), self.size)]
        else:
            groups = (rng.integers(len(self.ids) - self.length, size=self.size) for _ in range(self.steps))
        for starts in groups:
            places = np.asarray(starts)[:, None] + np.arange(self.length)
            yield (self.ids[places], self.ids[places + 1]), places.size

    def describe(self):
        """What a checkpoint has to find again."""
        return {"size": self.size, "length": self.length, "steps": self.steps, "tokens": len(self.ids)}


class Streams:
    """A long sequence cut into B streams that are read side by side, T tokens at a time: truncated backpropagation.

    tokens  1-D array
    size    B
    length  T

    A batch is (x (B, T), y (B, T), begins), y one token further.  begins is True for the first batch of an epoch
    alone: the others go on where the one before ended, so that a state can be carried over.
    The weight is the number of tokens.
    """

    def __init__(self, tokens, size, length):
        self.tokens, self.size, self.length = np.asarray(tokens), _whole("size", size), _whole("length", length)
        if self.tokens.ndim != 1 or len(self.tokens) <= size * length:
            raise ValueError(f"Streams: tokens have shape {self.tokens.shape}; {size} streams of {length} tokens and "
                             "the next one need (N) with N > B T: give more text, or fewer and shorter streams")

    def __len__(self):
        return (len(self.tokens) - 1) // self.size // self.length

    def epoch(self, rng):
        long = (len(self.tokens) - 1) // self.size
        x, y = (self.tokens[i:i + self.size * long].reshape(self.size, long) for i in (0, 1))
        for t in range(0, len(self) * self.length, self.length):
            piece = slice(t, t + self.length)
            yield (x[:, piece], y[:, piece], t == 0), x[:, piece].size

    def describe(self):
        """What a checkpoint has to find again."""
        return {"size": self.size, "length": self.length, "tokens": len(self.tokens)}


class Generated:
    """Batches made on the fly: make(rng) -> a tuple of arrays; `steps` of them are an epoch.

    epoch(None) makes the same batches every time, from `seed`.
    """

    def __init__(self, make, steps, seed=0):
        self.make, self.steps, self.seed = make, _whole("steps", steps), seed

    def __len__(self):
        return self.steps

    def epoch(self, rng):
        rng = np.random.default_rng(self.seed) if rng is None else rng
        for _ in range(self.steps):
            batch = self.make(rng)
            yield batch, len(batch[0])

    def describe(self):
        """What a checkpoint has to find again."""
        return {"steps": self.steps, "seed": self.seed}


class Whole:
    """One batch that holds everything, e.g. a part of a graph; its weight is how many things it counts."""

    def __init__(self, batch, weight):
        self.batch, self.weight = batch, weight

    def __len__(self):
        return 1

    def epoch(self, rng):
        yield self.batch, self.weight

    def describe(self):
        """What a checkpoint has to find again."""
        return {"weight": self.weight}


class Together:
    """Batches of several tasks, each of its own size and length; a batch is a tuple with one batch a task.

    An epoch is as long as the longest task's; the others start anew when they are through.  A batch has one weight a
    task.  With epoch(None) a task that is through still has a batch, for the loss to compute, but the weight 0.
    """

    def __init__(self, *tasks):
        if not tasks:
            raise ValueError("Together: there is no task; give the batches of at least one")
        self.tasks = tasks

    def __len__(self):
        return max(map(len, self.tasks))

    def epoch(self, rng):
        streams = [_forever(task, rng) for task in self.tasks]
        for step in range(len(self)):
            parts = [next(stream) for stream in streams]
            counted = [rng is not None or step < len(task) for task in self.tasks]
            yield (tuple(batch for batch, _ in parts),
                   tuple(weight * counts for (_, weight), counts in zip(parts, counted, strict=True)))

    def describe(self):
        """What a checkpoint has to find again."""
        return {"tasks": [task.describe() for task in self.tasks]}


def _forever(task, rng):
    while True:
        yield from task.epoch(rng)


def _several(arrays):
    """A tuple of arrays, or a list of them; a list of numbers is one array."""
    return isinstance(arrays, tuple) or (isinstance(arrays, list) and all(isinstance(a, np.ndarray) for a in arrays))


def _whole(name, number):
    must_be_whole("batches", name, number)
    return int(number)


# %% What fit takes: batches, or arrays of which it makes them
def of(name, data, size):
    """Batches of `data`: itself where it has epochs, else shuffled arrays of one length, finite throughout."""
    return data if hasattr(data, "epoch") else Shuffled(checked(name, data), size)


def checked(name, arrays):
    """The data as a tuple of arrays of one length, finite throughout."""
    arrays = tuple(np.asarray(a) for a in (arrays if _several(arrays) else (arrays,)))
    if not arrays or any(a.ndim == 0 or a.dtype.kind not in "fiub" for a in arrays):
        raise ValueError(f"fit: {name} holds {[f'{a.dtype} {a.shape}' for a in arrays]}; "
                         "give arrays of numbers whose first axis counts the examples")
    if len({len(a) for a in arrays}) > 1:
        raise ValueError(f"fit: the arrays of {name} have {' and '.join(str(len(a)) for a in arrays)} examples; "
                         "every example needs its entry in each")
    if len(arrays[0]) == 0:
        raise ValueError(f"fit: {name} has no examples; give at least one")
    for i, a in enumerate(arrays):
        if a.dtype.kind == "f" and not np.isfinite(a).all():
            bad = np.flatnonzero(~np.isfinite(a.reshape(len(a), -1)).all(axis=1))
            raise ValueError(f"fit: array {i} of {name} has NaN or inf in {len(bad)} of {len(a)} examples "
                             f"(the first is {bad[0]}); repair or leave out those")
    return arrays
