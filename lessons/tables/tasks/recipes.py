"""How each way of sharing and each balancing rule is trained for the table of many tasks.

Four problems: MultiMNIST (20,000 pairs, mean accuracy of both digits), SARCOS (1,000 rows, error in % of the
torques' variance), School (15 % of each school's pupils, explained variance in %) and digits with starved classes
(3 labels for five classes, accuracy on those).  Nothing is chosen by test results: every system has the same
settings on a problem (but for OF_ITS_OWN), and the last weights count.  School's settings (steps, decay, pull) were
chosen by a shared trunk on a third of the training pupils of seed 0, held out five times, so the table's seeds begin at
1.

    run("NDDR", seed=0, folder=..., data=...) -> {column: value}

`folder` holds the checkpoints of a cell, so that a run that was stopped goes on where it was, bit for bit.
"""

from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinynet import optim, train
from tinynet.backend import no_grad
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
from tinynet.data.task_batches import outputs_of
from tinynet.data.task_toys import starved_digits
from tinynet.models.tasks.cross_stitch_net import CrossStitchNet
from tinynet.models.tasks.mixture_net import CGC, MMoE
from tinynet.models.tasks.nddr_net import NDDRNet
from tinynet.models.tasks.separate_nets import SeparateNets
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.models.tasks.soft_sharing_net import SoftSharingNet
from tinynet.train.batches import Whole

LEAST = 1e-6    # added to each loss: the cross-entropy of digits learnt by heart is 0, and rules take its logarithm


class Problem(NamedTuple):
    """What a system is trained on.

    arrays    of the examples, first axis each; loss(net, *arrays) -> a list of tensors, one a task
    kinds     "regression" or "classification" for each task
    sizes     d_in, widths, classes of the net
    score     score(net) -> the column's value
    batch     examples in one; None: all arrays at once, whatever their first axes
    decay     of the weights, as in Adam's weight_decay
    soft      strength of soft sharing's penalty
    alike     do all tasks start from the first one's weights?
    """

    arrays: tuple
    loss: object
    kinds: tuple
    sizes: dict
    score: object
    steps: int
    batch: int | None
    lr: float
    decay: float = 0.0
    soft: float = 1e-2
    alike: bool = False


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


PULL = 10.0     # of 3, 10, 30, 100: with 10 and 30 held-out pupils are explained best, and alike (31.7 and 31.8 %)


def school_split(task, seed, share=0.15):
    """(rows to train on, to test on) of pupils whose schools are `task`: this share of each school, 2 or more."""
    rng = np.random.default_rng(seed)
    schools = [rng.permutation(np.flatnonzero(task == t)) for t in range(task.max() + 1)]
    known = np.concatenate([rows[:max(2, round(share * len(rows)))] for rows in schools])
    return known, np.setdiff1d(np.arange(len(task)), known)


def school_problem(seed, data, steps=150, share=0.15, pull=PULL):
    pupils = school(data)
    both = school_split(pupils.task, seed, share)
    T, (scores, _) = pupils.task.max() + 1, (pupils.y[rows] for rows in both)
    target = (pupils.y - scores.mean()) / scores.std()
    known, other = ([rows[pupils.task[rows] == t] for t in range(T)] for rows in both)
    x = np.zeros((T, max(map(len, known)), pupils.X.shape[1]), np.float32)  # zeros where there are no more pupils
    for t, rows in enumerate(known):
        x[t, :len(rows)] = pupils.X[rows]

    def loss(net, x, *targets):
        return [mean_squared_error(y[:len(t)], t) + pull * away
                for y, t, away in zip(net(x), targets, _from_the_mean(net), strict=True)]

    def score(net):
        guesses = outputs_of(net, [pupils.X[r] for r in other])
        guess, right = np.concatenate(guesses)[:, 0], target[np.concatenate(other)]
        return 100 * (1 - ((guess - right) ** 2).sum() / ((right - right.mean()) ** 2).sum())
    sizes = dict(d_in=28, widths=(16,), classes=(1,) * T)
    return Problem((x, *(target[r][:, None] for r in known)), loss, ("regression",) * T, sizes, score, steps, None,
                   3e-3, decay=1.0, soft=pull / T, alike=pull > 0)


def _from_the_mean(net):
    """|v[t] - mean_s v[s]|^2 of each task, v its head (and gate) and the mean a constant: a Gaussian prior.
    Without it 17 numbers a school are fitted to 17 pupils.
    """
    own = [[head.W, head.b] for head in net.heads]
    if isinstance(net, MMoE):
        own = [[*parts, net.gates.W[t], net.gates.b[t]] for t, parts in enumerate(own)]
    means = [np.mean([part.data for part in parts], axis=0) for parts in zip(*own, strict=True)]
    return [sum(mean_squared_error(part, mean) * float(mean.size) for part, mean in zip(parts, means, strict=True))
            for parts in own]


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


# as in the paper; without it this rate leaves NDDR at 13 to 36 % on SARCOS, beside 6 % of separate nets (5 seeds)
normalised_nddr = partial(NDDRNet, normalise=True)


def _balanced(make):
    """A shared trunk with a rule, made for the tasks' kinds and the net's learning rate."""
    return lambda problem, seed: (SharedTrunk(**problem.sizes, rng=seed), make(problem.kinds, problem.lr), 1)


SHARING = {"single task": _plain(SeparateNets), "separate nets": _plain(SeparateNets),
           "shared trunk": _plain(SharedTrunk), "soft sharing": _plain(SoftSharingNet),
           "cross-stitch": _faster(CrossStitchNet), "NDDR": _faster(normalised_nddr), "MMoE": _plain(MMoE),
           "CGC": _plain(CGC)}
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
# 139 tasks: a pupil would go through all schools' columns (CGC: experts), and each layer holds 139 x 139 parts
LEFT_OUT = {("cross-stitch", "School"), ("NDDR", "School"), ("CGC", "School"),
            # on the other problems "separate nets" are single-task nets already
            *(("single task", column) for column in PROBLEMS if column != "School")}
# School's other systems start alike and are pulled to the mean head of all schools, so that its separate nets learn
# from each other, too
OF_ITS_OWN = {"single task": dict(pull=0.0)}


def _seen_by(rule, net):
    """The parameters whose gradients the rule sees: GradNorm's W is the last shared layer, others see all shared ones.
    """
    return [net.layers[-1].W] if isinstance(rule, GradNorm) else None


# %% A cell
def run(system, seed, folder, data=None, columns=tuple(PROBLEMS), **settings):
    """{column: value} of a system; the columns in LEFT_OUT are missing."""
    return {column: cell(system, column, seed, folder, data, **settings) for column in columns
            if (system, column) not in LEFT_OUT}


def _start_alike(net):
    """What the tasks have of their own begins as the first task's."""
    gates = [net.gates] if isinstance(net, MMoE) else []
    for own in (*getattr(net, "layers", ()), *gates):
        if own.W.ndim == 3:
            own.W.data[:] = own.W.data[:1]
    for head in net.heads[1:]:
        head.load_state_dict(net.heads[0].state_dict())


def cell(system, column, seed, folder, data=None, **settings):
    """One value; settings go to the problem, e.g. steps=10."""
    problem = PROBLEMS[column](seed, data, **OF_ITS_OWN.get(system, {}), **settings)
    net, rule, factor = SYSTEMS[system](problem, seed)
    soft = isinstance(net, SoftSharingNet)
    if problem.alike:
        _start_alike(net)

    def loss(net, *batch):
        losses = [L + LEAST for L in problem.loss(net, *batch)]
        return [losses[0] + problem.soft * net.penalty(), *losses[1:]] if soft else losses
    adam = optim.Adam(net.faster(factor) if factor > 1 else net.parameters(), problem.lr,
                      weight_decay=problem.decay)
    Path(folder).mkdir(parents=True, exist_ok=True)
    checkpoint = Path(folder, f"{system} {column} {seed}.npz".replace(" ", "_"))
    arrays = problem.arrays if problem.batch else Whole(problem.arrays, 1)
    train.fit(net, loss, arrays, adam, steps=problem.steps, every=max(problem.steps // 10, 1),
              batch_size=problem.batch or 1, rng=seed, balance=rule, shared=_seen_by(rule, net), checkpoint=checkpoint,
              progress=False)
    with no_grad():
        return float(problem.score(net))
