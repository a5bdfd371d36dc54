"""Batches: what each kind hands out, in which order, and how much it weighs."""

import numpy as np
import pytest

from tinynet.train.batches import Shuffled, Streams, Windows

from .small_runs import X, Y


def test_batches_drawn_twice_from_the_same_seed_are_the_same_and_augmented_in_training_alone():
    def shake(rng, x, y):
        return x + rng.normal(size=x.shape), y

    data = Shuffled((X, Y), 4, augment=shake)
    first, again = ([b[0] for b, _ in data.epoch(np.random.default_rng(3))] for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    np.testing.assert_array_equal(np.concatenate([b[0] for b, _ in data.epoch(None)]), X)


def test_windows_are_random_in_training_and_go_through_everything_in_validation():
    windows = Windows(np.arange(50) % 7, length=6, size=4, steps=5)
    assert [weight for _, weight in windows.epoch(None)] == [24, 24]
    (x, y), _ = next(windows.epoch(np.random.default_rng(0)))
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    with pytest.raises(ValueError, match="need \\(N\\) with N > 60"):
        Windows(np.arange(50), length=60, size=1)


def test_streams_are_read_side_by_side_and_say_where_they_begin():
    streams = Streams(np.arange(41), size=2, length=6)
    pieces = list(streams.epoch(np.random.default_rng(0)))
    assert len(pieces) == len(streams) == 3
    assert [(begins, weight) for (*_, begins), weight in pieces] == [(True, 12), (False, 12), (False, 12)]
    read = np.concatenate([x for (x, _, _), _ in pieces], axis=1)
    np.testing.assert_array_equal(read, np.arange(40).reshape(2, 20)[:, :18])
    assert all((y == x + 1).all() for (x, y, _), _ in pieces)
    with pytest.raises(ValueError, match="tokens have shape \\(41,\\); 4 streams of 20 tokens and the next one need"):
        Streams(np.arange(41), size=4, length=20)
