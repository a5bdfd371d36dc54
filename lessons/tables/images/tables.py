"""Plain and residual nets over depth, on CIFAR-10 and, small, on Fashion-MNIST.

Slides: shi fig1, fig4, fig5; csc321 cifar

`python -m lessons.tables images --data DIR` runs one seed of each.  For CIFAR-10 that is 6 to 7 hours of two cores with
AVX-512, where ResNet-44 took 84 minutes of one core; without it ResNet-20 took 61 and ResNet-56 150.
`--only "ours fashion"` takes a quarter of an hour.
"""

from functools import partial

from lessons.tables.images.recipes import CIFAR, FASHION
from lessons.tables.table import Column, Table
from tinynet.data.cifar import cifar10
from tinynet.data.mnist import fashion_mnist

OF_PAPER = {"ResNet-20": "8.75", "ResNet-32": "7.51", "ResNet-44": "7.17", "ResNet-56": "6.97",
            "ResNet-20, 60 epochs": "8.75"}     # He et al. 2016, table 6, after 164 epochs
LONGER = ("ResNet-20, 60 epochs",)


def on(run, recipe):
    """A recipe of the table: the columns, with curves as points over the epochs."""
    found = recipe(run.seed, run.folder, run.data)
    return {name: [[i + 1, y] for i, y in enumerate(value)] if isinstance(value, list) else value
            for name, value in found.items()}


COLUMNS = (Column("test error", digits=2), Column("training error", digits=2),
           Column("curve of test error", "test error (%)", digits=2, axis="epoch"),
           Column("curve of loss", "training loss (nats)", digits=3, axis="epoch"))
CIFAR_10 = Table("shi fig1", "error %", ("CIFAR-10",), {
    system: {"CIFAR-10": OF_PAPER[system]} if system in OF_PAPER else {} for system in CIFAR
}, {system: {system: partial(on, recipe=recipe)} for system, recipe in CIFAR.items()}, columns=COLUMNS, needs=cifar10,
    longer=LONGER,
    why={(system, "CIFAR-10"): f"{60 if system in LONGER else 16} epochs in place of 164" for system in OF_PAPER},
    about="16 epochs where the paper has 164, one with 60; the training error is that of a fixed 10,000 images without "
          "augmentation.  The paper gives its plain nets' errors in figures alone.  Two machines took part, so that "
          "one row's seconds say little of another's.")
FASHION_MNIST = Table("ours fashion", "error %", ("Fashion-MNIST",), {system: {} for system in FASHION},
                      {system: {system: partial(on, recipe=recipe)} for system, recipe in FASHION.items()},
                      columns=COLUMNS, needs=fashion_mnist,
                      about="The same comparison, small: 8, 16 and 32 channels, 20,000 images, 7 epochs.")
SEEDS = 1
TABLES = (CIFAR_10, FASHION_MNIST)
