"""The matrix product."""

import math

import numpy as np

from tinynet import threads
from tinynet.engine import Op
from tinynet.ops.broadcasting import needs, unbroadcast


def _product(a, b):
    columns = b.shape[-1] if b.ndim > 1 else 1
    multiplications = math.prod(a.shape[-2:]) * columns         # of one product, there may be a batch of them
    return threads.product(lambda: np.matmul(a, b), multiplications)


@needs("a's last axis must be as long as b's last but one (or only) one, and the axes before them equal or 1; "
       "transpose one, e.g. with .swapaxes(-1, -2)")
def matmul_forward(a, b):
    return _product(a, b), (a, b)


def matmul_backward(dy, cache):
    """dA = dY B', dB = A' dY, with a vector taken as a row on the left and a column on the right."""
    a, b = cache
    A, B = (a[None, :] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    dY = dy[..., None] if b.ndim == 1 else dy
    dY = dY[..., None, :] if a.ndim == 1 else dY
    dA, dB = _product(dY, B.swapaxes(-1, -2)), _product(A.swapaxes(-1, -2), dY)
    return unbroadcast(dA, A.shape).reshape(a.shape), unbroadcast(dB, B.shape).reshape(b.shape)


matmul = Op(matmul_forward, matmul_backward)
