"""What a tensor has in common with the array that it holds: its shape, its length, its numbers, its text."""

from operator import attrgetter

import numpy as np


class LikeAnArray:
    """The part of a Tensor that looks at `data` alone, and says no where its gradient would be lost."""

    __slots__ = ()
    __array_priority__ = 1000       # array + tensor asks the tensor
    shape = property(attrgetter("data.shape"))
    ndim = property(attrgetter("data.ndim"))
    size = property(attrgetter("data.size"))
    dtype = property(attrgetter("data.dtype"))

    def numpy(self):
        """The array itself (not a copy)."""
        return self.data

    def item(self):
        """The value of a tensor with one entry, as a Python number."""
        return self.data.item()

    def __array__(self, dtype=None, copy=None):
        if self.requires_grad:
            raise TypeError("NumPy would take the array out of a tensor and lose its gradient; use the op of "
                            "tinynet.ops, or take t.data for the array itself")
        if copy is False and dtype is not None and dtype != self.dtype:
            raise ValueError(f"a {self.dtype} tensor can't be seen as {np.dtype(dtype)} without a copy")
        return np.array(self.data, dtype=dtype, copy=copy)

    def __len__(self):
        if not self.shape:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self.data)

    def __float__(self):
        if self.requires_grad:
            raise TypeError("float() and Python's math would lose the gradient; use t.item() for the number, or ops "
                            "such as t.exp()")
        return float(self.data)

    def __repr__(self):
        origin = f", from={self.step.op.name}" if self.step else ", requires_grad" if self.requires_grad else ""
        name = f", name={self.name!r}" if self.name else ""
        values = np.array2string(self.data, precision=4, threshold=20, separator=", ", prefix="Tensor(")
        return f"Tensor({values}, shape={self.shape}, {self.dtype}{name}{origin})"
