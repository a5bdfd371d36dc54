"""Everything known about one gradient: what backward says, what was measured, how far they may differ."""

import numpy as np

RTOL_EXACT, RTOL = 1e-10, 1e-7  # complex steps, differences: of the largest term of an entry's sum
ATOL = 1e-11                    # of the largest entry of the Jacobian: where terms cancel
RTOL_KINK = 1e-5                # one-sided slopes are measured less well
FIT = 1e-6                      # how well an explanation must fit


class Evidence:
    """Everything known about one input's gradient.  K upstreams, O outputs, I entries.

    analytic, numeric, allowed (K, I)   what backward says, what was measured, the tolerance
    """

    def __init__(self, check, i, measured, grads):
        self.block, self.settings = check.pair.name, check.pair.settings
        self.names, self.arrays, self.y = check.pair.names, check.pair.arrays, check.y
        self.i, self.name, self.x = i, check.pair.names[i], check.pair.arrays[i]
        self.measured, self.grads = measured, grads
        self.dys = np.stack(check.upstreams)
        self.flat_dys = self.dys.reshape(len(self.dys), -1)
        self.jacobian = measured[i].jacobian
        products = [dy[:, None] * self.jacobian for dy in self.flat_dys]    # the terms of each entry's sum
        self.numeric = np.stack([p.sum(axis=0) for p in products])
        self.terms = np.stack([np.abs(p).max(axis=0, initial=0.0) for p in products])
        loudest = np.abs(self.dys).max(initial=0.0)
        floor = loudest * (ATOL * np.abs(self.jacobian).max(initial=0.0) + 4 * measured[i].noise)
        self.allowed = (RTOL_EXACT if measured[i].exact else RTOL) * self.terms + floor
        self.smooth = np.ones(self.x.size, bool)
        self.smooth[list(measured[i].kinks)] = False
        self.analytic = np.stack([g.ravel() for g in grads]).astype(float)

    def right(self):
        """(K, I): where the gradient is within the tolerance, at kinks between the one-sided slopes."""
        fine = np.abs(self.analytic - self.numeric) <= self.allowed
        for entry, sides in self.measured[self.i].kinks.items():
            ends = np.stack([self.flat_dys * side for side in sides])
            slack = RTOL_KINK * np.abs(ends).max(axis=(0, 2)) + self.allowed[:, entry]
            a = self.analytic[:, entry]
            fine[:, entry] = (ends.min(axis=0).sum(axis=1) - slack <= a) & (a <= ends.max(axis=0).sum(axis=1) + slack)
        return fine

    def kinks_met(self):
        kinks = [self.at(entry) for entry in self.measured[self.i].kinks]
        more = f" and {len(kinks) - 3} more" if len(kinks) > 3 else ""
        return (f"kinks met at {', '.join(kinks[:3])}{more}: there the gradient must lie between the one-sided "
                "derivatives, and it does")

    def at(self, entry):
        index = np.unravel_index(entry, self.x.shape)
        return f"{self.name}[{', '.join(map(str, index))}]" if index else self.name

    def fits(self, explanation, analytic=None):
        """Does it explain every entry, away from kinks, for every upstream?"""
        analytic = self.analytic if analytic is None else analytic
        explanation = np.reshape(explanation, analytic.shape)
        scale = np.maximum(np.abs(explanation), self.terms) + 1e-4 * np.abs(explanation).max(initial=0.0)
        return bool((np.abs(analytic - explanation) <= FIT * scale + self.allowed)[:, self.smooth].all())

    def shaped(self, flat):
        return flat.reshape(len(self.dys), *self.x.shape)

    def worst(self):
        excess = np.where(self.right(), -1.0, np.abs(self.analytic - self.numeric))
        excess[np.isnan(self.analytic)] = np.inf
        k, entry = np.unravel_index(excess.argmax(), excess.shape)
        a, n = self.analytic[k, entry], self.numeric[k, entry]
        ratio = f"{a / n:.6g}" if n else "none (numeric is 0)"
        return f"worst entry d{self.at(entry)}: analytic {a:.6g}, numeric {n:.6g}, ratio {ratio}"
