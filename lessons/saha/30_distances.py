# %% [markdown]
# # Distances of activation functions

# %% [markdown]
"""How alike are two tasks' activation functions, and what happens when they are drawn together?

Slides: saha metric, Ltn, Lcos, Ldis, Ltotal, heatmaps, erratum 6
Blocks: activation_distance, functional_regularization, trace_norm, adaptive_activation
Run time: 7 s, --quick 2 s; on Omniglot, with --data, 30 s
Figures: saha_metric_orthonormal.png, saha_Ldis_paths.png, saha_heatmaps_generated.png

The metric derived and checked three ways, an orthonormal set of functions, the three regularizers and what the
published code computes in their place, and heatmaps: first where the relation of the tasks is known, then (with --data,
saha_heatmaps_omniglot.png) of ten alphabets.
"""

# %%
from itertools import pairwise

import numba
import numpy as np

import tinynet as tn
from tinynet import nn, optim, plot
from tinynet.blocks.losses.mean_squared_error import mean_squared_error
from tinynet.blocks.tasks.activation_distance import (
    activation_distance,
    activation_distance_forward,
    hinge_moments,
    orthonormal_hinges,
)
from tinynet.blocks.tasks.functional_regularization import cosine_regularizer, distance_regularizer
from tinynet.blocks.tasks.trace_norm import trace_norm
from tinynet.lesson import lesson
from tinynet.models.tasks.multi_task_net import mean_loss
from tinynet.models.tasks.taan import TAAN, published_cosine, published_trace
from tinynet.train import fit
from tinynet.train.batches import Whole

rng = np.random.default_rng(lesson.seed)
numba.set_num_threads(1)        # the nets here are small: a second thread would only wait

# %% [markdown]
# ## The metric
# Activation functions grow without end, so the usual $L^2$ product is infinite.  Under $X \sim N(\mu, \sigma^2)$ it is
# finite (saha metric):
# $$\langle F^i, F^j \rangle = E\, F^i(X) F^j(X) = \alpha^{i\top} W \alpha^j + U^\top(\alpha^i + \alpha^j) + c, \qquad
# d^2(F^i, F^j) = (\alpha^i - \alpha^j)^\top W (\alpha^i - \alpha^j)$$
# with $W_{mn} = E B_m B_n$, $U_m = E\,\mathrm{relu}(X) B_m$, $c = E\,\mathrm{relu}(X)^2$.  The ReLU cancels in d.
# For N(0, 1) and $b_1 \le b_2$: $W_{12} = (1 + b_1 b_2) \Phi(b_1) + b_2 \varphi(b_1)$ and, for $b > 0$,
# $U = b\, \varphi(0) + \tfrac12 - \Phi(b)$.  Three ways to the same numbers:

# %%
b, draws = np.array([-0.4, 0.3, 1.0]), 200_000 if lesson.quick else 1_000_000
X = rng.normal(size=draws)
B = np.maximum(b[:, None] - X, 0)


def quadrature(f, kinks, end=10):
    """E f(X) for X ~ N(0, 1) and an f that is smooth between its kinks."""
    total, nodes = 0.0, np.polynomial.legendre.leggauss(60)
    for low, high in pairwise(np.unique([-end, -end / 2, 0, end / 2, end, *kinks])):
        x = (low + high) / 2 + (high - low) / 2 * nodes[0]
        total += (high - low) / 2 * (nodes[1] * f(x) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)).sum()
    return total


def hinge(m):
    return lambda x: np.maximum(b[m] - x, 0)


exact = hinge_moments(b)
R = X.clip(0)
ways = {"W between hinges 1, 2": (exact.W[0, 1], lambda x: hinge(0)(x) * hinge(1)(x), B[0] * B[1]),
        "U of hinge 2": (exact.U[1], lambda x: x.clip(0) * hinge(1)(x), R * B[1]),
        "c": (exact.c, lambda x: x.clip(0) ** 2, R * R)}
for name, (closed, product, drawn) in ways.items():
    integral = quadrature(product, [0, *b])
    lesson.number(f"{name}: closed form", closed, [integral, drawn.mean()], "quadrature, Monte Carlo")
    assert abs(closed - integral) < 1e-10

# %% [markdown]
# ## Coordinates do not tell
# "The coordinate vectors do not reveal much property about the functions": the basis is nearly dependent.  With the
# deck's 64 hinges W's condition is about $10^{14}$.  Two vectors can be far apart and stand for nearly one function.

# %%
places = rng.uniform(-0.5, 0.5, 64)
values, vectors = np.linalg.eigh(hinge_moments(places).W)
lesson.number("64 hinges in (-.5, .5): condition of W", values[-1] / abs(values).min())
for name, way in (("flattest", 0), ("steepest", -1)):
    pair = np.stack([np.zeros(64), vectors[:, way]])
    apart = activation_distance_forward(pair, places)[0][0, 1]
    lesson.number(f"|alpha - beta| = 1 along the {name} way: distance", apart)

# %% [markdown]
# ## An orthonormal set
# $$\int f_m(x) f_n(x) p(x)\, dx = 1[m = n]$$
# (the deck's last slide, with the Gaussian as weight).  Gram and Schmidt take hinge after hinge, subtract what the
# functions before it explain, and scale the rest.

# %%
Q = orthonormal_hinges(np.array([-1.0, -0.5, 0.0, 0.5, 1.0]))
grid, five = np.linspace(-3, 2, 400), np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
f = Q @ np.maximum(five[:, None] - grid, 0)
gram = Q @ hinge_moments(five).W @ Q.T
assert abs(gram - np.eye(5)).max() < 1e-12, "five hinges made orthonormal: largest error of the products"
fig, axes = plot.subplots(1, 2)
plot.curves(axes[0], grid, {f"$f_{k + 1}$": f[k] for k in range(5)}, legend="upper right", marker="")
axes[0].set(xlabel="x", ylabel="$f_k(x)$", ylim=(-6, 6), title="orthonormal under N(0, 1)")
plot.image(axes[1], gram, r"$\langle f_m, f_n \rangle$")
axes[1].set(title="their products", xticks=range(5), yticks=range(5))
lesson.save(fig, "saha_metric_orthonormal")

# %% [markdown]
# ## metric, erratum 6: what the published code computes
# Its cross term multiplies by relu(b) where it needs 1[b > 0], and writes .4 for $1/\sqrt{2\pi}$.  Its "trace norm" is
# the sum of row norms.  Its cosine detaches the norms, W and U, so b hears nothing of Lcos.  `TAAN` has both forms:
# `regularizer="published trace"` and `"published cosine"`.

# %%
Phi = 0.5 + quadrature(lambda x: (x > 0) * (x < 0.3), [0, 0.3])
lesson.number("U(0.3) as published", 0.3 * (0.4 * 0.3 + 0.5 - Phi), hinge_moments(np.array([0.3])).U.item(), "right")
like = np.ones((4, 1)) * rng.normal(size=5)          # four tasks with one function: rank 1, all rows equal
other = np.linalg.qr(rng.normal(size=(5, 4)))[0].T * np.linalg.norm(like[0])      # four tasks at right angles
for name, alpha in (("equal", like), ("orthogonal", other)):
    lesson.number(f"{name} rows: trace norm, sum of row norms",
                  [trace_norm(alpha).item(), published_trace(tn.Tensor(alpha), None).item()])
assert trace_norm(like).item() < 0.6 * trace_norm(other).item()

# %% [markdown]
# The trace norm of orthogonal rows is twice that of equal ones, so to lower it makes tasks alike.  The sum of row
# norms is the same for both: it shrinks alpha, and says nothing of tasks.

# %% [markdown]
# ## Ltn, Lcos, Ldis: the regularizers at work
# $$L_{cos} = -\frac{1}{T^2}\sum_{ij} C_{ij}, \qquad L_{dis} = \frac{1}{T^2} \sum_{ij} d^2(F^i, F^j), \qquad
# L_{tn} = \mathrm{trace}\sqrt{\alpha\alpha^\top}$$
# Gradient descent on each alone, from the same four functions of eight hinges.  (Ltn has a kink where alpha is 0, so a
# fixed step jumps to and fro there.)  Beside them the published Ltn and Lcos.  Lcos with the norms held makes alpha
# longer and longer, because longer functions have a larger product.


# %%
class FourFunctions(nn.Module):
    """alpha (4, 8) of four tasks and the hinges b (8) that they share, and nothing else."""

    def __init__(self):
        start = np.random.default_rng(lesson.seed + 1)
        self.alpha = nn.Parameter(0.5 * start.normal(size=(4, 8)))
        self.b = nn.Parameter(np.linspace(-0.5, 0.5, 8))

    def distance(self):
        return activation_distance(self.alpha.data, self.b.data).data.sum() / 12

    def size(self):
        return np.linalg.norm(self.alpha.data)


def descend(regularizer, steps=100 if lesson.quick else 400):
    """(mean distance of the tasks' functions, |alpha|) at the start and after each step."""
    four, look_at = FourFunctions(), {"distance": FourFunctions.distance, "size": FourFunctions.size}
    start = {name: [look(four)] for name, look in look_at.items()}
    history = fit(four, lambda four: regularizer(four.alpha, four.b), Whole((), 1), optim.SGD(four.parameters(), 0.05),
                  steps=steps, every=1, metrics=look_at, progress=False)
    return np.array([start[name] + history[name] for name in look_at])


paths = {"Ltn": descend(lambda alpha, b: trace_norm(alpha)), "Lcos": descend(cosine_regularizer),
         "Ldis": descend(distance_regularizer)}
published = {"Ltn as published": descend(published_trace), "Lcos as published": descend(published_cosine)}
fig, axes = plot.subplots(1, 2)
for ax, k, label in zip(axes, (0, 1), ("mean distance of two functions", r"$\|\alpha\|$"), strict=True):
    plot.curves(ax, range(len(paths["Ltn"][0])), {name: path[k] for name, path in paths.items()},
                legend=None)
    ax.set(xlabel="step of gradient descent", ylabel=label, ylim=(0, None))
plot.legend_below(fig, axes[0])
axes[0].set_title("drawn together")
axes[1].set_title("and shrunk?")
lesson.save(fig, "saha_Ldis_paths")
for name, path in (paths | published).items():
    lesson.number(f"{name}: distance, |alpha| at the end, of those at the start", path[:, -1] / path[:, 0])

# %% [markdown]
# ## Heatmaps where the relation is known
# Eight generated tasks: $y_t = V_t G_t(W x)$ with G = relu for the first four, |.| for the last four.  Does the
# distance of the learned functions show two groups?  First with W given, so that only alpha, b and heads are learned;
# then with W learned, too, as TAAN has it.

# %%
T, D, H, N = 8, 10, 24, 200
groups = np.arange(T) < T // 2
same = (groups[:, None] == groups) & ~np.eye(T, dtype=bool)


def tasks_of(seed):
    """(W, x (N, T, D), y (N, T, 3)): examples lead, because that is what is shuffled."""
    g = np.random.default_rng(seed)
    W, V, x = g.normal(size=(H, D)) / np.sqrt(D), g.normal(size=(T, H, 3)) / np.sqrt(H), g.normal(size=(T, N, D))
    z = x @ W.T
    y = np.where(groups[:, None, None], np.maximum(z, 0), abs(z)) @ V
    return W, *(a.swapaxes(0, 1).astype(np.float32) for a in (x, y))


def contrast(d):
    """The mean distance between the groups over that within: above 1 they are seen."""
    return d[~same & ~np.eye(T, dtype=bool)].mean() / d[same].mean()


def squared(net, x, y):
    return mean_loss(net, x.swapaxes(0, 1), *y.swapaxes(0, 1), loss=mean_squared_error)


def learned(seed, known, regularizer=None, c=0.1):
    """(net, its last loss) after training on the tasks of this seed; known: W is given, and stays."""
    W, x, y = tasks_of(seed)
    net = TAAN(D, (H,), (3,) * T, hinges=8, regularizer=regularizer, c=c, rng=seed)
    first = net.layers[0].weights
    if known:
        first.W.data = W.astype(np.float32)
    trained = [p for p in net.parameters() if not (known and (p is first.W or p is first.b))]
    epochs = 3 if lesson.quick else 25
    history = fit(net, squared, (x, y), optim.Adam(trained, lr=1e-2), epochs, 40, rng=seed, progress=False)
    return net, history["loss"][-1]


# %%
seeds = range(lesson.seed, lesson.seed + (2 if lesson.quick else 5))
found = {name: [learned(seed, known) for seed in seeds] for name, known in (("W given", True), ("W learned", False))}
seen = {name: np.array([contrast(net.distances()[0]) for net, _ in its]) for name, its in found.items()}
for name, its in seen.items():
    lesson.number(f"{name}: distance between groups over within, {len(seeds)} seeds",
                  f"{its.mean():.2f} +- {its.std(ddof=1):.2f}, from {its.min():.2f} to {its.max():.2f}")
fig, axes = plot.subplots(1, 2)
for ax, (name, its) in zip(axes, found.items(), strict=True):
    plot.image(ax, its[0][0].distances()[0], r"$d(F^i, F^j)$")
    ax.set(title=name, xlabel="task", ylabel="task", xticks=range(T), yticks=range(T))
lesson.save(fig, "saha_heatmaps_generated")

# %% [markdown]
# With W learned, the regularizers draw the functions together.  Do they keep the groups?

# %%
for name in (None, "trace", "cosine", "distance"):
    its = [learned(seed, False, name) for seed in list(seeds)[:3]] if name else found["W learned"][:3]
    far = np.mean([net.distances()[0][same].mean() for net, _ in its])
    lesson.number(f"regularizer {name}: loss + penalty, distance within, contrast",
                  [np.mean([l for _, l in its]), far, np.mean([contrast(net.distances()[0]) for net, _ in its])])

# %% [markdown]
# ## Omniglot (with --data)
# Ten alphabets, a short run of TAAN from two first draws.  If the heatmap tells of the tasks, both must tell the same.
# They don't: the correlations of the two heatmaps lie around 0.

# %%
if lesson.data:
    from lessons.tables.taan.recipes import net_for_omniglot, parameters_of, train
    from tinynet.blocks.losses.cross_entropy import cross_entropy
    from tinynet.data.omniglot import ten_alphabets

    alphabets = ten_alphabets(lesson.seed, lesson.data)
    nets = []
    for seed in (0, 1):
        net = net_for_omniglot("TAAN", [a.classes for a in alphabets], seed)
        adam = optim.Adam(parameters_of(net), lr=2e-3)
        data = [alphabet.drawn_by(range(10)) for alphabet in alphabets]
        nets.append(train(net, data, cross_entropy, adam, 20 if lesson.quick else 200, 10, seed))
    pairs = np.triu_indices(10, 1)
    both = zip(*(net.distances() for net in nets), strict=True)
    agree = [np.corrcoef(one[pairs], two[pairs])[0, 1] for one, two in both]
    lesson.number("Omniglot: do two first draws agree?  correlation a layer", agree)
    fig, axes = plot.subplots(1, len(agree), height=3)
    for l, (ax, d) in enumerate(zip(axes, nets[0].distances(), strict=True)):
        ax.imshow(d)
        ax.set(title=f"layer {l + 1}", xlabel="alphabet", xticks=range(0, 10, 3), yticks=range(0, 10, 3))
        ax.grid(False)
    lesson.save(fig, "saha_heatmaps_omniglot")

# %%
given, free = (f"{its.mean():.1f} ({its.min():.1f} to {its.max():.1f})" for its in seen.values())
alike = f"; on Omniglot two first draws' heatmaps correlate by {np.mean(agree):.2f}" if lesson.data else ""
lesson.shown(f"closed forms, quadrature and draws agree; where W is given the heatmap shows the two groups (distance "
             f"between over within {given}), where W is learned, too, {free}{alike}")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.tasks.activation_distance import activation_distance_forward, hinge_moments
# from tinynet.blocks.tasks.trace_norm import trace_norm_forward
#
#
# def distance(a, b, **gaussian):
#     return activation_distance_forward(np.array(a, float), np.array(b, float), **gaussian)[0][0, 1]
# ```
#
# **1.** A hinge max(0, 0 - X) at 0, X ~ N(0, 1): the mean of its square?
#
# <details><summary>Answer</summary>
#
# Half of the variance, because it sees one half.
#
# ```python
# hinge_moments(np.array([0.0])).W.item()      # -> 0.5
# ```
#
# </details>
#
# **2.** Two functions with coordinates 0 and 1 on that hinge: their distance?
#
# <details><summary>Answer</summary>
#
# The root of that.
#
# ```python
# distance([[0], [1]], [0])      # -> 0.7071
# ```
#
# </details>
#
# **3.** Two hinges at one place. Coordinates (1, 0) and (0, 1): their distance?
#
# <details><summary>Answer</summary>
#
# 0: other coordinates, one function.
#
# ```python
# distance([[1, 0], [0, 1]], [0, 0])      # -> 0
# ```
#
# </details>
#
# **4.** A hinge far to the left, at -8: the distance of coordinates 0 and 1?
#
# <details><summary>Answer</summary>
#
# Nearly 0, because X never comes there.
#
# ```python
# distance([[0], [1]], [-8]) < 1e-7      # -> True
# ```
#
# </details>
#
# **5.** Two tasks' coordinates (3, 4) and (3, 4), or (3, 4) and (4, -3): the trace norm?
#
# <details><summary>Answer</summary>
#
# 7.07 and 10, though the rows are as long: it counts directions.
#
# ```python
# [trace_norm_forward(np.array([[3.0, 4.0], other]))[0] for other in ([3.0, 4.0], [4.0, -3.0])]      # -> [7.071, 10]
# ```
#
# </details>
