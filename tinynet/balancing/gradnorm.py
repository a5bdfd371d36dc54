"""GradNorm: the weights are learnt so that all tasks train at a similar rate.

    (1)  G[i] = |grad_W w[i] L[i]| = w[i] n[i]             tomaszewska fig13
    (2)  Gbar = mean_i G[i]                                tomaszewska fig13
    (3)  Lratio[i] = L[i](t) / L[i](0)                     tomaszewska fig13; the inverse training rate
    (4)  r[i] = Lratio[i] / mean_j Lratio[j]               tomaszewska fig13
    (5)  target[i] = Gbar r[i]^alpha                       tomaszewska fig14; eq. 1
    (6)  Lgrad = sum_i |G[i] - target[i]|                  tomaszewska fig15; eq. 2
    (7)  dLgrad/dw[i] = n[i] sign(G[i] - target[i])        tomaszewska gradnorm, fig16; the target is held constant
    (8)  w = T w / sum_i w[i]                              tomaszewska gradnorm

n[i] = |grad_W L[i]|, the norm of the unweighted gradient on the chosen shared weights W
As G is w[i] n[i] with n constant in w, (7) needs no second derivative.
Chen et al. 2018, arXiv:1711.02257, Algorithm 1

Forms found in public code compute something else (erratum 7): r^(-alpha) pushes the slow task down
instead of up, softmax weights replace (8), L(0) comes from the last batch of the first epoch, and an
Adam that is made anew in every step turns (7) into a step of +-lr.
"""

import numpy as np

from tinynet.balancing.rule import Rule, norms

LEAST = 1e-4        # of a weight: Adam's step may pass 0, and a negative weight would train a task backwards


class GradNorm(Rule):
    """Algorithm 1; the rule's own Adam updates w.

    tasks  T
    alpha  how strongly slow tasks are pulled up; 0 makes all gradient norms equal
    lr     of the weights

    The gradients are those on W, usually the last shared layer: name it as the shared parameters.
    Weights start at 1, and L(0) are the losses of the first call.
    """

    asks_gradients = True

    def __init__(self, tasks, alpha=0.12, lr=0.02):
        self.tasks, self.alpha = tasks, float(alpha)
        self._need_tasks()
        self._need(alpha >= 0, f"alpha is {alpha}; it must be 0 or more")
        self.w = self.learnable(np.ones(tasks), lr)
        self.first = np.zeros(tasks)                # L(0); 0 before the first call

    def weigh(self, losses, gradients):
        self._must_be_positive(losses, "ratio to an earlier one")
        if not self.first.any():
            self.first = losses.copy()
        w, n = self.w.data.copy(), norms(gradients)
        target = gradnorm_target(w * n, losses / self.first, self.alpha)        # (3)
        slope = n * np.sign(w * n - target)                                     # (7)
        self.learn(self.w, slope)
        moved = np.maximum(self.w.data, LEAST)
        self.w.data = self.tasks * moved / moved.sum()                          # (8)
        return w        # the net's step uses w(t), the next one w(t + 1)


def gradnorm_target(G, ratio, alpha):
    """The norms to reach (T,) for the present norms G (T,) and loss ratios (T,)."""
    r = ratio / ratio.mean()                                                    # (4)
    return G.mean() * r ** alpha                                                # (2) (5)


def gradnorm_loss(w, n, ratio, alpha):
    """Lgrad (6), with the target computed from the same w."""
    G = w * n                                                                   # (1)
    return np.abs(G - gradnorm_target(G, ratio, alpha)).sum()                   # (6)
