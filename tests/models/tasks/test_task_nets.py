"""Nets for several tasks: shapes, what is shared with whom, starts, and controls."""

import numpy as np
import pytest

from tinynet import optim
from tinynet.balancing.task_losses import task_losses
from tinynet.blocks.images.conv import conv
from tinynet.blocks.images.pool import max_pool
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.tasks.cross_stitch import CrossStitch
from tinynet.blocks.tasks.nddr import NDDR
from tinynet.blocks.units.activations import relu
from tinynet.engine import Tensor
from tinynet.models.tasks.cascade import Cascade
from tinynet.models.tasks.cross_stitch_net import CrossStitchNet
from tinynet.models.tasks.mixture_net import CGC, MMoE
from tinynet.models.tasks.multi_label_net import MultiLabelNet
from tinynet.models.tasks.nddr_net import NDDRNet
from tinynet.models.tasks.separate_nets import SeparateNets
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.models.tasks.soft_sharing_net import SoftSharingNet
from tinynet.models.tasks.taan import TAAN
from tinynet.shapes import ShapeError

rng = np.random.default_rng(0)
X = rng.normal(size=(5, 6))
NETS = {
    "separate": SeparateNets,
    "hard": SharedTrunk,
    "split 1": lambda *a, **k: SharedTrunk(*a, split=1, **k),
    "split 0": lambda *a, **k: SharedTrunk(*a, split=0, **k),
    "soft": SoftSharingNet,
    "cross-stitch": CrossStitchNet,
    "one alpha a layer": lambda *a, **k: CrossStitchNet(*a, per_channel=False, **k),
    "nddr": NDDRNet,
    "nddr, normalised": lambda *a, **k: NDDRNet(*a, normalise=True, **k),
    "nddr, alone": lambda *a, **k: NDDRNet(*a, alone=True, **k),
    "mmoe": MMoE,
    "cgc": CGC,
    "cascade": Cascade,
}
APART = {"separate", "split 0", "soft", "nddr, alone"}      # no path from one task's loss to another's layers
every_net = pytest.mark.parametrize("name", NETS)


def net_of(name, classes=(3, 2, 4), dtype=float):
    return NETS[name](6, (8, 4), classes, rng=0, dtype=dtype)


@every_net
@pytest.mark.parametrize("classes", [(3,), (3, 2), (3, 2, 4)])
def test_every_net_returns_one_output_a_task_and_trains_all_its_parameters(name, classes):
    net = net_of(name, classes)
    outputs = net(X)
    assert [y.shape for y in outputs] == [(5, c) for c in classes]
    total = sum(((y ** 2).sum() for y in outputs[1:]), (outputs[0] ** 2).sum())
    total.backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in net.parameters())


@every_net
def test_float32_nets_compute_in_float32(name):
    assert {y.dtype for y in net_of(name, dtype=np.float32)(X.astype(np.float32))} == {np.dtype(np.float32)}


MEET = {"cross-stitch", "one alpha a layer", "nddr", "nddr, normalised", "nddr, alone"}     # example by example
APART_INPUTS = [name for name in NETS if name not in MEET and name != "cascade"]


@pytest.mark.parametrize("name", APART_INPUTS)
def test_each_task_may_have_examples_of_its_own(name):
    net, own = net_of(name), rng.normal(size=(3, 5, 6))
    for t, ours in enumerate(net(own)):
        np.testing.assert_allclose(ours.data, net(own[t])[t].data, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(MEET))
def test_where_tasks_meet_example_by_example_all_must_see_the_same_ones(name):
    with pytest.raises(ShapeError, match=r"x has shape \(3, 5, 6\), so each task has .*net\(x\[t\]\)\[t\]"):
        net_of(name)(rng.normal(size=(3, 5, 6)))


@every_net
def test_whom_a_tasks_loss_reaches(name):
    """tomaszewska fig1, shared-trunk: through shared layers, stitches, NDDR and gates, or not at all."""
    net = net_of(name)
    net(X)[2].sum().backward()
    W = (net.experts if hasattr(net, "experts") else net.trunk if hasattr(net, "trunk") else net.layers)[0].W
    reached = W.grad.reshape(len(W), -1).any(axis=1)
    if name in APART:
        assert list(reached) == [False, False, True]
    elif name == "cgc":         # a shared expert, and one for each of the tasks 0, 1, 2
        assert list(reached) == [True]
        assert list(net.own_experts[0].W.grad.any(axis=(1, 2))) == [False, False, True]
    else:
        assert reached.all()


# %% Hard sharing
def test_the_split_level_is_the_number_of_shared_layers():
    """tomaszewska fig4, fig5: from separate nets to all but the heads."""
    sizes = [sum(p.size for p in SharedTrunk(6, (8, 4), (3, 2), split=s).parameters()) for s in (0, 1, 2)]
    heads, first, second = 5 * 3 + 5 * 2, 7 * 8, 9 * 4
    assert sizes == [heads + 2 * (first + second), heads + first + 2 * second, heads + first + second]
    assert [len(SharedTrunk(6, (8, 4), (3, 2), split=s).shared()) for s in (0, 1, 2)] == [0, 2, 4]


@pytest.mark.parametrize("split", [-1, 3])
def test_a_split_level_that_is_not_there_is_refused(split):
    with pytest.raises(ValueError, match=rf"split is {split}, but there are 2 layers"):
        SharedTrunk(6, (8, 4), (3, 2), split=split)


# %% Soft sharing
def test_each_penalty_is_the_sum_over_the_layers_and_leaves_the_heads_alone():
    """shi fig12: a proximity penalty between the tasks' parameters."""
    for name, value in (("squared", lambda W: ((W[0] - W[1]) ** 2).sum()),
                        ("absolute", lambda W: np.abs(W[0] - W[1]).sum()),
                        ("trace", lambda W: np.linalg.norm(W.reshape(2, -1), "nuc"))):
        net = SoftSharingNet(6, (8, 4), (3, 2), penalty=name, rng=0, dtype=float)
        penalty = net.penalty()
        np.testing.assert_allclose(penalty.data, sum(value(layer.W.data) for layer in net.layers))
        penalty.backward()
        assert all(p.grad is None for head in net.heads for p in head.parameters())


def test_a_strong_penalty_makes_the_tasks_equal():
    net = SoftSharingNet(6, (8,), (3, 2), rng=0, dtype=float)
    sgd = optim.SGD(net.parameters(), 0.2)
    for _ in range(100):
        net.zero_grad()
        net.penalty().backward()
        sgd.step()
    np.testing.assert_allclose(net.layers[0].W.data[0], net.layers[0].W.data[1], atol=1e-6)


# %% Cascade
def test_the_last_tasks_loss_goes_back_through_the_whole_chain():
    net = net_of("cascade")
    for p in net.parameters():
        p.data = p.data + 0.1 * rng.normal(size=p.shape)        # with zero biases a dead example stands at relu's kink
    net(X)[2].sum().backward()
    for p, entry in ((net.heads[0].b, 1), (net.stages[0].W, (0, 2)), (net.trunk[0].W, (1, 1))):
        before, h = p.data[entry], 1e-6
        sides = []
        for step in (h, -h):
            p.data[entry] = before + step
            sides.append(net(X)[2].sum().item())
        p.data[entry] = before
        np.testing.assert_allclose(p.grad[entry], (sides[0] - sides[1]) / (2 * h), rtol=1e-5, atol=1e-8)


# %% Cross-stitch and NDDR
@pytest.mark.parametrize("make", [CrossStitchNet, NDDRNet])
def test_a_start_from_trained_nets_with_same_1_is_those_nets(make):
    """tomaszewska init."""
    separate = SeparateNets(6, (8, 4), (3, 2), rng=3, dtype=float)
    for ours, theirs in zip(make(6, (8, 4), (3, 2), same=1, start=separate, dtype=float)(X), separate(X), strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)


@pytest.mark.parametrize(("sizes", "told"), [
    (((9, 4), (3, 2)), r"layers.0.weights.W has shape \(2, 8, 6\) here and \(2, 9, 6\)"),
    (((8,), (3, 2)), r"start has no layers.1.weights.W, layers.1.weights.b; give trained SeparateNets"),
    (((8, 4), (3,)), r"layers.0.weights.W has shape|start has no heads.1.W"),
    (((8, 4, 4), (3, 2)), r"unknown \['layers.2.weights.W', 'layers.2.weights.b'\]")])
def test_a_start_from_nets_of_other_sizes_is_told(sizes, told):
    with pytest.raises((ValueError, KeyError), match=told):
        CrossStitchNet(6, (8, 4), (3, 2), start=SeparateNets(6, *sizes))


@pytest.mark.parametrize("make", [CrossStitchNet, NDDRNet])
def test_where_the_tasks_meet_a_faster_rate_may_hold(make):
    net = make(6, (8, 4), (3, 2), rng=0, dtype=float)
    (slow, one), (fast, factor) = net.faster(100)
    assert (one, factor) == (1.0, 100)
    assert len(slow) + len(fast) == len(net.parameters())
    assert len(fast) == (2 if make is CrossStitchNet else 4)
    optim.SGD(net.faster(100), 0.1)


def test_the_control_of_nddr_has_its_layers_without_the_other_task():
    alone, fused = (sum(p.size for f in NDDRNet(6, (8, 4), (3, 2), alone=a).fusions for p in f.parameters())
                    for a in (True, False))
    assert (alone, fused) == (2 * (64 + 8 + 16 + 4), 2 * (128 + 8 + 32 + 4))


def test_the_normalised_control_of_nddr_shares_nothing():
    net = NDDRNet(6, (8, 4), (3, 2), alone=True, normalise=True, rng=0, dtype=float)
    reached = []
    for t in range(2):
        net.zero_grad()
        (net(X)[t] ** 2).sum().backward()
        reached.append({name: p.grad.copy() for name, p in net.named_parameters() if p.grad is not None})
    both = reached[0].keys() & reached[1].keys()
    assert both
    for name in both:           # arrays (T, ...): task t reaches its own part alone
        assert len(reached[0][name]) == 2
        assert not reached[0][name][1].any()
        assert not reached[1][name][0].any()


def test_behind_a_dense_layer_each_tasks_features_are_normalised_with_its_own_gain_and_bias():
    norm = NDDRNet(6, (8,), (3, 2), normalise=True, rng=0, dtype=float).norms[0]
    x = rng.normal(size=(2, 5, 8))
    plain = (x - x.mean(axis=2, keepdims=True)) / np.sqrt(x.var(axis=2, keepdims=True) + 1e-5)
    np.testing.assert_allclose(norm(x).data, plain, rtol=1e-10, atol=1e-12)
    norm.gain.data[1], norm.bias.data[1] = 3, -1
    np.testing.assert_allclose(norm(x).data, np.stack([plain[0], 3 * plain[1] - 1]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("make", "told"), [
    (lambda: Cascade(6, (4,), ()), "Cascade: there is no task; give the number of outputs of each one"),
    (lambda: MultiLabelNet(6, (4,), labels=0), "MultiLabelNet: there are 0 labels; give at least 1"),
    (lambda: CrossStitch(0), "CrossStitch: there are 0 tasks; give at least 1"),
    (lambda: NDDR(0, 4), "NDDR: there are 0 tasks; give at least 1"),
    (lambda: CGC(6, (4,), (3, 2), own=2, shared=-1), "CGC: own is 2 and shared -1; each must be 0 or more"),
    (lambda: TAAN(6, (4,), (3, 2), hinges=-1), "AdaptiveActivation: there are 2 tasks and -1 hinges; give 0 or more"),
    (lambda: CrossStitch(2)([]), "cross_stitch: the list of the tasks' features is empty; give"),
    (lambda: NDDR(2, 4)([]), "nddr: the list of the tasks' features is empty")])
def test_sizes_that_make_no_net_are_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()


@pytest.mark.parametrize("meet", [CrossStitch(2), NDDR(2, 4)])
def test_unequal_widths_where_tasks_meet_are_told(meet):
    with pytest.raises(ShapeError, match=r"have the shapes \(5, 4\) and \(5, 3\); where tasks meet"):
        meet([Tensor(np.ones((5, 4))), Tensor(np.ones((5, 3)))])
    assert meet([Tensor(np.ones((5, 4))), Tensor(np.ones((5, 4)))]).shape == (2, 5, 4)


# %% The same nets on images
PICTURES = rng.normal(size=(4, 2, 6, 6))
IMAGE_NETS = [name for name in NETS if name not in ("mmoe", "cgc", "cascade")]
on_images = pytest.mark.parametrize("name", IMAGE_NETS)


def image_net(name, classes=(3, 2), seed=0, **settings):
    return NETS[name]((2, 6, 6), (5,), classes, channels=(3, 4), rng=seed, dtype=float, **settings)


@on_images
def test_on_images_the_whole_gradient_is_the_losss_slope(name):
    net = image_net(name)
    for p in net.parameters():
        p.data = p.data + 0.05 * rng.normal(size=p.shape)

    def loss():
        return sum(((y ** 2).sum() for y in net(PICTURES)), 0.0)
    loss().backward()
    for p in net.parameters():
        direction, at, h, values = rng.normal(size=p.shape), p.data, 1e-6, []
        for side in (h, -h):
            p.data = at + side * direction
            values.append(loss().item())
        p.data = at
        assert (p.grad * direction).sum() == pytest.approx((values[0] - values[1]) / (2 * h), rel=2e-5, abs=1e-7)


@pytest.mark.parametrize("name", [name for name in IMAGE_NETS if name not in MEET])
def test_on_images_each_task_may_have_examples_of_its_own(name):
    net, own = image_net(name), rng.normal(size=(2, 4, 2, 6, 6))
    for t, ours in enumerate(net(own)):
        np.testing.assert_allclose(ours.data, net(own[t])[t].data, rtol=1e-11, atol=1e-12)


@on_images
def test_on_images_a_tasks_loss_reaches_the_others_filters_only_where_something_is_shared(name):
    net = image_net(name)
    net(PICTURES)[1].sum().backward()
    W = net.layers[0].W.grad
    assert (W.ndim == 3 and not W[0].any()) == (name in APART)


@pytest.mark.parametrize("tasks", [1, 2, 3])
@pytest.mark.parametrize("make", [CrossStitchNet, NDDRNet])
def test_on_images_the_identity_is_the_trained_nets_it_started_from(make, tasks):
    """tomaszewska init."""
    sizes = dict(d_in=(2, 6, 6), channels=(3, 4), widths=(5,), classes=(3, 2, 4)[:tasks], dtype=float)
    separate = SeparateNets(**sizes, rng=3)
    net = make(**sizes, same=1, start=separate, rng=4)
    for ours, theirs in zip(net(PICTURES), separate(PICTURES), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-12, atol=1e-13)


def test_on_images_a_column_of_separate_nets_is_the_convolutional_net_that_it_says():
    net = image_net("separate")
    for t, ours in enumerate(net(PICTURES)):
        W, b = net.layers[0].W.data[t], net.layers[0].b.data[t]
        x = max_pool(relu(conv(PICTURES, W.reshape(3, 2, 3, 3), b, padding=1)))
        W, b = net.layers[1].W.data[t], net.layers[1].b.data[t]
        x = relu(conv(x, W.reshape(4, 3, 3, 3), b, padding=1)).reshape(4, -1)
        x = relu(x @ net.layers[2].W.data[t].T + net.layers[2].b.data[t])
        np.testing.assert_allclose(ours.data, net.heads[t](x).data, rtol=1e-12)


@pytest.mark.parametrize("shape", ["(C, T, T)", "(T, T)"])
def test_there_is_an_alpha_for_each_channel_and_unit_or_one_for_each_layer(shape):
    net = image_net("cross-stitch", per_channel=shape == "(C, T, T)")
    shapes = [stitch.A.shape for stitch in net.stitches]
    assert shapes == ([(3, 2, 2), (4, 2, 2), (5, 2, 2)] if shape == "(C, T, T)" else [(2, 2)] * 3)
    (slow, _), (fast, factor) = net.faster(10)
    assert (len(slow), len(fast), factor) == (10, 3, 10)


@pytest.mark.parametrize("name", ["cross-stitch", "nddr", "nddr, normalised"])
def test_a_unit_that_is_passed_by_changes_what_the_other_task_learns(name):
    """Planted: the net without its units at one layer; its outputs must differ, or the unit did nothing there."""
    net = image_net(name)
    right = [y.data for y in net(PICTURES)]
    meet = net.meet
    for layer in range(3):
        net.meet = lambda place, x, layer=layer: x if place == layer else meet(place, x)
        assert not any(np.allclose(ours.data, theirs) for ours, theirs in zip(net(PICTURES), right, strict=True))


def test_behind_a_convolution_each_tasks_channels_are_normalised_apart():
    net = image_net("nddr, normalised")
    x = rng.normal(size=(2, 50, 3, 3, 3)) * np.array([1.0, 20.0]).reshape(2, 1, 1, 1, 1)
    y = net.norms[0](x).data
    np.testing.assert_allclose(y.mean(axis=(1, 3, 4)), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=(1, 3, 4)), 1, rtol=1e-4)
    assert not np.array_equal(net.eval()(PICTURES)[0].data, net.train()(PICTURES)[0].data)


@pytest.mark.parametrize(("x", "told"), [
    (np.zeros((4, 2, 6, 5)), r"SeparateNets: x has shape \(4, 2, 6, 5\) .*give x \(N, 2, 6, 6\), the same"),
    (np.zeros((3, 4, 2, 6, 6)), r"x has shape \(3, 4, 2, 6, 6\) and the net T = 2 tasks"),
    (np.zeros((4, 72)), r"give x \(N, 2, 6, 6\)"), (np.zeros((2, 6, 6)), r"give x \(N, 2, 6, 6\)")])
def test_images_of_another_form_are_told(x, told):
    with pytest.raises(ShapeError, match=told):
        image_net("separate")(x)


@pytest.mark.parametrize(("settings", "told"), [
    (dict(d_in=(1, 8, 8), widths=(4,)), r"d_in is \(1, 8, 8\) and channels \(\); images need"),
    (dict(d_in=64, widths=(4,), channels=(2,)), r"d_in is 64 and channels \(2,\)"),
    (dict(d_in=64, widths=()), r"widths is \(\); give the number of units")])
def test_sizes_that_make_no_net_are_told(settings, told):
    with pytest.raises(ValueError, match=told):
        SeparateNets(**settings, classes=(3, 2))


# %% Mixtures
def test_gates_sum_to_1_and_stay_shut_to_other_tasks_experts():
    p = CGC(6, (8, 4), (3, 2), own=2, shared=1, rng=0, dtype=float).mixture(X).data
    np.testing.assert_allclose(p.sum(axis=-1), 1)
    assert (p[0][:, 2:4] == 0).all()
    assert (p[1][:, :2] == 0).all()
    assert p[:, :, 4].min() > 0


def test_one_expert_is_a_shared_trunk():
    net = MMoE(6, (8, 4), (3, 2), experts=1, rng=0, dtype=float)
    trunk = SharedTrunk(6, (8, 4), (3, 2), dtype=float)
    for ours, theirs in zip(trunk.layers, net.experts, strict=True):
        ours.W.data, ours.b.data = theirs.W.data[0], theirs.b.data[0]
    for ours, theirs in zip(trunk.heads, net.heads, strict=True):
        ours.W.data, ours.b.data = theirs.W.data, theirs.b.data
    for ours, theirs in zip(trunk(X), net(X), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data)


def test_a_mixture_needs_an_expert():
    with pytest.raises(ValueError, match="MMoE: there are 0 experts"):
        MMoE(6, (8,), (3,), experts=0)


# %% Multi-label
def test_a_multi_label_net_answers_all_questions_at_once():
    assert MultiLabelNet(6, (8,), labels=4, rng=0)(X).shape == (5, 4)


# %% Bad input
@every_net
def test_a_net_without_tasks_is_refused(name):
    with pytest.raises(ValueError, match="there is no task; give the number of outputs of each one"):
        net_of(name, classes=())


def outputs_and_targets(n=5):
    return [Tensor(rng.normal(size=(n, 3))), Tensor(rng.normal(size=(n, 2)))], [np.zeros(n, int), np.ones(n, int)]


def test_one_loss_a_task():
    outputs, targets = outputs_and_targets()
    losses = task_losses(outputs, targets, cross_entropy)
    assert [l.item() for l in losses] == [cross_entropy(o, t).item() for o, t in zip(outputs, targets, strict=True)]


def test_tasks_without_data_and_targets_that_do_not_fit_are_told():
    outputs, targets = outputs_and_targets()
    for args, match in (
            (([], [], cross_entropy), "there is no task"),
            ((outputs, targets[:1], cross_entropy), "outputs of 2 tasks, targets of 1 and 2 losses"),
            ((outputs, [targets[0], targets[1][:4]], cross_entropy), "task 1 has 5 outputs and 4 targets"),
            ((*outputs_and_targets(0), cross_entropy), "task 0 has no data in this batch")):
        with pytest.raises(ValueError, match=match):
            task_losses(*args)
