"""Adaptive activation (saha aal): its special cases, the sorted form beside the dense one, and odd hinges."""

import numpy as np
import pytest

from tinynet.backend import use_backend
from tinynet.blocks.tasks.adaptive_activation import (
    AdaptiveActivation,
    AdaptiveLayer,
    adaptive_activation,
    adaptive_activation_backward,
    adaptive_activation_forward,
)
from tinynet.blocks.units.apl import apl, apl_forward
from tinynet.engine import Tensor
from tinynet.shapes import ShapeError

rng = np.random.default_rng(0)
BACKENDS = pytest.mark.parametrize("backend", ["plain", "fast"])


def both(z, alpha, b, dtype=np.float64):
    """[h, dz, dalpha, db] of the dense form and of the sorted one."""
    arrays = [np.asarray(v, dtype) for v in (z, alpha, b)]
    dh = np.random.default_rng(1).normal(size=np.shape(z)).astype(dtype)
    results = []
    for forward, backward in ((adaptive_activation.forward, adaptive_activation.backward), adaptive_activation.fast):
        h, cache = forward(*arrays)
        results.append([h, *backward(dh, cache)])
    return results


def test_each_task_is_an_apl_layer_whose_units_share_their_hinges():
    z, alpha, b = rng.normal(size=(3, 5, 4)), rng.normal(size=(3, 6)), rng.normal(size=6)
    h, _ = adaptive_activation_forward(z, alpha, b)
    for t in range(3):
        a_t, b_t = (np.repeat(v[:, None], 4, axis=1) for v in (alpha[t], b))
        np.testing.assert_allclose(h[t], apl_forward(z[t], a_t, b_t)[0], rtol=1e-12)


def test_without_hinges_or_with_slopes_of_zero_every_task_has_the_relu():
    z = rng.normal(size=(2, 9))
    for alpha, b in ((np.zeros((2, 0)), np.zeros(0)), (np.zeros((2, 3)), rng.normal(size=3))):
        for h, *_ in both(z, alpha, b):
            np.testing.assert_array_equal(h, np.maximum(z, 0))


@pytest.mark.parametrize("M", [1, 2, 7, 64, 500])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_sorted_form_is_the_dense_one_to_rounding(M, dtype):
    z, alpha, b = rng.normal(size=(3, 700)), rng.normal(size=(3, M)) / M, rng.uniform(-0.5, 0.5, M)
    dense, by_sorting = both(z, alpha, b, dtype)
    for one, two in zip(dense, by_sorting, strict=True):
        assert one.dtype == two.dtype == dtype
        np.testing.assert_allclose(two, one, rtol=0, atol=200 * np.finfo(dtype).eps * abs(one).max())


HINGES = {"equal": [0.2, 0.2, 0.2], "two equal": [0.5, -1.0, 0.5], "one": [0.1], "far apart": [-1e6, 0.0, 1e-6, 1e6],
          "crowded": [*np.linspace(0, 1e-9, 40), 1.0], "nearer than float32 can tell": [1.0, 1.0 + 1e-12, 2.0]}


@pytest.mark.parametrize("b", HINGES.values(), ids=HINGES)
def test_hinges_that_coincide_or_crowd(b):
    b = np.array(b)
    z = np.concatenate([rng.normal(size=40), b, b + 1e-7, b - 1e-7])[None].repeat(2, axis=0)     # and numbers on them
    for one, two in zip(*both(z, rng.normal(size=(2, len(b))), b), strict=True):
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-9 * abs(one).max())


@BACKENDS
def test_at_a_tie_the_hinge_that_meets_there_adds_nothing(backend):
    with use_backend(backend):
        z, alpha, b = (Tensor(v, requires_grad=True) for v in ([[0.0, 1.0]], [[3.0, 5.0]], [0.0, 1.0]))
        adaptive_activation(z, alpha, b).backward(np.ones((1, 2)))
    assert z.grad.tolist() == [[-5, 1]]         # at 0: only the hinge at 1;  at 1: only the ReLU
    assert alpha.grad.tolist() == [[0, 1]]
    assert b.grad.tolist() == [0, 5]


@BACKENDS
def test_nan_stays_visible_and_infinity_is_as_the_relu_has_it(backend):
    z = np.array([[np.nan, np.inf, 0.3]])
    with use_backend(backend), np.errstate(invalid="ignore"):
        h = adaptive_activation(z, np.ones((1, 2)), np.array([-0.5, 0.5])).data
        assert np.isnan(h[0, 0])
        assert h[0, 1] == np.inf
        assert h[0, 2] == pytest.approx(0.5)
        assert np.isnan(adaptive_activation(np.zeros((1, 1)), np.full((1, 1), np.nan), np.ones(1)).data).all()
        assert np.isnan(adaptive_activation(np.zeros((1, 1)), np.ones((1, 1)), np.full(1, np.nan)).data).all()


def test_gradients_are_the_same_bits_for_one_and_two_threads():
    numba = pytest.importorskip("numba")
    arrays = [v.astype(np.float32) for v in (rng.normal(size=(3, 41, 33)), rng.normal(size=(3, 9)), rng.normal(size=9))]
    before, results = numba.get_num_threads(), []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        h, cache = adaptive_activation.fast[0](*arrays)
        results.append((h, *adaptive_activation.fast[1](arrays[0], cache)))
    numba.set_num_threads(before)
    assert all(np.array_equal(one, two) for one, two in zip(*results, strict=True))


def test_many_hinges_a_unit_take_the_sorted_form_in_apl_too():
    x, a, b = rng.normal(size=(1100, 3)), rng.normal(size=(128, 3)), rng.normal(size=(128, 3))
    dy = rng.normal(size=x.shape)
    y, cache = apl.forward(x, a, b)
    fast, fast_cache = apl.fast[0](x, a, b)
    for one, two in zip([y, *apl.backward(dy, cache)], [fast, *apl.fast[1](dy, fast_cache)], strict=True):
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-11 * abs(one).max())


def test_the_layer_shares_w_and_its_gradient_sums_over_the_tasks():
    layer, x = AdaptiveLayer(4, 3, tasks=2, hinges=5, rng=0, dtype=float), rng.normal(size=(2, 7, 4))
    h = layer(x)
    h.backward(np.ones(h.shape))
    alone = []
    for t in range(2):
        one = AdaptiveLayer(4, 3, tasks=2, hinges=5, rng=0, dtype=float)
        one(x)[t].sum().backward()
        alone.append(one.W.grad)
    np.testing.assert_allclose(layer.W.grad, alone[0] + alone[1], rtol=1e-12)
    assert sum(p.size for p in layer.parameters()) == 3 * 4 + 3 + 2 * 5 + 5


def test_starts_almost_as_a_relu_in_float32():
    unit = AdaptiveActivation(3, hinges=4, rng=0)
    h = unit(np.ones((3, 2, 5), np.float32))
    assert h.dtype == np.float32
    np.testing.assert_allclose(h.data, 1, atol=0.05)


def test_batches_that_were_not_stacked_and_other_numbers_of_tasks_are_refused():
    with pytest.raises(ShapeError, match=r"adaptive_activation: z has shape \(5,\).* stack the tasks' batches first"):
        adaptive_activation(np.ones(5), np.ones((5, 2)), np.ones(2))
    with pytest.raises(ShapeError, match=r"adaptive_activation: .*T is 3 and 2"):
        adaptive_activation(np.ones((3, 4)), np.ones((2, 5)), np.ones(5))
    with pytest.raises(ShapeError, match=r"adaptive_activation: .*M is 5 and 4"):
        adaptive_activation(np.ones((2, 4)), np.ones((2, 5)), np.ones(4))


def test_a_task_without_examples_gives_nothing_and_takes_nothing():
    h, cache = adaptive_activation_forward(np.zeros((2, 0, 3)), np.ones((2, 4)), np.zeros(4))
    dz, dalpha, db = adaptive_activation_backward(h, cache)
    assert (h.shape, dz.shape) == ((2, 0, 3), (2, 0, 3))
    assert not dalpha.any()
    assert not db.any()
