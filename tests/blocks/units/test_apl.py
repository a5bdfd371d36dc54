"""The adaptive piecewise linear unit: its special cases, its kinks, and what it can bend into."""

import numpy as np
import pytest

from tinynet.backend import use_backend
from tinynet.blocks.units.apl import APL, apl, apl_backward, apl_forward
from tinynet.engine import Tensor
from tinynet.shapes import ShapeError

x = np.linspace(-2, 2, 8)[:, None]


def test_without_hinges_it_is_the_relu():
    nothing = np.zeros((0, 1))
    assert np.array_equal(apl_forward(x, nothing, nothing)[0], np.maximum(x, 0))


def test_one_hinge_at_zero_with_a_of_minus_a_hundredth_is_the_leaky_relu():
    y, _ = apl_forward(x, np.array([[-0.01]]), np.array([[0.0]]))
    np.testing.assert_allclose(y, np.where(x > 0, x, 0.01 * x), rtol=1e-15)


def test_slopes_left_of_between_and_right_of_the_kinks():
    a, b = np.array([[-0.2]]), np.array([[0.5]])
    points = np.array([[-1.0], [0.25], [1.0]])
    dx, _, _ = apl_backward(np.ones_like(points), (points, a, b))
    np.testing.assert_allclose(dx.ravel(), [0.2, 1.2, 1.0])     # rises, falls: not convex


@pytest.mark.parametrize("backend", ["plain", "fast"])
def test_at_a_tie_the_hinge_that_meets_there_adds_nothing(backend):
    a, b = np.array([[3.0], [5.0]]), np.array([[0.0], [1.0]])
    with use_backend(backend):
        t, A, B = (Tensor(v, requires_grad=True) for v in (np.array([[0.0], [1.0]]), a, b))
        apl(t, A, B).backward(np.ones((2, 1)))
    assert t.grad.ravel().tolist() == [-5, 1]       # at 0: only b_2's hinge;  at 1: only the ReLU
    assert A.grad.ravel().tolist() == [0, 1]
    assert B.grad.ravel().tolist() == [0, 5]


@pytest.mark.parametrize("backend", ["plain", "fast"])
def test_nan_stays_visible(backend):
    with use_backend(backend):
        assert np.isnan(apl(np.array([[np.nan]]), np.ones((1, 1)), np.ones((1, 1))).data).all()


def test_gradients_are_the_same_bits_for_one_and_two_threads():
    numba = pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s).astype(np.float32) for s in [(101, 33), (3, 33), (3, 33)]]
    _, cache = apl.fast[0](*arrays)
    before, results = numba.get_num_threads(), []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        results.append(apl.fast[1](arrays[0], cache))
    numba.set_num_threads(before)
    assert all(np.array_equal(one, two) for one, two in zip(*results, strict=True))


def test_a_unit_learns_a_curve_that_is_not_convex():
    points = np.linspace(-2, 2, 41)[:, None]
    target = np.sin(2 * points) * (points < 0) + points * (points > 0)
    unit = APL(1, hinges=5, rng=0, dtype=float)
    losses = []
    for _ in range(300):
        unit.zero_grad()
        loss = ((unit(points) - target) ** 2).mean()
        loss.backward()
        losses.append(loss.item())
        for parameter in unit.parameters():
            parameter.data = parameter.data - 0.1 * parameter.grad
    assert losses[-1] < losses[0] / 10


def test_starts_almost_as_a_relu_in_float32():
    unit = APL(4, hinges=2, rng=0)
    y = unit(np.ones((3, 4), np.float32))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.data, 1, atol=0.05)


def test_hinges_of_another_width_are_refused():
    with pytest.raises(ShapeError, match=r"apl: .*D is 3 and 2"):
        apl(np.ones((5, 3)), np.ones((1, 2)), np.ones((1, 2)))
