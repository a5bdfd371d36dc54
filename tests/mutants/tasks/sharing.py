"""Wrong backwards of NDDR, task_linear, the soft-sharing penalties and the mixture of experts."""

import numpy as np

from tinynet.blocks.tasks.expert_mixture import expert_mixture_backward
from tinynet.blocks.tasks.nddr import nddr_backward
from tinynet.blocks.tasks.soft_sharing import absolute_distance_backward, squared_distance_backward
from tinynet.blocks.tasks.task_linear import task_linear_backward

from ..registry import mutant


# %% NDDR
@mutant("nddr", None)
def own_block_alone_passes_back(dY, cache):
    X, W, _ = cache
    C = X.shape[2]
    own = np.stack([dY[t] @ W[t, :, t * C:(t + 1) * C] for t in range(len(X))])
    return own, *nddr_backward(dY, cache)[1:]


@mutant("nddr", "swapped")
def tasks_of_dx_in_reverse_order(dY, cache):
    dX, dW, db = nddr_backward(dY, cache)
    return dX[::-1], dW, db


@mutant("nddr", "zero")
def layers_not_learned(dY, cache):
    dX, dW, db = nddr_backward(dY, cache)
    return dX, np.zeros_like(dW), db


@mutant("nddr", "factor")
def bias_averaged_over_examples(dY, cache):
    dX, dW, db = nddr_backward(dY, cache)
    return dX, dW, db / dY.shape[1]


@mutant("nddr", "sign")
def layers_sign(dY, cache):
    dX, dW, db = nddr_backward(dY, cache)
    return dX, -dW, db


# %% Linear layers side by side
@mutant("task_linear", None)
def every_task_back_through_the_first_ones_weights(dY, cache):
    X, W, _ = cache
    dX = dY @ W[:1]
    return dX if X.ndim == 3 else dX.sum(axis=0), *task_linear_backward(dY, cache)[1:]


@mutant("task_linear", "zero")
def weights_not_learned(dY, cache):
    dX, dW, db = task_linear_backward(dY, cache)
    return dX, np.zeros_like(dW), db


@mutant("task_linear", "swapped")
def weights_of_the_tasks_in_reverse_order(dY, cache):
    dX, dW, db = task_linear_backward(dY, cache)
    return dX, dW[::-1], db


@mutant("task_linear", "sign")
def bias_sign(dY, cache):
    dX, dW, db = task_linear_backward(dY, cache)
    return dX, dW, -db


# %% Soft sharing
@mutant("squared_distance", "factor")
def half_of_each_square(dloss, away):
    return squared_distance_backward(dloss, away) / 2


@mutant("squared_distance", "sign")
def tasks_pushed_apart(dloss, away):
    return -squared_distance_backward(dloss, away)


@mutant("absolute_distance", None)
def distance_to_the_first_task_alone(dloss, W):
    return dloss * np.sign(W - W[0])


@mutant("absolute_distance", "upstream ignored")
def strength_of_the_penalty_forgotten(dloss, W):
    return absolute_distance_backward(1.0, W)


# %% Mixture of experts
@mutant("expert_mixture", "zero")
def gates_not_learned(dY, cache):
    dX, dP = expert_mixture_backward(dY, cache)
    return dX, np.zeros_like(dP)


@mutant("expert_mixture", "swapped")
def experts_in_reverse_order(dY, cache):
    dX, dP = expert_mixture_backward(dY, cache)
    return dX, dP[..., ::-1]


@mutant("expert_mixture", "term")
def only_the_first_tasks_gradient_reaches_the_experts(dY, cache):
    P = cache[1]
    return np.einsum("ne,nd->end", P[0], dY[0]), expert_mixture_backward(dY, cache)[1]


@mutant("expert_mixture", "factor")
def gates_averaged_over_features(dY, cache):
    dX, dP = expert_mixture_backward(dY, cache)
    return dX, dP / dX.shape[2]
