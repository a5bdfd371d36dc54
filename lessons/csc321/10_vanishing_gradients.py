# %% [markdown]
# # Vanishing and exploding gradients

# %% [markdown]
"""Why do the first layers of a deep net, and the first steps of an RNN, hardly learn?

Slides: saha sigmoid, fig2; shi fig2; csc321 rnn-jacobian, cnn-jacobian
Blocks: activations, linear, conv
Run time: 6 s, --quick 2 s
Figures: saha_sigmoid_slope.png, saha_fig2_dead-neurons.png, shi_fig2_speed-of-learning.png,
csc321_rnn-jacobian.png, csc321_cnn-jacobian.png

A gradient reaches an early layer as a product with one factor per layer on its way. The lesson measures the
factors, then the products.
"""

# %%
from itertools import pairwise

import numpy as np

import tinynet as tn
from tinynet import plot
from tinynet.blocks.images.conv import conv, conv_backward, conv_forward
from tinynet.blocks.units.activations import leaky_relu_backward, leaky_relu_forward, relu, sigmoid_forward, tanh
from tinynet.data.digits import digits
from tinynet.lesson import lesson

rng = np.random.default_rng(lesson.seed)
X, y, *_ = digits(lesson.seed)
X = X[:200 if lesson.quick else 1000].astype(np.float64)
targets = np.eye(10)[y[:len(X)]]

# %% [markdown]
# ## saha sigmoid: the slope of a sigmoid lies between 0 and 1/4
# $$\sigma'(z) = \sigma(z)\,(1 - \sigma(z)) \le \tfrac14$$
# The slope is a parabola in $\sigma$. Its top is at $\sigma = 1/2$, that is at $z = 0$.

# %%
z = np.linspace(-8, 8, 321)
sigma = sigmoid_forward(z)[0]
slope = sigma * (1 - sigma)
lesson.number("largest slope", slope.max(), 0.25, "saha sigmoid")
lesson.number("slope at z = 4", slope[np.isclose(z, 4)].item())
lesson.number("five layers of weight 1 pass on at most", slope.max() ** 5)
assert 0 < slope.min() <= slope.max() == slope[z == 0] == 0.25
fig, ax = plot.subplots()
plot.curves(ax, z, {r"$\sigma(z)$": sigma, r"slope $d\sigma/dz$": slope}, legend="upper left")
ax.axhline(0.25, color=plot.GREY, linewidth=1)
ax.text(8, 0.27, "1/4, the largest slope", ha="right", color="#555555")
ax.set(xlabel="input z", ylabel="value", title="A sigmoid passes on at most a quarter of the gradient")
lesson.save(fig, "saha_sigmoid_slope")

# %% [markdown]
# ## saha fig2: dead neurons
# $$\text{leaky ReLU: } h(z) = \max(0, z) + 0.01 \min(0, z)$$
# 100 separate units learn to answer 1 on every image. Their biases start between -3 and 0. A ReLU that is silent on
# every image has slope 0 on every image. It gets no gradient, so it stays dead. A leaky ReLU keeps the slope 0.01
# there, so it can come back.

# %%
def silent_units(slope, steps, eta=0.08):
    """The share of the units that are below 0 on all images, before each step."""
    rng, silent = np.random.default_rng(lesson.seed), []
    W, b = rng.normal(size=(100, 64)) / 8, rng.uniform(-3, 0, 100)
    for _ in range(steps):
        z = X @ W.T + b
        silent.append((z < 0).all(axis=0).mean())
        h, cache = leaky_relu_forward(z, slope=slope)
        dz = leaky_relu_backward((h - 1) / len(X), cache)
        W, b = W - eta * dz.T @ X, b - eta * dz.sum(axis=0)
    return 100 * np.array(silent)


# %%
steps = 100 if lesson.quick else 300
silent = {"ReLU": silent_units(0.0, steps), "leaky ReLU": silent_units(0.01, steps)}
for name, share in silent.items():
    lesson.number(f"{name}: silent units (%), first and last step", share[[0, -1]])
assert silent["ReLU"][-1] >= silent["ReLU"][0] > silent["leaky ReLU"][-1]
fig, (left, right) = plot.subplots(1, 2)
z = np.linspace(-4, 2, 121)
plot.curves(left, z, {"ReLU": z.clip(0), "leaky ReLU": leaky_relu_forward(z, slope=0.01)[0]}, legend="upper left")
left.annotate("slope 0.01, not 0", (-3, -0.03), (-3.6, 0.7), arrowprops=dict(arrowstyle="->", color="black"))
left.set(xlabel="input z", ylabel="h(z)", title="The two curves")
plot.curves(right, range(steps), silent, legend="center right")
right.set(xlabel="training step", ylabel="silent on all images (% of units)", ylim=(0, None),
          title="Dead ReLUs stay dead")
lesson.save(fig, "saha_fig2_dead-neurons")

# %% [markdown]
# ## shi fig2: how fast each layer learns (Nielsen 2015, chapter 5)
# The gradient goes back from layer to layer, and the biases of layer $l$ learn at the speed $v_l$:
# $$\delta_l = (\delta_{l+1} W_{l+1}) \odot \sigma'(z_l), \qquad v_l = \big\| \operatorname{mean}_n \delta_l \big\|$$
# Nets of 2, 3 and 4 hidden layers of 30 sigmoid units learn 1,000 digits: full batch, $\eta = 0.1$, cross-entropy,
# weight decay 5/1000. Our digits have 8 x 8 pixels, Nielsen's 28 x 28.

# %%
def first_weights(hidden_layers, seed):
    rng, widths = np.random.default_rng(seed), [64, *[30] * hidden_layers, 10]
    W = [rng.normal(size=(o, i)) / np.sqrt(i) for i, o in pairwise(widths)]
    return W, [rng.normal(size=o) for o in widths[1:]]


def layers_and_deltas(W, b):
    """h_0 .. h_L, and delta_1 .. delta_L, for all images."""
    h = [X]
    for W_l, b_l in zip(W, b, strict=True):
        h.append(sigmoid_forward(h[-1] @ W_l.T + b_l)[0])
    deltas = [h[-1] - targets]
    for l in range(len(W) - 1, 0, -1):
        deltas.insert(0, (deltas[0] @ W[l]) * h[l] * (1 - h[l]))
    return h, deltas


def speeds(deltas):
    return [np.linalg.norm(d.mean(axis=0)) for d in deltas[:-1]]


# %% [markdown]
# At the start, over 20 draws of the first weights. Nielsen prints one draw: ours are of the same order.

# %%
nielsen = {2: [0.07, 0.31], 3: [0.012, 0.060, 0.283], 4: [0.003, 0.017, 0.070, 0.285]}
for hidden, book in nielsen.items():
    draws = np.array([speeds(layers_and_deltas(*first_weights(hidden, seed))[1]) for seed in range(20)])
    lesson.number(f"{hidden} hidden layers: speeds at the start (mean)", draws.mean(axis=0), book, "Nielsen, one draw")
    assert (np.diff(draws.mean(axis=0)) > 0).all()
ratios = draws[:, -1] / draws[:, 0]
lesson.number("layer 4 over layer 1, mean and s.d.", [ratios.mean(), ratios.std(ddof=1)], 285 / 3, "Nielsen, one draw")


# %%
def speeds_over_training(hidden, epochs, eta=0.1, decay=5 / 1000):
    (W, b), found = first_weights(hidden, lesson.seed), []
    for _ in range(epochs):
        h, deltas = layers_and_deltas(W, b)
        found.append(speeds(deltas))
        for l, d in enumerate(deltas):
            W[l] = (1 - eta * decay) * W[l] - eta * d.T @ h[l] / len(X)
            b[l] = b[l] - eta * d.mean(axis=0)
    return np.array(found)


# %%
epochs = 25 if lesson.quick else 500
fig, axes = plot.subplots(1, 3, sharey=True)
for hidden, ax in zip(nielsen, axes, strict=True):
    found = speeds_over_training(hidden, epochs)
    plot.curves(ax, range(epochs), {f"layer {l + 1}": found[:, l] for l in range(hidden)}, legend=None)
    ax.set(xlabel="epoch", title=f"{hidden} hidden layers", yscale="log")
axes[0].set_ylabel(r"speed of learning $\|\mathrm{mean}\;\delta_l\|$")
fig.suptitle("The first layer learns slowest (digits, Nielsen's recipe, one seed)")
plot.legend_below(fig, axes[-1])
lesson.save(fig, "shi_fig2_speed-of-learning")
lesson.number("layer 4 over layer 1, after training", found[-1, -1] / found[-1, 0])
assert (np.diff(found[-1]) > 0).all()

# %% [markdown]
# ## csc321 rnn-jacobian: a product over time
# $$h^{(t)} = \tanh(W h^{(t-1)}), \qquad \frac{\partial h^{(T)}}{\partial h^{(1)}} =
# \prod_{t=T}^{2} \operatorname{diag}\!\big(1 - (h^{(t)})^2\big)\, W$$
# The same $W$ stands in every factor, so its singular values are, roughly, raised to the power $T - 1$.

# %%
def rnn_jacobians(W, steps, h):
    """dh(t)/dh(1) for t = 1 .. steps."""
    J = [np.eye(len(h))]
    for _ in range(steps - 1):
        h = np.tanh(W @ h)
        J.append((1 - h ** 2)[:, None] * W @ J[-1])
    return J


def orthogonal(n):
    """A random matrix that changes no length: all its singular values are 1."""
    return np.linalg.qr(rng.normal(size=(n, n)))[0]


# %% [markdown]
# Is the product right? The engine's gradient of one entry of $h^{(5)}$ is a row of the Jacobian.

# %%
W, h1 = orthogonal(6), rng.normal(size=6)
h = start = tn.Tensor(h1, requires_grad=True)
for _ in range(4):
    h = tanh(h @ W.T)
h[2].backward()
row = rnn_jacobians(W, 5, h1)[-1][2]
lesson.number("dh_3(5)/dh(1), first three entries", row[:3], start.grad[:3], "engine")
np.testing.assert_allclose(start.grad, row, rtol=1e-9, atol=1e-12)


# %%
def draw_products(jacobians, across, title):
    """The products' size over t, and the singular values of the last one.  Returns the figure and the last norms."""
    fig, (left, right) = plot.subplots(1, 2)
    norms = {name: [np.linalg.norm(j) / len(j) ** 0.5 for j in J] for name, J in jacobians.items()}
    values = {name: np.linalg.svd(J[-1], compute_uv=False) for name, J in jacobians.items()}
    T = len(next(iter(norms.values())))
    plot.curves(left, range(1, T + 1), norms, legend=None)
    left.set(xlabel=across, ylabel=r"$\|\partial h^{(t)}/\partial h^{(1)}\|_F\,/\sqrt{D}$", yscale="log",
             xlim=(1, T), title="Size of the product")
    for s in values.values():
        s[s < 1e-14 * s[0]] = np.nan                    # rounding
    plot.curves(right, range(1, len(s) + 1), values, legend=None)
    right.set(xlabel="number k", ylabel="singular value $s_k$", yscale="log", title=f"Singular values at t = {T}")
    plot.legend_below(fig, left)
    fig.suptitle(title)
    return fig, {name: n[-1] for name, n in norms.items()}


# %% [markdown]
# Vanishing, exploding, well initialised: $G$ has independent normal entries of variance $1/D$.

# %%
D, T = 64, (20 if lesson.quick else 50)
G, Q, h1 = rng.normal(size=(D, D)) / np.sqrt(D), orthogonal(D), 0.01 * rng.normal(size=D)
weights = {"W = 0.5 G": 0.5 * G, "W = 2 G": 2 * G, "W orthogonal": Q}
jacobians = {name: rnn_jacobians(W, T, h1) for name, W in weights.items()}
fig, norms = draw_products(jacobians, "time step t", "RNN; G: entries of variance 1/D")
lesson.save(fig, "csc321_rnn-jacobian")
for name, norm in norms.items():
    lesson.number(f"RNN, {name}: size after {T} steps", norm)
assert norms["W = 0.5 G"] < 0.01 < 0.5 < norms["W orthogonal"] <= 1 < 10 < norms["W = 2 G"]

# %% [markdown]
# ## csc321 cnn-jacobian: the same over depth
# $$h^{(t+1)} = \max\!\big(0, W^{(t)} * h^{(t)}\big), \qquad \operatorname{Var}\,W^{(t)} = \frac{g}{6.25\,C}$$
# A convolution is linear, so the Jacobian goes through it as images do: every column of
# $\partial h^{(t)}/\partial h^{(1)}$, seen as an image, is convolved with $W^{(t)}$, and then the ReLU closes the same
# places for all.

# %%
def cnn_jacobians(weights, h):
    """h(t) and dh(t)/dh(1) for t = 1 .. T, from an image h = h(1) of shape (1, C, 4, 4)."""
    maps, J = [h], [np.eye(h.size)]
    for W in weights:
        columns = J[-1].T.reshape(h.size, *h.shape[1:])
        z, columns = (conv_forward(images, W, padding=1)[0] for images in (maps[-1], columns))
        maps.append(z.clip(0))
        J.append((columns * (z > 0)).reshape(h.size, h.size).T)
    return maps, J


def he_filters(layers, channels, g, rng):
    return rng.normal(size=(layers, channels, channels, 3, 3)) * np.sqrt(g / (6.25 * channels))


# %% [markdown]
# The weights' gradient goes through the same product. Where that vanishes, the weights near the input learn nothing:
# $$\frac{dL}{dW^{(1)}} = \Big(\frac{dL}{dh^{(T)}} \frac{\partial h^{(T)}}{\partial h^{(2)}} \odot
# \phi'(z^{(2)})\Big) \otimes h^{(1)}, \qquad z^{(2)} = W^{(1)} * h^{(1)}$$
# For a convolution $\otimes$ is the sum over its places. Are both right? Three layers, $L = c \cdot h^{(4)}$.

# %%
Ws, h1, c = he_filters(3, 2, 2, rng), rng.normal(size=(1, 2, 4, 4)), rng.normal(size=(1, 2, 4, 4))
start, *tensors = [tn.Tensor(a, requires_grad=True) for a in (h1, *Ws)]
out = start
for W in tensors:
    out = relu(conv(out, W, padding=1))
(out * c).sum().backward()
(_, h2, *_), J = cnn_jacobians(Ws, h1)
dz2 = (c.ravel() @ cnn_jacobians(Ws[1:], h2)[1][-1]).reshape(h2.shape) * (h2 > 0)
_, dW, _ = conv_backward(dz2, conv_forward(h1, Ws[0], padding=1)[1])
lesson.number("|dL/dW(1)| of a convolution", np.linalg.norm(dW), np.linalg.norm(tensors[0].grad), "engine")
np.testing.assert_allclose(tensors[0].grad, dW, rtol=1e-8, atol=1e-12)
np.testing.assert_allclose(start.grad.ravel(), c.ravel() @ J[-1], rtol=1e-8, atol=1e-12)

# %% [markdown]
# A ReLU passes half of the variance. Of the nine taps on 4 x 4 pixels 6.25 lie inside the image on average, so $g = 2$
# would keep the product's size if all places were alike (He et al. 2015). Those near the centre have more taps: in the
# long run the expected square grows to $\frac{g}{2} \cdot 6.85 / 6.25$ of itself a layer (by `near` below). The mean
# size says nothing of the single directions: a few grow, and most of them vanish.

# %%
def expected_size(depth, g):
    """The root of the expected |J|_F^2 / D over all weights: each place passes on to the places that see it."""
    near, squares = abs(np.subtract.outer(range(4), range(4))) <= 1, np.ones((4, 4))
    for _ in range(depth - 1):
        squares = near @ squares @ near * g / 2 / 6.25
    return np.sqrt(squares.mean())


# %%
depth, channels, jacobians = (12, 8, {}) if lesson.quick else (30, 16, {})
for g in (1, 4, 2):
    draws = [cnn_jacobians(he_filters(depth - 1, channels, g, draw), draw.normal(size=(1, channels, 4, 4)))[1]
             for draw in rng.spawn(3)]
    sizes, expected = [np.linalg.norm(J[-1]) / len(J[-1]) ** 0.5 for J in draws], expected_size(depth, g)
    lesson.number(f"CNN, g = {g}: size after {depth} layers, three draws", sizes, expected, "root mean square")
    assert 1 / 4 < np.sqrt(np.mean(np.square(sizes))) / expected < 4
    jacobians[f"g = {g}"] = draws[0]
    singular = np.array([np.linalg.svd(J[-1], compute_uv=False) for J in draws])
fig, _ = draw_products(jacobians, "layer t", "CNN; g / (6.25 C) is the weights' variance; one draw")
lesson.save(fig, "csc321_cnn-jacobian")
lesson.number("g = 2: 1st and 64th singular value, of each draw", singular[:, [0, 63]])     # the last g
assert singular[:, 63].max() < 0.1 < 1 < singular[:, 0].min()
lesson.shown("a gradient is a product with a factor per layer or step: sigmoids and small weights let it vanish, large "
             "weights make it explode; orthogonal weights keep it near h = 0, He weights keep its mean size, nearly")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.units.activations import sigmoid_backward, sigmoid_forward
# ```
#
# **1.** The largest slope of a sigmoid, and where?
#
# <details><summary>Answer</summary>
#
# At 0.
#
# ```python
# sigmoid_backward(1.0, sigmoid_forward(np.array(0.0))[0])      # -> 0.25
# ```
#
# </details>
#
# **2.** Ten such layers with weights 1: at most what is left of the gradient?
#
# <details><summary>Answer</summary>
#
# A quarter for each layer.
#
# ```python
# 0.25 ** 10      # -> 9.5e-7
# ```
#
# </details>
#
# **3.** The slope at -40 and at 40: the same?
#
# <details><summary>Answer</summary>
#
# No: sigma(40) rounds to 1.
#
# ```python
# sigmoid_backward(1.0, sigmoid_forward(np.array([-40.0, 40.0]))[0])      # -> [4.2e-18, 0]
# ```
#
# </details>
#
# **4.** Weights of 4 make up for 1/4. Does it help at z = 2, over ten layers?
#
# <details><summary>Answer</summary>
#
# No, because away from 0 the slope is smaller.
#
# ```python
# y = sigmoid_forward(np.array(2.0))[0]
# (4 * y * (1 - y)) ** 10      # -> 1.7e-4
# ```
#
# </details>
#
# **5.** Four ReLUs, one of them off: what is left of the gradient?
#
# <details><summary>Answer</summary>
#
# Nothing. With all of them on it would be 1.
#
# ```python
# np.prod([1.0 * (z > 0) for z in (1, 1, -1, 1)])      # -> 0
# ```
#
# </details>
