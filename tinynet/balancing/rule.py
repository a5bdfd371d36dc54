"""What every balancing rule is: losses and, where it asks for them, gradients in, one weight a task out.

    (1)  K[i,j] = <g[i], g[j]>        the Gram matrix

L (T)     losses of T tasks
g (T, P)  their gradients on the P shared parameters
w (T)     weights

The shared parameters move along d = sum_i w[i] g[i].  Also the rules that are usually told as a
direction (PCGrad, MGDA, CAGrad ...) choose d as such a combination.  So each of them is told here by its
weights, and nearly all compute these from K alone, a T x T matrix.

    >>> import numpy as np
    >>> from tinynet.balancing.mgda import MGDA
    >>> rule = MGDA()
    >>> rule(np.array([1.0, 1.0]), lambda: np.array([[2.0, 0.0], [0.0, 1.0]])).round(3)
    array([0.2, 0.8])
"""

import numpy as np

from tinynet import nn, optim


class Rule(nn.Module):
    """rule(losses, gradients) -> weights (T,), float64.

    losses     (T,) finite numbers
    gradients  a function without arguments that returns (T, P); it is called only by rules that
               say `asks_gradients`, because it costs one backward pass a task

    A subclass writes `weigh(losses, gradients)`.  What it learns or counts is state: Parameters and
    arrays are saved by `state_dict`, and so is the memory of its optimiser, if it has one.
    A single task has the weight 1, whatever the rule, and leaves the rule's state as it is.

    asks_gradients  does it need the gradients?
    shared_only     do the weights hold for the shared parameters only?  Each head then follows its
                    own task's loss.  Otherwise they hold for all parameters.
    looks_again     does it want the losses after the step, on the same batch, by `after_step(losses)`?

    Raises ValueError for no task, for another number of tasks than the rule was made for, and for
    gradients that don't fit; FloatingPointError for losses and gradients that aren't finite.
    """

    asks_gradients = shared_only = looks_again = False
    tasks = optimizer = None

    def forward(self, losses, gradients=None):
        losses = self._checked(losses)
        if len(losses) == 1:
            return np.ones(1)
        return np.asarray(self.weigh(losses, self._gradients(gradients, losses) if self.asks_gradients else None))

    def weigh(self, losses, gradients):
        raise TypeError(f"{self.name} has no weigh; define weigh(self, losses, gradients)")

    def after_step(self, losses):
        """What the rule learns from the losses after the step; only rules that look again write it."""

    name = property(lambda self: type(self).__name__)

    def state_dict(self):
        """Copies of all arrays that a later call depends on, by name."""
        state = super().state_dict()
        if self.optimizer is not None:
            memory = self.optimizer.state_dict()
            state |= {f"optimizer.{name}": a for name, a in memory.items() if isinstance(a, np.ndarray)}
            state["optimizer.steps"] = np.array(memory["steps"])
        return state

    def load_state_dict(self, state):
        """Take over what `state_dict` returned; raises KeyError or ValueError when it belongs to another rule."""
        prefix = "optimizer."
        memory = {name.removeprefix(prefix): a for name, a in state.items() if name.startswith(prefix)}
        super().load_state_dict({name: a for name, a in state.items() if not name.startswith(prefix)})
        if self.optimizer is not None:
            self.optimizer.load_state_dict(self.optimizer.state_dict() | memory)

    def learn(self, parameter, gradient):
        """One step of the rule's own optimiser, Adam, on its only parameter."""
        parameter.grad = gradient
        self.optimizer.step()

    def learnable(self, values, lr):
        """A parameter of the rule, trained by `learn` at its own learning rate."""
        parameter = nn.Parameter(np.array(values, float))
        self.optimizer = optim.Adam([parameter], lr)
        return parameter

    # %% What must be right before a rule computes
    def _need_tasks(self):
        self._need(self.tasks >= 1, f"it is made for {self.tasks} tasks; make it for at least 1")

    def _need(self, right, sentence):
        if not right:
            raise ValueError(f"{self.name}: {sentence}")

    def _checked(self, losses):
        losses = np.asarray(losses, float)
        self._need(losses.ndim == 1 and len(losses), f"the losses have shape {losses.shape}, but there must be one "
                   "number for each of T >= 1 tasks; give an array (T,)")
        self._need(self.tasks in (None, len(losses)), f"there are {len(losses)} losses, but the rule was made for "
                   f"{self.tasks} tasks; make it with tasks={len(losses)}")
        self._must_be_finite("loss", losses, np.isfinite(losses))
        return losses

    def _gradients(self, gradients, losses):
        self._need(gradients is not None, "it needs the tasks' gradients on the shared parameters; give a function "
                   "that returns them as (T, P)")
        G = np.asarray(gradients())
        self._need(G.ndim == 2 and len(G) == len(losses), f"the gradients have shape {G.shape}, but need (T, P) with "
                   f"one row for each of {len(losses)} tasks")
        self._need(G.shape[1], "no parameter is shared (P = 0), so there is nothing to balance; "
                   "name the shared parameters, or train the tasks apart")
        self._must_be_finite("gradient", G, np.isfinite(G).all(axis=1))
        return G

    def _must_be_finite(self, what, values, finite):
        if not finite.all():
            i = int(np.flatnonzero(~finite)[0])
            told = f"is {values[i]}" if values.ndim == 1 else "has NaN or inf"
            raise FloatingPointError(f"{self.name}: the {what} of task {i} {told}; go on from the last checkpoint "
                                     "with a smaller learning rate, or look for the first NaN with tinynet.debug()")

    def _must_be_positive(self, losses, what="logarithm", minimum=0.0):
        """For rules that divide by a loss or take its logarithm; `minimum` is a number or (T,)."""
        least = np.broadcast_to(minimum, losses.shape)
        for i in np.flatnonzero(losses <= least)[:1]:
            remedy = "give a lower minimum" if least[i] else "add a constant to a loss that can be negative"
            raise ValueError(f"{self.name}: the loss of task {i} is {losses[i]:.4g}, but its {what} needs a loss "
                             f"above {least[i]:.4g}; did the task have data in this batch? Leave out batches without, "
                             f"or {remedy}")


def gram(G):
    """K (T, T) float64 of gradients G (T, P)."""
    with np.errstate(over="ignore", invalid="ignore"):
        K = G @ G.T                                                             # (1)
    # float32 squares only what lies between about 1e-19 and 1e19; float64 costs memory and time
    if not np.isfinite(K).all() or np.diag(K).min(initial=1) < 1e-30:
        wide = G.astype(float)
        K = wide @ wide.T                                                       # (1)
    return K.astype(float)


def norms(G):
    """n (T,) float64, n[i] = |g[i]|, of gradients G (T, P)."""
    return np.sqrt(np.diag(gram(G)))
