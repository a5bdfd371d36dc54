# %% [markdown]
# # When many tasks help

# %% [markdown]
"""When does training on many tasks help?  Capacity, task covariance, optimisation.

Slides: tomaszewska wu2020, negative-transfer
Blocks: linear, mean_squared_error
Run time: 25 s, --quick 2 s (one core)
Figures: tomaszewska_wu2020_capacity.png, tomaszewska_wu2020_covariance.png

The three components that Wu, Zhang and Re (2020) name, each in the smallest setting that shows it:
where it can be exact, it is.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import optim, plot
from tinynet.balancing.cagrad import CAGrad
from tinynet.balancing.pcgrad import PCGrad
from tinynet.balancing.uncertainty import Uncertainty
from tinynet.balancing.weighted_sum import WeightedSum
from tinynet.blocks.losses.mean_squared_error import mean_squared_error
from tinynet.lesson import lesson
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.train import fit
from tinynet.train.batches import Whole

D, NOISE = 20, 0.5


# %%
def regressions(seed, thetas, sizes, deviations=None):
    """(X, y) of each task: x ~ N(0, diag(deviations^2)), y = x theta + noise."""
    rng = np.random.default_rng(seed)
    deviations = np.ones((len(thetas), D)) if deviations is None else deviations
    X = [rng.normal(size=(n, D)) * s for n, s in zip(sizes, deviations, strict=True)]
    return X, [x @ t + NOISE * rng.normal(size=len(x)) for x, t in zip(X, thetas, strict=True)]


def alone(X, y):
    """Each task's least squares (T, D)."""
    return np.array([np.linalg.solve(x.T @ x, x.T @ v) for x, v in zip(X, y, strict=True)])


def shared(X, y, r, rounds=200):
    """Least squares of theta_i = B a_i with B (D, r), by steps that are each exact (T, D)."""
    K, c = [x.T @ x for x in X], [x.T @ v for x, v in zip(X, y, strict=True)]
    A = np.linalg.svd(alone(X, y))[0][:, :r]            # the first r directions of the tasks' own solutions
    for _ in range(rounds):
        system = sum(np.kron(np.outer(a, a), Ki) for a, Ki in zip(A, K, strict=True))
        B = np.linalg.lstsq(system, sum(np.kron(a, ci) for a, ci in zip(A, c, strict=True)), rcond=1e-12)[0]
        B = np.linalg.qr(B.reshape(r, D).T)[0]
        A = np.array([np.linalg.solve(B.T @ Ki @ B, B.T @ ci) for Ki, ci in zip(K, c, strict=True)])
    return A @ B.T


# %% [markdown]
# ## wu2020: capacity, exactly
# Linear tasks $y_i = X_i \theta_i + \varepsilon$, the net $\hat\theta_i = B a_i$ with $B \in R^{d \times r}$ shared.
# With $r \ge T$ there is room for every task's own solution: multi-task learning *is* single-task learning.

# %%
rng = np.random.default_rng(lesson.seed)
thetas = rng.normal(size=(2, D)) / np.sqrt(D)
X, y = regressions(lesson.seed, thetas, (40, 40))
for r in (1, 2):
    away = abs(shared(X, y, r) - alone(X, y)).max()
    lesson.number(f"wu2020 capacity: |theta - theta alone|, two tasks, r = {r}", away, 0 if r == 2 else None, "exact")

# %% [markdown]
# ## wu2020: capacity of ReLU nets
# Four tasks are functions of one plane of $R^{20}$, 80 examples each, noise .3. One hidden layer of $r$ units is shared
# (MTL), or each task has its own (STL). A wide layer has room to treat each task apart.


# %%
def one_plane(seed, n=80, test=1000, tasks=4):
    """x (T, n, D), y (T, n, 1) and the same for testing; y = 4 tasks' functions of x's first two directions."""
    rng = np.random.default_rng(seed)
    plane = np.linalg.qr(rng.normal(size=(D, 2)))[0]
    x = rng.normal(size=(tasks, n + test, D))
    angle, bias = rng.uniform(0, 2 * np.pi, (tasks, 3)), rng.normal(size=(tasks, 3))
    directions = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    y = np.maximum(x @ plane @ directions + bias[:, None], 0) @ rng.normal(size=(tasks, 3, 1))
    y = (y - y.mean(axis=1, keepdims=True)) / y.std(axis=1, keepdims=True)
    y[:, :n] += 0.3 * rng.normal(size=(tasks, n, 1))
    x, y = x.astype(np.float32), y.astype(np.float32)
    return x[:, :n], y[:, :n], x[:, n:], y[:, n:]


def error(seed, width, split, steps, rule=None):
    x, y, x_test, y_test = one_plane(seed)
    net = SharedTrunk(D, (width,), (1,) * len(x), split=split, rng=seed)

    def losses(net, x, *targets):
        return [mean_squared_error(f, t) for f, t in zip(net(x), targets, strict=True)]
    fit(net, losses, Whole((x, *y), y.size), optim.Adam(net.parameters(), 1e-2), steps=steps,
        balance=rule and rule(), progress=False)
    with tn.no_grad():
        return np.mean([((f.data - t) ** 2).mean() for f, t in zip(net(x_test), y_test, strict=True)])


# %%
steps, seeds = (30, range(2)) if lesson.quick else (300, range(lesson.seed, lesson.seed + 6))
widths = (2, 4, 8, 16, 64, 256)
errors = np.array([[[error(seed, r, split, steps) for split in (0, 1)] for seed in seeds] for r in widths])
gains = errors[:, :, 0] - errors[:, :, 1]
se = gains.std(axis=1, ddof=1) / np.sqrt(len(seeds))
for r, e, g, s in zip(widths, errors.mean(axis=1), gains, se, strict=True):
    lesson.number(f"wu2020 capacity, {r} units: STL, MTL; gain",
                  f"{e[0]:.2f}, {e[1]:.2f};  {g.mean():+.3f} +- {s:.3f};  {(g > 0).sum()}/{len(g)}")

# %%
fig, axes = plot.subplots(1, 2)
plot.curves(axes[0], widths, dict(zip(("each task alone", "shared layer"), errors.mean(axis=1).T, strict=True)),
            legend="lower right")
axes[0].set(xscale="log", xlabel="hidden units r", ylabel="test error (1: the mean)", ylim=(0, None),
            title="Four tasks on one plane of $R^{20}$")
axes[1].errorbar(widths, gains.mean(axis=1), yerr=2 * se, fmt="o-", color=plot.COLOURS[0], capsize=4)
axes[1].axhline(0, color="black", linewidth=0.8)
axes[1].set(xscale="log", xlabel="hidden units r", ylabel="saved by sharing (mean, 2 se)",
            title=f"What sharing saves, {len(seeds)} seeds")
lesson.save(fig, "tomaszewska_wu2020_capacity")

# %% [markdown]
# ## wu2020: task covariance
# Same $\theta$ for both tasks. The target's inputs (40 examples) have variance 1 in ten directions and $1/k$ in the
# others; the source's (400 examples) the same (*aligned*), or the other way round (*swapped*). Gain: excess risk of the
# target, $(\hat\theta - \theta)' \Sigma (\hat\theta - \theta)$, alone minus shared ($r = 1$).


# %%
def covariance_gain(seed, k, swapped):
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=D)
    theta /= np.linalg.norm(theta)
    target = np.where(np.arange(D) < D // 2, 1, k ** -0.5)
    source = target[::-1] if swapped else target
    X, y = regressions(seed + 1000, (theta, theta), (40, 400), (target, source))
    risks = [(((found[0] - theta) * target) ** 2).sum() for found in (alone(X, y), shared(X, y, 1, rounds=20))]
    return risks[0] - risks[1]


ks, many = (1, 4, 16, 64), range(lesson.seed, lesson.seed + (10 if lesson.quick else 40))
aligned, swapped = (np.array([[covariance_gain(s, k, way) for s in many] for k in ks]) for way in (False, True))
for k, a, b in zip(ks, aligned, swapped, strict=True):
    d = a - b
    lesson.number(f"wu2020 covariance, k = {k}: gain aligned, swapped; difference",
                  f"{a.mean():.3f}, {b.mean():.3f};  {d.mean():+.3f} +- {d.std(ddof=1) / len(d) ** 0.5:.3f}")

# %% [markdown]
# ## wu2020, negative-transfer: more data of a task that points elsewhere
# $\cos(\theta_1, \theta_2) = .8$, target 40 examples.

# %%
sizes, size_gains = (40, 400, 2000), []
for n2 in sizes:
    found = []
    for seed in many:
        rng = np.random.default_rng(seed)
        first, other = np.linalg.qr(rng.normal(size=(D, 2)))[0].T
        X, y = regressions(seed + 1000, (first, 0.8 * first + 0.6 * other), (40, n2))
        found.append(((alone(X, y)[0] - first) ** 2).sum() - ((shared(X, y, 1, rounds=20)[0] - first) ** 2).sum())
    size_gains.append(found)
size_gains = np.array(size_gains)
for n2, g in zip(sizes, size_gains, strict=True):
    lesson.number(f"wu2020: gain with {n2} examples of the source", f"{g.mean():+.3f} +- {g.std() / len(g) ** 0.5:.3f}")

# %%
fig, axes = plot.subplots(1, 2)
for name, g, k in (("aligned", aligned, 0), ("swapped", swapped, 1)):
    axes[0].errorbar(ks, g.mean(axis=1), yerr=2 * g.std(axis=1) / len(many) ** 0.5, capsize=4, label=name,
                     color=plot.COLOURS[k], linestyle=plot.DASHES[k], marker=plot.MARKERS[k])
axes[0].set(xscale="log", xlabel="ratio k of the variances", ylabel="excess risk saved (2 se)", ylim=(0, None),
            title="Covariance of the source's inputs")
axes[0].legend(loc="lower left")
axes[1].errorbar(sizes, size_gains.mean(axis=1), yerr=2 * size_gains.std(axis=1) / len(many) ** 0.5, fmt="o-",
                 capsize=4, color=plot.COLOURS[0])
axes[1].axhline(0, color="black", linewidth=0.8)
axes[1].set(xscale="log", xlabel="examples of the source", ylabel="excess risk saved (2 se)",
            title=r"A source at $\cos = .8$")
lesson.save(fig, "tomaszewska_wu2020_covariance")

# %% [markdown]
# ## wu2020: optimisation, the same net with other weights of the losses
# Their own scheme (weights from a singular value decomposition) is not run here. Do the rules of the lessons before
# help where the losses are alike? Four tasks, 8 units.

# %%
rules = {"equal weights": WeightedSum, "uncertainty": lambda: Uncertainty(["regression"] * 4), "PCGrad": PCGrad,
         "CAGrad": CAGrad}
by_rule = {name: np.array([error(seed, 8, 1, steps, rule) for seed in seeds]) for name, rule in rules.items()}
better = []
for name, e in by_rule.items():
    g = by_rule["equal weights"] - e
    noise = g.std(ddof=1) / len(g) ** 0.5
    better += [name] if g.mean() > 3 * noise > 0 else []
    lesson.number(f"wu2020 optimisation: {name}", f"{e.mean():.3f};  {g.mean():+.3f} +- {noise:.3f}")

# %%
helps = [r for r, g, s in zip(widths, gains.mean(axis=1), se, strict=True) if g > 3 * s]
difference = aligned[-1] - swapped[-1]
clear = difference.mean() > 3 * difference.std(ddof=1) / len(difference) ** 0.5
covariance = "more" if clear else "not clearly more"
lesson.shown(f"sharing helps (beyond 3 standard errors) at {', '.join(map(str, helps)) or 'none'} of {widths} units; "
             f"aligned inputs save {covariance} than swapped ones at k = 64; a source at cos .8 saves "
             f"{size_gains[0].mean():+.3f} with 40 examples and {size_gains[-1].mean():+.3f} with 2,000; rules that "
             f"beat equal weights on like losses: {', '.join(better) or 'none'}")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# rng = np.random.default_rng(0)
# ```
#
# **1.** Two tasks, a shared layer with room for r = 2 directions: how much do they help each other?
#
# <details><summary>Answer</summary>
#
# Not at all: any two tasks fit into two directions. One direction (r = 1) is where they meet.
#
# ```python
# thetas = rng.normal(size=(2, 20))
# [np.linalg.matrix_rank(thetas), np.linalg.matrix_rank(thetas[:1])]      # -> [2, 1]
# ```
#
# </details>
#
# **2.** 20 inputs, noise 0.5, least squares on 40 examples: the excess risk |theta^ - theta|^2, on average?
#
# <details><summary>Answer</summary>
#
# noise^2 d / (n - d - 1) = 0.26. With 400 examples it is 0.013.
#
# ```python
# [0.5 ** 2 * 20 / (n - 20 - 1) for n in (40, 400)]      # -> [0.263, 0.0132]
# ```
#
# </details>
#
# **3.** Measured on 2,000 draws with 40 examples: the same?
#
# <details><summary>Answer</summary>
#
# Yes.
#
# ```python
# X = rng.normal(size=(2000, 40, 20))
# error = np.linalg.pinv(X) @ (0.5 * rng.normal(size=(2000, 40, 1)))
# (error ** 2).sum(axis=(1, 2)).mean()      # -> 0.263
# ```
#
# </details>
#
# **4.** Task B's theta is task A's turned by an angle with cosine 0.8. Task A takes over B's theta as it is: the excess
# risk, |theta| = 1?
#
# <details><summary>Answer</summary>
#
# 2 - 2 x 0.8 = 0.4: worse than 40 examples of its own.
#
# ```python
# a, b = np.array([1.0, 0]), np.array([0.8, 0.6])
# ((a - b) ** 2).sum()      # -> 0.4
# ```
#
# </details>
#
# **5.** From which cosine on is it better to take over B's theta than to learn from 40 examples of the own (0.263)?
#
# <details><summary>Answer</summary>
#
# From 0.868 on.
#
# ```python
# 1 - 0.263 / 2      # -> 0.868
# ```
#
# </details>
