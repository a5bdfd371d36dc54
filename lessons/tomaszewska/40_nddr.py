# %% [markdown]
# # NDDR: layers that see all tasks' features

# %% [markdown]
"""Let every layer see both tasks' features: NDDR, and what it brings to classes with few labels.

Slides: tomaszewska fig9-fig12, init, erratum 9
Blocks: nddr, cross_stitch, expert_mixture, cross_entropy, binary_cross_entropy
Run time: 31 s, --quick 3 s (one core)
Figures: tomaszewska_fig12_near-identity.png, tomaszewska_fig10_fig11_starved-classes.png

The layer equation by equation, its start near the identity, and the experiment behind fig10 and fig11:
one task's labels are rare for some classes, the other task's are not.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import optim, plot
from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.tasks.cross_stitch import cross_stitch_forward
from tinynet.blocks.tasks.nddr import NDDR, nddr_backward, nddr_forward
from tinynet.check import gradcheck
from tinynet.data.task_toys import starved_digits
from tinynet.lesson import lesson
from tinynet.models.tasks.cross_stitch_net import CrossStitchNet
from tinynet.models.tasks.mixture_net import MMoE
from tinynet.models.tasks.nddr_net import NDDRNet
from tinynet.models.tasks.separate_nets import SeparateNets
from tinynet.models.tasks.shared_trunk import SharedTrunk
from tinynet.train import fit
from tinynet.train.batches import Whole

rng = np.random.default_rng(lesson.seed)

# %% [markdown]
# ## fig12: concatenate, then one 1x1 convolution for each task
# $$Z = [X_A; X_B], \qquad Y_A = W_A Z + b_A, \qquad Y_B = W_B Z + b_B$$

# %%
X, W, b = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 3, 6)), rng.normal(size=(2, 3))
Y, cache = nddr_forward(X, W, b)
Z = np.concatenate([X[0], X[1]], axis=1)
by_hand = np.stack([Z @ W[0].T + b[0], Z @ W[1].T + b[1]])
np.testing.assert_allclose(Y, by_hand, rtol=1e-13, atol=1e-14, err_msg="fig12 Y: by the block - by hand")

# %% [markdown]
# Backward: both tasks' gradients meet in $Z$, whose channels then part again.
# $$\frac{\partial L}{\partial Z} = \sum_t W_t^T \frac{\partial L}{\partial Y_t}, \qquad
# \frac{\partial L}{\partial W_t} = \sum \frac{\partial L}{\partial Y_t} Z^T$$

# %%
dY = rng.normal(size=Y.shape)
dZ = dY[0] @ W[0] + dY[1] @ W[1]
dX, dW, _ = nddr_backward(dY, cache)
assert abs(dX - np.stack([dZ[:, :3], dZ[:, 3:]])).max() < 1e-12, "fig12 dX: largest difference, by hand and block"
assert abs(dW[0] - dY[0].T @ Z).max() < 1e-12, "fig12 dW: largest difference, by hand and block"
report = gradcheck(nddr_forward, nddr_backward, X, W, b)
print(report)
assert report.ok

# %% [markdown]
# ## init: near the identity
# $W_t$ starts with .9 on the diagonal of its own block and .1 on the other's: the cross-stitch unit of fig7.

# %%
layer = NDDR(2, 8, same=0.9, dtype=float)
features = rng.normal(size=(2, 5, 8))
stitched = cross_stitch_forward(features, np.array([[0.9, 0.1], [0.1, 0.9]]))[0]
assert abs(layer(features).data - stitched).max() < 1e-12, "init: NDDR - cross-stitch unit at .9/.1"

# %% [markdown]
# ## fig9, erratum 9: a weight for each source, but none for each target
# A well-known repository keeps one weight for each *source*: $\tilde x_i = \sum_j a_j x_j$. Then all tasks get the same
# mixture, and whatever was the tasks' own is lost at the first unit. Another starts at all ones, with the same effect.

# %%
a = np.array([0.9, 0.1])
one_per_source = np.stack([a[0] * features[0] + a[1] * features[1]] * 2)
lesson.number("erratum 9: difference between the tasks' features", abs(one_per_source[0] - one_per_source[1]).max())
lesson.number("fig7: difference between the tasks' features", abs(stitched[0] - stitched[1]).max())

# %% [markdown]
# ## fig10, fig11: data-starved classes
# Task A: which digit? Five classes have 1, 3 or 10 labels, the others 40. Task B: four attributes (even, at least 5,
# has a loop, is one of 1 4 7), known for all 600 pictures. What is measured is task A on the starved classes.

# %%
SIZES = dict(d_in=64, widths=(32, 32), classes=(10, 4))
steps = 30 if lesson.quick else 200


def train(net, data, params=None, steps=steps):
    """Accuracies (%) of (digits of starved classes, attributes) on the test pictures."""
    labelled = data.digit >= 0

    def losses(net, x, labels, told):
        digit, attributes = net(x)
        return [cross_entropy(digit[labelled], labels), binary_cross_entropy(attributes, told)]
    batch = Whole((data.X, data.digit[labelled], data.attributes), len(data.X))
    fit(net, losses, batch, optim.Adam(params or net.parameters(), 3e-3), steps=steps, progress=False)
    with tn.no_grad():
        digit, attributes = (y.data for y in net(data.X_test))
    starved = np.isin(data.digit_test, data.starved)
    return (100 * (digit.argmax(axis=1) == data.digit_test)[starved].mean(),
            100 * ((attributes > 0) == data.attributes_test).mean())


# %% [markdown]
# Every seed draws other pictures, other starved classes and other first weights, the same for all kinds of net. NDDR
# and the cross-stitch net start from single-task nets that were trained for 200 steps (the deck's init), and train for
# 200 more, their layers at ten times the rate. So the separate nets go on for 200 steps, too, and the shared trunk gets
# 400. The control has as many layers as NDDR, from the same start, but each sees its own task alone: it tells the other
# task's features from mere depth.


# %%
def all_kinds(seed, data):
    """{name: accuracies}"""
    separate = SeparateNets(**SIZES, rng=seed)
    train(separate, data)
    from_there = {"cross-stitch": CrossStitchNet(**SIZES, start=separate, rng=seed),
                  "NDDR": NDDRNet(**SIZES, start=separate, rng=seed),
                  "control: layers alone": NDDRNet(**SIZES, start=separate, alone=True, rng=seed)}
    return {"separate nets": train(separate, data),
            "shared trunk": train(SharedTrunk(**SIZES, rng=seed), data, steps=2 * steps),
            **{name: train(net, data, net.faster(10)) for name, net in from_there.items()}}


labels, seeds = (1, 3, 10), range(lesson.seed, lesson.seed + (2 if lesson.quick else 5))
runs = {n: [all_kinds(seed, starved_digits(n, seed)) for seed in seeds] for n in labels}
gains = {}
for n in labels:
    alone = np.array([run["separate nets"][0] for run in runs[n]])
    print(f"  {n} labels: starved classes (%), gain +- standard error, seeds that gain; attributes (%)")
    for name in runs[n][0]:
        starved, attributes = np.array([run[name] for run in runs[n]]).T
        g = starved - alone
        gains[name, n] = g.mean(), g.std(ddof=1) / len(g) ** 0.5
        gain = f"{g.mean():+.1f} +- {gains[name, n][1]:.1f};  {(g > 0).sum()}/{len(g)}"
        lesson.number(name, f"{starved.mean():.1f};  {gain};  {attributes.mean():.1f}")
over = {n: np.array([run["NDDR"][0] - run["shared trunk"][0] for run in runs[n]]) for n in labels}
for n, g in over.items():
    lesson.number(f"{n} labels: NDDR over the shared trunk", f"{g.mean():+.1f} +- {g.std(ddof=1) / len(g) ** 0.5:.1f}")

# %%
fig, ax = plot.subplots()
names = list(runs[1][0])[1:]
for k, name in enumerate(names):
    at = np.arange(len(labels)) + 0.08 * (k - 1.5)
    mean, se = np.array([gains[name, n] for n in labels]).T
    ax.errorbar(at, mean, yerr=2 * se, color=plot.COLOURS[k], linestyle=plot.DASHES[k], marker=plot.MARKERS[k],
                capsize=4, label=name)
ax.axhline(0, color="black", linewidth=0.8)
ax.set(xticks=range(len(labels)), xticklabels=labels, xlabel="labels for each starved class",
       ylabel="gain over separate nets (points, 2 se)", title="Task A on its starved classes")
ax.legend(loc="upper right")
lesson.save(fig, "tomaszewska_fig10_fig11_starved-classes")

# %% [markdown]
# ## init and rate: .5, .9 or 1 on the own block, and how fast the layers and the stitches learn
# What doesn't start from trained nets trains for 400 steps.

# %%
variants = {".9, from trained nets, x 10": (0.9, True, 10), ".9, from scratch, x 10": (0.9, False, 10),
            ".9, from trained nets, x 1": (0.9, True, 1), ".5, from trained nets, x 10": (0.5, True, 10),
            "1, from trained nets, x 10": (1.0, True, 10)}
tried = {}
for seed in seeds[:2 if lesson.quick else 3]:
    data, separate = starved_digits(3, seed), SeparateNets(**SIZES, rng=seed)
    train(separate, data)
    for name, (same, trained, factor) in variants.items():
        net = NDDRNet(**SIZES, same=same, start=separate if trained else None, rng=seed)
        tried.setdefault(name, []).append(train(net, data, net.faster(factor), steps if trained else 2 * steps)[0])
    for name, per_channel, factor in (("cross-stitch, an alpha a unit, x 1", True, 1),
                                      ("cross-stitch, an alpha a unit, x 100", True, 100),
                                      ("cross-stitch, an alpha a layer, x 10", False, 10)):
        net = CrossStitchNet(**SIZES, per_channel=per_channel, start=separate, rng=seed)
        tried.setdefault(name, []).append(train(net, data, net.faster(factor))[0])
    tried.setdefault("MMoE, 3 experts", []).append(train(MMoE(**SIZES, rng=seed), data, steps=2 * steps)[0])
print(f"  3 labels, starved classes (%), mean +- spread of {len(tried['MMoE, 3 experts'])} seeds")
for name, a in tried.items():
    lesson.number(name, f"{np.mean(a):.1f} +- {np.std(a, ddof=1):.1f}")

# %%
net = NDDRNet(**SIZES, start=separate, rng=lesson.seed)
before = net.fusions[0].W.data[0].copy()
train(net, data, net.faster(10))
fig, axes = plot.subplots(2, 1, height=8, sharex=True)
for ax, values, title in zip(axes, (before, net.fusions[0].W.data[0]), ("at the start", "after training"), strict=True):
    plot.image(ax, values, "weight", signed=True, vmin=-0.9, vmax=0.9)
    ax.set(ylabel="channel out", title=f"$W_A$ of layer 1 {title}")
axes[1].set_xlabel("channel in: 0-31 own (digit), 32-63 other (attributes)")
lesson.save(fig, "tomaszewska_fig12_near-identity")

# %%
clear = [n for n in labels if gains["NDDR", n][0] > 3 * gains["NDDR", n][1]]
told = ", ".join(f"{gains['NDDR', n][0]:+.1f} at {n}" for n in labels)
control = ", ".join(f"{gains['control: layers alone', n][0]:+.1f}" for n in labels)
lesson.shown(f"points that NDDR gains on starved classes, by labels a class: {told} "
             f"(beyond 3 standard errors at {', '.join(map(str, clear)) or 'none'}); the same layers without the other "
             f"task: {control}; over a shared trunk with as many steps it gains "
             f"{', '.join(f'{g.mean():+.1f}' for g in over.values())}")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.tasks.nddr import nddr_backward, nddr_forward
# from tinynet.models.tasks.nddr_net import NDDRNet
# from tinynet.models.tasks.separate_nets import SeparateNets
#
# X = np.array([[[1.0]], [[10.0]]])                       # two tasks, one example, one channel
# start = np.array([[[0.9, 0.1]], [[0.1, 0.9]]])          # W of each task: 0.9 of its own, 0.1 of the other
# ```
#
# **1.** Features 1 and 10, 0.9 of the own and 0.1 of the other: Y?
#
# <details><summary>Answer</summary>
#
# The cross-stitch unit of fig7.
#
# ```python
# nddr_forward(X, start)[0].ravel()      # -> [1.9, 9.1]
# ```
#
# </details>
#
# **2.** Only task A has a loss (dY = 1, 0): dX?
#
# <details><summary>Answer</summary>
#
# B's features get a tenth of it.
#
# ```python
# nddr_backward(np.array([[[1.0]], [[0.0]]]), nddr_forward(X, start)[1])[0].ravel()      # -> [0.9, 0.1]
# ```
#
# </details>
#
# **3.** And dW?
#
# <details><summary>Answer</summary>
#
# A's row gets both tasks' features, B's row nothing.
#
# ```python
# nddr_backward(np.array([[[1.0]], [[0.0]]]), nddr_forward(X, start)[1])[1].reshape(2, 2)      # -> [[1, 10], [0, 0]]
# ```
#
# </details>
#
# **4.** One weight for each source, none for each target (erratum 9): what do the tasks get?
#
# <details><summary>Answer</summary>
#
# The same, so what was a task's own is lost.
#
# ```python
# nddr_forward(X, np.array([[[0.9, 0.1]], [[0.9, 0.1]]]))[0].ravel()      # -> [1.9, 1.9]
# ```
#
# </details>
#
# **5.** Two nets 64 - 32 - 32 with 10 and 4 outputs: how many parameters do two NDDR layers of 32 channels add?
#
# <details><summary>Answer</summary>
#
# 2 (2 x 64 x 32), and a bias for each of 2 x 2 x 32 outputs where there is one.
#
# ```python
# sizes = [sum(p.size for p in kind(64, (32, 32), (10, 4), rng=0).parameters()) for kind in (SeparateNets, NDDRNet)]
# sizes[1] - sizes[0]      # -> 8320
# ```
#
# </details>
