"""The derivative of a function on arrays, measured: what a backward is compared with.

Every entry is moved by a small step to both sides, and by half of it.  The two step sizes cancel the
leading error (Richardson).  They also show whether the slopes to the left and to the right agree.
Where the function takes complex numbers, f(x + ih) = f(x) + ih f'(x) gives f' without a difference
of nearly equal numbers (Squire and Trapp 1998), right to the last digits.  Complex steps are believed
only where they agree with the differences, because abs or var drop the imaginary part.

Where one step size doesn't settle it, the entry climbs down a ladder of steps, from a tenth to far
below the entry itself.  Each step gives three estimates (left, right, across).  An estimate is as good
as its neighbours on the ladder agree with it: large steps differ by the curvature, small ones by
rounding, and the best lies between.  Where left and right differ in the end there is a kink.
"""

import functools
import warnings
from typing import NamedTuple

import numpy as np

STEP = 1e-3             # the first one, relative to max(1, |entry|)
COMPLEX_STEP = 1e-30
AT_ONCE = 500_000        # entries of the Jacobian that are looked at together: 4 MB
TINY = 1e-8             # an entry below this is moved by steps of its own size, too
EPS = np.finfo(float).eps
JUMP, STEEP = "y jumps there", "the slope grows without bound there"
OVERFLOW = "the slope there is too large for float64"


class Measured(NamedTuple):
    """dy/dx of one input.

    jacobian    (y.size, x.size)
    error       (y.size, x.size)  how far off differences may be
    kinks       {entry: (lowest, highest)}: columns of one-sided slopes where they disagree
    unmeasured  {entry: why}: where there is no derivative, or forward refuses every step
    climbed     (x.size,)  where the ladder was needed; elsewhere `error` is far above the true one
    exact       True when measured by complex steps
    """

    jacobian: np.ndarray
    error: np.ndarray
    kinks: dict
    unmeasured: dict
    climbed: np.ndarray
    exact: bool


class Moves:
    """value(*arrays) -> y as a function of one number of arrays[i]; NaN where forward refuses the number."""

    def __init__(self, value, arrays, i, eps=EPS):
        self.value, self.arrays, self.i, self.x, self.eps = value, arrays, i, arrays[i], eps
        self.refused = ""

    @functools.cached_property
    def noise(self):
        """How far y moves where no more than the last digits of the inputs change, if that is a good part of y: then
        its terms cancel, and it is rounding.  0 otherwise, and where y jumps."""
        try:
            y = np.asarray(self.value(*self.arrays), float)
            moves = [np.abs(np.asarray(self.value(*(a * (1 + 4 * k * self.eps) if a is not None and a.dtype.kind == "f"
                                                    else a for a in self.arrays)), float) - y) for k in (1, 2, 3)]
        except Exception:       # the copy lies outside forward's domain
            return 0.0
        most = np.max(moves, initial=0.0)
        inside = 64 * self.eps * largest(self.arrays)
        return float(most) if 1e-3 * np.abs(y).max(initial=0.0) < most <= inside else 0.0

    def at(self, entry, number, dtype=float):
        moved = self.x.astype(dtype)
        moved.flat[entry] = number
        return np.asarray(self.value(*self.arrays[:self.i], moved, *self.arrays[self.i + 1:])).ravel()

    def real(self, entry, number, size):
        try:
            y = self.at(entry, number)
        except Exception as error:      # the number may lie outside forward's domain, whatever it says to that
            self.refused = f"{type(error).__name__}: {error}".partition("\n")[0]
            return np.full(size, np.nan)
        return y if y.size == size and y.dtype.kind != "c" else np.full(size, np.nan)


def measure(value, arrays, i, analytic=True, eps=EPS):
    """The Jacobian of value(*arrays) -> y for arrays[i], all in float64.

    analytic=False tries no complex steps; eps is that of float32 where value computes so.
    Cost: 4 calls an entry, 5 with complex steps, and about 30 more for each entry that needs the ladder.
    """
    moves = Moves(value, arrays, i, eps)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = np.asarray(value(*arrays), float).ravel()
        jacobian, error, doubtful, bound = _first_steps(moves, y)
        complexly = complex_columns(moves, y.size) if analytic and moves.x.size and y.size else None
        size = np.abs(jacobian).max(axis=0, initial=0.0)
        if complexly is not None:
            gap = np.abs(complexly - jacobian)
            if (gap > 1e-2 * size + error)[:, ~doubtful].any():
                complexly = None        # far off, where differences are sure
            else:
                doubtful |= (gap > 1e-9 * np.abs(complexly) + bound).any(axis=0)
        if complexly is None:
            doubtful |= (error > 1e-4 * size + bound).any(axis=0)
        measured = Measured(jacobian, error, {}, {}, np.zeros(moves.x.size, bool), False)
        climb(moves, y, measured, np.flatnonzero(doubtful))
        if complexly is None or not _agree(complexly, measured):
            return measured
    for entry in measured.kinks:
        complexly[:, entry] = jacobian[:, entry]
    return measured._replace(jacobian=complexly, exact=True)


def climb(moves, y, measured, entries):
    """Measure these entries again, on the ladder; writes into `measured`."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for entry in entries:
            slope, error, sides, why = _ladder(moves, entry, y)
            if why:
                measured.unmeasured[entry] = why
            elif sides:
                measured.kinks[entry] = sides
            measured.jacobian[:, entry], measured.error[:, entry] = slope, error
        measured.climbed[entries] = True


def largest(x):
    """The largest finite floating number in an array, or in tuples, lists and dictionaries of arrays."""
    if isinstance(x, (np.ndarray, np.floating)) and x.dtype.kind == "f":
        return float(np.abs(x[np.isfinite(x)]).max(initial=0.0))
    parts = x.values() if type(x) is dict else x if type(x) in (tuple, list) else ()
    return max(map(largest, parts), default=0.0)


# %% One step size
def _first_steps(moves, y):
    """(slopes, error, which entries are doubtful, the rounding and curvature that differences may show)."""
    size = moves.x.size
    most = max(1, AT_ONCE // max(y.size, 1))
    parts = [_some_first_steps(moves, y, np.arange(i, min(i + most, size))) for i in range(0, max(size, 1), most)]
    return [np.concatenate(them, axis=-1) for them in zip(*parts, strict=True)]


def _some_first_steps(moves, y, entries):
    flat = moves.x.ravel()[entries]
    h = STEP * np.maximum(1.0, np.abs(flat))
    points = np.stack([flat - h, flat - h / 2, flat + h / 2, flat + h])
    values = np.empty((4, y.size, flat.size))
    for column, entry in enumerate(entries):
        for k in range(4):
            values[k, :, column] = moves.real(entry, points[k, column], y.size)
    values[~np.isfinite(values)] = np.nan
    left, left_half, right_half, right = (values - y[:, None]) / (points - flat)[:, None]
    wide = (values[3] - values[0]) / (points[3] - points[0])
    close = (values[2] - values[1]) / (points[2] - points[1])
    slope, curved = close + (close - wide) / 3, np.abs(wide - close)
    size = np.maximum(np.abs(y)[:, None], np.abs(values).max(axis=0, initial=0.0))
    rounding = 64 * (moves.eps * size + moves.noise) / h
    scale = np.abs(slope) + np.abs(left) + np.abs(right)
    jump = 2 * (right_half - left_half) - (right - left)        # 0 for a smooth function, as h -> 0
    doubtful = ~(np.abs(jump) <= 1e-6 * scale + rounding).all(axis=0)       # NaN is doubtful, too
    squared = np.minimum(4 * curved ** 2 / np.abs(np.where(slope == 0, 1, slope)), curved)
    return slope, curved + rounding, doubtful, squared + rounding


def complex_columns(moves, size):
    """The Jacobian by complex steps, or None where the function doesn't take complex numbers."""
    found = np.empty((size, moves.x.size))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for entry in range(moves.x.size):
                step = moves.x.flat[entry] + 1j * COMPLEX_STEP
                found[:, entry] = moves.at(entry, step, complex).imag / COMPLEX_STEP
    except Exception:       # whatever it is that the function has against complex numbers
        return None
    return found if np.isfinite(found).all() else None


def _agree(complexly, measured):
    """Do complex steps agree with the differences as well as differences can tell?"""
    gap = np.abs(complexly - measured.jacobian)
    fine = gap <= 1e-9 * np.abs(complexly) + 8 * measured.error
    fine[:, [*measured.kinks, *measured.unmeasured]] = True
    return bool(fine.all())


# %% A ladder of step sizes
def _ladder(moves, entry, y):
    """(slope, error, None or (lowest, highest) one-sided slopes, None or why there is none) of one entry."""
    x = float(moves.x.flat[entry])
    h = _rungs(x)
    points = np.stack([x - h, x - h / 2, x + h / 2, x + h])
    values = np.stack([[moves.real(entry, p, y.size) for p in row] for row in points])
    changes = np.where(np.isfinite(values), values, np.nan) - y
    if np.isnan(changes).all(axis=(0, 1)).any():
        return 0.0, np.inf, None, f"forward refuses every step ({moves.refused or 'y is not finite'})"
    left, left_half, right_half, right = changes / (points - x)[:, :, None]
    wide = (values[3] - values[0]) / (points[3] - points[0])[:, None]
    close = (values[2] - values[1]) / (points[2] - points[1])[:, None]
    if np.isinf(close[-2:]).all(axis=0).any():
        return 0.0, np.inf, None, OVERFLOW
    estimates = np.stack([close + (close - wide) / 3, left_half + (left_half - left),
                          right_half + (right_half - right)])       # written so that they overflow last
    floor = 2 * (moves.eps * np.abs(y) + moves.noise) / h[:, None]
    (across, left, right), errors = _of_its_own_size(_without_stairs(estimates, changes, floor, h), floor, h, abs(x))
    one_sided = np.isnan(left) | np.isnan(right)
    left, right = np.where(np.isnan(left), right, left), np.where(np.isnan(right), left, right)
    errors = np.where(np.isfinite(errors), errors, np.where(np.isfinite(errors), errors, 0.0).max(axis=0))
    loud = 1e-10 * np.abs(y).max() + 8 * moves.noise
    why = _no_slope(changes[0], left, errors[1], loud) or _no_slope(changes[3], right, errors[2], loud)
    if why:
        return 0.0, np.inf, None, why
    middle, slack = (left + right) / 2, errors[1] + errors[2]
    trusted = ~one_sided & (np.abs(across - middle) <= 8 * slack + 1e-6 * np.abs(middle)) & np.isfinite(across)
    slope, error = np.where(trusted, across, middle), np.where(trusted, errors[0], slack)
    bent = np.abs(right - left) > 8 * slack + 1e-6 * np.maximum(np.abs(left), np.abs(right))
    if not bent.any():
        return slope, error, None, None
    lowest, highest = np.where(bent, np.minimum(left, right), slope), np.where(bent, np.maximum(left, right), slope)
    return (lowest + highest) / 2, np.where(bent, slack, error), (lowest, highest), None


def _rungs(x):
    """Steps from a tenth of max(1, |x|) down to where x itself is rounded; for a tiny x such of its own size, too."""
    first = 0.1 * max(1.0, abs(x))
    last = max(1e-7 * min(1.0, abs(x)), 64 * np.spacing(abs(x)), 1e-15)
    steps = first * 10.0 ** -np.arange(int(np.log10(first / last)) + 1)
    if not 0 < abs(x) < TINY:
        return steps
    own = 0.1 * abs(x) * 10.0 ** -np.arange(7)
    return np.append(steps[steps > own[0]], own)


def _best(estimates, floor, h):
    """(value, error) of the rung whose neighbours agree with it best, for each of the estimates.

    By chance some rungs may agree.  How far the rungs below the best are from it says how noisy y is.
    """
    gaps = np.abs(np.diff(estimates, axis=1))
    nothing = np.full((len(estimates), 1, estimates.shape[2]), np.nan)
    above, below = np.concatenate([nothing, gaps], axis=1), np.concatenate([gaps, nothing], axis=1)
    both = np.where(np.isnan(above), 10 * below, np.where(np.isnan(below), 10 * above, np.maximum(above, below)))
    error = np.where(np.isnan(both), np.inf, both + floor)
    rung = error.argmin(axis=1)[:, None]
    off = np.abs(estimates - np.take_along_axis(estimates, rung, axis=1)) * h[:, None]
    finer = np.arange(len(h))[None, :, None] > rung
    noise = np.where(finer & np.isfinite(off), off, 0.0).max(axis=1, keepdims=True)
    error = error + noise / h[:, None]
    rung = error.argmin(axis=1)[:, None]
    value, error = (np.take_along_axis(a, rung, axis=1)[:, 0] for a in (estimates, error))
    return np.where(np.isinf(error), np.nan, value), error


def _of_its_own_size(estimates, floor, h, size):
    """_best; of a tiny x the steps of its own size count first, where they agree: larger ones leave its place."""
    slopes, errors = _best(estimates, floor, h)
    if 0 < size < TINY:
        own = h <= 0.1 * size
        close, off = _best(estimates[:, own], floor[own], h[own])
        sure = off <= 1e-3 * np.abs(close)
        slopes, errors = np.where(sure, close, slopes), np.where(sure, off, errors)
    return slopes, errors


def _without_stairs(estimates, changes, floor, h):
    """Drop rungs on which y doesn't change at all, where larger steps show one clear slope.

    Such steps are lost in rounding (a forward in float32 is a staircase).  Near the kink of a ReLU nothing
    changes either, but there the larger steps show two slopes.
    """
    still = (changes == 0).all(axis=0)
    if not still.any():
        return estimates
    moving = np.where(still, np.nan, estimates)
    (across, left, right), (error, *_) = _best(moving, floor, h)
    clear = (error <= 0.05 * np.abs(across)) & (np.abs(right - left) <= 0.1 * np.abs(across))
    return np.where(clear, moving, estimates)


def _no_slope(change, slope, error, loud):
    """JUMP or STEEP, where y's change doesn't shrink like the step; else None.

    Rounding doesn't shrink either, but it is not `loud` and has no constant sign.
    """
    steady = change[-5:]
    if len(steady) < 5 or np.isnan(steady).any():
        return None
    size = np.abs(steady)
    shrinks = (np.diff(size, axis=0) <= 0).all(axis=0) & (np.abs(np.sign(steady).sum(axis=0)) == len(steady))
    wild = shrinks & (error > 0.3 * np.abs(slope)) & (size[-1] > 2e-4 * size[0]) & (size[-1] > loud)
    if not wild.any():
        return None
    return JUMP if (size[-1] > 0.9 * size[-3])[wild].any() else STEEP
