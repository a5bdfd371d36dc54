"""Speed only: exp and the order of numbers in float32, as parts that loops of kernels call for every number.

    (1)  exp(z) = 2^k exp(r),  k = round(z / log 2),  r = z - k log 2,  so |r| <= log(2) / 2
    (2)  exp(r) = 1 + r + r^2 P(r)

Why it is fast: plain arithmetic on floats and whole numbers runs in vectors; a call to math.exp does not.
(2) is exact to float32 when P meets (exp(r) - 1 - r) / r^2 at six Chebyshev nodes.  Adding 1.5 * 2^23 rounds to a
whole number and leaves it in the lowest bits, which 2^k is made of.  float64, mostly used to check gradients, stays
with NumPy's exp.

numba's cache doesn't see a change of this file: empty it after one (NUMBA_CACHE_DIR, else __pycache__).
A helper of softmax and attention.
"""

import numpy as np

from tinynet.jit import inner_jit

_LOWEST, _ONE, _PER_LOG2, _ROUND = map(np.float32, (-87.3, 1, 1 / np.log(2), 1.5 * 2**23))
_LOG2, _LOG2_REST = map(np.float32, (355 / 512, np.log(2) - 355 / 512))     # k * 355 / 512 is exact
_P0, _P1, _P2, _P3, _P4, _P5 = map(np.float32, (
    0.500000001, 0.166666667, 0.0416664649, 0.00833331093, 0.001393365, 0.00019890991))


@inner_jit
def exp32(z):
    """exp(z) of a float32 z <= 0; 0 below -87.3, where float32 ends."""
    y = _LOWEST if z < _LOWEST else z
    t = np.float32(y * _PER_LOG2 + _ROUND)                                  # k + 1.5 * 2^23
    r = (y - (t - _ROUND) * _LOG2) - (t - _ROUND) * _LOG2_REST              # (1)
    p = ((((_P5 * r + _P4) * r + _P3) * r + _P2) * r + _P1) * r + _P0
    e = (p * r * r + r + _ONE) * np.int32((t.view(np.int32) + 127) << 23).view(np.float32)      # (1) (2)
    return np.float32(0) if z < _LOWEST else e


@inner_jit
def ordered(bits):
    """The bits of a float32 as a whole number that is the larger, the larger the float is; and back again.

    Those of floats below 0 are turned round.  The compiler compares whole numbers in vectors.  NaN may be passed over.
    """
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(2**31 - 1)))
