"""The twelve methods of saha table1: parameters at the deck's size, limits, and what the published code got wrong."""

import math
from functools import partial

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn, optim
from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.tasks.functional_regularization import cosine_regularizer
from tinynet.models.tasks.cascade import Cascade
from tinynet.models.tasks.dmtrl import DMTRL
from tinynet.models.tasks.mixture_net import MMoE
from tinynet.models.tasks.mrn import MRN
from tinynet.models.tasks.multi_task_net import MultiTaskNet, mean_loss
from tinynet.models.tasks.separate_nets import SeparateNets
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.models.tasks.soft_order_net import SoftOrderNet
from tinynet.models.tasks.taan import TAAN, published_cosine
from tinynet.shapes import ShapeError

rng = np.random.default_rng(0)
TWELVE = {
    "STL": SeparateNets, "Hard-Share": MultiTaskNet, "Soft-Order": SoftOrderNet, "MRN_t": MRN,
    "MRN_full": partial(MRN, full=True),
    "DMTRL-Tucker": partial(DMTRL, form="Tucker"), "DMTRL-LAF": partial(DMTRL, form="LAF", K=2),
    "DMTRL-TT": partial(DMTRL, form="TT"), "TAAN": TAAN,
    **{f"TAAN + {name}": partial(TAAN, regularizer=name) for name in ("trace", "cosine", "distance")}}
every_net = pytest.mark.parametrize("make", TWELVE.values(), ids=TWELVE)
x = rng.normal(size=(3, 5, 7))


def small(make, **settings):
    return make(7, (6, 6, 6), (2, 4, 3), rng=0, dtype=float, **settings)


def loss_of(net, x, labels):
    return mean_loss(net, x, *labels, loss=binary_cross_entropy)


LABELS = [np.random.default_rng(1).integers(2, size=(5, c)).astype(float) for c in (2, 4, 3)]


@every_net
def test_every_net_trains_all_of_its_parameters(make):
    net = small(make)
    adam, losses = optim.Adam(net.parameters(), lr=0.01), []
    for _ in range(60):
        adam.zero_grad()
        loss = loss_of(net, x, LABELS)
        loss.backward()
        assert all(p.grad is not None for p in net.parameters())
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@every_net
def test_the_whole_gradient_is_the_losss_slope(make):
    net = small(make)
    for p in net.parameters():
        p.data = p.data + 0.01 * rng.normal(size=p.shape)
    loss_of(net, x, LABELS).backward()
    for p in net.parameters():
        direction, h = rng.normal(size=p.shape), 1e-6
        at = p.data
        values = []
        for side in (h, -h):
            p.data = at + side * direction
            with tn.no_grad():
                values.append(loss_of(net, x, LABELS).item())
        p.data = at
        slope = (values[0] - values[1]) / (2 * h)
        assert (p.grad * direction).sum() == pytest.approx(slope, rel=1e-5, abs=1e-8)


@every_net
def test_float32_stays_float32_and_the_state_is_whole(make):
    net, again = (make(7, (6, 6), (2, 4, 3), rng=seed) for seed in (0, 0))
    outputs = net(x.astype(np.float32))
    assert [y.shape for y in outputs] == [(5, 2), (5, 4), (5, 3)]
    assert {y.dtype for y in outputs} == {np.dtype(np.float32)}
    penalty = net.penalty()
    assert penalty is None or penalty.dtype == np.float32
    again.load_state_dict(net.state_dict())
    assert all(np.array_equal(a.data, b.data) for a, b in zip(outputs, again(x.astype(np.float32)), strict=True))


@every_net
def test_images_go_through_convolutions_first(make):
    widths = (6, 6) if make is SoftOrderNet else (6,)
    net = make((1, 9, 9), widths, (2, 4, 3), channels=(3, 4, 5), rng=0)
    outputs = net(rng.normal(size=(3, 2, 1, 9, 9)).astype(np.float32))
    assert [y.shape for y in outputs] == [(2, 2), (2, 4), (2, 3)]
    loss = sum(y.sum() for y in outputs)
    (loss if net.penalty() is None else loss + net.penalty()).backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("examples", [3, 5])
@every_net
def test_the_same_examples_for_all_are_as_a_stack_of_them(make, examples):
    """Also as many examples as tasks, where an axis may be taken for the other."""
    net = small(make)
    for p in net.parameters():
        p.data = p.data + rng.normal(size=p.shape)
    shared = rng.normal(size=(examples, 7))
    for ours, theirs in zip(net(shared), net(np.stack([shared] * 3)), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", [TAAN, SoftOrderNet])
def test_the_same_images_for_all_are_as_a_stack_of_them(make):
    net = make((1, 6, 6), (6, 6, 6), (2, 4, 3), channels=(3, 4), rng=0, dtype=float)
    for p in net.parameters():
        p.data = p.data + rng.normal(size=p.shape)
    shared = rng.normal(size=(3, 1, 6, 6))
    for ours, theirs in zip(net(shared), net(np.stack([shared] * 3)), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-10, atol=1e-12)


def test_a_convolution_of_each_task_is_the_shared_one_where_weights_are_equal():
    shared, own = (make((1, 9, 9), (6,), (2, 2, 2), channels=(3, 4), rng=0, dtype=float)
                   for make in (MultiTaskNet, SeparateNets))
    images = rng.normal(size=(3, 5, 1, 9, 9))
    for ours, theirs in zip(own.layers, shared.layers, strict=True):
        ours.weights.W.data = np.stack([theirs.weights.W.data] * 3)
    np.testing.assert_allclose(own.features(images).data, shared.features(images).data, rtol=1e-10, atol=1e-12)


# %% Who shares what
def test_a_tasks_loss_reaches_the_others_weights_only_where_something_is_shared():
    for make, shared in ((SeparateNets, False), (MultiTaskNet, True), (TAAN, True)):
        net = small(make)
        net(x)[0].sum().backward()
        W = net.layers[0].weights.W.grad
        assert W.any()
        assert shared == (W.ndim == 2) or not W[1:].any()


def test_taan_without_slopes_is_hard_sharing():
    hard, taan = small(MultiTaskNet), small(TAAN, hinges=3)
    state = taan.state_dict() | hard.state_dict()
    taan.load_state_dict({name: 0 * a if name.endswith("alpha") else a for name, a in state.items()})
    for a, b in zip(hard(x), taan(x), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


@pytest.mark.parametrize(("form", "ranks"), [
    ("LAF", None), ("Tucker", [(7, 6, 3), (6, 6, 3)]), ("TT", [(7, 3), (6, 3)])])
def test_dmtrl_at_full_rank_starts_as_the_stl_that_it_takes_over(form, ranks):
    stl = SeparateNets(7, (6, 6), (2, 4, 3), rng=0, dtype=float)
    net = DMTRL(7, (6, 6), (2, 4, 3), form=form, K=3, ranks=ranks, rng=1, dtype=float)
    net.take_over(stl)
    for a, b in zip(stl(x), net(x), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=0, atol=1e-12)


@pytest.mark.parametrize("stl", [
    SeparateNets(5, (6, 6), (2, 4, 3)), SeparateNets(7, (6, 6), (2, 4)), SeparateNets(7, (6,), (2, 4, 3)),
    SeparateNets(7, (6, 6), (2, 4, 5)), SharedTrunk(7, (6, 6), (2, 4, 3)), MultiTaskNet(7, (6, 6), (2, 4, 3))])
@pytest.mark.parametrize("form", ["LAF", "Tucker", "TT"])
def test_dmtrl_takes_over_no_net_of_other_sizes(form, stl):
    net = DMTRL(7, (6, 6), (2, 4, 3), form=form, K=3, rng=1)
    before = net.state_dict()
    with pytest.raises(ValueError, match=r"DMTRL: the weights of layers and heads have the shapes \[\(3, 6, 7\), .* "
                                         "give a trained SeparateNets of the same sizes"):
        net.take_over(stl)
    assert all(np.array_equal(a, before[name]) for name, a in net.state_dict().items())


@pytest.mark.parametrize(("form", "ranks", "told"), [
    ("TT", [(7, 3)], "there are ranks of 1 layers, and the net has 2"),
    ("TT", [(7, 3), (6, 3), (6, 3)], "there are ranks of 3 layers, and the net has 2"),
    ("Tucker", [(7, 6), (6, 6)], r"the ranks of a layer are \(7, 6\); Tucker needs 3, those of inputs, outputs, tasks"),
    ("TT", [(7, 6, 3), (6, 6, 3)], r"the ranks of a layer are \(7, 6, 3\); TT needs 2, those of inputs, tasks")])
def test_ranks_of_another_number_of_layers_or_axes_are_told(form, ranks, told):
    with pytest.raises(ValueError, match=f"DMTRL: {told}"):
        DMTRL(7, (6, 6), (2, 4, 3), form=form, ranks=ranks)


def test_distances_of_each_layer():
    distances = small(TAAN, hinges=5).distances()
    assert [d.shape for d in distances] == [(3, 3)] * 3
    assert all((np.diag(d) == 0).all() and d[0, 1] > 0 for d in distances)


# %% What the published code got wrong
def test_dmtrl_without_activation_is_a_linear_network():
    """saha erratum 8: doubling the input's distance from a point doubles the output's."""
    linear, bent = (small(DMTRL, form="LAF", K=2, **s) for s in (dict(activation=None, bias=1.0), {}))
    middle, step = rng.normal(size=(3, 5, 7)), rng.normal(size=(3, 5, 7))
    for net, is_linear in ((linear, True), (bent, False)):
        y = [net(middle + k * step)[0].data for k in (0, 1, 2)]
        assert np.allclose(y[2] - y[1], y[1] - y[0], atol=1e-12) == is_linear


def test_mrn_without_its_update_is_weight_decay_and_both_mrn_are_the_same_net():
    """saha erratum 8: the trainer never calls update, so MRN_t = MRN_full = STL with weight decay."""
    related, full = small(MRN), small(MRN, full=True)
    decay = 1e-3 * sum((layer.weights.W.data ** 2).sum() for layer in related.layers)
    assert related.penalty().item() == pytest.approx(decay, rel=1e-12)
    assert full.penalty().item() == pytest.approx(decay, rel=1e-12)
    for net in (related, full):
        net.update_covariances()
    assert abs(related.penalty().item() - decay) > 1e-6
    assert related.penalty().item() != pytest.approx(full.penalty().item(), rel=1e-3)


def test_mrn_updates_its_prior_after_so_many_steps_of_training():
    for every, moved in ((2, True), (None, False)):
        net = small(MRN, every=every)
        penalties = [net.penalty().item() for _ in range(4)]
        assert penalties[0] == penalties[1]
        assert (penalties[1] != penalties[2]) == moved
        net.eval()
        assert net.penalty().item() == penalties[3]


def test_the_updated_prior_makes_like_tasks_expensive_to_part():
    net = small(MRN)
    W = net.layers[0].weights.W
    W.data[1] = W.data[0] + 0.05 * rng.normal(size=W.shape[1:])
    net.update_covariances()
    P = net.inverses[0]["P"].data
    apart = np.array([1.0, -1.0, 0.0])
    together = np.array([1.0, 1.0, 0.0])
    assert apart @ P @ apart > 10 * (together @ P @ together)


def test_the_published_trace_norm_says_nothing_of_how_alike_the_tasks_are():
    """saha erratum 6: the sum of the rows' lengths, whichever way each row points."""
    net = small(TAAN, hinges=5, regularizer="published trace", c=2.0)
    rows = sum(np.linalg.norm(f.alpha.data, axis=1).sum() for f in net.activations())
    assert net.penalty().item() == pytest.approx(2 * rows, rel=1e-12)
    net.penalty().backward()
    for f in net.activations():
        length = np.linalg.norm(f.alpha.data, axis=1, keepdims=True)
        np.testing.assert_allclose(f.alpha.grad, 2 * f.alpha.data / length, rtol=1e-12)      # towards 0, task by task
        assert f.b.grad is None


def test_the_published_cosine_holds_its_norms_and_hinges():
    """saha erratum 6: .4 for 1/sqrt(2 pi), relu(b) for 1[b > 0], and only the product's alpha hears of it."""
    a, b = nn.Parameter(rng.normal(size=(4, 3))), nn.Parameter(np.array([-0.4, 0.3, 1.0]))
    loss = published_cosine(a, b)
    loss.backward()
    assert b.grad is None
    Phi = {at: 0.5 + 0.5 * math.erf(at / math.sqrt(2)) for at in b.data}
    W = np.array([[(1 + m * n) * Phi[min(m, n)] + 0.4 * max(m, n) * math.exp(-min(m, n)**2 / 2) for n in b.data]
                  for m in b.data])
    U = np.array([(0.4 * at + 0.5 - Phi[at]) * max(at, 0) for at in b.data])

    def products(A):
        return np.array([[p @ W @ q + U @ (p + q) + 0.5 for q in A] for p in A])

    n = np.sqrt(np.diag(products(a.data)))
    assert loss.item() == pytest.approx(-(products(a.data) / np.outer(n, n)).mean(), rel=1e-12)
    step, h = rng.normal(size=a.shape), 1e-6
    held = [-(products(a.data + side * step) / np.outer(n, n)).mean() for side in (h, -h)]
    assert (a.grad * step).sum() == pytest.approx((held[0] - held[1]) / (2 * h), rel=1e-6)
    right = nn.Parameter(a.data)
    cosine_regularizer(right, b).backward()
    assert b.grad.any()
    assert (a.grad * right.grad).sum() < 0.9 * np.linalg.norm(a.grad) * np.linalg.norm(right.grad)


# %% What is refused
def test_bad_sizes_and_names():
    with pytest.raises(ValueError, match="SeparateNets: there is no task; give the number of outputs"):
        SeparateNets(7, (6,), ())
    with pytest.raises(ShapeError, match=r"MultiTaskNet: x has shape \(2, 5, 7\) and the net T = 3 tasks"):
        small(MultiTaskNet)(x[:2])
    with pytest.raises(ValueError, match=r"SoftOrderNet: widths is \(6, 5\); give two or more equal ones"):
        SoftOrderNet(7, (6, 5), (2, 2))
    with pytest.raises(ValueError, match="there is no form 'CP'; choose one of LAF, Tucker, TT"):
        small(DMTRL, form="CP")
    with pytest.raises(ValueError, match=r"DMTRL: K is 5, but a layer has 3 tasks; use 1\.\.3"):
        small(DMTRL, form="LAF", K=5)
    with pytest.raises(ValueError, match=r"DMTRL: the rank is 8, but a layer has 7 inputs; use 1\.\.7"):
        DMTRL(7, (6,), (2, 2, 2), form="TT", ranks=[(8, 2)])
    with pytest.raises(ValueError, match="there is no regularizer 'l2'; choose None, 'trace', 'cosine', 'distance'"):
        small(TAAN, regularizer="l2")


def test_labels_of_another_number_of_classes_are_refused_by_task():
    net = small(MultiTaskNet)
    with pytest.raises(ValueError, match="mean_loss: task 1 has 5 classes in its labels and 4 in the net's head"):
        loss_of(net, x, [LABELS[0], np.zeros((5, 5)), LABELS[2]])
    with pytest.raises(ValueError, match="mean_loss: task 2 has 9 classes in its labels and 3"):
        mean_loss(net, x, np.zeros(5, int), np.zeros(5, int), np.full(5, 8), loss=cross_entropy)
    with pytest.raises(ValueError, match="there are 2 arrays of labels and 3 tasks"):
        loss_of(net, x, LABELS[:2])


def test_a_task_without_labels_is_told():
    labels = [np.zeros(5, int), np.zeros(0, int), np.zeros(5, int)]
    with pytest.raises(ValueError, match="mean_loss: task 1 has no data in this batch"):
        mean_loss(small(MultiTaskNet), x, *labels, loss=cross_entropy)


@pytest.mark.parametrize("make", [MMoE, Cascade])
def test_mean_loss_takes_every_net_for_several_tasks(make):
    net, labels = make(7, (6,), (2, 4, 3), rng=0), [np.arange(5) % c for c in (2, 4, 3)]
    one = x[0].astype(np.float32)
    expected = np.mean([cross_entropy(y, t).item() for y, t in zip(net(one), labels, strict=True)])
    assert mean_loss(net, one, *labels, loss=cross_entropy).item() == pytest.approx(expected, rel=1e-6)


def test_labels_may_be_lists():
    net = small(MultiTaskNet)
    arrays = [np.arange(5) % c for c in (2, 4, 3)]
    lists = mean_loss(net, x, *[a.tolist() for a in arrays], loss=cross_entropy).item()
    assert lists == mean_loss(net, x, *arrays, loss=cross_entropy).item()


# %% The parameters of saha table1
DECK = 1152, (1024, 1024, 1024), (525, 734, 466, 167, 278, 302, 259, 150, 132, 86, 116, 26, 120, 116, 48, 32)
RANKS = {"Tucker": [(877, 783, 16), (780, 771, 16), (780, 771, 16)], "TT": [(877, 16), (780, 16), (780, 16)]}


def count(net):
    return sum(p.size for p in net.parameters())


@pytest.mark.parametrize(("make", "ours", "printed"), [
    (MultiTaskNet, 6_925_797, "6.93"), (SoftOrderNet, 6_925_861, "6.93"), (TAAN, 6_929_061, "6.93"),
    (SeparateNets, 56_123_877, "56.1"), (partial(DMTRL, form="LAF"), 20_079_317, "20.1")])
def test_parameters_at_the_decks_size(make, ours, printed):
    assert count(make(*DECK, rng=0)) == ours
    assert f"{ours / 1e6:.3g}" == printed


def test_what_mrn_learns_besides_the_parameters_of_stl():
    """saha table1 prints 56.1 and 61.6 M: the second is short of one (1024, 1024) covariance."""
    def state(full):
        net = MRN(*DECK, full=full, rng=0)
        return count(net) + sum(A.size for its in net.inverses for A in its.values())
    assert f"{state(False) / 1e6:.3g}" == "56.1"
    assert state(True) == 62_694_629
    assert f"{(state(True) - 1024**2) / 1e6:.3g}" == "61.6"


def test_tucker_and_tensor_train_by_the_ranks_of_their_rule():
    """Ranks as the rule finds them in a random stack; they vary by a few, and Tucker's count with them by .15 M."""
    tucker = count(DMTRL(*DECK, form="Tucker", ranks=RANKS["Tucker"], rng=0))
    assert abs(tucker / 1e6 - 39.1) < 0.25
    assert f"{count(DMTRL(*DECK, form='TT', ranks=RANKS['TT'], rng=0)) / 1e6:.3g}" == "46.2"
