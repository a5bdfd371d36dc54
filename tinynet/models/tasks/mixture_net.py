"""Mixture-of-experts nets: MMoE, whose experts are all shared, and CGC, where each task has some of its own.

    >>> import numpy as np
    >>> from tinynet.models.tasks.mixture_net import CGC, MMoE
    >>> net = MMoE(d_in=64, widths=(32, 16), classes=(10, 2), experts=3, rng=0)
    >>> [logits.shape for logits in net(np.ones((5, 64), np.float32))]
    [(5, 10), (5, 2)]

An expert is a net of linear layers with ReLU.  Task t's features are sum_e p[t,n,e] X[e,n] with the gate
p[t,n] = softmax(G[t] x[n]), over all experts in MMoE, over the shared and the task's own ones in CGC.
Ma et al. 2018 (MMoE); Tang et al. 2020 (CGC).
"""

from itertools import pairwise

import numpy as np

from tinynet.blocks.tasks.expert_mixture import expert_mixture
from tinynet.blocks.tasks.task_linear import task_linear
from tinynet.blocks.units.activations import relu
from tinynet.blocks.units.softmax import softmax
from tinynet.models.tasks.multi_task_net import DenseLayer, Own, TaskNet
from tinynet.ops import concatenate


class MMoE(TaskNet):
    """x (N, d_in) or (T, N, d_in) -> `experts` nets of `widths` units -> a gated mixture a task -> (N, classes[t])."""

    def __init__(self, d_in, widths, classes, experts=3, rng=None, dtype=np.float32):
        if experts < 1:
            raise ValueError(f"{type(self).__name__}: there are {experts} experts; give at least 1")
        rng = np.random.default_rng(rng)
        self.experts = [DenseLayer(Own(experts, *pair, rng, dtype), relu) for pair in pairwise((d_in, *widths))]
        self._add_gates_and_heads(d_in, widths[-1], classes, experts, rng, dtype)

    def _add_gates_and_heads(self, d_in, width, classes, experts, rng, dtype):
        self.gates = Own(len(classes), d_in, experts, rng, dtype)
        self.gates.W.data *= dtype(0.1)             # at first all experts count about alike
        self.make_heads(width, classes, rng, dtype)

    def forward(self, x):
        P = self.mixture(x)
        if x.ndim == 2:
            return self.outputs(expert_mixture(self.features(x), P))
        T, N, d_in = x.shape        # examples of its own for each task: T N examples, each of which has one gate
        X = self.features(x.reshape(T * N, d_in))
        return self.outputs(expert_mixture(X, P.reshape(1, T * N, -1)).reshape(T, N, -1))

    def features(self, x):
        """What the experts make of x (N, d_in): (E, N, widths[-1])."""
        for layer in self.experts:
            x = layer(x)
        return x

    def mixture(self, x):
        """The gates (T, N, E), each row a softmax over the experts."""
        return softmax(task_linear(x, *self.gates()))


class CGC(MMoE):
    """The same with `own` experts for each task and `shared` ones for all; a gate never opens to another task's.

    The layers of the tasks' own experts, `own_experts`, hold task after task.  They are arrays apart from those of the
    shared `experts`, so that a balancing rule finds what is shared.
    """

    def __init__(self, d_in, widths, classes, own=1, shared=1, rng=None, dtype=np.float32):
        T, rng = len(classes), np.random.default_rng(rng)
        if min(own, shared) < 0 or own + shared == 0:
            raise ValueError(f"CGC: own is {own} and shared {shared}; each must be 0 or more, and their sum above 0")
        both = [[DenseLayer(Own(experts, *pair, rng, dtype), relu) for experts in (T * own, shared)]
                for pair in pairwise((d_in, *widths))]
        self.own_experts, self.experts = map(list, zip(*both, strict=True))
        self._add_gates_and_heads(d_in, widths[-1], classes, T * own + shared, rng, dtype)
        owner = np.append(np.repeat(np.arange(T), own), np.full(shared, -1))
        closed = (owner != np.arange(T)[:, None]) & (owner >= 0)
        self.closed = (np.where(closed, -np.inf, 0).astype(dtype)[:, None],)        # in a tuple: a constant, no state

    def features(self, x):
        """The tasks' own experts first, then the shared ones: (T own + shared, N, widths[-1])."""
        own = x
        for its, layer in zip(self.own_experts, self.experts, strict=True):
            own, x = its(own), layer(x)
        return concatenate(own, x)

    def mixture(self, x):
        """The gates (T, N, E), 0 for other tasks' experts."""
        return softmax(task_linear(x, *self.gates()) + self.closed[0])
