"""Wrong backwards of soft ordering, of the tensor factors and of the relationship prior."""

# ruff: noqa: RUF059    (a cache is unpacked whole, as its forward packed it)
import numpy as np

from tinynet.blocks.tasks.soft_order import soft_order_backward
from tinynet.blocks.tasks.task_relationship import task_relationship_backward
from tinynet.blocks.tasks.tensor_factors import latent_layers_backward, tensor_train_backward, tucker_backward

from ..registry import mutant


# %% Soft ordering
@mutant("soft_order", None)
def mixture_taken_as_free_weights(dY, cache):
    X, s = cache
    return soft_order_backward(dY, cache)[0], (X * dY).sum(axis=(2, 3)).T


@mutant("soft_order", "softmax diagonal")
def own_logit_alone(dY, cache):
    X, s = cache
    return soft_order_backward(dY, cache)[0], s * (1 - s) * (X * dY).sum(axis=(2, 3)).T


@mutant("soft_order", "swapped")
def first_two_modules_exchanged(dY, cache):
    dX, dS = soft_order_backward(dY, cache)
    return dX[[1, 0, *range(2, len(dX))]], dS


@mutant("soft_order", "factor")
def mixture_averaged_over_examples(dY, cache):
    dX, dS = soft_order_backward(dY, cache)
    return dX, dS / dY.shape[1]


# %% Tensor factors
@mutant("latent_layers", "sign")
def mixtures_sign(dW, cache):
    dL, dS = latent_layers_backward(dW, cache)
    return dL, -dS


@mutant("latent_layers", "summed too far")
def one_latent_layer_for_all(dW, cache):
    dL, dS = latent_layers_backward(dW, cache)
    return np.broadcast_to(dL.sum(axis=0), dL.shape), dS


@mutant("tucker", "zero")
def core_frozen(dW, cache):
    dS, dU1, dU2, dU3 = tucker_backward(dW, cache)
    return np.zeros_like(dS), dU1, dU2, dU3


@mutant("tucker", "swapped")
def first_two_rows_of_the_task_factor_exchanged(dW, cache):
    dS, dU1, dU2, dU3 = tucker_backward(dW, cache)
    return dS, dU1, dU2, dU3[[1, 0, *range(2, len(dU3))]]


@mutant("tucker", None)
def factor_of_the_inputs_without_the_tasks(dW, cache):
    S, U1, U2, U3, C = cache
    dS, dU1, dU2, dU3 = tucker_backward(dW, cache)
    return dS, tucker_backward(dW, (S, U1, U2, U3, np.ones_like(C)))[1], dU2, dU3


@mutant("tensor_train", "factor")
def middle_factor_doubled(dW, cache):
    dG1, dG2, dG3 = tensor_train_backward(dW, cache)
    return dG1, 2 * dG2, dG3


@mutant("tensor_train", "upstream ignored")
def task_factor_from_ones(dW, cache):
    dG1, dG2, _ = tensor_train_backward(dW, cache)
    return dG1, dG2, tensor_train_backward(np.ones_like(dW), cache)[2]


# %% The relationship prior
@mutant("task_relationship", None)
def covariances_taken_as_symmetric(dR, cache):
    W, related, *inverses = cache
    return 2 * dR * related


@mutant("task_relationship_identity", "factor")
def half_of_weight_decay(dR, cache):
    return task_relationship_backward(dR, cache) / 2


@mutant("task_relationship", "sign")
def prior_pushed_away_from(dR, cache):
    return -task_relationship_backward(dR, cache)
