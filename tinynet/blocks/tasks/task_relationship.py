"""Multilinear relationship: the tasks' weights are one draw from a tensor-normal prior with learned covariances.

    (1)  R = <W, W x_1 P x_2 Q x_3 V> = sum P[s,t] Q[p,o] V[j,i] W[s,p,j] W[t,o,i]          saha table1
    (2)  dW = dR (W x_1 P x_2 Q x_3 V + W x_1 P' x_2 Q' x_3 V')
    (3)  P^-1 = 1/(O I) W_(1) (Q x V) W_(1)' + eps 1, and Q and V likewise

W (T, O, I)   the weights of a layer of all tasks, each O outputs and I inputs
P (T, T)   Q (O, O)   V (I, I)   inverse covariances of the tasks, outputs and inputs; without one it is the identity
W x_k A is the product of A and axis k; W_(1) is W with its first axis in rows, the two others in columns.
(3) is the step of maximum likelihood for one covariance with the others fixed; no gradient flows to P, Q and V.
With all of them the identity R = ||W||^2: plain weight decay.
Long et al. 2017, arXiv:1506.02117 (MRN).   Lesson: table_1
"""

import numpy as np

from tinynet.engine import Op
from tinynet.shapes import ShapeError, sizes


def _times(W, P, Q, V):
    """W x_1 P x_2 Q x_3 V; None is the identity."""
    T, O, I = W.shape
    W = W if V is None else W @ V.T
    W = W if Q is None else Q @ W
    return W if P is None else (P @ W.reshape(T, O * I)).reshape(T, O, I)


# %% 1. The mathematics
def task_relationship_forward(W, P=None, Q=None, V=None):
    """R.  Raises ShapeError unless W (T O I), P (T T), Q (O O) and V (I I) fit."""
    sizes("W: T O I, P: T T, Q: O O, V: I I", W, P, Q, V)
    P, Q, V = (A if A is None else A.astype(W.dtype) for A in (P, Q, V))
    related = _times(W, P, Q, V)
    return (W * related).sum(), (W, related, P, Q, V)               # (1)


def task_relationship_backward(dR, cache):
    W, related, *inverses = cache
    turned = _times(W, *(A if A is None else A.T for A in inverses))
    return dR * (related + turned)                                  # (2)


def inverse_covariance(W, axis, others=(None, None), eps=1e-3):
    """The inverse covariance of one axis of W (T, O, I), with those of the two other axes fixed.

    others  the two others' inverse covariances in the order of their axes; None is the identity
    eps     what is added to the covariance, so that it has an inverse; > 0, else ValueError
    """
    if not eps > 0:
        raise ValueError(f"task_relationship: eps is {eps}; give one above 0, because a covariance of fewer samples "
                         "than rows has no inverse")
    if W.ndim != 3 or not W.size:
        raise ShapeError(f"task_relationship: W has shape {W.shape}, but needs three axes (T, O, I) with entries")
    rows = np.moveaxis(np.asarray(W, float), axis, 0)
    related = _times(rows, None, *others).reshape(len(rows), -1)
    covariance = related @ rows.reshape(len(rows), -1).T * (len(rows) / rows.size)
    inverse = np.linalg.inv((covariance + covariance.T) / 2 + eps * np.eye(len(rows)))      # (3)
    return ((inverse + inverse.T) / 2).astype(W.dtype)


# %% 2. The fast twin: none, the products are BLAS's

# %% 3. The op
task_relationship = Op(task_relationship_forward, task_relationship_backward)

# %% 4. The module: none, the covariances belong to the net (mrn)
