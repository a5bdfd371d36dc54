# %% [markdown]
# # Where to split

# %% [markdown]
"""After which layer should the tasks part?  A sweep over all split levels, and soft sharing as the way between.

Slides: tomaszewska fig4, fig5, shared-trunk; shi fig10, fig11, fig12
Blocks: soft_sharing, task_linear, trace_norm, mean_squared_error
Run time: 25 s, --quick 2 s (one core); on School, with --data, 25 s more
Figures: tomaszewska_fig5_split-levels.png, shi_fig12_soft-sharing.png

Six regressions share three features of twenty inputs, and nothing behind them.  How many layers of a
net should they share?  And what becomes of the answer when the net is wider?
"""

# %%
import tempfile
from pathlib import Path

import numpy as np

import tinynet as tn
from lessons.tables.tasks.recipes import cell, school_split
from tinynet import optim, plot
from tinynet.blocks.losses.mean_squared_error import mean_squared_error
from tinynet.blocks.tasks.soft_sharing import squared_distance_forward
from tinynet.blocks.tasks.task_linear import task_linear_forward
from tinynet.blocks.tasks.trace_norm import trace_norm_forward
from tinynet.data.multitask import school
from tinynet.data.task_toys import shared_features
from tinynet.lesson import lesson
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.models.tasks.soft_sharing_net import SoftSharingNet
from tinynet.train import fit
from tinynet.train.batches import Whole

TASKS, LAYERS = 6, 3
steps = 30 if lesson.quick else 400

# %% [markdown]
# ## fig4: a family of nets between separate ones and one trunk
# With split level $s$ the first $s$ layers are shared, the others are each task's own:
# $$y_t = f_t^{(L)} \circ \dots \circ f_t^{(s+1)} \circ f^{(s)} \circ \dots \circ f^{(1)}(x)$$
# Each task's target is $y_t = g_t(\tanh(2 x W)) + 0.1\,\varepsilon$ with $W \in R^{20 \times 3}$ shared and $g_t$ a net
# of its own, so level 1 or so should be right. Layers of the tasks' own lie side by side in one array (T, C, D):
# $$Y_t = X_t W_t^\top + b_t$$

# %%
rng = np.random.default_rng(lesson.seed)
x, W, b = (rng.normal(size=shape) for shape in ((TASKS, 5, 3), (TASKS, 2, 3), (TASKS, 2)))
each = np.stack([x[t] @ W[t].T + b[t] for t in range(TASKS)])
assert abs(task_linear_forward(x, W, b)[0] - each).max() < 1e-12, "layers side by side - one by one"
for split in range(LAYERS + 1):
    net = SharedTrunk(20, (6,) * LAYERS, (1,) * TASKS, split=split, rng=0)
    lesson.number(f"fig4: parameters with {split} shared layers", sum(p.size for p in net.parameters()))


# %%
def train(net, data, penalty=None):
    """Train on all examples at once; returns the test error of each task, of which 1 is that of the mean."""
    def loss(net, x, *targets):
        total = sum((mean_squared_error(y, t) for y, t in zip(net(x), targets, strict=True)), 0.0)
        return total if penalty is None else total + penalty * net.penalty()
    batch = Whole((data.X_train, *data.Y_train), data.Y_train.size)
    fit(net, loss, batch, optim.Adam(net.parameters(), 5e-3), steps=steps, progress=False)
    with tn.no_grad():
        return [((y.data - t) ** 2).mean() for y, t in zip(net(data.X_test), data.Y_test, strict=True)]


def sweep(seed, width):
    """Test errors (levels, tasks) of nets of this width."""
    data = shared_features(seed, TASKS)
    return [train(SharedTrunk(20, (width,) * LAYERS, (1,) * TASKS, split=s, rng=seed), data) for s in range(LAYERS + 1)]


# %% [markdown]
# ## fig5: which level is best?  Narrow nets (6 units) and wide ones (16)

# %%
seeds = {6: range(lesson.seed, lesson.seed + (2 if lesson.quick else 8)),
         16: range(lesson.seed, lesson.seed + (1 if lesson.quick else 4))}
errors = {width: np.array([sweep(seed, width) for seed in seeds[width]]) for width in seeds}   # (seeds, levels, tasks)
for width, e in errors.items():
    mean = e.mean(axis=2)
    for level in range(LAYERS + 1):
        away = mean[:, 0] - mean[:, level]
        se = away.std(ddof=1) / len(away) ** 0.5 if len(away) > 1 else np.nan
        lesson.number(f"{width} units, {level} shared: error; less than separate, se",
                      f"{mean[:, level].mean():.3f};  {away.mean():+.3f} +- {se:.3f};  {(away > 0).sum()}/{len(away)}")

# %%
fig, axes = plot.subplots(1, 3)
for ax, (width, e) in zip(axes, errors.items(), strict=False):
    for run in e.mean(axis=2):
        ax.plot(range(LAYERS + 1), run, "-", color=plot.GREY, linewidth=1)
    ax.plot(range(LAYERS + 1), e.mean(axis=(0, 2)), "o-", color=plot.COLOURS[0], linewidth=3)
    ax.set(xlabel="shared layers", ylabel="test error (1: the mean)", xticks=range(LAYERS + 1), ylim=(0, 1.6),
           title=f"{width} units a layer")
each = errors[6].mean(axis=0)
plot.curves(axes[2], range(LAYERS + 1), {f"task {t + 1}": each[:, t] for t in range(TASKS)}, legend=None)
axes[2].set(xlabel="shared layers", ylabel="test error", xticks=range(LAYERS + 1), ylim=(0, 1.6),
            title="6 units, by task")
axes[2].legend(ncols=2, loc="upper right", fontsize=10, columnspacing=0.8)
fig.suptitle("Grey: single seeds; blue: their mean")
lesson.save(fig, "tomaszewska_fig5_split-levels")

# %% [markdown]
# ## shi fig12: soft sharing
# Each task has its own layers, and a penalty keeps them near each other:
# $$L = \sum_t L_t + \lambda \sum_l \sum_{s<t} |W_l^s - W_l^t|^2 \quad\text{or}\quad
# L = \sum_t L_t + \lambda \sum_l \| [\mathrm{vec} W_l^1; \dots; \mathrm{vec} W_l^T] \|_*$$
# The trace norm is small when the tasks' layers span few directions; they need not be equal.

# %%
W = np.random.default_rng(lesson.seed).normal(size=(1, 5))
equal, opposite = np.repeat(W, 2, axis=0), np.concatenate([W, -W])
lesson.number("equal tasks: squared distance, trace norm / |w|",
              [squared_distance_forward(equal)[0], trace_norm_forward(equal)[0] / np.linalg.norm(W)])
lesson.number("opposite tasks: squared distance / |w|^2, trace norm / |w|",
              [squared_distance_forward(opposite)[0] / (W @ W.T).item(),
               trace_norm_forward(opposite)[0] / np.linalg.norm(W)])

# %%
strengths = {"squared": (0, 3e-4, 1e-2, 0.3), "trace": (0, 3e-3, 3e-2, 0.1)}
soft, few = {}, seeds[6][:2 if lesson.quick else 4]
for name, values in strengths.items():
    for strength in values:
        nets = ((SoftSharingNet(20, (6,) * LAYERS, (1,) * TASKS, name, rng=s), shared_features(s, TASKS)) for s in few)
        soft[name, strength] = np.array([np.mean(train(net, data, strength)) for net, data in nets])
        gain = soft["squared", 0] - soft[name, strength]
        lesson.number(f"{name}, strength {strength}: error; less than separate",
                      f"{soft[name, strength].mean():.3f};  {gain.mean():+.3f};  {(gain > 0).sum()}/{len(gain)}")

# %%
fig, axes = plot.subplots(1, 2, sharey=True)
hard = errors[6].mean(axis=2)[:len(few)].mean(axis=0)
for ax, (name, values) in zip(axes, strengths.items(), strict=True):
    means = [soft[name, v].mean() for v in values]
    spread = [soft[name, v].std() for v in values]
    ax.errorbar(range(len(values)), means, yerr=spread, fmt="o-", color=plot.COLOURS[0], capsize=4, label="soft")
    for level, dash in ((hard.argmin(), "--"), (LAYERS, ":")):
        ax.axhline(hard[level], color=plot.COLOURS[1], linestyle=dash, label=f"hard, {level} layers shared")
    ax.set(xticks=range(len(values)), xticklabels=[f"{v:g}" for v in values], xlabel=r"strength $\lambda$",
           ylabel="test error" if ax is axes[0] else "", ylim=(0, 1.4), title=f"{name} penalty")
    ax.legend(loc="upper right")
lesson.save(fig, "shi_fig12_soft-sharing")

# %% [markdown]
# ## With --data: 139 schools, a task each, 15 % of the pupils to learn from
# About 17 pupils a school and 28 columns. A ridge regression for each school is hopeless. One for all schools is good,
# and better with a number for each school. A head of 17 numbers a school spoils what the shared trunk has learned,
# unless it is pulled to the mean head: $L_t + \lambda |v_t - \bar v|^2$. Settings were chosen on training pupils held
# out (seed 0).


# %%
def school_ridges(seed, penalty=10.0):
    """Explained variance (%) of a ridge a school, one for all, and one for all with a number a school."""
    pupils = school(lesson.data)
    known, other = school_split(pupils.task, seed)
    X, y = pupils.X.astype(float), (pupils.y - pupils.y[known].mean()) / pupils.y[known].std()
    number = np.eye(pupils.task.max() + 1)[pupils.task]

    def guess(columns, rows, at):
        A = columns[rows]
        return columns[at] @ np.linalg.solve(A.T @ A + penalty * np.eye(A.shape[1]), A.T @ y[rows])

    def explained(guesses, at):
        return 100 * (1 - ((guesses - y[at]) ** 2).sum() / ((y[at] - y[at].mean()) ** 2).sum())
    own = [(known[pupils.task[known] == t], other[pupils.task[other] == t]) for t in range(number.shape[1])]
    order = np.concatenate([at for _, at in own])
    return [explained(np.concatenate([guess(X, rows, at) for rows, at in own]), order),
            explained(guess(X, known, other), other), explained(guess(np.hstack([X, number]), known, other), other)]


if lesson.data:
    few = range(1, 2 if lesson.quick else 4)
    names = ("a ridge a school", "one ridge for all", "one for all, with a number a school")
    found = dict(zip(names, np.array([school_ridges(seed) for seed in few]).T, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        for name, system, settings in (("separate nets", "separate nets", {}), ("soft sharing", "soft sharing", {}),
                                       ("shared trunk", "shared trunk", {}),
                                       ("shared trunk, heads not pulled", "shared trunk", {"pull": 0.0})):
            found[name] = [cell(system, "School", seed, Path(folder, name), lesson.data, **settings) for seed in few]
    for name, values in found.items():
        lesson.number(f"School: {name}, explained variance (%)", f"{np.mean(values):.1f} ({len(values)} splits)")

# %%
narrow, wide = (errors[w].mean(axis=2) for w in (6, 16))
best = int(narrow.mean(axis=0).argmin())


def beats(e, level, other):
    away = e[:, other] - e[:, level]
    return away.mean() > 3 * away.std(ddof=1) / len(away) ** 0.5 if len(away) > 1 else False


between = 0 < best < LAYERS and beats(narrow, best, 0)
wide_best = int(wide.mean(axis=0).argmin())
also_wide = 0 < wide_best < LAYERS and beats(wide, wide_best, 0) and beats(wide, wide_best, LAYERS)
lesson.shown(f"with 6 units a layer {best} shared layers are best"
             f"{' (beyond 3 standard errors better than none' if between else ' (not clearly better than none'}"
             f"{' and than all)' if beats(narrow, best, LAYERS) else ', than all not clearly)'}; with 16 units "
             + ("the same holds" if also_wide else "no level in between is clearly best"))

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.tasks.soft_sharing import squared_distance_backward, squared_distance_forward
# from tinynet.blocks.tasks.trace_norm import trace_norm_forward
# from tinynet.models.tasks.shared_trunk import SharedTrunk
#
# w = np.array([[3.0, 4.0]])
# ```
#
# **1.** Six tasks, three layers of 6 units on 20 inputs: how many parameters with 0 and with 3 shared layers?
#
# <details><summary>Answer</summary>
#
# 1302 and 252.
#
# ```python
# [sum(p.size for p in SharedTrunk(20, (6,) * 3, (1,) * 6, split=s, rng=0).parameters()) for s in (0, 3)]
# # -> [1302, 252]
# ```
#
# </details>
#
# **2.** Two tasks have the weights w and -w, |w| = 5: squared distance, and trace norm?
#
# <details><summary>Answer</summary>
#
# 100 and 7.07. To the trace norm opposite is as good as equal: one direction.
#
# ```python
# both = np.concatenate([w, -w])
# [squared_distance_forward(both)[0], trace_norm_forward(both)[0]]      # -> [100, 7.071]
# ```
#
# </details>
#
# **3.** And w and w?
#
# <details><summary>Answer</summary>
#
# 0 and 7.07.
#
# ```python
# both = np.concatenate([w, w])
# [squared_distance_forward(both)[0], trace_norm_forward(both)[0]]      # -> [0, 7.071]
# ```
#
# </details>
#
# **4.** And two at a right angle, each of length 5?
#
# <details><summary>Answer</summary>
#
# 50 and 10: two directions cost more.
#
# ```python
# both = np.array([[3.0, 4.0], [4.0, -3.0]])
# [squared_distance_forward(both)[0], trace_norm_forward(both)[0]]      # -> [50, 10]
# ```
#
# </details>
#
# **5.** Three tasks at 0, 1 and 5: on which one does the squared distance pull hardest?
#
# <details><summary>Answer</summary>
#
# On the one that is furthest from the others: by 2 (5 + 4).
#
# ```python
# squared_distance_backward(1.0, squared_distance_forward(np.array([[0.0], [1], [5]]))[1]).ravel()
# # -> [-12, -6, 18]
# ```
#
# </details>
