"""Multilinear relationship network (saha table1): separate nets whose weights share a learned prior.

    >>> from tinynet.models.tasks.mrn import MRN
    >>> net = MRN(8, (6,), classes=(2, 4, 3), full=True, rng=0)
    >>> net.update_covariances()
    >>> net.penalty().shape
    ()

Long et al. 2017, arXiv:1506.02117.  The prior is a tensor normal one on each layer's W (T, O, I): the penalty is
c sum_l R(W[l]) of block task_relationship.  Biases and heads are free.
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.tasks.task_relationship import inverse_covariance, task_relationship
from tinynet.models.tasks.separate_nets import SeparateNets

AXES = {"P": 0, "Q": 1, "V": 2}         # of W (T, O, I), by the letter of its inverse covariance


class MRN(SeparateNets):
    """full     False: the tasks' covariance alone (MRN_t); True: those of outputs and inputs, too (MRN_full)
    c        the weight of the penalty; the published code has 1e-3
    every    how many steps lie between two updates of the covariances; None: they are never updated

    The inverse covariances start as identities, with which the penalty is weight decay.  A step is a call of `penalty`
    while training.  The published trainer never updates (erratum 8): its MRN_t and MRN_full are both STL with weight
    decay, as here with every=None.
    """

    def __init__(self, *sizes, full=False, c=1e-3, every=100, **settings):
        super().__init__(*sizes, **settings)
        self.c, self.every, self.letters = c, every, "PQV" if full else "P"
        self.steps = nn.Buffer(np.array(0))
        self.inverses = [{letter: nn.Buffer(np.eye(layer.W.shape[AXES[letter]], dtype=self.dtype))
                          for letter in self.letters} for layer in self.layers]

    def penalty(self):
        if self.training:
            if self.every and self.steps.data and self.steps.data % self.every == 0:
                self.update_covariances()
            self.steps.data = self.steps.data + 1
        terms = [task_relationship(layer.W, **{letter: A.data for letter, A in its.items()})
                 for layer, its in zip(self.layers, self.inverses, strict=True)]
        return self.c * sum(terms[1:], terms[0])

    def update_covariances(self, eps=1e-3):
        """One step of maximum likelihood for each inverse covariance in turn, scaled to keep its mean diagonal at 1.

        Without the scale a prior that explains the weights well would pull ever harder, as they shrink with it.
        """
        for layer, its in zip(self.layers, self.inverses, strict=True):
            W = layer.W.data
            for letter, buffer in its.items():
                others = [its[other].data if other in its else None for other in AXES if other != letter]
                inverse = inverse_covariance(W, AXES[letter], others, eps * float((W * W).mean()))
                buffer.data = inverse * (len(inverse) / np.trace(inverse)).astype(inverse.dtype)
