"""Metrics by hand."""

import math

import numpy as np

from tinynet import Tensor, metrics


def test_accuracy_and_top_k():
    scores, y = np.array([[3.0, 2, 1], [1, 2, 3], [2, 3, 1]]), np.array([0, 1, 2])
    assert metrics.accuracy(Tensor, scores, y) == 1 / 3
    assert metrics.top_k(1)(Tensor, scores, y) == 1 / 3
    assert metrics.top_k(2)(Tensor, scores, y) == 2 / 3
    assert metrics.top_k(3)(Tensor, scores, y) == 1


def test_f1():
    logits, labels = np.array([[1.0, -1], [1, 1]]), np.array([[1, 0], [0, 1]])
    assert metrics.micro_f1(logits, labels) == 2 * 2 / (3 + 2)
    assert metrics.macro_f1(logits, labels) == (2 / 3 + 1) / 2


def test_perplexity():
    assert metrics.perplexity(lambda model, x: Tensor(math.log(x)))(None, 7.0) == math.exp(math.log(7.0))
