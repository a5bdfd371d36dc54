# %% [markdown]
# # Plain and residual nets on images

# %% [markdown]
"""Does a deeper convolutional net learn worse, and what does a shortcut change?

Slides: shi fig1, fig3, fig4, fig5, 1.6; csc321 cifar, resmath
Blocks: conv, batch_norm, conv_residual, pool
Run time: 35 s, --quick 4 s (two cores)
Figures: csc321_cifar_plain-and-residual.png, shi_fig5_gradient-norms.png

He et al. train nets of 20 to 56 layers on CIFAR-10.  This lesson trains the same nets, with two widths in place of
three, on 1,280 scanned digits of 8 x 8 pixels; `--data DIR` adds two short runs on CIFAR-10 itself.
"""

# %%
import numpy as np

from tinynet import plot
from tinynet.blocks.images.conv import Conv
from tinynet.blocks.images.conv_residual import conv_residual_forward, residual_terms
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.data.digits import digits
from tinynet.lesson import lesson
from tinynet.models.images.cifar_net import CifarNet
from tinynet.optim import SGD, LinearDecay, WarmUp
from tinynet.train import evaluate, fit

# %% [markdown]
# ## The block of fig3, with convolutions
# $$ y = \mathrm{relu}(h(x) + \mathcal{F}(x, W)), \qquad
#    \mathcal{F} = \mathrm{norm}(W_2 * \mathrm{relu}(\mathrm{norm}(W_1 * x))) $$
# Equation 1.6 says that the gradient of $x$ has two terms, the identity's and the weights'.
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
              np.linalg.norm(through_weights) / np.linalg.norm(identity_term), "any", "shi 1.6")
assert exact

# %% [markdown]
# ## Plain and residual nets of 10, 22 and 46 layers
# Both have the same convolutions, norms and number of parameters; a residual net has the shortcuts besides.
# All nets get the same 100 steps of 128 images: the rate rises to 0.1, then falls to 0.

# %%
data = digits(lesson.seed)
X, X_test = (a.reshape(-1, 1, 8, 8) for a in (data.X_train[:1280], data.X_test))        # ten whole batches
y_train, y_test = data.y_train[:1280], data.y_test


def make(kind, depth, seed, norm=True):
    return CifarNet(depth, kind == "residual", widths=(8, 16), channels=1, norm=norm, rng=seed)


def loss(net, X, y):
    return cross_entropy(net(X), y)


def error(net, X, y):
    return 100 * float((net(X).data.argmax(axis=1) != y).mean())


def learn(kind, depth, seed, epochs=10):
    net = make(kind, depth, seed)
    history = fit(net, loss, (X, y_train), SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4), epochs,
                  batch_size=128, schedule=WarmUp(0.15 * epochs, LinearDecay(0.85 * epochs)), rng=seed, progress=False)
    errors = [evaluate(net, None, part, {"error": error})["error"] for part in ((X, y_train), (X_test, y_test))]
    return history["loss"], *errors


# %%
kinds, depths, seeds = ("plain", "residual"), (10, 22, 46), range(3)
if lesson.quick:
    depths, seeds = (10, 22), range(1)
runs = {(kind, depth): [learn(kind, depth, lesson.seed + seed) for seed in seeds] for kind in kinds for depth in depths}
for (kind, depth), of_seeds in runs.items():
    train, test = np.array([run[1:] for run in of_seeds]).T
    lesson.number(f"{kind}, {depth} layers: training error %, by seed", np.round(train, 1),
                  *(("grows with depth", "shi fig1") if kind == "plain" else ("does not", "shi fig4")))
    lesson.number(f"{kind}, {depth} layers: test error %, by seed", np.round(test, 1))
deep = depths[-1]
plain, residual = (np.array([run[1] for run in runs[kind, deep]]) for kind in kinds)
shallow_plain = np.array([run[1] for run in runs["plain", depths[0]]])
degrades, shortcut_helps = bool((plain > shallow_plain).all()), bool((residual < plain).all())
lesson.number(f"plain: {deep} layers worse than {depths[0]}, in every seed", degrades, "yes", "shi fig1")
lesson.number(f"{deep} layers: residual better than plain, in every seed", shortcut_helps, "yes", "shi fig4")

# %%
fig, axes = plot.subplots(1, 3)
for ax, kind in zip(axes, kinds, strict=False):
    curves = {f"{depth} layers": np.mean([run[0] for run in runs[kind, depth]], axis=0) for depth in depths}
    plot.curves(ax, range(1, 11), curves, legend="upper right")
    ax.set(xlabel="epoch", ylabel="training loss (nats)", title=f"{kind.capitalize()}, seeds' mean",
           ylim=(0, 3))
for i, kind in enumerate(kinds):
    errors = np.array([[run[2] for run in runs[kind, depth]] for depth in depths])
    axes[2].plot(depths, errors.mean(axis=1), marker=plot.MARKERS[i], color=plot.COLOURS[i], linestyle=plot.DASHES[i],
                 label=kind)
    axes[2].plot(depths, errors, linestyle="", marker=".", color=plot.COLOURS[i])
axes[2].set(xlabel="layers of weights", ylabel="test error (%)", title="Test (dots: seeds)",
            xticks=depths, ylim=(0, None))
axes[2].legend(loc="upper left")
lesson.save(fig, "csc321_cifar_plain-and-residual")

# %% [markdown]
# ## Is it a vanishing gradient?
# He et al. say no: with batch norm the plain nets' gradients don't vanish, so their trouble is another one.
# The norm of every layer's gradient at the start tells.


# %%
def gradient_norms(net, images=256):
    """|dE/dW| of every convolution, first to last, for one batch."""
    net.zero_grad()
    loss(net, X[:images], y_train[:images]).backward()
    layers = [layer for _, layer in net.named_modules() if isinstance(layer, Conv)]
    return np.array([np.linalg.norm(layer.W.grad) for layer in layers])


def first_beside_last(norms):
    """The mean norm of the first five layers beside that of the last five: far below 1 where the gradient vanishes."""
    return norms[:5].mean() / norms[-5:].mean()


variants = {"plain, no norm": ("plain", False), "plain, batch norm": ("plain", True), "residual": ("residual", True)}
norms = {name: np.array([gradient_norms(make(kind, deep, lesson.seed + seed, norm)) for seed in seeds])
         for name, (kind, norm) in variants.items()}
for name, of_seeds in norms.items():
    lesson.number(f"{name}: |dE/dW|, first layers / last, by seed", [first_beside_last(n) for n in of_seeds])
vanishes = any(first_beside_last(n) < 0.1 for n in norms["plain, batch norm"])
lesson.number(f"plain, batch norm, {deep} layers: gradient vanishes", vanishes, "no", "He et al. 2016")

# %%
fig, ax = plot.subplots()
plot.curves(ax, range(1, norms["residual"].shape[1] + 1), {name: n.mean(axis=0) for name, n in norms.items()},
            legend="upper right")
ax.set(xlabel="layer, from the image on", ylabel="$|dE/dW|$", yscale="log",
       title=f"Gradient at the start, {deep} layers, mean over {len(seeds)} seeds")
lesson.save(fig, "shi_fig5_gradient-norms")

# %% [markdown]
# ## CIFAR-10 itself, where its files are
# Two short runs of 20 layers on 5,000 images.  The table of all nets: `python -m lessons.tables images --data DIR`.

# %%
if lesson.data and not lesson.quick:
    from lessons.tables.images.recipes import FIXED, MEAN, STD, Augmented, cifar10
    from lessons.tables.images.recipes import learn as short_run

    images = cifar10(lesson.data)
    for kind in kinds:
        net = CifarNet(20, kind == "residual", rng=lesson.seed)
        net = Augmented(net, MEAN, STD, pad=4, rng=lesson.seed)
        row = short_run(net, images, lesson.seed, None, epochs=2, images=FIXED // 2)
        lesson.number(f"CIFAR-10, {kind}-20, 2 epochs of 5,000: test error %", row["test error"])

# %%
if degrades and shortcut_helps:
    lesson.shown(f"with {deep} layers the plain nets' training error is {plain.mean():.0f} %, with {depths[0]} "
                 f"layers {shallow_plain.mean():.0f} %; with shortcuts {deep} layers reach "
                 f"{residual.mean():.1f} %, in each of {len(seeds)} seeds")
else:
    lesson.shown("in these seeds depth did not hurt every plain net; see the numbers")

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
