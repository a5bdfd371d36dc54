"""The mixture of experts: one expert, one example, and the cross-stitch unit as the mixture that all examples share."""

import numpy as np
import pytest

from tinynet.blocks.tasks.cross_stitch import cross_stitch_forward
from tinynet.blocks.tasks.expert_mixture import expert_mixture, expert_mixture_forward
from tinynet.shapes import ShapeError

rng = np.random.default_rng(0)
X, P = rng.normal(size=(3, 5, 4)), rng.dirichlet(np.ones(3), (2, 5))


def test_each_task_and_example_takes_its_own_mixture():
    Y, _ = expert_mixture_forward(X, P)
    np.testing.assert_allclose(Y[1, 2], sum(P[1, 2, e] * X[e, 2] for e in range(3)))


def test_a_gate_that_picks_one_expert_returns_it():
    picks = np.zeros_like(P)
    picks[..., 1] = 1
    np.testing.assert_array_equal(expert_mixture_forward(X, picks)[0], np.stack([X[1]] * 2))


def test_the_same_mixture_for_all_examples_is_a_cross_stitch_unit():
    A = rng.normal(size=(3, 3))
    stitched = cross_stitch_forward(X, A)[0]
    np.testing.assert_allclose(expert_mixture_forward(X, np.tile(A[:, None], (1, 5, 1)))[0], stitched)


def test_gates_for_other_experts_are_refused():
    with pytest.raises(ShapeError, match=r"expert_mixture: .*E is 3 and 2"):
        expert_mixture(X, P[..., :2])
