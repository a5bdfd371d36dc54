"""Pooling: ties, margins, what is not a number, and bad input."""

import numpy as np
import pytest

from tinynet.blocks.images.pool import (
    AveragePool,
    GlobalAverage,
    MaxPool,
    average_pool_backward,
    average_pool_forward,
    global_average_backward,
    global_average_forward,
    max_pool_backward,
    max_pool_backward_fast,
    max_pool_forward,
    max_pool_forward_fast,
)

PAIRS = [(max_pool_forward, max_pool_backward), (max_pool_forward_fast, max_pool_backward_fast)]
rng = np.random.default_rng(0)


@pytest.mark.parametrize(("forward", "backward"), PAIRS)
def test_where_taps_tie_the_first_gets_the_gradient(forward, backward):
    Y, cache = forward(np.ones((1, 1, 4, 4)))
    dX = backward(np.ones(Y.shape), cache)
    assert dX[0, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(("forward", "backward"), PAIRS)
def test_the_margin_is_never_the_largest(forward, backward):
    Y, cache = forward(-np.ones((2, 3, 5, 4)), size=3, stride=2, padding=1)
    assert (Y == -1).all()
    assert backward(np.ones(Y.shape), cache).sum() == Y.size


@pytest.mark.parametrize(("forward", "backward"), PAIRS)
def test_what_is_not_a_number_is_seen_behind_the_pool(forward, backward):
    X = np.zeros((1, 1, 2, 4))
    X[0, 0, 1, 2] = np.nan
    assert np.isnan(forward(X)[0]).tolist() == [[[[False, True]]]]


@pytest.mark.parametrize("N", [3, 20])              # few images take another loop than many
@pytest.mark.parametrize("settings", [{}, dict(size=3, stride=2, padding=1), dict(size=(3, 2), stride=(1, 3))])
def test_both_twins_find_the_same_of_ties_nans_and_infinities(N, settings):
    X = rng.integers(0, 4, (N, 3, 9, 8)).astype(float)
    X[rng.random(X.shape) < 0.1], X[rng.random(X.shape) < 0.1] = np.nan, -np.inf
    (Y, cache), (y, fast) = (forward(X, **settings) for forward, _ in PAIRS)
    np.testing.assert_array_equal(y, Y)
    dY = rng.normal(size=Y.shape)
    np.testing.assert_allclose(max_pool_backward_fast(dY, fast), max_pool_backward(dY, cache), rtol=1e-12)


@pytest.mark.parametrize(("forward", "backward"), PAIRS)
def test_where_all_is_minus_infinity_the_first_pixel_inside_gets_the_gradient(forward, backward):
    Y, cache = forward(np.full((1, 1, 4, 4), -np.inf), size=3, stride=2, padding=1)
    dX = backward(np.ones(Y.shape), cache)
    assert dX[0, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(("forward", "backward"), PAIRS)
def test_an_infinite_gradient_reaches_the_largest_pixel_alone(forward, backward):
    Y, cache = forward(np.arange(4.0).reshape(1, 1, 2, 2))
    assert backward(np.full(Y.shape, np.inf), cache)[0, 0].tolist() == [[0, 0], [0, np.inf]]
    with pytest.raises(ValueError, match=r"max_pool: dY has shape \(1, 1, 2, 2\) and Y \(N C H W\) = \(1, 1, 1, 1\)"):
        backward(np.ones((1, 1, 2, 2)), cache)


def test_the_global_average_of_65536_pixels_has_a_gradient_in_float16():
    assert (global_average_backward(np.ones((1, 1), np.float16), (1, 1, 256, 256)) == 2.0**-16).all()


def test_overlapping_windows_add_their_gradients_with_many_images():
    X = rng.normal(size=(33, 4, 9, 7)).astype(np.float32)
    results = []
    for forward, backward in PAIRS:
        Y, cache = forward(X, size=3, stride=2, padding=1)
        results.append((Y, backward(Y, cache)))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)


def test_modules():
    X = rng.normal(size=(2, 3, 6, 6))
    assert MaxPool(2)(X).shape == (2, 3, 3, 3)
    assert AveragePool(3, stride=1, padding=1)(X).shape == X.shape
    np.testing.assert_allclose(GlobalAverage()(X).data, X.mean(axis=(2, 3)))


X = np.zeros((2, 3, 4, 4))


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: max_pool_forward(X, size=5), "max_pool: the window covers 5 x 5 pixels and the padded image (H, W) has 4"),
    (lambda: max_pool_forward_fast(X, stride=0), "max_pool: stride is 0; give a whole number, 1 or more"),
    (lambda: average_pool_forward(X, size=2, padding=2), "average_pool: padding is 2 and the window 2"),
    (lambda: MaxPool(3, padding=2), "MaxPool: padding is 2 and the window 3; pad by at most half of the window"),
    (lambda: MaxPool(0), "MaxPool: size is 0; give a whole number, 1 or more"),
    (lambda: AveragePool(2, stride=0), "AveragePool: stride is 0; give"),
    (lambda: max_pool_forward(X.astype(np.uint8)), "max_pool: X holds uint8"),
    (lambda: average_pool_forward(X[0]), "average_pool: X has shape (3, 4, 4), but needs 4 axes"),
    (lambda: average_pool_backward(X, average_pool_forward(X)[1]), "average_pool: dY has shape (2, 3, 4, 4) and Y"),
    (lambda: global_average_forward(X[:, :, :0]), "global_average: X (N C H W) = (2, 3, 0, 4) has no pixels"),
    (lambda: global_average_backward(X[:, :, 0, 0].T, X.shape), "global_average: dY has shape (3, 2) and Y (N C) = "
                                                                "(2, 3); make them equal"),
])
def test_bad_input_is_told_in_one_sentence(call, sentence):
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert sentence in str(error.value)
