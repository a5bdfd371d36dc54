"""Why do the first layers of a deep net, and the first steps of an RNN, hardly learn?

Slides: saha sigmoid, chain, fig2; shi fig2; csc321 rnn-jacobian, cnn-jacobian
Blocks: activations, linear, conv
Run time: 6 s, --quick 2 s (two cores)
Figures: saha_fig2_dead-neurons.png, shi_fig2_speed-of-learning.png, csc321_rnn-jacobian.png, csc321_cnn-jacobian.png

A gradient reaches an early layer as a product with one factor per layer on its way.  The lesson
measures the factors, then the products.
"""

# %%
from itertools import pairwise

import numpy as np

import tinynet as tn
from tinynet import plot
from tinynet.blocks.images.conv import conv_forward
from tinynet.blocks.units.activations import leaky_relu_backward, leaky_relu_forward, sigmoid_forward, tanh
from tinynet.data.digits import digits
from tinynet.lesson import lesson

rng = np.random.default_rng(lesson.seed)
X, y, *_ = digits(lesson.seed)
X = X[:200 if lesson.quick else 1000].astype(np.float64)
targets = np.eye(10)[y[:len(X)]]


def sigmoid(z):
    return sigmoid_forward(np.asarray(z))[0]


# %% saha: the derivative of a sigmoid lies between 0 and 1/4
# sigma' = sigma (1 - sigma) is a parabola in sigma with its top at sigma = 1/2, that is at z = 0.
z = np.linspace(-8, 8, 321)
slope = sigmoid(z) * (1 - sigmoid(z))
lesson.number("largest sigma'", slope.max(), 0.25, "saha")
lesson.number("at z =", z[slope.argmax()], 0, "saha")
lesson.number("smallest sigma' for |z| <= 8", slope.min(), 0, "saha")
lesson.number("at most, through 5 layers of weight 1", slope.max() ** 5, 0.25 ** 5, "0.25^5")
assert slope.max() <= 0.25
assert slope.min() > 0

# %% saha: the weight update goes through a chain
# Two sigmoid units in a row: o11 = sigma(w11 x), o21 = sigma(w21 o11), L = (o21 - t)^2 / 2.
# The slide's chain begins with do21/do11; dL/dw11 needs dL/do21 in front of it.
x, t, w11, w21 = 0.8, 1.0, 0.5, -1.2


def loss(w11):
    return (sigmoid(w21 * sigmoid(w11 * x)) - t) ** 2 / 2


o11 = sigmoid(w11 * x)
o21 = sigmoid(w21 * o11)
dL_do21, do21_do11, do11_dw11 = o21 - t, o21 * (1 - o21) * w21, o11 * (1 - o11) * x
numeric = (loss(w11 + 1e-5) - loss(w11 - 1e-5)) / 2e-5
lesson.number("dL/dw11 = dL/do21 do21/do11 do11/dw11", dL_do21 * do21_do11 * do11_dw11, numeric, "numeric")
lesson.number("the slide's chain, without dL/do21", do21_do11 * do11_dw11, numeric, "numeric")
lesson.number("new weight, eta = 0.1", w11 - 0.1 * dL_do21 * do21_do11 * do11_dw11)
np.testing.assert_allclose(dL_do21 * do21_do11 * do11_dw11, numeric, rtol=1e-8)

# %% saha fig2: dead neurons
# 100 separate units, each to answer 1 on every image; their biases start between -3 and 0.  A ReLU
# that is silent on every image has slope 0 on every image: it gets exactly no gradient and stays
# dead.  Leaky ReLU keeps a slope of 0.01 on that side, enough to crawl back.


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
    return np.array(silent)


# %%
steps = 100 if lesson.quick else 300
silent = {"ReLU": silent_units(0.0, steps), "leaky ReLU (0.01 x)": silent_units(0.01, steps)}
for name, share in silent.items():
    lesson.number(f"{name}: silent units (%), first and last step", 100 * share[[0, -1]])
assert silent["ReLU"][-1] >= silent["ReLU"][0] > silent["leaky ReLU (0.01 x)"][-1]

# %%
fig, (left, right) = plot.subplots(1, 2)
plot.curves(left, z, {r"$\sigma(z)$": sigmoid(z), r"$\sigma'(z)$": slope}, legend="upper left")
left.axhline(0.25, color=plot.GREY, linewidth=1)
left.set(xlabel="input z", ylabel=r"$\sigma$, $\sigma'$", title=r"$\sigma'$ never exceeds 1/4")
plot.curves(right, range(steps), {name: 100 * share for name, share in silent.items()}, legend="lower left")
right.set(xlabel="training step t", ylabel="silent on all images (% of units)", ylim=(0, None),
          title="Dead ReLUs stay dead")
lesson.save(fig, "saha_fig2_dead-neurons")

# %% shi fig2: the speed of learning of each layer (Nielsen 2015, chapter 5)
# Sigmoid nets [64, 30, .., 30, 10] on 1,000 digits of 8 x 8 pixels (Nielsen: 28 x 28), full batch,
# eta 0.1, cross-entropy, weight decay 5/1000.  The error of layer l is delta_l = dL/dz_l, taken back by
#     delta_l = (delta_{l+1} W_{l+1}) sigma'(z_l)
# and the norm of its mean over the images is the speed at which the biases of layer l learn.


def norms_over_training(hidden_layers, epochs, eta=0.1, decay=5 / 1000):
    rng, widths, norms = np.random.default_rng(lesson.seed), [64, *[30] * hidden_layers, 10], []
    W = [rng.normal(size=(o, i)) / np.sqrt(i) for i, o in pairwise(widths)]
    b = [rng.normal(size=o) for o in widths[1:]]
    for _ in range(epochs):
        h, deltas = [X], []
        for W_l, b_l in zip(W, b, strict=True):
            h.append(sigmoid(h[-1] @ W_l.T + b_l))
        delta = h[-1] - targets
        for l in reversed(range(len(W))):
            deltas.insert(0, delta)
            delta = (delta @ W[l]) * h[l] * (1 - h[l])
        norms.append([np.linalg.norm(d.mean(axis=0)) for d in deltas[:-1]])
        for l, d in enumerate(deltas):
            W[l] = (1 - eta * decay) * W[l] - eta * d.T @ h[l] / len(X)
            b[l] = b[l] - eta * d.mean(axis=0)
    return np.array(norms)


# %% The first layer learns slowest, at the start and all the way
nielsen = {2: [0.07, 0.31], 3: [0.012, 0.060, 0.283], 4: [0.003, 0.017, 0.070, 0.285]}
epochs = 25 if lesson.quick else 500
fig, axes = plot.subplots(1, 3, figsize=(13, 4.2), sharey=True)
for (hidden, book), ax in zip(nielsen.items(), axes, strict=True):
    norms = norms_over_training(hidden, epochs)
    lesson.number(f"{hidden} hidden layers: norms at the start", norms[0], book, "Nielsen")
    plot.curves(ax, range(epochs), {f"layer {l + 1}": norms[:, l] for l in range(hidden)})
    ax.set(xlabel="epoch t", title=f"{hidden} hidden layers", yscale="log")
axes[0].set_ylabel(r"speed $\|\mathrm{mean}\;\delta_l\|$")
lesson.number("last over first of 4 layers, at the start", norms[0, -1] / norms[0, 0], 285 / 3, "Nielsen")
lesson.number("the same at the end", norms[-1, -1] / norms[-1, 0])
assert (np.diff(norms[0]) > 0).all()
lesson.save(fig, "shi_fig2_speed-of-learning")

# %% csc321: the Jacobian of an RNN is a product over time
# h(t) = tanh(W h(t-1)), so dh(t)/dh(t-1) = diag(1 - h(t)^2) W, and dh(T)/dh(1) is the product of
# these.  The same W stands in every factor: its singular values are raised to the power T - 1.


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


# %% Is the product right?  The engine's gradient of one entry of h(5) is a row of the Jacobian
W, h1 = orthogonal(6), rng.normal(size=6)
h = start = tn.Tensor(h1, requires_grad=True)
for _ in range(4):
    h = tanh(h @ W.T)
h[2].backward()
lesson.number("dh(5)/dh(1): largest difference from the engine", abs(start.grad - rnn_jacobians(W, 5, h1)[-1][2]).max())
np.testing.assert_allclose(start.grad, rnn_jacobians(W, 5, h1)[-1][2], rtol=1e-9, atol=1e-12)

# %% Vanishing, exploding, well initialised


def draw_products(jacobians, across):
    """A picture of each set of products: their norms, and their 1st, 4th and 16th singular values."""
    fig, (left, right) = plot.subplots(1, 2, figsize=(10, 4.2))
    norms = {name: [np.linalg.norm(j) / len(j) ** 0.5 for j in J] for name, J in jacobians.items()}
    values = {name: np.linalg.svd(J, compute_uv=False) for name, J in jacobians.items()}
    for s in values.values():
        s[s < 1e-14 * s[:, :1]] = np.nan                # rounding
    T = range(1, 1 + len(next(iter(norms.values()))))
    plot.curves(left, T, norms, legend="lower left")
    left.set(xlabel=across, ylabel=r"$\|\partial h^{(t)}/\partial h^{(1)}\|_F\,/\sqrt{D}$", yscale="log")
    plot.curves(right, T, {name: s[:, 0] for name, s in values.items()}, legend=None)
    for colour, dash, s in zip(plot.COLOURS, plot.DASHES, values.values(), strict=False):
        right.plot(T, s[:, [3, 15]], color=colour, linestyle=dash, linewidth=1)
    right.set(xlabel=across, ylabel="singular values $s_1$ (bold), $s_4$, $s_{16}$", yscale="log")
    return fig, {name: n[-1] for name, n in norms.items()}, {name: s[-1] for name, s in values.items()}


# %%
D, T = 64, (20 if lesson.quick else 50)
gauss, Q, h1 = rng.normal(size=(D, D)) / np.sqrt(D), orthogonal(D), 0.01 * rng.normal(size=D)
weights = {"vanishing: W = 0.5 G": 0.5 * gauss, "exploding: W = 2 G": 2 * gauss, "orthogonal W": Q}
fig, norms, values = draw_products({n: rnn_jacobians(W, T, h1) for n, W in weights.items()}, "time step t")
for name, norm in norms.items():
    lesson.number(f"{name}: norm after {T} steps", norm)
lesson.number("orthogonal W: smallest and largest singular value", values["orthogonal W"][[-1, 0]], [1, 1], "no change")
lesson.save(fig, "csc321_rnn-jacobian")
assert norms["vanishing: W = 0.5 G"] < 0.01 < 0.5 < norms["orthogonal W"] <= 1 < 10 < norms["exploding: W = 2 G"]

# %% csc321: the same over depth, in a convolutional net
# A convolution is linear, so the Jacobian goes through it as images do: every column of dh(t-1)/dh(1), seen as an
# image, is convolved with the weights W(t), and the ReLU then closes the same places for all.  Of the nine taps on
# 4 x 4 pixels 6.25 lie inside the image on average, and more at its centre; the weights have variance g / (6.25 C).


def depth_jacobians(depth, channels, g):
    """dh(t)/dh(1) for t = 1 .. depth, with h(t) = max(0, W(t) * h(t-1)) from a random image."""
    h, D = rng.normal(size=(1, channels, 4, 4)), 16 * channels
    J = [np.eye(D)]
    for _ in range(depth - 1):
        W = rng.normal(size=(channels, channels, 3, 3)) * np.sqrt(g / (6.25 * channels))
        columns = J[-1].T.reshape(D, channels, 4, 4)
        h, columns = (conv_forward(images, W, padding=1)[0] for images in (h, columns))
        J.append((columns * (h > 0)).reshape(D, D).T)
        h = h.clip(0)
    return J


# %% A ReLU passes half of the variance, so g = 2 (He et al. 2015) keeps the norm: (g/2)^(t/2)
depth, channels = (12, 8) if lesson.quick else (30, 16)
scales = {"vanishing: g = 1": 1, "exploding: g = 4": 4, "critical: g = 2": 2}
fig, norms, values = draw_products({n: depth_jacobians(depth, channels, g) for n, g in scales.items()}, "layer t")
for name, g in scales.items():
    lesson.number(f"{name}: norm after {depth} layers", norms[name], (g / 2) ** ((depth - 1) / 2), "(g/2)^((T-1)/2)")
lesson.number("singular values that ReLUs left above 0", [int(np.isfinite(s).sum()) for s in values.values()])
lesson.save(fig, "csc321_cnn-jacobian")
assert norms["vanishing: g = 1"] < norms["critical: g = 2"] < norms["exploding: g = 4"]

# %% csc321: dL/dW through the chain, dL/dW(1) = (dL/dh(T) dh(T)/dh(2)) phi'(W h(1)) h(1)
# For L = c' h(4), three layers h(t) = tanh(W(t) h(t-1)), and the weights nearest to the input.
Ws, h1, c = [rng.normal(size=(5, 5)) for _ in range(3)], rng.normal(size=5), rng.normal(size=5)
h, tensors = [h1], [tn.Tensor(W, requires_grad=True) for W in Ws]
for W in Ws:
    h.append(np.tanh(W @ h[-1]))
J = np.diag(1 - h[3] ** 2) @ Ws[2] @ np.diag(1 - h[2] ** 2) @ Ws[1]
dW = np.outer((c @ J) * (1 - h[1] ** 2), h1)
out = h1
for W in tensors:
    out = tanh(W @ out)
(out * c).sum().backward()
lesson.number("dL/dW(1): largest difference from the engine", abs(tensors[0].grad - dW).max())
np.testing.assert_allclose(tensors[0].grad, dW, rtol=1e-8, atol=1e-12)
lesson.shown("a gradient is a product with one factor per layer or step: sigmoids and small weights make it vanish, "
             "large weights explode, orthogonal or He weights keep it")
