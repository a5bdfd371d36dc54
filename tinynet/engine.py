"""The engine: a tape of forward/backward pairs on NumPy arrays, with no mathematics in it.

    >>> import tinynet as tn
    >>> x = tn.Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4.])

An `Op` wraps a pair `forward(*arrays, **settings) -> y, cache` and `backward(dy, cache) -> one
gradient per array`.  Calling it on tensors leaves a `Step` on the result: the backward, its cache
and the tensors it came from.  `Tensor.backward` walks these steps from the end to the leaves.
"""

from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from tinynet import backend

_grad_enabled = ContextVar("grad_enabled", default=True)
_watch = None           # tinynet.debug() puts its observer here


# %% Tensor
class Tensor:
    """An array that remembers how it was computed.

    data           anything np.asarray takes; float arrays keep their dtype, a list gives float64
    requires_grad  True for a leaf whose gradient is wanted; raises TypeError unless it is floating

    `.grad` is None until a backward pass reaches the leaf; further passes add to it.
    """

    __slots__ = ("data", "grad", "name", "requires_grad", "step")
    __array_priority__ = 1000       # array + tensor asks the tensor
    __hash__ = object.__hash__

    def __init__(self, data, requires_grad=False, name=None):
        if isinstance(data, (list, tuple)) and any(isinstance(x, Tensor) for x in data):
            raise TypeError("a list of tensors would lose their gradients; put them together with ops.stack(*tensors)")
        self.data = data.data if isinstance(data, Tensor) else np.asarray(data)
        self.grad = self.step = None
        self.name = name
        if self.data.dtype.kind not in "fiubc":
            raise TypeError(f"a tensor holds numbers, and this data is {self.data.dtype}; convert it to numbers first")
        if requires_grad:
            _must_float(self.data)
        self.requires_grad = requires_grad

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)

    def numpy(self):
        """The array itself (not a copy)."""
        return self.data

    def item(self):
        """The value of a tensor with one entry, as a Python number."""
        return self.data.item()

    def detach(self):
        """A tensor on the same array that gradients don't flow through."""
        return Tensor(self.data)

    def zero_grad(self):
        """Forget the gradient; the next backward pass starts from nothing."""
        self.grad = None

    def __array__(self, dtype=None, copy=None):
        if copy is False and dtype is not None and dtype != self.dtype:
            raise ValueError(f"a {self.dtype} tensor can't be seen as {np.dtype(dtype)} without a copy")
        return np.array(self.data, dtype=dtype, copy=copy)

    def __len__(self):
        if not self.shape:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __bool__(self):
        return bool(self.data)

    def __float__(self):
        return float(self.data)

    def __repr__(self):
        origin = f", from={self.step.op.name}" if self.step else ", requires_grad" if self.requires_grad else ""
        name = f", name={self.name!r}" if self.name else ""
        values = np.array2string(self.data, precision=4, threshold=20, separator=", ", prefix="Tensor(")
        return f"Tensor({values}, shape={self.shape}, {self.dtype}{name}{origin})"

    def backward(self, dy=None):
        """Add dL/dleaf to `.grad` of every leaf that asked for it.

        dy  dL/dself, of this tensor's shape; may be left out for a single number, where it is 1

        Raises RuntimeError when nothing here asked for a gradient, ValueError on a wrong dy.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: no tensor behind this one has requires_grad=True "
                               "(or it was made under no_grad), so there is nothing to differentiate")
        dy = self._upstream(dy)
        grads = {id(self): dy}          # id -> dL/dtensor, held only until it is used
        taken = {id(_memory(dy))}       # what may not become a leaf's own: the caller's array, other leaves'
        for tensor in _after_its_users(self):
            dy = grads.pop(id(tensor), None)
            if dy is None:
                continue
            if tensor.step is None:
                _must_float(tensor.data)
                if id(_memory(dy)) in taken or not dy.flags.writeable or dy.dtype != tensor.dtype:
                    dy = np.array(dy, tensor.dtype)
                taken.add(id(_memory(dy)))
                tensor.grad = dy if tensor.grad is None else tensor.grad + dy
                continue
            for parent, d in zip(tensor.step.parents, tensor.step.gradients(dy), strict=False):
                if d is not None and parent is not None and parent.requires_grad:
                    if d.shape != parent.data.shape:
                        raise ValueError(f"{tensor.step.op.name}: its backward returned a gradient of shape {d.shape} "
                                         f"for an array of shape {parent.data.shape}; they must be equal")
                    grads[id(parent)] = grads[id(parent)] + d if id(parent) in grads else d

    def _upstream(self, dy):
        if dy is None:
            if self.size != 1:
                raise ValueError(f"backward: a tensor of shape {self.shape} has no single gradient; reduce it first, "
                                 "e.g. y.sum().backward(), or pass dy of its shape")
            return np.ones(self.shape, self.dtype)
        dy = np.asarray(dy, self.dtype)
        if dy.shape != self.shape:
            raise ValueError(f"backward: dy has shape {dy.shape}, the tensor {self.shape}; they must be equal")
        return dy


def _must_float(array):
    if array.dtype.kind != "f":
        raise TypeError(f"a gradient needs floating numbers, and this tensor holds {array.dtype}; "
                        "convert the data first, e.g. data.astype(np.float32)")


def _memory(array):
    """The array that owns the memory which `array` looks at."""
    return array if array.base is None else array.base


def _after_its_users(root):
    """Every tensor behind `root` that wants a gradient, each after all that were computed from it.

    Counts users first, then releases a tensor when its last user has gone (Kahn 1962): no
    recursion, and time linear in the number of steps.
    """
    users, found = {id(root): 0}, [root]
    for tensor in found:
        for parent in tensor.step.parents if tensor.step else ():
            if parent is None or not parent.requires_grad:
                continue
            if id(parent) not in users:
                users[id(parent)] = 0
                found.append(parent)
            users[id(parent)] += 1
    ready = [root]
    while ready:
        tensor = ready.pop()
        yield tensor
        for parent in tensor.step.parents if tensor.step else ():
            if parent is None or not parent.requires_grad:
                continue
            users[id(parent)] -= 1
            if users[id(parent)] == 0:
                ready.append(parent)


# %% Op
class Step:
    """One entry of the tape: what was done, how to undo it, and where it came from."""

    __slots__ = ("backward", "cache", "memo", "op", "parents")

    def __init__(self, op, backward, cache, parents):
        self.op, self.backward, self.cache, self.parents = op, backward, cache, parents
        self.memo = None                # what debug() wrote down at the forward pass

    def gradients(self, dy):
        """One gradient (or None) per parent."""
        if _watch:
            _watch.before_backward(self, dy)
        grads = self.backward(dy, self.cache)
        if type(grads) is not tuple:
            grads = tuple(grads) if type(grads) is list else (grads,)
        if len(grads) < len(self.parents):      # more are right: optional arrays that were left out
            raise TypeError(f"{self.op.name}: its backward returned {len(grads)} gradients for {len(self.parents)} "
                            "arrays; return one each, None where there is none")
        if _watch:
            _watch.after_backward(self, grads)
        return grads


class Op:
    """A forward/backward pair on arrays, made to work on tensors.

    forward    forward(*arrays, **settings) -> y, cache
    backward   backward(dy, cache) -> one gradient per array (None where there is none)
    fast       the fast twins (forward, backward), or None where plain NumPy already wins
    fast_when  fast_when(*arrays) -> were the twins measured to be faster on such arrays?
    """

    def __init__(self, forward, backward, fast=None, fast_when=lambda *arrays: True):
        self.forward, self.backward, self.fast, self.fast_when = forward, backward, fast, fast_when
        self.name = forward.__name__.removesuffix("_forward")
        self.__doc__ = forward.__doc__

    def __repr__(self):
        return f"Op({self.name})"

    def pair(self, *arrays):
        """The (forward, backward) that the backend in force chooses for these arrays."""
        if self.fast and backend.runs_fast(self.fast_when, arrays):
            return self.fast
        return self.forward, self.backward

    def __call__(self, *inputs, **settings):
        """Inputs are tensors, arrays or None; settings are what no gradient flows to."""
        tensors = [x if isinstance(x, Tensor) else None for x in inputs]
        arrays = [x if x is None else np.asarray(x) if t is None else t.data
                  for x, t in zip(inputs, tensors, strict=True)]
        forward, backward = self.pair(*arrays)
        returned = forward(*arrays, **settings)
        if type(returned) is not tuple or len(returned) != 2:
            raise TypeError(f"{self.name}: its forward must return two things, y and the cache")
        y, cache = returned
        out = Tensor(y)
        if _grad_enabled.get() and True in [t is not None and t.requires_grad for t in tensors]:
            out.step = Step(self, backward, cache, tensors)
            out.requires_grad = True
        if _watch:
            _watch.after_forward(self, arrays, out)
        return out


# %% The switch
@contextmanager
def no_grad():
    """Inside this context nothing is written on the tape."""
    token = _grad_enabled.set(False)
    try:
        yield
    finally:
        _grad_enabled.reset(token)
