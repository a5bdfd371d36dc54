"""Everything known about one gradient: what backward says, what was measured, how far they may differ."""

import numpy as np

from tinynet.check.numeric import OVERFLOW, measure

RTOL_EXACT, RTOL = 1e-10, 1e-7  # complex steps, differences: of the largest term of an entry's sum
ORDINARY = 3                    # the first upstreams are normal random numbers
SMALL, LARGE = 2.0 ** -20, 2.0 ** 20    # the fourth and the fifth upstream are the first times these (near overflow:
                                # less), powers of 2, so that rounding doesn't differ: a linear backward scales exactly
BALANCED = 5                    # this upstream makes y's small slopes count, of which few digits may be right
RTOL_KINK = 1e-6                # one-sided slopes are measured less well
SAFETY = 8                      # times what the measurement says about its own error
ROUNDING = 16                   # times what copies scaled by a few units in the last place differ by
LARGEST_WOBBLE = 1e-9           # of the largest gradient: more is no rounding
FIT = 1e-6                      # how well an explanation must fit


class Place:
    """Names the entries of one array."""

    def __init__(self, name, shape):
        self.name, self.shape = name, shape

    def listed(self, entries):
        entries = list(entries)
        more = f" and {len(entries) - 3} more" if len(entries) > 3 else ""
        return ", ".join(map(self.at, entries[:3])) + more

    def at(self, entry):
        index = np.unravel_index(entry, self.shape)
        return f"{self.name}[{', '.join(map(str, index))}]" if index else self.name


class Evidence(Place):
    """Everything known about one input's gradient.  K upstreams, O outputs, I entries.

    analytic, numeric, allowed (K, I)   what backward says, what was measured, the tolerance
    terms (K, I)                        the largest of the O terms dy[o] J[o,i] of each entry's sum

    The tolerance of an entry is relative to its own largest term, so that a small slope counts as much
    as a large one.  To it comes what rounding does to the measurement and (`wobble`) to backward.
    """

    def __init__(self, check, i, measured, grads, wobble=None):
        self.block, self.settings = check.pair.name, check.pair.settings
        self.names, self.arrays, self.y = check.pair.names, check.pair.arrays, check.y
        self.pair, self.value, self.i, self.x = check.pair, check.pair.value, i, check.pair.arrays[i]
        super().__init__(check.pair.names[i], self.x.shape)
        self.measured, self.grads, self.single = measured, grads, check.single
        self.dys, self.large = np.stack(check.upstreams), check.large
        self.flat_dys = self.dys.reshape(len(self.dys), -1)
        self.jacobian = measured[i].jacobian
        self.smooth = np.ones(self.x.size, bool)
        self.smooth[[*measured[i].kinks, *measured[i].unmeasured]] = False
        self.analytic = np.stack([np.reshape(g, -1) for g in grads]).astype(float)
        self._judge(measured[i], check.rtol)
        self.last_digits, self.unsteady = self._below(1e-14 * np.abs(self.y.ravel())), 0.0
        if wobble is not None:
            self.unsteady = wobble.gradient
            self._allow_rounding(wobble, check.largest)

    def _below(self, rounding):
        """(K, I) how large a gradient may be that y hardly shows, where y is rounded by so much."""
        x = np.maximum(np.abs(self.x.ravel()), 1e-3 * np.abs(self.x).max(initial=0.0))
        return np.abs(self.flat_dys * rounding) @ (self.jacobian != 0) / np.where(x > 0, x, 1)

    def _judge(self, measured, rtol):
        self.numeric = self.flat_dys @ self.jacobian
        size = np.abs(self.jacobian)
        self.terms = np.stack([(np.abs(dy)[:, None] * size).max(axis=0, initial=0.0) for dy in self.flat_dys])
        error = np.where(np.isfinite(measured.error), measured.error, 0.0)  # of unmeasured ones nothing is compared
        self.by_differences = np.abs(self.flat_dys) @ error
        counts = measured.climbed & (not measured.exact)
        self.noise = np.abs(self.flat_dys) @ np.where(counts, error, 0.0)
        relative = np.full((len(self.dys), 1), max(rtol, RTOL_EXACT if measured.exact else RTOL))
        relative[BALANCED:] = max(rtol, RTOL)
        self.allowed = relative * self.terms
        self.allowed += SAFETY * self.noise + np.finfo(float).tiny

    def _allow_rounding(self, wobble, largest):
        """Add what rounding does to the gradient.  Where the measured one is rounding and nothing else, because
        its terms cancel, what it does to all such entries is pooled: one of them may be zero by chance."""
        measured_s, loud = wobble.measured, np.abs(self.flat_dys).max(axis=1, initial=0.0)[:, None]
        own = wobble.gap + 0 * self.terms
        self.last_digits = self._below(1e-14 * np.abs(self.y.ravel()) + ROUNDING * wobble.y)
        if (np.abs(self.numeric) <= 0.2 * self.last_digits).all():
            self.allowed += 1.01 * np.abs(self.numeric)         # y shows nothing of this input: 0 is right
        most = np.maximum(np.abs(self.analytic).max(axis=1, keepdims=True, initial=0.0), loud * largest)
        limit = (1e-2 if self.single else LARGEST_WOBBLE) * most
        surely = 2 * ROUNDING * measured_s + SAFETY * self.noise
        for rounding, floor in ((surely, 2 * np.finfo(float).eps * largest), (0.2 * self.last_digits, 0.0)):
            cancels = (np.abs(self.numeric) <= rounding).all(axis=0)
            if cancels.any() and loud.all():
                pooled = ((own / loud)[:, cancels].max() + floor) * loud
                own, limit = np.where(cancels, np.maximum(own, pooled), own), np.where(cancels, np.inf, limit)
        self.allowed += ROUNDING * np.minimum(own, limit) * self.smooth     # copies may cross a kink

    def right(self):
        """(K, I): where the gradient is within the tolerance, at kinks between the one-sided slopes."""
        overflows = self.both_overflow()
        fine = overflows | (np.abs(self.analytic - np.where(overflows, 0.0, self.numeric)) <= self.allowed)
        for entry, sides in self.measured[self.i].kinks.items():
            ends = np.stack([self.flat_dys * side for side in sides])
            slack = RTOL_KINK * np.abs(ends).max(axis=(0, 2)) + self.allowed[:, entry]
            a = self.analytic[:, entry]
            fine[:, entry] = (ends.min(axis=0).sum(axis=1) - slack <= a) & (a <= ends.max(axis=0).sum(axis=1) + slack)
        for entry, why in self.measured[self.i].unmeasured.items():
            fine[:, entry] = np.isfinite(self.analytic[:, entry]) | (why == OVERFLOW)
        return fine

    def both_overflow(self):
        """(K, I): where the right gradient is no number of float64, and backward says so."""
        return np.isinf(self.numeric) & (self.analytic == self.numeric)

    def doubtful(self):
        """(I,) the entries whose slope is worth measuring again: wrong, but not plainly so."""
        wrong = ~self.right()
        gap = np.abs(self.analytic - self.numeric)
        plainly = (gap > 1e-2 * self.terms) & (gap > 100 * self.by_differences)
        return wrong.any(axis=0) & ~(wrong & plainly).any(axis=0)

    def nearly_right(self):
        """Are the wrong entries off by no more than a few digits of what may stand inside the function?"""
        wrong = ~self.right()
        return bool((np.abs(self.analytic - self.numeric) <= 100 * self.last_digits)[wrong].all())

    def allow_roughness(self, rough):
        self.allowed += ROUNDING * np.minimum(rough, self.last_digits)

    # ---- what to tell the reader
    def kinks_met(self):
        return (f"kinks met at {self.listed(self.measured[self.i].kinks)}: there the gradient must lie between the "
                "one-sided derivatives, and it does")

    def vague(self):
        """The entries that passed only because they can't be measured well."""
        size, floor = np.abs(self.numeric), 1e-6 * np.abs(self.numeric).max(axis=1, initial=0.0, keepdims=True)
        shown = (size > floor) & self.smooth
        return np.flatnonzero(shown.any(axis=0) & ~(shown & (self.allowed <= 0.1 * size)).any(axis=0))

    def worst(self):
        """The entry that is furthest off, for an upstream of ordinary size where one shows the mistake."""
        right = self.right()
        excess = np.where(right, -1.0, np.abs(self.analytic - self.numeric)
                          / np.abs(self.flat_dys).max(axis=1, initial=0.0, keepdims=True))
        excess[~np.isfinite(self.analytic) & ~right] = np.inf
        if not right[:ORDINARY].all():
            excess = excess[:ORDINARY]
        k, entry = np.unravel_index(excess.argmax(), excess.shape)
        a, n = self.analytic[k, entry], self.numeric[k, entry]
        ratio = f"{a / n:.6g}" if n else "none (numeric is 0)"
        return f"worst entry d{self.at(entry)}: analytic {a:.6g}, numeric {n:.6g}, ratio {ratio}"

    # ---- does an explanation fit?
    def fits(self, explanation, analytic=None):
        """Does it explain every entry, away from kinks, for every upstream?"""
        analytic = self.analytic if analytic is None else analytic
        explanation = np.reshape(explanation, analytic.shape)
        scale = np.maximum(np.abs(explanation), self.terms)
        scale = scale + 1e-4 * np.abs(explanation).max(axis=1, initial=0.0, keepdims=True)
        near = np.abs(analytic - explanation) <= FIT * scale + self.allowed
        return bool(self.smooth.any() and near[:, self.smooth].all())

    def shaped(self, flat):
        return flat.reshape(len(self.dys), *self.x.shape)

    def part(self, entries):
        """The same evidence on some entries of the input alone."""
        other = object.__new__(Evidence)
        other.__dict__.update(self.__dict__)
        other.smooth = self.smooth & entries
        return other

    def on_each_side(self):
        """Where every entry lies on a kink: the same evidence with the slopes of either side."""
        kinks = self.measured[self.i].kinks
        for side in (1, 0):
            other = self.part(True)
            other.jacobian = self.jacobian.copy()
            for entry, sides in kinks.items():
                other.jacobian[:, entry] = sides[side]
            other.numeric = self.flat_dys @ other.jacobian
            other.terms = np.abs(self.flat_dys[:, :, None] * other.jacobian).max(axis=1, initial=0.0)
            other.smooth = np.isin(np.arange(self.x.size), [*kinks])
            if other.numeric.any():
                yield other

    def gradient_with(self, other):
        """(K, I) the measured gradient where some other arrays {j: array} are put in place of theirs; NaN where
        forward refuses them."""
        arrays = [other.get(j, a) for j, a in enumerate(self.arrays)]
        try:
            return self.flat_dys @ measure(self.value, arrays, self.i, self.pair.analytic).jacobian
        except Exception:
            return np.full(self.numeric.shape, np.nan)

    def gradients_for(self, dys):
        """(K, I) what backward says for other upstreams; None where it fails."""
        try:
            return np.stack([np.reshape(self.pair.backward(dy, self.pair.forward(*self.arrays)[1])[self.i], -1)
                             for dy in dys]).astype(float)
        except Exception:
            return None

    def slopes_at(self, numbers):
        """dy/dx of a function that is applied entry by entry, at other numbers; None where forward refuses them."""
        arrays = [a if j != self.i else numbers.reshape(self.x.shape) for j, a in enumerate(self.arrays)]
        try:
            return np.diag(measure(self.value, arrays, self.i, False).jacobian)
        except Exception:
            return None
