"""Linear layers of several tasks side by side: each task has its own weights, and all are one product.

    (1)  Y[t] = X[t] W[t]' + b[t]               shi fig12
    (2)  dX[t] = dY[t] W[t]                     summed over t where all tasks see one X
    (3)  dW[t] = (X[t]' dY[t])'
    (4)  db[t] = sum_n dY[t,n]

X (T, N, D)   N examples for each of T tasks, D features; or (N, D), the same ones for all
W (T, C, D)   b (T, C)
Y (T, N, C)
`linear` is the case where all tasks share W, too.
Lesson: where_to_split
"""

from tinynet.engine import Op
from tinynet.ops.broadcasting import summed
from tinynet.shapes import sizes


# %% 1. The mathematics
def task_linear_forward(X, W, b, need_dX=True):
    """need_dX  False: backward returns None for dX, e.g. at the first layer"""
    sizes("X: N D, W: T C D, b: T C" if X.ndim == 2 else "X: T N D, W: T C D, b: T C", X, W, b)
    return X @ W.swapaxes(1, 2) + b[:, None], (X, W, need_dX)           # (1)


def task_linear_backward(dY, cache):
    X, W, need_dX = cache
    dX = None
    if need_dX:
        dX = dY @ W                                                     # (2)
        dX = dX if X.ndim == 3 else summed(dX, (0,))                    # (2)
    dW = (X.swapaxes(-1, -2) @ dY).swapaxes(1, 2)                       # (3)
    return dX, dW, summed(dY, (1,))                                     # (4)


# %% 2. The fast twin: none, BLAS already wins

# %% 3. The op
task_linear = Op(task_linear_forward, task_linear_backward)

# %% 4. The module: none, nets for several tasks hold W and b as they share them (see multi_task_net)
