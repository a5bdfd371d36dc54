"""Linear algebra: solves, inverses, decompositions, least squares."""

import numpy as np

from .registry import normal, right


def spd(*sizes):
    """Symmetric positive definite matrices A = B B' + 1 come from B; here the B, and vectors."""
    return normal(*sizes)


def regular(n, *others):
    return lambda rng: [rng.normal(size=(n, n)) + 3 * np.eye(n), *(rng.normal(size=s) for s in others)]


@right(regular(4, 4))
def solve():
    def backward(d, c):
        A, y = c
        g = np.linalg.solve(A.T, d)
        return -np.outer(g, y), g

    def forward(A, b):
        y = np.linalg.solve(A, b)
        return y, (A, y)
    return forward, backward


@right(regular(3, (3, 2)))
def solve_of_several():
    def forward(A, B):
        Y = np.linalg.solve(A, B)
        return Y, (A, Y)

    def backward(d, c):
        G = np.linalg.solve(c[0].T, d)
        return -G @ c[1].T, G
    return forward, backward


@right(regular(3))
def inverse():
    def forward(A):
        B = np.linalg.inv(A)
        return B, B
    return forward, lambda d, B: -B.T @ d @ B.T


@right(regular(3))
def determinant():
    return (lambda A: (np.linalg.det(A), A)), lambda d, A: d * np.linalg.det(A) * np.linalg.inv(A).T


@right(regular(4))
def log_determinant():
    return (lambda A: (np.linalg.slogdet(A)[1], A)), lambda d, A: d * np.linalg.inv(A).T


@right(spd((3, 3)))
def log_determinant_by_cholesky():
    def forward(B):
        L = np.linalg.cholesky(B @ B.T + np.eye(3))
        return 2 * np.log(np.diag(L)).sum(), B
    return forward, lambda d, B: 2 * d * np.linalg.inv(B @ B.T + np.eye(3)) @ B


@right(spd((3, 3)))
def cholesky_factor():
    def forward(B):
        L = np.linalg.cholesky(B @ B.T + np.eye(len(B)))
        return L, (B, L)

    def backward(d, c):
        B, L = c
        P = np.tril(L.T @ np.tril(d))
        P[np.diag_indices(len(P))] /= 2
        inv = np.linalg.inv(L)
        S = inv.T @ P @ inv
        return (S + S.T) @ B
    return forward, backward


@right(spd((4, 4)))
def eigenvalues_of_a_symmetric_matrix():
    def forward(B):
        w, V = np.linalg.eigh((B + B.T) / 2)
        return w, V
    return forward, lambda d, V: (V * d) @ V.T


@right(normal((4, 3)))
def singular_values():
    def forward(A):
        U, s, Vt = np.linalg.svd(A, full_matrices=False)
        return s, (U, Vt)
    return forward, lambda d, c: (c[0] * d) @ c[1]


@right(normal((4, 3)))
def nuclear_norm():
    def forward(A):
        U, s, Vt = np.linalg.svd(A, full_matrices=False)
        return s.sum(), U @ Vt
    return forward, lambda d, UV: d * UV


@right(normal((4, 3)))
def spectral_norm():
    def forward(A):
        U, s, Vt = np.linalg.svd(A)
        return s[0], np.outer(U[:, 0], Vt[0])
    return forward, lambda d, uv: d * uv


@right(normal((6, 3), 6))
def least_squares():
    def forward(X, y):
        w = np.linalg.lstsq(X, y, rcond=None)[0]
        return w, (X, y, w)

    def backward(d, c):
        X, y, w = c
        g = np.linalg.solve(X.T @ X, d)
        return np.outer(y - X @ w, g) - np.outer(X @ g, w), X @ g
    return forward, backward


@right(normal((6, 3), 6))
def ridge_regression_loss():
    def forward(X, y):
        A = X.T @ X + 0.1 * np.eye(3)
        w = np.linalg.solve(A, X.T @ y)
        return ((X @ w - y) ** 2).sum() + 0.1 * (w ** 2).sum(), (X, y, w)

    def backward(d, c):
        X, y, w = c
        r = X @ w - y                       # w is at the minimum, so nothing flows through it
        return 2 * d * np.outer(r, w), -2 * d * r
    return forward, backward


@right(normal((3, 3)))
def matrix_exponential_by_its_series():
    def forward(A):
        powers = [np.eye(len(A))]
        for k in range(1, 12):
            powers.append(powers[-1] @ A / k)
        return sum(powers), A

    def backward(d, A):
        total, T = np.zeros_like(A), A.T
        n, fact = 12, 1.0
        for k in range(1, n):
            fact *= k
            for i in range(k):
                total += np.linalg.matrix_power(T, i) @ d @ np.linalg.matrix_power(T, k - 1 - i) / fact
        return total
    return forward, backward


@right(normal((5, 3)))
def covariance():
    def backward(d, z):
        return z @ (d + d.T) / (len(z) - 1)

    def forward(x):
        z = x - x.mean(0)
        return z.T @ z / (len(z) - 1), z
    return forward, backward


@right(normal((3, 3), 3))
def mahalanobis():
    def forward(B, x):
        S = B @ B.T + np.eye(3)
        u = np.linalg.solve(S, x)
        return x @ u, (B, u)
    return forward, lambda d, c: (-2 * d * np.outer(c[1], c[1]) @ c[0], 2 * d * c[1])


@right(normal((4, 2), (4, 2)))
def projection_on_columns():
    """P y with P = X (X'X)^-1 X' doesn't change when X's columns are mixed."""
    def forward(X, Y):
        A = np.linalg.inv(X.T @ X)
        return X @ A @ X.T @ Y, (X, Y, A)

    def backward(d, c):
        X, Y, A = c
        P, G = X @ A @ X.T, d @ Y.T
        Q = G + G.T
        return (Q @ X @ A) - P @ Q @ X @ A, P @ d
    return forward, backward


@right(lambda rng: [np.vander(np.linspace(0.1, 1, 5), 5) + 1e-3 * rng.normal(size=(5, 5)), rng.normal(size=5)])
def a_badly_conditioned_solve():
    def forward(A, b):
        y = np.linalg.solve(A, b)
        return y, (A, y)

    def backward(d, c):
        g = np.linalg.solve(c[0].T, d)
        return -np.outer(g, c[1]), g
    return forward, backward
