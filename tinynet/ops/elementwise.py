"""Functions of one array, entry by entry, beyond those of arithmetic."""

import numpy as np

from tinynet.engine import Op


def sin_forward(x):
    return np.sin(x), x


def sin_backward(dy, x):
    return dy * np.cos(x)


def cos_forward(x):
    return np.cos(x), x


def cos_backward(dy, x):
    return -dy * np.sin(x)


def log1p_forward(x):
    """log(1 + x), exact for small x."""
    return np.log1p(x), x


def log1p_backward(dy, x):
    return dy / (1 + x)


def expm1_forward(x):
    """exp(x) - 1, exact for small x."""
    y = np.expm1(x)
    return y, y


def expm1_backward(dy, y):
    return dy * (y + 1)


def softplus_forward(x):
    """log(1 + exp x), a smooth ReLU."""
    return np.logaddexp(0, x), x


def softplus_backward(dy, x):
    """The slope is the sigmoid, 1 / (1 + exp(-x)) = exp(-log(1 + exp(-x))), which can't overflow."""
    return dy * np.exp(-np.logaddexp(0, -x))


def clip_forward(x, low=None, high=None):
    """x where it lies between low and high, else the bound that it passed; None: no bound."""
    low, high = (-np.inf if low is None else low), (np.inf if high is None else high)
    inside = (x >= low) & (x <= high)
    return np.clip(x, x.dtype.type(low), x.dtype.type(high)) if x.dtype.kind == "f" else np.clip(x, low, high), inside


def clip_backward(dy, inside):
    """Outside of the bounds nothing changes; on a bound the gradient passes, as in PyTorch."""
    return dy * inside


def sign_forward(x):
    return np.sign(x), None


def sign_backward(dy, _):
    """The slope is 0 wherever there is one."""
    return np.zeros_like(dy)


def floor_forward(x):
    return np.floor(x), None


def floor_backward(dy, _):
    """The slope is 0 wherever there is one."""
    return np.zeros_like(dy)


sin = Op(sin_forward, sin_backward)
cos = Op(cos_forward, cos_backward)
log1p = Op(log1p_forward, log1p_backward)
expm1 = Op(expm1_forward, expm1_backward)
softplus = Op(softplus_forward, softplus_backward)
clip = Op(clip_forward, clip_backward)
sign = Op(sign_forward, sign_backward)
floor = Op(floor_forward, floor_backward)
