"""Wrong backwards of the penalties on neighbours and of mixture convolutions."""

import numpy as np

from tinynet.blocks.graphs.mixture_convolution import mixture_convolution_backward
from tinynet.blocks.graphs.neighbour_penalty import laplacian_penalty_backward, pair_penalty_backward

from ..registry import mutant


@mutant("laplacian_penalty", "factor")
def the_half_forgotten(dP, cache):
    return 2 * laplacian_penalty_backward(dP, cache)


@mutant("laplacian_penalty", "sign")
def neighbours_pushed_apart(dP, cache):
    return -laplacian_penalty_backward(dP, cache)


@mutant("laplacian_penalty", None)
def own_edges_alone(dP, cache):
    f, graph = cache
    return dP * (graph.degrees[:, None] * f - graph.adjacency.dense() @ f)


@mutant("laplacian_penalty", None)
def degrees_without_neighbours(dP, cache):
    f, graph = cache
    return dP * (graph.degrees + np.bincount(graph.indices, graph.adjacency.values, graph.nodes))[:, None] * f


@mutant("laplacian_penalty", "upstream ignored")
def penalty_of_weight_one(dP, cache):
    return laplacian_penalty_backward(1.0, cache)


@mutant("pair_penalty", "zero")
def one_end_alone(dP, cache):
    dh, dg = pair_penalty_backward(dP, cache)
    return dh, np.zeros_like(dg)


@mutant("pair_penalty", "sign")
def both_ends_the_same_way(dP, cache):
    dh, _ = pair_penalty_backward(dP, cache)
    return dh, dh


@mutant("pair_penalty", "mask")
def margin_forgotten(dP, cache):
    apart, D, short, near, S, R = cache
    short = np.where(near, short, 1.5 - D)
    return pair_penalty_backward(dP, (apart, D, short, near, S, R))


@mutant("pair_penalty", "factor")
def direction_not_of_length_1(dP, cache):
    apart, D, short, near, S, R = cache
    return pair_penalty_backward(dP, (apart, D, short * np.where(near, 1, D), near, S, R))


@mutant("pair_penalty", "factor")
def half_of_a_square(dP, cache):
    return tuple(d / 2 for d in pair_penalty_backward(dP, cache))


@mutant("mixture_convolution", "zero")
def widths_not_learned(dy, cache):
    dh, du, dmu, dsigma = mixture_convolution_backward(dy, cache)
    return dh, du, dmu, np.zeros_like(dsigma)


@mutant("mixture_convolution", "sign")
def centres_leave_their_neighbours(dy, cache):
    dh, du, dmu, dsigma = mixture_convolution_backward(dy, cache)
    return dh, du, -dmu, dsigma


@mutant("mixture_convolution_sum", "sign")
def coordinates_moved_the_wrong_way(dy, cache):
    dh, du, dmu, dsigma = mixture_convolution_backward(dy, cache)
    return dh, -du, dmu, dsigma


@mutant("mixture_convolution", None)
def backward_of_the_sum(dy, cache):
    return mixture_convolution_backward(dy, (*cache[:-1], False))


@mutant("mixture_convolution_sum", None)
def backward_of_the_softmax(dy, cache):
    return mixture_convolution_backward(dy, (*cache[:-1], True))


@mutant("mixture_convolution", "factor")
def features_averaged_over_the_gaussians(dy, cache):
    dh, *rest = mixture_convolution_backward(dy, cache)
    return dh / dh.shape[1], *rest


@mutant("mixture_convolution", "upstream ignored")
def mixture_upstream_of_ones(dy, cache):
    return mixture_convolution_backward(np.ones_like(dy), cache)


@mutant("mixture_convolution_sum", None)
def one_sigma_too_few(dy, cache):
    dh, du, dmu, dsigma = mixture_convolution_backward(dy, cache)
    return dh, du, dmu, dsigma * cache[3]
