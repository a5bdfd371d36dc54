"""Stochastic maxout (saha stochastic-maxout): how often each piece is drawn, its limits, and evaluation."""

import numpy as np
import pytest

from tinynet.blocks.units.stochastic_maxout import StochasticMaxout, stochastic_maxout, stochastic_maxout_forward
from tinynet.shapes import ShapeError

rng = np.random.default_rng(0)


@pytest.mark.parametrize("lam", [0.0, 1.0, 3.0])
def test_a_piece_is_drawn_as_often_as_the_softmax_says(lam):
    x, N = np.array([0.3, -0.5, 1.0]), 40_000
    y, _ = stochastic_maxout_forward(np.broadcast_to(x, (N, 1, 3)), u=rng.random((N, 1)), lam=lam)
    p = np.exp(lam * x) / np.exp(lam * x).sum()
    np.testing.assert_allclose([(y == piece).mean() for piece in x], p, atol=4 * np.sqrt(0.25 / N))


def test_without_draws_and_for_a_large_lambda_it_is_maxout():
    x, u = rng.normal(size=(50, 4, 3)), rng.random((50, 4))
    largest = x.max(axis=-1)
    np.testing.assert_array_equal(stochastic_maxout_forward(x)[0], largest)
    np.testing.assert_array_equal(stochastic_maxout_forward(x, u=u, lam=1e6)[0], largest)


def test_a_draw_at_the_very_end_still_takes_a_piece():
    x = rng.normal(size=(1000, 1, 7)).astype(np.float32)
    y, _ = stochastic_maxout_forward(x, u=np.full((1000, 1), np.nextafter(1, 0)))
    np.testing.assert_array_equal(y[:, 0], x[:, 0, -1])


def test_the_module_draws_while_training_and_takes_the_largest_afterwards():
    unit, x = StochasticMaxout(5, 4, pieces=3, rng=0), rng.normal(size=(20, 5)).astype(np.float32)
    first, second = unit(x).data, unit(x).data
    assert first.shape == (20, 4)
    assert first.dtype == np.float32
    assert (first != second).any()
    unit.eval()
    np.testing.assert_array_equal(unit(x).data, unit(x).data)
    assert (unit(x).data >= first).all()


def test_draws_of_another_shape_and_no_pieces_are_refused():
    with pytest.raises(ShapeError, match=r"stochastic_maxout: u has shape \(2,\).* give u of shape \(5, 2\)"):
        stochastic_maxout(np.ones((5, 2, 3)), u=np.ones(2))
    with pytest.raises(ShapeError, match=r"stochastic_maxout: .*K = 0 pieces is undefined"):
        stochastic_maxout(np.ones((5, 2, 0)))
