"""Plain and residual nets on CIFAR-10, and a small version on Fashion-MNIST: how each cell of the table is trained.

Slides: shi fig1, fig4, fig5; csc321 cifar

He et al. 2016 (arXiv:1512.03385, section 4.2) train for 64,000 steps: 164 epochs with a step-wise learning rate.  Here
the rate rises to 0.1 over the first 15 % of fewer epochs and falls to 0 on a line, which ends more settled after few
epochs; batch 128, momentum 0.9, decay 1e-4, pad and crop, flip and the convolutions' first weights are the paper's.
Three things are not: the last layer's first weights are normal with deviation 0.1; each channel is normalised by its
mean and deviation, where the paper subtracts each pixel's mean; the border that is padded is black, 0 before that
normalisation, where the paper's is the mean.

A cell is `run(seed, folder, data=None) -> {column: value}`.  It writes a checkpoint into `folder` after each epoch; a
run that was stopped goes on from there and ends, bit for bit, where it would have ended.
"""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from tinynet import memory, nn, optim, train
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.data.cifar import MEAN, STD, cifar10
from tinynet.data.images import flip, normalised, pad_and_crop
from tinynet.data.mnist import STATISTICS, fashion_mnist
from tinynet.models.images.cifar_net import CifarNet

MEASURED = 10_000       # training images whose error is measured without augmentation


class Augmented(nn.Module):
    """A net for bytes: in training each image is moved and mirrored by chance, and all are normalised."""

    def __init__(self, net, mean, std, pad, rng):
        self.net, self.rng = net, np.random.default_rng(rng)
        self.settings, self.pad = (mean, std), pad

    def forward(self, X):
        if self.training:
            X = flip(pad_and_crop(X, self.rng, self.pad), self.rng)
        return self.net(normalised(X, *self.settings))


def loss(net, X, y):
    return cross_entropy(net(X), y)


def error(net, X, y):
    """In per cent."""
    return 100 * float((net(X).data.argmax(axis=1) != y).mean())


def learn(net, data, seed, folder, epochs, images=None):
    """Train on the first `images` of data, on all of them if None, and return the table's columns.

    folder  for the checkpoint of each epoch; None: without
    """
    X, y = data.X_train[:images], data.y_train[:images]
    path = Path(folder, "checkpoint.npz") if folder else None
    sgd = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    schedule = optim.WarmUp(0.15 * epochs, optim.LinearDecay(0.85 * epochs))
    history = train.fit(net, loss, (X, y), sgd, epochs, batch_size=128, val=(data.X_test, data.y_test),
                        metrics={"error": error}, schedule=schedule, rng=seed, checkpoint=path, progress=bool(folder))
    ends = train.evaluate(net, None, (X[:MEASURED], y[:MEASURED]), {"error": error})
    return {"training error": ends["error"], "test error": history["val_error"][-1],
            "curve of loss": list(history["loss"]), "curve of test error": list(history["val_error"])}


@lru_cache(maxsize=1)
def _cifar(data):
    return cifar10(data)


@lru_cache(maxsize=1)
def _fashion(data):
    return fashion_mnist(data)


# %% The cells
def on_cifar(seed, folder, data=None, *, depth, residual, epochs=16):
    """A net of `depth` layers with 16, 32 and 64 channels on all 50,000 images."""
    memory.keep()
    net = CifarNet(depth, residual, rng=seed)
    return learn(Augmented(net, MEAN, STD, pad=4, rng=seed), _cifar(data), seed, folder, epochs)


def on_fashion(seed, folder, data=None, *, depth, residual, epochs=7):
    """The small version: 8, 16 and 32 channels on 20,000 images; the four cells take a core's quarter of an hour."""
    memory.keep()
    net = CifarNet(depth, residual, widths=(8, 16, 32), channels=1, rng=seed)
    mean_and_std = STATISTICS["fashion_mnist"]
    return learn(Augmented(net, *mean_and_std, pad=2, rng=seed), _fashion(data), seed, folder, epochs, images=20_000)


NETS = {f"{kind}-{depth}": dict(depth=depth, residual=kind == "ResNet")
        for depth in (20, 32, 44, 56) for kind in ("plain", "ResNet")}
CIFAR = {name: partial(on_cifar, **net) for name, net in NETS.items()}
CIFAR["ResNet-20, 60 epochs"] = partial(on_cifar, **NETS["ResNet-20"], epochs=60)       # beside the paper's 8.75 %
FASHION = {name: partial(on_fashion, **net) for name, net in NETS.items() if net["depth"] in (20, 56)}
