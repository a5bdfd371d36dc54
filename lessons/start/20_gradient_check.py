# %% [markdown]
# # How to check a gradient

# %% [markdown]
"""How do we know that a backward is right, and what can such a check not see?

Slides: none
Blocks: linear, softmax, activations
Run time: 1 s, --quick 1 s
Figures: ours_gradient-check_step.png, ours_gradient-check_kink.png

Move every number a little, look at the result, and compare. The lesson shows how small the move should be, what the
check is blind to, and what tinynet's checker says of the mistakes that students make.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import plot
from tinynet.blocks.units.activations import relu_backward, relu_forward
from tinynet.blocks.units.linear import linear_backward, linear_forward
from tinynet.blocks.units.softmax import softmax_backward, softmax_forward
from tinynet.lesson import lesson

rng = np.random.default_rng(lesson.seed)

# %% [markdown]
# ## How small should the move be?
# $$\frac{f(x+h) - f(x)}{h} = f'(x) + O(h), \qquad
# \frac{f(x+h) - f(x-h)}{2h} = f'(x) + O(h^2), \qquad
# \frac{\operatorname{Im} f(x + ih)}{h} = f'(x) + O(h^2)$$
# A smaller $h$ makes the formula's own error smaller. But $f(x+h)$ and $f(x-h)$ are rounded to about 16 digits, and
# their difference divided by $h$ blows that rounding up. So there is a best $h$ for differences. The complex step
# subtracts nothing, so it has no such limit (Squire and Trapp 1998). It needs a formula that takes complex numbers.

# %%
def f(x):
    return np.exp(np.sin(x))


x, slope = 1.0, np.cos(1.0) * np.exp(np.sin(1.0))
steps = np.geomspace(1e-15, 1e-1, 57)
measured = {"one side": (f(x + steps) - f(x)) / steps, "both sides": (f(x + steps) - f(x - steps)) / (2 * steps),
            "complex step": f(x + 1j * steps).imag / steps}
errors = {name: abs(values - slope).clip(1e-17) for name, values in measured.items()}
for name in ("one side", "both sides"):
    lesson.number(f"{name}: best step, and its error", [steps[errors[name].argmin()], errors[name].min()])
assert errors["both sides"].min() < errors["one side"].min()
assert errors["complex step"][steps < 1e-8].max() < 1e-14

# %%
fig, ax = plot.subplots()
plot.curves(ax, steps, errors, legend=None)
ax.set(xscale="log", yscale="log", xlabel="step h", ylabel="error of the slope",
       title="Left: rounding. Right: the formula's own error")
plot.legend_below(fig, ax)
lesson.save(fig, "ours_gradient-check_step")

# %% [markdown]
# ## The whole gradient, weighed by a random upstream
# $$L = \sum_i dY_i\, Y_i(x), \qquad \frac{dL}{dx_j} \approx \frac{L(x + h e_j) - L(x - h e_j)}{2h}$$
# Why random weights $dY$? A softmax's outputs add up to 1 whatever its inputs are. With $dY = 1$ the gradient is 0,
# and a backward that returns zeros passes.

# %%
def check_by_hand(forward, backward, x, dY, h=1e-5):
    """The largest difference between backward's gradient and the measured one."""
    gradient, numeric = backward(dY, forward(x)[1]), np.empty_like(x)
    for j in np.ndindex(x.shape):
        move = np.zeros_like(x)
        move[j] = h
        numeric[j] = (dY * (forward(x + move)[0] - forward(x - move)[0])).sum() / (2 * h)
    return abs(gradient - numeric).max()


def zeros(dy, cache):
    return np.zeros_like(dy)


# %%
x = rng.normal(size=(2, 4))
ones, weights = np.ones((2, 4)), rng.normal(size=(2, 4))
assert check_by_hand(softmax_forward, softmax_backward, x, weights) < 1e-9
assert check_by_hand(softmax_forward, zeros, x, ones) < 1e-9              # wrong, and not seen
lesson.number("softmax with a backward of zeros: error seen with dY = 1", "below 1e-9")
lesson.number("error seen with random dY", check_by_hand(softmax_forward, zeros, x, weights))

# %% [markdown]
# ## What a check can't see: kinks
# At a kink there are two slopes. The difference over both sides gives their mean, which is neither. tinynet's checker
# sees that the two sides disagree, measures both, and accepts what lies between.

# %%
at_0 = np.array([-1.0, 0.0, 2.0])
lesson.number("relu at 0: error of the check by hand", check_by_hand(relu_forward, relu_backward, at_0, np.ones(3)))
report = tn.gradcheck(relu_forward, relu_backward, at_0)
print(report)
assert report.ok

# %%
fig, ax = plot.subplots()
x = np.linspace(-1, 1, 101)
curves = {"relu": x.clip(0), "what both sides together see at 0": 0.25 + x / 2}
plot.curves(ax, x, curves, legend="upper left", marker="")
ax.plot([-0.5, 0, 0.5], [0, 0, 0.5], "o", color=plot.COLOURS[0])
ax.set(xlabel="x", ylabel="y", title="At a kink the two-sided difference is the slope of a chord (here h = 0.5)")
lesson.save(fig, "ours_gradient-check_kink")

# %% [markdown]
# ## What a check can't see: steps
# Rounding, `sign` and `argmax` are flat nearly everywhere. Their true gradient is 0, and the check confirms it. It does
# not tell you that nothing can be learned through them.

# %%
report = tn.gradcheck(lambda x: (np.sign(x), None), lambda dy, cache: 0 * dy, rng.normal(size=5))
lesson.number("sign with a gradient of 0 is right", report.ok)
assert report.ok

# %% [markdown]
# ## What a check can't see: where it was not tried
# A relu whose backward forgets the mask is right on positive numbers. Try numbers of both signs, different sizes for
# different axes (a square matrix hides a transpose), and more than one example (one hides a missing sum).

# %%
def forgets_the_mask(dy, cache):
    return dy.copy()


positive, both_signs = np.array([0.5, 2.0]), np.array([-1.0, 0.5, 2.0])
for name, numbers in {"positive numbers": positive, "both signs": both_signs}.items():
    lesson.number(f"relu without its mask passes on {name}", tn.gradcheck(relu_forward, forgets_the_mask, numbers).ok)

# %% [markdown]
# ## What a check can't see: cancellation
# $10^8 + x^2$ keeps only about 8 digits of $x^2$, so the difference of two such numbers keeps few. In float32, with 7
# digits in all, no difference is worth much. So gradients are checked in float64, whatever the net runs in.

# %%
for name, offset, dtype in (("x^2", 0, np.float64), ("10^8 + x^2", 1e8, np.float64), ("x^2", 0, np.float32)):
    ends = [np.array(offset + (3 + move) ** 2, dtype) for move in (1e-5, -1e-5)]
    lesson.number(f"slope of {name} at 3, {dtype.__name__}", (ends[0] - ends[1]) / dtype(2e-5), 6, "right")

# %% [markdown]
# ## What tinynet's checker says of typical mistakes
# It compares every entry, for several random upstreams, in float64, with a tolerance for each entry's size. Then it
# asks which kind of mistake explains all entries.

# %%
x, W, b = rng.normal(size=(4, 3)), rng.normal(size=(2, 3)), rng.normal(size=2)


def mistaken(change):
    """linear's backward with one change to its gradients dx, dW, db."""
    def backward(dy, cache):
        return change(*linear_backward(dy, cache), dy)
    return backward


mistakes = {
    "a factor forgotten": lambda dx, dW, db, dy: (dx, 2 * dW, db),
    "a sign flipped": lambda dx, dW, db, dy: (dx, -dW, db),
    "mean instead of sum": lambda dx, dW, db, dy: (dx, dW, dy.mean(axis=0)),
    "the batch not summed": lambda dx, dW, db, dy: (dx, dW, dy),
    "a transpose too many": lambda dx, dW, db, dy: (dx, dW.T, db),
    "two gradients swapped": lambda dx, dW, db, dy: (dW, dx, db),
    "the upstream ignored": lambda dx, dW, db, dy: (np.ones_like(dy) @ W, dW, db),
}
tn.gradcheck(linear_forward, linear_backward, x, W, b).raise_if_wrong()
for mistake, change in mistakes.items():
    report = tn.gradcheck(linear_forward, mistaken(change), x, W, b)
    print(f"  {mistake}:", str(report).splitlines()[1].strip(), sep="\n      ")
    assert not report.ok

# %% [markdown]
# Softmax: students often keep only the diagonal $p_i (1 - p_i)$ of the Jacobian.
# $$\frac{\partial p_i}{\partial e_j} = p_i\,(1[i = j] - p_j)$$

# %%
def diagonal_only(dy, cache):
    p, _ = cache
    return dy * p * (1 - p)


report = tn.gradcheck(softmax_forward, diagonal_only, rng.normal(size=(2, 4)))
print(report)
assert not report.ok
lesson.shown("a gradient check needs a random upstream, numbers off the kinks and on both sides of them, and float64; "
             f"the checker rejects all {len(mistakes) + 1} typical mistakes and says what they are")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# import tinynet as tn
# from tinynet.blocks.units.softmax import softmax_forward
#
# f = np.exp
# ```
#
# **1.** The error of central differences at 1, for h = 1e-1, 1e-5, 1e-12: which h is best?
#
# <details><summary>Answer</summary>
#
# 1e-5. Smaller is worse from there on.
#
# ```python
# [abs((f(1 + h) - f(1 - h)) / (2 * h) - np.e) for h in (1e-1, 1e-5, 1e-12)]      # -> [4.5e-3, 5.9e-11, 2.1e-4]
# ```
#
# </details>
#
# **2.** And one-sided, for h = 1e-5?
#
# <details><summary>Answer</summary>
#
# A quarter of a million times worse.
#
# ```python
# abs((f(1 + 1e-5) - f(1)) / 1e-5 - np.e)      # -> 1.4e-5
# ```
#
# </details>
#
# **3.** What does a step of 1e-8 change in float32?
#
# <details><summary>Answer</summary>
#
# Nothing: 1 + 1e-8 is 1.
#
# ```python
# (np.float32(1) + np.float32(1e-8)) - np.float32(1)      # -> 0
# ```
#
# </details>
#
# **4.** ReLU at 0 by central differences, for any h?
#
# <details><summary>Answer</summary>
#
# 1/2, though backward says 0: a kink is no mistake.
#
# ```python
# [(max(0, h) - max(0, -h)) / (2 * h) for h in (1e-3, 1e-6)]      # -> [0.5, 0.5]
# ```
#
# </details>
#
# **5.** A softmax backward that returns zeros is checked with an upstream of ones: is it found?
#
# <details><summary>Answer</summary>
#
# No, because the right gradient is 0, too. The checker's random upstreams find it: one problem.
#
# ```python
# len(tn.gradcheck(softmax_forward, lambda dy, cache: np.zeros_like(dy), np.array([[1.0, 2, 3]])).kinds)      # -> 1
# ```
#
# </details>
