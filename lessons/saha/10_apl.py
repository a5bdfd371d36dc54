# %% [markdown]
# # Adaptive piecewise linear units

# %% [markdown]
"""What if every unit learns its own activation function?

Slides: saha apl, fig1, fig2, relu, leaky-relu
Blocks: apl, activations, linear, cross_entropy
Run time: 5 s, --quick 2 s
Figures: saha_fig1_apl-shapes.png, saha_apl_any-curve.png, saha_fig2_waking-a-dead-unit.png,
saha_apl_against-relu.png, saha_fig1_learned-on-digits.png

The adaptive piecewise linear (APL) unit is a ReLU with S hinges. The slopes a and the places b of the hinges are
learned.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import nn, optim, plot
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.units.activations import LeakyReLU, ReLU, leaky_relu_forward
from tinynet.blocks.units.apl import APL, apl, apl_backward, apl_forward
from tinynet.blocks.units.linear import Linear
from tinynet.data.digits import digits
from tinynet.lesson import lesson
from tinynet.train import fit
from tinynet.train.batches import Whole

images = digits(lesson.seed)
x = np.linspace(-3, 3, 601)

# %% [markdown]
# ## saha relu, apl: a ReLU and S hinges
# $$h(x) = \max(0, x) + \sum_{s=1}^{S} a_s \max(0, -x + b_s)$$

# %%
def h(x, a, b):
    """One unit's curve: x (N), its hinges a, b (S)."""
    return np.maximum(0, x) + sum(a_s * np.maximum(0, -x + b_s) for a_s, b_s in zip(a, b, strict=True))


a, b = [0.3, -0.7], [0.5, -1.0]
block = apl_forward(x[:, None], np.array(a)[:, None], np.array(b)[:, None])[0][:, 0]
lesson.number("h(-2) with a = 0.3, -0.7 and b = 0.5, -1", h(-2.0, a, b), block[100], "block")
np.testing.assert_allclose(h(x, a, b), block, rtol=1e-12, atol=1e-15)

# %% [markdown]
# ## saha fig1: four shapes with one hinge
# Left of $b$ the hinge adds the slope $-a$. A curve is convex where its slope only grows from left to right. Shape (b)
# has the slopes 0.6, 1.6, 1, so it is not convex. The values of $a$ and $b$ are ours: they give fig1's kinds of shape.

# %%
shapes = {"(a)": (0.6, 0), "(b)": (-0.6, 1), "(c)": (0.6, 1), "(d)": (-0.6, 0)}
slopes = {name: np.diff(h(x, [a], [b]))[[0, 325, -1]] / 0.01 for name, (a, b) in shapes.items()}
convex = {name: bool((np.diff(h(x, [a], [b]), 2) > -1e-9).all()) for name, (a, b) in shapes.items()}
for name, (a, b) in shapes.items():
    lesson.number(f"{name} a = {a}, b = {b}: slopes from left to right", np.round(slopes[name], 2))
    assert convex[name] == (name != "(b)")

# %%
fig, axes = plot.subplots(2, 2, sharex=True, sharey=True)
for (name, (a, b)), ax in zip(shapes.items(), axes.flat, strict=True):
    plot.curves(ax, x, {"APL": h(x, [a], [b]), "ReLU": np.maximum(x, 0)}, legend=None, marker="")
    ax.plot(b, h(float(b), [a], [b]), "o", color=plot.COLOURS[1], markersize=9, label="hinge at b")
    hinge = f"max(0, {b} - x)" if b else "max(0, -x)"
    sign = "+" if a > 0 else "-"
    ax.set_title(f"{name} max(0, x) {sign} {abs(a)} {hinge}" + ("" if convex[name] else ", not convex"))
for ax in axes[1]:
    ax.set_xlabel("input x")
for ax in axes[:, 0]:
    ax.set_ylabel("h(x)")
plot.legend_below(fig, ax)
lesson.save(fig, "saha_fig1_apl-shapes")

# %% [markdown]
# ## saha apl: the derivatives of a hinge
# $$\frac{\partial h}{\partial x} = 1[x > 0] - \sum_s a_s 1[x < b_s], \qquad
# \frac{\partial h}{\partial a_s} = \max(0, b_s - x), \qquad
# \frac{\partial h}{\partial b_s} = a_s 1[x < b_s]$$
# At $x = -0.4$ the hinge at 0.5 is open and the hinge at -1 is shut.

# %%
a, b = np.array([[0.3], [-0.7]]), np.array([[0.5], [-1.0]])
by_hand = [0 - 0.3, 0.5 + 0.4, 0, 0.3, 0]
leaves = [tn.Tensor(v, requires_grad=True) for v in (np.array([[-0.4]]), a, b)]
apl(*leaves).backward(np.ones((1, 1)))
engine = np.concatenate([leaf.grad.ravel() for leaf in leaves]) + 0.0
lesson.number("dx, da_1, da_2, db_1, db_2 by hand", by_hand, engine, "engine")
np.testing.assert_allclose(engine, by_hand, rtol=1e-12, atol=1e-12)

# %% [markdown]
# At a kink there are two slopes. Our backward takes the hinge as shut. The checker measures both slopes and accepts
# any value between them.

# %%
kink = np.array([[0.0], [0.5]]), np.array([[0.3]]), np.array([[0.5]])
report = tn.gradcheck(apl_forward, apl_backward, *kink)
print(report)
assert report.ok
dx = apl_backward(np.ones((2, 1)), kink)[0]
lesson.number("slope at x = b = 0.5", dx[1, 0], [1 - 0.3, 1.0], "left and right of it")

# %% [markdown]
# ## saha apl: "for large enough S, APL can approximate arbitrarily complex continuous functions"
# With the hinges at fixed places the best slopes are a least squares fit:
# $$\min_a \sum_n \Big(f(x_n) - \max(0, x_n) - \sum_s a_s \max(0, b_s - x_n)\Big)^2$$
# Two hinges right of the interval make any straight line on it. The others bend it.

# %%
curve = np.sin(2 * x) + 0.3 * np.cos(5 * x)
fits, errors = {}, {}
for inner in (1, 7, 15, 31):
    b = np.append(np.linspace(-3, 3, inner + 2)[1:-1], [4, 5])
    a = np.linalg.lstsq(np.maximum(b - x[:, None], 0), curve - np.maximum(x, 0), rcond=None)[0]
    fits[len(b)] = a, b
    errors[len(b)] = np.sqrt(((h(x, a, b) - curve) ** 2).mean())
    lesson.number(f"root mean square error with S = {len(b)} hinges", errors[len(b)])
assert list(errors.values()) == sorted(errors.values(), reverse=True)

# %%
fig, ax = plot.subplots()
plot.curves(ax, x, {"target": curve} | {f"S = {S}": h(x, *fits[S]) for S in (9, 17)}, legend=None, marker="")
for S, colour, marker in ((9, plot.COLOURS[1], "o"), (17, plot.COLOURS[2], "D")):
    a, b = fits[S]
    ax.plot(b[:-2], h(b[:-2], a, b), marker, color=colour)
ax.set(xlabel="input x", ylabel="h(x)", title="More hinges (the marks) come closer to any curve")
plot.legend_below(fig, ax)
lesson.save(fig, "saha_apl_any-curve")

# %% [markdown]
# ## saha leaky-relu: leaky ReLU is an APL unit
# $$\text{leaky ReLU: } S = 1,\; b = 0,\; a = -0.01$$
# The hinge $\max(0, -x)$ points to the left: for $x < 0$ it adds $a\,(-x)$, so the slope +0.01 needs $a = -0.01$.

# %%
leaky = leaky_relu_forward(x, slope=0.01)[0]
lesson.number("leaky ReLU at x = -3", leaky[0], h(x, [-0.01], [0])[0], "APL")
np.testing.assert_allclose(h(x, [-0.01], [0]), leaky, rtol=1e-12, atol=1e-15)

# %% [markdown]
# ## saha fig2: a dead unit, and what wakes it
# One unit $h(w x + c)$ starts with a $c$ so low that it is silent on all inputs. It should learn $y = x$.
# The ReLU gets no gradient. Leaky ReLU lets 0.01 of it through. An APL unit that starts as a ReLU ($a = 0$) lets
# nothing through to $w$ and $c$ either, but $dh/da = \max(0, b - z)$ is not 0. So it learns a slope on its left first,
# and through that slope the weights.

# %%
inputs = np.linspace(0, 1, 50)[:, None]
steps = 100 if lesson.quick else 1000


def squared_error(net, x):
    return ((net(x) - x) ** 2).mean()


def curvature(net, x):
    """Of the loss along a; 0 where there is no a."""
    unit, activation = net.layers
    return 2 * (np.maximum(activation.b.data - unit(x).data, 0) ** 2).mean() if isinstance(activation, APL) else 0


def wake(activation, eta=0.1):
    """The loss before each step, and eta times the curvature of the loss along a after it."""
    unit = Linear(1, 1, rng=0, dtype=float)
    unit.W.data[:], unit.b.data[:] = 1.0, -2.0
    net = nn.Sequential(unit, activation)
    history = fit(net, squared_error, Whole((inputs,), len(inputs)), optim.SGD(net.parameters(), lr=eta), steps=steps,
                  every=1, metrics={"curvature": curvature}, progress=False)
    return history["loss"], eta * np.array(history["curvature"])


# %%
def like_a_relu():
    unit = APL(1, dtype=float)
    unit.a.data[:], unit.b.data[:] = 0, 0
    return unit


woken = like_a_relu()
losses = {"ReLU": wake(ReLU())[0], "leaky ReLU": wake(LeakyReLU(0.01))[0], "APL": wake(woken)[0]}
for name, path in losses.items():
    lesson.number(f"{name}: loss of the dead unit, first and last step", [path[0], path[-1]])
assert losses["ReLU"][0] == losses["ReLU"][-1]
assert losses["leaky ReLU"][0] > losses["leaky ReLU"][-1]
assert losses["APL"][-1] < losses["ReLU"][-1] / 2

# %% [markdown]
# Why does the loss jump with the step size 0.2? Along $a$ the loss is a parabola with the curvature
# $2\,\mathrm{mean}\,\max(0, b - z)^2$, which grows while the weights move. Gradient descent on a parabola moves away
# from the bottom when
# $$\eta \cdot \text{curvature} > 2,$$
# so $a$ swings wider from step to step. The jump ends when the swings have thrown $b$ and $c$ to a flatter place.

# %%
jumping, steepness = wake(like_a_relu(), eta=0.2)
lesson.number("eta 0.2: first step with eta x curvature above 2", int(np.argmax(np.array(steepness) > 2)))
lesson.number("eta 0.2: step of the largest loss", int(np.argmax(jumping)))
lesson.number("eta 0.1: largest eta x curvature before it has learned", max(wake(like_a_relu())[1][:300]))
assert max(steepness) > 2 > max(wake(like_a_relu())[1][:300])

# %%
fig, (left, right) = plot.subplots(1, 2, height=4.8)
bent = h(x, woken.a.data[:, 0], woken.b.data[:, 0])
plot.curves(left, x, {"ReLU": x.clip(0), "leaky ReLU": leaky, "APL": bent}, legend=None)
left.set(xlabel="input z", ylabel="h(z)", title="The curves after training")
plot.curves(right, range(steps), losses, legend=None)
right.plot(jumping, color=plot.GREY, linestyle="-", linewidth=1.2, zorder=1)
right.annotate("APL, step size 0.2:\n$\\eta$ x curvature > 2", (np.argmax(jumping), max(jumping)),
               (0.35 * steps, 0.8 * max(jumping)), color="#555555", arrowprops=dict(arrowstyle="->", color="#555555"))
right.set(xlabel="training step", ylabel="mean squared error", title="A unit that starts dead")
plot.legend_below(fig, left)
lesson.save(fig, "saha_fig2_waking-a-dead-unit")

# %% [markdown]
# ## saha apl: learned activations on digits, unit by unit
# 64 - 32 - 32 - 10 units on 300 scanned digits. Each hidden unit has hinges of its own. All kinds get the same images
# and the same first weights.

# %%
few, epochs, seeds = 300, 2 if lesson.quick else 15, lesson.seed + np.arange(2 if lesson.quick else 8)
kinds = {"ReLU": ReLU, "leaky ReLU": lambda: LeakyReLU(0.01),
         "APL, S = 1": lambda: APL(32, 1, rng=lesson.seed),      # an rng of its own: the weights stay the others'
         "APL, S = 3": lambda: APL(32, 3, rng=lesson.seed)}


def train(activation, seed):
    """Returns the net, its state before training and its test accuracy (%)."""
    rng = np.random.default_rng(seed)
    first, second, last = (Linear(d, c, rng=rng) for d, c in ((64, 32), (32, 32), (32, 10)))
    net = nn.Sequential(first, activation(), second, activation(), last)
    before, chosen = net.state_dict(), rng.permutation(len(images.X_train))[:few]
    sgd = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    fit(net, lambda net, X, y: cross_entropy(net(X), y), (images.X_train[chosen], images.y_train[chosen]), sgd,
        epochs, batch_size=30, rng=seed, progress=False)
    return net, before, 100 * (net(images.X_test).data.argmax(axis=1) == images.y_test).mean()


# %%
runs = {name: [train(activation, seed) for seed in seeds] for name, activation in kinds.items()}
accuracy = {name: np.array([run[2] for run in of_kind]) for name, of_kind in runs.items()}
gains = {name: values - accuracy["ReLU"] for name, values in accuracy.items()}
print(f"  test accuracy (%) and gain over ReLU, mean +- s.d. of {len(seeds)} seeds")
for name, values in accuracy.items():
    gain, spread = gains[name], values.std(ddof=1)
    lesson.number(name, f"{values.mean():.1f} +- {spread:.1f}   {gain.mean():+.1f} +- {gain.std(ddof=1):.1f}")

# %%
fig, ax = plot.subplots()
for row, name in enumerate(list(kinds)[1:]):
    ax.plot(gains[name], np.full(len(seeds), row), "o", color=plot.GREY)
    ax.errorbar(gains[name].mean(), row, xerr=gains[name].std(ddof=1), fmt="D", color=plot.COLOURS[0], capsize=5)
ax.axvline(0, color="black", linewidth=1)
ax.set(yticks=range(3), yticklabels=list(kinds)[1:], ylim=(-0.5, 2.5), xlabel="test accuracy minus ReLU's (points)",
       title=f"Gain over ReLU on {few} digits (dots: {len(seeds)} seeds; bars: mean, s.d.)")
lesson.save(fig, "saha_apl_against-relu")

# %% [markdown]
# What have the units become? Right of 0 and of all hinges the slope is 1 by construction.

# %%
net, before, _ = runs["APL, S = 3"][0]
(a0, b0), (a, b) = ((state["1.a"], state["1.b"]) for state in (before, net.state_dict()))
moved = np.array([abs(h(x, a[:, d], b[:, d]) - h(x, a0[:, d], b0[:, d])).max() for d in range(32)])
dents = [bool((np.diff(h(x, a[:, d], b[:, d]), 2) < -1e-5).any()) for d in range(32)]
lesson.number("largest change of a curve on [-3, 3]", moved.max())
lesson.number("units of 32 in layer 1 whose curve is not convex", sum(dents))
fig, axes = plot.subplots(1, 3, sharex=True, sharey=True)
for d, ax in zip(np.argsort(-moved), axes, strict=False):
    plot.curves(ax, x, {"before": h(x, a0[:, d], b0[:, d]), "after": h(x, a[:, d], b[:, d])}, legend=None, marker="")
    ax.plot(b[:, d], h(b[:, d], a[:, d], b[:, d]), "o", color=plot.COLOURS[2], label="its hinges")
    ax.set(title=f"unit {d}", xlabel="input x")
axes[0].set_ylabel("h(x)")
fig.suptitle("The three units of layer 1 that moved furthest")
plot.legend_below(fig, axes[0])
lesson.save(fig, "saha_fig1_learned-on-digits")

# %%
gain = gains["APL, S = 3"]
lesson.shown("learned hinges bend a ReLU into curves that are not convex, and wake a dead unit; on digits APL with "
             f"S = 3 minus ReLU is {gain.mean():+.1f} +- {gain.std(ddof=1):.1f} points over {len(seeds)} seeds")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.units.apl import apl_backward, apl_forward
#
# x, zero, one = np.array([[-2.0], [-0.5], [3.0]]), np.zeros((1, 1)), np.ones((1, 1))
# ```
#
# **1.** a = 0, b = 1: y at -2, -0.5, 3?
#
# <details><summary>Answer</summary>
#
# ReLU.
#
# ```python
# apl_forward(x, zero, one)[0].ravel()      # -> [0, 0, 3]
# ```
#
# </details>
#
# **2.** a = -0.01, b = 0: y?
#
# <details><summary>Answer</summary>
#
# Leaky ReLU.
#
# ```python
# apl_forward(x, -0.01 * one, zero)[0].ravel()      # -> [-0.02, -0.005, 3]
# ```
#
# </details>
#
# **3.** a = 0, b = 1, dy = 1: da and db?
#
# <details><summary>Answer</summary>
#
# b learns nothing until a has moved.
#
# ```python
# [g.item() for g in apl_backward(np.ones((3, 1)), apl_forward(x, zero, one)[1])[1:]]      # -> [4.5, 0]
# ```
#
# </details>
#
# **4.** a = 1, b = 0: which known function?
#
# <details><summary>Answer</summary>
#
# |x|.
#
# ```python
# apl_forward(x, one, zero)[0].ravel()      # -> [2, 0.5, 3]
# ```
#
# </details>
#
# **5.** a = -1, b = 0 is the identity. Its slope at 0?
#
# <details><summary>Answer</summary>
#
# 0: both hinges meet there, and each adds nothing.
#
# ```python
# apl_backward(one, apl_forward(zero, -one, zero)[1])[0]      # -> [[0]]
# ```
#
# </details>
