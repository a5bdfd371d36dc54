# %% [markdown]
# # Weighing the tasks' losses

# %% [markdown]
"""How much should each task's loss count?  Weights from a grid, from the tasks' noise, and from a dozen other rules.

Slides: tomaszewska weighted, uncertainty, erratum 4, erratum 16
Blocks: mean_squared_error, linear
Run time: 30 s, --quick 2 s (one core); on SARCOS, with --data, 40 s more
Figures: tomaszewska_uncertainty_two-kinds.png, tomaszewska_weighted_grid.png, tomaszewska_weighted_all-rules.png

The weighted sum and what its grid costs, uncertainty weighting from its likelihood to the published toy,
and all rules of tinynet.balancing side by side.  GradNorm has the next lesson.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import optim, plot
from tinynet.balancing.aligned_mtl import AlignedMTL
from tinynet.balancing.cagrad import CAGrad
from tinynet.balancing.dynamic_weight_average import DynamicWeightAverage
from tinynet.balancing.famo import FAMO
from tinynet.balancing.geometric_mean import GeometricMean
from tinynet.balancing.gradnorm import GradNorm
from tinynet.balancing.imtl import IMTLG, IMTLL
from tinynet.balancing.log_losses import LogLosses
from tinynet.balancing.mgda import MGDA
from tinynet.balancing.pcgrad import PCGrad
from tinynet.balancing.random_weights import RandomWeights
from tinynet.balancing.uncertainty import Uncertainty, uncertainty_loss
from tinynet.balancing.weighted_sum import WeightedSum, grid_search, weight_grid
from tinynet.blocks.losses.mean_squared_error import mean_squared_error
from tinynet.data.multitask import sarcos
from tinynet.data.task_toys import noisy_lines, scaled_regressions
from tinynet.lesson import lesson
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.train import fit
from tinynet.train.batches import Generated, Whole

rng = np.random.default_rng(lesson.seed)
seeds = range(lesson.seed, lesson.seed + (2 if lesson.quick else 5))

# %% [markdown]
# ## Uncertainty: from the Gaussian likelihood to the loss
# $$-\log p(y \mid f(x)) = \frac{(y - f)^2}{2\sigma^2} + \log\sigma + \tfrac12 \log 2\pi$$
# so with $L$ the mean squared error and $s = \log\sigma^2$ the loss is $\tfrac12 e^{-s} L + \tfrac12 s$.

# %%
residual, sigma = rng.normal(size=1000), 1.7
likelihood = np.exp(-residual ** 2 / (2 * sigma ** 2)) / np.sqrt(2 * np.pi * sigma ** 2)
ours = uncertainty_loss((residual ** 2).mean(), np.log(sigma ** 2), 0.5) + np.log(2 * np.pi) / 2
lesson.number("uncertainty: loss + constant, -log likelihood", [ours, -np.log(likelihood).mean()])

# %% [markdown]
# ## Erratum 4: the slide prints $L/\sigma^2 + \log\sigma$
# Its minimum lies at $\sigma^2 = 2L$. That of the likelihood, $L/(2\sigma^2) + \log\sigma$, lies at $\sigma^2 = L$.
# (For a cross-entropy the paper has the slide's form, from an approximation.)

# %%
L, s = 4.0, np.linspace(-1, 5, 60001)
for name, factor in (("paper, a regression", 0.5), ("slide", 1.0)):
    best = s[uncertainty_loss(L, s, factor).argmin()]
    lesson.number(f"erratum 4: sigma^2 at the minimum for L = 4, {name}", np.exp(best), {0.5: L, 1.0: 2 * L}[factor],
                  "by hand")

# %% [markdown]
# ## Two kinds of noise in the data (aleatoric uncertainty), and a lack of data (epistemic)
# *Homoscedastic*: one $\sigma$ for all of a task, what the rule learns. *Heteroscedastic*: $\sigma(x)$ depends on the
# example. Both stay, however much data there is. *Epistemic* uncertainty goes away with more data; here it is the
# spread of ten lines, each fitted to other points.

# %%
x = np.sort(rng.uniform(0, 4, 200))
draws = {"homoscedastic:\none $\\sigma$": 0.8 + 0 * x, "heteroscedastic:\n$\\sigma(x) = 0.1 + 0.4 x$": 0.1 + 0.4 * x}
fig, axes = plot.subplots(1, 3, sharey=True)
for ax, (name, sd) in zip(axes, draws.items(), strict=False):
    y = 1 + x + sd * rng.normal(size=x.size)
    ax.plot(x, y, "o", color=plot.GREY, markersize=4)
    ax.plot(x, 1 + x, color=plot.COLOURS[0])
    for side in (-2, 2):
        ax.plot(x, 1 + x + side * sd, color=plot.COLOURS[1], linestyle="--")
    ax.set(xlabel="x", ylabel="y" if ax is axes[0] else "", title=name)
for few, look in ((8, dict(color=plot.COLOURS[1], linestyle="--")), (200, dict(color=plot.COLOURS[0]))):
    for _ in range(10):
        at = rng.uniform(0, 4, few)
        fitted = np.polyfit(at, 1 + at + 0.8 * rng.normal(size=few), 1)
        axes[2].plot(x, np.polyval(fitted, x), linewidth=1, **look)
axes[2].set(xlabel="x", title="epistemic: fits to 8\n(dashed), 200 points")
lesson.save(fig, "tomaszewska_uncertainty_two-kinds")

# %% [markdown]
# ## uncertainty: the published toy
# $y_1 = 2x + 8 + 10\varepsilon$, $y_2 = 3x + 3 + \varepsilon$, 100 points, 1,024 hidden units, Adam at .001, batches
# of 20, 2,000 epochs. The notebooks report $\sigma$ = 8.6 and .92. Erratum 16: these runs have not converged. At the
# net's own rate $s$ lags behind; at ten times that rate $\sigma$ equals what is left of the residual.


# %%
def squared_errors(net, x, *targets):
    return [mean_squared_error(y, t) for y, t in zip(net(x), targets, strict=True)]


def toy(rate, epochs):
    """(sigma, root of the mean squared residual) of both tasks."""
    x, y = noisy_lines(seed=0)
    net, rule = SharedTrunk(1, (1024,), (1, 1), rng=lesson.seed, dtype=float), Uncertainty(["regression"] * 2, lr=rate)

    def draw(rng):
        rows = rng.integers(100, size=20)
        return x[rows], *y[:, rows]
    fit(net, squared_errors, Generated(draw, 5), optim.Adam(net.parameters(), 1e-3), epochs=epochs, rng=lesson.seed,
        balance=rule, progress=False)
    with tn.no_grad():
        left = [np.sqrt(((f.data - t) ** 2).mean()) for f, t in zip(net(x), y, strict=True)]
    return rule.sigma, np.array(left)


for rate in (1e-3, 1e-2):
    sigma, left = toy(rate, 50 if lesson.quick else 2000)
    lesson.number(f"uncertainty: sigma, rate of s {rate}", sigma, [8.6, 0.92] if rate == 1e-3 else None, "notebooks")
    lesson.number(f"root of the mean squared residual, rate {rate}", left)

# %% [markdown]
# ## weighted: the sum and its grid
# $$L = \sum_k \alpha_k L_k$$
# Two regressions in different units (20 : 1) on one narrow trunk, 15 inputs and 8 units. What counts is the mean of the
# two errors, each divided by its target's variance. The grid needs a training run for each point, and examples to
# choose by: of 1,000 examples that nobody trained on one half is for that, the other half is the test.

# %%
steps = 40 if lesson.quick else 600


def train(rule, seed):
    """Mean over the tasks of error / variance, (on the half to choose by, on the test half)."""
    data = scaled_regressions(seed)
    net, batch = SharedTrunk(15, (8,), (1, 1), rng=seed), Whole((data.X_train, *data.Y_train), len(data.X_train))
    fit(net, squared_errors, batch, optim.Adam(net.parameters(), 5e-3), steps=steps, balance=rule, progress=False)
    with tn.no_grad():
        pairs = [(y.data, t) for y, t in zip(net(data.X_test), data.Y_test, strict=True)]
    return [np.mean([((y[rows] - t[rows]) ** 2).mean() / t.var() for y, t in pairs])
            for rows in (slice(0, 500), slice(500, None))]


# %%
ratios = (0.01, 1, 10, 100, 1000)
grid = weight_grid(2, ratios)
searched = [grid_search(lambda w, seed=seed: train(WeightedSum(w), seed)[0], grid) for seed in seeds]
best, scores = (np.array(found) for found in zip(*searched, strict=True))
uncertain = np.array([train(Uncertainty(["regression"] * 2, lr=5e-2), seed) for seed in seeds])[:, 0]
for ratio, error in zip(ratios, scores.mean(axis=0), strict=True):
    lesson.number(f"weighted: error at alpha2 / alpha1 = {ratio:g}", error)
lesson.number("uncertainty, s at ten times the net's rate: error", uncertain.mean())

# %%
fig, ax = plot.subplots()
ax.errorbar(ratios, scores.mean(axis=0), yerr=scores.std(axis=0, ddof=1), fmt="o-", color=plot.COLOURS[0], capsize=4,
            label=f"weighted, {len(grid)} runs")
ax.axhline(uncertain.mean(), color=plot.COLOURS[1], linestyle="--", label="uncertainty, 1 run")
ax.set(xscale="log", xlabel=r"$\alpha_2 / \alpha_1$", ylabel="mean of error / variance (to choose by)",
       ylim=(0, 0.8), title="Two regressions of scales 20 : 1")
ax.legend(loc="lower left")
lesson.save(fig, "tomaszewska_weighted_grid")

# %% [markdown]
# ## All rules side by side, on the same problem
# IMTL-L and uncertainty weighting are the same rule here, up to a factor that Adam takes away. MGDA follows the task
# with the short gradient. GradNorm depends on the rate of its weights: the right ratio is about 1 : 400. Three weights
# are static: the best of the grid, those at which GradNorm ended, and an oracle's, who knows the scales, 1 / scale^2.

# %%
RULES = {
    "equal weights": WeightedSum, "random weights": RandomWeights,
    "dynamic weight average": lambda: DynamicWeightAverage(2, every=20), "geometric mean": GeometricMean,
    "sum of log losses": LogLosses, "uncertainty": lambda: Uncertainty(["regression"] * 2, lr=5e-2),
    "GradNorm, rate .005": lambda: GradNorm(2, alpha=0.12, lr=0.005),
    "GradNorm, rate .02": lambda: GradNorm(2, alpha=0.12, lr=0.02), "PCGrad": PCGrad, "MGDA": MGDA, "IMTL-G": IMTLG,
    "IMTL-L": lambda: IMTLL(2, lr=5e-2), "CAGrad": CAGrad, "Aligned-MTL": AlignedMTL, "FAMO": lambda: FAMO(2),
}
errors = {name: np.array([train(make(), seed)[1] for seed in seeds]) for name, make in RULES.items()}


def gradnorms_last(seed):
    rule = GradNorm(2, alpha=0.12, lr=0.02)
    train(rule, seed)
    return rule.w.data


STATIC = {"static: best of the grid": best, "static: GradNorm's last": [gradnorms_last(seed) for seed in seeds],
          "static: 1 / scale^2 (oracle)": [np.array([1 / 400, 1]) * 2 / (1 + 1 / 400)] * len(seeds)}
for name, weights in STATIC.items():
    errors[name] = np.array([train(WeightedSum(w), seed)[1] for w, seed in zip(weights, seeds, strict=True)])
    lesson.number(f"{name}: alpha2 / alpha1, the mean of log10", np.mean([np.log10(w[1] / w[0]) for w in weights]))
for name, e in errors.items():
    less = errors["equal weights"] - e
    se = less.std(ddof=1) / len(less) ** 0.5
    lesson.number(name, f"{e.mean():.3f};  {less.mean():+.3f} +- {se:.3f};  {(less > 0).sum()}/{len(less)}")
uniform, uncertain, best_of_grid = (errors[name] for name in ("equal weights", "uncertainty", next(iter(STATIC))))

# %%
fig, ax = plot.subplots(height=6)
order = sorted(errors, key=lambda name: errors[name].mean(), reverse=True)
for row, name in enumerate(order):
    ax.plot(errors[name], np.full(len(errors[name]), row), "o", color=plot.GREY, markersize=4)
    ax.plot(errors[name].mean(), row, "s" if name in STATIC else "D", color=plot.COLOURS[name in STATIC])
ax.set(yticks=range(len(order)), yticklabels=order, xlabel="mean of error / variance (squares: static weights)",
       title=f"Two regressions of scales 20 : 1, {len(seeds)} seeds and their mean")
lesson.save(fig, "tomaszewska_weighted_all-rules")

# %% [markdown]
# ## With --data: the seven torques of SARCOS, whose scales go from 1 to 20


# %%
def sarcos_error(make, seed, steps):
    """Mean squared error in % of the torques' variance; 1,000 rows to train on."""
    X, Y = sarcos(lesson.data)
    rows = np.random.default_rng(seed).permutation(len(X))
    mean, deviation = X[rows[:1000]].mean(axis=0), X[rows[:1000]].std(axis=0)
    X, net = (X - mean) / deviation, SharedTrunk(21, (32, 32), (1,) * 7, rng=seed)
    train, test = rows[:1000], rows[1000:]
    batch = Whole((X[train], *Y[train].T[..., None]), 1000)
    fit(net, squared_errors, batch, optim.Adam(net.parameters(), 3e-3), steps=steps, balance=make(), progress=False)
    with tn.no_grad():
        return 100 * np.mean([((y.data[:, 0] - Y[test, k]) ** 2).mean() / Y[test, k].var()
                              for k, y in enumerate(net(X[test]))])


if lesson.data:
    for name, make in {"equal weights": WeightedSum, "uncertainty": lambda: Uncertainty(["regression"] * 7, lr=3e-2),
                       "sum of log losses": LogLosses}.items():
        e = [sarcos_error(make, seed, 40 if lesson.quick else 1000) for seed in range(4)]
        lesson.number(f"SARCOS, {name}: error (% of variance)", f"{np.mean(e):.1f} +- {np.std(e, ddof=1):.1f}")

# %%
less = uniform - uncertain
clear = less.mean() > 3 * less.std(ddof=1) / len(less) ** 0.5
winners = order[::-1][:3]
lesson.shown(f"at scales 20 : 1 the error is {uncertain.mean():.3f} with uncertainty weighting, {uniform.mean():.3f} "
             f"with equal weights{'' if clear else ' (within the noise)'}, {best_of_grid.mean():.3f} for the best of "
             f"{len(grid)} runs of a grid and {errors['static: 1 / scale^2 (oracle)'].mean():.3f} for the oracle's "
             f"static weights; the lowest means are those of {', '.join(winners)}")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.balancing.geometric_mean import GeometricMean
# from tinynet.balancing.min_norm import min_norm_weights
# from tinynet.balancing.pcgrad import pcgrad_weights
# from tinynet.balancing.rule import gram
# from tinynet.balancing.uncertainty import Uncertainty, uncertainty_slopes
# ```
#
# **1.** Uncertainty, a regression with L = 4: at which sigma does its weight stop moving?
#
# <details><summary>Answer</summary>
#
# At 2: sigma^2 = L.
#
# ```python
# [uncertainty_slopes(4.0, np.log(sigma ** 2), 0.5)[1] for sigma in (1, 2, 4)]      # -> [-1.5, 0, 0.375]
# ```
#
# </details>
#
# **2.** Losses 100 and 1, both regressions with sigma = 1: which weights at the first step?
#
# <details><summary>Answer</summary>
#
# 1/2 for both: the rule has yet to learn.
#
# ```python
# Uncertainty(['regression'] * 2)(np.array([100.0, 1.0]))      # -> [0.5, 0.5]
# ```
#
# </details>
#
# **3.** The geometric mean of the same losses: which weights?
#
# <details><summary>Answer</summary>
#
# The larger loss gets a hundredth of the other's.
#
# ```python
# GeometricMean()(np.array([100.0, 1.0]))      # -> [0.05, 5]
# ```
#
# </details>
#
# **4.** Gradients (1, 0) and (-0.5, 1): PCGrad's step?
#
# <details><summary>Answer</summary>
#
# (0.8, 1.4): each has lost what goes against the other.
#
# ```python
# G = np.array([[1.0, 0], [-0.5, 1]])
# pcgrad_weights(gram(G), [[0, 1], [0, 1]]) @ G      # -> [0.8, 1.4]
# ```
#
# </details>
#
# **5.** Gradients (1, 0) and (0, 3): MGDA takes the shortest of their mixtures. Which weights?
#
# <details><summary>Answer</summary>
#
# 0.9 and 0.1: the task with the small gradient decides.
#
# ```python
# min_norm_weights(gram(np.array([[1.0, 0], [0, 3]])))      # -> [0.9, 0.1]
# ```
#
# </details>
