"""Deep multi-task representation learning (saha table1): the stacked weights of every layer are a product of factors.

    >>> import numpy as np
    >>> from tinynet.models.tasks.dmtrl import DMTRL
    >>> net = DMTRL(8, (6,), classes=(2, 4, 3), form="LAF", K=2, rng=0)
    >>> [y.shape for y in net(np.ones((3, 5, 8), np.float32))]
    [(5, 2), (5, 4), (5, 3)]

Yang and Hospedales 2017, arXiv:1605.06391.  `form` is "LAF", "Tucker" or "TT" (block tensor_factors).  Each task has
biases of its own.
"""

import math

import numpy as np

from tinynet import nn
from tinynet.blocks.tasks.tensor_factors import (
    latent_layers,
    latent_layers_factors,
    rank_at,
    tensor_train,
    tensor_train_factors,
    tucker,
    tucker_factors,
)
from tinynet.blocks.units.activations import relu
from tinynet.models.tasks.multi_task_net import MultiTaskNet

FORMS = "LAF", "Tucker", "TT"


class Factored(nn.Module):
    """W (T, O, I) as the product of `factors`, and b (T, O)."""

    def __init__(self, product, factors, bias):
        self.product = product
        self.factors, self.b = [nn.Parameter(f) for f in factors], nn.Parameter(bias)

    def forward(self):
        return self.product(*self.factors).swapaxes(1, 2), self.b


class DMTRL(MultiTaskNet):
    """form        "LAF", "Tucker" or "TT"
    K           latent layers of LAF, at most as many as tasks
    ranks       of Tucker and TT, for each layer: (inputs, outputs, tasks) or (inputs, tasks); None finds them by the
                rule of the published code, the relative precision .5 of a pivoted QR of a random stack
    activation  the published code has none (erratum 8), which makes its three rows of table1 linear networks: pass None
    bias        at the start; the published code has 1

    The factors start at random, scaled so that W has He's variance, or by `take_over` from trained SeparateNets.
    Raises ValueError for a form that there isn't, for ranks of another number of layers or axes and for ranks above the
    sizes.
    """

    def __init__(self, d_in, widths, classes, channels=(), form="LAF", K=5, ranks=None, activation=relu, bias=0.0,
                 **settings):
        if form not in FORMS:
            raise ValueError(f"DMTRL: there is no form {form!r}; choose one of {', '.join(FORMS)}")
        if ranks is not None and len(ranks) != len(channels) + len(widths):
            raise ValueError(f"DMTRL: there are ranks of {len(ranks)} layers, and the net has "
                             f"{len(channels) + len(widths)}; give ranks for each layer")
        self.form, self.K, self.activation, self.bias = form, K, activation, bias
        self.ranks = None if ranks is None else [tuple(r) for r in ranks]
        self._given = None if ranks is None else iter(self.ranks)
        super().__init__(d_in, widths, classes, channels, **settings)

    def bend(self, rng):
        return self.activation or (lambda z: z)

    def weights(self, inputs, outputs, rng):
        T, bias = self.tasks, np.full((self.tasks, outputs), self.bias, self.dtype)
        if self.form == "LAF":
            _must_fit("K", self.K, T, "tasks")
            return Factored(latent_layers, self._draw(rng, inputs, (self.K, inputs, outputs), (T, self.K)), bias)
        ranks = next(self._given) if self._given else self._ruled(rng, inputs, outputs)
        axes = dict(inputs=inputs, outputs=outputs, tasks=T) if self.form == "Tucker" else dict(inputs=inputs, tasks=T)
        if len(ranks) != len(axes):
            raise ValueError(f"DMTRL: the ranks of a layer are {tuple(ranks)}; {self.form} needs {len(axes)}, those of "
                             f"{', '.join(axes)}")
        for rank, (name, most) in zip(ranks, axes.items(), strict=True):
            _must_fit("the rank", rank, most, name)
        if self.form == "Tucker":
            P, Q, R = ranks
            return Factored(tucker, self._draw(rng, inputs, (R, P, Q), (inputs, P), (outputs, Q), (T, R)), bias)
        P, Q = ranks
        G2, G1, G3 = self._draw(rng, inputs, (Q, P, outputs), (inputs, P), (T, Q))
        return Factored(tensor_train, (G1, G2, G3), bias)

    def _draw(self, rng, inputs, first, *others):
        """The core N(0, 2 / inputs), the others N(0, 1 / rank): their product has variance 2 / inputs."""
        shapes = [(first, 2 / inputs), *((shape, 1 / shape[1]) for shape in others)]
        return [(rng.normal(size=shape) * math.sqrt(variance)).astype(self.dtype) for shape, variance in shapes]

    def _ruled(self, rng, inputs, outputs):
        """The ranks of a random stack; those of the tasks' axis come last."""
        stack = rng.normal(size=(self.tasks, inputs, outputs))
        axes = (1, 2, 0) if self.form == "Tucker" else (1, 0)
        return [max(rank_at(np.moveaxis(stack, axis, 0).reshape(stack.shape[axis], -1), 0.5), 1) for axis in axes]

    def take_over(self, stl):
        """Begin with the factorised weights, the biases and the heads of trained SeparateNets of the same sizes.

        Raises ValueError for a net of other sizes, and changes nothing then.
        """
        here, there = ([layer.weights()[0].shape for layer in net.layers] + [head.W.shape for head in net.heads]
                       for net in (self, stl))
        if here != there:
            raise ValueError(f"DMTRL: the weights of layers and heads have the shapes {here} here and {there} in the "
                             "net to take over; give a trained SeparateNets of the same sizes")
        for ours, theirs in zip(self.layers, stl.layers, strict=True):
            W, factors = theirs.weights.W.data.swapaxes(1, 2).astype(float), ours.weights.factors
            found = (latent_layers_factors(W, self.K) if self.form == "LAF" else
                     tucker_factors(W, (*factors[0].shape[1:], factors[0].shape[0])) if self.form == "Tucker" else
                     tensor_train_factors(W, (factors[0].shape[1], factors[2].shape[1])))
            for factor, array in zip(factors, found, strict=True):
                factor.data = array.astype(self.dtype)
            ours.weights.b.data = theirs.weights.b.data.copy()
        for ours, theirs in zip(self.heads, stl.heads, strict=True):
            ours.load_state_dict(theirs.state_dict())


def _must_fit(what, rank, most, name):
    if not 1 <= rank <= most:
        raise ValueError(f"DMTRL: {what} is {rank}, but a layer has {most} {name}; use 1..{most}")
