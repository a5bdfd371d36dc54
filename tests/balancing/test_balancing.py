"""What all balancing rules have in common, on arrays and in training."""

import numpy as np
import pytest

from tinynet import optim
from tinynet.balancing.aligned_mtl import AlignedMTL
from tinynet.balancing.balanced_backward import balanced_backward
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
from tinynet.balancing.weighted_sum import WeightedSum, weight_grid
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.models.tasks.cross_stitch_net import CrossStitchNet
from tinynet.models.tasks.mixture_net import CGC, MMoE
from tinynet.models.tasks.separate_nets import SeparateNets
from tinynet.models.tasks.shared_trunk import SharedTrunk

RULES = {
    "weighted sum": lambda T: WeightedSum(),
    "random weights": lambda T: RandomWeights(),
    "dynamic weight average": lambda T: DynamicWeightAverage(T, every=2),
    "geometric mean": lambda T: GeometricMean(),
    "log losses": lambda T: LogLosses(),
    "uncertainty": lambda T: Uncertainty(["regression", *["classification"] * (T - 1)]),
    "gradnorm": lambda T: GradNorm(T),
    "pcgrad": lambda T: PCGrad(),
    "mgda": lambda T: MGDA(),
    "imtl-g": lambda T: IMTLG(),
    "imtl-l": lambda T: IMTLL(T),
    "cagrad": lambda T: CAGrad(),
    "aligned-mtl": lambda T: AlignedMTL(),
    "famo": lambda T: FAMO(T),
}
STATEFUL = [name for name in RULES if RULES[name](2).state_dict()]
every_rule = pytest.mark.parametrize("make", RULES.values(), ids=RULES)


def run(rule, steps, start=0, T=3):
    """Weights (steps, T) of a rule on losses and gradients that depend on the step's number alone."""
    path = []
    for t in range(start, start + steps):
        rng = np.random.default_rng(t)
        losses, G = rng.uniform(0.5, 2, T), rng.normal(size=(T, 6))
        path.append(rule(losses, lambda G=G: G))
        if rule.looks_again:
            rule.after_step(0.9 * losses * rng.uniform(0.9, 1, T))
    return np.array(path)


@every_rule
@pytest.mark.parametrize("T", [2, 3, 10])
def test_there_is_one_finite_weight_a_task(make, T):
    path = run(make(T), 6, T=T)
    assert path.shape == (6, T)
    assert path.dtype == float
    assert np.isfinite(path).all()


@every_rule
def test_a_single_task_is_trained_as_without_a_rule(make):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 1))
    nets = []
    for balanced in (False, True):
        net, rule = SharedTrunk(3, (4,), (1,), rng=0, dtype=float), make(1)
        adam = optim.Adam(net.parameters(), 1e-2)
        for _ in range(5):
            net.zero_grad()
            loss = ((net(x)[0] - y) ** 2).mean()
            if balanced:
                balanced_backward([loss], rule)
                if rule.looks_again:
                    rule.after_step(np.array([loss.item()]))
            else:
                loss.backward()
            adam.step()
        nets.append(net.state_dict())
    assert all(np.array_equal(a, b) for a, b in zip(nets[0].values(), nets[1].values(), strict=True))


@every_rule
def test_state_is_saved_and_resumed_bit_for_bit(make):
    whole, first, second = make(3), make(3), make(3)
    expected = run(whole, 10)
    run(first, 5)
    state = first.state_dict()
    assert all(isinstance(a, np.ndarray) for a in state.values())
    second.load_state_dict(state)
    assert np.array_equal(run(second, 5, start=5), expected[5:])
    assert all(np.array_equal(a, b) for a, b in zip(second.state_dict().values(), whole.state_dict().values(),
                                                    strict=True))


@pytest.mark.parametrize("name", STATEFUL)
def test_a_state_of_another_number_of_tasks_is_refused(name):
    if name in ("random weights", "pcgrad"):        # a count of steps, whatever the tasks
        return
    with pytest.raises(ValueError, match="shape"):
        RULES[name](2).load_state_dict(RULES[name](3).state_dict())


SHARED_SCALE = {"random weights", "weighted sum", "dynamic weight average", "uncertainty", "imtl-l", "gradnorm", "famo"}


@pytest.mark.parametrize("name", [name for name in RULES if name not in SHARED_SCALE | {"pcgrad"}])
def test_equal_tasks_get_equal_weights(name):
    G = np.tile(np.random.default_rng(0).normal(size=6), (3, 1))
    w = RULES[name](3)(np.full(3, 0.7), lambda: G)
    d = w @ G
    assert d @ G[0] > 0
    if name not in ("mgda", "cagrad"):              # any point of the simplex is as short
        np.testing.assert_allclose(w, w[0], rtol=1e-6)


# %% Bad input
@every_rule
def test_no_task_is_refused(make):
    with pytest.raises(ValueError, match=r"one number for each of T >= 1 tasks"):
        make(2)(np.zeros(0))
    with pytest.raises(ValueError, match="balanced_backward: there is no task"):
        balanced_backward([], make(2))


@every_rule
def test_nan_in_one_task_is_named_and_the_state_stays(make):
    rule = make(3)
    run(rule, 3)
    before = rule.state_dict()
    with pytest.raises(FloatingPointError, match="the loss of task 1 is nan; go on from the last checkpoint"):
        rule(np.array([1.0, np.nan, 1.0]), lambda: np.ones((3, 2)))
    if rule.asks_gradients:
        with pytest.raises(FloatingPointError, match="the gradient of task 2 has NaN or inf"):
            rule(np.ones(3), lambda: np.array([[1, 1], [1, 1], [1, np.inf]]))
    assert all(np.array_equal(a, before[name]) for name, a in rule.state_dict().items())


@pytest.mark.parametrize("name", ["geometric mean", "log losses", "dynamic weight average", "gradnorm", "famo"])
@pytest.mark.parametrize("loss", [0.0, -1.5])
def test_a_loss_without_a_logarithm_is_told_with_its_task(name, loss):
    what = "ratio to an earlier one" if name in ("dynamic weight average", "gradnorm") else "logarithm"
    with pytest.raises(ValueError, match=rf"of task 1 is {loss:.4g}, but its {what} needs .* have data in this batch"):
        RULES[name](2)(np.array([1.0, loss]), lambda: np.ones((2, 3)))


def test_a_loss_below_famos_minimum_is_told_as_it_is():
    rule, told = FAMO(2, minimum=[1, 0]), r"FAMO: the loss of task 0 is 0.5, .* above 1; .* give a lower minimum"
    with pytest.raises(ValueError, match=told):
        rule(np.array([0.5, 2.0]))
    rule(np.array([1.5, 2.0]))
    with pytest.raises(ValueError, match=told):
        rule.after_step(np.array([0.5, 2.0]))


@pytest.mark.parametrize("name", [name for name in RULES if RULES[name](2).asks_gradients])
def test_rules_on_gradients_need_shared_parameters(name):
    with pytest.raises(ValueError, match="it needs the tasks' gradients"):
        RULES[name](2)(np.ones(2))
    with pytest.raises(ValueError, match=r"no parameter is shared \(P = 0\)"):
        RULES[name](2)(np.ones(2), lambda: np.zeros((2, 0)))
    with pytest.raises(ValueError, match=r"one row for each of 2 tasks"):
        RULES[name](2)(np.ones(2), lambda: np.zeros((3, 4)))


@pytest.mark.parametrize("name", [name for name in RULES if RULES[name](2).tasks])
def test_another_number_of_tasks_is_refused(name):
    with pytest.raises(ValueError, match="there are 3 losses, but the rule was made for 2 tasks"):
        RULES[name](2)(np.ones(3), lambda: np.ones((3, 4)))


def test_settings_that_make_no_rule_are_refused():
    for make, match in ((lambda: WeightedSum([1, -1]), "0 or more"), (lambda: GradNorm(2, alpha=-1), "alpha is -1"),
                        (lambda: CAGrad(-1), "c is -1"), (lambda: Uncertainty(["poisson"]), "regression or class"),
                        (lambda: DynamicWeightAverage(2, every=0), "every 0"),
                        (lambda: GradNorm(0), "GradNorm: it is made for 0 tasks; make it for at least 1"),
                        (lambda: FAMO(0), "FAMO: it is made for 0 tasks"), (lambda: IMTLL(0), "IMTLL: it is made for"),
                        (lambda: Uncertainty([]), "Uncertainty: it is made for 0 tasks"),
                        (lambda: weight_grid(0), "weight_grid: there are 0 tasks; give at least 1")):
        with pytest.raises(ValueError, match=match):
            make()


# %% The backward pass
def two_losses(net, x):
    a, b = net(x)
    return [(a ** 2).mean(), (b ** 2).mean()]


X = np.random.default_rng(1).normal(size=(8, 3))


OF_EACH_TASK = {"hard": (), "split 1": ("layers.1",), "mmoe": ("gates",),      # layers of each task in one array
                "cgc": ("gates", "own_experts")}


def net_with(layout):
    if layout == "mmoe":
        return MMoE(3, (4, 4), (1, 2), rng=0, dtype=float)
    if layout == "cgc":
        return CGC(3, (4, 4), (1, 2), own=2, shared=3, rng=0, dtype=float)
    return SharedTrunk(3, (4, 4), (1, 2), split=1 if layout == "split 1" else None, rng=0, dtype=float)


@every_rule
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("layout", OF_EACH_TASK)
def test_every_leaf_gets_what_the_weights_make_of_its_gradients(make, layout, named):
    net, own = net_with(layout), ("heads", *OF_EACH_TASK[layout])
    shared = [p for name, p in net.named_parameters() if not name.startswith(own)]
    rule = make(2)
    weights = balanced_backward(two_losses(net, X), rule, shared if named else None)
    got = {name: p.grad for name, p in net.named_parameters()}
    parts = []
    for task in range(2):
        net.zero_grad()
        two_losses(net, X)[task].backward()
        parts.append({name: p.grad for name, p in net.named_parameters()})
    for name, grad in got.items():
        w = np.ones(2) if rule.shared_only and name.startswith(own) else weights
        expected = sum(w[t] * parts[t][name] for t in range(2) if parts[t][name] is not None)
        np.testing.assert_allclose(grad, expected, rtol=1e-12, atol=1e-15)


def test_the_shared_parameters_are_found_or_named():
    seen = []

    class Looks(MGDA):
        def weigh(self, losses, gradients):
            seen.append(gradients.shape)
            return np.ones(2)

    net = SharedTrunk(3, (4, 4), (1, 2), rng=0)
    balanced_backward(two_losses(net, X), Looks())
    balanced_backward(two_losses(net, X), Looks(), shared=[net.layers[-1].W])
    assert seen == [(2, 3 * 4 + 4 + 4 * 4 + 4), (2, 4 * 4)]


@pytest.mark.parametrize("layout", ["split 1", "mmoe", "cgc"])
def test_a_rule_does_not_see_the_tasks_own_layers_in_one_array(layout):
    net, weights = net_with(layout), []
    shared = [p for name, p in net.named_parameters() if not name.startswith(("heads", *OF_EACH_TASK[layout]))]
    seen = []

    class Looks(MGDA):
        def weigh(self, losses, gradients):
            seen.append(gradients)
            return super().weigh(losses, gradients)

    for named in (None, shared):
        weights.append(balanced_backward(two_losses(net, X), Looks(), named))
    assert seen[0].shape == (2, sum(p.size for p in shared))
    assert np.array_equal(*seen)
    np.testing.assert_allclose(*weights, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in RULES if RULES[name](2).asks_gradients and name != "gradnorm"])
@pytest.mark.parametrize("labels", [np.zeros(0, int), np.full(4, -1)])
def test_a_task_without_data_in_the_batch_is_told(name, labels):
    net = SharedTrunk(3, (4,), (2, 2), rng=0)
    missing = cross_entropy(net(X[:len(labels)])[0], labels, ignore=-1)
    with pytest.raises(ValueError, match=r"the loss of task 0 is 0, .* have data in this batch\? Draw batches"):
        balanced_backward([missing, cross_entropy(net(X)[1], np.arange(8) % 2)], RULES[name](2))
    assert all(p.grad is None for p in net.parameters())


def test_a_loss_of_0_with_a_gradient_is_no_missing_task():
    net = SharedTrunk(3, (4,), (1, 1), rng=0)
    a, b = net(X)
    a = a.mean() - a.mean().item()
    assert a.item() == 0
    assert len(balanced_backward([a, b.mean()], MGDA())) == 2


def test_tasks_that_share_nothing_are_told():
    nets = [SharedTrunk(3, (4,), (1,), rng=t) for t in range(2)]
    with pytest.raises(ValueError, match="no parameter is shared"):
        balanced_backward([(net(X)[0] ** 2).mean() for net in nets], MGDA())


def test_separate_nets_in_one_array_share_nothing_either():
    separate, stitched = (make(3, (4,), (1, 2), rng=0, dtype=float) for make in (SeparateNets, CrossStitchNet))
    with pytest.raises(ValueError, match=r"MGDA: no parameter is shared, because each task has weights of its own"):
        balanced_backward(two_losses(separate, X), MGDA())
    assert len(balanced_backward(two_losses(stitched, X), MGDA())) == 2
    assert len(balanced_backward(two_losses(separate, X), WeightedSum())) == 2


def test_experts_of_which_none_is_shared_are_told():
    net = CGC(3, (4,), (1, 2), own=2, shared=0, rng=0, dtype=float)
    with pytest.raises(ValueError, match="MGDA: no parameter is shared"):
        balanced_backward(two_losses(net, X), MGDA())


def test_shared_parameters_of_another_net_are_told():
    net, other = (SharedTrunk(3, (4,), (1, 2), rng=seed) for seed in (0, 1))
    with pytest.raises(ValueError, match=r"MGDA: no two losses depend on 2 of the 2 parameters .* named as shared"):
        balanced_backward(two_losses(net, X), MGDA(), shared=other.shared())
    with pytest.raises(ValueError, match=r"on 2 of the 4 parameters .* the first of shape \(4, 3\); name parameters"):
        balanced_backward(two_losses(net, X), MGDA(), shared=[*net.shared(), *other.shared()])
    with pytest.raises(ValueError, match=r"on 1 of the 1 parameters .* the first of type DenseLayer"):
        balanced_backward(two_losses(net, X), MGDA(), shared=net.layers)
    with pytest.raises(ValueError, match=r"on 1 of the 3 parameters .* the first of shape \(1, 4\); .* tasks share"):
        balanced_backward(two_losses(net, X), MGDA(), shared=[*net.shared(), net.heads[0].W])


def test_the_shared_parameters_may_be_one_or_come_from_a_generator():
    net = SharedTrunk(3, (4, 4), (1, 2), rng=0)
    W, b = net.layers[-1].W, net.layers[-1].b
    for given, listed in ((W, [W]), ((p for p in (W, b)), [W, b]), ((W, b), [W, b])):
        expected = balanced_backward(two_losses(net, X), MGDA(), shared=listed)
        assert np.array_equal(balanced_backward(two_losses(net, X), MGDA(), shared=given), expected)


@pytest.mark.parametrize("name", [name for name in RULES if RULES[name](2).asks_gradients])
@pytest.mark.parametrize("scale", [1e20, 1e-25])
def test_gradients_whose_squares_float32_cannot_hold_are_weighed(name, scale):
    if name == "gradnorm" and scale < 1:            # its Adam's eps is far above 1e-25
        return
    G, paths = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32), []
    for factor in np.float32([1, scale]):
        rule = RULES[name](3)
        paths.append([rule(np.ones(3), lambda G=factor * G: G) for _ in range(2)])      # GradNorm's first are all 1
    np.testing.assert_allclose(*paths, rtol=1e-4, atol=1e-6)


def test_losses_that_are_no_numbers_are_refused():
    with pytest.raises(TypeError, match="the loss of task 1"):
        balanced_backward([(SharedTrunk(3, (4,), (1,))(X)[0] ** 2).mean(), 1.0], WeightedSum())
