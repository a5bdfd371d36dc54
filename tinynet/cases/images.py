"""Cases of the blocks on images."""

import numpy as np

from tinynet.blocks.images import batch_norm as _batch_norm
from tinynet.blocks.images import conv as _conv
from tinynet.blocks.images import conv_residual as _conv_residual
from tinynet.blocks.images import conv_transpose as _conv_transpose
from tinynet.blocks.images import group_norm as _group_norm
from tinynet.blocks.images import pool as _pool
from tinynet.blocks.images import upsample as _upsample
from tinynet.cases.registry import case, plain


# %% Convolution: C channels, K filters of R x S taps
def _filters(rng, K, C, R, S):
    return rng.normal(size=(K, C, R, S)), rng.normal(size=K)


@case(_conv.conv, never_empty="H W R S", where="R <= H and S <= W")
def conv(rng, N, C, H, W, K, R, S):
    return rng.normal(size=(N, C, H, W)), *_filters(rng, K, C, R, S)


@case(_conv.conv, never_empty="H W")
def conv_without_bias(rng, N, C, H, W, K):
    return [rng.normal(size=(N, C, H, W)), rng.normal(size=(K, C, 1, 1)), None], dict(stride=(2, 1))


@case(_conv.conv, never_empty="H W R", where="R <= H + 1 and R <= W + 1")
def conv_strided(rng, N, C, H, W, K, R):
    return [rng.normal(size=(N, C, H + 3, W + 4)), *_filters(rng, K, C, R, 3)], dict(stride=2, padding=(1, 0))


@case(_conv.conv, never_empty="H W")
def conv_dilated(rng, N, C, H, W, K):
    return [rng.normal(size=(N, C, H, W + 1)), *_filters(rng, K, C, 2, 2)], dict(dilation=(2, 3), padding=1)


@case(_conv.conv, never_empty="H W")
def conv_grouped(rng, N, C, H, W, K):
    return [rng.normal(size=(N, 2 * C, H, W)), *_filters(rng, 2 * K, C, 3, 2)], dict(groups=2, padding=1)


@case(_conv.conv, never_empty="C H W")
def conv_depthwise(rng, N, C, H, W):
    return [rng.normal(size=(N, 2 * C, H, W)), *_filters(rng, 2 * C, 1, 3, 3)], dict(groups=2 * C or 1, padding=1)


@case(_conv.conv, never_empty="H W")
def conv_winograd(rng, N, C, H, W, K):
    return [rng.normal(size=(N, C, H, W)), *_filters(rng, K, C, 3, 3)], dict(padding=1, method="winograd")


@case(_conv.conv, never_empty="H W")
def conv_winograd_margins(rng, N, C, H, W, K):
    return [rng.normal(size=(N, C, H, W + 2)), *_filters(rng, K, C, 3, 3)], dict(padding=(2, 0), method="winograd")


@case(_conv.conv, never_empty="H W")
def conv_few_images(rng, N, C, H, W, K):
    return [rng.normal(size=(N, C, H, W)), *_filters(rng, K, C, 3, 3)], dict(padding=(1, 2), method="few_images")


@case(_conv.conv, never_empty="H W")
def conv_direct(rng, N, C, H, W, K):
    return [rng.normal(size=(N, C, H, W)), *_filters(rng, K, C, 3, 3)], dict(padding=1, method="direct")


@case(_conv.conv, never_empty="H W")
def conv_direct_strided(rng, N, C, H, W, K):
    return [rng.normal(size=(N, C, 2 * H, 2 * W)), *_filters(rng, K, C, 3, 3)], dict(stride=2, padding=1,
                                                                                     method="direct")


@case(_conv_transpose.conv_transpose, never_empty="H W R S")
def conv_transpose(rng, N, C, H, W, K, R, S):
    return rng.normal(size=(N, C, H, W)), rng.normal(size=(C, K, R, S)), rng.normal(size=K)


@case(_conv_transpose.conv_transpose, never_empty="H W")
def conv_transpose_strided(rng, N, C, H, W, K):
    arrays = rng.normal(size=(N, 2 * C, H, W)), rng.normal(size=(2 * C, K, 3, 3)), None
    return arrays, dict(stride=2, padding=1, groups=2, extra=1)


# %% Pooling: all numbers far enough apart that a small step changes no maximum
def _apart(rng, *size):
    return rng.permutation(np.arange(np.prod(size, dtype=int))).reshape(size) / 2.0


@case(_pool.max_pool, never_empty="H W")
def max_pool(rng, N, C, H, W):
    return [_apart(rng, N, C, H + 1, W + 1)], {}


@case(_pool.max_pool, never_empty="H W")
def max_pool_overlapping(rng, N, C, H, W):
    return [_apart(rng, N, C, H, W)], dict(size=3, stride=2, padding=1)


plain("average_pool", _pool.average_pool, "N C H W", never_empty="H W", size=1, stride=2)
plain("average_pool_overlapping", _pool.average_pool, "N C H W", never_empty="H W", size=(2, 3), stride=1,
      padding=1)
plain("global_average", _pool.global_average, "N C H W", never_empty="H W")
plain("upsample", _upsample.upsample, "N C H W")
plain("upsample_three", _upsample.upsample, "N C H W", factor=3)


# %% Norms
def _spread(rng, N, C, H, W):
    """Images whose channels aren't nearly constant: there the slope is steep."""
    x = np.arange(N * C * H * W, dtype=float).reshape(N, C, H, W) / max(1, C * H * W)
    return x + rng.normal(size=x.shape)


@case(_batch_norm.batch_norm, never_empty="N H W", where="N * H * W > 1")
def batch_norm(rng, N, C, H, W):
    return [_spread(rng, N, C, H, W), rng.normal(size=C), rng.normal(size=C)], dict(eps=0.1)


@case(_batch_norm.batch_norm, never_empty="N H W", where="N * H * W > 1")
def batch_norm_relu(rng, N, C, H, W):
    return [_spread(rng, N, C, H, W), rng.normal(size=C), rng.normal(size=C)], dict(relu=True, eps=0.1)


@case(_batch_norm.batch_norm, never_empty="N H W", where="N * H * W > 1")
def batch_norm_skip_relu(rng, N, C, H, W):
    arrays = _spread(rng, N, C, H, W), rng.normal(size=C), rng.normal(size=C), rng.normal(size=(N, C, H, W))
    return arrays, dict(relu=True, eps=0.1)


@case(_batch_norm.batch_norm)
def batch_norm_fixed(rng, N, C, H, W):
    arrays = rng.normal(size=(N, C, H, W)), rng.normal(size=C), rng.normal(size=C), rng.normal(size=(N, C, H, W))
    return arrays, dict(fixed=(rng.normal(size=C), rng.uniform(0.5, 2, C)))


@case(_group_norm.group_norm, never_empty="C H W", where="C * H * W > 1")
def group_norm(rng, N, C, H, W):
    return [_spread(rng, N, 2 * C, H, W), rng.normal(size=2 * C), rng.normal(size=2 * C)], dict(groups=2, eps=0.1)


@case(_group_norm.group_norm, never_empty="C H W", where="H * W > 1")
def instance_norm(rng, N, C, H, W):
    return [_spread(rng, N, C, H, W), rng.normal(size=C), rng.normal(size=C)], dict(groups=C, eps=0.1)


# %% Residual blocks: an eps that keeps the slopes of norms over few numbers gentle
def _layers(rng, *shapes):
    """W, gain, bias of each layer, and the settings of its norm."""
    arrays = [a for K, C, R in shapes for a in (rng.normal(size=(K, C, R, R)), rng.normal(size=K), rng.normal(size=K))]
    return arrays, [dict(eps=0.1)] * len(shapes)


@case(_conv_residual.conv_residual, never_empty="N C H W")
def conv_residual(rng, N, C, H, W):
    weights, settings = _layers(rng, (C, C, 3), (C, C, 3))
    return [_spread(rng, N + 1, C, H, W), *weights], dict(settings=settings)


@case(_conv_residual.conv_residual, never_empty="N C H W K")
def conv_residual_option_A(rng, N, C, H, W, K):
    weights, settings = _layers(rng, (C + K, C, 3), (C + K, C + K, 3))
    return [_spread(rng, N + 1, C, 2 * H, 2 * W), *weights], dict(stride=2, settings=settings)


@case(_conv_residual.conv_residual, never_empty="N C H W K")
def conv_residual_bottleneck(rng, N, C, H, W, K):
    weights, settings = _layers(rng, (K, C, 1), (K, K, 3), (2 * K, K, 1), (2 * K, C, 1))
    return [_spread(rng, N + 1, C, 2 * H, 2 * W), *weights], dict(stride=2, projected=True, settings=settings)


@case(_conv_residual.conv_residual, never_empty="N C H W")
def conv_residual_preactivated(rng, N, C, H, W):
    weights, settings = _layers(rng, (C, C, 3), (C, C, 3))
    return [_spread(rng, N + 1, C, H, W), *weights], dict(preactivated=True, settings=settings)
