"""What if every unit learns its own activation function?

Slides: saha apl, fig1, fig2, relu, leaky-relu
Blocks: apl, activations, linear, cross_entropy
Run time: 3 s, --quick 1 s (two cores)
Figures: saha_fig1_apl-shapes.png, saha_apl_any-curve.png, saha_fig2_waking-a-dead-unit.png,
saha_fig1_learned-on-digits.png, saha_apl_against-relu.png

The adaptive piecewise linear unit is a ReLU with S hinges whose slopes a and places b are learned:
h(x) = max(0, x) + sum_s a_s max(0, -x + b_s).
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import nn, optim, plot
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.units.activations import LeakyReLU, ReLU, leaky_relu_forward
from tinynet.blocks.units.apl import APL, apl, apl_backward, apl_forward
from tinynet.blocks.units.linear import Linear
from tinynet.check import gradcheck
from tinynet.data.digits import digits
from tinynet.lesson import lesson

images = digits(lesson.seed)
x = np.linspace(-3, 3, 601)


def h(x, a, b):
    """One unit's curve: x (N), its hinges a, b (S)."""
    return apl_forward(x[:, None], np.reshape(a, (-1, 1)), np.reshape(b, (-1, 1)))[0][:, 0]


# %% fig1: four shapes with one hinge
# Left of b the hinge adds the slope -a.  A curve is convex while its slope only grows from left to
# right; panel (b) has slopes .6, 1.6, 1: it isn't.  The values of a and b are ours, chosen to give
# fig1's kinds of shape.
shapes = {"(a)": (0.6, 0.0), "(b)": (-0.6, 1.0), "(c)": (0.6, 1.0), "(d)": (-0.6, 0.0)}
fig, axes = plot.subplots(1, 4, figsize=(14, 3.8), sharey=True)
for (panel, (a, b)), ax in zip(shapes.items(), axes, strict=True):
    y = h(x, a, b)
    slopes = np.diff(y)[[0, 325, -1]] / (x[1] - x[0])       # left of 0, between 0 and b = 1, right of b
    convex = bool((np.diff(y, 2) > -1e-9).all())
    lesson.number(f"{panel} a = {a}, b = {b}: slopes, convex?", " ".join(f"{s:.1f}" for s in slopes) + f", {convex}")
    assert convex == (panel != "(b)")
    plot.curves(ax, x, {"APL": y, "ReLU": np.maximum(x, 0)}, legend=None if a > 0 else "upper left", marker="")
    ax.axvline(b, color=plot.GREY, linewidth=1, linestyle=":")
    ax.set(xlabel="input x", title=f"{panel} a = {a}, b = {b}" + ("" if convex else ": not convex"))
axes[0].set_ylabel("h(x)")
lesson.save(fig, "saha_fig1_apl-shapes")

# %% The derivatives of a hinge, at a point where one hinge is open and one is shut
#     dh/dx = 1[x > 0] - sum_s a_s 1[x < b_s]     dh/da_s = (b_s - x)+     dh/db_s = a_s 1[x < b_s]
x0, a, b = np.array([[-0.4]]), np.array([[0.3], [-0.7]]), np.array([[0.5], [-1.0]])
by_hand = [0 - 0.3, 0.5 + 0.4, 0.0, 0.3, 0.0]                       # dx, da_1, da_2, db_1, db_2
leaves = [tn.Tensor(v, requires_grad=True) for v in (x0, a, b)]
apl(*leaves).backward(np.ones((1, 1)))
point, e, numeric = np.concatenate([x0.ravel(), a.ravel(), b.ravel()]), 1e-6, []
for step in e * np.eye(5):
    up, down = (apl_forward(*np.split(p[:, None], [1, 3]))[0].item() for p in (point + step, point - step))
    numeric.append(round((up - down) / (2 * e), 6))
engine = np.concatenate([t.grad.ravel() for t in leaves])
lesson.number("dx, da_1, da_2, db_1, db_2: by hand", by_hand, numeric, "numeric")
lesson.number("the same from the engine", engine, numeric, "numeric")
np.testing.assert_allclose(engine, by_hand, rtol=1e-12, atol=1e-12)
np.testing.assert_allclose(numeric, by_hand, rtol=1e-6, atol=1e-6)

# %% At a kink there are two slopes; ours takes the hinge as shut, and the check says that it saw the kink
report = gradcheck(apl_forward, apl_backward, np.array([[0.0], [0.5]]), np.array([[0.3]]), np.array([[0.5]]))
print(report)
one_sided = [(h(np.array([0.5 + s * e]), 0.3, 0.5) - h(np.array([0.5]), 0.3, 0.5)).item() / (s * e) for s in (-1, 1)]
dx, *_ = apl_backward(np.ones((1, 1)), (np.array([[0.5]]), np.array([[0.3]]), np.array([[0.5]])))
lesson.number("at x = b: ours", dx.item(), np.round(one_sided, 6), "left and right slope")
assert report.ok

# %% "For large enough S, APL can approximate arbitrarily complex continuous functions"
# With the hinges at fixed places the best a are a least squares fit.  Two hinges right of the interval
# make any straight line on it; the others add kinks between.
curve = np.sin(2 * x) + 0.3 * np.cos(5 * x)
fits, errors = {"target": curve}, []
for inner in (1, 7, 15, 31):
    b_s = np.append(np.linspace(-3, 3, inner + 2)[1:-1], [4, 5])
    a_s = np.linalg.lstsq(np.maximum(b_s - x[:, None], 0), curve - np.maximum(x, 0), rcond=None)[0]
    fits[f"S = {len(b_s)}"] = y = h(x, a_s, b_s)
    errors.append(np.sqrt(((y - curve) ** 2).mean()))
    lesson.number(f"root mean square error, S = {len(b_s)} hinges", errors[-1])
assert errors == sorted(errors, reverse=True)

# %%
fig, ax = plot.subplots()
plot.curves(ax, x, {name: fits[name] for name in ("target", "S = 9", "S = 17")}, legend="lower left")
ax.set(xlabel="input x", ylabel="h(x)", title="More hinges, closer to any curve")
lesson.save(fig, "saha_apl_any-curve")

# %% Leaky ReLU is an APL unit: S = 1, b = 0, a = -0.01
# The hinge max(0, -x) points to the left: for x < 0 it adds a (-x), so a slope of +0.01 needs a = -0.01.
leaky = leaky_relu_forward(x, slope=0.01)[0]
lesson.number("largest difference to leaky ReLU", abs(h(x, -0.01, 0) - leaky).max(), 0, "exact")
np.testing.assert_allclose(h(x, -0.01, 0), leaky, rtol=1e-12, atol=1e-15)

# %% fig2: a dead unit, and who wakes it
# One unit w x + c with c so low that it is silent on all inputs; it should learn y = x.  The ReLU's
# gradient is exactly 0.  Leaky ReLU lets 0.01 of it through.  An APL unit that starts as a ReLU
# (a = 0) lets nothing through to w and c at first either, but da = (b - x)+ isn't 0: it learns a
# slope on the left first, and through that slope the weights.
inputs = np.linspace(0, 1, 50)[:, None]
steps = 100 if lesson.quick else 600


def wake(activation):
    """The loss at each step."""
    unit, losses = Linear(1, 1, rng=0, dtype=float), []
    unit.W.data[:], unit.b.data[:] = 1.0, -2.0
    sgd = optim.SGD([*unit.parameters(), *getattr(activation, "parameters", list)()], lr=0.2)
    for _ in range(steps):
        sgd.zero_grad()
        loss = ((activation(unit(inputs)) - inputs) ** 2).mean()
        loss.backward()
        losses.append(loss.item())
        sgd.step()
    return losses


# %%
relu_like = APL(1, dtype=float)
relu_like.a.data[:], relu_like.b.data[:] = 0, 0
losses = {"ReLU": wake(ReLU()), "leaky ReLU": wake(LeakyReLU(0.01)), "APL, begun as ReLU": wake(relu_like)}
for name, path in losses.items():
    lesson.number(f"{name}: loss of the dead unit, first and last step", [path[0], path[-1]])
assert losses["ReLU"][0] == losses["ReLU"][-1]
assert losses["leaky ReLU"][0] > losses["leaky ReLU"][-1]
assert losses["APL, begun as ReLU"][-1] < losses["ReLU"][-1] / 2
fig, (left, right) = plot.subplots(1, 2, figsize=(10, 4.2))
bent = h(x, relu_like.a.data, relu_like.b.data)
plot.curves(left, x, {"ReLU": x.clip(0), "leaky ReLU": leaky, "APL in the end": bent}, legend="upper left", marker="")
left.set(xlabel="input x", ylabel="h(x)")
plot.curves(right, range(steps), losses, legend="center right")
right.set(xlabel="training step t", ylabel="mean squared error", title="A unit that starts dead")
lesson.save(fig, "saha_fig2_waking-a-dead-unit")

# %% Learned activations on digits, per unit
# 64 - 32 - 32 - 10 on 300 scanned digits; each hidden unit has S = 3 hinges of its own.
steps, few = 20 if lesson.quick else 150, 300


def net(activation, rng):
    first, second, last = (Linear(d, c, rng=rng) for d, c in ((64, 32), (32, 32), (32, 10)))
    return nn.Sequential(first, activation(), second, activation(), last)


def train(model, rng):
    """SGD with momentum; returns the test accuracy (%) at every tenth step."""
    chosen, path = rng.permutation(len(images.X_train))[:few], []
    sgd = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for step in range(steps):
        batch = rng.choice(chosen, 30, replace=False)
        sgd.zero_grad()
        cross_entropy(model(images.X_train[batch]), images.y_train[batch]).backward()
        sgd.step()
        if step % 10 == 9:
            with tn.no_grad():
                path.append(100 * (model(images.X_test).data.argmax(axis=1) == images.y_test).mean())
    return path


# %% Against ReLU and leaky ReLU, over several seeds: the same images and first weights for all
kinds = {
    "ReLU": ReLU,
    "leaky ReLU": lambda: LeakyReLU(0.01),
    "APL, S = 1": lambda: APL(32, 1, rng=lesson.seed),      # an rng of its own: the weights stay the others'
    "APL, S = 3": lambda: APL(32, 3, rng=lesson.seed),
}
seeds = lesson.seed + np.arange(2 if lesson.quick else 4)
paths, learned = {name: [] for name in kinds}, None
for seed in seeds:
    for name, activation in kinds.items():
        rng = np.random.default_rng(seed)
        model = net(activation, rng)
        before = model.state_dict()
        paths[name].append(train(model, rng))
        if name == "APL, S = 3" and learned is None:
            learned = before, model.state_dict()

# %%
print(f"  test accuracy (%) on {few} images, mean +- spread over {len(seeds)} seeds; gain over ReLU")
final = {name: np.array(p)[:, -1] for name, p in paths.items()}
for name, a in final.items():
    gain = a - final["ReLU"]
    lesson.number(name, f"{a.mean():.2f} +- {a.std():.2f}   {gain.mean():+.2f} +- {gain.std():.2f}")
fig, ax = plot.subplots()
plot.curves(ax, range(10, steps + 1, 10), {n: np.mean(p, axis=0) for n, p in paths.items()}, legend="lower right")
ax.set(xlabel="training step t", ylabel=f"test accuracy (%), mean of {len(seeds)} seeds")
lesson.save(fig, "saha_apl_against-relu")

# %% What the units have become: the eight of the first layer that moved furthest
before, after = learned
a0, b0, a, b = before["1.a"], before["1.b"], after["1.a"], after["1.b"]
moved = np.array([abs(h(x, a[:, d], b[:, d]) - h(x, a0[:, d], b0[:, d])).max() for d in range(32)])
lesson.number("mean |a| before and after training", [abs(a0).mean(), abs(a).mean()])
lesson.number("largest change of a curve on [-3, 3]", moved.max())
lesson.number("units of 32 whose curve is no longer convex", sum(
    bool((np.diff(h(x, a[:, d], b[:, d]).astype(float), 2) < -1e-5).any()) for d in range(32)))
fig, axes = plot.subplots(2, 4, figsize=(13, 6), sharex=True, sharey=True)
for d, ax in zip(np.argsort(-moved), axes.flat, strict=False):
    ax.plot(x, h(x, a0[:, d], b0[:, d]), color=plot.GREY, linestyle="-", label="before")
    ax.plot(x, h(x, a[:, d], b[:, d]), color=plot.COLOURS[0], linestyle="-", label="after")
    ax.plot(b[:, d], h(b[:, d], a[:, d], b[:, d]), "o", color=plot.COLOURS[1], label="hinges")
    ax.set_title(f"unit {d}")
axes[0, 0].legend(loc="upper left")
for ax in axes[-1]:
    ax.set_xlabel("input x")
for ax in axes[:, 0]:
    ax.set_ylabel("h(x)")
lesson.save(fig, "saha_fig1_learned-on-digits")
gain = final["APL, S = 3"] - final["ReLU"]
lesson.shown("a few learned hinges bend a ReLU into non-convex curves and wake a dead unit; on digits three of them "
             f"gain {gain.mean():+.1f} +- {gain.std():.1f} points over ReLU")
