"""What rounding does to a gradient: seen on copies of everything that goes in, whose last digits differ.

A gradient that is 0 because its terms cancel is nothing but rounding, and so is the measured one.  How far both
move when only the last digits of inputs, cache and upstream change tells how much of a difference is rounding.
"""

import warnings
from typing import NamedTuple

import numpy as np

from tinynet.check.numeric import Moves, complex_columns, largest


class Wobble(NamedTuple):
    """How far rounding moves backward's gradient, the one measured by complex steps, their difference and y.

    gradient, measured, gap (K, I)   y (O,)   the measured one is 0 where differences measured it
    """

    gradient: np.ndarray
    measured: np.ndarray
    gap: np.ndarray
    y: np.ndarray


def wobble(check, i, exact=False):
    """Small moves change little but the last digits.  Between larger ones a true difference changes smoothly, so
    that second differences show the rounding alone.  A copy at which y jumps tells nothing."""
    unit, coarse = (2.0 ** -21, 2.0 ** -16) if check.single else (2.0 ** -50, 2.0 ** -30)
    changes = [0, *(k * unit for k in (1, 2, 3, 5, -1)), *(k * coarse for k in (-1, 1, 2))]
    here, *others = _runs(check, i, exact, changes)
    slack = 1e-6 * np.abs(check.y).max(initial=0.0) + _rounding_inside(check)
    others = [o if o is not None and (np.abs(o.y - check.y.ravel()) <= slack).all() else None for o in others]
    small, (before, after, later) = [o for o in others[:5] if o is not None], others[5:]
    if here is None or not small:
        nothing = np.zeros((1, 1))
        return Wobble(nothing, nothing, nothing, np.zeros(check.y.size))
    rows = [r for r in ((before, here, after), (here, after, later)) if None not in r]
    with np.errstate(all="ignore"):
        spreads = [np.mean([*(np.abs(o[part] - here[part]) for o in small if part < 3),
                            *(np.abs(a[part] - 2 * b[part] + c[part]) / np.sqrt(6) for a, b, c in rows),
                            0 * here[part]], axis=0) for part in range(4)]
        return Wobble(*(np.where(np.isfinite(spread), spread, 0.0) for spread in spreads))


def _rounding_inside(check):
    """How much of y may be rounding where all its terms cancel, as in the mean of a layer norm's output."""
    cache = check.pair.forward(*check.pair.arrays)[1]
    return 64 * check.eps * largest([check.pair.arrays, cache])


def roughness(check, i):
    """The same by larger moves: between them a true difference of both changes smoothly, rounding doesn't.

    1 - tanh(x)^2 has few digits at x = 9, and a few units in the last place of x don't change which.
    """
    most = np.zeros((1, 1))
    for unit in 2.0 ** -np.array([17, 10, 6, 4, 3]):
        runs = _runs(check, i, True, [k * unit for k in (-2, -1, 0, 1, 2)])
        if all(run is not None for run in runs):
            with np.errstate(all="ignore"):
                gaps = np.stack([run.gap for run in runs])
            most = np.fmax(most, np.abs(np.tensordot([1, -4, 6, -4, 1], gaps, 1)) / np.sqrt(70))
    return most


def _runs(check, i, exact, changes):
    """Backward's gradient, the measured one and y of inputs, cache and upstreams times 1 + change, each in a Wobble;
    None where forward refuses them."""
    def run(factor):
        arrays = [rescaled(a, factor) for a in check.pair.arrays]
        try:
            ys, gs = zip(*((y, check.pair.backward(dy * factor, rescaled(cache, factor))[i]) for dy in check.upstreams
                           for y, cache in [check.pair.forward(*arrays)]), strict=True)
        except Exception:       # the copy lies outside forward's domain
            return None
        gradient = np.stack([np.asarray(g, float).ravel() for g in gs])
        columns = complex_columns(Moves(check.pair.value, arrays, i), check.y.size) if exact else None
        dys = np.stack([dy.ravel() for dy in check.upstreams]) * factor
        measured = 0 * gradient if columns is None else dys @ columns
        return Wobble(gradient, measured, gradient - measured, ys[0].ravel())

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [run(1 + change) for change in changes]


def rescaled(x, factor):
    """All floating numbers in an array, or in tuples, lists and dictionaries of arrays, times factor."""
    if isinstance(x, (np.ndarray, np.floating)):
        return (x * x.dtype.type(factor)) if x.dtype.kind == "f" else x
    if type(x) in (tuple, list):
        return type(x)(rescaled(v, factor) for v in x)
    if type(x) is dict:
        return {k: rescaled(v, factor) for k, v in x.items()}
    return x
