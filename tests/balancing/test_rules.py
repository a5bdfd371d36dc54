"""Each balancing rule against its closed form, its definition, or brute force on two or three tasks."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tinynet.balancing.aligned_mtl import aligned_weights
from tinynet.balancing.cagrad import CAGrad, cagrad_weights
from tinynet.balancing.dynamic_weight_average import DynamicWeightAverage
from tinynet.balancing.famo import FAMO
from tinynet.balancing.geometric_mean import GeometricMean
from tinynet.balancing.gradnorm import GradNorm, gradnorm_loss, gradnorm_target
from tinynet.balancing.imtl import IMTLG, IMTLL, imtl_weights
from tinynet.balancing.log_losses import LogLosses
from tinynet.balancing.mgda import MGDA
from tinynet.balancing.min_norm import min_norm_weights
from tinynet.balancing.pcgrad import pcgrad_weights
from tinynet.balancing.random_weights import RandomWeights
from tinynet.balancing.rule import gram
from tinynet.balancing.uncertainty import Uncertainty, uncertainty_loss, uncertainty_slopes
from tinynet.balancing.weighted_sum import WeightedSum, grid_search, weight_grid
from tinynet.optim import Adam

L = np.array([0.5, 2.0, 3.0])


def slope(f, x, h=1e-6):
    """Central differences of f: (T,) -> number."""
    return np.array([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(len(x))])


def some_gradients(seed, T=3, P=5):
    return np.random.default_rng(seed).normal(size=(T, P))


def simplex(T, n):
    """Points all over the simplex, n + 1 along each edge."""
    counts = np.stack(np.meshgrid(*[np.arange(n + 1)] * (T - 1), indexing="ij"), axis=-1).reshape(-1, T - 1)
    counts = counts[counts.sum(axis=1) <= n]
    return np.column_stack([n - counts.sum(axis=1), counts]) / n


# %% Losses only
def test_the_weighted_sum_and_its_grid():
    """tomaszewska weighted."""
    assert_allclose(WeightedSum([1, 0, 2.5])(L), [1, 0, 2.5])
    assert_allclose(WeightedSum()(L), [1, 1, 1])
    grid = weight_grid(2, (0.1, 1, 10))
    assert_allclose(grid[:, 1] / grid[:, 0], [0.1, 1, 10])
    assert_allclose(grid.sum(axis=1), 2)
    assert len(weight_grid(3)) == 25


def test_grid_search_finds_the_best_point_and_passes_over_runs_that_fail():
    def score(w):
        if w[1] > 1.5:
            raise FloatingPointError("NaN")
        return abs(w[1] - 1)
    best, scores = grid_search(score, weight_grid(2, (0.1, 1, 10)))
    assert_allclose(best, [1, 1])
    assert scores[2] == np.inf


def test_random_weights_sum_to_T_and_are_1_in_the_mean():
    rule = RandomWeights(seed=3)
    w = np.array([rule(L) for _ in range(2000)])
    assert_allclose(w.sum(axis=1), 3)
    assert_allclose(w.mean(axis=0), 1, atol=0.06)


def test_dynamic_weight_average_by_hand():
    rule = DynamicWeightAverage(2, every=2, temperature=2.0)
    losses = np.array([[4, 4], [2, 4], [1, 4], [2, 3], [1, 1], [1, 1.0]])
    w = np.array([rule(l) for l in losses])
    assert_allclose(w[:4], 1)
    r = np.array([1.5 / 3, 3.5 / 4])
    assert_allclose(w[4], 2 * np.exp(r / 2) / np.exp(r / 2).sum())
    assert_allclose(w[5], w[4])


def test_geometric_mean_and_log_sum_weigh_by_their_derivatives():
    assert_allclose(GeometricMean()(L), slope(lambda l: np.prod(l) ** (1 / 3), L), rtol=1e-8)
    assert_allclose(LogLosses()(L), slope(lambda l: np.log(l).sum(), L), rtol=1e-8)


def test_the_geometric_mean_does_not_see_the_scale_of_a_loss():
    scale = np.array([1, 100, 0.01])
    a, b = GeometricMean()(L), GeometricMean()(scale * L) * scale      # as weights of the unscaled losses
    assert_allclose(a / a.sum(), b / b.sum())


# %% Uncertainty
@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_uncertainty_slopes_are_the_derivatives(factor):
    s = np.array([-1.0, 0.3, 2.0])
    weights, ds = uncertainty_slopes(L, s, factor)
    assert_allclose(weights, slope(lambda l: uncertainty_loss(l, s, factor).sum(), L), rtol=1e-8)
    assert_allclose(ds, slope(lambda x: uncertainty_loss(L, x, factor).sum(), s), rtol=1e-7)


def test_regression_is_the_gaussian_likelihood():
    """tomaszewska uncertainty."""
    rng = np.random.default_rng(0)
    residual, sigma = rng.normal(size=50), 1.7
    likelihood = np.exp(-residual ** 2 / (2 * sigma ** 2)) / np.sqrt(2 * np.pi * sigma ** 2)
    ours = uncertainty_loss((residual ** 2).mean(), np.log(sigma ** 2), 0.5)
    assert_allclose(ours + np.log(2 * np.pi) / 2, -np.log(likelihood).mean(), rtol=1e-12)


def test_the_classification_form_touches_the_scaled_softmax_at_sigma_1_where_the_entropy_is_a_half():
    f = np.array([0.5, -0.2, 0.1])
    p = np.exp(f) / np.exp(f).sum()

    def exact(s):
        return np.log(np.exp(f * np.exp(-s)).sum()) - f[0] * np.exp(-s)
    L = -np.log(p[0])
    assert_allclose(uncertainty_loss(L, 0.0, 1.0), exact(0.0), rtol=1e-14)
    entropy = -(p * np.log(p)).sum()
    exact_slope = (exact(1e-6) - exact(-1e-6)) / 2e-6
    assert_allclose(exact_slope - uncertainty_slopes(L, 0.0, 1.0)[1], entropy - 0.5, rtol=1e-7)


def test_erratum_4_the_slides_form_doubles_sigma_squared():
    """tomaszewska erratum 4."""
    for factor, optimum in ((0.5, L), (1.0, 2 * L)):        # the paper's, the slide's
        assert_allclose(uncertainty_slopes(L, np.log(optimum), factor)[1], 0, atol=1e-15)


def test_sigma_comes_to_the_residual():
    rule = Uncertainty(["regression", "classification"], lr=0.05)
    for _ in range(1500):
        rule(np.array([4.0, 0.5]))
    assert_allclose(rule.sigma, [2.0, 1.0], rtol=1e-3)


def test_imtl_l_brings_every_loss_to_1():
    rule = IMTLL(3, lr=0.05)
    for _ in range(1500):
        w = rule(L)
    assert_allclose(w * L, 1, rtol=1e-3)


# %% GradNorm
def test_gradnorm_follows_algorithm_1_line_by_line():
    """tomaszewska gradnorm, fig13, fig14 and fig16."""
    rule, G = GradNorm(2, alpha=1.5, lr=0.1), np.array([[3.0, 4.0], [0.0, 1.0]])
    assert_allclose(rule(np.array([2.0, 4.0]), lambda: G), [1, 1])              # w(0) = 1; L(0) is taken
    # G = (5, 1), Gbar = 3, ratios 1: targets 3 and 3, so w_1 falls and w_2 rises by lr, then their sum is 2
    assert_allclose(rule.w.data, [0.9, 1.1], rtol=1e-6)
    w = rule.w.data.copy()
    assert_allclose(rule(np.array([1.0, 4.0]), lambda: G), w)                   # the step uses w(t)
    assert_allclose(rule.w.data.sum(), 2)
    r = np.array([0.5, 1.0]) / 0.75                                             # fig13's ratios by hand
    assert_allclose(gradnorm_target(w * [5, 1], np.array([0.5, 1.0]), 1.5), (w * [5, 1]).mean() * r ** 1.5)


def test_gradnorms_slope_is_that_of_the_loss_with_the_target_held_constant():
    """tomaszewska fig15."""
    n, w, ratio = np.array([5.0, 1.0, 2.0]), np.array([0.8, 1.5, 0.7]), np.array([0.3, 0.9, 0.6])
    target = gradnorm_target(w * n, ratio, 0.12)
    held = slope(lambda v: np.abs(v * n - target).sum(), w)
    assert_allclose(held, n * np.sign(w * n - target), rtol=1e-8)
    moving = slope(lambda v: gradnorm_loss(v, n, ratio, 0.12), w)
    assert not np.allclose(held, moving)                                        # why the paper says so


def test_gradnorm_makes_the_norms_of_constant_gradients_equal():
    rule, G = GradNorm(2, alpha=0, lr=0.01), np.array([[3.0, 4.0], [0.0, 1.0]])
    for _ in range(500):
        rule(np.ones(2), lambda: G)
    norms = rule.w.data * [5, 1]
    assert_allclose(norms, norms.mean(), rtol=0.05)


# %% Erratum 7: forms of GradNorm in public code, each run beside the right one
def weights_after(rule, *steps):
    """The rule's weights after steps of (losses, norms of the tasks' gradients)."""
    for losses, norms in steps:
        rule(np.array(losses, float), lambda norms=norms: np.diag(np.array(norms, float)))
    return rule.w.data


def test_erratum_7_the_wrong_sign_slows_the_slow_task_down():
    """tomaszewska erratum 7."""
    class WrongSign(GradNorm):
        def weigh(self, losses, gradients):
            self.alpha = -abs(self.alpha)
            return super().weigh(losses, gradients)
    steps = ([1, 1], [1, 1]), ([0.2, 0.8], [1, 1])              # equal norms; task 1 is the slow one
    right, wrong = (weights_after(kind(2, alpha=1.0), *steps) for kind in (GradNorm, WrongSign))
    assert right[1] > 1 > right[0]
    assert_allclose(wrong, right[::-1], rtol=1e-6)


def test_erratum_7_a_late_first_loss_does_not_know_who_is_ahead():
    """tomaszewska erratum 7."""
    class LateStart(GradNorm):
        def weigh(self, losses, gradients):
            self.first = losses.copy()                          # of the last batch of the first epoch, so far
            return super().weigh(losses, gradients)
    steps = ([4, 4], [1, 1]), ([1, 4], [1, 1])
    right, late = (weights_after(kind(2, alpha=1.0), *steps) for kind in (GradNorm, LateStart))
    assert right[1] > 1 > right[0]
    assert_allclose(late, 1)


def test_erratum_7_softmax_weights_go_another_way():
    """tomaszewska erratum 7: of five tasks the one with the shortest gradient should gain weight, and loses some."""
    n = np.array([0.1, 2, 2, 2, 4.1])
    target = gradnorm_target(n, np.ones(5), 0.0)

    def loss(s):
        return np.abs(5 * np.exp(s) / np.exp(s).sum() * n - target).sum()
    assert slope(loss, np.zeros(5))[0] > 0                      # s[0] goes down
    assert weights_after(GradNorm(5, alpha=0.0), (np.ones(5), n))[0] > 1


def test_erratum_7_a_fresh_adam_takes_steps_of_one_length():
    """tomaszewska erratum 7."""
    class FreshAdam(GradNorm):
        def learn(self, parameter, gradient):
            self.optimizer = Adam([parameter], self.optimizer.lr)
            super().learn(parameter, gradient)
    steps = (np.ones(2), [5, 1]), (np.ones(2), [0.005, 0.001])  # the second gradients are a thousandth
    right, fresh = (weights_after(kind(2, alpha=0.0, lr=0.01), *steps) for kind in (GradNorm, FreshAdam))
    assert_allclose(fresh[0] / fresh[1], 0.98 / 1.02, rtol=1e-6)        # twice the rate, whatever the gradient
    assert 0.98 / 1.02 < right[0] / right[1] < 0.99 / 1.01


# %% Gradients
@pytest.mark.parametrize("seed", range(5))
def test_pcgrad_is_algorithm_1_on_vectors(seed):
    G, rng = some_gradients(seed, T=4), np.random.default_rng(seed)
    orders = [rng.permutation(4) for _ in G]
    d = np.zeros(5)
    for i, order in enumerate(orders):
        g = G[i].copy()
        for j in order:
            if j != i and g @ G[j] < 0:
                g -= g @ G[j] / (G[j] @ G[j]) * G[j]
        d += g
    assert_allclose(pcgrad_weights(gram(G), orders) @ G, d, rtol=1e-10, atol=1e-12)


def test_pcgrad_leaves_tasks_that_agree_alone():
    G = np.array([[1.0, 0.2], [0.3, 1.0]])
    assert_allclose(pcgrad_weights(gram(G), [[0, 1], [1, 0]]), 1)


def test_two_conflicting_tasks_no_longer_conflict():
    G = np.array([[1.0, 0.0], [-1.0, 1.0]])
    d = pcgrad_weights(gram(G), [[0, 1], [1, 0]]) @ G
    assert_allclose(d, [0.5, 1.5])
    assert (G @ d >= 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_mgda_for_two_tasks_is_the_closed_form(seed):
    G = some_gradients(seed, T=2)
    first = np.clip((G[1] - G[0]) @ G[1] / ((G[0] - G[1]) ** 2).sum(), 0, 1)
    assert_allclose(MGDA()(np.ones(2), lambda: G), [first, 1 - first], rtol=1e-12)


@pytest.mark.parametrize("P", [1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_point_of_three_against_brute_force(seed, P):
    G = some_gradients(seed, P=P) + 0.7
    c = min_norm_weights(gram(G))
    assert c.min() >= 0
    assert_allclose(c.sum(), 1)
    lengths = ((simplex(3, 200) @ G) ** 2).sum(axis=1)
    assert ((c @ G) ** 2).sum() <= lengths.min() + 1e-12


@pytest.mark.parametrize("T", [3, 10])
@pytest.mark.parametrize("seed", range(10))
def test_the_nearest_point_fulfils_its_condition_of_optimality(seed, T):
    rng = np.random.default_rng(seed)
    G = rng.normal(size=(T, int(rng.integers(1, 15)))) + rng.normal()
    K = gram(G)
    c = min_norm_weights(K)
    assert (K @ c >= c @ K @ c - 1e-9 * np.trace(K)).all()


def test_the_nearest_point_where_points_are_equal_zero_or_opposite():
    for G in (np.ones((3, 2)), np.zeros((3, 2)), np.array([[1.0, 0], [-1, 0], [5, 5]]), np.array([[1.0], [1.0]])):
        c = min_norm_weights(gram(G))
        assert c.min() >= 0
        assert_allclose(c.sum(), 1)
        assert_allclose(((c @ G) ** 2).sum(), ((simplex(len(G), 20) @ G) ** 2).sum(axis=1).min(), atol=1e-12)


@pytest.mark.parametrize("T", [2, 3, 4])
def test_imtl_g_has_equal_projections(T):
    G = some_gradients(T, T=T, P=6)
    w = IMTLG()(np.ones(T), lambda: G)
    units = G / np.linalg.norm(G, axis=1, keepdims=True)
    projections = units @ (w @ G)
    assert_allclose(w.sum(), 1)
    assert_allclose(projections, projections[0], rtol=1e-9)


def test_imtl_g_is_the_papers_closed_form():
    G = some_gradients(1, T=3, P=6)
    U = G / np.linalg.norm(G, axis=1, keepdims=True)
    D, V = G[0] - G[1:], U[0] - U[1:]
    rest = G[0] @ V.T @ np.linalg.inv(D @ V.T)
    assert_allclose(imtl_weights(gram(G)), [1 - rest.sum(), *rest], rtol=1e-9)


def test_imtl_g_where_gradients_are_opposite_takes_equal_weights():
    assert_allclose(imtl_weights(gram(np.array([[1.0, 0], [-1.0, 0]]))), 0.5)


@pytest.mark.parametrize("c", [0.2, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_cagrad_against_brute_force_on_its_dual(seed, c):
    G = some_gradients(seed)
    K, g0 = gram(G), G.mean(axis=0)
    radius = c * np.linalg.norm(g0)
    W = simplex(3, 200)
    values = W @ G @ g0 + radius * np.linalg.norm(W @ G, axis=1)
    w = (cagrad_weights(K, c) - 1 / 3)          # a multiple of the dual's solution
    w /= w.sum()
    assert w @ G @ g0 + radius * np.linalg.norm(w @ G) <= values.min() + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_cagrad_is_within_its_ball_and_no_direction_there_helps_the_worst_task_more(seed):
    G = some_gradients(seed, P=3)
    g0 = G.mean(axis=0)
    d = CAGrad(0.5)(np.ones(3), lambda: G) @ G
    radius = 0.5 * np.linalg.norm(g0)
    assert np.linalg.norm(d - g0) <= radius * (1 + 1e-9)
    steps = np.random.default_rng(seed).normal(size=(20000, 3))
    others = g0 + radius * steps / np.linalg.norm(steps, axis=1, keepdims=True)
    assert (G @ d).min() >= (others @ G.T).min(axis=1).max() - 1e-9


def test_cagrad_without_a_ball_is_the_mean():
    assert_allclose(CAGrad(0)(np.ones(3), lambda: some_gradients(0)), 1 / 3)


@pytest.mark.parametrize("T", [2, 3, 5])
def test_aligned_gradients_are_orthogonal_and_of_equal_length(T):
    G = some_gradients(T, T=T, P=7)
    U, s, Vt = np.linalg.svd(G, full_matrices=False)
    aligned = s[-1] * U @ Vt                    # the orthogonal matrix that is nearest to G, scaled
    assert_allclose(aligned_weights(gram(G)) @ G, aligned.sum(axis=0), rtol=1e-9)


def test_aligned_mtl_passes_over_directions_that_no_gradient_has():
    g = some_gradients(0, T=1)[0]
    d = aligned_weights(gram(np.stack([g, g]))) @ np.stack([g, g])
    assert_allclose(d, 2 * g, rtol=1e-6)
    assert_allclose(aligned_weights(np.zeros((2, 2))), 1)


def test_famo_by_hand():
    rule = FAMO(2, lr=0.025, decay=0.0)
    w = rule(np.array([1.0, 4.0]))
    assert_allclose(w, np.array([1, 1 / 4]) / 1.25)         # z even: like 1 / L, scaled to sum to 1
    assert_allclose(w, slope(lambda l: 0.5 * np.log(l).sum(), np.array([1.0, 4.0])) / 0.625, rtol=1e-8)
    rule.after_step(np.array([0.5, 3.9]))                   # task 0 improved most and loses weight
    assert_allclose(rule.xi.data, [-0.025, 0.025], rtol=1e-5)
