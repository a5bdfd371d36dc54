"""Factors of stacked weights, ranks, soft ordering and the relationship prior: identities, limits, refusals."""

import numpy as np
import pytest

from tinynet.blocks.tasks.soft_order import SoftOrder, soft_order, soft_order_forward
from tinynet.blocks.tasks.task_relationship import (
    inverse_covariance,
    task_relationship,
    task_relationship_backward,
    task_relationship_forward,
)
from tinynet.blocks.tasks.tensor_factors import (
    latent_layers,
    latent_layers_factors,
    latent_layers_forward,
    rank_at,
    tensor_train,
    tensor_train_factors,
    tensor_train_forward,
    tucker,
    tucker_factors,
    tucker_forward,
)
from tinynet.blocks.units.linear import Linear
from tinynet.shapes import ShapeError

rng = np.random.default_rng(0)
W = rng.normal(size=(4, 6, 5))          # T tasks, I inputs, O outputs


# %% Tensor factors
def test_at_full_ranks_every_factorisation_is_the_stack_again():
    for made in (tucker_forward(*tucker_factors(W, (6, 5, 4))), tensor_train_forward(*tensor_train_factors(W, (6, 4))),
                 latent_layers_forward(*latent_layers_factors(W, 4))):
        np.testing.assert_allclose(made[0], W, rtol=0, atol=1e-12)


def test_as_the_decks_equations_read_element_by_element():
    S, U1, U2, U3 = (rng.normal(size=s) for s in ((2, 3, 2), (6, 3), (5, 2), (4, 2)))
    by_element = np.einsum("rpq,ip,oq,tr->tio", S, U1, U2, U3)
    np.testing.assert_allclose(tucker_forward(S, U1, U2, U3)[0], by_element, rtol=1e-10)
    G1, G2, G3 = (rng.normal(size=s) for s in ((6, 3), (2, 3, 5), (4, 2)))
    by_element = np.einsum("ip,qpo,tq->tio", G1, G2, G3)
    np.testing.assert_allclose(tensor_train_forward(G1, G2, G3)[0], by_element, rtol=1e-10)


def test_a_stack_of_low_rank_is_kept_by_as_few_factors():
    low = tucker_forward(*(rng.normal(size=s) for s in ((2, 3, 2), (6, 3), (5, 2), (4, 2))))[0]
    np.testing.assert_allclose(tucker_forward(*tucker_factors(low, (3, 2, 2)))[0], low, rtol=0, atol=1e-10)
    np.testing.assert_allclose(tensor_train_forward(*tensor_train_factors(low, (3, 2)))[0], low, rtol=0, atol=1e-10)
    np.testing.assert_allclose(latent_layers_forward(*latent_layers_factors(low, 2))[0], low, rtol=0, atol=1e-10)


def test_the_rank_rule_is_that_of_a_pivoted_qr():
    linalg = pytest.importorskip("scipy.linalg")
    for shape in ((30, 200), (200, 30), (40, 40)):
        rows = rng.normal(size=shape)
        diagonal = abs(np.diag(linalg.qr(rows, mode="r", pivoting=True)[0]))
        for precision in (0.1, 0.5, 0.9):
            assert rank_at(rows, precision) == (diagonal > precision * diagonal[0]).sum()
    assert rank_at(np.zeros((3, 4)), 0.5) == 0
    assert rank_at(np.outer([1.0, 2, 3], [1.0, 1]), 0.5) == 1


@pytest.mark.parametrize(("ranks", "said"), [
    ((7, 5, 4), r"inputs is 7, but W \(T I O\) = \(4, 6, 5\) has 6 inputs; use 1\.\.6"),
    ((6, 0, 4), r"outputs is 0, but .* has 5 outputs; use 1\.\.5"),
    ((6, 5, 5), r"tasks is 5, but .* has 4 tasks; use 1\.\.4")])
def test_ranks_above_the_sizes_are_refused(ranks, said):
    with pytest.raises(ValueError, match=rf"^tucker: the rank of the {said}"):
        tucker_factors(W, ranks)


def test_ranks_of_the_others_are_refused_too():
    with pytest.raises(ValueError, match=r"^latent_layers: the rank of the tasks is 5"):
        latent_layers_factors(W, 5)
    with pytest.raises(ValueError, match=r"^tensor_train: the rank of the inputs is 9"):
        tensor_train_factors(W, (9, 2))


def test_factors_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"latent_layers: .*K is 3 and 2"):
        latent_layers(np.ones((3, 2, 2)), np.ones((4, 2)))
    with pytest.raises(ShapeError, match=r"tucker: .*R is 2 and 3"):
        tucker(np.ones((2, 2, 2)), np.ones((4, 2)), np.ones((4, 2)), np.ones((4, 3)))
    with pytest.raises(ShapeError, match=r"tensor_train: .*P is 2 and 3"):
        tensor_train(np.ones((4, 2)), np.ones((2, 3, 4)), np.ones((4, 2)))


# %% Soft ordering
def test_equal_logits_take_the_mean_of_the_modules():
    X = rng.normal(size=(3, 2, 5, 4))
    np.testing.assert_allclose(soft_order_forward(X, np.ones((2, 3)))[0], X.mean(axis=0), rtol=1e-12)


def test_one_large_logit_chooses_a_module():
    X, S = rng.normal(size=(3, 2, 5)), np.array([[0.0, 800, 0], [0, 0, 800]])
    np.testing.assert_array_equal(soft_order_forward(X, S)[0], np.stack([X[1, 0], X[2, 1]]))


def test_depths_share_the_modules():
    modules = [Linear(4, 4, rng=i, dtype=float) for i in range(2)]
    depths = [SoftOrder(modules, tasks=3, rng=i, dtype=float) for i in range(2)]
    x = rng.normal(size=(3, 5, 4))
    depths[1](depths[0](x)).sum().backward()
    assert all(module.W.grad.any() for module in modules)
    assert depths[0].S.grad.shape == (3, 2)


def test_what_soft_order_refuses():
    with pytest.raises(ShapeError, match=r"soft_order: X has shape \(3, 2\).* stack what the modules return first"):
        soft_order(np.ones((3, 2)), np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"soft_order: .*E is 3 and 2"):
        soft_order(np.ones((3, 2, 5)), np.ones((2, 2)))


# %% The relationship prior
def test_with_identities_it_is_weight_decay():
    penalty, cache = task_relationship_forward(W)
    assert penalty == pytest.approx((W**2).sum(), rel=1e-12)
    np.testing.assert_allclose(task_relationship_backward(1.0, cache), 2 * W, rtol=1e-12)
    identities = [np.eye(n) for n in W.shape]
    assert task_relationship_forward(W, *identities)[0] == pytest.approx(penalty, rel=1e-12)


def test_it_is_the_quadratic_form_of_the_kronecker_product():
    P, Q, V = (rng.normal(size=(n, n)) for n in W.shape)
    w = W.ravel()
    assert task_relationship_forward(W, P, Q, V)[0] == pytest.approx(w @ np.kron(P, np.kron(Q, V)) @ w, rel=1e-10)


def test_the_inverse_covariance_finds_tasks_that_are_alike():
    common = rng.normal(size=(1, 30, 40))
    weights = np.concatenate([common + 0.1 * rng.normal(size=(2, 30, 40)), rng.normal(size=(1, 30, 40))])
    P = inverse_covariance(weights, 0, eps=1e-6)
    covariance = np.linalg.inv(P)
    assert covariance[0, 1] > 0.9
    assert abs(covariance[0, 2]) < 0.1
    assert np.all(np.linalg.eigvalsh(P) > 0)


def test_flip_flop_reaches_the_covariances_that_the_weights_were_drawn_from():
    true = [np.array([[1, 0.8], [0.8, 1.0]]), np.array([[1, -0.5], [-0.5, 1.0]]), np.eye(200)]
    roots = [np.linalg.cholesky(c) for c in true]
    drawn = np.einsum("ti,oj,nk,ijk->ton", *roots, rng.normal(size=(2, 2, 200)))
    P, Q = np.eye(2), np.eye(2)
    for _ in range(10):
        P, Q = inverse_covariance(drawn, 0, (Q, None), eps=1e-6), inverse_covariance(drawn, 1, (P, None), eps=1e-6)
    found = [np.linalg.inv(A) for A in (P, Q)]
    assert found[0][0, 1] / found[0][0, 0] == pytest.approx(0.8, abs=0.1)
    assert found[1][0, 1] / found[1][0, 0] == pytest.approx(-0.5, abs=0.15)


def test_the_published_inverse_leaves_small_singular_values_as_they_are():
    """1/s where s > .1, else s: the stiffest directions of the prior become the softest."""
    def published(C):
        u, s, v = np.linalg.svd(C)
        return u @ np.diag(np.where(s > 0.1, 1 / s, s)) @ v
    weights = np.stack([np.ones((4, 4)), np.ones((4, 4)) + 0.1 * rng.normal(size=(4, 4))])      # two tasks much alike
    C = np.einsum("toi,soi->ts", weights, weights) / 16
    right = inverse_covariance(weights, 0, eps=1e-6)
    difference = np.array([1.0, -1.0])
    assert difference @ right @ difference > 100                    # to differ costs much
    assert difference @ published(C + 1e-6 * np.eye(2)) @ difference < 1        # to differ is nearly free


def test_what_the_prior_refuses():
    with pytest.raises(ShapeError, match=r"task_relationship: .*T is 4 and 3"):
        task_relationship(W, P=np.eye(3))
    with pytest.raises(ValueError, match="eps is 0; give one above 0"):
        inverse_covariance(W, 0, eps=0)
    with pytest.raises(ShapeError, match=r"W has shape \(4, 6\), but needs three axes"):
        inverse_covariance(W[..., 0], 0)
