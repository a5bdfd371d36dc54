"""The derivative of a function on arrays, measured: what a backward is compared with.

Every entry is moved by small steps to both sides.  Two step sizes cancel the leading error
(Richardson), and show whether the slopes to the left and to the right agree: where they don't,
the steps get smaller, and what is left at the smallest is a kink.  Where the function takes
complex numbers, f(x + ih) = f(x) + ih f'(x) gives f' without any difference of nearly equal
numbers (Squire and Trapp 1998), right to the last digits.
"""

import warnings
from typing import NamedTuple

import numpy as np

STEPS = (1e-3, 1e-4, 1e-5, 1e-6)    # relative to max(1, |entry|)
EPS = np.finfo(float).eps


class Measured(NamedTuple):
    """dy/dx of one input.

    jacobian  (y.size, x.size)
    kinks     {entry: (lowest, highest)}: columns of one-sided slopes where they disagree
    exact     True when measured by complex steps
    noise     what rounding may have put on any entry of the jacobian
    """

    jacobian: np.ndarray
    kinks: dict
    exact: bool
    noise: float


def measure(value, arrays, i, analytic=True):
    """The Jacobian of value(*arrays) -> y for arrays[i], all in float64.

    analytic=False tries no complex steps.  Cost: 4 calls an entry, 5 with complex steps.
    """
    x = arrays[i]

    def at(entry, number, dtype=float):
        moved = x.astype(dtype)
        moved.flat[entry] = number
        return np.asarray(value(*arrays[:i], moved, *arrays[i + 1:])).ravel()

    y = np.asarray(value(*arrays)).ravel()
    jacobian, kinks, noise = np.zeros((y.size, x.size)), {}, 0.0
    with np.errstate(all="ignore"):
        for entry in range(x.size):
            jacobian[:, entry], sides, rounding = _slopes(lambda v, e=entry: at(e, v), float(x.flat[entry]), y)
            noise = max(noise, rounding)
            if sides:
                kinks[entry] = sides
        complexly = _complex_steps(at, x, jacobian, kinks, noise) if analytic and x.size and y.size else None
    if complexly is None:
        return Measured(jacobian, kinks, False, noise)
    return Measured(complexly, kinks, True, EPS * np.abs(y).max())


def _slopes(f, x, y):
    """(slope, None or (lowest, highest) one-sided slopes, rounding) of every output at one entry."""
    size = np.abs(y).max(initial=0.0)
    for step in STEPS:
        h = step * max(1.0, abs(x))
        left, right, wide = _sides(f, x, h, y)
        left_half, right_half, close = _sides(f, x, h / 2, y)
        slope = (4 * close - wide) / 3
        jump = 2 * (right_half - left_half) - (right - left)        # 0 for a smooth function, as h -> 0
        rounding = 16 * EPS * size / h
        scale = max(np.abs(slope).max(initial=0.0), 1e-6 * size)
        bent = ~(np.abs(jump) <= 1e-6 * scale + rounding)
        if not bent.any() and (np.abs(wide - close) <= 1e-4 * scale + rounding).all():
            return slope, None, rounding
    if not bent.any():
        return slope, None, rounding
    lowest, highest = np.minimum(left_half, right_half), np.maximum(left_half, right_half)
    return slope, (np.where(bent, lowest, slope), np.where(bent, highest, slope)), rounding


def _sides(f, x, h, y):
    """The slopes to the left, to the right, and across."""
    below, above = x - h, x + h
    y_below, y_above = f(below), f(above)
    return (y - y_below) / (x - below), (y_above - y) / (above - x), (y_above - y_below) / (above - below)


def _complex_steps(at, x, jacobian, kinks, noise, h=1e-30):
    """The Jacobian by complex steps, or None where the function doesn't allow them."""
    found = np.empty_like(jacobian)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for entry in range(x.size):
                found[:, entry] = at(entry, x.flat[entry] + 1j * h, complex).imag / h
    except Exception:       # whatever it is that the function has against complex numbers
        return None
    for entry, (lowest, highest) in kinks.items():
        found[:, entry] = jacobian[:, entry] = (lowest + highest) / 2
    scale = np.maximum(np.abs(jacobian).max(axis=0), 1e-3 * np.abs(jacobian).max())
    return found if (np.abs(found - jacobian) <= 1e-5 * scale + noise).all() else None
