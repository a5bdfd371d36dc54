"""Softmax and its smooth maximum in float32: rows of every length, and numbers that are no numbers."""

import numpy as np
import pytest

from tinynet.blocks.units.softmax import CHUNK, log_sum_exp, softmax

OPS = pytest.mark.parametrize("op", [softmax, log_sum_exp], ids=lambda op: op.name)


@OPS
@pytest.mark.parametrize(("N", "C"), [(3, CHUNK + 3), (41, 401), (1, 1), (300, 2)])
def test_rows_longer_and_shorter_than_a_chunk(op, N, C):
    """shi 2.3 in single precision, beside double."""
    rng = np.random.default_rng(0)
    x = (5 * rng.normal(size=(N, C)) - 40).astype(np.float32)
    (y, cache), (expected, exact) = op.fast[0](x), op.forward(x.astype(float))
    dy = rng.normal(size=y.shape)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=3e-6)         # float32 rounds an exponent of -34 by 2e-6
    dx = op.backward(dy, exact)
    np.testing.assert_allclose(op.fast[1](dy.astype(np.float32), cache), dx, rtol=0, atol=3e-6 * np.abs(dx).max())


@OPS
@pytest.mark.parametrize("row", [
    [0, 1, -np.inf, 2], 4 * [-np.inf], [0, np.nan, 1, 2], [3, -np.float32(np.nan), 1, 2], [np.nan, -np.inf, -1, -2],
    [0, np.inf, 1, np.inf], [-1e30, -2, -88, -100], [1e30, 1, 2, 3], [-0.0, 0.0, -1e-45, 1e-45]])
def test_odd_rows_give_what_numpy_gives(op, row):
    x = np.array([[1, 2, 3, 4], row, [-4, -3, -2, -1]], np.float32)
    with np.errstate(invalid="ignore"):
        for axis, given in ((-1, x), (0, np.ascontiguousarray(x.T))):
            expected = op.forward(given.astype(float), axis=axis)[0]
            np.testing.assert_allclose(op.fast[0](given, axis=axis)[0], expected, rtol=2e-6, atol=1e-37)


@OPS
def test_numbers_that_are_not_numbers_are_not_lost_in_a_long_row(op):
    x = np.zeros((4, 1000), np.float32)
    x[np.arange(4), [0, 17, 500, 999]] = np.nan, -np.float32(np.nan), np.nan, -np.float32(np.nan)
    assert np.isnan(op.fast[0](x)[0]).all()
