"""Our blocks written out with the spots where mistakes are made.

A recipe computes what its block computes, from tensors, and names its spots:

    valve("name", t)                 a path by which a gradient flows back.  Closed, t counts as a constant:
                                     the gradient that is left lacks exactly that term.  Or it has the wrong sign.
    valve.where("name", c, a, b)     a threshold or mask.  Turned, the gradient flows on the wrong side of it;
                                     forgotten, it flows by a everywhere.
    valve.softmax("name", s)         a softmax with all the mistakes that its backward invites
    valve.activation("name", z, f)   tanh, sigmoid: skipped, or its input where its output belongs
    valve.gated("name", g, t)        g t, where the gate may be skipped on the way back

A mistake changes the gradient alone, never a value; but a threshold may be turned altogether, as in a backward
that computes what is above the threshold again.  The diagnosis makes every mistake in turn and looks
which one gives the wrong gradient.
"""

from typing import NamedTuple

import numpy as np

from tinynet import ops
from tinynet.check.slopes import softmax_mistakes
from tinynet.engine import Op

CLOSED = "closed"


class Mistake(NamedTuple):
    """What can go wrong at one spot.  how: CLOSED, "turned", "forgotten" ..., or which of the wrong backwards."""

    spot: str
    how: object
    kind: str
    sentence: str


class Valves:
    """The spots of a recipe; `made` are the mistakes made in this run, (spot, how) pairs."""

    def __init__(self, made=()):
        self.made, self.mistakes = dict(made), {}

    def _mistake(self, spot, how, kind, sentence):
        self.mistakes[spot, how] = Mistake(spot, how, kind, sentence)

    def __call__(self, spot, tensor, kind="term"):
        what = "the identity path is missing" if kind == "identity" else f"one of several terms is missing: {spot}"
        self._mistake(spot, CLOSED, kind, what)
        self._mistake(spot, "negated", "sign", f"one term has the wrong sign: {spot}")
        alone = tensor.detach()
        return {CLOSED: alone, "negated": 2 * alone - tensor}.get(self.made.get(spot), tensor)

    def each(self, spot, tensor, count, step):
        """The same tensor once for each step of a loop: one step may be left out, or be the only one that counts."""
        how, used = self.made.get(spot), []
        self._mistake(spot, CLOSED, "term", f"one of several terms is missing: {spot}")
        for t in range(count if count > 1 else 0):
            self._mistake(spot, f"without {t}", "term", f"what {step} {t} adds is missing")
        for t in {0, count - 1} if count > 1 else ():
            self._mistake(spot, f"only {t}", "not summed", f"not summed over the {step}s: only {step} {t} counts, as "
                                                           "where a loop overwrites what it should accumulate")
        for t in range(count):
            off = how in (CLOSED, f"without {t}") or (str(how).startswith("only") and how != f"only {t}")
            used.append(tensor.detach() if off else tensor)
        return used

    def where(self, spots, condition, a, b):
        """a where the condition holds, else b.  spots: a name, or several (all thresholds together, this one)."""
        spots = (spots,) if isinstance(spots, str) else spots
        for spot in spots:
            self._mistake(spot, "turned", "mask", f"a mask or threshold is on the wrong side: {spot}")
            self._mistake(spot, "forgotten", "mask", f"a mask or threshold is forgotten: {spot}")
            self._mistake(spot, "turned altogether", "mask", f"a mask or threshold is on the wrong side: {spot}")
        y, how = ops.where(condition, a, b), next((self.made[s] for s in spots if s in self.made), None)
        if how is None:
            return y
        wrong = ops.where(np.ones_like(condition) if how == "forgotten" else ~condition, a, b)
        return wrong if how == "turned altogether" else y.detach() + wrong - wrong.detach()

    def dropout(self, spot, x, mask, p):
        """x / (1 - p) where the mask is True, else 0."""
        self._mistake(spot, "not dropped", "mask", f"a mask is forgotten, and so is 1 / (1 - p): {spot}")
        y = self.where(spot, mask, x / (1 - p), 0.0 * x)
        return y.detach() + x - x.detach() if self.made.get(spot) == "not dropped" else y

    def softmax(self, spot, s, hidden=None, axis=-1):
        """Softmax of s without the hidden entries; a row without any is zero."""
        seen = np.ones(s.shape, bool) if hidden is None else ~np.broadcast_to(hidden, s.shape)
        top = s.data.max(axis=axis, keepdims=True, initial=-np.inf, where=seen)
        e = np.where(seen, np.exp(np.where(seen, s.data - np.where(np.isfinite(top), top, 0), 0)), 0)
        total = e.sum(axis=axis, keepdims=True)
        p = e / np.where(total == 0, 1, total)
        right = ("", "", lambda dy: p * (dy - (p * dy).sum(axis=axis, keepdims=True)))
        wrong = [(kind, sentence, number) for number, (kind, sentence, _) in
                 enumerate(softmax_mistakes(0 * p, p, s.data, axis % p.ndim))]
        for kind, sentence, number in wrong:
            self._mistake(spot, number, kind, f"{spot}: {sentence}" if spot else sentence)
        if hidden is not None:
            self._mistake(spot, "forgotten", "mask", f"a mask is forgotten: {spot}")
        how = self.made.get(spot)
        backward = right[2] if how is None else _unmasked(s.data, axis) if how == "forgotten" else (
            lambda dy: list(softmax_mistakes(dy, p, s.data, axis % p.ndim))[how][2])
        return _function(p, backward)(s)

    def activation(self, spot, z, name):
        """tanh or sigmoid of z."""
        y, slope = ACTIVATIONS[name][0](z.data), ACTIVATIONS[name][1]
        options = {"skipped": ("skipped", f"the derivative of {spot} is skipped", 1.0),
                   "input": ("input for output", f"the derivative of {spot} is written with its output, and gets its "
                             "input", slope(z.data)),
                   "output": ("input for output", f"the derivative of {spot} is taken at its output, where its input "
                              "belongs", slope(ACTIVATIONS[name][0](y)))}
        for how, (kind, sentence, _) in options.items():
            self._mistake(spot, how, kind, sentence)
        how = self.made.get(spot)
        factor = slope(y) if how is None else options[how][2]
        return _function(y, lambda dy: dy * factor)(z)

    def gated(self, spot, gate, t):
        """gate * t; skipped, t gets the gradient as if the gate were 1."""
        self._mistake(spot, "skipped", "skipped", f"{spot} is skipped on the way back, as if it were 1")
        y = gate * t
        if self.made.get(spot) != "skipped":
            return y
        gate_alone = gate * t.detach()
        return gate_alone + t - t.detach()

    def product(self, spot, a, b):
        """a @ b; where y is square, its upstream may stand the wrong way round."""
        y = a @ b
        if y.shape[-1] != y.shape[-2]:
            return y
        self._mistake(spot, "upstream turned", "transposed", f"the upstream of {spot} is transposed, or needs to be")
        return _turned(y) if self.made.get(spot) == "upstream turned" else y

    def relu(self, spot, z):
        """max(0, z)"""
        return self.where(spot, z.data > 0, z, 0.0 * z)


def _function(y, backward):
    """The op that gives y, with this backward."""
    def forward(x):
        return y, None
    return Op(forward, lambda dy, _: backward(dy) + 0 * y)


def _turned(y):
    """y itself, whose upstream is transposed on the way back."""
    return Op(lambda y: (y, None), lambda dy, _: dy.swapaxes(-1, -2))(y)


def _unmasked(s, axis):
    """The backward of a softmax that forgot its mask."""
    e = np.exp(s - s.max(axis=axis, keepdims=True, initial=-np.inf))
    p = e / e.sum(axis=axis, keepdims=True)
    return lambda dy: p * (dy - (p * dy).sum(axis=axis, keepdims=True))


ACTIVATIONS = {
    "tanh": (np.tanh, lambda y: 1 - y * y),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda y: y * (1 - y)),
}
