"""Functional regularization: the tasks' activation functions of a layer are drawn together, by cosine or by distance.

    (1)  Lcos = -1/T^2 sum_ij C[i,j] = -||1/T sum_i F[i]/||F[i]|| ||^2                     saha Lcos
    (2)  Ldis = 1/T^2 sum_ij d(F[i],F[j])^2 = 2/T tr(A W A'),  A = a minus its column means      saha Ldis
    (3)  dK[i,j] = -dL/T^2 (1/(n[i] n[j]) - 1[i = j] sum_k C[i,k] / n[i]^2), and a and b as in activation_distance
    (4)  da = dL 4/T A W,  dW = dL 2/T A' A, and b as in activation_distance
    (5)  Ltotal = 1/T sum_t L[t] + c sum_l R(a[l])                                         saha Ltotal

a (T, M), b (M), W, C, K, n, mu, sigma as in activation_distance
L[t] the loss of task t; R is Ltn (block trace_norm), Lcos or Ldis; l runs over the layers
Both cost O(T M^2): no sum over pairs is taken.  The slide sums the tasks' losses; the published code takes their
mean, and so do we, as its c belongs to the mean.
T = 1 or equal functions: Ldis = 0, Lcos = -1, all gradients 0.
Liu, Yang, Xie and others, AAAI 2020 (TAAN).   Lesson: distances
"""

import numpy as np

from tinynet.blocks.tasks.activation_distance import db_of_moments, hinge_moments, inner_products
from tinynet.engine import Op
from tinynet.shapes import ShapeError, sizes


def _prepared(a, b, mu, sigma, block):
    T, _ = sizes("a: T M, b: M", a, b)
    if T == 0:
        raise ShapeError(f"{block}: a (T M) = {a.shape}, and the mean over T = 0 tasks is undefined; use T >= 1")
    return np.array(a, float, order="C"), hinge_moments(b, mu, sigma)


# %% 1. The mathematics
def cosine_regularizer_forward(a, b, mu=0.0, sigma=1.0):
    """Lcos.  Raises ShapeError unless a (T M) and b (M) fit and T >= 1, ValueError for sigma <= 0."""
    A, moments = _prepared(a, b, mu, sigma, "cosine_regularizer")
    n = np.sqrt(((A @ moments.W) * A).sum(axis=1) + 2 * A @ moments.U + moments.c)
    mean, share = (A / n[:, None]).mean(axis=0), (1 / n).mean()     # the mean of F/||F|| is a hinge sum and a ReLU
    loss = -(mean @ moments.W @ mean + 2 * share * mean @ moments.U + share**2 * moments.c)     # (1)
    return a.dtype.type(loss), (A, moments, n, a.dtype)


def cosine_regularizer_backward(dL, cache):
    A, moments, n, dtype = cache
    T, one_by = len(A), 1 / n
    K = inner_products(A, moments)
    own = (K @ one_by) * one_by**3                                  # sum_k C[i,k] / n[i]^2
    dK = -(dL / T**2) * (np.outer(one_by, one_by) - np.diag(own))   # (3)
    da = 2 * dK @ (A @ moments.W + moments.U)                       # (3)
    db = db_of_moments(A.T @ dK @ A, 2 * A.T @ dK.sum(axis=1), moments)
    return da.astype(dtype), db.astype(dtype)


def distance_regularizer_forward(a, b, mu=0.0, sigma=1.0):
    """Ldis.  Raises as cosine_regularizer does."""
    A, moments = _prepared(a, b, mu, sigma, "distance_regularizer")
    A = A - A.mean(axis=0)
    return a.dtype.type(2 / len(A) * ((A @ moments.W) * A).sum()), (A, moments, a.dtype)     # (2)


def distance_regularizer_backward(dL, cache):
    A, moments, dtype = cache
    T, dL = len(A), float(dL)
    da, dW = 4 * dL / T * (A @ moments.W), 2 * dL / T * (A.T @ A)   # (4)
    return da.astype(dtype), db_of_moments(dW, np.zeros(len(dW)), moments).astype(dtype)


def total_loss(losses, regularizers=(), c=0.1):
    """Ltotal: the mean of the tasks' losses, plus c times the sum of the layers' regularizers.

    losses, regularizers  tensors with one entry each.  Raises ValueError where there is no task.
    """
    if not losses:
        raise ValueError("total_loss: there are no losses of tasks; give a list with one for each task")
    total = sum(losses[1:], losses[0]) / len(losses)                # (5)
    return total + c * sum(regularizers[1:], regularizers[0]) if regularizers else total        # (5)


# %% 2. The fast twin: none, M and T are small

# %% 3. The ops
cosine_regularizer = Op(cosine_regularizer_forward, cosine_regularizer_backward)
distance_regularizer = Op(distance_regularizer_forward, distance_regularizer_backward)

# %% 4. The module: none, alpha and b belong to AdaptiveActivation
