"""How does a program find every gradient of a net by itself?

Slides: saha chain
Blocks: linear
Run time: 3 s, --quick 1 s (two cores)
Figures: saha_chain_two-engines.png

A whole engine is built here in three cells: values, ops, and a walk from the end to the start.
Then it is held against tinynet.engine, against finite differences, and against a long chain.
"""

# %%
import sys
import time

import numpy as np

import tinynet as tn
from tinynet import plot
from tinynet.blocks.units.linear import linear as tn_linear
from tinynet.lesson import lesson

# %% A pair: how to compute, and how to undo
# An op is two functions on plain arrays.  forward keeps in `cache` what backward will need;
# backward turns dL/dy, called dy, into one gradient per input.  dy comes from outside: a pair knows
# its own derivative and nothing else.


def multiply_forward(a, b):
    return a * b, (a, b)


def multiply_backward(dy, cache):
    a, b = cache
    return dy * b, dy * a


# %% A value remembers the step that made it


class Value:
    """An array, its gradient, and the step (backward, cache, inputs) that made it, None for a leaf."""

    def __init__(self, data, step=None):
        self.data, self.step, self.grad = np.asarray(data, float), step, None


class Op:
    """A pair made to work on values: every call leaves a step on its result."""

    def __init__(self, forward, backward):
        self.forward, self.backward = forward, backward

    def __call__(self, *inputs):
        y, cache = self.forward(*(value.data for value in inputs))
        return Value(y, (self.backward, cache, inputs))


# %% The order: a value's turn comes after everything that was computed from it
# Count how often each value is used; a value is ready when its last user has had its turn
# (Kahn 1962).  A list does the work, not recursion, so the graph may be as deep as memory allows.


def inputs_of(value):
    return value.step[2] if value.step else ()


def order(last):
    uses, ready, found = {last: 0}, [last], [last]
    for value in found:
        for parent in inputs_of(value):
            if parent not in uses:
                uses[parent] = 0
                found.append(parent)
            uses[parent] += 1
    while ready:
        yield (value := ready.pop())
        for parent in inputs_of(value):
            uses[parent] -= 1
            if uses[parent] == 0:
                ready.append(parent)


# %% The backward pass: the chain rule, one step at a time
# dL/dL = 1.  Each step takes the gradient of its result and hands one on to each input; where two
# paths meet in a value, their gradients are added.  That is all of backpropagation.


def backward(y):
    gradients = {y: np.ones_like(y.data)}
    for value in order(y):
        dy = gradients.pop(value)
        if value.step is None:
            value.grad = dy
            continue
        undo, cache, inputs = value.step
        for parent, d in zip(inputs, undo(dy, cache), strict=True):
            gradients[parent] = gradients.get(parent, 0) + d


# %% Used twice, and a diamond: d(x x)/dx = 2 x, and d(x^2 x^2)/dx = 4 x^3
multiply = Op(multiply_forward, multiply_backward)
x = Value(3.0)
backward(multiply(x, x))
lesson.number("d(x x)/dx at x = 3", x.grad, 6, "2 x")

square = multiply(x, x)
backward(multiply(square, square))
lesson.number("d(x^4)/dx at x = 3, through a diamond", x.grad, 108, "4 x^3")
assert x.grad == 108

# %% Three more pairs make a net
# linear: y = x W' + b.  sigmoid: y = 1/(1 + e^-x), so dy/dx = y (1 - y).  Half the mean squared error.


def linear_forward(x, W, b):
    return x @ W.T + b, (x, W)


def linear_backward(dy, cache):
    x, W = cache
    return dy @ W, dy.T @ x, dy.sum(axis=0)


def sigmoid_forward(x):
    y = 1 / (1 + np.exp(-x))
    return y, y


def sigmoid_backward(dy, y):
    return (dy * y * (1 - y),)


# %%


def error_forward(y, t):
    return ((y - t) ** 2).mean() / 2, y - t


def error_backward(dy, difference):
    d = dy * difference / difference.size
    return d, -d


linear, sigmoid = Op(linear_forward, linear_backward), Op(sigmoid_forward, sigmoid_backward)
error = Op(error_forward, error_backward)

# %% The same net in tinynet.engine: equal values, equal gradients
# 5 examples, 3 inputs, 4 hidden units, 2 outputs, and a diamond: the hidden units meet themselves
# again in h h.  The names are the slides': W1, b1, W2, b2.
rng = np.random.default_rng(lesson.seed)
X, T = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
start = dict(W1=rng.normal(size=(4, 3)), b1=rng.normal(size=4), W2=rng.normal(size=(2, 4)), b2=rng.normal(size=2))


def our_loss(W1, b1, W2, b2):
    h = sigmoid(linear(Value(X), W1, b1))
    return error(linear(multiply(h, h), W2, b2), Value(T))


def engine_loss(W1, b1, W2, b2):
    h = 1 / (1 + (-tn_linear(X, W1, b1)).exp())
    return ((tn_linear(h * h, W2, b2) - T) ** 2).mean() / 2


# %%
ours = {name: Value(array) for name, array in start.items()}
engine = {name: tn.Tensor(array, requires_grad=True, name=name) for name, array in start.items()}
L, L_engine = our_loss(**ours), engine_loss(**engine)
backward(L)
L_engine.backward()
lesson.number("loss of the small net", float(L.data), L_engine.item(), "tinynet.engine")
for name in start:
    gap = abs(ours[name].grad - engine[name].grad).max()
    lesson.number(f"largest difference in dL/d{name}", gap, 0, "tinynet.engine")
    np.testing.assert_allclose(ours[name].grad, engine[name].grad, rtol=1e-12, atol=1e-15)
np.testing.assert_allclose(L.data, L_engine.item(), rtol=1e-14)

# %% And both are right: move every weight a little and look at the loss
# (L(w + h) - L(w - h)) / 2h misses dL/dw by terms of h^2.  For all 26 weights, one at a time:


def central_difference(name, i, h=1e-5):
    losses = []
    for step in (h, -h):
        moved = start[name].copy()
        moved.flat[i] += step
        losses.append(float(our_loss(**{**ours, name: Value(moved)}).data))
    return (losses[0] - losses[1]) / (2 * h)


gaps = [abs(central_difference(name, i) - ours[name].grad.flat[i]) for name in start for i in range(start[name].size)]
lesson.number("weights checked by central differences", len(gaps))
lesson.number("largest difference from them", max(gaps))
assert max(gaps) < 1e-9

# %% What was recorded: tinynet draws the graph (DOT text for graphviz)
picture = tn.draw_graph(L_engine)
lesson.number("tensors in the drawing, and ops between them", [picture.count("shape=box"), picture.count("ellipse")])
print("  " + "\n  ".join(picture.splitlines()[:6]) + "\n  ...")

# %% A chain of ops: recursion dies, the list doesn't, and the time grows in line with the length


def chain(length):
    y, one = Value(1.0), Value(1.0)
    for _ in range(length):
        y = multiply(y, one)
    return y


def order_by_recursion(value):
    return [value, *(v for parent in inputs_of(value)[:1] for v in order_by_recursion(parent))]


try:
    order_by_recursion(chain(2 * sys.getrecursionlimit()))
except RecursionError:
    lesson.number("recursion gives up at a depth of", sys.getrecursionlimit())

# %%
longest = 10_000 if lesson.quick else 100_000
lengths, seconds = [longest // 8, longest // 4, longest // 2, longest], []
for length in lengths:
    y, tries = chain(length), []
    for _ in range(2):
        begin = time.process_time()
        backward(y)
        tries.append(time.process_time() - begin)
    seconds.append(min(tries))
lesson.number("longest chain walked back, in ops", longest)
lesson.number("microseconds an op", 1e6 * seconds[-1] / longest)

# %% The slide's weight update: w_new = w_old - eta dL/dw_old, with both engines
eta, steps, losses = 0.5, 60, {"the engine of this lesson": [], "tinynet.engine": []}
for _ in range(steps):
    L, L_engine = our_loss(**ours), engine_loss(**engine)
    for losses_of, value in zip(losses.values(), (float(L.data), L_engine.item()), strict=True):
        losses_of.append(value)
    backward(L)
    for name in start:
        engine[name].zero_grad()
    L_engine.backward()
    for name in start:
        ours[name].data = ours[name].data - eta * ours[name].grad
        engine[name].data = engine[name].data - eta * engine[name].grad
np.testing.assert_allclose(*losses.values(), rtol=1e-10)
lesson.number(f"loss after {steps} updates", losses["the engine of this lesson"][-1], L_engine.item(), "tinynet.engine")

# %%
fig, (left, right) = plot.subplots(1, 2)
plot.curves(left, range(steps), losses)
left.set(xlabel="update t", ylabel="loss L", title="Two engines, one curve", ylim=(0, None))
thousands = [n / 1000 for n in lengths]
right.plot([0, thousands[-1]], [0, seconds[-1]], color=plot.GREY, label="in line with the length")
right.plot(thousands, seconds, "o", color=plot.COLOURS[0], label="measured")
right.set(xlabel="length of the chain (1,000 ops)", ylabel="backward pass (s of CPU time)",
          title="The walk needs linear time", xlim=(0, None), ylim=(0, None))
right.legend(loc="upper left")
lesson.save(fig, "saha_chain_two-engines")
lesson.shown("an engine of three cells gives the same losses and gradients as tinynet.engine, "
             f"and walks back over {longest:,} ops")
