"""A tiny net on random numbers, for the tests of training."""

import numpy as np

import tinynet
from tinynet import nn, optim, train
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.linear import Linear

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)).astype(np.float32), RNG.normal(size=(20, 2)).astype(np.float32)


def squared_error(model, x, y):
    return ((model(x) - y) ** 2).mean()


def net(dropout=0.3, width=4):
    return nn.Sequential(Linear(3, width, rng=1), Dropout(dropout, rng=2), Linear(width, 2, rng=3))


def fit(model=None, data=(X, Y), loss=squared_error, optimizer=None, epochs=3, progress=False, **settings):
    model = net() if model is None else model
    optimizer = optimizer or optim.Adam(model.parameters(), 0.01)
    return train.fit(model, loss, data, optimizer, epochs, progress=progress, **settings)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first.values(), second.values(), strict=True))


class Unchanged(nn.Module):
    """x -> x + 0."""

    def __init__(self):
        self.zero = nn.Parameter(np.zeros(1))

    def forward(self, x):
        return tinynet.Tensor(x) + self.zero
