"""The point of a simplex that is nearest to the origin.

    (1)  minimise |sum_i c[i] g[i]|^2 = c' K c    over c >= 0, sum_i c[i] = 1
    (2)  optimal where (K c)[i] >= c' K c for all i, with equality where c[i] > 0
    (3)  two points: c[0] = <g[1] - g[0], g[1]> / |g[0] - g[1]|^2, clipped to 0..1

K (T, T)  Gram matrix of the points g
Frank-Wolfe steps, which published code uses, come near the solution like 1/steps.  Wolfe's method
ends at it: it keeps a corral of points, solves (1) without c >= 0 on them, drops the points that
would become negative, and takes in the point that violates (2) most.
Wolfe 1976, Finding the nearest point in a polytope
"""

import numpy as np


def min_norm_weights(K, start=None, tolerance=1e-12):
    """c (T,) that solves (1) for a positive semidefinite K; where several do, one of them.

    start  the solution of a problem nearby, which saves time
    """
    if len(K) == 2:
        return _of_two(K)
    K = K / max(np.trace(K), np.finfo(float).tiny)      # lengths of any unit
    if start is None:
        c = np.zeros(len(K))
        c[np.diag(K).argmin()] = 1
    else:
        c = _solve_corral(K, start, [*np.flatnonzero(start)])
    for _ in range(20 * len(K)):
        slopes = K @ c
        worst = int(slopes.argmin())
        if slopes[worst] >= c @ slopes - tolerance or c[worst] > 0:             # (2)
            break
        c = _solve_corral(K, c, [*np.flatnonzero(c), worst])
    return c


def _of_two(K):
    length = K[0, 0] - 2 * K[0, 1] + K[1, 1]
    first = 0.5 if length <= 0 else min(max((K[1, 1] - K[0, 1]) / length, 0.0), 1.0)        # (3)
    return np.array([first, 1 - first])


def _solve_corral(K, c, corral):
    """The solution of (1) on the points of the corral, of which those are dropped that would become negative."""
    while True:
        aim = np.zeros_like(c)
        aim[corral] = _nearest_of_plane(K[np.ix_(corral, corral)])              # (1)
        if aim[corral].min() > 1e-12:
            return aim
        falling = [i for i in corral if aim[i] <= 1e-12]
        ratios = [c[i] / (c[i] - aim[i]) if c[i] > aim[i] else 1.0 for i in falling]
        c = c + min(ratios) * (aim - c)                 # as far as all stay positive
        dropped = falling[int(np.argmin(ratios))]
        c[dropped] = 0.0
        corral = [i for i in corral if i != dropped]


def _nearest_of_plane(K):
    """Weights that sum to 1, of either sign, of the point nearest to the origin in the plane of the points."""
    n = len(K)
    system, aim = np.ones((n + 1, n + 1)), np.zeros(n + 1)
    system[:n, :n], system[n, n], aim[n] = K, 0, 1
    return np.linalg.lstsq(system, aim, rcond=None)[0][:n]
