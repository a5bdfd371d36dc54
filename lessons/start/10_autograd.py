# %% [markdown]
# # An engine in three cells

# %% [markdown]
"""How does a program find every gradient of a net by itself?

Slides: saha chain
Blocks: linear
Run time: 2 s, --quick 1 s
Figures: saha_chain_two-units.png

An engine is built in three cells: values, ops, and a walk from the end to the start. Then it is tested.
"""

# %%
import sys
import time
from itertools import pairwise

import numpy as np

import tinynet as tn
from tinynet import diagrams, plot
from tinynet.blocks.units.linear import linear as tn_linear
from tinynet.lesson import lesson

# %% [markdown]
# ## A pair: how to compute, and how to go back
# $$y = a\,b, \qquad da = dy\; b, \quad db = dy\; a$$
# An op is two functions on plain arrays. `forward` keeps in `cache` what `backward` will need. `backward` turns
# $dL/dy$, called `dy`, into one gradient per input. A pair knows its own derivative and nothing else.

# %%
def multiply_forward(a, b):
    return a * b, (a, b)


def multiply_backward(dy, cache):
    a, b = cache
    return dy * b, dy * a


# %% [markdown]
# ## A value remembers the step that made it

# %%
class Value:
    """An array, its gradient, and the step (backward, cache, inputs) that made it, None for a leaf."""

    def __init__(self, data, step=None, name=""):
        self.data, self.step, self.name, self.grad = np.asarray(data, float), step, name, None

    def inputs(self):
        return self.step[2] if self.step else ()


class Op:
    """A pair made to work on values: every call leaves a step on its result."""

    def __init__(self, forward, backward):
        self.forward, self.backward = forward, backward

    def __call__(self, *inputs, name=""):
        y, cache = self.forward(*(value.data for value in inputs))
        return Value(y, (self.backward, cache, inputs), name)


# %% [markdown]
# ## The order: first the result, and each value after all that was computed from it
# Count how often each value is used. A value is ready when its last user has had its turn (Kahn 1962). A list does
# the work, not recursion, so the graph may be as deep as memory allows.

# %%
def uses_of(last):
    """{value: how often it is used} for everything that `last` was computed from."""
    uses, found = {last: 0}, [last]
    for value in found:
        for parent in value.inputs():
            if parent not in uses:
                uses[parent] = 0
                found.append(parent)
            uses[parent] += 1
    return uses


def order(last):
    uses, ready = uses_of(last), [last]
    while ready:
        value = ready.pop()
        yield value
        for parent in value.inputs():
            uses[parent] -= 1
            if uses[parent] == 0:
                ready.append(parent)


# %% [markdown]
# ## The backward pass: the chain rule, one step at a time
# $$\frac{dL}{dL} = 1, \qquad
# \frac{dL}{dx} = \sum_{\text{uses } y \text{ of } x} \frac{dL}{dy}\,\frac{\partial y}{\partial x}$$
# Each step hands a gradient on to each input. Where two paths meet in a value, their gradients are added.

# %%
def backward(y):
    gradients = {y: np.ones_like(y.data)}
    for value in order(y):
        dy = gradients.pop(value)
        if value.step is None:
            value.grad = dy
            continue
        back, cache, inputs = value.step
        for parent, d in zip(inputs, back(dy, cache), strict=True):
            gradients[parent] = gradients.get(parent, 0) + d


# %% [markdown]
# A diamond: $s = x\,x$ is used twice, so it waits for both of its uses.
# $$\frac{d\,(x x)(x x)}{dx} = 4\,x^3$$

# %%
multiply = Op(multiply_forward, multiply_backward)
x = Value(3.0, name="x")
s = multiply(x, x, name="s = x x")
y = multiply(s, s, name="y = s s")
print("  order of the walk:", ", then ".join(value.name for value in order(y)))
backward(y)
lesson.number("d(x^4)/dx at x = 3", x.grad, 108, "4 x^3")
assert x.grad == 108

# %% [markdown]
# ## saha chain: two sigmoid units in a row
# $o_{11} = \sigma(w_{11} x)$, $o_{21} = \sigma(w_{21}\, o_{11})$, and $L = (o_{21} - t)^2 / 2$.
# $$\frac{dL}{dw_{11}} = \frac{dL}{do_{21}}\,\frac{do_{21}}{do_{11}}\,\frac{do_{11}}{dw_{11}}$$
# The slide's chain begins with $do_{21}/do_{11}$ and leaves out $dL/do_{21}$. Without it even the sign can be wrong.

# %%
def sigmoid_forward(x):
    y = 1 / (1 + np.exp(-x))
    return y, y


def sigmoid_backward(dy, y):
    return (dy * y * (1 - y),)


def error_forward(y, t):
    return ((y - t) ** 2).mean() / 2, y - t


def error_backward(dy, difference):
    d = dy * difference / difference.size
    return d, -d


sigmoid, error = Op(sigmoid_forward, sigmoid_backward), Op(error_forward, error_backward)

# %%
x, t, w11, w21 = (Value(number) for number in (0.8, 1.0, 0.5, -1.2))
o11 = sigmoid(multiply(w11, x))
o21 = sigmoid(multiply(w21, o11))
L = error(o21, t)
backward(L)
dL_do21, do21_do11 = o21.data - t.data, o21.data * (1 - o21.data) * w21.data
do11_dw11 = o11.data * (1 - o11.data) * x.data
by_hand = dL_do21 * do21_do11 * do11_dw11
lesson.number("dL/dw11 by the chain", by_hand, w11.grad, "our engine")
lesson.number("without dL/do21, as the slide begins", do21_do11 * do11_dw11, w11.grad, "our engine")
np.testing.assert_allclose(w11.grad, by_hand, rtol=1e-12)

# %%
fig, ax = plot.subplots(height=2.4)
diagrams.blank(ax, 13, 2.1)
numbers = {"w_{11}": w11.data, "o_{11}": o11.data, "o_{21}": o21.data, "L": L.data}
boxes = [diagrams.box(ax, 1.2 + 3.5 * i, 1.5, f"${name}$\n{number:.3f}", 1.9, 1)
         for i, (name, number) in enumerate(numbers.items())]
factors = ("do_{11}/dw_{11}", do11_dw11), ("do_{21}/do_{11}", do21_do11), ("dL/do_{21}", dL_do21)
for (left, right), (name, factor) in zip(pairwise(boxes), factors, strict=True):
    diagrams.arrow(ax, left, right)
    diagrams.arrow(ax, right, left, f"${name}$ = {factor:.3f}", bend=-0.75, color=plot.COLOURS[1], linestyle="--")
ax.set_title(f"The product of the three factors is dL/d$w_{{11}}$ = {by_hand:.4f}")
lesson.save(fig, "saha_chain_two-units")

# %% [markdown]
# ## The same net in tinynet: equal values, equal gradients
# 3 inputs, 4 hidden units, 2 outputs, and a diamond: the hidden units meet themselves in $h \odot h$.
# $$h = \sigma(X W_1^T + b_1), \qquad L = \tfrac12 \operatorname{mean}\big((h \odot h)\, W_2^T + b_2 - T\big)^2$$

# %%
def linear_forward(x, W, b):
    return x @ W.T + b, (x, W)


def linear_backward(dy, cache):
    x, W = cache
    return dy @ W, dy.T @ x, dy.sum(axis=0)


linear = Op(linear_forward, linear_backward)
rng = np.random.default_rng(lesson.seed)
X, T = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
start = dict(W1=rng.normal(size=(4, 3)), b1=rng.normal(size=4), W2=rng.normal(size=(2, 4)), b2=rng.normal(size=2))


# %%
def our_loss(W1, b1, W2, b2):
    h = sigmoid(linear(Value(X), W1, b1))
    return error(linear(multiply(h, h), W2, b2), Value(T))


def engine_loss(W1, b1, W2, b2):
    h = 1 / (1 + (-tn_linear(X, W1, b1)).exp())
    return ((tn_linear(h * h, W2, b2) - T) ** 2).mean() / 2


ours = {name: Value(array) for name, array in start.items()}
engine = {name: tn.Tensor(array, requires_grad=True, name=name) for name, array in start.items()}
L, L_engine = our_loss(**ours), engine_loss(**engine)
backward(L)
L_engine.backward()
lesson.number("loss", L.data, L_engine.item(), "tinynet")
lesson.number("dL/db2", ours["b2"].grad, engine["b2"].grad, "tinynet")
for name in start:
    np.testing.assert_allclose(ours[name].grad, engine[name].grad, rtol=1e-12, atol=1e-15)

# %% [markdown]
# What tinynet has recorded, as a picture. Leaves that learn have a bold frame; small ones tell their gradients.

# %%
tn.draw_graph(L_engine)

# %% [markdown]
# ## Both are right: move every weight a little and look at the loss
# $$\frac{L(w + h) - L(w - h)}{2h} = \frac{dL}{dw} + O(h^2)$$
# From the next lesson on `tn.gradcheck` does this, and more.

# %%
def central_difference(name, i, h=1e-5):
    ends = []
    for step in (h, -h):
        moved = start[name].copy()
        moved.flat[i] += step
        ends.append(our_loss(**{**ours, name: Value(moved)}).data)
    return (ends[0] - ends[1]) / (2 * h)


weights = [(name, i) for name in start for i in range(start[name].size)]
measured = [central_difference(*weight) for weight in weights]
walked = [ours[name].grad.flat[i] for name, i in weights]
lesson.number(f"dL/dW1[0, 0], the first of {len(weights)} weights", walked[0], measured[0], "measured")
np.testing.assert_allclose(walked, measured, rtol=0, atol=1e-9)

# %% [markdown]
# ## A long chain of ops: recursion fails, the list doesn't
# Backward time grows linearly with the chain, because every step is taken once.

# %%
def chain(length):
    y, one = Value(1.0), Value(1.0)
    for _ in range(length):
        y = multiply(y, one)
    return y


def order_by_recursion(value):
    return [value, *(v for parent in value.inputs()[:1] for v in order_by_recursion(parent))]


try:
    order_by_recursion(chain(2 * sys.getrecursionlimit()))
except RecursionError:
    lesson.number("recursion gives up at a depth of", sys.getrecursionlimit())

# %%
longest = 10_000 if lesson.quick else 100_000
for length in (longest // 4, longest // 2, longest):
    y, begin = chain(length), time.process_time()
    backward(y)
    lesson.number(f"backward over {length:,} ops, seconds", time.process_time() - begin)

# %% [markdown]
# ## saha chain: the weight update
# $$w \leftarrow w - \eta\,\frac{dL}{dw}$$

# %%
eta = 0.5
for _ in range(60):
    L, L_engine = our_loss(**ours), engine_loss(**engine)
    np.testing.assert_allclose(L.data, L_engine.item(), rtol=1e-10)
    backward(L)
    for name in start:
        engine[name].zero_grad()
    L_engine.backward()
    for name in start:
        ours[name] = Value(ours[name].data - eta * ours[name].grad)
        engine[name].data = engine[name].data - eta * engine[name].grad
lesson.number("loss after 60 updates", L.data, L_engine.item(), "tinynet")

# %%
lesson.shown("an engine of three cells gives the same losses and gradients as tinynet, "
             f"and walks back over {longest:,} ops")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import tinynet as tn
#
# x = tn.Tensor(3.0, requires_grad=True)
#
#
# def slope(f):
#     x.zero_grad()
#     f(x).backward()
#     return x.grad
# ```
#
# **1.** A value is used twice, y = x x. Which gradient does x get at 3?
#
# <details><summary>Answer</summary>
#
# Each use hands one in, and they are added: 3 + 3.
#
# ```python
# slope(lambda x: x * x)      # -> 6
# ```
#
# </details>
#
# **2.** And through a diamond, s = x x, y = s s?
#
# <details><summary>Answer</summary>
#
# 4 x^3. Without the sum at s it would be half of that.
#
# ```python
# slope(lambda x: (x * x) * (x * x))      # -> 108
# ```
#
# </details>
#
# **3.** y = x - x: which gradient?
#
# <details><summary>Answer</summary>
#
# 0: two paths with opposite signs meet.
#
# ```python
# slope(lambda x: x - x)      # -> 0
# ```
#
# </details>
#
# **4.** backward twice, without zero_grad in between: which gradient of x x is left?
#
# <details><summary>Answer</summary>
#
# Twice the gradient, because a leaf adds up what comes.
#
# ```python
# x.zero_grad()
# (x * x).backward()
# (x * x).backward()
# x.grad      # -> 12
# ```
#
# </details>
#
# **5.** A chain of 10,000 additions of 0: does the walk back reach x, and with which gradient?
#
# <details><summary>Answer</summary>
#
# 1. The walk is a list, not a recursion, so it may be as long as memory allows.
#
# ```python
# y = x * 1
# for _ in range(10_000):
#     y = y + 0
# slope(lambda _: y)      # -> 1
# ```
#
# </details>
