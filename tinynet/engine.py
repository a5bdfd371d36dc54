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

import inspect
import math
import weakref
from contextlib import contextmanager
from contextvars import ContextVar
from operator import attrgetter

import numpy as np

from tinynet import backend

_grad_enabled = ContextVar("grad_enabled", default=True)
_watch = None           # tinynet.debug() puts its observer here
_changes = 0            # how many times an array of a tensor was changed in place
_touched = {}           # id of the memory that was changed -> (a weak reference to it, _changes then)


# %% Tensor
class Tensor:
    """An array that remembers how it was computed.

    data           anything np.asarray takes; float arrays keep their dtype, a list gives float64
    requires_grad  True for a leaf whose gradient is wanted; raises TypeError unless it is floating

    `.grad` is None until a backward pass reaches the leaf; further passes add to it.
    """

    __slots__ = ("_data", "grad", "name", "requires_grad", "step")
    __array_priority__ = 1000       # array + tensor asks the tensor
    __hash__ = object.__hash__

    def __init__(self, data, requires_grad=False, name=None):
        if isinstance(data, (list, tuple)) and any(isinstance(x, Tensor) for x in data):
            raise TypeError("a list of tensors would lose their gradients; put them together with ops.stack(*tensors)")
        self._data = data._data if isinstance(data, Tensor) else np.asarray(data)
        self.grad = self.step = None
        self.name = name
        if self._data.dtype.kind not in "fiubc":
            raise TypeError(f"a tensor holds numbers, and this data is {self._data.dtype}; convert it to numbers first")
        if requires_grad:
            _must_float(self._data)
        self.requires_grad = requires_grad

    def _replace(self, array):
        """`t.data = array`, and what Python makes of `t.data -= step`: then the same array comes back, changed."""
        global _changes
        if array is self._data:
            _changes += 1
            owner = _memory(array)
            _touched[id(owner)] = weakref.ref(owner), _changes
        self._data = array

    data = property(attrgetter("_data"), _replace, doc="The array itself.")
    shape = property(attrgetter("_data.shape"))
    ndim = property(attrgetter("_data.ndim"))
    size = property(attrgetter("_data.size"))
    dtype = property(attrgetter("_data.dtype"))

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

    def backward(self, dy=None):
        """Add dL/dleaf to `.grad` of every leaf that asked for it.

        dy  dL/dself, of this tensor's shape; may be left out for a single number, where it is 1

        Raises RuntimeError when nothing here asked for a gradient, ValueError on a wrong dy.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: no tensor behind this one has requires_grad=True "
                               "(or it was made under no_grad), so there is nothing to differentiate")
        dy = self._upstream(dy)
        # Arrays that a leaf must copy before it keeps them, because someone else owns them.
        taken = {id(_memory(dy))}
        for leaf, d in _arriving(self, dy, ()):
            _must_float(leaf._data)
            if id(_memory(d)) in taken or not d.flags.writeable or d.dtype != leaf._data.dtype:
                d = np.array(d, leaf._data.dtype)
            taken.add(id(_memory(d)))
            leaf.grad = d if leaf.grad is None else leaf.grad + d

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
    return array.base if isinstance(array.base, np.ndarray) else array


def gradients(y, leaves, dy=None):
    """[dL/dtensor] for each tensor of `leaves`, as arrays; no `.grad` is read or changed.

    leaves  tensors that y was computed from, parameters or intermediate results
    dy      dL/dy, of y's shape; may be left out for a single number, where it is 1

    A tensor that y doesn't depend on has the gradient 0.  Raises what `Tensor.backward` raises.
    """
    if isinstance(leaves, Tensor):
        raise TypeError("gradients: leaves is one tensor; give a list, gradients(y, [x])")
    if not y.requires_grad:
        raise RuntimeError("gradients: no tensor behind y has requires_grad=True (or it was made under no_grad)")
    found = {}
    for tensor, d in _arriving(y, y._upstream(dy), {id(leaf) for leaf in leaves}):
        found[id(tensor)] = d
    return [np.array(found[id(leaf)]) if id(leaf) in found else np.zeros_like(leaf._data) for leaf in leaves]


def _arriving(root, dy, wanted):
    """Yield (tensor, dL/dtensor) for every leaf, and for every tensor whose id is in `wanted`."""
    grads = {id(root): dy}          # id -> dL/dtensor, held only until it is used
    for tensor in _after_its_users(root):
        dy = grads.pop(id(tensor), None)
        if dy is None:
            continue
        if tensor.step is None or id(tensor) in wanted:
            yield tensor, dy
        if tensor.step is None:
            continue
        for parent, d in zip(tensor.step.parents, tensor.step.gradients(dy), strict=False):
            if d is not None and parent is not None and parent.requires_grad:
                if d.shape != parent._data.shape:
                    raise ValueError(f"{tensor.step.op.name}: its backward returned a gradient of shape {d.shape} "
                                     f"for an array of shape {parent._data.shape}; they must be equal")
                grads[id(parent)] = grads[id(parent)] + d if id(parent) in grads else d


def _after_its_users(root):
    """Yield the tensors that `root` was computed from.  A tensor comes after every tensor that uses it.

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

    __slots__ = ("backward", "cache", "changes", "memo", "op", "parents")

    def __init__(self, op, backward, cache, parents):
        self.op, self.backward, self.cache, self.parents = op, backward, cache, parents
        self.changes = _changes         # those before this step was made
        self.memo = None                # what debug() wrote down at the forward pass

    def gradients(self, dy):
        """One gradient (or None) per parent.

        Raises RuntimeError where a parent that the cache holds was changed in place after the forward pass.
        """
        if _watch:
            _watch.before_backward(self, dy)
        if self.changes != _changes:
            self._must_be_unchanged()
        grads = self.backward(dy, self.cache)
        if type(grads) is not tuple:
            grads = tuple(grads) if type(grads) is list else (grads,)
        # More gradients than arrays is allowed: optional arrays may have been left out.
        if len(grads) < len(self.parents) or len(grads) > self.op.most:
            raise TypeError(f"{self.op.name}: its backward returned {len(grads)} gradients for {len(self.parents)} "
                            "arrays; return one each, None where there is none")
        if _watch:
            _watch.after_backward(self, grads)
        return grads

    def _must_be_unchanged(self):
        for i, parent in enumerate(self.parents):
            if parent is not None and _changed_after(parent._data, self.changes) and _holds(self.cache, parent._data):
                raise RuntimeError(f"{self.op.name}: its input {i} was changed in place (by an optimiser's step, or "
                                   "by p.data -= ...) after the forward pass, and its backward needs the old numbers; "
                                   "call backward before the change, or run the forward pass again")


def _changed_after(array, changes):
    """Was the memory that this array looks at changed in place since then, by whichever tensor?"""
    owner = _memory(array)
    reference, when = _touched.get(id(owner), (lambda: None, 0))
    return when > changes and reference() is owner


def _holds(cache, array):
    """Does an array in nested tuples, lists and dictionaries look at this memory?"""
    if isinstance(cache, (tuple, list)):
        return any(_holds(part, array) for part in cache)
    if isinstance(cache, dict):
        return any(_holds(part, array) for part in cache.values())
    return isinstance(cache, np.ndarray) and np.may_share_memory(cache, array)


class Op:
    """A forward/backward pair on arrays, made to work on tensors.

    forward    forward(*arrays, **settings) -> y, cache
    backward   backward(dy, cache) -> one gradient per array (None where there is none)
    fast       the fast twins (forward, backward), or None where plain NumPy already wins
    fast_when  fast_when(*arrays) -> were the twins measured to be faster on such arrays?
    counts     of a loss that is a mean over something else than the rows: counts(cache) -> over how many
    """

    def __init__(self, forward, backward, fast=None, fast_when=lambda *arrays: True, counts=None):
        self.forward, self.backward, self.fast, self.fast_when = forward, backward, fast, fast_when
        self.counts = counts
        self.name = forward.__name__.removesuffix("_forward")
        self.most = _most_arrays(forward)
        self.__doc__ = forward.__doc__

    def __repr__(self):
        twins = "plain and fast" if self.fast else "plain"
        return f"Op({self.name}{inspect.signature(self.forward)}, {twins})"

    def pair(self, *arrays):
        """The (forward, backward) that the backend in force chooses for these arrays."""
        if self.fast and backend.runs_fast(self.fast_when, arrays) and not any(map(_is_half, arrays)):
            return self.fast
        return self.forward, self.backward

    def __call__(self, *inputs, **settings):
        """Inputs are tensors, arrays or None; settings are what no gradient flows to."""
        tensors = [x if isinstance(x, Tensor) else None for x in inputs]
        arrays = [x if x is None else np.asarray(x) if t is None else t._data
                  for x, t in zip(inputs, tensors, strict=True)]
        forward, backward = self.pair(*arrays)
        returned = forward(*arrays, **settings)
        if type(returned) is not tuple or len(returned) != 2:
            raise TypeError(f"{self.name}: its forward must return two things, y and the cache")
        y, cache = returned
        if type(y) is tuple or type(y) is list:
            raise TypeError(f"{self.name}: its forward returned {len(y)} arrays, but an op returns one; stack them on "
                            "a leading axis (np.stack), and take them apart with y[0], y[1], ...")
        out = Tensor(y)
        if _grad_enabled.get() and True in [t is not None and t.requires_grad for t in tensors]:
            out.step = Step(self, backward, cache, tensors)
            out.requires_grad = True
        if _watch:
            _watch.after_forward(self, arrays, out)
        return out


def _is_half(array):
    """float16 has no fast twins: the kernels are compiled for float32 and float64."""
    return isinstance(array, np.ndarray) and array.dtype == np.float16


def _most_arrays(forward):
    """The most arrays that forward takes, by its signature; settings count, too, where nothing tells them apart."""
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):         # some builtins have no signature
        return math.inf
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return math.inf
    return sum(p.kind is not p.KEYWORD_ONLY and p.kind is not p.VAR_KEYWORD for p in parameters)


# %% The switch
@contextmanager
def no_grad():
    """Inside this context nothing is written on the tape."""
    token = _grad_enabled.set(False)
    try:
        yield
    finally:
        _grad_enabled.reset(token)
