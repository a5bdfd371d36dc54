"""Optimisers, schedules and gradient clipping.

    >>> import numpy as np
    >>> from tinynet import nn, optim
    >>> w = nn.Parameter(np.array([1.0, -2.0]))
    >>> sgd = optim.SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> sgd.step()
    >>> w.data
    array([ 0.5, -1. ])

All parameters of one dtype are copied into one flat array, so a step is a few NumPy calls in all, not a few for each
parameter.
"""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np

from tinynet.engine import Tensor


# %% Optimisers
class Optimizer:
    """What SGD and Adam share.  A subclass names its `memory` and writes `_update`.

    params  tensors with requires_grad=True, e.g. model.parameters(); or (tensors, factor) pairs,
            whose learning rate is factor * lr

    `lr` may be set at any time.  The optimiser gives each parameter an array of its own and
    changes it in place; parameters without a gradient are passed over.
    """

    memory = ()         # names of what is remembered from step to step, an array per parameter

    def __init__(self, params, lr, **settings):
        self.settings = {"lr": lr, **settings}
        for name, value in self.settings.items():
            self._need(isinstance(value, Real) and 0 <= value < math.inf, f"{name} is {value!r}; it must be 0 or more")
            self.settings[name] = float(value)
        vars(self).update(self.settings)
        together = {}
        for parameter, factor in self._pairs(params):
            parameter.data = np.array(parameter.data, order="C")
            together.setdefault((parameter.dtype, factor), []).append(parameter)
        self.groups = [_Group(members, factor, self.memory) for (_, factor), members in together.items()]
        place = {id(p): (group, i) for group in self.groups for i, p in enumerate(group.params)}
        self._places = [place[id(p)] for p in self.params]

    def __repr__(self):
        settings = ", ".join(f"{name}={value:g}" for name, value in self.settings.items())
        numbers = sum(p.size for p in self.params)
        return f"{type(self).__name__}({len(self.params)} parameters, {numbers:,} numbers, {settings})"

    def _need(self, right, sentence):
        if not right:
            raise ValueError(f"{type(self).__name__}: {sentence}")

    def _pairs(self, params):
        """[(parameter, factor)], checked; sets self.params."""
        params = list(params)
        if not any(isinstance(item, tuple) for item in params):
            params = [(params, 1.0)]
        pairs = [(p, float(factor)) for members, factor in params for p in members]
        self.params = [p for p, _ in pairs]
        for p in self.params:
            if not isinstance(p, Tensor) or not p.requires_grad or p.step:
                raise TypeError(f"{type(self).__name__}: {p!r} is no parameter; pass a model's parameters() "
                                "or tensors made with requires_grad=True")
        self._need(pairs, "there are no parameters; pass model.parameters() of a model that has some")
        self._need(len({id(p) for p in self.params}) == len(pairs), "a parameter is listed twice; list each one once")
        self._need(all(0 <= f < math.inf for _, f in pairs), "a factor of the learning rate must be 0 or more")
        return pairs

    def zero_grad(self):
        """Forget the gradients of all parameters."""
        for parameter in self.params:
            parameter.zero_grad()

    def step(self):
        """Change every parameter that has a gradient.

        Raises ValueError when a gradient's shape or dtype isn't its parameter's (or its dtype
        changed after the optimiser was made).
        """
        with np.errstate(over="ignore", invalid="ignore"):
            for group in self.groups:
                for count, arrays in group.ready():
                    self._update(float(self.lr) * group.factor, count, *arrays)
                group.apply()

    def state_dict(self):
        """Copies of all that a later step depends on: arrays by name ("m.0"), lists, numbers and strings."""
        state = {"type": type(self).__name__, "settings": dict(self.settings), "lr": self.lr,
                 "steps": [group.counts[i] for group, i in self._places]}
        return state | {name: array.copy() for name, array in self._memory().items()}

    def load_state_dict(self, state):
        """Take over what `state_dict` returned.

        Raises ValueError, and changes nothing, when it comes from another type of optimiser, from
        other settings or from other parameters.
        """
        kind, saved, own = state.get("type"), state.get("settings", {}), self._memory()
        self._need(kind == type(self).__name__, f"the state was saved by {kind}; make that optimiser to go on from it")
        changed = [f"{k}={saved.get(k)} there and {v} here" for k, v in self.settings.items() if saved.get(k) != v]
        self._need(not changed, f"the state was saved with other settings ({', '.join(changed)}); make them equal")
        shapes = {name: np.shape(value) for name, value in state.items() if name.partition(".")[0] in self.memory}
        self._need(shapes == {name: a.shape for name, a in own.items()} and len(state["steps"]) == len(self.params),
                   "the state belongs to other parameters; build the same model first")
        self._need(math.isfinite(state["lr"]) and state["lr"] >= 0, f"the state's learning rate is {state['lr']}")
        self._need(all(int(count) >= 0 for count in state["steps"]), f"the state counts {min(state['steps'])} steps")
        self.lr = float(state["lr"])
        for (group, i), count in zip(self._places, state["steps"], strict=True):
            group.counts[i] = int(count)
        for name, array in own.items():
            array[...] = state[name]

    def _memory(self):
        """The arrays remembered from step to step (not copies), by name."""
        return {f"{name}.{i}": group.parts[j][3 + k] for k, name in enumerate(self.memory)
                for i, (group, j) in enumerate(self._places)}


class _Group:
    """Parameters of one dtype and one factor, and what belongs to them laid end to end.

    `flat` holds flat arrays: a copy of the parameters, a copy of their gradients, room for
    intermediate values, then the memory.  `parts` holds, for each parameter, the views of its own.
    """

    def __init__(self, params, factor, memory):
        self.params, self.factor, self.counts = params, factor, [0] * len(params)
        self.flat = [np.zeros(sum(p.size for p in params), params[0].dtype) for _ in range(3 + len(memory))]
        self._cut()

    def _cut(self):
        ends = np.cumsum([p.size for p in self.params])
        self.parts = [[a[end - p.size:end].reshape(p.shape) for a in self.flat]
                      for p, end in zip(self.params, ends, strict=True)]

    def __getstate__(self):
        """A copy cuts the views of its own arrays: copied views would look at nothing."""
        return {name: value for name, value in vars(self).items() if name != "parts"}

    def __setstate__(self, state):
        vars(self).update(state)
        self._cut()

    def ready(self):
        """Collect the gradients; yield (count, arrays) once for all parameters, or for each that has one."""
        self.present = [i for i, p in enumerate(self.params) if p.grad is not None]
        for p in self.params:
            grad = p.data if p.grad is None else p.grad
            if grad.shape != p.data.shape or not grad.dtype == p.data.dtype == self.flat[0].dtype:
                raise ValueError(f"step: a parameter was {self.flat[0].dtype} when the optimiser was made, it is now "
                                 f"{p.dtype} {p.shape} and its gradient {grad.dtype} {grad.shape}; they must be equal")
        for i in self.present:
            self.counts[i] += 1
        if len(self.present) == len(self.params) and len(set(self.counts)) == 1:
            np.concatenate([p.data for p in self.params], axis=None, out=self.flat[0])
            np.concatenate([p.grad for p in self.params], axis=None, out=self.flat[1])
            yield self.counts[0], self.flat
            return
        for i in self.present:
            self.parts[i][0][...], self.parts[i][1][...] = self.params[i].data, self.params[i].grad
            yield self.counts[i], self.parts[i]

    def apply(self):
        """Subtract from each parameter the step that `_update` left in place of its gradient."""
        for i in self.present:
            self.params[i].data -= self.parts[i][1]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's or the plain one.

        (1)  g = dL/dp + weight_decay p
        (2)  b = momentum b + g            b = 0 at first; Polyak 1964
        (3)  p = p - lr b                  without momentum b = g
        (4)  p = p - lr (g + momentum b)   nesterov; Sutskever et al. 2013, in its usual rewriting

    For SGD decay added to the gradient and decay of the weights themselves are the same thing.
    Raises ValueError for negative settings, momentum >= 1 and nesterov without momentum.
    """

    def __init__(self, params, lr, momentum=0, nesterov=False, weight_decay=0):
        self.memory = ("b",) if momentum else ()
        super().__init__(params, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
        self._need(momentum < 1, f"momentum is {momentum}; it must be in [0, 1)")
        self._need(momentum or not nesterov, "nesterov needs momentum; set momentum=0.9, say")

    def _update(self, lr, _, p, g, room, b=None):
        if self.weight_decay:
            np.multiply(p, self.weight_decay, out=room)
            np.add(g, room, out=g)                                  # (1)
        if b is not None:
            np.multiply(b, self.momentum, out=b)
            np.add(b, g, out=b)                                     # (2)
            if self.nesterov:
                np.multiply(b, self.momentum, out=room)
                np.add(g, room, out=g)                              # (4)
            else:
                np.copyto(g, b)
        np.multiply(g, lr, out=g)                                   # (3) (4)


class Adam(Optimizer):
    """Adam, with two different things that are both called weight decay.

        (1)  g = dL/dp + l2 p                                  l2: the penalty l2/2 ||p||^2 in the loss
        (2)  m = beta1 m + (1 - beta1) g                       m = v = t = 0 at first
        (3)  v = beta2 v + (1 - beta2) g^2
        (4)  m^ = m / (1 - beta1^t),  v^ = v / (1 - beta2^t)   t counts the steps of this parameter
        (5)  p = p - lr m^ / (sqrt(v^) + eps) - lr weight_decay p

    l2            coupled: passes through m and v, so that parameters with large gradients decay
                  less.  Kingma and Ba 2015, arXiv:1412.6980; PyTorch's Adam(weight_decay=)
    weight_decay  decoupled: shrinks the parameter itself.  Loshchilov and Hutter 2019,
                  arXiv:1711.05101 (AdamW); PyTorch's AdamW(weight_decay=)

    Raises ValueError for negative settings and betas outside [0, 1).
    """

    memory = ("m", "v")

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, l2=0, weight_decay=0):
        super().__init__(params, lr, beta1=betas[0], beta2=betas[1], eps=eps, l2=l2, weight_decay=weight_decay)
        self._need(max(betas) < 1, f"betas are {tuple(betas)}; they must be in [0, 1)")

    def _update(self, lr, t, p, g, room, m, v):
        if self.l2:
            np.multiply(p, self.l2, out=room)
            np.add(g, room, out=g)                                  # (1)
        np.subtract(g, m, out=room)
        np.multiply(room, 1 - self.beta1, out=room)
        np.add(m, room, out=m)                                      # (2)
        np.multiply(g, g, out=g)
        np.multiply(g, 1 - self.beta2, out=g)
        np.multiply(v, self.beta2, out=v)
        np.add(v, g, out=v)                                         # (3)
        root = math.sqrt(1 - self.beta2 ** t)                       # (4)  sqrt(v^) = sqrt(v) / root
        np.sqrt(v, out=room)
        np.add(room, self.eps * root, out=room)
        np.divide(m, room, out=g)
        np.multiply(g, lr * root / (1 - self.beta1 ** t), out=g)    # (4) (5)
        if self.weight_decay:
            np.multiply(p, lr * self.weight_decay, out=room)
            np.add(g, room, out=g)                                  # (5)


# %% Schedules: a factor of the learning rate as a function of the epochs passed
@dataclass(frozen=True)
class Schedule:
    """The learning rate is factor * (the optimiser's lr at the start), with factor = schedule(t).

    t counts the epochs passed; within an epoch it is a fraction, so that a schedule moves with
    every step.  Outside `fit` write `optimizer.lr = lr * schedule(t)`.
    """

    def state_dict(self):
        """The schedule's kind and its settings, in words."""
        return {"schedule": repr(self)}

    def load_state_dict(self, state):
        """A schedule has no memory: raises ValueError when `state` comes from a different one."""
        if state != self.state_dict():
            raise ValueError(f"schedule: the state was saved by {state.get('schedule')}, and this is {self}; "
                             "make the same schedule to go on")


@dataclass(frozen=True)
class Constant(Schedule):
    """1 at all times."""

    def __call__(self, t):
        return 1.0


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Times `factor` at each of the epochs `at`.

    >>> step = StepDecay(at=(10, 15), factor=0.1)
    >>> [round(step(t), 4) for t in (0, 9.9, 10, 15)]
    [1.0, 1.0, 0.1, 0.01]
    """

    at: tuple
    factor: float = 0.1

    def __post_init__(self):
        object.__setattr__(self, "at", tuple(self.at))
        _check(self, min(self.at, default=0) >= 0 and self.factor >= 0, "the epochs and the factor must be 0 or more")

    def __call__(self, t):
        return float(self.factor) ** sum(t >= epoch for epoch in self.at)


@dataclass(frozen=True)
class LinearDecay(Schedule):
    """From 1 to `end` on a straight line over `epochs`, then `end`."""

    epochs: float
    end: float = 0.0

    def __post_init__(self):
        _check(self, self.epochs > 0 and self.end >= 0, "epochs must be above 0, and end 0 or more")

    def __call__(self, t):
        return 1 + (self.end - 1) * min(t / self.epochs, 1)


@dataclass(frozen=True)
class CosineDecay(LinearDecay):
    """From 1 to `end` along half a cosine over `epochs`, then `end`.  Loshchilov and Hutter 2017, arXiv:1608.03983."""

    def __call__(self, t):
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * min(t / self.epochs, 1))) / 2


@dataclass(frozen=True)
class WarmUp(Schedule):
    """From `start` to 1 on a straight line over `epochs`; after that `then`, begun at its own t = 0."""

    epochs: float
    then: Schedule = Constant()
    start: float = 0.0

    def __post_init__(self):
        _check(self, self.epochs > 0 and self.start >= 0, "epochs must be above 0, and start 0 or more")
        _check(self, isinstance(self.then, Schedule), "then must be one of the schedules here")

    def __call__(self, t):
        if t < self.epochs:
            return self.start + (1 - self.start) * t / self.epochs
        return self.then(t - self.epochs)


def _check(schedule, right, sentence):
    if not right:
        raise ValueError(f"{type(schedule).__name__}: {sentence}; got {schedule}")


# %% Clipping
def clip_grad_norm(params, max_norm):
    """Scale all gradients by one factor so that the norm of all of them together is at most max_norm.

    Returns the norm before.  The gradient arrays themselves are left alone; the parameters get new
    ones.  Raises ValueError unless max_norm > 0, FloatingPointError when the norm isn't finite.
    Pascanu et al. 2013, arXiv:1211.5063.
    """
    params, max_norm = _with_gradient(params, "clip_grad_norm: max_norm", max_norm), float(max_norm)
    norm = math.hypot(*(_norm(p.grad) for p in params))
    if not math.isfinite(norm):
        raise FloatingPointError(f"clip_grad_norm: the norm of the gradients is {norm}; run the step inside "
                                 "tinynet.debug() to see where the first NaN or inf appears")
    if norm > max_norm:
        for p in params:
            p.grad = p.grad * (max_norm / norm)
    return norm


def clip_grad_value(params, limit):
    """Clip every entry of every gradient to [-limit, limit]; the parameters get new gradient arrays.

    Raises ValueError unless limit > 0.
    """
    limit = float(limit)
    for p in _with_gradient(params, "clip_grad_value: limit", limit):
        p.grad = np.clip(p.grad, -limit, limit)


def _with_gradient(params, name, limit):
    if not limit > 0:
        raise ValueError(f"{name} is {limit}; it must be above 0")
    return [p for p in params if p.grad is not None]


def _norm(g):
    square = float(np.vdot(g, g))
    if (math.isfinite(square) and square > np.finfo(g.dtype).tiny) or not np.isfinite(g).all():
        return math.sqrt(square)
    largest = np.abs(g).max(initial=0)      # its square is too large, or too small, for g's dtype
    return float(largest) * math.sqrt(np.vdot(g / largest, g / largest)) if largest else 0.0
