"""Cross-stitch units and networks: starts, limits, and what the slide's misprint would do."""

import numpy as np
import pytest

from tinynet.blocks.tasks.cross_stitch import (
    CrossStitch,
    cross_stitch,
    cross_stitch_backward,
    cross_stitch_forward,
)
from tinynet.check import gradcheck
from tinynet.models.tasks.cross_stitch_net import CrossStitchNet
from tinynet.models.tasks.separate_nets import SeparateNets
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.shapes import ShapeError

rng = np.random.default_rng(0)
X = rng.normal(size=(3, 5, 4))
SIZES = dict(d_in=6, widths=(8, 4), classes=(3, 2), dtype=float)


def test_two_tasks_as_the_slide_writes_them():
    A = np.array([[0.9, 0.1], [0.3, 0.7]])
    (x_A, x_B), ((AA, AB), (BA, BB)) = X[:2], A
    Y, _ = cross_stitch_forward(X[:2], A)
    np.testing.assert_allclose(Y, [AA * x_A + AB * x_B, BA * x_A + BB * x_B], rtol=1e-14)


def test_the_identity_changes_nothing_in_either_direction():
    Y, cache = cross_stitch_forward(X, np.eye(3))
    assert np.array_equal(Y, X)
    assert np.array_equal(cross_stitch_backward(X, cache)[0], X)


def test_one_alpha_for_all_is_the_sum_of_the_channels_gradients():
    A, dY = rng.normal(size=(3, 3)), rng.normal(size=X.shape)
    shared = cross_stitch_backward(dY, (X, A))[1]
    each = cross_stitch_backward(dY, (X, np.tile(A, (4, 1, 1))))[1]
    np.testing.assert_allclose(shared, each.sum(axis=0), rtol=1e-12)


def test_the_slides_alpha_gradient_fails_the_check_and_is_named():
    def backward(dY, cache):        # erratum 1: dL/dalpha_AB = dL/dx~_B x_A
        dX, dA = cross_stitch_backward(dY, cache)
        return dX, dA.T
    report = gradcheck(cross_stitch_forward, backward, X, rng.normal(size=(3, 3)))
    assert report.kinds == ["transposed"]


@pytest.mark.parametrize("shape", [(2, 9, 70), (2, 9, 5, 4, 7), (2, 9, 5, 6, 7), (3, 9, 5, 6, 7)])
def test_gradients_are_the_same_bits_for_one_and_two_threads(shape):
    numba = pytest.importorskip("numba")
    x, A = rng.normal(size=shape).astype(np.float32), rng.normal(size=(shape[2], shape[0], shape[0]))
    A = A.astype(np.float32)
    before, results = numba.get_num_threads(), []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        y, cache = cross_stitch.fast[0](x, A)
        results.append((y, *cross_stitch.fast[1](y, cache)))
    numba.set_num_threads(before)
    assert all(np.array_equal(one, two) for one, two in zip(*results, strict=True))


@pytest.mark.parametrize("T", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("P", [1, 31, 32, 50])
@pytest.mark.parametrize("per_channel", [False, True])
def test_the_twin_of_long_and_short_planes(T, P, per_channel):
    X, A = rng.normal(size=(T, 4, 3, P)), rng.normal(size=(3, T, T) if per_channel else (T, T))
    dY = rng.normal(size=X.shape)
    Y, cache = cross_stitch_forward(X, A)
    np.testing.assert_allclose(cross_stitch.fast[0](X, A)[0], Y, rtol=1e-12)
    for ours, theirs in zip(cross_stitch.fast[1](dY, cache), cross_stitch_backward(dY, cache), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("same", [0.9, 1.0, None])
@pytest.mark.parametrize("channels", [None, 7])
def test_alphas_start_between_0_and_1_and_their_rows_sum_to_1(same, channels):
    A = CrossStitch(3, channels, same, rng=0).A.data
    assert A.shape == ((3, 3) if channels is None else (7, 3, 3))
    assert A.dtype == np.float32
    assert A.min() >= 0
    np.testing.assert_allclose(A.sum(axis=-1), 1, rtol=1e-6)


def test_a_task_alone_keeps_its_features():
    np.testing.assert_array_equal(CrossStitch(1)(X[:1].astype(np.float32)).data, X[:1].astype(np.float32))


def test_a_net_with_identity_stitches_is_the_separate_nets_it_started_from():
    x, separate = rng.normal(size=(5, 6)), SeparateNets(**SIZES, rng=0)
    stitched = CrossStitchNet(**SIZES, same=1, start=separate, rng=1)
    for ours, theirs in zip(stitched(x), separate(x), strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)


def test_without_mixing_a_tasks_loss_does_not_reach_the_other_column():
    x = rng.normal(size=(5, 6))
    for net, reaches in ((SeparateNets(**SIZES, rng=0), False), (CrossStitchNet(**SIZES, rng=0), True)):
        net(x)[0].sum().backward()
        assert net.layers[0].W.grad[0].any()
        assert net.layers[0].W.grad[1].any() == reaches


@pytest.mark.parametrize("net", [SeparateNets, CrossStitchNet, SharedTrunk])
def test_every_net_trains_both_tasks(net):
    x, net = rng.normal(size=(5, 6)), net(**SIZES, rng=0)
    logits = net(x)
    assert [l.shape for l in logits] == [(5, 3), (5, 2)]
    ((logits[0] ** 2).sum() + (logits[1] ** 2).sum()).backward()
    assert all(p.grad is not None for p in net.parameters())


def test_features_that_were_not_stacked_are_refused():
    with pytest.raises(ShapeError, match=r"cross_stitch: .* stack the tasks' features first"):
        cross_stitch(np.ones((5, 4)), np.eye(2))
    with pytest.raises(ShapeError, match=r"cross_stitch: .*T is 3 and 2"):
        cross_stitch(X, np.eye(2))
