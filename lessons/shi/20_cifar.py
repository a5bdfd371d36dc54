# %% [markdown]
# # Plain and residual nets on images

# %% [markdown]
"""Does a deeper convolutional net learn worse, and what does a shortcut change?

Slides: shi fig1, fig3, fig4, fig5, 1.6; csc321 cifar, resmath
Blocks: conv, batch_norm, conv_residual, pool
Run time: 45 s, --quick 6 s (one core)
Figures: shi_fig4_fig5_convolutions.png, csc321_cifar_plain-and-residual.png, csc321_cifar_gradients.png,
shi_fig1_cifar-10.png, shi_fig4_fig5_cifar-10.png

He et al. train nets of 20 to 110 layers on CIFAR-10.  This lesson trains such nets, with two widths in place of three,
on 1,280 scanned digits of 8 x 8 pixels, and shows the table's runs of 20 to 56 layers on CIFAR-10.  `--data DIR` adds
two short runs there.
"""

# %%
import numpy as np

from lessons.tables import ledger
from lessons.tables.__main__ import FIGURES
from lessons.tables.images.recipes import Augmented, learn
from lessons.tables.images.tables import CIFAR_10
from tinynet import plot
from tinynet.blocks.images.conv_residual import conv_residual_forward, residual_terms
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.data.cifar import MEAN, STD, Split, cifar10
from tinynet.data.digits import digits
from tinynet.engine import gradients
from tinynet.lesson import lesson
from tinynet.models.images.cifar_net import CifarNet

# %% [markdown]
# ## The block of fig3, with convolutions
# $$ y = \mathrm{relu}(h(x) + \mathcal{F}(x, W)), \qquad
#    \mathcal{F} = \mathrm{norm}(W_2 * \mathrm{relu}(\mathrm{norm}(W_1 * x))) $$
# Equation 1.6 says that the gradient of $x$ has two terms, the identity's and the weights'. With $z = x + F(x, W)$:
# $$ \frac{\partial E}{\partial x} = \frac{\partial E}{\partial z} \Big(I + \frac{\partial F}{\partial x}\Big),
#    \qquad \frac{\partial E}{\partial z} = \frac{\partial E}{\partial y} \odot [z > 0] $$
# The block computes them apart, so that both can be looked at.

# %%
rng = np.random.default_rng(lesson.seed)
x, dy = rng.normal(size=(2, 4, 4, 6, 6))
weights = [a for _ in range(2) for a in (rng.normal(size=(4, 4, 3, 3)) / 6, np.ones(4), np.zeros(4))]
y, cache = conv_residual_forward(x, *weights)
identity_term, through_weights, _ = residual_terms(dy, cache)
exact = np.array_equal(identity_term, dy * (y > 0))
lesson.number("identity term = dy where the last relu is open", exact, "yes", "shi 1.6")
lesson.number("|term through the weights| / |identity term|",
              np.linalg.norm(through_weights) / np.linalg.norm(identity_term))
assert exact

# %% [markdown]
# ## Plain and residual nets of 10, 22 and 46 layers
# All have the same convolutions. A residual net has the shortcuts besides; the third kind has neither shortcuts nor
# batch norm, and stops at 22 layers. All get the same 60 steps of 128 images by the table's recipe, `learn` in
# `lessons.tables.images.recipes`: the rate rises to 0.1, then falls to 0.

# %%
data = digits(lesson.seed)
X, X_test = (a.reshape(-1, 1, 8, 8) for a in (data.X_train[:1280], data.X_test))        # ten whole batches
images = Split(X, data.y_train[:1280], X_test, data.y_test)
KINDS = {"plain, no norm": dict(residual=False, norm=False), "plain": dict(residual=False), "residual": {}}


def make(kind, depth, seed):
    return CifarNet(depth, widths=(8, 16), channels=1, rng=seed, **KINDS[kind])


# %%
cifar = cifar10(lesson.data) if lesson.data and not lesson.quick else None      # a wrong folder is told at once
depths = (10, 22) if lesson.quick else (10, 22, 46)
seeds = lesson.seed + np.arange(1 if lesson.quick else 3)
runs = {(kind, depth): [learn(make(kind, depth, seed), images, seed, None, epochs=6) for seed in seeds]
        for kind in KINDS for depth in (depths[:2] if kind == "plain, no norm" else depths)}


# %%
def of(runs, kind, depth, column):
    """What was measured there, by seed."""
    return np.array([run[column] for run in runs[kind, depth]])


def depths_of(runs, kind):
    return [depth for k, depth in runs if k == kind]


def seeds_of(runs):
    """How many seeds each mean is of, for a figure's title."""
    counts = sorted({len(by_seed) for by_seed in runs.values()})
    return "1 seed each" if counts == [1] else f"mean of {' or '.join(map(str, counts))} seeds"


for kind, depth in runs:
    for column in ("training error", "test error"):
        lesson.number(f"{kind}, {depth} layers: {column} %, by seed", of(runs, kind, depth, column).round(1))

# %% [markdown]
# Deeper plain nets are worse on the training digits, too, so this is not overfitting (shi fig1). With shortcuts depth
# does no harm (shi fig4). Without batch norm, at the same rate, plain nets of 22 layers hardly learn.

# %%
shallow, middle, deep = depths[0], depths[1], depths[-1]
shallow_plain, middle_plain, plain = (of(runs, "plain", depth, "training error") for depth in (shallow, middle, deep))
shallow_residual, residual = (of(runs, "residual", depth, "training error") for depth in (shallow, deep))
no_norm = of(runs, "plain, no norm", middle, "training error")
claims = {f"plain: {deep} layers worse than {shallow}": (shallow_plain.max() < plain.min(), "shi fig1"),
          f"residual: {deep} layers no worse than {shallow}": (residual.max() <= shallow_residual.max(), "shi fig4"),
          f"{deep} layers: residual better than plain": (residual.max() < plain.min(), "shi fig4"),
          f"{middle} layers: plain better with batch norm": (middle_plain.max() < no_norm.min(), "ours")}
for claim, (holds, source) in claims.items():
    lesson.number(f"{claim}, whichever seeds", holds, "yes", source)
    assert holds, claim


# %%
def over_epochs(runs, column, label, title, name, **scale):
    """A panel for each kind of net, a line for each depth: the mean over the seeds."""
    kinds, every = list(dict.fromkeys(kind for kind, _ in runs)), sorted({depth for _, depth in runs})
    fig, axes = plot.subplots(1, len(kinds), sharey=True, squeeze=False)
    for ax, kind in zip(axes[0], kinds, strict=True):
        curves = {depth: of(runs, kind, depth, column).mean(axis=0) for depth in depths_of(runs, kind)}
        epochs = len(next(iter(curves.values())))
        missing = np.full(epochs, np.nan)                   # so that the legend has every depth, in its own colour
        plot.curves(ax, range(1, epochs + 1), {f"{depth} layers": curves.get(depth, missing) for depth in every},
                    legend=None)
        ax.set(xlabel="epoch", title=kind, xticks=range(0, epochs + 1, 4 if epochs > 10 else 2))
    axes[0, 0].set(ylabel=label, **scale)
    for ax in axes[0]:
        ax.minorticks_off()
    plot.legend_below(fig, ax)
    fig.suptitle(f"{title}, {seeds_of(runs)}")
    lesson.save(fig, name)


def over_depth(runs, title, name):
    """Training and test error over depth, a line for each kind of net: the mean over the seeds, which are dots."""
    fig, axes = plot.subplots(1, 2, sharey=True)
    for ax, column in zip(axes, ("training error", "test error"), strict=True):
        for i, kind in enumerate(dict.fromkeys(kind for kind, _ in runs)):
            errors = {depth: of(runs, kind, depth, column) for depth in depths_of(runs, kind)}
            look = dict(color=plot.COLOURS[i], clip_on=False)
            ax.plot(errors.keys(), [e.mean() for e in errors.values()], label=kind, linestyle=plot.DASHES[i],
                    marker=plot.MARKERS[i], **look)
            for depth, by_seed in errors.items():
                ax.plot([depth] * len(by_seed), by_seed, linestyle="", marker=".", **look)
        ax.set(xlabel="layers of weights", ylabel=f"{column} (%)", xticks=sorted({depth for _, depth in runs}))
    ax.set_ylim(0, None)
    plot.legend_below(fig, ax)
    fig.suptitle(f"{title}, {seeds_of(runs)}" + " (dots: seeds)" * any(len(by_seed) > 1 for by_seed in runs.values()))
    lesson.save(fig, name)


over_epochs(runs, "curve of loss", "training loss (nats)", "Digits", "shi_fig4_fig5_convolutions", ylim=(0, None))
over_depth(runs, "Digits, after 6 epochs", "csc321_cifar_plain-and-residual")

# %% [markdown]
# ## Is it a vanishing gradient?
# He et al. say no: with batch norm the plain nets' gradients have healthy norms, so their trouble is another one.
# Look at $|\partial E / \partial h_l|$, the gradient of the maps behind layer $l$, at the start.
# (The gradient of the weights can't show it. In a net of relus without norm and with biases 0, the sum of
# $W_l \, \partial E / \partial W_l$ over all weights of a layer is the same in every layer.)


# %%
def gradient_norms(kind, seed, count=256):
    """|dE/dh_l| for l = 1, 3, 5, ... and one batch: residual nets have maps behind every second layer."""
    net = make(kind, DEEP, seed)
    maps = [net.first(images.X_train[:count])]
    for block in net.blocks:
        maps.append(block(maps[-1]))
    E = cross_entropy(net.last(net.average(maps[-1])), images.y_train[:count])
    step = 1 if kind == "residual" else 2                   # a residual net's blocks have two layers, a plain net's one
    return np.array([np.linalg.norm(g) for g in gradients(E, maps[::step])])


DEEP, draws = 46, lesson.seed + np.arange(2 if lesson.quick else 5)
norms = {kind: np.array([gradient_norms(kind, seed) for seed in draws]) for kind in KINDS}
ratios = {kind: n[:, 0] / n[:, -1] for kind, n in norms.items()}
for kind, ratio in ratios.items():
    lesson.number(f"{kind}: |dE/dh_1| / |dE/dh_{DEEP - 1}|, least and most", [ratio.min(), ratio.max()],
                  *(("healthy", "He et al. 2016") if kind == "plain" else ()))
without, with_norm, shortcut = ratios.values()
assert without.max() < 1 < shortcut.min()
assert shortcut.max() < with_norm.min()

# %% [markdown]
# In every draw the same: without norm the gradient vanishes on its way to the image. With norm it does not vanish, as
# He et al. say, but it explodes at the start (Yang et al. 2019, arXiv:1902.08129, derive why). With shortcuts it grows,
# too, but far less.

# %%
fig, ax = plot.subplots()
plot.curves(ax, range(1, DEEP, 2), {kind: np.exp(np.log(n).mean(axis=0)) for kind, n in norms.items()}, legend=None)
ax.set(xlabel="layer $l$, from the image on", ylabel=r"$|\partial E / \partial h_l|$", yscale="log",
       title=f"Digits: gradient at the start, {DEEP} layers, geometric mean of {len(draws)} draws")
plot.legend_below(fig, ax)
lesson.save(fig, "csc321_cifar_gradients")

# %% [markdown]
# ## CIFAR-10 itself, from the ledger
# `python -m lessons.tables images --data DIR` trains every net for 16 epochs on all 50,000 images, ResNet-20 for 60 as
# well, and its ledger keeps the runs. Where a net has one seed only, a difference of a point says little: compare 20
# layers with 56.


# %%
def runs_of_table(folder):
    """{system: [{column: value} by seed]} in the table's order, the epochs' numbers as lists."""
    found = {system: [] for system in CIFAR_10.paper}
    for cell, measured in ledger.read(ledger.path_of(CIFAR_10, folder)).items():
        if CIFAR_10.metric in measured:
            found[cell.system].append({name: [y for _, y in value] if isinstance(value, list) else value
                                       for name, (value, _) in measured.items()})
    return {system: by_seed for system, by_seed in found.items() if by_seed}


table = runs_of_table(FIGURES)
lesson.number("CIFAR-10: nets in the table's ledger", len(table))
for system, by_seed in table.items():
    stated = CIFAR_10.of_paper(system, "CIFAR-10", CIFAR_10.columns[0]) or "a figure alone"
    lesson.number(f"CIFAR-10, {system}: training error %", [run["training error"] for run in by_seed])
    lesson.number(f"CIFAR-10, {system}: test error %", [run["test error"] for run in by_seed], stated,
                  "He et al. 2016, 164 epochs")
equally_long = {(kind, depth): table[f"{kind}-{depth}"] for kind in ("plain", "ResNet") for depth in (20, 32, 44, 56)
                if f"{kind}-{depth}" in table}
if equally_long:                                            # a copy of the lessons alone has no ledger
    over_depth(equally_long, "CIFAR-10, after 16 epochs", "shi_fig1_cifar-10")
    over_epochs(equally_long, "curve of test error", "test error (%)", "CIFAR-10", "shi_fig4_fig5_cifar-10",
                yscale="log", yticks=(10, 20, 40, 80), yticklabels=(10, 20, 40, 80))

# %% [markdown]
# With `--data`, two short runs of the same recipe, with 20 layers: 2 epochs of 5,000 images.

# %%
if cifar:
    for kind in ("plain", "residual"):
        net = CifarNet(20, kind == "residual", rng=lesson.seed)
        row = learn(Augmented(net, MEAN, STD, pad=4, rng=lesson.seed), cifar, lesson.seed, None, epochs=2, images=5000)
        lesson.number(f"CIFAR-10, {kind}-20, 2 epochs of 5,000: test error %", row["test error"])

# %%
lesson.shown(f"training error of plain nets: {shallow_plain.mean():.0f} % with {shallow} layers, "
             f"{plain.mean():.0f} % with {deep}; of residual nets with {deep}: {residual.mean():.1f} %; of plain nets "
             f"with {middle}: {no_norm.mean():.0f} % without batch norm, {middle_plain.mean():.0f} % with it. The "
             f"gradient at the start, from layer {DEEP - 1} to layer 1, is divided by {1 / np.median(without):.0f} "
             f"without norm, multiplied by {np.median(with_norm):.0f} with it, by {np.median(shortcut):.0f} with "
             "shortcuts")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.images.batch_norm import batch_norm_backward, batch_norm_forward
# from tinynet.blocks.images.conv_residual import conv_residual_backward, conv_residual_forward
# from tinynet.models.images.cifar_net import CifarNet
#
# one, none = np.ones(1), np.zeros(1)
# X = np.random.default_rng(0).normal(size=(4, 1, 3, 3)).clip(0)
# weights = [np.ones((1, 1, 3, 3)), one, none, np.ones((1, 1, 3, 3)), none, none]      # the last norm's gain is 0
# ```
#
# **1.** The last norm of a block has gain 0: what does the block hand on, where x >= 0?
#
# <details><summary>Answer</summary>
#
# x itself.
#
# ```python
# np.abs(conv_residual_forward(X, *weights)[0] - X).max()      # -> 0
# ```
#
# </details>
#
# **2.** And which of the weights get a gradient then: the filters, or that gain?
#
# <details><summary>Answer</summary>
#
# The gain alone. The filters learn nothing in the first step.
#
# ```python
# grads = conv_residual_backward(np.ones(X.shape), conv_residual_forward(X, *weights)[1])
# [bool(grads[i].any()) for i in (1, 4, 5)]      # -> [False, False, True]
# ```
#
# </details>
#
# **3.** A channel's numbers are all multiplied by 1,000, then batch-normalised: what changes?
#
# <details><summary>Answer</summary>
#
# Nothing.
#
# ```python
# a, b = (batch_norm_forward(c * X, one, none, eps=0.0)[0] for c in (1, 1000))
# np.abs(a - b).max() < 1e-12      # -> True
# ```
#
# </details>
#
# **4.** dY = 1 everywhere: which gradient comes back through a batch norm?
#
# <details><summary>Answer</summary>
#
# 0, because the mean is always 0.
#
# ```python
# dX = batch_norm_backward(np.ones(X.shape), batch_norm_forward(X, one, none)[1])[0]
# np.abs(dX).max() < 1e-12      # -> True
# ```
#
# </details>
#
# **5.** How many parameters do the shortcuts of a net of 20 layers add?
#
# <details><summary>Answer</summary>
#
# None where they are the identity: plain and residual nets are of one size.
#
# ```python
# plain, residual = (sum(p.size for p in CifarNet(20, kind, rng=0).parameters()) for kind in (False, True))
# residual - plain      # -> 0
# ```
#
# </details>
