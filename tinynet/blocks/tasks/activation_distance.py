"""How far apart are two activation functions?  Inner product, norm, distance and cosine under X ~ N(mu, sigma^2).

    (1)   <F[i], F[j]> = E F[i](X) F[j](X) = a[i]' W a[j] + U' (a[i] + a[j]) + c        saha metric
    (2)   W[m,n] = E B[m](X) B[n](X) = ((b[m]-mu)(b[n]-mu) + s^2) Phi(z) + s (max(b[m],b[n])-mu) phi(z)
    (3)   U[m] = E max(0,X) B[m](X) = 1[b[m] > 0] ((mu (b[m]-mu) - s^2) D + s (b[m]-mu) phi(z0) + s mu phi(z[m]))
    (4)   c = E max(0,X)^2 = (mu^2 + s^2) Phi(-z0) + mu s phi(z0)
    (5)   dW[m,n]/db[m] = (b[n]-mu) Phi(z) + s phi(z)
    (6)   dU[m]/db[m] = 1[b[m] > 0] (mu D + s (phi(z0) - phi(z[m])))
    (7)   d(F[i], F[j]) = ||F[i] - F[j]|| = sqrt((a[i]-a[j])' W (a[i]-a[j]))            saha metric
    (8)   C[i,j] = <F[i], F[j]> / (||F[i]|| ||F[j]||),  ||F|| = sqrt(<F, F>)            saha metric, Lcos
    (9)   da = (dK + dK') (a W + 1 U'),  dU = a' (dK + dK') 1,  dW = a' dK a            K the matrix of (1)
    (10)  db[m] = sum_n (dW + dW')[m,n] dW[m,n]/db[m] + dU[m] dU[m]/db[m]
    (11)  dd^2[i,j] = dd[i,j] / (2 d[i,j]), 0 where d = 0;  da[i] += 2 dd^2[i,j] W (a[i]-a[j]), da[j] -= the same
    (12)  dK[i,j] = dC[i,j] / (n[i] n[j]) - 1[i = j] sum_k (dC + dC')[i,k] C[i,k] / (2 n[i]^2),  n[i] = ||F[i]||

a (T, M)   the coordinate matrix alpha of the slide: F[i](x) = max(0,x) + sum_m a[i,m] B[m](x)
b (M)      hinges B[m](x) = max(0, b[m] - x)
mu, sigma  of the Gaussian that the functions' argument is drawn from; s is sigma
z[m] = (b[m]-mu)/s, z is that of the smaller hinge, z0 = -mu/s, D = Phi(z[m]) - Phi(z0); phi, Phi density and
distribution of N(0,1).   T tasks, M hinges
The ReLU cancels in the distance.  With equal hinges W is singular: other coordinates, but distance 0.  W is nearly
singular anyway (64 hinges in (-.5, .5): condition 4e14), so all of it is computed in float64 and W is never inverted.
Liu, Yang, Xie and others, AAAI 2020 (TAAN), eq. 3.   Lesson: distances
"""

import math
from typing import NamedTuple

import numpy as np

from tinynet.engine import Op
from tinynet.shapes import sizes

_erf = np.vectorize(math.erf, otypes=[float])


def density(z):
    return np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def distribution(z):
    return 0.5 * (1 + _erf(z * math.sqrt(0.5)))


# %% 1. The mathematics: the hinges' moments
class Moments(NamedTuple):
    """W, slope_W (M, M), U, slope_U (M) and c, all float64; slope_W[m,n] = dW[m,n]/db[m]."""

    W: np.ndarray
    U: np.ndarray
    c: float
    slope_W: np.ndarray
    slope_U: np.ndarray


def hinge_moments(b, mu=0.0, sigma=1.0):
    """The Moments of hinges at b (M).  Raises ValueError unless mu and sigma are finite and sigma > 0."""
    if not (math.isfinite(mu) and 0 < sigma < math.inf):
        raise ValueError(f"activation_distance: the Gaussian has mu = {mu} and sigma = {sigma}; "
                         "give a finite mu and a finite sigma above 0")
    b, s = np.asarray(b, float), float(sigma)
    z, z0, from_mu = (b - mu) / s, -mu / s, b - mu
    phi, Phi = density(z), distribution(z)
    first = b[:, None] <= b                                     # is m the smaller hinge of m, n?
    Phi_min, phi_min = (np.where(first, v[:, None], v) for v in (Phi, phi))
    larger = np.maximum(from_mu[:, None], from_mu)
    W = (np.outer(from_mu, from_mu) + s * s) * Phi_min + s * larger * phi_min       # (2)
    slope_W = from_mu * Phi_min + s * phi_min                                       # (5)
    D, phi0 = Phi - distribution(z0), density(z0)
    U = np.where(b > 0, (mu * from_mu - s * s) * D + s * from_mu * phi0 + s * mu * phi, 0)      # (3)
    slope_U = np.where(b > 0, mu * D + s * (phi0 - phi), 0)                         # (6)
    c = (mu * mu + s * s) * distribution(-z0) + mu * s * phi0                      # (4)
    return Moments(W, U, float(c), slope_W, slope_U)


def db_of_moments(dW, dU, moments):
    """The gradient of the hinges' places from those of W and U."""
    return ((dW + dW.T) * moments.slope_W).sum(axis=1) + dU * moments.slope_U       # (10)


# %% The inner products of all pairs
def activation_inner_forward(a, b, mu=0.0, sigma=1.0):
    """K (T, T), K[i,j] = <F[i], F[j]>.  Raises ShapeError unless a (T M) and b (M) fit, ValueError for sigma <= 0."""
    sizes("a: T M, b: M", a, b)
    moments, A = hinge_moments(b, mu, sigma), np.array(a, float, order="C")
    return inner_products(A, moments).astype(a.dtype), (A, moments, a.dtype)


def inner_products(A, moments):
    toward_relu = A @ moments.U
    return A @ moments.W @ A.T + toward_relu[:, None] + toward_relu + moments.c     # (1)


def activation_inner_backward(dK, cache):
    A, moments, dtype = cache
    da, db = _back_from_inner(dK.astype(float), A, moments)
    return da.astype(dtype), db.astype(dtype)


def _back_from_inner(dK, A, moments):
    both = dK + dK.T
    da = both @ (A @ moments.W + moments.U)                                         # (9)
    dW, dU = A.T @ dK @ A, A.T @ both.sum(axis=1)                                   # (9)
    return da, db_of_moments(dW, dU, moments)


# %% The distances of all pairs
def activation_distance_forward(a, b, mu=0.0, sigma=1.0):
    """d (T, T), d[i,j] = ||F[i] - F[j]||.  Raises as activation_inner does."""
    sizes("a: T M, b: M", a, b)
    moments, A = hinge_moments(b, mu, sigma), np.array(a, float, order="C")
    apart = A[:, None] - A                                      # (T, T, M); the ReLU cancels
    # rounding may leave a square below 0
    d = np.sqrt(np.maximum(((apart @ moments.W) * apart).sum(axis=-1), 0))          # (7)
    return d.astype(a.dtype), (apart, d, moments, a.dtype)


def activation_distance_backward(dd, cache):
    apart, d, moments, dtype = cache
    half = np.where(d > 0, dd / np.where(d > 0, 2 * d, 1), 0)                       # (11)
    pull = 2 * half[..., None] * (apart @ moments.W)                                # (11)
    da = pull.sum(axis=1) - pull.sum(axis=0)                                        # (11)
    dW = np.einsum("ij,ijm,ijn->mn", half, apart, apart, optimize=True)
    return da.astype(dtype), db_of_moments(dW, np.zeros(len(dW)), moments).astype(dtype)


# %% The cosines of all pairs
def activation_cosine_forward(a, b, mu=0.0, sigma=1.0):
    """C (T, T), the cosine of F[i] and F[j].  No norm is 0, as every F is the ReLU right of all hinges."""
    sizes("a: T M, b: M", a, b)
    moments, A = hinge_moments(b, mu, sigma), np.array(a, float, order="C")
    K = inner_products(A, moments)
    n = np.sqrt(np.diag(K))                                                         # (8)
    C = K / np.outer(n, n)                                                          # (8)
    return C.astype(a.dtype), (A, moments, n, C, a.dtype)


def activation_cosine_backward(dC, cache):
    A, moments, n, C, dtype = cache
    dK = dC / np.outer(n, n) - np.diag(((dC + dC.T) * C).sum(axis=1) / (2 * n * n))     # (12)
    da, db = _back_from_inner(dK, A, moments)
    return da.astype(dtype), db.astype(dtype)


# %% The orthonormal set of the deck's last slide
def orthonormal_hinges(b, mu=0.0, sigma=1.0, independent=1e-6):
    """Q (K, M) so that the functions f[k] = sum_m Q[k,m] B[m] are orthonormal under N(mu, sigma^2): Gram-Schmidt.

    independent  what must be left of a hinge, as a share of its norm, when all before it are taken out; a hinge with
                 less (an equal one, above all) adds no function, so K may be less than M
    """
    W, found = hinge_moments(b, mu, sigma).W, []
    for m in range(len(b)):
        f = np.eye(len(b))[m]
        for _ in range(2):                                      # once more takes out what rounding left
            for g in found:
                f = f - (g @ W @ f) * g
        rest = f @ W @ f
        if rest > independent**2 * W[m, m]:
            found.append(f / math.sqrt(rest))
    return np.array(found).reshape(len(found), len(b))


# %% 2. The fast twin: none, M and T are small

# %% 3. The ops
activation_inner = Op(activation_inner_forward, activation_inner_backward)
activation_distance = Op(activation_distance_forward, activation_distance_backward)
activation_cosine = Op(activation_cosine_forward, activation_cosine_backward)

# %% 4. The module: none, alpha and b belong to AdaptiveActivation
