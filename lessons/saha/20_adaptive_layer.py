# %% [markdown]
# # The adaptive activation layer

# %% [markdown]
"""What if tasks share all weights, and each task bends what comes out in its own way?

Slides: saha aal, apl, erratum 5
Blocks: adaptive_activation, sorted_hinges, linear, cross_entropy
Run time: 12 s, --quick 4 s
Figures: saha_aal_four-panels.png, saha_aal_speed.png, saha_aal_coordinates.png, saha_aal_learned.png

From one unit's hinges to the adaptive activation layer of TAAN: forward, backward, the layer beside hard and soft
sharing, the sorted form that makes many hinges cheap, and four tasks on digits.
"""

# %%
import time

import numba
import numpy as np

import tinynet as tn
from tinynet import optim, plot
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.tasks.adaptive_activation import (
    adaptive_activation,
    adaptive_activation_backward,
    adaptive_activation_forward,
)
from tinynet.blocks.units.linear import linear
from tinynet.data.digits import digits
from tinynet.lesson import lesson
from tinynet.models.tasks.multi_task_net import MultiTaskNet, mean_loss
from tinynet.models.tasks.separate_nets import SeparateNets
from tinynet.models.tasks.taan import TAAN
from tinynet.train import fit

rng = np.random.default_rng(lesson.seed)

# %% [markdown]
# ## aal: one layer, three tasks
# $$h_l^t = F_l^t(W_l h_{l-1} + b_l), \qquad F_l^t(\cdot) = \max(0, \cdot) + \sum_{i=1}^M \alpha_l^t(i)\, B_i(\cdot),
# \qquad B_i(z) = \max(0, b_i - z)$$
# (saha aal.  The slide writes $\alpha_i^t(i)$, erratum 5: the layer is $l$, the task $t$, the hinge $i$.  It leaves
# the ReLU out; in the paper's code it stands beside the sum.)  W and b are the same for all tasks.

# %%
T, N, D, H, M = 3, 4, 5, 6, 2
x, W, c = rng.normal(size=(T, N, D)), rng.normal(size=(H, D)), rng.normal(size=H)
alpha, b = np.array([[0.5, 0.0], [0.0, -0.8], [-0.4, 0.6]]), np.array([0.5, -0.5])
z = x @ W.T + c
h, cache = adaptive_activation_forward(z, alpha, b)
by_hand = np.array([[[max(0, v) + sum(alpha[t, i] * max(0, b[i] - v) for i in range(M)) for v in row]
                     for row in z[t]] for t in range(T)])
assert abs(h - by_hand).max() < 1e-12, "h: largest difference, by hand and block"

# %% [markdown]
# ## aal: backward
# $$\frac{\partial L}{\partial \alpha^t(i)} = \sum_n \delta^t_n B_i(z^t_n), \qquad
# \frac{\partial L}{\partial b_i} = \sum_t \alpha^t(i) \sum_n \delta^t_n 1[z^t_n < b_i], \qquad
# \frac{\partial L}{\partial W} = \sum_t \sum_n \frac{\partial L}{\partial z^t_n} {h'}^t_n$$
# A coordinate hears its own task alone.  A hinge's place and the weights hear all tasks.

# %%
leaves = [tn.Tensor(v, requires_grad=True) for v in (x, W, c, alpha, b)]
delta = rng.normal(size=h.shape)
adaptive_activation(linear(*leaves[:3]), *leaves[3:]).backward(delta)
dz, dalpha, db = adaptive_activation_backward(delta, cache)
dW = sum(dz[t].T @ x[t] for t in range(T))
by_hand = (delta[0] * np.maximum(b[1] - z[0], 0)).sum()
lesson.number("dalpha of task 1, hinge 2, by hand", by_hand, dalpha[0, 1], "block")
np.testing.assert_allclose(dW, leaves[1].grad, rtol=1e-13, atol=1e-14, err_msg="dW: summed over tasks - the engine's")
np.testing.assert_allclose([dalpha, db[None].repeat(T, 0)], [leaves[3].grad, leaves[4].grad[None].repeat(T, 0)])

# %% [markdown]
# ## aal: the deck's four panels
# (a) hard sharing: one trunk, a head a task.  (b) soft sharing: a trunk a task, held together.  (c) TAAN: one trunk,
# bent by each task.  (d) inside of a layer: M basis functions and a row of coordinates a task.


# %%
def boxes(ax, columns, title, tie="", bent=False):
    """Three layers and a head for two tasks; `columns` trunks."""
    for level, name in enumerate(("x", "layer 1", "layer 2", "head")):
        own = 2 if level == 3 or columns == 2 else 1
        for k in range(own):
            left, wide = (0.05 + 0.5 * k, 0.4) if own == 2 else (0.05, 0.9)
            grey = "0.92" if own == 1 else ("0.8", "0.65")[k]
            ax.add_patch(_box(left, level, wide, grey))
            ax.text(left + wide / 2, level + 0.3, name if own == 1 else f"{name} {'AB'[k]}", ha="center", va="center")
            if bent and level in (1, 2):
                for task, at in (("A", 0.2), ("B", 0.75)):
                    ax.text(at, level + 0.8, f"$F_{level}^{task}$", ha="center", va="center")
    for level in (1, 2):
        ax.text(0.5, level + 0.3, tie, ha="center", va="center")
    ax.set(xlim=(0, 1), ylim=(-0.1, 3.8), title=title)
    ax.axis("off")


def _box(left, level, wide, grey):
    from matplotlib.patches import Rectangle

    return Rectangle((left, level), wide, 0.6, facecolor=grey, edgecolor="black")


# %%
fig, axes = plot.subplots(2, 2, height=7.5)
boxes(axes[0, 0], 1, "(a) hard sharing")
boxes(axes[0, 1], 2, "(b) soft sharing", tie="~")
boxes(axes[1, 0], 1, "(c) TAAN", bent=True)
grid = np.linspace(-1.5, 1.5, 301)
bends = adaptive_activation_forward(np.tile(grid, (T, 1)), alpha, b)[0]
plot.curves(axes[1, 1], grid, {f"task {t + 1}: " + " ".join(f"{a:+.1f}" for a in alpha[t]): bends[t] for t in range(T)},
            legend="upper center", marker="")
for i in range(M):
    axes[1, 1].plot(grid, np.maximum(b[i] - grid, 0), color=plot.GREY, linewidth=1, linestyle=":")
axes[1, 1].set(xlabel="shared input z", ylabel=r"$F^t(z)$", ylim=(-1, 3.4))
axes[1, 1].set_title(r"(d) inside: $\alpha^t$, dotted $B_i$")
lesson.save(fig, "saha_aal_four-panels")

# %% [markdown]
# ## Many hinges for the price of a few
# The deck's M is 64.  Dense, a number meets 64 hinges.  Sorted, it is looked up: with $b_1 \le \dots \le b_M$ and $k$
# the number of hinges not above z,
# $$F(z) = \max(0, z) + P_k - Q_k z, \qquad P_k = \sum_{i > k} \alpha(i) b_i, \quad Q_k = \sum_{i > k} \alpha(i)$$
# Both forms give the same numbers; only the time differs.


# %%
def milliseconds(pair, M, rounds=3 if lesson.quick else 7):
    z, alpha = np.float32(rng.normal(size=(8, 20_000))), np.float32(rng.normal(size=(8, M)) / M)
    arrays, times = (z, alpha, rng.uniform(-0.5, 0.5, M).astype(np.float32)), []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        h, cache = pair[0](*arrays)
        pair[1](h, cache)
        times.append(1e3 * (time.perf_counter() - start))
    return min(times[1:])


z, alpha, b = rng.normal(size=(8, 500)), rng.normal(size=(8, 64)) / 64, rng.uniform(-0.5, 0.5, 64)
dense, by_sorting = adaptive_activation_forward(z, alpha, b)[0], adaptive_activation.fast[0](z, alpha, b)[0]
assert abs(dense - by_sorting).max() < 1e-12, "64 hinges: largest difference of dense and sorted"
hinges = [1, 4, 16, 64] if lesson.quick else [1, 2, 4, 8, 16, 32, 64, 128]
forms = {"dense": (adaptive_activation.forward, adaptive_activation.backward), "sorted": adaptive_activation.fast}
numba.set_num_threads(1)        # a second thread would wait for a core that something else may hold
took = {name: [milliseconds(pair, M) for M in hinges] for name, pair in forms.items()}
at_64 = [times[hinges.index(64)] for times in took.values()]
lesson.number("64 hinges: time of dense over that of sorted", at_64[0] / at_64[1])
fig, ax = plot.subplots()
plot.curves(ax, hinges, took, legend="upper left")
ax.set(xscale="log", yscale="log", xlabel="hinges M", ylabel="forward + backward (ms)")
ax.set_title("160,000 numbers, one thread")
ax.set_xticks(hinges, hinges)
ax.minorticks_off()
lesson.save(fig, "saha_aal_speed")

# %% [markdown]
# ## Four tasks on digits
# Which digit?  Is it odd?  Is it above four?  Has it a loop (0, 6, 8, 9)?  All tasks see the same 300 images.  Three
# nets of 64-24-24: STL (a trunk a task), hard sharing, and TAAN with 8 hinges.  The hinges of a unit add up, so alpha
# and b may need a smaller rate than the weights: TAAN once more with a tenth.

# %%
images, few, T = digits(lesson.seed), 300, 4
questions = ["which digit", "odd", "above 4", "has a loop"]
seeds, epochs = range(lesson.seed, lesson.seed + (2 if lesson.quick else 6)), 6 if lesson.quick else 40


def answers(y):
    return y, y % 2, (y > 4).astype(int), np.isin(y, (0, 6, 8, 9)).astype(int)


def train(make, seed, slower=1.0, **settings):
    """(net, accuracy (%) of each task) after training on `few` images drawn by the seed."""
    rows = np.random.default_rng(seed).permutation(len(images.X_train))[:few]
    net = make(64, (24, 24), (10, 2, 2, 2), rng=seed, **settings)
    first = net.state_dict()

    def loss(net, x, *labels):
        return mean_loss(net, np.broadcast_to(x, (T, *x.shape)), *labels, loss=cross_entropy)

    data = (images.X_train[rows], *answers(images.y_train[rows]))
    adam = optim.Adam(net.slower(slower) if make is TAAN else net.parameters(), lr=3e-3)
    fit(net, loss, data, adam, epochs=epochs, batch_size=30, rng=seed, progress=False)
    with tn.no_grad():
        outputs = net(np.broadcast_to(images.X_test, (T, *images.X_test.shape)))
    right = [100 * (o.data.argmax(axis=1) == y).mean() for o, y in zip(outputs, answers(images.y_test), strict=True)]
    return net, first, np.array(right)


# %%
makes = {"STL": (SeparateNets, {}), "Hard-Share": (MultiTaskNet, {}), "TAAN": (TAAN, dict(hinges=8)),
         "TAAN, alpha slower": (TAAN, dict(hinges=8, slower=0.1))}
runs = {name: [train(make, seed, **settings) for seed in seeds] for name, (make, settings) in makes.items()}
right = {name: np.array([run[2] for run in its]) for name, its in runs.items()}
print(f"  test accuracy (%), mean of {len(seeds)} seeds: {', '.join(questions)}; all; parameters")
for name, its in right.items():
    size = sum(p.size for p in runs[name][0][0].parameters())
    lesson.number(name, " ".join(f"{v:.1f}" for v in [*its.mean(axis=0), its.mean()]) + f"; {size:,}")


def told(g):
    return f"{g.mean():+.2f} +- {g.std(ddof=1) / len(g) ** 0.5:.2f}"


gain = {(taan, name): (right[taan] - right[name]).mean(axis=1) for taan in list(makes)[2:] for name in list(makes)[:2]}
for (taan, name), g in gain.items():
    lesson.number(f"{taan} over {name}: mean +- standard error", told(g))

# %% [markdown]
# ## What becomes of alpha
# The coordinate matrix of each layer before and after training, and the functions that they stand for.  Dotted: how
# the layer's inputs z lie (their density, not to scale).

# %%
net, first, _ = runs["TAAN, alpha slower"][0]
fig, axes = plot.subplots(2, 2)
for l, row in enumerate(axes):
    name = f"layers.{l}.bend.alpha"
    matrices = first[name], net.state_dict()[name]
    most = abs(np.stack(matrices)).max()
    for ax, values, when in zip(row, matrices, ("before", "after"), strict=True):
        plot.image(ax, values, r"$\alpha^t(i)$", signed=True, vmin=-most, vmax=most)
        ax.set(title=f"layer {l + 1}, {when} training", xlabel="hinge i", yticks=range(T))
        ax.set_yticklabels(questions)
lesson.save(fig, "saha_aal_coordinates")

# %%
fig, axes = plot.subplots(1, 2, sharey=True)
grid, x = np.linspace(-2, 2, 401), np.broadcast_to(images.X_test, (T, *images.X_test.shape))
for l, (ax, layer) in enumerate(zip(axes, net.layers, strict=True)):
    bends = layer.bend(np.tile(grid, (T, 1))).data
    plot.curves(ax, grid, dict(zip(questions, bends, strict=True)), legend=None, marker="")
    W, c = layer.weights()
    density, edges = np.histogram(linear(np.array(x).reshape(T, -1, W.shape[1]), W, c).data, 60, (-2, 2), density=True)
    ax.plot((edges[1:] + edges[:-1]) / 2, density - 1, color=plot.GREY, linestyle=":")
    ax.set(xlabel="shared input z", title=f"layer {l + 1}", ylim=(-1.1, 2.2))
    x = layer(x).data
axes[0].set_ylabel("$F^t(z)$")
plot.legend_below(fig, axes[0])
lesson.save(fig, "saha_aal_learned")

# %%
pairs = np.triu_indices(T, 1)
spread = np.array([[d[pairs].mean() for d in net.distances()] for net, *_ in runs["TAAN, alpha slower"]])
lesson.number("mean distance of two tasks' functions, layers 1 and 2", spread.mean(axis=0))
hard = gain["TAAN, alpha slower", "Hard-Share"]
within = abs(hard.mean()) < 2 * hard.std(ddof=1) / len(hard) ** 0.5
verdict = "no clear gain over" if within else "another accuracy than"
lesson.shown(f"{T} tasks share all weights and bend them apart by {T * 8 + 8} numbers a layer; on digits that gives "
             f"{verdict} hard sharing: {told(gain['TAAN', 'Hard-Share'])} points, {told(hard)} with slower alpha")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.tasks.adaptive_activation import adaptive_activation_backward, adaptive_activation_forward
#
# z = np.array([[[-1.0]], [[-1.0]]])              # two tasks, one example, one unit: both get -1
# b = np.array([0.0, 1.0])                        # two hinges
# ```
#
# **1.** All coordinates are 0: what comes out?
#
# <details><summary>Answer</summary>
#
# A ReLU for every task: hard sharing.
#
# ```python
# adaptive_activation_forward(z, np.zeros((2, 2)), b)[0].ravel()      # -> [0, 0]
# ```
#
# </details>
#
# **2.** Task 1 has the coordinates (1, 0), task 2 (0, 1): what comes out at z = -1?
#
# <details><summary>Answer</summary>
#
# b - z for the one hinge that each has: one input, two functions.
#
# ```python
# adaptive_activation_forward(z, np.eye(2), b)[0].ravel()      # -> [1, 2]
# ```
#
# </details>
#
# **3.** dy = 1 for task 1 alone: which coordinates get a gradient?
#
# <details><summary>Answer</summary>
#
# Task 1's: b - z for each hinge. Task 2's get nothing.
#
# ```python
# cache = adaptive_activation_forward(z, np.eye(2), b)[1]
# adaptive_activation_backward(np.array([[[1.0]], [[0.0]]]), cache)[1]      # -> [[1, 2], [0, 0]]
# ```
#
# </details>
#
# **4.** And the places b of the hinges, which the tasks share?
#
# <details><summary>Answer</summary>
#
# The hinge that task 1 uses, by its coordinate.
#
# ```python
# adaptive_activation_backward(np.array([[[1.0]], [[0.0]]]), cache)[2]      # -> [1, 0]
# ```
#
# </details>
#
# **5.** 16 tasks, 64 hinges, three layers: how many numbers are the tasks' own, and how many the places?
#
# <details><summary>Answer</summary>
#
# 3,072 and 192, beside millions of shared weights.
#
# ```python
# [3 * 16 * 64, 3 * 64]      # -> [3072, 192]
# ```
#
# </details>
