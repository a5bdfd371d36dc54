"""The memory order of the image kernels: arrays are (N, C, H, W) for the reader and lie as (C, H, W, N) in memory.

The kernels' inner loops run over the images of a batch, because these lie side by side: no loop is too short, whatever
the width, a shift by one pixel stays aligned, and a channel is one piece.  NumPy's operations entry by entry keep the
order of their arrays, so that a net turns its images once, at the first layer.  (PyTorch calls (N, H, W, C)
channels_last in the same sense.)  Where N is 1 both orders are the same.
"""

import math

import numpy as np

from tinynet.jit import contiguous


def batch_last(*arrays):
    """The arrays (N, C, H, W) as C-contiguous (C, H, W, N), copied only where they don't lie so, in the common dtype
    of the floating ones.  None stays None.
    """
    return contiguous(*(None if a is None else a.transpose(1, 2, 3, 0) for a in arrays))


def batch_first(x):
    """The view (N, C, H, W) of x (C, H, W, N)."""
    return x.transpose(3, 0, 1, 2)


def aligned(shape, dtype):
    """np.empty that begins where a line of the cache begins: a vector of 64 bytes then never lies across two lines."""
    count = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(count + 64, np.uint8)
    skip = -room.ctypes.data % 64
    return room[skip:skip + count].view(dtype).reshape(shape)
