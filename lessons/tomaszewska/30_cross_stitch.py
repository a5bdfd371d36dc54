"""How much should two tasks share?  Let the net learn it: cross-stitch units.

Slides: tomaszewska fig6-fig10, init, erratum 1; shi fig11
Blocks: cross_stitch, linear, cross_entropy, binary_cross_entropy
Run time: 12 s, --quick 2 s (two cores)
Figures: tomaszewska_fig7_two-maps-mixed.png, tomaszewska_fig8_alpha-gradients.png,
tomaszewska_fig9_alphas-over-training.png, tomaszewska_fig10_against-shared-and-separate.png

Forward and backward equation by equation, a misprint caught by the gradient check, and then two
tasks on scanned digits: which digit is it, and is it larger than four?
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import optim, plot
from tinynet.balancing.descend import descend
from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.tasks.cross_stitch import cross_stitch, cross_stitch_backward, cross_stitch_forward
from tinynet.check import gradcheck
from tinynet.data.digits import digits
from tinynet.data.task_toys import starved_digits
from tinynet.lesson import lesson
from tinynet.models.tasks.cross_stitch_net import CrossStitchNet
from tinynet.models.tasks.separate_nets import SeparateNets
from tinynet.models.tasks.shared_trunk import SharedTrunk

rng = np.random.default_rng(lesson.seed)
images = digits(lesson.seed)

# %% [markdown]
# ## fig7, forward: every entry of a feature map becomes a mixture of both tasks' entries there
# $$\begin{bmatrix} \tilde x_A^{ij} \\ \tilde x_B^{ij} \end{bmatrix} =
# \begin{bmatrix} \alpha_{AA} & \alpha_{AB} \\ \alpha_{BA} & \alpha_{BB} \end{bmatrix}
# \begin{bmatrix} x_A^{ij} \\ x_B^{ij} \end{bmatrix}$$
# Task A's map are a digit's edges from left to right, task B's those from top to bottom.

# %%
eight = images.X_train[images.y_train == 8][0].reshape(8, 8).astype(float)
x_A, x_B = np.gradient(eight, axis=1), np.gradient(eight, axis=0)
A = np.array([[0.9, 0.1], [0.1, 0.9]])
(alpha_AA, alpha_AB), (alpha_BA, alpha_BB) = A
by_hand = np.stack([alpha_AA * x_A + alpha_AB * x_B, alpha_BA * x_A + alpha_BB * x_B])
X = np.stack([x_A, x_B])[:, None, None]             # T tasks, N = 1 example, C = 1 channel, 8 x 8
Y, cache = cross_stitch_forward(X, A)
lesson.number("fig7: largest difference, by hand and block", abs(Y[:, 0, 0] - by_hand).max(), 0, "exact")
np.testing.assert_allclose(Y[:, 0, 0], by_hand, rtol=1e-12, atol=1e-15)

# %% The same picture: from two separate features to one shared feature
half = np.full((2, 2), 0.5)
shown = {"$x$": X, r"$\tilde{x}$, $\alpha_S = .9$": Y,
         r"$\tilde{x}$, $\alpha_S = .5$": cross_stitch_forward(X, half)[0]}
fig, axes = plot.subplots(2, 3, figsize=(9, 6))
for (name, maps), column in zip(shown.items(), axes.T, strict=True):
    for task, ax, values in zip("AB", column, maps[:, 0, 0], strict=True):
        plot.image(ax, values, "activation", signed=True, vmin=-0.6, vmax=0.6)
        ax.set(title=f"task {task}: {name}", xticks=[], yticks=[])
lesson.save(fig, "tomaszewska_fig7_two-maps-mixed")

# %% [markdown]
# ## fig8, backward to the features: the transposed matrix
# $x_A$ goes into both outputs, so its gradient collects from both: down a column of $A$, not along a row.
# $$\frac{\partial L}{\partial x_A} = \alpha_{AA} \frac{\partial L}{\partial \tilde x_A} +
# \alpha_{BA} \frac{\partial L}{\partial \tilde x_B}$$

# %%
dY = rng.normal(size=Y.shape)
dx_A = alpha_AA * dY[0] + alpha_BA * dY[1]
dx_B = alpha_AB * dY[0] + alpha_BB * dY[1]
dX, dA = cross_stitch_backward(dY, cache)
features, alphas = tn.Tensor(X, requires_grad=True), tn.Tensor(A, requires_grad=True)
cross_stitch(features, alphas).backward(dY)
lesson.number("fig8 dx: largest difference, by hand and block", abs(dX - np.stack([dx_A, dx_B])).max(), 0, "exact")
lesson.number("fig8 dx: largest difference, by hand and engine", abs(features.grad - np.stack([dx_A, dx_B])).max(), 0)
np.testing.assert_allclose(dX, [dx_A, dx_B], rtol=1e-12, atol=1e-15)

# %% [markdown]
# ## fig8, backward to the alphas: summed over every place where alpha was used
# $\alpha_{AB}$ multiplies $x_B$ on its way to $\tilde x_A$, and does so at all places $i, j$:
# $$\frac{\partial L}{\partial \alpha_{AB}} = \sum_{ij} \frac{\partial L}{\partial \tilde x_A^{ij}} x_B^{ij}, \qquad
# \frac{\partial L}{\partial \alpha_{AA}} = \sum_{ij} \frac{\partial L}{\partial \tilde x_A^{ij}} x_A^{ij}$$

# %%
right = np.array([[(dY[0, 0, 0] * x_A).sum(), (dY[0, 0, 0] * x_B).sum()],
                  [(dY[1, 0, 0] * x_A).sum(), (dY[1, 0, 0] * x_B).sum()]])
numeric, h = np.zeros((2, 2)), 1e-6
for k in np.ndindex(2, 2):
    step = np.zeros((2, 2))
    step[k] = h
    up, down = (cross_stitch_forward(X, A + s)[0] for s in (step, -step))
    numeric[k] = ((up - down) * dY).sum() / (2 * h)
lesson.number("fig8 dA: by hand", right.ravel(), numeric.ravel(), "numeric")
lesson.number("fig8 dA: engine", alphas.grad.ravel(), numeric.ravel(), "numeric")
np.testing.assert_allclose(alphas.grad, right, rtol=1e-12)
np.testing.assert_allclose(right, numeric, rtol=1e-6)

# %% [markdown]
# ## Erratum 1: what fig8 prints, and what the checker says of it
# The slide has $\partial L / \partial \alpha_{AB} = \partial L / \partial \tilde x_B \cdot x_A$. That is the gradient
# of $\alpha_{BA}$: the two are swapped.


# %%

def slide_backward(dY, cache):
    dX, _ = cross_stitch_backward(dY, cache)
    X, A = cache
    dA = np.empty_like(A)
    for i, j in np.ndindex(A.shape):
        dA[i, j] = (dY[j] * X[i]).sum()             # fig8 as printed, with the sum it needs
    return dX, dA


# %%
corner = X[..., 2:5, 2:5]
report, slide_report = (gradcheck(cross_stitch_forward, f, corner, A) for f in (cross_stitch_backward, slide_backward))
print(report)
print(slide_report)
printed = slide_backward(dY, cache)[1]
lesson.number("right formula passes the check", report.ok, True, "expected")
lesson.number("the slide's formula passes the check", slide_report.ok, False, "expected")
lesson.number("dL/dalpha_AB: the slide's formula", printed[0, 1], numeric[0, 1], "numeric")
assert report.ok
assert not slide_report.ok

# %% Erratum 1, second half: dL/dalpha_AA is printed for one place i, j; without the sum it isn't one number


def unsummed_backward(dY, cache):
    dX, _ = cross_stitch_backward(dY, cache)
    X, _ = cache
    return dX, np.einsum("inchw,jnchw->ijhw", dY, X)


report = gradcheck(cross_stitch_forward, unsummed_backward, corner, A)
print(report)
lesson.number("without the sum over i, j it passes the check", report.ok, False, "expected")
assert not report.ok

# %%
fig, ax = plot.subplots()
places, names = np.arange(4), [rf"$\alpha_{{{n}}}$" for n in ("AA", "AB", "BA", "BB")]
bars = {"numeric": numeric, "right formula": right, "as fig8 prints it": printed}
for k, ((label, values), hatch) in enumerate(zip(bars.items(), ("", "//", "xx"), strict=True)):
    look = dict(label=label, color=plot.COLOURS[k], hatch=hatch, edgecolor="white")
    ax.bar(places + 0.27 * (k - 1), values.ravel(), 0.25, **look)
ax.axhline(0, color="black", linewidth=0.8)
ax.set(xticks=places, xticklabels=names, ylabel=r"$\partial L/\partial\alpha$", title="The misprint swaps AB and BA")
ax.legend()
lesson.save(fig, "tomaszewska_fig8_alpha-gradients")

# %% Two tasks on few digits
# A net of two hidden layers for each task; 100 images to learn from, so that sharing can help.
few, sizes = 100, dict(d_in=64, widths=(32, 32), classes=(10, 2))
steps = 15 if lesson.quick else 100


def targets(y):
    return y, (y > 4).astype(np.int64)              # task A: which digit?  task B: larger than four?


def loss(net, batch):
    X, truth = images.X_train[batch], targets(images.y_train[batch])
    task_A, task_B = (cross_entropy(logits, t) for logits, t in zip(net(X), truth, strict=True))
    return task_A + task_B


def accuracies(net):
    """Of both tasks on the test images, in %."""
    with tn.no_grad():
        outputs = zip(net(images.X_test), targets(images.y_test), strict=True)
        return [100 * (logits.data.argmax(axis=1) == t).mean() for logits, t in outputs]


# %%


def train(net, seed):
    """Minibatch SGD; returns the accuracies and the alphas (steps, layers, 2, 2), means over the units."""
    rng, alphas = np.random.default_rng(seed), []
    chosen = rng.permutation(len(images.X_train))[:few]
    sgd = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(steps):
        alphas.append([stitch.A.data.mean(axis=0) for stitch in getattr(net, "stitches", [])])
        net.zero_grad()
        loss(net, rng.choice(chosen, 25, replace=False)).backward()
        sgd.step()
    return accuracies(net), np.array(alphas)


# %% init: .9/.1, at random, from single-task nets; against one trunk for both and separate nets
# Every seed draws other images and other first weights, the same ones for every kind of net.  The
# net that starts from trained single-task nets has learned for twice as long in all.


def all_kinds(seed):
    separate = SeparateNets(**sizes, rng=seed)
    yield "separate nets", separate
    yield "shared trunk", SharedTrunk(**sizes, rng=seed)
    yield "stitched, .9/.1", CrossStitchNet(**sizes, rng=seed)
    yield "stitched, random", CrossStitchNet(**sizes, same=None, rng=seed)
    yield "stitched, from single", CrossStitchNet(**sizes, start=separate, rng=seed)      # trained by now


seeds = lesson.seed + np.arange(2 if lesson.quick else 4)
runs = [{name: train(net, seed) for name, net in all_kinds(seed)} for seed in seeds]

# %% What becomes of the alphas?
paths = {name: alphas for name, (_, alphas) in runs[0].items() if name.startswith("stitched")}
for name, path in paths.items():
    lesson.number(f"{name}: AA AB BA BB, layer 1, start", path[0, 0].ravel())
    lesson.number(f"{name}: AA AB BA BB, layer 1, end", path[-1, 0].ravel())

# %%
fig, axes = plot.subplots(2, 3, figsize=(13, 6.4), sharex=True, sharey=True)
for (name, path), column in zip(paths.items(), axes.T, strict=True):
    for l, ax in enumerate(column):
        entries = dict(zip(names, path[:, l].reshape(-1, 4).T, strict=True))
        plot.curves(ax, range(steps), entries, legend="center right")
        ax.get_legend().remove()
        ax.set(title=f"{name}: layer {l + 1}", ylabel=r"mean $\alpha$ of 32 units" if ax in axes[:, 0] else "")
    column[-1].set_xlabel("training step t")
axes[0, 0].legend(loc="center right", ncols=2)
lesson.save(fig, "tomaszewska_fig9_alphas-over-training")

# %% Who wins, and by how much more than chance?
accuracy = {name: np.array([run[name][0] for run in runs]) for name in runs[0]}
gains = {name: (a - accuracy["separate nets"]).mean(axis=1) for name, a in accuracy.items()}
print(f"  test accuracy (%), mean +- spread over {len(seeds)} seeds: which digit?, > 4?, mean gain over separate nets")
for name, a in accuracy.items():
    cells = [f"{m:.1f} +- {s:.1f}" for m, s in zip(a.mean(axis=0), a.std(axis=0), strict=True)]
    lesson.number(name, "   ".join([*cells, f"{gains[name].mean():+.1f} +- {gains[name].std():.1f}"]))

# %%
fig, axes = plot.subplots(1, 2, figsize=(11, 4.2), sharey=True)
for task, ax in enumerate(axes):
    for row, a in enumerate(reversed(accuracy.values())):
        ax.plot(a[:, task], np.full(len(seeds), row), "o", color=plot.GREY, markersize=5)
        ax.errorbar(a[:, task].mean(), row, xerr=a[:, task].std(), fmt="D", color=plot.COLOURS[0], capsize=4)
    ax.set(xlabel="test accuracy (%)", title=("task A: which digit?", "task B: larger than four?")[task])
axes[0].set(yticks=range(len(accuracy)), yticklabels=reversed(accuracy))
lesson.save(fig, "tomaszewska_fig10_against-shared-and-separate")

# %% [markdown]
# ## How fast should the stitches learn?  One alpha a layer, or one a unit?
# The stitches are usually trained at a multiple of the net's rate. Task A: which digit, 3 labels for five classes,
# 40 for the others; task B: attributes of all. What is measured is task A on the five classes.


# %%
def starved_accuracy(seed, per_channel, factor):
    """(accuracy in %, how far the alphas moved, a mean over all)"""
    few = starved_digits(3, seed)
    net = CrossStitchNet(64, (32, 32), (10, 4), per_channel=per_channel, rng=seed)
    before, known = [stitch.A.data.copy() for stitch in net.stitches], few.digit >= 0

    def losses():
        digit, attributes = net(few.X)
        return [cross_entropy(digit[known], few.digit[known]), binary_cross_entropy(attributes, few.attributes)]
    descend(losses, optim.Adam(net.faster(factor), 3e-3), 2 * steps)
    with tn.no_grad():
        right = net(few.X_test)[0].data.argmax(axis=1) == few.digit_test
    moved = np.mean([abs(stitch.A.data - old).mean() for stitch, old in zip(net.stitches, before, strict=True)])
    return 100 * right[np.isin(few.digit_test, few.starved)].mean(), moved


for per_channel, factor in ((True, 1), (True, 10), (True, 100), (False, 10)):
    tried = np.array([starved_accuracy(seed, per_channel, factor) for seed in seeds])
    name = f"{'one alpha a unit' if per_channel else 'one alpha a layer'}, rate x {factor}: accuracy; |change|"
    lesson.number(name, f"{tried[:, 0].mean():.1f} +- {tried[:, 0].std(ddof=1):.1f};  {tried[:, 1].mean():.2f}")

# %%
best = max(gains, key=lambda name: gains[name].mean())
clear = gains[best].mean() > 2 * gains[best].std()
lesson.shown(f"fig8's dL/dalpha_AB is dL/dalpha_BA and fails the check; on {few} images "
             + (f"'{best}' beats separate nets by {gains[best].mean():.1f} points" if clear else
                "no way of sharing beats separate nets by more than the seeds' spread"))
