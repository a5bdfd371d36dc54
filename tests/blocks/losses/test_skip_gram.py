"""Skip-gram with negative sampling, and the descent pair by pair."""

import numba
import numpy as np
import pytest

from tinynet.blocks.losses.skip_gram import (
    _descend,
    skip_gram_backward,
    skip_gram_backward_fast,
    skip_gram_descent,
    skip_gram_forward,
    skip_gram_forward_fast,
)
from tinynet.shapes import ShapeError


@pytest.fixture
def made():
    """e (7, 5), w (6, 5), 40 pairs and their signs."""
    rng = np.random.default_rng(0)
    pairs = np.stack([rng.integers(0, 7, 40), rng.integers(0, 6, 40)], axis=1)
    return rng.normal(size=(7, 5)), rng.normal(size=(6, 5)), pairs, 1 - 2 * rng.integers(0, 2, 40)


def test_one_pair_by_hand():
    e, w = np.array([[1.0, 2]]), np.array([[0.5, -1]])                  # s = -1.5
    L, cache = skip_gram_forward(e, w, np.array([[0, 0]]), np.array([1]))
    assert pytest.approx(np.log(1 + np.exp(1.5))) == L
    de, dw = skip_gram_backward(1.0, cache)
    share = 1 / (1 + np.exp(-1.5))
    np.testing.assert_allclose(de, -share * w)
    np.testing.assert_allclose(dw, -share * e)


def test_descent_is_a_step_on_each_pair_in_turn(made):
    e, w, pairs, gamma = made
    ours_e, ours_w = e.copy(), w.copy()
    skip_gram_descent(ours_e, ours_w, pairs, gamma, 0.1)
    for b in range(len(pairs)):
        _, cache = skip_gram_forward(e, w, pairs[b:b + 1], gamma[b:b + 1])
        de, dw = skip_gram_backward(1.0, cache)
        e, w = e - 0.1 * de, w - 0.1 * dw
    np.testing.assert_allclose(ours_e, e, rtol=1e-12)
    np.testing.assert_allclose(ours_w, w, rtol=1e-12)


def test_the_kernel_is_what_its_loops_say(made):
    e, w, pairs, gamma = made
    interpreted = e.copy(), w.copy()
    _descend.loops(*interpreted, pairs, gamma.astype(float), 0.1)
    skip_gram_descent(e, w, pairs, gamma, 0.1)
    np.testing.assert_allclose(e, interpreted[0], rtol=1e-12)
    np.testing.assert_allclose(w, interpreted[1], rtol=1e-12)


def test_the_same_bits_for_one_and_two_threads(made):
    e, w, pairs, gamma = made
    before, found = numba.get_num_threads(), []
    for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(count)
        own = e.astype(np.float32), w.astype(np.float32)
        L, cache = skip_gram_forward_fast(*own, pairs, gamma)
        gradients = skip_gram_backward_fast(L, cache)
        skip_gram_descent(*own, pairs, gamma, 0.1)
        found.append([a.tobytes() for a in (L, *gradients, *own)])
    numba.set_num_threads(before)
    assert found[0] == found[1]


def test_very_large_products_stay_finite():
    e = np.full((1, 1), 1e3, np.float32)
    for forward, backward in ((skip_gram_forward, skip_gram_backward),
                              (skip_gram_forward_fast, skip_gram_backward_fast)):
        for gamma in (1, -1):
            with np.errstate(over="ignore"):            # loops that aren't compiled would warn
                L, cache = forward(e, e, np.array([[0, 0]]), np.array([gamma]))
                assert np.isfinite([L, *np.ravel(backward(np.float32(1), cache))]).all()
    with np.errstate(over="ignore"):
        skip_gram_descent(e, -e, np.array([[0, 0]]), np.array([-1]), 0.1)
    assert e == 1e3


@pytest.mark.parametrize(("change", "error", "message"), [
    (dict(pairs=np.array([[0, 6]])), ValueError, "skip_gram: pair 0 is (0, 6), but w has 6 rows; count from 0"),
    (dict(pairs=np.array([[-1, 0]])), ValueError, "skip_gram: pair 0 is (-1, 0), but e has 7 rows"),
    (dict(pairs=np.array([[0.0, 1]])), ShapeError, "skip_gram: pairs holds float64 (1, 2), but must be whole numbers"),
    (dict(pairs=np.array([0, 1])), ShapeError, "skip_gram: pairs holds int64 (2,), but must be whole numbers (B, 2)"),
    (dict(gamma=np.array([0])), ValueError, "skip_gram: gamma holds other numbers than +1 and -1"),
    (dict(gamma=np.array([1, 1])), ShapeError, "B is 1 and 2; make them equal"),
])
def test_refusals(made, change, error, message):
    e, w, pairs, gamma = made
    settings = dict(pairs=pairs[:1], gamma=gamma[:1]) | change
    for call in (lambda: skip_gram_forward(e, w, **settings), lambda: skip_gram_forward_fast(e, w, **settings),
                 lambda: skip_gram_descent(e, w, **settings, lr=0.1)):
        with pytest.raises(error) as raised:
            call()
        assert message in str(raised.value)
