"""The metric of activation functions (saha metric, Lcos, Ldis): against quadrature, and where it degenerates."""

from itertools import pairwise

import numpy as np
import pytest

from tinynet.blocks.tasks.activation_distance import (
    activation_cosine_forward,
    activation_distance_backward,
    activation_distance_forward,
    activation_inner_forward,
    hinge_moments,
    orthonormal_hinges,
)
from tinynet.blocks.tasks.functional_regularization import (
    cosine_regularizer,
    cosine_regularizer_backward,
    cosine_regularizer_forward,
    distance_regularizer,
    distance_regularizer_backward,
    distance_regularizer_forward,
    total_loss,
)
from tinynet.check import gradcheck
from tinynet.engine import Tensor
from tinynet.shapes import ShapeError

GAUSSIANS = [(0.0, 1.0), (0.3, 0.7), (-1.2, 2.0), (0.0, 0.05)]
rng = np.random.default_rng(0)


def expectation(f, kinks, mu, sigma):
    """E f(X) by Gauss and Legendre's quadrature between the kinks; f is smooth there."""
    ends = np.unique(np.clip([mu - 12 * sigma, *kinks, mu + 12 * sigma], mu - 12 * sigma, mu + 12 * sigma))
    ends = np.unique(np.concatenate([np.linspace(*pair, 9) for pair in pairwise(ends)]))
    nodes, weights = np.polynomial.legendre.leggauss(40)
    total = 0.0
    for low, high in pairwise(ends):
        x = (low + high) / 2 + (high - low) / 2 * nodes
        density = np.exp(-0.5 * ((x - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        total += (high - low) / 2 * (weights * density * f(x)).sum()
    return total


def hinge(b):
    return lambda x: np.maximum(b - x, 0)


def relu(x):
    return np.maximum(x, 0)


def function(a, b):
    return lambda x: relu(x) + sum(a_m * np.maximum(b_m - x, 0) for a_m, b_m in zip(a, b, strict=True))


@pytest.mark.parametrize(("mu", "sigma"), GAUSSIANS)
def test_the_closed_forms_are_the_integrals(mu, sigma):
    b = np.array([-1.5, -0.3, 0.0, 0.3, 0.3, 2.0])
    moments = hinge_moments(b, mu, sigma)
    kinks = [0, *b]
    W = [[expectation(lambda x, m=m, n=n: hinge(m)(x) * hinge(n)(x), kinks, mu, sigma) for n in b] for m in b]
    U = [expectation(lambda x, m=m: relu(x) * hinge(m)(x), kinks, mu, sigma) for m in b]
    c = expectation(lambda x: relu(x) ** 2, kinks, mu, sigma)
    np.testing.assert_allclose(moments.W, W, rtol=0, atol=1e-10)
    np.testing.assert_allclose(moments.U, U, rtol=0, atol=1e-10)
    assert abs(moments.c - c) < 1e-10


@pytest.mark.parametrize(("mu", "sigma"), GAUSSIANS)
def test_inner_products_distances_and_cosines_of_whole_functions(mu, sigma):
    a, b = rng.normal(size=(3, 5)), rng.normal(size=5)
    F, kinks = [function(row, b) for row in a], [0, *b]
    K = np.array([[expectation(lambda x, f=f, g=g: f(x) * g(x), kinks, mu, sigma) for g in F] for f in F])
    d2 = [[expectation(lambda x, f=f, g=g: (f(x) - g(x)) ** 2, kinks, mu, sigma) for g in F] for f in F]
    settings = dict(mu=mu, sigma=sigma)
    np.testing.assert_allclose(activation_inner_forward(a, b, **settings)[0], K, rtol=0, atol=1e-10)
    np.testing.assert_allclose(activation_distance_forward(a, b, **settings)[0] ** 2, d2, rtol=0, atol=1e-10)
    n = np.sqrt(np.diag(K))
    np.testing.assert_allclose(activation_cosine_forward(a, b, **settings)[0], K / np.outer(n, n), rtol=0, atol=1e-10)


def test_the_standard_gaussian_in_the_slides_short_form():
    b = np.array([0.3])
    Phi, phi = 0.6179114221889526, np.exp(-0.045) / np.sqrt(2 * np.pi)
    moments = hinge_moments(b)
    assert moments.W.item() == pytest.approx((1 + 0.09) * Phi + 0.3 * phi, rel=1e-12)
    assert moments.U.item() == pytest.approx(0.3 / np.sqrt(2 * np.pi) + 0.5 - Phi, rel=1e-12)
    assert moments.c == pytest.approx(0.5, rel=1e-15)


def test_the_published_cross_term_of_the_relu_is_another_number():
    """saha erratum 6: it multiplies by max(0, b) what is right where b > 0, and writes 0.4 for 1 / sqrt(2 pi)."""
    b, Phi, right = 0.3, 0.6179114221889526, hinge_moments(np.array([0.3])).U.item()
    published = max(0, b) * (0.4 * b + 0.5 - Phi)
    assert right == pytest.approx(0.00177, abs=5e-6)
    assert published == pytest.approx(0.00063, abs=5e-6)
    assert expectation(lambda x: relu(x) * hinge(b)(x), [0, b], 0, 1) == pytest.approx(right, abs=1e-12)


def test_sixty_four_hinges_are_nearly_dependent_and_the_distance_still_is_right():
    b, a = rng.uniform(-0.5, 0.5, 64), 0.01 * rng.normal(size=(2, 64))
    assert np.linalg.cond(hinge_moments(b).W) > 1e12
    F = [function(row, b) for row in a]
    d2 = expectation(lambda x: (F[0](x) - F[1](x)) ** 2, [0, *b], 0, 1)
    d = activation_distance_forward(a, b)[0]
    assert d[0, 1] ** 2 == pytest.approx(d2, rel=1e-10)
    assert d[0, 0] == d[1, 1] == 0


def test_distance_is_a_metric_on_functions_and_not_on_coordinates():
    a, b = rng.normal(size=(4, 3)), np.array([0.2, 0.2, -1.0])
    d = activation_distance_forward(a, b)[0]
    np.testing.assert_allclose(d, d.T, rtol=0, atol=1e-15)
    assert (d[:, :, None] <= d[:, None, :] + d.T[None, :, :] + 1e-12).all()
    moved = a + np.array([1.0, -1.0, 0.0])          # two hinges that coincide: other coordinates, the same functions
    apart = activation_distance_forward(np.concatenate([a, moved]), b)[0]
    np.testing.assert_allclose(np.diag(apart[:4, 4:]), 0, atol=1e-7)


def test_no_function_is_zero_so_every_cosine_is_finite():
    b = np.linspace(-0.5, 0.5, 64)
    moments = hinge_moments(b)
    a = -np.linalg.lstsq(moments.W, moments.U, rcond=1e-12)[0]      # the nearest that hinges come to minus the ReLU
    smallest = activation_inner_forward(a[None], b)[0].item()
    assert smallest == pytest.approx(0.485, abs=1e-3)
    np.testing.assert_allclose(activation_cosine_forward(np.zeros((2, 64)), b)[0], 1, rtol=1e-12)


def test_the_subgradient_where_functions_are_equal_is_zero():
    a, b = np.ones((3, 1)) * rng.normal(size=4), rng.normal(size=4)
    _, cache = activation_distance_forward(a, b)
    da, db = activation_distance_backward(np.ones((3, 3)), cache)
    assert not da.any()
    assert not db.any()


@pytest.mark.parametrize("sigma", [0, -1.0, np.nan, np.inf])
def test_a_width_that_is_none_is_refused(sigma):
    with pytest.raises(ValueError, match=rf"activation_distance: .* sigma = {sigma}; give a finite mu .* above 0"):
        activation_distance_forward(np.ones((2, 3)), np.ones(3), sigma=sigma)


def test_other_numbers_of_hinges_are_refused():
    with pytest.raises(ShapeError, match=r"activation_cosine: .*M is 3 and 2"):
        activation_cosine_forward(np.ones((2, 3)), np.ones(2))


# %% Gram and Schmidt
@pytest.mark.parametrize(("mu", "sigma"), GAUSSIANS[:3])
def test_the_set_is_orthonormal(mu, sigma):
    b = np.array([-1.0, -0.4, 0.1, 0.8])
    Q = orthonormal_hinges(b, mu, sigma)
    f = [lambda x, q=q: sum(q_m * np.maximum(b_m - x, 0) for q_m, b_m in zip(q, b, strict=True)) for q in Q]
    inner = [[expectation(lambda x, g=g, h=h: g(x) * h(x), b, mu, sigma) for g in f] for h in f]
    np.testing.assert_allclose(inner, np.eye(4), rtol=0, atol=1e-9)
    assert np.array_equal(Q, np.tril(Q))            # the k-th function uses the first k hinges


def test_a_hinge_that_stands_twice_adds_no_function():
    Q = orthonormal_hinges(np.array([0.5, 0.5, -0.5]))
    assert Q.shape == (2, 3)
    assert not Q[:, 1].any()


@pytest.mark.parametrize(("independent", "most"), [(1e-6, 64), (0.01, 40)])
def test_sixty_four_hinges_are_orthonormal_to_what_rounding_leaves(independent, most):
    b = np.linspace(-0.5, 0.5, 64)
    many = orthonormal_hinges(b, independent=independent)
    assert most / 3 < len(many) <= most
    np.testing.assert_allclose(many @ hinge_moments(b).W @ many.T, np.eye(len(many)), atol=1e-6)


# %% The regularizers
@pytest.mark.parametrize(("mu", "sigma"), GAUSSIANS[:3])
def test_they_are_the_slides_sums_over_all_pairs(mu, sigma):
    a, b = rng.normal(size=(5, 4)), rng.normal(size=4)
    d, C = (f(a, b, mu, sigma)[0] for f in (activation_distance_forward, activation_cosine_forward))
    assert distance_regularizer_forward(a, b, mu, sigma)[0] == pytest.approx((d**2).sum() / 25, rel=1e-12)
    assert cosine_regularizer_forward(a, b, mu, sigma)[0] == pytest.approx(-C.sum() / 25, rel=1e-12)


DEGENERATE = {"one task": rng.normal(size=(1, 4)), "equal functions": np.ones((3, 1)) * rng.normal(size=4),
              "all ReLU": np.zeros((3, 4))}


@pytest.mark.parametrize("a", DEGENERATE.values(), ids=DEGENERATE)
def test_where_all_functions_are_equal_there_is_nothing_to_draw_together(a):
    b = np.array([0.3, 0.3, -0.2, 1.0])             # and two hinges that coincide
    for (forward, backward), value in (((distance_regularizer_forward, distance_regularizer_backward), 0),
                                       ((cosine_regularizer_forward, cosine_regularizer_backward), -1)):
        loss, cache = forward(a, b)
        assert loss == pytest.approx(value, abs=1e-14)
        for gradient in backward(1.0, cache):
            np.testing.assert_allclose(gradient, 0, atol=1e-14)


def test_the_published_cosine_without_the_norms_gradient_fails_the_check():
    """saha erratum 6: the norms, W and U are detached, so a is pulled the wrong way and b not at all."""
    def backward(dL, cache):
        A, moments, n, _ = cache
        dK = -dL / len(A)**2 / np.outer(n, n)
        return 2 * dK @ (A @ moments.W + moments.U), np.zeros(A.shape[1])
    a, b = rng.normal(size=(4, 3)), rng.normal(size=3)
    report = gradcheck(cosine_regularizer_forward, backward, a, b)
    assert not report.ok
    assert "zero" in report.kinds


def test_no_tasks_are_refused():
    for op in (cosine_regularizer, distance_regularizer):
        with pytest.raises(ShapeError, match=rf"{op.name}: a \(T M\) = \(0, 3\), and the mean over T = 0 tasks"):
            op(np.ones((0, 3)), np.ones(3))
    with pytest.raises(ValueError, match="total_loss: there are no losses of tasks"):
        total_loss([])


def test_the_total_is_the_mean_loss_and_c_times_the_layers_sum():
    losses, layers = [Tensor(1.0), Tensor(5.0)], [Tensor(0.5), Tensor(-0.25)]
    assert total_loss(losses, layers, c=2).item() == 3.5
    assert total_loss(losses).item() == 3
