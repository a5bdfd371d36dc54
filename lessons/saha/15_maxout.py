# %% [markdown]
# # Maxout, stochastic maxout and the L_p unit

# %% [markdown]
"""Which shapes can maxout, stochastic maxout and the L_p unit take that APL can, and which can't they?

Slides: saha maxout, stochastic-maxout, lp, apl
Blocks: maxout, stochastic_maxout, lp_unit, apl
Run time: 8 s, --quick 2 s
Figures: saha_maxout_what-each-can-fit.png, saha_lp_orders.png, saha_stochastic-maxout_draws.png

One input, one output: every unit is a curve, and four target curves tell the units apart.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import nn, optim, plot
from tinynet.blocks.units.apl import APL
from tinynet.blocks.units.lp_unit import LpUnit, lp_unit_forward
from tinynet.blocks.units.maxout import Maxout, maxout_forward
from tinynet.blocks.units.stochastic_maxout import StochasticMaxout, stochastic_maxout_forward
from tinynet.lesson import lesson
from tinynet.train import fit
from tinynet.train.batches import Whole

rng = np.random.default_rng(lesson.seed)
x = np.linspace(-2, 2, 101)[:, None]

# %% [markdown]
# ## Maxout is convex
# $$y = \max_k\; w_k x + b_k$$
# The largest of linear functions is convex: between two points it never lies above their chord.  No choice of weights
# can bend it down again.  A thousand random units with four pieces:

# %%
W, b = rng.normal(size=(1000, 4, 1)), rng.normal(size=(1000, 4))
y = maxout_forward(x, W, b)[0]
lesson.number("1,000 maxout units: smallest second difference", np.diff(y, 2, axis=0).min(), ">= 0", "convex")
assert np.diff(y, 2, axis=0).min() > -1e-12

# %% [markdown]
# ## lp: the L_p unit is convex and never negative
# $$y = \Big(\frac1K \sum_k |x_k - c_k|^p\Big)^{1/p}, \qquad p > 1$$
# of K linear functions $x_k$ of the input.  p = 2 is the root mean square, and as p grows the largest wins.

# %%
pieces = np.concatenate([x, -0.5 * x + 1], axis=1)[:, None]     # two linear functions
curves = {}
for p in (1.01, 2, 8):
    r = np.log(np.expm1(p - 1.0))                               # p = 1 + log(1 + e^r)
    curves[f"p = {p:g}"] = lp_unit_forward(pieces, np.zeros((1, 2)), np.array([r]))[0][:, 0]
largest = abs(pieces[:, 0]).max(axis=1)
lesson.number("p = 8: largest difference to max |x_k|", abs(curves["p = 8"] - largest).max())
fig, ax = plot.subplots()
plot.curves(ax, x[:, 0], {**curves, "max |x_k|": largest}, legend="upper center", marker="")
ax.set(xlabel="input x", ylabel="y", title="L_p of x and 1 - x/2", ylim=(0, 3))
lesson.save(fig, "saha_lp_orders")

# %% [markdown]
# ## Stochastic maxout draws a piece
# $$P(k) = \frac{e^{\lambda x_k}}{\sum_j e^{\lambda x_j}}, \qquad y = x_k$$
# $\lambda = 0$ takes any piece, a large $\lambda$ the largest.  In evaluation it is maxout.  What training sees is the
# mean $\sum_k P(k)\, x_k$ with noise around it.

# %%
fig, axes = plot.subplots(1, 3, sharey=True)
for ax, lam in zip(axes, (0, 1, 5), strict=True):
    many = np.broadcast_to(pieces, (400, *pieces.shape))
    draws = stochastic_maxout_forward(many, u=rng.random(many.shape[:-1]), lam=lam)[0][..., 0]
    ax.plot(x[::3, 0], draws[0, ::3], "o", color=plot.COLOURS[1], markersize=4, linestyle="", label="one draw each")
    ax.plot(x[:, 0], draws.mean(axis=0), color=plot.COLOURS[0], label="mean of 400")
    ax.plot(x[:, 0], pieces[:, 0].max(axis=1), color=plot.GREY, linestyle="--", label="maxout")
    ax.set(xlabel="input x", title=rf"$\lambda$ = {lam}", ylim=(-2.2, 3.4))
    lesson.number(f"lambda = {lam}: mean gap to maxout, spread of a draw",
                  [(pieces[:, 0].max(axis=1) - draws.mean(axis=0)).mean(), draws.std(axis=0).mean()])
axes[0].set_ylabel("y")
plot.legend_below(fig, axes[0])
lesson.save(fig, "saha_stochastic-maxout_draws")


# %% [markdown]
# ## Four targets
# A bowl and a V are convex, the hill and the wave aren't.  Each unit has four pieces or hinges and is fitted by Adam
# from several starts.  APL has the ReLU and slopes of both signs: it bends either way.  Two maxout units subtracted do
# so, too, at twice the weights (Goodfellow et al. 2013).  Right of its last hinge APL is x itself, whatever is learned.


# %%
class Difference(nn.Module):
    """One maxout unit minus another."""

    def __init__(self, rng):
        self.pair = Maxout(1, 2, pieces=4, rng=rng, dtype=float)

    def forward(self, x):
        y = self.pair(x)
        return y[:, :1] - y[:, 1:]


def spread_out(unit, rng):
    """Begin with pieces or hinges all over the interval, and hinges right of it: left of them APL is free."""
    for p in unit.parameters():
        p.data = p.data + 0.5 * rng.normal(size=p.shape)
    if isinstance(unit, APL):
        unit.b.data = np.linspace(-1.5, 4, len(unit.b.data))[:, None] + 0.1 * rng.normal(size=unit.b.shape)
    return unit


UNITS = {"maxout": lambda rng: Maxout(1, 1, pieces=4, rng=rng, dtype=float),
         "stochastic maxout": lambda rng: StochasticMaxout(1, 1, pieces=4, lam=3.0, rng=rng, dtype=float),
         "L_p": lambda rng: LpUnit(1, 1, pieces=4, rng=rng, dtype=float),
         "maxout - maxout": Difference, "APL": lambda rng: APL(1, hinges=6, rng=rng, dtype=float)}
TARGETS = {"bowl": x**2, "V": abs(x), "hill": 1 - x**2 / 2, "wave": np.sin(2 * x)}
seeds, steps = range(2 if lesson.quick else 4), 80 if lesson.quick else 500


def fitted(make, target, seed):
    """(curve, root mean square error) in evaluation mode."""
    rng = np.random.default_rng(seed)
    unit = spread_out(make(rng), rng)
    fit(unit, lambda unit, x, target: ((unit(x) - target) ** 2).mean(), Whole((x, target), len(x)),
        optim.Adam(unit.parameters(), lr=0.03), steps=steps, every=steps, progress=False)
    with tn.no_grad():
        y = unit.eval()(x).data
    return y[:, 0], float(np.sqrt(((y - target) ** 2).mean()))


# %%
print(f"  root mean square error, mean of {len(seeds)} starts: {', '.join(TARGETS)}")
fits = {(unit, name): [fitted(make, target, seed) for seed in seeds]
        for unit, make in UNITS.items() for name, target in TARGETS.items()}
errors = {unit: np.array([np.mean([e for _, e in fits[unit, name]]) for name in TARGETS]) for unit in UNITS}
for unit, its in errors.items():
    lesson.number(unit, its)
fig, axes = plot.subplots(2, 2)
for ax, (name, target) in zip(axes.flat, TARGETS.items(), strict=True):
    best = {unit: min(fits[unit, name], key=lambda fit: fit[1])[0] for unit in ("maxout", "L_p", "APL")}
    plot.curves(ax, x[:, 0], {"target": target[:, 0], **best}, legend=None, marker="")
    ax.set(xlabel="input x", title=name)
for ax in axes[:, 0]:
    ax.set_ylabel("best of the fits")
plot.legend_below(fig, axes[0, 0])
lesson.save(fig, "saha_maxout_what-each-can-fit")

# %%
convex, bent = slice(0, 2), slice(2, 4)
times = {unit: its[bent].mean() / its[convex].mean() for unit, its in errors.items()}
lesson.number("error on hill and wave over bowl and V: maxout, APL", [times["maxout"], times["APL"]])
told = {unit: f"{errors[unit][convex].mean():.2f} and {errors[unit][bent].mean():.2f}" for unit in UNITS}
lesson.shown(f"maxout and L_p are convex: their errors on convex targets and on others are {told['maxout']}, "
             f"{told['L_p']}; those of APL {told['APL']}, of two maxout units subtracted {told['maxout - maxout']}")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.units.lp_unit import lp_unit_forward
# from tinynet.blocks.units.maxout import maxout_backward, maxout_forward
#
# x = np.array([[-2.0], [0.5]])
#
#
# def lp(p, *numbers):
#     r = np.log(np.expm1(p - 1.0))               # the unit's p is 1 + log(1 + e^r)
#     return lp_unit_forward(np.array([[numbers]]), np.zeros((1, len(numbers))), np.array([r]))[0].item()
# ```
#
# **1.** Two pieces, x and -x: which function?
#
# <details><summary>Answer</summary>
#
# |x|.
#
# ```python
# maxout_forward(x, np.array([[[1.0], [-1.0]]]), np.zeros((1, 2)))[0].ravel()      # -> [2, 0.5]
# ```
#
# </details>
#
# **2.** Two pieces, x and 0: which function?
#
# <details><summary>Answer</summary>
#
# ReLU.
#
# ```python
# maxout_forward(x, np.array([[[1.0], [0.0]]]), np.zeros((1, 2)))[0].ravel()      # -> [0, 0.5]
# ```
#
# </details>
#
# **3.** Those two pieces at -2 and 0.5, dy = 1: which gradient do the pieces' weights get?
#
# <details><summary>Answer</summary>
#
# Each piece hears of the examples alone where it wins: 0.5 the first, -2 the second.
#
# ```python
# cache = maxout_forward(x, np.array([[[1.0], [0.0]]]), np.zeros((1, 2)))[1]
# maxout_backward(np.ones((2, 1)), cache)[1].ravel()      # -> [0.5, -2]
# ```
#
# </details>
#
# **4.** The L_p unit of 3 and 4: at p = 2, and at p = 50?
#
# <details><summary>Answer</summary>
#
# The root mean square, then nearly the larger of both.
#
# ```python
# [lp(2, 3.0, 4.0), lp(50, 3.0, 4.0)]      # -> [3.536, 3.945]
# ```
#
# </details>
#
# **5.** The L_p unit of -5 alone, at p = 3?
#
# <details><summary>Answer</summary>
#
# 5: it is never negative.
#
# ```python
# lp(3, -5.0)      # -> 5
# ```
#
# </details>
