"""The embedding; the battery checks its gradients, here stands what is its own."""

import numpy as np
import pytest

from tinynet.blocks.sequences.embedding import Embedding, embedding


def test_a_word_that_stands_twice_collects_both_gradients():
    for backward in (embedding.backward, embedding.fast[1]):
        y, cache = embedding.forward(np.arange(6.0).reshape(3, 2), np.array([[2, 0], [2, 2]]))
        np.testing.assert_array_equal(y[0, 0], [4, 5])
        dE, none = backward(np.arange(8.0).reshape(2, 2, 2), cache)
        np.testing.assert_array_equal(dE, [[2, 3], [0, 0], [0 + 4 + 6, 1 + 5 + 7]])
        assert none is None


def test_the_padding_is_zero_and_is_not_learnt():
    net = Embedding(5, 3, padding=0, rng=0)
    y = net(np.array([[1, 0, 4]]))
    assert not y.data[0, 1].any()
    y.sum().backward()
    np.testing.assert_array_equal(net.E.grad.sum(axis=1), [0, 3, 0, 0, 3])


def test_the_gradient_has_the_same_bits_however_many_threads_add_it_up():
    import numba
    rng = np.random.default_rng(0)
    _, cache = embedding.forward(rng.normal(size=(50, 16)).astype(np.float32), rng.integers(0, 50, (64, 30)))
    dy, results = rng.normal(size=(64, 30, 16)).astype(np.float32), []
    for threads in (1, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        results.append(embedding.fast[1](dy, cache)[0])
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(("t", "error", "said"), [
    ([[1, 3]], ValueError, r"embedding: the token at position \(0, 1\) is 3, but the vocabulary has the tokens 0\.\.2"),
    ([-1], ValueError, "embedding: the token at position 0 is -1"),
    ([0.5], TypeError, "embedding: the tokens are float64"),
])
def test_bad_tokens(t, error, said):
    with pytest.raises(error, match=said):
        embedding(np.zeros((3, 2)), np.array(t))
