"""The weights of all tasks as a product of few factors: tasks share what the factors have in common.

    (1)  LAF     W[t] = sum_k S[t,k] L[k]                                  saha table1
    (2)  dS[t,k] = <dW[t], L[k]>,  dL[k] = sum_t S[t,k] dW[t]
    (3)  Tucker  W[t] = U1 (sum_r U3[t,r] S[r]) U2'                        saha table1
    (4)  C[t] = sum_r U3[t,r] S[r],  dC[t] = U1' dW[t] U2
    (5)  dU1 = sum_t dW[t] U2 C[t]', dU2 = sum_t dW[t]' U1 C[t], dU3[t,r] = <dC[t], S[r]>, dS[r] = sum_t U3[t,r] dC[t]
    (6)  TT      W[t] = G1 (sum_q G3[t,q] G2[q])                           saha table1
    (7)  C[t] = sum_q G3[t,q] G2[q],  dC[t] = G1' dW[t],  dG1 = sum_t dW[t] C[t]'
    (8)  dG3[t,q] = <dC[t], G2[q]>,  dG2[q] = sum_t G3[t,q] dC[t]

W (T, I, O)   the weights of all tasks: y[t] = x[t] W[t]
LAF     L (K, I, O)   S (T, K)                                 K latent layers, of which each task is a mixture
Tucker  S (R, P, Q)   U1 (I, P)   U2 (O, Q)   U3 (T, R)        ranks P, Q, R of inputs, outputs and tasks
TT      G1 (I, P)     G2 (Q, P, O)   G3 (T, Q)                 ranks P, Q
I inputs, O outputs, T tasks
Yang and Hospedales 2017, arXiv:1605.06391 (DMTRL).   Lesson: table_1
"""

import numpy as np

from tinynet.engine import Op
from tinynet.shapes import sizes


def _flat(parts):
    """(K, I, O) as (K, I O)."""
    return parts.reshape(len(parts), parts.shape[1] * parts.shape[2])


def _mix(weights, parts):
    """sum_k weights[t,k] parts[k]: (T, ...)."""
    return (weights @ _flat(parts)).reshape(len(weights), *parts.shape[1:])


def _unmix(d, weights, parts):
    """The gradients of weights and parts."""
    rows = _flat(d)
    return rows @ _flat(parts).T, (weights.T @ rows).reshape(parts.shape)


def _rows(W):
    """(T, I, O) as (T I, O): where a factor is shared by the tasks, one product serves all."""
    return W.reshape(W.shape[0] * W.shape[1], W.shape[2])


# %% 1. The mathematics
def latent_layers_forward(L, S):
    """LAF: W (T, I, O).  Raises ShapeError unless L (K I O) and S (T K) fit."""
    sizes("L: K I O, S: T K", L, S)
    return _mix(S, L), (L, S)                                       # (1)


def latent_layers_backward(dW, cache):
    L, S = cache
    dS, dL = _unmix(dW, S, L)                                       # (2)
    return dL, dS


def tucker_forward(S, U1, U2, U3):
    """Tucker: W (T, I, O).  Raises ShapeError unless S (R P Q), U1 (I P), U2 (O Q) and U3 (T R) fit."""
    sizes("S: R P Q, U1: I P, U2: O Q, U3: T R", S, U1, U2, U3)
    C = _mix(U3, S)                                                 # (4)
    return U1 @ (C @ U2.T), (S, U1, U2, U3, C)                      # (3)


def tucker_backward(dW, cache):
    S, U1, U2, U3, C = cache
    right = (_rows(dW) @ U2).reshape(*dW.shape[:2], U2.shape[1])    # dW[t] U2
    dU1 = np.einsum("tiq,tpq->ip", right, C, optimize=True)         # (5)
    dU2 = np.einsum("tio,tiq->oq", dW, U1 @ C, optimize=True)       # (5)
    dU3, dS = _unmix(U1.T @ right, U3, S)                           # (4) (5)
    return dS, dU1, dU2, dU3


def tensor_train_forward(G1, G2, G3):
    """TT: W (T, I, O).  Raises ShapeError unless G1 (I P), G2 (Q P O) and G3 (T Q) fit."""
    sizes("G1: I P, G2: Q P O, G3: T Q", G1, G2, G3)
    C = _mix(G3, G2)                                                # (7)
    return G1 @ C, (G1, G2, G3, C)                                  # (6)


def tensor_train_backward(dW, cache):
    G1, G2, G3, C = cache
    dG1 = np.einsum("tio,tpo->ip", dW, C, optimize=True)            # (7)
    dG3, dG2 = _unmix(G1.T @ dW, G3, G2)                            # (7) (8)
    return dG1, dG2, dG3


# %% Factors of a given stack of weights
def rank_at(rows, precision):
    """How many columns a pivoted QR of `rows` (D, N) keeps: those before |R[k,k]| falls below precision |R[0,0]|.

    The rule of SciPy's interpolative decomposition, which the published code sets to .5.
    """
    rest = np.array(rows, float)
    if len(rest) > rest.shape[1]:
        rest = np.linalg.qr(rest, mode="r")             # the same R, of a smaller matrix
    lengths = (rest * rest).sum(axis=0)
    first = rank = 0
    while rank < min(rest.shape):
        k = lengths.argmax()
        q = rest[:, k].copy()
        size = np.sqrt(q @ q)
        first = first or size
        if size <= precision * first or size == 0:
            break
        q /= size
        along = q @ rest
        rest -= q[:, None] * along
        lengths = np.maximum(lengths - along * along, 0)
        rank += 1
    return rank


def _leading(rows, rank):
    """The `rank` leading left singular vectors of rows (D, N): (D, rank)."""
    values, vectors = np.linalg.eigh(rows @ rows.T)
    return vectors[:, np.argsort(-values)[:rank]]


def _checked_ranks(block, W, ranks):
    for (name, most), rank in zip((("inputs", W.shape[1]), ("outputs", W.shape[2]), ("tasks", len(W))), ranks,
                                  strict=False):
        if rank is not None and not 1 <= rank <= most:
            raise ValueError(f"{block}: the rank of the {name} is {rank}, but W (T I O) = {W.shape} has {most} {name}; "
                             f"use 1..{most}")


def tucker_factors(W, ranks):
    """(S, U1, U2, U3) of W (T, I, O) for ranks (of inputs, of outputs, of tasks): the higher-order SVD.

    At full ranks their product is W again.  Raises ValueError for ranks below 1 and above the sizes.
    """
    _checked_ranks("tucker", W, ranks)
    U1, U2, U3 = (_leading(np.moveaxis(W, axis, 0).reshape(W.shape[axis], -1), rank)
                  for axis, rank in zip((1, 2, 0), ranks, strict=True))
    return _mix(U3.T, U1.T @ W @ U2), U1, U2, U3


def tensor_train_factors(W, ranks):
    """(G1, G2, G3) of W (T, I, O) for ranks (of inputs, of tasks): two SVDs one after the other.  Errors as above."""
    _checked_ranks("tensor_train", W, (ranks[0], None, ranks[1]))
    G1 = _leading(np.moveaxis(W, 1, 0).reshape(W.shape[1], -1), ranks[0])
    C = G1.T @ W
    G3 = _leading(C.reshape(len(C), -1), ranks[1])
    return G1, _mix(G3.T, C), G3


def latent_layers_factors(W, K):
    """(L, S) of W (T, I, O) for K latent layers: the leading singular vectors.  Raises ValueError for K not in 1..T."""
    _checked_ranks("latent_layers", W, (None, None, K))
    S = _leading(W.reshape(len(W), -1), K)
    return _mix(S.T, W), S


# %% 2. The fast twin: none, the products are BLAS's

# %% 3. The ops
latent_layers = Op(latent_layers_forward, latent_layers_backward)
tucker = Op(tucker_forward, tucker_backward)
tensor_train = Op(tensor_train_forward, tensor_train_backward)

# %% 4. The module: none, the factors belong to the net (dmtrl)
