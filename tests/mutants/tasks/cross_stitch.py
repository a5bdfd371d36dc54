"""Wrong backwards of the cross-stitch unit."""

# ruff: noqa: RUF059    (a cache is unpacked whole, as its forward packed it)
import numpy as np

from tinynet.blocks.tasks.cross_stitch import cross_stitch_backward

from ..registry import mutant


# %% Cross-stitch
@mutant("cross_stitch", "transposed")
def alpha_ab_for_alpha_ba(dY, cache):
    dX, dA = cross_stitch_backward(dY, cache)
    return dX, dA.T


@mutant("cross_stitch", "swapped")
def first_two_tasks_exchanged(dY, cache):
    dX, dA = cross_stitch_backward(dY, cache)
    return dX[[1, 0, *range(2, len(dX))]], dA


@mutant("cross_stitch_channels_only", "transposed")
def alpha_ab_for_alpha_ba_in_each_channel(dY, cache):
    dX, dA = cross_stitch_backward(dY, cache)
    return dX, dA.swapaxes(1, 2)


@mutant("cross_stitch", "transposed")
def mixes_forward_again(dY, cache):
    X, A = cache
    return np.einsum("ij,jnc->inc", A, dY), cross_stitch_backward(dY, cache)[1]


@mutant("cross_stitch", "not summed")
def one_alpha_per_channel(dY, cache):
    X, A = cache
    return cross_stitch_backward(dY, cache)[0], np.einsum("inc,jnc->cij", dY, X)


@mutant("cross_stitch", "not summed")
def alpha_of_the_first_example(dY, cache):
    X, A = cache
    return cross_stitch_backward(dY, cache)[0], np.einsum("ic,jc->ij", dY[:, 0], X[:, 0])


@mutant("cross_stitch", "term")
def own_task_alone(dY, cache):
    X, A = cache
    return np.diag(A)[:, None, None] * dY, cross_stitch_backward(dY, cache)[1]


@mutant("cross_stitch", "term")
def other_tasks_alone(dY, cache):
    X, A = cache
    dX, dA = cross_stitch_backward(dY, cache)
    return dX - np.diag(A)[:, None, None] * dY, dA


@mutant("cross_stitch", "mask")
def alpha_of_the_own_task_alone(dY, cache):
    dX, dA = cross_stitch_backward(dY, cache)
    return dX, dA * np.eye(len(dA))


@mutant("cross_stitch", "factor")
def alpha_averaged_over_examples(dY, cache):
    dX, dA = cross_stitch_backward(dY, cache)
    return dX, dA / dX.shape[1]


@mutant("cross_stitch", "sign")
def alpha_sign(dY, cache):
    dX, dA = cross_stitch_backward(dY, cache)
    return dX, -dA


@mutant("cross_stitch", "identity")
def features_pass_beside_the_unit(dY, cache):
    dX, dA = cross_stitch_backward(dY, cache)
    return dX + dY, dA


@mutant("cross_stitch", "zero")
def alpha_not_learned(dY, cache):
    dX, dA = cross_stitch_backward(dY, cache)
    return dX, np.zeros_like(dA)


@mutant("cross_stitch", "upstream ignored")
def alpha_from_the_features_alone(dY, cache):
    return cross_stitch_backward(dY, cache)[0], cross_stitch_backward(np.ones_like(dY), cache)[1]
