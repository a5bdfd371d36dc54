"""How each way of sharing and each balancing rule is trained for the table of many tasks.

Four problems: MultiMNIST (20,000 pairs, mean accuracy of both digits), SARCOS (1,000 rows, error in % of the
torques' variance), School (15 % of each school's pupils, explained variance in %) and digits with starved classes
(3 labels for five classes, accuracy on those).  Nothing is chosen by test results: every system has the same
settings on a problem, and the last weights count.  School's weight decay was chosen by a shared trunk on the split of
seed 0, so the table's seeds begin at 1.

    run("NDDR", seed=0, folder=..., data=...) -> {column: value}

`folder` holds the checkpoints of a cell, so that a run that was stopped goes on where it was, bit for bit.
"""

from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinynet import optim, train
from tinynet.balancing.aligned_mtl import AlignedMTL
from tinynet.balancing.cagrad import CAGrad
from tinynet.balancing.dynamic_weight_average import DynamicWeightAverage
from tinynet.balancing.famo import FAMO
from tinynet.balancing.geometric_mean import GeometricMean
from tinynet.balancing.gradnorm import GradNorm
from tinynet.balancing.imtl import IMTLG, IMTLL
from tinynet.balancing.log_losses import LogLosses
from tinynet.balancing.mgda import MGDA
from tinynet.balancing.pcgrad import PCGrad
from tinynet.balancing.random_weights import RandomWeights
from tinynet.balancing.uncertainty import Uncertainty
from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.losses.mean_squared_error import mean_squared_error
from tinynet.data.multitask import multi_mnist, sarcos, school
from tinynet.data.task_toys import starved_digits
from tinynet.engine import no_grad
from tinynet.models.tasks.cross_stitch_net import CrossStitchNet
from tinynet.models.tasks.mixture_net import CGC, MMoE
from tinynet.models.tasks.nddr_net import NDDRNet
from tinynet.models.tasks.separate_nets import SeparateNets
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.models.tasks.soft_sharing_net import SoftSharingNet

LEAST = 1e-6        # added to each loss: of 600 learnt digits it is 0 in float32, and rules take its logarithm


class Problem(NamedTuple):
    """What a system is trained on.

    arrays    of the examples, first axis each; loss(net, *arrays) -> a list of tensors, one a task
    kinds     "regression" or "classification" for each task
    sizes     d_in, widths, classes of the net
    score     score(net) -> the column's value
    decay     of the weights, as in Adam's weight_decay
    """

    arrays: tuple
    loss: object
    kinds: tuple
    sizes: dict
    score: object
    steps: int
    batch: int
    lr: float
    decay: float = 0.0


# %% The four problems
@lru_cache(maxsize=1)
def _pairs(data):
    return multi_mnist(data, train=20_000)


def multi_mnist_problem(seed, data, steps=2000):
    pairs = _pairs(data)

    def score(net):
        return 100 * np.mean([(z.data.argmax(axis=1) == t).mean()
                              for z, t in zip(net(pairs.X_test), pairs.y_test, strict=True)])
    sizes = dict(d_in=784, widths=(100, 50), classes=(10, 10))
    return Problem((pairs.X_train, *pairs.y_train), partial(_each, cross_entropy), ("classification",) * 2, sizes,
                   score, steps, 100, 1e-3)


def sarcos_problem(seed, data, steps=1000):
    X, Y = sarcos(data)
    rows = np.random.default_rng(seed).permutation(len(X))
    known, other = rows[:1000], rows[1000:]
    X = (X - X[known].mean(axis=0)) / X[known].std(axis=0)

    def score(net):
        return 100 * np.mean([((y.data[:, 0] - t) ** 2).mean() / t.var()
                              for y, t in zip(net(X[other]), Y[other].T, strict=True)])
    sizes = dict(d_in=21, widths=(32, 32), classes=(1,) * 7)
    return Problem((X[known], *(Y[known, k:k + 1] for k in range(7))), partial(_each, mean_squared_error),
                   ("regression",) * 7, sizes, score, steps, 1000, 3e-3)


def school_problem(seed, data, steps=200):
    X, y, task = school(data)
    rng, T = np.random.default_rng(seed), task.max() + 1
    known = np.concatenate([rng.permutation(np.flatnonzero(task == t))[:max(2, round(0.15 * (task == t).sum()))]
                            for t in range(T)])
    other = np.setdiff1d(np.arange(len(y)), known)
    mean, deviation = y[known].mean(), y[known].std()
    target = ((y - mean) / deviation)[:, None]

    def loss(net, x, t, which):
        outputs = net(x)
        return [mean_squared_error(outputs[k][which == k], t[which == k]) for k in range(T)]

    def score(net):
        guess = np.stack([out.data[:, 0] for out in net(X[other])])[task[other], np.arange(len(other))]
        return 100 * (1 - ((guess - target[other, 0]) ** 2).sum() / ((target[other] - target[other].mean()) ** 2).sum())
    sizes = dict(d_in=28, widths=(16,), classes=(1,) * T)
    return Problem((X[known], target[known], task[known]), loss, ("regression",) * T, sizes, score, steps, len(known),
                   3e-3, decay=3.0)


def starved_problem(seed, data, steps=200):
    digits = starved_digits(3, seed)
    hungry = np.isin(digits.digit_test, digits.starved)

    def loss(net, x, digit, attributes):
        first, second = net(x)
        return [cross_entropy(first, digit), binary_cross_entropy(second, attributes)]

    def score(net):
        return 100 * (net(digits.X_test)[0].data.argmax(axis=1) == digits.digit_test)[hungry].mean()
    sizes = dict(d_in=64, widths=(32, 32), classes=(10, 4))
    return Problem((digits.X, digits.digit, digits.attributes), loss, ("classification",) * 2, sizes, score, steps,
                   len(digits.X), 3e-3)


def _each(of_one, net, x, *targets):
    return [of_one(y, t) for y, t in zip(net(x), targets, strict=True)]


PROBLEMS = {"MultiMNIST": multi_mnist_problem, "SARCOS": sarcos_problem, "School": school_problem,
            "starved digits": starved_problem}


# %% The systems: a net and a rule
def _plain(net):
    return lambda problem, seed: (net(**problem.sizes, rng=seed), None, 1)


def _faster(net):
    """Where tasks meet, ten times the rate."""
    return lambda problem, seed: (net(**problem.sizes, rng=seed), None, 10)


def _balanced(make):
    """A shared trunk with a rule, made for the tasks' kinds and the net's learning rate."""
    return lambda problem, seed: (SharedTrunk(**problem.sizes, rng=seed), make(problem.kinds, problem.lr), 1)


SHARING = {"separate nets": _plain(SeparateNets), "shared trunk": _plain(SharedTrunk),
           "soft sharing": _plain(SoftSharingNet), "cross-stitch": _faster(CrossStitchNet), "NDDR": _faster(NDDRNet),
           "MMoE": _plain(MMoE), "CGC": _plain(CGC)}
BALANCING = {
    "random weights": _balanced(lambda kinds, lr: RandomWeights()),
    "dynamic weight average": _balanced(lambda kinds, lr: DynamicWeightAverage(len(kinds), every=50)),
    "geometric mean": _balanced(lambda kinds, lr: GeometricMean()),
    "sum of log losses": _balanced(lambda kinds, lr: LogLosses()),
    "uncertainty": _balanced(lambda kinds, lr: Uncertainty(kinds, lr=10 * lr)),
    "GradNorm": _balanced(lambda kinds, lr: GradNorm(len(kinds), alpha=0.12, lr=5e-3)),
    "PCGrad": _balanced(lambda kinds, lr: PCGrad()),
    "MGDA": _balanced(lambda kinds, lr: MGDA()),
    "IMTL-G": _balanced(lambda kinds, lr: IMTLG()),
    "IMTL-L": _balanced(lambda kinds, lr: IMTLL(len(kinds), lr=10 * lr)),
    "CAGrad": _balanced(lambda kinds, lr: CAGrad()),
    "Aligned-MTL": _balanced(lambda kinds, lr: AlignedMTL()),
    "FAMO": _balanced(lambda kinds, lr: FAMO(len(kinds))),
}
SYSTEMS = SHARING | BALANCING
LEFT_OUT = {("cross-stitch", "School"), ("NDDR", "School"), ("CGC", "School")}      # 139 tasks: 139 x 139 parts a layer


# %% A cell
def run(system, seed, folder, data=None, columns=tuple(PROBLEMS), **settings):
    """{column: value} of a system; the columns in LEFT_OUT are missing."""
    return {column: cell(system, column, seed, folder, data, **settings) for column in columns
            if (system, column) not in LEFT_OUT}


def cell(system, column, seed, folder, data=None, **settings):
    """One value; settings go to the problem, e.g. steps=10."""
    problem = PROBLEMS[column](seed, data, **settings)
    net, rule, factor = SYSTEMS[system](problem, seed)
    soft = isinstance(net, SoftSharingNet)

    def loss(net, *batch):
        losses = [L + LEAST for L in problem.loss(net, *batch)]
        return [losses[0] + 1e-2 * net.penalty(), *losses[1:]] if soft else losses
    adam = optim.Adam(net.faster(factor) if factor > 1 else net.parameters(), problem.lr,
                      weight_decay=problem.decay)
    Path(folder).mkdir(parents=True, exist_ok=True)
    checkpoint = Path(folder, f"{system} {column} {seed}.npz".replace(" ", "_"))
    train.fit(net, loss, problem.arrays, adam, steps=problem.steps, every=max(problem.steps // 10, 1),
              batch_size=problem.batch, rng=seed, balance=rule, checkpoint=checkpoint, progress=False)
    with no_grad():
        return float(problem.score(net))
