"""Nets for several tasks: layers that all tasks go through, and a head a task.

    >>> import numpy as np
    >>> from tinynet.models.tasks.separate_nets import SeparateNets
    >>> net = SeparateNets(d_in=(1, 8, 8), channels=(4, 6), widths=(16,), classes=(10, 2), rng=0)
    >>> [logits.shape for logits in net(np.ones((5, 1, 8, 8), np.float32))]
    [(5, 10), (5, 2)]

A net takes x (N, d_in), the same examples for every task, or (T, N, d_in), examples of its own for each task; or images
(N, C, side, side) or (T, N, C, side, side).  It returns one (N, classes[t]) for each task t: logits, or numbers for a
regression.  Its layers are

    3 x 3 convolutions of `channels` channels, each but the last with 2 x 2 max pooling behind it (none for vectors)
    dense layers of `widths` units
    a linear head a task

What a net shares it decides in `weights`, how a layer bends in `bend`, what the tasks tell each other behind a layer in
`meet`, and what it adds to the loss in `penalty`.  The tasks' columns lie side by side in arrays (T, N, ...).
"""

from itertools import pairwise

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.images.conv import conv
from tinynet.blocks.images.pool import max_pool
from tinynet.blocks.tasks.functional_regularization import total_loss
from tinynet.blocks.tasks.task_linear import task_linear
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.linear import Linear, linear
from tinynet.engine import Tensor
from tinynet.shapes import ShapeError


def mean_loss(net, x, *labels, loss):
    """The mean over the tasks of loss(outputs, labels[t]), plus the net's penalty: what saha Ltotal minimises.

    labels  one array a task: classes (N) or, for several labels an example, 0 and 1 (N, classes[t])
    `partial(mean_loss, loss=...)` is a loss for `fit` on TaskBatches.
    Raises ValueError, which names the task, where there are none and for labels that its head has no output for.
    """
    outputs, losses = net(x), []
    if len(outputs) != len(labels):
        raise ValueError(f"mean_loss: there are {len(labels)} arrays of labels and {len(outputs)} tasks; give one each")
    for t, (y, its) in enumerate(zip(outputs, map(np.asarray, labels), strict=True)):
        if not len(its):
            raise ValueError(f"mean_loss: task {t} has no data in this batch, and a mean over none is no loss; draw "
                             "batches that hold every task, e.g. by TaskBatches")
        needs = its.shape[1] if its.ndim == 2 else int(its.max(initial=-1)) + 1
        if needs > y.shape[1] or (its.ndim == 2 and needs != y.shape[1]):
            raise ValueError(f"mean_loss: task {t} has {needs} classes in its labels and {y.shape[1]} in the net's "
                             "head; make the net with the number of classes of each task")
        losses.append(loss(y, its))
    penalty = net.penalty()
    return total_loss(losses, [] if penalty is None else [penalty], c=1)


# %% Weights of a layer
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


# %% Layers
class DenseLayer(nn.Module):
    """x (N, ...) or (T, N, ...) -> bend(x W' + b) (T, N, O); (N, O) where neither x nor W has tasks.

    Images are taken as vectors.
    """

    def __init__(self, weights, bend):
        self.weights, self.bend = weights, bend

    W = property(lambda self: self.weights.W)
    b = property(lambda self: self.weights.b)

    def forward(self, x):
        W, b = self.weights()
        if x.ndim > 3:
            x = x.reshape(*x.shape[:-3], -1)
        if W.ndim == 2:
            return self.bend(linear(x, W, b))
        return self.bend(task_linear(x, W, b, need_dX=isinstance(x, Tensor) and x.requires_grad))


class ConvLayer(nn.Module):
    """x (N, C, H, W) or (T, N, C, H, W) -> bend(3 x 3 convolution of x, padded by 1, + b), then 2 x 2 max pooling if
    asked for: (T, N, O, ...), or (N, O, ...) where neither x nor W has tasks.
    """

    def __init__(self, weights, bend, pooled):
        self.weights, self.bend, self.pooled = weights, bend, pooled

    W = property(lambda self: self.weights.W)
    b = property(lambda self: self.weights.b)

    def forward(self, x):
        W, b = self.weights()
        if W.ndim == 2:
            z = _on_images(x, lambda images: _convolve(images, W, b))
        else:
            z = ops.stack(*(_convolve(x[t] if x.ndim == 5 else x, W[t], b[t]) for t in range(len(W))))
        h = self.bend(z)
        return _on_images(h, max_pool) if self.pooled else h


def _convolve(images, W, b):
    return conv(images, W.reshape(len(W), -1, 3, 3), b, padding=1)


def _on_images(x, function):
    """function on images (N, C, H, W), for x with or without an axis of tasks."""
    if x.ndim == 4:
        return function(x)
    y = function(x.reshape(-1, *x.shape[2:]))
    return y.reshape(*x.shape[:2], *y.shape[1:])


# %% Nets
class TaskNet(nn.Module):
    """What all nets for several tasks have: a head a task."""

    def penalty(self):
        """What is added to the loss, a tensor with one entry; None: nothing."""

    def must_have_tasks(self, classes):
        if not len(classes):
            raise ValueError(f"{type(self).__name__}: there is no task; give the number of outputs of each one")

    def make_heads(self, d_in, classes, rng, dtype):
        self.must_have_tasks(classes)
        self.heads = [Linear(d_in, c, rng=rng, dtype=dtype) for c in classes]

    def outputs(self, x):
        """What the heads make of features (T, N, D), or of features (N, D) that all share."""
        return [head(x if x.ndim == 2 else x[t]) for t, head in enumerate(self.heads)]

    def rates(self, modules, factor):
        """[(parameters, factor)] for an optimiser: these modules learn `factor` times as fast as the rest."""
        chosen = [p for module in modules for p in module.parameters()]
        known = {id(p) for p in chosen}
        return [([p for p in self.parameters() if id(p) not in known], 1.0), (chosen, factor)]


class MultiTaskNet(TaskNet):
    """One trunk, a head a task: Hard-Share in saha table1, and the base of the nets that share in another way.

    d_in      entries of a vector, or (C, side, side) of an image
    widths    of the dense layers
    classes   how many outputs the head of each task has
    channels  of the convolutions, for images
    rng       seed or np.random.Generator of the first weights

    Raises ValueError without tasks or layers, ShapeError for x of another form or another number of tasks.
    """

    same_examples = False       # must all tasks see the same examples, because they meet example by example?
    needs_tasks = False         # does a layer need the axis of tasks, even where all see the same examples?

    def __init__(self, d_in, widths, classes, channels=(), rng=None, dtype=np.float32):
        if not len(widths):
            raise ValueError(f"{type(self).__name__}: widths is (); give the number of units of each dense layer")
        if bool(channels) != (np.ndim(d_in) == 1):
            raise ValueError(f"{type(self).__name__}: d_in is {d_in} and channels {tuple(channels)}; images need d_in ="
                             " (C, side, side) and channels, vectors a number and no channels")
        self.tasks, self.dtype, self.example = len(classes), dtype, (*np.atleast_1d(d_in).tolist(),)
        rng = np.random.default_rng(rng)
        self.layers = []
        if channels:
            d_in = self._add_convolutions(d_in, channels, rng)
        self._add_dense([d_in, *widths], rng)
        self.make_heads(widths[-1], classes, rng, dtype)

    def _add_convolutions(self, image, channels, rng):
        """Returns the number of entries of what comes out."""
        side = image[-1]
        for place, (inputs, outputs) in enumerate(pairwise((image[0], *channels))):
            pooled = place < len(channels) - 1
            self.layers.append(ConvLayer(self.weights(9 * inputs, outputs, rng), self.bend(rng), pooled))
            side = side // 2 if pooled else side
        return channels[-1] * side * side

    def _add_dense(self, sizes, rng):
        for pair in pairwise(sizes):
            self.layers.append(DenseLayer(self.weights(*pair, rng), self.bend(rng)))

    # what a net decides
    def weights(self, inputs, outputs, rng):
        """A module whose call returns W (O, I), b (O) for all tasks, or W (T, O, I), b (T, O) for each."""
        return Shared(inputs, outputs, rng, self.dtype)

    def bend(self, rng):
        """The activation behind a layer, a function or module on z (T, N, ...)."""
        return relu

    def meet(self, layer, x):
        """What the tasks make of each other's features x (T, N, ...) behind this layer, counted from 0: nothing."""
        return x

    def features(self, x):
        """(T, N, widths[-1]), or (N, widths[-1]) for all tasks alike: what the heads see."""
        x = np.asarray(x) if isinstance(x, (list, tuple)) else x
        self._check(x)
        if self.needs_tasks and x.ndim == 1 + len(self.example):
            x = ops.stack(*[x] * self.tasks)
        for place, layer in enumerate(self.layers):
            x = self.meet(place, layer(x))
        return x

    def _check(self, x):
        leading, example = x.shape[:-len(self.example)], x.shape[-len(self.example):]
        if example != self.example or len(leading) not in (1, 2) or (len(leading) == 2 and len(x) != self.tasks):
            wanted = ", ".join(map(str, self.example))
            raise ShapeError(f"{type(self).__name__}: x has shape {x.shape} and the net T = {self.tasks} tasks; give x "
                             f"(N, {wanted}), the same examples for all, or (T, N, {wanted}), N for each task")
        if self.same_examples and len(leading) == 2:
            raise ShapeError(f"{type(self).__name__}: x has shape {x.shape}, so each task has examples of its own, and "
                             "the tasks' features are mixed example by example; give each task's examples to all, "
                             "net(x[t])[t]")

    def forward(self, x):
        return self.outputs(self.features(x))
