"""Variants of an exercise, so that handing in our own public backward earns nothing.

A rule, drawn from a secret and the student's name, changes a block in four ways: one array comes transposed, the first
array is scaled, a function follows, and the arrays have other names:

    y = tanh(linear(2 u, M^T, q))

The right gradient comes from the engine's tape, so no new backward has to be written.
"""

import hashlib
import hmac
import inspect
import re
from typing import NamedTuple

import numpy as np

from tinynet import backend, cases, ops
from tinynet.blocks.units.activations import sigmoid, tanh
from tinynet.engine import Op, Tensor
from tinynet.exercises import described

FACTORS = (0.5, 2.0, -1.0, 3.0, -0.5)
OUTSIDE = {"tanh": tanh, "sigmoid": sigmoid, "square": lambda y: y * y, "cube": lambda y: y * y * y}
LETTERS = tuple("upqmvgejtrfcdkwnshabz")


class Rule(NamedTuple):
    """How a block is changed; `text` is how a sheet and a stub hold it.

    transposed  the index of the array whose last two axes are exchanged, -1 for none
    factor      the first array with a gradient is multiplied by it
    outside     the name of the function that follows, one of OUTSIDE
    names       the arrays' names
    """

    transposed: int
    factor: float
    outside: str
    names: tuple

    text = property(lambda self: f"{self.transposed},{self.factor},{self.outside},{'.'.join(self.names)}")

    @classmethod
    def read(cls, text):
        """The Rule of a text.  Raises ValueError."""
        m = re.fullmatch(r"(-?\d+),(-?\d+\.\d+),(\w+),([a-z](?:\.[a-z])*)", text)
        if not m or m[3] not in OUTSIDE:
            raise ValueError(f"{text!r} is no rule of a variant; take the sheet or the stub as it was written")
        return cls(int(m[1]), float(m[2]), m[3], tuple(m[4].split(".")))


def draw(name, secret, student):
    """The Rule of this block for this student."""
    case = cases.of(name)[0]
    digest = hmac.new(secret or b"practice", f"{student}\0{name}".encode(), hashlib.sha256).digest()
    rng = np.random.default_rng(list(digest))
    axes = described.letters(case)
    matrices = [i for i in described.gradients(case) if len(axes[i].split()) >= 2]
    weights = [i for i in matrices if i > 0] or matrices
    free = [letter for letter in LETTERS if letter not in inspect.signature(case.op.forward).parameters]
    names = [str(n) for n in rng.permutation(free)[:len(described.names(case.op, len(axes)))]]
    return Rule(int(rng.choice(weights)) if weights else -1, float(rng.choice(FACTORS)),
                str(rng.choice(list(OUTSIDE))), tuple(names))


def of_student(exercise, secret, student):
    """The exercise as this student's variant; forward and backward are to be written."""
    return exercise._replace(parts="both", variant=draw(exercise.name, secret, student).text)


# %% The variant as an op
class VariantOp(Op):
    """The op of a variant; `block` is the op that it was made from."""

    def __init__(self, block, rule):
        first = described.gradients(cases.of(block.name)[0])[0]

        def value(arrays, settings):
            """(y, leaves) on the tape."""
            leaves = [Tensor(a, requires_grad=True) if a is not None and a.dtype.kind == "f" else a for a in arrays]
            given = list(leaves)
            given[first] = given[first] * given[first].dtype.type(rule.factor)
            if rule.transposed >= 0:
                given[rule.transposed] = ops.transpose(given[rule.transposed], axes=_swapped(given[rule.transposed]))
            with backend.use_backend("plain"):
                return OUTSIDE[rule.outside](block(*given, **settings)), leaves

        def forward(*arrays, **settings):
            y, leaves = value(arrays, settings)
            return y.data, (y, leaves)

        def backward(dy, cache):
            y, leaves = cache
            for leaf in leaves:
                if isinstance(leaf, Tensor):
                    leaf.zero_grad()
            y.backward(dy)
            return tuple(leaf.grad if isinstance(leaf, Tensor) else None for leaf in leaves)

        forward.__name__, backward.__name__ = f"{block.name}_variant_forward", f"{block.name}_variant_backward"
        forward.__signature__ = _renamed(block.forward, rule.names)
        super().__init__(forward, backward)
        self.block, self.rule = block, rule


def _swapped(a):
    return (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2)


def _renamed(function, names):
    """The function's signature with other names for its arrays."""
    parameters = list(inspect.signature(function).parameters.values())
    count = len(described.names(cases.of(function.__name__.removesuffix("_forward"))[0].op))
    renamed = [p.replace(name=names[i]) if i < min(len(names), count) else p for i, p in enumerate(parameters)]
    return inspect.Signature(renamed)


def cases_of(name, text):
    """The cases of a variant: those of the block, with the transposed array the other way round.  Raises ValueError."""
    rule = Rule.read(text)
    op = VariantOp(cases.of(name)[0].op, rule)

    def changed(case):
        def make(rng, **sizes):
            _, arrays, settings = cases.draw(case, rng, **sizes)
            arrays = list(arrays)
            if rule.transposed >= 0:
                arrays[rule.transposed] = np.ascontiguousarray(np.swapaxes(arrays[rule.transposed], -1, -2))
            return arrays, settings
        return case._replace(name=f"{case.name}_variant", op=op, make=make)
    return [changed(case) for case in cases.of(name)
            if len(described.letters(case)) > rule.transposed and _fits(case, rule)]


def _fits(case, rule):
    axes = described.letters(case)
    return rule.transposed < 0 or len(axes[rule.transposed].split()) >= 2


def in_words(name, text):
    """y = tanh(linear(2 u, M^T, q)): what is asked for, with the arrays' new names."""
    rule, case = Rule.read(text), cases.of(name)[0]
    first = described.gradients(case)[0]
    given = []
    for i, letter in enumerate(rule.names):
        scaled = f"{rule.factor:g} {letter}" if i == first else letter
        given.append(f"{scaled}^T" if i == rule.transposed else scaled)
    old = ", ".join(f"{new} is {old}" for new, old in zip(rule.names, described.names(case.op), strict=False))
    inside = f"{name}({', '.join(given)})"
    outside = {"square": f"{inside}^2", "cube": f"{inside}^3"}.get(rule.outside, f"{rule.outside}({inside})")
    transposed = f"; {rule.names[rule.transposed]} comes transposed (its last two axes are exchanged)"
    return f"y = {outside}, where {old}{transposed if rule.transposed >= 0 else ''}"
