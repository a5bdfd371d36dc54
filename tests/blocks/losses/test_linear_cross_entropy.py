"""Cross-entropy behind an output layer, some rows at a time (csc321 lm)."""

import tracemalloc

import numpy as np
import pytest

import tinynet as tn
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.losses.linear_cross_entropy import linear_cross_entropy
from tinynet.blocks.units.linear import linear
from tinynet.models.sequences import word_loss as module
from tinynet.models.sequences.transformer import GPT

rng = np.random.default_rng(0)
X, W, B, T = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)), rng.normal(size=5), np.array([0, 4, -1, 2, 2, -1, 1])


@pytest.mark.parametrize("rows", [1, 2, 5, 7, 100, None])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_it_is_the_two_blocks_one_after_the_other(rows, smoothing):
    ours, theirs = ([tn.Tensor(a, requires_grad=True) for a in (X, W, B)] for _ in range(2))
    loss = linear_cross_entropy(*ours, T, smoothing=smoothing, rows=rows)
    expected = cross_entropy(linear(*theirs), T, smoothing=smoothing)
    np.testing.assert_allclose(loss.data, expected.data, rtol=1e-13)
    loss.backward()
    expected.backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-12, atol=1e-15)


def test_the_logits_of_all_rows_never_stand_in_memory():
    rng = np.random.default_rng(0)
    x, W = (rng.normal(size=(n, 8)).astype(np.float32) for n in (2000, 20_000))
    t = rng.integers(0, 20_000, 2000)
    peaks = []
    for rows in (100, 2000):
        y, cache = linear_cross_entropy.forward(x, W, None, t, rows=100)        # compiled
        tracemalloc.start()
        y, cache = linear_cross_entropy.forward(x, W, None, t, rows=rows)
        linear_cross_entropy.backward(np.ones_like(y), cache)
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
    assert peaks[0] < 40        # one part's logits are 8 MB: those of this part and of the one before, their gradients
    assert peaks[1] > 300       # all logits are 160 MB, and their gradient as much


def test_a_language_model_takes_parts_where_its_logits_are_many(monkeypatch):
    net, tokens = GPT(11, 6, 8, 2, 1, rng=0, dtype=np.float64), np.arange(12).reshape(2, 6) % 11
    net.loss(tokens, (tokens + 1) % 11).backward()
    whole = net.embedding.E.grad.copy()
    net.embedding.E.grad = None
    monkeypatch.setattr(module, "WHOLE", 20)
    monkeypatch.setattr(module, "cross_entropy", None)
    net.loss(tokens, (tokens + 1) % 11).backward()
    np.testing.assert_allclose(net.embedding.E.grad, whole, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("change", "words"), [
    (dict(x=X[:, :2]), r"linear_cross_entropy: .*D is 2 and 3; make them equal"),
    (dict(t=T[:3]), r"linear_cross_entropy: x .* t needs one class index for each row"),
    (dict(t=T + 1), r"linear_cross_entropy: the target at position 1 is 5, but must be in 0..4"),
    (dict(t=T * 1.0), "linear_cross_entropy: the targets are float64, but class indices are integers"),
    (dict(rows=0), "linear_cross_entropy: rows is 0, but at least 1"),
])
def test_wrong_arguments_are_told_in_a_sentence(change, words):
    with pytest.raises((ValueError, TypeError), match=words):
        linear_cross_entropy(**(dict(x=X, W=W, b=B, t=T) | change))


@pytest.mark.parametrize(("change", "words"), [
    (dict(W=W[:0], b=None), r"linear_cross_entropy: W has shape \(0, 3\), with no classes to choose from"),
    (dict(smoothing=2.0, t=np.full(7, -1)), r"linear_cross_entropy: smoothing is 2.0; choose one in \[0, 1\]"),
])
def test_settings_are_checked_where_no_row_counts_too(change, words):
    with pytest.raises(ValueError, match=words):
        linear_cross_entropy(**(dict(x=X, W=W, b=B, t=T) | change))
