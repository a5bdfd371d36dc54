"""Wrong backwards of convolution, pooling and upsampling."""

import numpy as np

from tinynet.blocks.images.conv import conv_backward, filter_gradient, image_gradient
from tinynet.blocks.images.conv_transpose import conv_transpose_backward
from tinynet.blocks.images.pool import (
    average_pool_backward,
    global_average_backward,
    max_pool_backward,
)
from tinynet.blocks.images.upsample import upsample_backward

from ..registry import mutant


# %% Convolution
@mutant("conv", None)
def filters_not_turned(dY, cache):
    _, W, _, way, groups, *_ = cache
    _, dW, db = conv_backward(dY, cache)
    return image_gradient(dY, W[:, :, ::-1, ::-1], way, groups), dW, db


@mutant("conv_strided", None)
def filter_gradient_turned(dY, cache):
    dX, dW, db = conv_backward(dY, cache)
    return dX, dW[:, :, ::-1, ::-1].copy(), db


@mutant("conv", "sign")
def image_gradient_negative(dY, cache):
    dX, dW, db = conv_backward(dY, cache)
    return -dX, dW, db


@mutant("conv_grouped", "factor")
def filter_gradient_averaged(dY, cache):
    dX, dW, db = conv_backward(dY, cache)
    return dX, dW / len(dY), db


@mutant("conv", "zero")
def image_gradient_forgotten(dY, cache):
    dX, dW, db = conv_backward(dY, cache)
    return np.zeros_like(dX), dW, db


@mutant("conv", "not summed")
def bias_of_each_image(dY, cache):
    dX, dW, _ = conv_backward(dY, cache)
    return dX, dW, dY.sum(axis=(2, 3))


@mutant("conv_dilated", "not summed")
def filter_gradient_of_the_first_image(dY, cache):
    X, _, _, way, groups, *_ = cache
    dX, _, db = conv_backward(dY, cache)
    return dX, filter_gradient(dY[:1], X[:1], way, groups), db


@mutant("conv_transpose", "sign")
def transposed_filters_negative(dY, cache):
    dX, dW, db = conv_transpose_backward(dY, cache)
    return dX, -dW, db


@mutant("conv_transpose", None)
def transposed_filters_turned(dY, cache):
    dX, dW, db = conv_transpose_backward(dY, cache)
    return dX, dW[:, :, ::-1, ::-1].copy(), db


# %% Pooling and upsampling
@mutant("max_pool", "mask")
def shared_by_the_whole_window(dY, cache):
    _, way = cache
    return average_pool_backward(dY, way) * way.size[0] * way.size[1]


@mutant("max_pool", "mask")
def always_to_the_first_tap(dY, cache):
    first, way = cache
    return max_pool_backward(dY, (np.zeros_like(first), way))


@mutant("average_pool_overlapping", "factor")
def not_divided_by_the_window(dY, way):
    return average_pool_backward(dY, way) * way.size[0] * way.size[1]


@mutant("average_pool", "sign")
def average_turned(dY, way):
    return -average_pool_backward(dY, way)


@mutant("global_average", "factor")
def not_divided_by_the_pixels(dY, shape):
    return global_average_backward(dY, shape) * (shape[2] * shape[3])


@mutant("upsample", "factor")
def mean_of_the_square(dY, cache):
    return upsample_backward(dY, cache) / cache[1] ** 2


@mutant("upsample_three", "not summed")
def only_the_corner_of_the_square(dY, cache):
    _, f = cache
    return dY[:, :, ::f, ::f].copy()
