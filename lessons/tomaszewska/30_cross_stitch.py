# %% [markdown]
# # Cross-stitch units

# %% [markdown]
"""How much should two tasks share? Can the net learn it?

Slides: tomaszewska fig6-fig10, init, erratum 1
Blocks: cross_stitch, nddr, conv, linear, cross_entropy, binary_cross_entropy
Run time: 25 s, --quick 4 s
Figures: tomaszewska_fig6_fig9_cross-stitch.png, tomaszewska_fig7_two-maps-mixed.png,
tomaszewska_fig8_alpha-gradients.png, tomaszewska_init_alphas.png, tomaszewska_fig10_gain-over-separate.png

Forward and backward by equation, a misprint that the checker names, then two tasks on scanned digits.
"""

# %%
import copy
from functools import partial

import numpy as np

import tinynet as tn
from tinynet import diagrams, optim, plot
from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.tasks.cross_stitch import cross_stitch_backward, cross_stitch_forward
from tinynet.data.digits import digits
from tinynet.data.task_toys import starved_digits
from tinynet.lesson import lesson
from tinynet.models.tasks.cross_stitch_net import CrossStitchNet
from tinynet.models.tasks.nddr_net import NDDRNet
from tinynet.models.tasks.separate_nets import SeparateNets
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.train import fit

rng = np.random.default_rng(lesson.seed)
images = digits(lesson.seed)

# %% [markdown]
# ## tomaszewska fig6 and tomaszewska fig9: the amount of sharing is learned
# A cross-stitch unit mixes the tasks' features. In a cross-stitch network one unit stands behind every layer.

# %%
fig, (left, right) = plot.subplots(1, 2)
diagrams.cross_stitch_unit(left)
diagrams.cross_stitch_net(right)
left.set_title("The unit")
right.set_title("The network (dashed: across the tasks)")
lesson.save(fig, "tomaszewska_fig6_fig9_cross-stitch")

# %% [markdown]
# ## tomaszewska fig7: forward
# $$\begin{pmatrix}\tilde{x}_A^{ij}\\ \tilde{x}_B^{ij}\end{pmatrix} =
# \begin{pmatrix}\alpha_{AA} & \alpha_{AB}\\ \alpha_{BA} & \alpha_{BB}\end{pmatrix}
# \begin{pmatrix}x_A^{ij}\\ x_B^{ij}\end{pmatrix}$$
# Every place i, j of a feature map takes a mixture of both tasks' features there. Task A's map holds the edges of a
# digit from left to right, task B's those from top to bottom.

# %%
eight = images.X_train[images.y_train == 8][0].reshape(8, 8).astype(float)
x_A, x_B = np.gradient(eight, axis=1), np.gradient(eight, axis=0)
A = np.array([[0.9, 0.1], [0.1, 0.9]])
(alpha_AA, alpha_AB), (alpha_BA, alpha_BB) = A
by_hand = np.stack([alpha_AA * x_A + alpha_AB * x_B, alpha_BA * x_A + alpha_BB * x_B])
X = np.stack([x_A, x_B])[:, None, None]             # T tasks, N = 1 example, C = 1 channel, 8 x 8
Y, cache = cross_stitch_forward(X, A)
lesson.number("mixed there, by hand", by_hand[:, 3, 2], Y[:, 0, 0, 3, 2], "block")
np.testing.assert_allclose(Y[:, 0, 0], by_hand, rtol=1e-12, atol=1e-15)

# %%
half = cross_stitch_forward(X, np.full((2, 2), 0.5))[0]
columns = {"$x_A$, $x_B$": X, r"$\alpha_S = 0.9$": Y, r"$\alpha_S = 0.5$": half}
fig, axes = plot.subplots(2, 4, height=4.9)
plot.image(axes[0, 0], eight, cmap="Greys")
axes[0, 0].set_title("the digit")
for (name, maps), column in zip(columns.items(), axes[:, 1:].T, strict=True):
    for ax, values in zip(column, maps[:, 0, 0], strict=True):
        picture = plot.image(ax, values, signed=True, vmin=-0.6, vmax=0.6)
    column[0].set_title(name)
axes[0, 1].set_ylabel("task A: left-right")
axes[1, 1].set_ylabel("task B: top-bottom")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
    ax.spines[["top", "right"]].set_visible(True)
axes[1, 0].axis("off")
fig.colorbar(picture, ax=axes, label="activation", shrink=0.8)
lesson.save(fig, "tomaszewska_fig7_two-maps-mixed")

# %% [markdown]
# ## tomaszewska fig8: backward to the features
# $$\begin{pmatrix}\partial L/\partial x_A\\ \partial L/\partial x_B\end{pmatrix} =
# \begin{pmatrix}\alpha_{AA} & \alpha_{BA}\\ \alpha_{AB} & \alpha_{BB}\end{pmatrix}
# \begin{pmatrix}\partial L/\partial \tilde{x}_A\\ \partial L/\partial \tilde{x}_B\end{pmatrix}$$
# $x_A$ goes into both outputs, so its gradient collects from both. The matrix is transposed.

# %%
dY = rng.normal(size=Y.shape)
dx = np.stack([alpha_AA * dY[0] + alpha_BA * dY[1], alpha_AB * dY[0] + alpha_BB * dY[1]])
dX, dA = cross_stitch_backward(dY, cache)
lesson.number("dL/dx_A at place 3, 2, by hand", dx[0, 0, 0, 3, 2], dX[0, 0, 0, 3, 2], "block")
np.testing.assert_allclose(dX, dx, rtol=1e-12, atol=1e-15)

# %% [markdown]
# ## tomaszewska fig8: backward to the alphas
# $$\frac{\partial L}{\partial \alpha_{AB}} = \sum_{i,j} \frac{\partial L}{\partial \tilde{x}_A^{ij}}\, x_B^{ij},
# \qquad
# \frac{\partial L}{\partial \alpha_{AA}} = \sum_{i,j} \frac{\partial L}{\partial \tilde{x}_A^{ij}}\, x_A^{ij}$$
# $\alpha_{AB}$ multiplies $x_B$ on its way to $\tilde{x}_A$, at all places i, j. So its gradient is a sum over them.

# %%
right = np.array([[(dY[0, 0, 0] * x_A).sum(), (dY[0, 0, 0] * x_B).sum()],
                  [(dY[1, 0, 0] * x_A).sum(), (dY[1, 0, 0] * x_B).sum()]])
lesson.number("dL/dalpha AA AB BA BB, by hand", right.ravel(), dA.ravel(), "block")
np.testing.assert_allclose(dA, right, rtol=1e-12)
corner = X[..., 2:5, 2:5]
report = tn.gradcheck(cross_stitch_forward, cross_stitch_backward, corner, A)
print(report)
assert report.ok

# %% [markdown]
# ## tomaszewska erratum 1: what fig8 prints
# $$\text{printed: } \frac{\partial L}{\partial \alpha_{AB}} = \frac{\partial L}{\partial \tilde{x}_B}\, x_A
# \qquad (\text{this is } \partial L/\partial \alpha_{BA})$$
# The checker measures the gradient and names the swap. The second half of erratum 1: $\partial L/\partial\alpha_{AA}$
# is printed for one place i, j. Without the sum it is a map, not a number.

# %%
def as_printed(dY, cache):
    dA = np.array([[(dY[j] * cache[0][i]).sum() for j in range(2)] for i in range(2)])  # with the sum that it needs
    return cross_stitch_backward(dY, cache)[0], dA


def without_the_sum(dY, cache):
    return cross_stitch_backward(dY, cache)[0], np.einsum("inchw,jnchw->ijhw", dY, cache[0])


for wrong in (as_printed, without_the_sum):
    report = tn.gradcheck(cross_stitch_forward, wrong, corner, A)
    print(report)
    assert not report.ok
printed = as_printed(dY, cache)[1]
lesson.number("dL/dalpha_AB as fig8 prints it", printed[0, 1], right[0, 1], "right")

# %%
fig, ax = plot.subplots()
places, names = np.arange(4), [rf"$\alpha_{{{n}}}$" for n in ("AA", "AB", "BA", "BB")]
ax.axvspan(0.5, 2.5, color="#eeeeee")
ax.bar(places - 0.18, right.ravel(), 0.34, color=plot.COLOURS[0], label="right formula, as measured")
ax.bar(places + 0.18, printed.ravel(), 0.34, color=plot.COLOURS[1], hatch="//", edgecolor="white",
       label="as fig8 prints it")
ax.axhline(0, color="black", linewidth=0.8)
ax.set(xticks=places, xticklabels=names, ylabel=r"$\partial L/\partial\alpha$", title="The misprint swaps AB and BA")
plot.legend_below(fig, ax)
lesson.save(fig, "tomaszewska_fig8_alpha-gradients")

# %% [markdown]
# ## tomaszewska init: two tasks on few digits
# Task A: which digit? Task B: is it larger than four? 100 images to learn from, so that sharing can help. Every seed
# draws other images and other first weights, the same for every kind of net. The stitched nets start from
# $\alpha_S = 0.9, \alpha_D = 0.1$, from random alphas with $\alpha_S + \alpha_D = 1$, or from trained single-task
# nets. The last has learned for twice as long in all, so its rival are separate nets that did the same.

# %%
few, sizes, epochs = 100, dict(d_in=64, widths=(32, 32), classes=(10, 2)), 3 if lesson.quick else 25
seeds = lesson.seed + np.arange(2 if lesson.quick else 8)


def targets(y):
    return y, (y > 4).astype(np.int64)


def loss(net, X, y):
    task_A, task_B = (cross_entropy(logits, t) for logits, t in zip(net(X), targets(y), strict=True))
    return task_A + task_B


def train(net, seed):
    """Train for `epochs`; returns the net and its test accuracies (%) on both tasks."""
    chosen = np.random.default_rng(seed).permutation(len(images.X_train))[:few]
    data, sgd = (images.X_train[chosen], images.y_train[chosen]), optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    fit(net, loss, data, sgd, epochs, batch_size=25, rng=seed, progress=False)
    outputs = zip(net(images.X_test), targets(images.y_test), strict=True)
    return net, [100 * (logits.data.argmax(axis=1) == t).mean() for logits, t in outputs]


# %%
def all_kinds(seed):
    """(name, net before this training) of every kind."""
    separate = SeparateNets(**sizes, rng=seed)
    yield "separate nets", separate
    yield "separate, twice as long", copy.deepcopy(separate)                                # trained once by now
    yield "shared trunk", SharedTrunk(**sizes, rng=seed)
    yield "stitched, .9/.1", CrossStitchNet(**sizes, rng=seed)
    yield "stitched, random", CrossStitchNet(**sizes, same=None, rng=seed)
    yield "stitched, from single", CrossStitchNet(**sizes, start=separate, rng=seed)


def alphas(net):
    """(layers, 4): the means over the units of AA, AB, BA, BB."""
    return np.array([stitch.A.data.mean(axis=0).ravel() for stitch in net.stitches])


accuracy, moves = {}, {}
for seed in seeds:
    for name, net in all_kinds(seed):
        before = alphas(net) if name.startswith("stitched") else None
        net, reached = train(net, seed)
        accuracy.setdefault(name, []).append(reached)
        if before is not None:
            moves.setdefault(name, []).append((before, alphas(net)))

# %% [markdown]
# What becomes of the alphas? Nothing keeps them in the slide's [0, 1].

# %%
fig, axes = plot.subplots(1, 2, sharex=True, sharey=True)
for layer, ax in enumerate(axes):
    for row, pairs in enumerate(moves.values()):
        start, end = np.mean(pairs, axis=0)[:, layer]
        for k in range(4):
            height, look = row + 0.3 - 0.2 * k, dict(color=plot.COLOURS[k], marker=plot.MARKERS[k], linestyle="-")
            ax.plot([start[k], end[k]], [height] * 2, markevery=[1], label=names[k] if row == 0 else None, **look)
            ax.plot(start[k], height, markerfacecolor="white", **look)
    ax.axvspan(1, 1.15, color="#eeeeee")
    ax.set(xlabel=r"mean $\alpha$ of 32 units", title=f"Layer {layer + 1}", xlim=(0, 1.15), yticks=range(3))
axes[0].set_yticklabels(moves)
axes[0].text(1.08, 1, "above 1", rotation=90, ha="center", va="center", color="#555555")
fig.suptitle(f"Alphas before (white) and after training, mean of {len(seeds)} seeds")
plot.legend_below(fig, axes[0])
lesson.save(fig, "tomaszewska_init_alphas")

# %% [markdown]
# ## tomaszewska fig10: who gains over separate nets, and by more than chance?

# %%
accuracy = {name: np.array(values) for name, values in accuracy.items()}
rivals = {name: "separate nets" for name in accuracy if not name.startswith("separate")}
rivals["stitched, from single"] = "separate, twice as long"
gains = {name: accuracy[name] - accuracy[rival] for name, rival in rivals.items()}
print(f"  test accuracy (%) of task A and task B, mean +- s.d. of {len(seeds)} seeds")
for name, values in accuracy.items():
    lesson.number(name, "   ".join(f"{v.mean():.1f} +- {v.std(ddof=1):.1f}" for v in values.T))
print("  gain over separate nets that learned as long, mean of both tasks")
for name, gain in gains.items():
    lesson.number(name, f"{gain.mean():+.1f} +- {gain.mean(axis=1).std(ddof=1):.1f}")

# %%
fig, axes = plot.subplots(1, 2, sharey=True, sharex=True)
for task, ax in enumerate(axes):
    for row, gain in enumerate(reversed(gains.values())):
        ax.plot(gain[:, task], np.full(len(seeds), row), "o", color=plot.GREY, markersize=5)
        bar = dict(xerr=gain[:, task].std(ddof=1), fmt="D", color=plot.COLOURS[0], capsize=4)
        ax.errorbar(gain[:, task].mean(), row, **bar)
    ax.axvline(0, color="black", linewidth=1)
    ax.set(xlabel="gain (points)", title=("Task A: which digit?", "Task B: larger than four?")[task])
axes[0].set(yticks=range(len(gains)), yticklabels=reversed(gains))
fig.suptitle(f"Gain over separate nets that learned as long (dots: {len(seeds)} seeds; bars: mean, s.d.)")
lesson.save(fig, "tomaszewska_fig10_gain-over-separate")

# %% [markdown]
# ## tomaszewska fig9 with convolutions: how fast should the stitches learn? One alpha a layer, or one a channel?
# Two convolutions of 6 and 12 channels, a dense layer of 32 units, a unit behind each. Task A: which digit, with 3
# labels for five classes and 40 for the others. Task B: attributes of all digits. Measured: task A on the five classes.

# %%
def starved_accuracy(make, factor, seed):
    """Accuracy in %."""
    few = starved_digits(3, seed)
    net = make(d_in=(1, 8, 8), channels=(6, 12), widths=(32,), classes=(10, 4), rng=seed)

    def losses(net, x, digit, told):
        (a, b), known = net(x), digit >= 0
        return [cross_entropy(a[known], digit[known]), binary_cross_entropy(b, told)]
    adam = optim.Adam(net.faster(factor) if factor > 1 else net.parameters(), 3e-3)
    fit(net, losses, (few.X.reshape(-1, 1, 8, 8), few.digit, few.attributes), adam, steps=10 if lesson.quick else 200,
        batch_size=100, rng=seed, progress=False)
    right = net(few.X_test.reshape(-1, 1, 8, 8))[0].data.argmax(axis=1) == few.digit_test
    return 100 * right[np.isin(few.digit_test, few.starved)].mean()


variants = {"separate nets": (SeparateNets, 1), "shared trunk": (SharedTrunk, 1)}
variants |= {f"an alpha a channel, rate x {factor}": (CrossStitchNet, factor) for factor in (1, 10, 100)}
variants |= {"an alpha a layer, rate x 10": (partial(CrossStitchNet, per_channel=False), 10), "NDDR": (NDDRNet, 10)}
starved = {name: np.array([starved_accuracy(*variant, seed) for seed in seeds[:5]])
           for name, variant in variants.items()}
print("  convolutions: accuracy (%) on classes with few labels; gain +- standard error; seeds that gain")
for name, reached in starved.items():
    gain = reached - starved["separate nets"]
    lesson.number(name, f"{reached.mean():.1f};  {gain.mean():+.1f} +- {gain.std(ddof=1) / len(gain) ** 0.5:.1f};  "
                  f"{(gain > 0).sum()}/{len(gain)}")

# %%
overall = {name: gain.mean(axis=1) for name, gain in gains.items()}
best = max(overall, key=lambda name: overall[name].mean())
error = overall[best].std(ddof=1) / len(seeds) ** 0.5
gain = starved["an alpha a channel, rate x 10"] - starved["separate nets"]
lesson.shown(f"fig8's dL/dalpha_AB is dL/dalpha_BA and the checker rejects it; on {few} images the best sharing, "
             f"'{best}', gains {overall[best].mean():+.1f} points over separate nets (standard error {error:.1f}); "
             f"convolutional nets with stitches gain {gain.mean():+.1f} on classes with few labels "
             f"({gain.std(ddof=1) / len(gain) ** 0.5:.1f})")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.tasks.cross_stitch import cross_stitch_backward, cross_stitch_forward
#
# X, dY = np.array([[[3.0]], [[5.0]]]), np.array([[[1.0]], [[0.0]]])      # task A alone has a loss
# ```
#
# **1.** A = identity: Y?
#
# <details><summary>Answer</summary>
#
# Two separate nets.
#
# ```python
# cross_stitch_forward(X, np.eye(2))[0].ravel()      # -> [3, 5]
# ```
#
# </details>
#
# **2.** All of A is 0.5: Y?
#
# <details><summary>Answer</summary>
#
# One shared net from here on.
#
# ```python
# cross_stitch_forward(X, np.full((2, 2), 0.5))[0].ravel()      # -> [4, 4]
# ```
#
# </details>
#
# **3.** dA at the identity?
#
# <details><summary>Answer</summary>
#
# A wants B's features though it has none of them yet. B's row has no loss.
#
# ```python
# cross_stitch_backward(dY, cross_stitch_forward(X, np.eye(2))[1])[1]      # -> [[3, 5], [0, 0]]
# ```
#
# </details>
#
# **4.** A = [[0.9, 0.1], [0.3, 0.7]]: dX?
#
# <details><summary>Answer</summary>
#
# The transpose. 0.9 and 0.3 is the usual mistake.
#
# ```python
# cross_stitch_backward(dY, cross_stitch_forward(X, np.array([[0.9, 0.1], [0.3, 0.7]]))[1])[0].ravel()
# # -> [0.9, 0.1]
# ```
#
# </details>
#
# **5.** Both tasks have the same features: what of dA?
#
# <details><summary>Answer</summary>
#
# Equal columns: the alphas can't be told apart.
#
# ```python
# cross_stitch_backward(dY, cross_stitch_forward(np.full((2, 1, 1), 2.0), np.eye(2))[1])[1]      # -> [[2, 2], [0, 0]]
# ```
#
# </details>
