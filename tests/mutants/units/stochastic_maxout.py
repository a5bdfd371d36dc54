"""Wrong backwards of stochastic maxout."""

import numpy as np

from tinynet.blocks.units.stochastic_maxout import stochastic_maxout_backward

from ..registry import mutant


@mutant("stochastic_maxout", "factor")
def shared_among_the_pieces(dy, cache):
    return stochastic_maxout_backward(dy, cache) / cache[0][-1]


@mutant("stochastic_maxout", "mask")
def always_the_first_piece(dy, cache):
    shape, drawn = cache
    return stochastic_maxout_backward(dy, (shape, 0 * drawn))


@mutant("stochastic_maxout", "mask")
def every_piece(dy, cache):
    return np.broadcast_to(dy[..., None], cache[0]) * 1.0


@mutant("stochastic_maxout", "sign")
def pieces_sign(dy, cache):
    return -stochastic_maxout_backward(dy, cache)
