"""What the twelve methods of saha table1 have in common: layers that T tasks go through together, and a head a task.

A net takes x (T, N, d_in), N examples of its own for each task, or images (T, N, C, side, side), and returns one
(N, classes[t]) for each task t.  Its layers are

    3 x 3 convolutions of `channels` channels, each but the last with 2 x 2 max pooling behind it (none for vectors)
    dense layers of `widths` units
    a linear head a task

What a method shares it decides in `weights`, how a layer bends in `bend`, and what it adds to the loss in `penalty`.
"""

from itertools import pairwise

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.images.conv import conv
from tinynet.blocks.images.pool import max_pool
from tinynet.blocks.tasks.functional_regularization import total_loss
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.linear import Linear, linear
from tinynet.shapes import ShapeError


def mean_loss(net, x, *labels, loss):
    """The mean over the tasks of loss(outputs, labels[t]), plus the net's penalty: what saha Ltotal minimises.

    labels  one array a task: classes (N) or, for several labels an example, 0 and 1 (N, classes[t])
    `partial(mean_loss, loss=...)` is a loss for `fit` on TaskBatches.
    Raises ValueError, which names the task, for labels that its head has no output for.
    """
    outputs, losses = net(x), []
    if len(outputs) != len(labels):
        raise ValueError(f"mean_loss: there are {len(labels)} arrays of labels and {len(outputs)} tasks; give one each")
    for t, (y, its) in enumerate(zip(outputs, labels, strict=True)):
        needs = its.shape[1] if its.ndim == 2 else int(its.max(initial=-1)) + 1
        if needs > y.shape[1] or (its.ndim == 2 and needs != y.shape[1]):
            raise ValueError(f"mean_loss: task {t} has {needs} classes in its labels and {y.shape[1]} in the net's "
                             "head; make the net with the number of classes of each task")
        losses.append(loss(y, its))
    penalty = net.penalty()
    return total_loss(losses, [] if penalty is None else [penalty], c=1)


class Shared(nn.Module):
    """One W (O, I) and one b (O) for all tasks; He-normal and zero."""

    def __init__(self, inputs, outputs, rng, dtype):
        self.W = nn.Parameter(nn.he_normal(rng, (outputs, inputs), dtype))
        self.b = nn.Parameter(np.zeros(outputs, dtype))

    def forward(self):
        return self.W, self.b


class Own(nn.Module):
    """W (T, O, I) and b (T, O): every task its own; He-normal and zero."""

    def __init__(self, tasks, inputs, outputs, rng, dtype):
        self.W = nn.Parameter(nn.he_normal(rng, (tasks, outputs, inputs), dtype))
        self.b = nn.Parameter(np.zeros((tasks, outputs), dtype))

    def forward(self):
        return self.W, self.b


class DenseLayer(nn.Module):
    """x (T, N, ...) -> bend(x W' + b) (T, N, O), all axes behind N taken as one."""

    def __init__(self, weights, bend):
        self.weights, self.bend = weights, bend

    def forward(self, x):
        W, b = self.weights()
        x = x.reshape(*x.shape[:2], -1)
        if W.ndim == 2:
            return self.bend(linear(x, W, b))
        return self.bend(x @ W.swapaxes(1, 2) + b.reshape(len(b), 1, -1))


class ConvLayer(nn.Module):
    """x (T, N, C, H, W) -> bend(3 x 3 convolution of x, padded by 1, + b), then 2 x 2 max pooling if asked for."""

    def __init__(self, weights, bend, pooled):
        self.weights, self.bend, self.pooled = weights, bend, pooled

    def forward(self, x):
        W, b = self.weights()
        T, N, C, *side = x.shape
        if W.ndim == 2:
            z = _convolve(x.reshape(T * N, C, *side), W, b).reshape(T, N, -1, *side)
        else:
            z = ops.stack(*(_convolve(x[t], W[t], b[t]) for t in range(T)))
        h = self.bend(z)
        return _pool(h) if self.pooled else h


def _convolve(x, W, b):
    return conv(x, W.reshape(len(W), -1, 3, 3), b, padding=1)


def _pool(x):
    T, N, *image = x.shape
    x = max_pool(x.reshape(T * N, *image), size=2)
    return x.reshape(T, N, *x.shape[1:])


class MultiTaskNet(nn.Module):
    """The base of the twelve; a subclass says what it shares.

    d_in      entries of a vector, or (C, side, side) of an image
    widths    of the dense layers
    classes   how many outputs the head of each task has
    channels  of the convolutions, for images
    rng       seed or np.random.Generator of the first weights

    Raises ValueError without tasks or layers, ShapeError for x of other numbers of tasks.
    """

    def __init__(self, d_in, widths, classes, channels=(), rng=None, dtype=np.float32):
        if not len(classes) or not len(widths):
            raise ValueError(f"{type(self).__name__}: classes is {tuple(classes)} and widths {tuple(widths)}; give the "
                             "number of outputs of each task, and of units of each dense layer")
        self.tasks, self.dtype = len(classes), dtype
        rng = np.random.default_rng(rng)
        self.layers = []
        if channels:
            d_in = self._add_convolutions(d_in, channels, rng)
        self._add_dense([d_in, *widths], rng)
        self.heads = [Linear(widths[-1], c, rng=rng, dtype=dtype) for c in classes]

    def _add_convolutions(self, image, channels, rng):
        """Returns the number of entries of what comes out."""
        side = image[-1]
        for place, (inputs, outputs) in enumerate(pairwise((image[0], *channels))):
            pooled = place < len(channels) - 1
            self.layers.append(ConvLayer(self.weights(9 * inputs, outputs, rng), self.bend(rng), pooled))
            side = side // 2 if pooled else side
        return channels[-1] * side * side

    def _add_dense(self, sizes, rng):
        self.layers += [DenseLayer(self.weights(*pair, rng), self.bend(rng)) for pair in pairwise(sizes)]

    # what a method decides
    def weights(self, inputs, outputs, rng):
        """A module whose call returns W (O, I), b (O) for all tasks, or W (T, O, I), b (T, O) for each."""
        raise TypeError(f"{type(self).__name__} has no weights; define weights(self, inputs, outputs, rng)")

    def bend(self, rng):
        """The activation behind a layer, a function or module on z (T, N, ...)."""
        return relu

    def penalty(self):
        """What is added to the loss, a tensor with one entry; None: nothing."""

    def features(self, x):
        """(T, N, widths[-1]): what the heads see."""
        if len(x) != self.tasks:
            raise ShapeError(f"{type(self).__name__}: x has shape {x.shape} and the net T = {self.tasks} tasks; give x "
                             "(T, N, ...), N examples for each task")
        for layer in self.layers:
            x = layer(x)
        return x

    def forward(self, x):
        h = self.features(x)
        return [head(h[t]) for t, head in enumerate(self.heads)]
