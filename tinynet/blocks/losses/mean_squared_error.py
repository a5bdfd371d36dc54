"""Mean squared error: the average squared distance from the targets.

    (1)  loss = 1/K sum_k (y[k] - t[k])^2
    (2)  dy[k] = dloss 2/K (y[k] - t[k])
    (3)  dt[k] = -dy[k]

y predictions, t targets, of one shape with K >= 1 entries in all
"""

import numpy as np

from tinynet.engine import Op
from tinynet.shapes import ShapeError


# %% 1. The mathematics
def mean_squared_error_forward(y, t):
    """The mean of (y - t)^2 over all entries; raises ShapeError on different shapes, ValueError on none."""
    if y.shape != t.shape:
        raise ShapeError(f"mean_squared_error: y has shape {y.shape} and t {t.shape}; "
                         "make them equal, e.g. t.reshape(y.shape)")
    if y.size == 0:
        raise ValueError(f"mean_squared_error: y has shape {y.shape}, and the mean over no entries is undefined; "
                         "leave out empty batches")
    error = np.asarray(y - t.astype(y.dtype, copy=False))
    return (error * error).mean(), error                                    # (1)


def mean_squared_error_backward(dloss, error):
    dy = error * (dloss * error.dtype.type(2 / error.size))                 # (2)
    return dy, -dy                                                          # (3)


# %% 2. The fast twin: none, NumPy runs it at the speed of memory

# %% 3. The op
mean_squared_error = Op(mean_squared_error_forward, mean_squared_error_backward)

# %% 4. The module: none, a loss has nothing to learn
