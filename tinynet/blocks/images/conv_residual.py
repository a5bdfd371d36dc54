"""Residual block of convolutions: F is two or three convolutions with batch norm, and the image skips over them.

    (1)  Y = relu(h(X) + F(X, W))                               shi 1.1, fig3; csc321 block
    (2)  F = norm(conv(relu(norm(conv(X)))))                    two layers, 3 x 3
    (3)  F = norm(conv(relu(norm(conv(relu(norm(conv(X))))))))  three layers, 1 x 1, 3 x 3, 1 x 1: a bottleneck
    (4)  h(X) = X                                               the identity, where shapes agree; csc321 resmath
    (5)  h(X)[:, k] = X[:, k - before, ::u, ::u], zeros for channels that X lacks       option A
    (6)  h(X) = norm(conv(X, Ws)), Ws of 1 x 1 and stride u                             option B
    (7)  Y = h(X) + F(X, W),  F = conv(relu(norm(conv(relu(norm(X))))))                 pre-activation, shi 1.3
    (8)  dX = dP dh/dX + dP dF/dX                               shi 1.6; csc321 resmath
    (9)  dW of each convolution from dP dF/dW                   shi 1.5, erratum 2

P = h(X) + F(X, W); dP is dY where the last relu let it pass, and all of dY in the pre-activation form.
X (N, C, H, W)   Y (N, K, ceil(H / u), ceil(W / u))   u stride   N images, C and K channels; each norm has gain and bias
In (8) with (4) the first term is dP itself: it reaches X whatever the weights are.  Erratum 2: 1.5 prints dx_L/dx_l.
He et al. 2016, arXiv:1512.03385 (option A: zeros, option B: projection) and arXiv:1603.05027 (pre-activation).
Lesson: cifar
"""

from itertools import pairwise

import numpy as np

from tinynet import nn
from tinynet.blocks.images.batch_norm import BatchNorm, batch_norm
from tinynet.blocks.images.conv import Conv, conv
from tinynet.blocks.images.windows import must_be_pixels, must_have_channels
from tinynet.engine import Op
from tinynet.shapes import ShapeError, must_be_whole, sizes


def _do(op, *arrays, **settings):
    """(y, how to undo it), by whichever twin of the op is the faster for these arrays."""
    forward, backward = op.pair(*arrays)
    y, cache = forward(*arrays, **settings)
    return y, (backward, cache)


def _undo(step, dy):
    backward, cache = step
    return backward(dy, cache)


# %% 1. The mathematics
def shortcut_forward(X, channels, stride, projection=None, settings=None):
    """h(X): the identity, option A, or option B where a projection (Ws, gain, bias) is given.

    settings  those of the projection's batch norm
    Raises ShapeError where option A would have to take channels away, ValueError for a stride that is no whole number,
    and what conv and batch_norm raise.
    """
    if projection is not None:
        Ws, gain, bias = projection
        Z, convolved = _do(conv, X, Ws, stride=stride)                          # (6)
        Y, normed = _do(batch_norm, Z, gain, bias, **(settings or {}))          # (6)
        return Y, ("B", (convolved, normed))
    must_be_whole("conv_residual", "stride", stride)
    _must_add_channels(X.shape[1], channels, "conv_residual")
    if channels == X.shape[1] and stride == 1:
        return X, ("identity", None)                                            # (4)
    before = (channels - X.shape[1]) // 2
    seen = X[:, :, ::stride, ::stride]
    Y = np.zeros_like(X, shape=(len(X), channels, *seen.shape[2:]))
    Y[:, before:before + X.shape[1]] = seen                                     # (5)
    return Y, ("A", (X.shape, before, stride))


def shortcut_backward(dP, cache):
    """(dX through h, gradients of the projection)."""
    kind, kept = cache
    if kind == "identity":
        return dP, ()                                                           # (4) (8)
    if kind == "B":
        convolved, normed = kept
        dZ, dgain, dbias, _ = _undo(normed, dP)                                 # (6) (8)
        dX, dWs, _ = _undo(convolved, dZ)                                       # (6) (8)
        return dX, (dWs, dgain, dbias)
    shape, before, u = kept
    dX = np.zeros_like(dP, shape=shape)
    dX[:, :, ::u, ::u] = dP[:, before:before + shape[1]]                        # (5) (8)
    return dX, ()


def conv_residual_forward(X, *weights, stride=1, projected=False, preactivated=False, settings=None):
    """h(X) + F(X) of the weights (W, gain, bias) of two or three layers, one after the other.

    projected     the last (Ws, gain, bias) are the projection's, which is option B; without them h is the identity, or
                  option A where stride or channels ask for it
    preactivated  equation (7): each norm stands before its convolution; not together with a projection
    settings      those of each batch norm, e.g. {"observe": ...}, in the weights' order
    Raises ShapeError where the shapes don't fit, and where option A would have to take channels away; ValueError,
    TypeError for other settings that don't fit.
    """
    layers = _layers(X, weights, stride, projected, preactivated)
    settings = [{}] * len(layers) if settings is None else settings
    if len(settings) != len(layers):
        raise ValueError(f"conv_residual: settings are {len(settings)} and norms {len(layers)}; give one for each norm")
    projection, settings_of_h = (layers.pop(), settings[-1]) if projected else (None, None)
    h, skipped = shortcut_forward(X, len(layers[-1][0]), stride, projection, settings_of_h)     # (4) (5) (6)
    Y, steps = X, []
    for i, (W, gain, bias) in enumerate(layers):
        step = dict(stride=stride if i == len(layers) - 2 else 1, padding=W.shape[2] // 2)
        if preactivated:
            A, normed = _do(batch_norm, Y, gain, bias, relu=True, **settings[i])        # (7)
            Y, convolved = _do(conv, A, W, **step)                                      # (7)
        else:
            Z, convolved = _do(conv, Y, W, **step)                                      # (2) (3)
            skip = h if i == len(layers) - 1 else None
            Y, normed = _do(batch_norm, Z, gain, bias, skip, relu=True, **settings[i])  # (1) (2) (3)
        steps.append((convolved, normed))
    return Y + h if preactivated else Y, (steps, skipped, preactivated)                 # (1) (7)


def residual_terms(dY, cache):
    """The two terms of dX in (8), and the weights' gradients in their order, (9)."""
    steps, skipped, preactivated = cache
    grads, d, dP = [], dY, dY if preactivated else None
    for convolved, normed in reversed(steps):
        if preactivated:
            dA, dW, _ = _undo(convolved, d)                                     # (9)
            d, dgain, dbias, _ = _undo(normed, dA)                              # (9)
        else:
            dZ, dgain, dbias, dskip = _undo(normed, d)                          # (9)
            d, dW, _ = _undo(convolved, dZ)                                     # (9)
            dP = dskip if dP is None else dP
        grads = [dW, dgain, dbias, *grads]
    through_weights = d                                                         # (8)
    identity_term, of_projection = shortcut_backward(dP, skipped)               # (8)
    return identity_term, through_weights, [*grads, *of_projection]


def conv_residual_backward(dY, cache):
    identity_term, through_weights, grads = residual_terms(dY, cache)
    return identity_term + through_weights, *grads                              # (8)


def _layers(X, weights, stride, projected, preactivated):
    """[(W, gain, bias), ...], the projection last, once it is sure that they fit each other."""
    count = len(weights) // 3 - bool(projected)
    if len(weights) % 3 or count not in (2, 3):
        raise ShapeError(f"conv_residual: {len(weights)} arrays of weights are given; give W, gain, bias of two or "
                         "three layers, and of the projection where projected=True")
    _must_leave_X_free(projected, preactivated, "conv_residual")
    must_be_whole("conv_residual", "stride", stride)
    _, _, H, W = sizes("X: N C H W", X)
    must_be_pixels(X)
    if H * W == 0:
        raise ShapeError(f"conv_residual: X (N C H W) = {X.shape} has no pixels; give images of 1 x 1 or more")
    layers = [tuple(weights[i:i + 3]) for i in range(0, len(weights), 3)]
    _must_keep_sizes(layers, count)
    first = layers[0][0].shape
    must_have_channels(X, first[1], f"the first W (K C R S) = {first} needs")
    for (before, *_), (after, *_) in pairwise(layers[:count]):
        if after.shape[1] != len(before):
            raise ShapeError(f"conv_residual: a W (K C R S) = {after.shape} reads C = {after.shape[1]} channels and "
                             f"the one before it gives {len(before)}; make them equal")
    if projected and layers[-1][0].shape[1] != X.shape[1]:
        raise ShapeError(f"conv_residual: the projection reads {layers[-1][0].shape[1]} channels and X has "
                         f"{X.shape[1]}; make them equal")
    channels = len(layers[count - 1][0])
    if not projected:
        _must_add_channels(X.shape[1], channels, "conv_residual")
    if projected and len(layers[-1][0]) != channels:
        raise ShapeError(f"conv_residual: F ends with {channels} channels and the projection with "
                         f"{len(layers[-1][0])}; make them equal")
    return layers


def _must_keep_sizes(layers, count):
    """Raises ShapeError where F and h(X) would have images of different sizes: the margin is half a filter."""
    for i, (W, *_) in enumerate(layers):
        *_, R, S = sizes("W: K C R S", W)
        if R != S or R % 2 == 0 or (i == count and R != 1):
            whose, needed = ("the projection's", "1 x 1") if i == count else ("a", "odd squares, e.g. 3 x 3")
            raise ShapeError(f"conv_residual: {whose} W (K C R S) = {W.shape} has filters of {R} x {S}; make them "
                             f"{needed}, so that F and h(X) agree in size")


def _must_leave_X_free(projected, preactivated, block):
    if projected and preactivated:
        raise ValueError(f"{block}: the pre-activation form keeps X free on its way, so it takes no projection; leave "
                         "one of the two out")


def _must_add_channels(C, channels, block):
    if channels < C:
        raise ShapeError(f"{block}: F ends with {channels} channels and X has {C}; option A adds channels of zeros and "
                         "can't take any away, so use a projection (option B)")


# %% 2. The fast twin: none of its own, each part runs the twin that is the faster for it

# %% 3. The op
conv_residual = Op(conv_residual_forward, conv_residual_backward)


# %% 4. The module
class ConvResidual(nn.Module):
    """X (N, C, H, W) -> Y (N, channels, ceil(H / stride), ceil(W / stride)).

    channels      of Y
    inner         None: two layers of 3 x 3; a number: a bottleneck with so many channels inside
    shortcut      "A" or "B", what h does where shapes change (elsewhere it is the identity)
    preactivated  the form of He et al. 2016, arXiv:1603.05027; with shortcut "A"
    W starts He-normal, gains at 1, biases at 0; rng is a seed or np.random.Generator.
    Raises ValueError for settings that don't fit each other, e.g. fewer channels with shortcut "A".
    """

    def __init__(self, C, channels, stride=1, inner=None, shortcut="A", preactivated=False, rng=None, dtype=np.float32):
        if shortcut not in ("A", "B"):
            raise ValueError(f"ConvResidual: there is no shortcut {shortcut!r}; choose A (zeros) or B (a projection)")
        for name, value, least in (("C", C, 0), ("channels", channels, 0), ("stride", stride, 1)):
            must_be_whole("ConvResidual", name, value, least)
        if shortcut == "A":
            _must_add_channels(C, channels, "ConvResidual")
        self.projected = shortcut == "B" and (stride != 1 or channels != C)
        _must_leave_X_free(self.projected, preactivated, "ConvResidual")
        rng = np.random.default_rng(rng)
        shapes = [(C, channels, 3), (channels, channels, 3)] if inner is None else [(C, inner, 1), (inner, inner, 3),
                                                                                    (inner, channels, 1)]
        if self.projected:
            shapes.append((C, channels, 1))
        self.convs = [Conv(*shape, bias=False, rng=rng, dtype=dtype) for shape in shapes]
        self.norms = [BatchNorm(shape[0] if preactivated else shape[1], dtype=dtype) for shape in shapes]
        self.stride, self.preactivated = stride, preactivated

    def forward(self, X):
        layers = zip(self.convs, self.norms, strict=True)
        weights = [array for layer, norm in layers for array in (layer.W, norm.gain, norm.bias)]
        return conv_residual(X, *weights, stride=self.stride, projected=self.projected, preactivated=self.preactivated,
                             settings=[norm.statistics() for norm in self.norms])
