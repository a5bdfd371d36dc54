# %% [markdown]
# # Residual blocks

# %% [markdown]
"""Why can a net of 64 layers learn once every block adds to what came in?

Slides: shi 1.1-1.6, fig1, fig3, fig4, fig5, erratum 2; csc321 block, resmath
Blocks: residual, linear, cross_entropy
Run time: 12 s, --quick 3 s
Figures: shi_fig3_block.png, shi_1.6_two-terms.png, shi_fig1_degradation.png, shi_fig1_fading-signal.png,
shi_fig4_fig5_training.png, shi_fig1_depth.png

The formulas are written out and compared with the block. Then nets of 4 to 64 layers learn the digits.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import diagrams, plot
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.units.residual import (
    residual_backward,
    residual_forward,
    residual_stack_backward,
    residual_stack_forward,
    residual_terms,
)
from tinynet.data.digits import digits
from tinynet.lesson import lesson
from tinynet.metrics import accuracy
from tinynet.models.images.plain_and_residual import PlainNet, ResidualNet
from tinynet.optim import SGD
from tinynet.train import fit

rng = np.random.default_rng(lesson.seed)
N, D, H, L = 2, 3, 5, 4             # examples, features, hidden units, blocks
x, W1, W2, b1, t = (rng.normal(size=shape) / 2 for shape in [(N, D), (L, H, D), (L, D, H), (L, H), (N, D)])

# %% [markdown]
# ## shi fig3: the block

# %%
fig, ax = plot.subplots(height=2.9)
diagrams.residual_block(ax)
ax.set_title("A residual block adds to what came in")
lesson.save(fig, "shi_fig3_block")

# %% [markdown]
# ## shi 1.1 and shi 1.2; csc321 block
# $$y = h(x) + F(x, W), \qquad F(x, W) = W_2\,\sigma(W_1 x + b_1), \qquad h(x) = x$$
# csc321 writes the same as $z = W_1 x + b_1$, $h = \phi(z)$, $y = x + W_2 h$. Here $\sigma$ is tanh.

# %%
def F(l, x):
    return W2[l] @ np.tanh(W1[l] @ x + b1[l])


written = np.array([x_n + F(0, x_n) for x_n in x])
y, _ = residual_forward(x, W1[0], W2[0], b1[0], activation="tanh")
lesson.number("y of example 0", written[0], y[0], "block")
np.testing.assert_allclose(written, y, rtol=1e-13)
assert tn.gradcheck(residual_forward, residual_backward, x, W1[0], W2[0], b1[0], activation="tanh").ok

# %% [markdown]
# ## csc321 block: what if F(x) = 0 in every layer?
# With $W_2 = 0$ each block hands $x$ on, and the gradient comes back as it went in. Then only $W_2$ gets a gradient, so
# training can move it away from 0.

# %%
y, cache = residual_stack_forward(x, W1, 0 * W2, b1)
dx, dW1, dW2, _ = residual_stack_backward(t, cache)
lesson.number("W2 = 0: |dW1| and |dW2|", [np.linalg.norm(dW1), np.linalg.norm(dW2)])
np.testing.assert_array_equal([y, dx], [x, t])
assert not dW1.any()

# %% [markdown]
# ## shi 1.3 and shi 1.4: layer by layer, and unrolled
# $$x_{l+1} = x_l + F(x_l, W_l), \qquad x_L = x_l + \sum_{i=l}^{L-1} F(x_i, W_i)$$

# %%
xs = [x]
for l in range(L):
    xs.append(residual_forward(xs[-1], W1[l], W2[l], b1[l], activation="tanh")[0])      # 1.3
F_of = [np.array([F(i, x_n) for x_n in xs[i]]) for i in range(L)]
unrolled = xs[1] + sum(F_of[1:])                                                        # 1.4 with l = 1
lesson.number("x_L of example 0, unrolled from l = 1", unrolled[0], xs[L][0], "layer by layer")
for l in range(L):
    np.testing.assert_allclose(xs[l] + sum(F_of[l:]), xs[L], rtol=1e-13)

# %% [markdown]
# ## shi 1.6; csc321 resmath: the gradient that reaches block l
# $$\frac{dE}{dx_l} = \frac{dE}{dx_L}\,\frac{dx_L}{dx_l}
# = \frac{dE}{dx_L}\Big(1 + \frac{d}{dx_l}\sum_{i=l}^{L-1} F(x_i, W_i)\Big)
# = \frac{dE}{dx_L}\prod_{i=L-1}^{l}\Big(I + \frac{dF}{dx_i}\Big)$$
# Here $E = |x_L - t|^2 / 2$, and $dF/dx = W_2\,\mathrm{diag}(1 - h^2)\,W_1$ with $h = \tanh(W_1 x + b_1)$.

# %%
def dE_dx(l):
    rows = []
    for n, row in enumerate(xs[L] - t):                 # dE/dx_L, one example at a time
        for i in reversed(range(l, L)):
            h = np.tanh(W1[i] @ xs[i][n] + b1[i])
            row = row @ (np.eye(D) + W2[i] * (1 - h * h) @ W1[i])
        rows.append(row)
    return np.array(rows)


x_L, cache = residual_stack_forward(x, W1, W2, b1, activation="tanh")
dx, dW1, dW2, db1 = residual_stack_backward(x_L - t, cache)
lesson.number("dE/dx_0 of example 0", dE_dx(0)[0], dx[0], "block")
np.testing.assert_allclose(dE_dx(0), dx, rtol=1e-12)

# %% [markdown]
# ## shi 1.5: the gradient of the weights
# $$\frac{dE}{dW_l} = \frac{dE}{dx_L}\,\frac{dx_L}{dW_l} = \frac{dE}{dx_{l+1}}\,\frac{dF(x_l, W_l)}{dW_l}$$
# $W_l$ enters at $x_{l+1}$ alone, so the gradient is an outer product for each example, summed over the examples.

# %%
l = 2
h = np.tanh(xs[l] @ W1[l].T + b1[l])
written = ((dE_dx(l + 1) @ W2[l]) * (1 - h * h)).T @ xs[l], dE_dx(l + 1).T @ h
lesson.number("dE/dW2 of block 2, first three entries", written[1].flat[:3], dW2[l].flat[:3], "block")
np.testing.assert_allclose(written[0], dW1[l], rtol=1e-12)
np.testing.assert_allclose(written[1], dW2[l], rtol=1e-12)

# %% [markdown]
# ## shi erratum 2: 1.5 prints the wrong middle term
# $$\text{printed: } \frac{dE}{dW_l} = \frac{dE}{dx_L}\,\frac{dx_L}{dx_l}
# \qquad \text{right: } \frac{dE}{dx_L}\,\frac{dx_L}{dW_l}$$
# What is printed is $dE/dx_l$. It has not even the shape of the weights, and the checker sees what it is.

# %%
def as_printed(dy, cache):
    dx, _, dW2, db1 = residual_stack_backward(dy, cache)
    return dx, dx, dW2, db1


right, wrong = (tn.gradcheck(residual_stack_forward, backward, x, W1, W2, b1, activation="tanh")
                for backward in (residual_stack_backward, as_printed))
print(right, wrong, sep="\n")
assert right.ok
assert not wrong.ok

# %% [markdown]
# ## shi 1.6: the two terms in a net of 64 layers, as it starts
# The identity term is the same $dE/dx_L$ at every block. The term through the weights grows from 0.

# %%
data = digits(lesson.seed)
X, y = data.X_train[:256], data.y_train[:256]
nets = {"plain": PlainNet(64, 64, 10, width=32, rng=lesson.seed),
        "residual": ResidualNet(64, 64, 10, width=32, rng=lesson.seed)}


def two_terms(net):
    """Norms of the identity term, of the term through the weights and of their sum, from x_0 to x_{L-1}."""
    x_L, (caches, *_) = residual_stack_forward(net.sigma(net.first(X)).data, *(p.data for p in net.blocks.parameters()))
    leaf = tn.Tensor(x_L, requires_grad=True)
    cross_entropy(net.last(leaf), y).backward()
    identity_term, through_weights, norms = leaf.grad, 0, []
    for cache in reversed(caches):
        through_weights = through_weights + residual_terms(identity_term + through_weights, cache)[1]
        norms.append([np.linalg.norm(a) for a in (identity_term, through_weights, identity_term + through_weights)])
    return np.array(norms[::-1]).T


# %%
def weight_gradients(net):
    """|dE/dW| of the 31 blocks, or of the plain net's pairs of layers between its first and its last."""
    net.zero_grad()
    cross_entropy(net(X), y).backward()
    if isinstance(net, PlainNet):
        grads = np.array([layer.W.grad for layer in net.layers[1:-1]]).reshape(31, -1)
    else:
        grads = np.concatenate([net.blocks.W1.grad, net.blocks.W2.grad], axis=1).reshape(31, -1)
    return np.linalg.norm(grads, axis=1)


terms, norms = two_terms(nets["residual"]), {name: weight_gradients(net) for name, net in nets.items()}
lesson.number("residual: the gradient never shrinks, |dE/dx_l| / |dE/dx_L| >=", (terms[2] / terms[0]).min())
for name, of_pair in norms.items():
    lesson.number(f"{name}: |dE/dW| near the input and near the output", of_pair[[0, -1]])

# %%
fig, (left, right) = plot.subplots(1, 2)
names = ["identity term", "through the weights", "their sum"]
plot.curves(left, range(terms.shape[1]), dict(zip(names, terms, strict=True)))
left.set(xlabel="block $l$", ylabel="norm", title="Two terms of $dE/dx_l$ (residual)", ylim=(0, 1.45 * terms.max()))
plot.curves(right, range(31), norms, legend="center right")
right.set(xlabel="block $l$, or two plain layers", ylabel="$|dE/dW|$", title="Gradient of the weights", yscale="log")
fig.suptitle("64 layers at the start, digits")
lesson.save(fig, "shi_1.6_two-terms")

# %% [markdown]
# ## shi fig1: why is the plain net's gradient largest at the input?
# $$\frac{dE}{dW_l} = \sum_n \delta_{l,n}\, h_{l-1,n}^T$$
# A layer's gradient is what comes back, $\delta$, times what went in, $h$. Here $\delta$ fades on its way back, but
# $h$ fades more on its way forward, so the product is largest at the input. And the digits become alike: after 63
# layers the cosine between two digits is nearly 1. The last layers see nearly the same small vector for every digit, so
# they have little to learn from. This lesson shows the fading of a net without normalisation. It does not show what He
# et al. (2016) found: with batch normalisation $h$ keeps its size and the gradients do not vanish, and yet deep plain
# nets learn worse.

# %%
def plain_signals(net):
    """Mean norms of h_{l-1} and delta_l over the digits, and the mean cosine between digits, for each layer."""
    h, W = [X], [layer.W.data for layer in net.layers]
    for W_l in W[:-1]:
        h.append(np.maximum(h[-1] @ W_l.T, 0))
    scores = tn.Tensor(h[-1] @ W[-1].T, requires_grad=True)
    cross_entropy(scores, y).backward()
    deltas = [scores.grad * len(X)]
    for l in range(len(W) - 1, 0, -1):
        deltas.insert(0, (deltas[0] @ W[l]) * (h[l] > 0))
    size_h, size_delta = ([np.linalg.norm(a, axis=1).mean() for a in arrays] for arrays in (h, deltas))
    units = (a / np.linalg.norm(a, axis=1, keepdims=True).clip(1e-30) for a in h)
    return size_h, size_delta, np.array([(u @ u.T).mean() for u in units])


draws = [plain_signals(PlainNet(64, 64, 10, width=32, rng=seed)) for seed in range(3 if lesson.quick else 20)]
size_h, size_delta = np.exp(np.mean(np.log([draw[:2] for draw in draws]), axis=0))
alike = np.mean([draw[2] for draw in draws], axis=0)
for name, values in {"|h| going in": size_h, "|delta| coming back": size_delta, "cosine": alike}.items():
    lesson.number(f"plain: {name}, first and last layer", values[[0, -1]])

# %%
fig, (left, right) = plot.subplots(1, 2)
plot.curves(left, range(1, 65), {"$|h_{l-1}|$, going in": size_h, r"$|\delta_l|$, coming back": size_delta},
            legend="lower center")
left.set(xlabel="layer $l$", ylabel="mean norm", yscale="log", ylim=(0.02, None), title="Both signals fade")
plot.curves(right, range(1, 65), {"plain": alike})
right.set(xlabel="layer $l$", ylabel="mean cosine between digits", title="The digits become alike", ylim=(0.6, 1.01))
fig.suptitle(f"Plain nets of 64 layers at the start, mean of {len(draws)} draws")
lesson.save(fig, "shi_fig1_fading-signal")

# %% [markdown]
# ## shi fig1, shi fig4, shi fig5: learning
# Plain and residual nets, 32 units wide, on 1,297 digits. All take the same steps.

# %%
depths, epochs = ([4, 32], 6) if lesson.quick else ([4, 8, 16, 32, 64], 15)
seeds = lesson.seed + np.arange(2 if lesson.quick else 4)


def learn(make, depth, seed):
    """(epochs, 2): error on the training and on the test digits in % after each epoch."""
    net, rng, errors = make(depth, 64, 10, width=32, rng=seed), np.random.default_rng(seed), []
    sgd = SGD(net.parameters(), 0.01, momentum=0.9)
    for _ in range(epochs):
        fit(net, lambda net, X, y: cross_entropy(net(X), y), data[:2], sgd, 1, batch_size=128, rng=rng, progress=False)
        errors.append([100 - 100 * accuracy(net, *part) for part in (data[:2], data[2:])])
    return errors


runs = {name: {depth: np.array([learn(make, depth, seed) for seed in seeds]) for depth in depths}
        for name, make in (("plain", PlainNet), ("residual", ResidualNet))}
for name, of_depth in runs.items():
    for depth, run in of_depth.items():
        lesson.number(f"{name}, {depth} layers: training and test error (%)", run[:, -1].mean(axis=0).round(1))

# %% [markdown]
# The deeper plain net is worse on the training set, too, so this is not overfitting. Its error still falls at the end.

# %%
fig, axes = plot.subplots(1, 2, sharey=True)
for k, ax in enumerate(axes):
    curves = {f"{d} layers": runs["plain"][d][:, :, k].mean(axis=0) for d in (depths[0], 32)}
    plot.curves(ax, range(1, epochs + 1), curves)
    ax.set(xlabel="epoch", title=("Training error", "Test error")[k], ylim=(0, 100), xticks=range(0, epochs + 1, 5))
axes[0].set_ylabel("error (%)")
fig.suptitle(f"Plain nets on digits, mean of {len(seeds)} seeds")
lesson.save(fig, "shi_fig1_degradation")

# %%
fig, axes = plot.subplots(1, 2, sharey=True)
for ax, (name, of_depth) in zip(axes, runs.items(), strict=True):
    curves = {f"{depth} layers": run[:, :, 0].mean(axis=0) for depth, run in of_depth.items() if depth >= 8}
    plot.curves(ax, range(1, epochs + 1), curves, legend=None)
    ax.set(xlabel="epoch", title=f"{name.capitalize()} nets on digits", ylim=(0, 100), xticks=range(0, epochs + 1, 5))
axes[0].set_ylabel("training error (%)")
plot.legend_below(fig, ax)
lesson.save(fig, "shi_fig4_fig5_training")

# %%
fig, ax = plot.subplots()
for k, (name, of_depth) in enumerate(runs.items()):
    last = np.array([run[:, -1, 0] for run in of_depth.values()])
    look = dict(color=plot.COLOURS[k], linestyle=plot.DASHES[k], marker=plot.MARKERS[k], label=name)
    ax.errorbar(depths, last.mean(axis=1), yerr=last.std(axis=1, ddof=1), capsize=5, **look)
ax.set(xscale="log", xticks=depths, xticklabels=depths, xlabel="layers of weights", ylabel="training error (%)",
       title=f"Digits, after {epochs} epochs (mean and s.d. of {len(seeds)} seeds)")
ax.minorticks_off()
ax.legend(loc="upper left")
lesson.save(fig, "shi_fig1_depth")
ends = {name: [run[:, -1, 0].mean() for run in of_depth.values()] for name, of_depth in runs.items()}
assert ends["plain"][-1] > max(ends["plain"][0], ends["residual"][-1])
told = [f"{name} nets goes from {errors[0]:.0f} to {errors[-1]:.0f} %" for name, errors in ends.items()]
lesson.shown(f"from {depths[0]} to {depths[-1]} layers the training error of {told[0]}, that of {told[1]} "
             f"(mean of {len(seeds)} seeds); the checker rejects 1.5 as printed")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.units.residual import (
#     residual_backward, residual_forward, residual_stack_backward, residual_stack_forward)
#
# X, W1 = np.random.default_rng(0).normal(size=(2, 3)), np.random.default_rng(1).normal(size=(4, 3))
# Z, one = np.zeros((3, 4)), np.ones((1, 1))
# ```
#
# **1.** W2 = 0: what is y?
#
# <details><summary>Answer</summary>
#
# Exactly x.
#
# ```python
# np.abs(residual_forward(X, W1, Z)[0] - X).max()      # -> 0
# ```
#
# </details>
#
# **2.** W2 = 0: which of dX, dW1, dW2 are 0?
#
# <details><summary>Answer</summary>
#
# dW1 alone: W2 learns first.
#
# ```python
# grads = residual_backward(np.ones((2, 3)), residual_forward(X, W1, Z)[1])
# [bool((g == 0).all()) for g in grads[:3]]      # -> [False, True, False]
# ```
#
# </details>
#
# **3.** 50 blocks whose weights are 0: dX for dY = 1?
#
# <details><summary>Answer</summary>
#
# 1 everywhere.
#
# ```python
# cache = residual_stack_forward(np.ones((1, 3)), np.zeros((50, 4, 3)), np.zeros((50, 3, 4)))[1]
# residual_stack_backward(np.ones((1, 3)), cache)[0]      # -> [[1, 1, 1]]
# ```
#
# </details>
#
# **4.** Can a block's gradient be 0 in spite of the identity?
#
# <details><summary>Answer</summary>
#
# Yes: x = 1, W1 = 1, W2 = -1 gives y = 0.
#
# ```python
# residual_backward(one, residual_forward(one, one, -one)[1])[0]      # -> [[0]]
# ```
#
# </details>
#
# **5.** Ten blocks with F = 0.1 x: dx?
#
# <details><summary>Answer</summary>
#
# 1.1 to the power of 10. Without the identities it is 1e-10.
#
# ```python
# cache = residual_stack_forward(one, np.full((10, 1, 1), 1.0), np.full((10, 1, 1), 0.1))[1]
# residual_stack_backward(one, cache)[0]      # -> [[2.594]]
# ```
#
# </details>
