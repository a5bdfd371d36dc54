"""The engine: a tape of forward/backward pairs on NumPy arrays, with no mathematics in it.

    >>> import tinynet as tn
    >>> x = tn.Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4.])

An `Op` wraps a pair `forward(*arrays, **settings) -> y, cache` and `backward(dy, cache) -> one
gradient per array`.  Calling it on tensors leaves a `Step` on the result: the backward, its cache
and where its arrays came from, which is a step or a leaf.  `Tensor.backward` walks these steps from
the youngest to the oldest: a step is younger than all that it came from.  The tape holds steps, not
tensors: an array between them lives only as long as a cache needs it.
"""

import inspect
import math
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter

import numpy as np

from tinynet import backend, changes
from tinynet.like_an_array import LikeAnArray

_numbers = count()      # of the steps, in the order in which they are made
SMALL = 4               # so many entries of a result are kept for drawings


# %% Tensor
class Tensor(LikeAnArray):
    """An array that remembers how it was computed.

    data           anything np.asarray takes; float arrays keep their dtype, a list gives float64
    requires_grad  True for a leaf whose gradient is wanted; raises TypeError unless it is floating

    `.grad` is None until a backward pass reaches the leaf; further passes add to it.
    """

    __slots__ = ("_data", "_name", "count", "grad", "requires_grad", "step")
    __hash__ = object.__hash__

    def __init__(self, data, requires_grad=False, name=None):
        if isinstance(data, (list, tuple)) and any(isinstance(x, Tensor) for x in data):
            raise TypeError("a list of tensors would lose their gradients; put them together with ops.stack(*tensors)")
        self._data = data._data if isinstance(data, Tensor) else np.asarray(data)
        self.grad = self.step = self.count = None       # count: what a loss is a mean over, where its op says so
        self._name = name
        if self._data.dtype.kind not in "fiubc":
            raise TypeError(f"a tensor holds numbers, and this data is {self._data.dtype}; convert it to numbers first")
        if requires_grad:
            _must_float(self._data)
        self.requires_grad = requires_grad

    @classmethod
    def _of(cls, array):
        """A tensor on what an op computed, which needs no checks."""
        tensor = cls.__new__(cls)
        tensor._data = array if type(array) is np.ndarray else np.asarray(array)
        tensor._name = tensor.count = tensor.grad = tensor.step = None
        tensor.requires_grad = False
        return tensor

    def _replace(self, array):
        """`t.data = array`, and what Python makes of `t.data -= step`: then the same array comes back, changed."""
        if array is self._data:
            changes.note(array)
        self._data = array

    def _rename(self, name):
        (self if self.step is None else self.step)._name = name

    data = property(attrgetter("_data"), _replace, doc="The array itself.")
    name = property(lambda self: (self if self.step is None else self.step)._name, _rename,
                    doc="What drawings and messages call it.")

    def detach(self):
        """A tensor on the same array that gradients don't flow through."""
        return Tensor(self.data)

    def zero_grad(self):
        """Forget the gradient; the next backward pass starts from nothing."""
        self.grad = None

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
        taken = {id(changes.memory(dy))}
        for leaf, d in _arriving(self, dy):
            _must_float(leaf._data)
            if id(changes.memory(d)) in taken or not d.flags.writeable or d.dtype != leaf._data.dtype:
                d = np.array(d, leaf._data.dtype)
            taken.add(id(changes.memory(d)))
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


def gradients(y, leaves, dy=None):
    """[dL/dtensor] for each tensor of `leaves`, as arrays; no `.grad` is read or changed.

    leaves  tensors that y was computed from, parameters or intermediate results
    dy      dL/dy, of y's shape; may be left out for a single number, where it is 1

    A tensor that y doesn't depend on has the gradient 0.  Raises what `Tensor.backward` raises.
    """
    if isinstance(leaves, Tensor):
        raise TypeError("gradients: leaves is one tensor; give a list, gradients(y, [x])")
    leaves = list(leaves)
    for i, leaf in enumerate(leaves):
        if not leaf.requires_grad:
            raise TypeError(f"gradients: tensor {i} of leaves has no requires_grad=True, so nothing was kept for it")
    if not y.requires_grad:
        raise RuntimeError("gradients: no tensor behind y has requires_grad=True (or it was made under no_grad)")
    places = [leaf.step or leaf for leaf in leaves]
    found = dict(_arriving(y, y._upstream(dy), set(places)))
    return [np.array(found[place], leaf._data.dtype) if place in found else np.zeros_like(leaf._data)
            for place, leaf in zip(places, leaves, strict=True)]


def _arriving(root, dy, wanted=frozenset()):
    """Yield (place, dL/dplace) for every step that is in `wanted`, and at the end for every leaf."""
    place = root.step or root
    grads, waiting = {place: dy}, []            # place -> dL/dplace, held only until it is used; steps that have one
    if root.step:
        waiting.append((-place.number, place))
    while waiting:
        step = heappop(waiting)[1]              # the youngest: everything that uses it has been here
        dy = grads.pop(step)
        if step in wanted:
            yield step, dy
        for place, d in zip(step.parents, step.gradients(dy), strict=False):
            if d is None or place is None or not place.requires_grad:
                continue
            if d.shape != place.shape:
                raise ValueError(f"{step.op.name}: its backward returned a gradient of shape {d.shape} "
                                 f"for an array of shape {place.shape}; they must be equal")
            if place in grads:
                grads[place] = grads[place] + d
            else:
                grads[place] = d
                if type(place) is Step:
                    heappush(waiting, (-place.number, place))
    yield from grads.items()


# %% Op
class Step:
    """One entry of the tape: what was done, how to undo it, and where its arrays came from.

    parents  for each array the step that computed it, the leaf, or None where there was no tensor
    number   larger than that of every step before
    value    the result itself where it is small, for drawings
    memo     what debug() wrote down at the forward pass
    """

    __slots__ = ("_name", "backward", "cache", "changes", "memo", "number", "op", "parents", "shape", "value")
    requires_grad = True

    def __init__(self, op, backward, cache, parents, y):
        self.op, self.backward, self.cache, self.parents = op, backward, cache, parents
        self.number, self.changes = next(_numbers), changes.count
        self.shape, self.value = y.shape, None
        if y.size <= SMALL:
            self.value = y if y.base is None else y.copy()      # a view would keep the array that it looks at
        self.memo = self._name = None

    name = property(attrgetter("_name"), doc="What the user called the result.")

    def gradients(self, dy):
        """One gradient (or None) per parent.

        Raises RuntimeError where an array that the cache holds was changed in place after the forward pass.
        """
        watch = backend.watch
        if watch:
            watch.before_backward(self, dy)
        if self.changes != changes.count and changes.since(self.changes, self.cache):
            raise RuntimeError(f"{self.op.name}: an array that its backward needs was changed in place (by an "
                               "optimiser's step, or by p.data -= ...) after the forward pass; call backward before "
                               "the change, or run the forward pass again")
        grads = self.backward(dy, self.cache)
        if type(grads) is not tuple:
            grads = tuple(grads) if type(grads) is list else (grads,)
        # More gradients than arrays is allowed: optional arrays may have been left out.
        if len(grads) < len(self.parents) or len(grads) > self.op.most:
            raise TypeError(f"{self.op.name}: its backward returned {len(grads)} gradients for {len(self.parents)} "
                            "arrays; return one each, None where there is none")
        if watch:
            watch.after_backward(self, grads)
        return grads


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
        if self.fast and backend.runs_fast(self.fast_when, arrays):
            return self.fast
        return self.forward, self.backward

    def __call__(self, *inputs, **settings):
        """Inputs are tensors, arrays or None; settings are what no gradient flows to."""
        parents, arrays, wanted = [], [], False
        for x in inputs:
            if isinstance(x, Tensor):
                parents.append(x.step or x)
                arrays.append(x._data)
                wanted = wanted or x.requires_grad
            else:
                parents.append(None)
                arrays.append(x if x is None else self._array(x))
        forward, backward = self.pair(*arrays) if self.fast else (self.forward, self.backward)
        returned = forward(*arrays, **settings)
        if type(returned) is not tuple or len(returned) != 2:
            raise TypeError(f"{self.name}: its forward must return two things, y and the cache")
        y, cache = returned
        if type(y) is tuple or type(y) is list:
            raise TypeError(f"{self.name}: its forward returned {len(y)} arrays, but an op returns one; stack them on "
                            "a leading axis (np.stack), and take them apart with y[0], y[1], ...")
        out = Tensor._of(y)
        if self.counts:
            out.count = self.counts(cache)
        if wanted and backend.writes_tape():
            out.step = Step(self, backward, cache, parents, out._data)
            out.requires_grad = True
        if backend.watch:
            backend.watch.after_forward(self, arrays, out)
        return out

    _array = staticmethod(np.asarray)       # what forward gets for an input that is no tensor


def _most_arrays(forward):
    """The most arrays that forward takes, by its signature; settings count, too, where nothing tells them apart."""
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):         # some builtins have no signature
        return math.inf
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return math.inf
    return sum(p.kind is not p.KEYWORD_ONLY and p.kind is not p.VAR_KEYWORD for p in parameters)
