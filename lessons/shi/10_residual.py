"""Why can a net of 64 layers learn once every block adds to what came in?

Slides: shi 1.1-1.6, fig1, fig3, fig4, fig5, erratum 2; csc321 block, resmath, cifar
Blocks: residual, linear, cross_entropy
Run time: 4 s, --quick 1 s (two cores)
Figures: shi_1.6_two-terms.png, shi_fig1_degradation.png, shi_fig4_fig5_training.png

The six formulas of shi are checked three ways: written out for one example at a time, by the engine,
and by moving every number a little.  Then plain and residual nets of 2 to 64 layers learn the digits.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import plot
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.units.residual import (
    residual_backward,
    residual_forward,
    residual_stack,
    residual_stack_backward,
    residual_stack_forward,
    residual_terms,
)
from tinynet.check import gradcheck
from tinynet.data.digits import digits
from tinynet.lesson import lesson
from tinynet.models.images.plain_and_residual import PlainNet, ResidualNet
from tinynet.optim import SGD
from tinynet.train import evaluate, fit

rng = np.random.default_rng(lesson.seed)
N, D, H, L = 2, 3, 5, 4             # examples, features, hidden units, blocks
x, W1, W2, b1, t = (rng.normal(size=shape) / 2 for shape in [(N, D), (L, H, D), (L, D, H), (L, H), (N, D)])


def gap(a, b):
    """The largest difference, beside the largest entry."""
    return abs(a - b).max() / abs(b).max()


# %% shi 1.1, 1.2: y = h(x) + W2 sigma(W1 x + b1), h the identity
# csc321 writes the same with its bias b1: z = W1 x + b1, h = phi(z), y = x + W2 h.  sigma is tanh here.
def F(l, row):
    return W2[l] @ np.tanh(W1[l] @ row + b1[l])


y = residual_forward(x, W1[0], W2[0], b1[0], activation="tanh")[0]
lesson.number("block v. the slide's formula, relative difference", gap(y, np.array([r + F(0, r) for r in x])), 0, "1.2")
report = gradcheck(residual_forward, residual_backward, x, W1[0], W2[0], b1[0], activation="tanh")
lesson.number("its gradients are right", report.ok)
report.raise_if_wrong()

# %% csc321: what if F(x) = 0 in every layer?
# With W2 = 0 each block hands x on, bit for bit, and the gradient comes back as it went in.
y, cache = residual_stack_forward(x, W1, 0 * W2, b1)
dx, dW1, dW2, _ = residual_stack_backward(t, cache)
lesson.number(f"F = 0: {L} blocks are the identity, forward", np.array_equal(y, x), "yes", "csc321")
lesson.number("and backward", np.array_equal(dx, t), "yes", "csc321")
lesson.number("W1 has no gradient then, but W2 has: it can leave 0", not dW1.any() and bool(dW2.any()))
assert np.array_equal(y, x)
assert np.array_equal(dx, t)


# %% shi 1.3: x_{l+1} = x_l + F(x_l, W_l), and unrolled 1.4: x_L = x_l + sum_{i=l}^{L-1} F(x_i, W_i)
def layers_from(l, x_l, W1=W1, W2=W2):
    """[x_l, ..., x_L], layer by layer (1.3)."""
    xs = [x_l]
    for i in range(l, L):
        xs.append(residual_forward(xs[-1], W1[i], W2[i], b1[i], activation="tanh")[0])
    return xs


xs = layers_from(0, x)
F_of = [np.array([F(i, row) for row in xs[i]]) for i in range(L)]
gaps = [gap(xs[l] + sum(F_of[l:M]), xs[M]) for M in range(1, L + 1) for l in range(M)]
lesson.number(f"1.4 for all {len(gaps)} pairs l < L: relative difference", max(gaps), 0, "1.4")
assert max(gaps) < 1e-14


# %% shi 1.6, written out: dE/dx_l = dE/dx_L times (I + dF/dx) of every block on the way (csc321 resmath)
# E = |x_L - t|^2 / 2.  For one example dF/dx = W2 diag(1 - h^2) W1 with h = tanh(W1 x + b1).
def dE_dx(l):
    rows = []
    for n, row in enumerate(xs[L] - t):                 # dE/dx_L, one example at a time
        for i in reversed(range(l, L)):
            h = np.tanh(W1[i] @ xs[i][n] + b1[i])
            row = row @ (np.eye(D) + W2[i] * (1 - h * h) @ W1[i])
        rows.append(row)
    return np.array(rows)


def E(x_L):
    return ((x_L - t) ** 2).sum() / 2


# %% The same by moving every number a little, and by the engine
def numeric(E_of, array, step=1e-5):
    """Central differences of E_of(array), entry by entry."""
    d = np.empty_like(array)
    for i in np.ndindex(array.shape):
        ends = []
        for sign in (1, -1):
            moved = array.copy()
            moved[i] += sign * step
            ends.append(E_of(moved))
        d[i] = (ends[0] - ends[1]) / (2 * step)
    return d


# %%
l = 2
leaves = [tn.Tensor(a, requires_grad=True) for a in (xs[l], W1[l:], W2[l:], b1[l:])]
((residual_stack(*leaves, activation="tanh") - t) ** 2).sum().backward(0.5)
measured = numeric(lambda x_l: E(layers_from(l, x_l)[-1]), xs[l])
lesson.number("1.6: formula v. engine, relative difference", gap(dE_dx(l), leaves[0].grad), 0, "1.6")
lesson.number("1.6: formula v. numeric", gap(dE_dx(l), measured), 0, "1.6")
assert gap(dE_dx(l), leaves[0].grad) < 1e-13
assert gap(dE_dx(l), measured) < 1e-8

# %% shi 1.5: dE/dW_l = dE/dx_L dx_L/dW_l
# W_l enters at x_{l+1} alone, so dE/dW_l = dE/dx_{l+1} dF(x_l, W_l)/dW_l: an outer product an example.
h = np.tanh(xs[l] @ W1[l].T + b1[l])
written = dict(W1=((dE_dx(l + 1) @ W2[l]) * (1 - h * h)).T @ xs[l], W2=dE_dx(l + 1).T @ h)


def E_of(name, changed):
    weights = dict(W1=W1.copy(), W2=W2.copy())
    weights[name][l] = changed
    return E(layers_from(0, x, **weights)[-1])


for name, leaf, W in (("W1", leaves[1], W1), ("W2", leaves[2], W2)):
    measured = numeric(lambda changed, name=name: E_of(name, changed), W[l])
    gaps = [gap(written[name], other) for other in (leaf.grad[0], measured)]
    lesson.number(f"1.5, {name}: formula v. engine and v. numeric", gaps, [0, 0], "1.5")
    assert max(gaps) < 1e-8


# %% Erratum 2: 1.5 prints dx_L/dx_l in the middle, where dx_L/dW_l belongs
# dE/dx_L dx_L/dx_l is dE/dx_l: it hasn't even the shape of the weights.
def as_printed(dy, cache):
    dx, _, dW2, db1 = residual_stack_backward(dy, cache)
    return dx, dx, dW2, db1


print(gradcheck(residual_stack_forward, residual_stack_backward, x, W1, W2, b1, activation="tanh"))
wrong = gradcheck(residual_stack_forward, as_printed, x, W1, W2, b1, activation="tanh")
print(wrong)
assert not wrong.ok


# %% Where the shape fits by chance, the number doesn't: F(x, w) = w tanh(x), one weight a feature
def gates_forward(x, w):
    xs = [x]
    for w_l in w:
        xs.append(xs[-1] + w_l * np.tanh(xs[-1]))
    return xs[-1], (xs, w)


def gates_backward(dy, cache, printed=False):
    xs, w = cache
    dx, dw = dy, np.empty_like(w)
    for l in reversed(range(len(w))):
        dw[l] = dx * np.tanh(xs[l])                             # dE/dx_{l+1} dx_{l+1}/dw_l
        dx = dx * (1 + w[l] * (1 - np.tanh(xs[l]) ** 2))
        dw[l] = dx if printed else dw[l]                        # dE/dx_L dx_L/dx_l
    return dx, dw


# %%
w = rng.normal(size=(3, D))
right = gradcheck(gates_forward, gates_backward, x[0], w)
wrong = gradcheck(gates_forward, lambda dy, cache: gates_backward(dy, cache, printed=True), x[0], w)
print(right, wrong, sep="\n")
lesson.number("1.5 with dx_L/dW_l passes the check", right.ok, "yes", "erratum 2")
lesson.number("1.5 as printed passes the check", wrong.ok, "no", "erratum 2")
assert right.ok
assert not wrong.ok

# %% Two nets of 64 layers on the digits, as they start: shi 1.6's two terms, block by block
# The identity term is the same dE/dx_L at every block; the term through the weights grows from 0.
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


# %% The gradient's norm per layer, and what reaches the last layer of two different digits
def layer_norms(net):
    """|dE/dW| of each of the 64 layers of weights, first to last."""
    net.zero_grad()
    cross_entropy(net(X), y).backward()
    if isinstance(net, PlainNet):
        grads = [layer.W.grad for layer in net.layers]
    else:
        pairs = zip(net.blocks.W1.grad, net.blocks.W2.grad, strict=True)
        grads = [net.first.W.grad, *(g for pair in pairs for g in pair), net.last.W.grad]
    return np.array([np.linalg.norm(g) for g in grads])


def likeness(net):
    """The mean cosine between the outputs for different digits: 1 where the net can't tell them apart."""
    out = net(X).data
    out = out / np.linalg.norm(out, axis=1, keepdims=True)
    return float((out @ out.T).mean())


# %%
terms, norms = two_terms(nets["residual"]), {name: layer_norms(net) for name, net in nets.items()}
for name, net in nets.items():
    lesson.number(f"{name}: smallest |dE/dW| of a layer", min(norms[name]))
    lesson.number(f"{name}: mean cosine between outputs", likeness(net))
lesson.number("|dE/dx_0| / |dE/dx_L| in the residual net", terms[2, 0] / terms[0, 0], 1, "identity alone")
lesson.number("smallest of these ratios over all blocks", (terms[2] / terms[0]).min(), "not 0", "shi 1.6")
fig, (left, right) = plot.subplots(1, 2)
names = ["identity term", "term through the weights", "their sum, $dE/dx_l$"]
plot.curves(left, range(terms.shape[1]), dict(zip(names, terms, strict=True)))
left.set(xlabel="block $l$", ylabel="norm", title="The two terms of 1.6 at the start", ylim=(0, None))
pairs = {name: np.hypot(n[1:-1:2], n[2:-1:2]) for name, n in norms.items()}       # a block has two layers
plot.curves(right, range(terms.shape[1]), pairs, legend="lower left")
right.set(xlabel="block $l$, or the plain net's layers there", ylabel="$|dE/dW|$ of two layers",
          title="The weights' gradient at the start", yscale="log")
lesson.save(fig, "shi_1.6_two-terms")


# %% Degradation: plain and residual nets of 2 to 64 layers, 32 units wide, the same steps for all
def error(net, X, y):
    return 100 * float((net(X).data.argmax(1) != y).mean())


def learn(make, depth, epochs):
    net = make(depth, 64, 10, width=32, rng=lesson.seed)
    history = fit(net, lambda net, X, y: cross_entropy(net(X), y), data[:2], SGD(net.parameters(), 0.01, momentum=0.9),
                  epochs, batch_size=128, val=data[2:], metrics=dict(error=error), rng=lesson.seed, progress=False)
    return dict(train=evaluate(net, None, data[:2], dict(error=error))["error"], test=history["val_error"][-1],
                loss=history["loss"], errors=history["val_error"])


# %%
depths, epochs = ([2, 8, 32], 6) if lesson.quick else ([2, 4, 8, 16, 32, 64], 15)
runs = {name: {depth: learn(make, depth, epochs) for depth in depths}
        for name, make in (("plain", PlainNet), ("residual", ResidualNet))}
for name, of_depth in runs.items():
    for which in ("train", "test"):
        lesson.number(f"{name}: {which} error %, depth {'/'.join(map(str, depths))}",
                      [round(run[which], 1) for run in of_depth.values()])
shallow, deep = (8, 32) if lesson.quick else (16, 64)
ends = {name: [of_depth[d]["train"] for d in (shallow, deep)] for name, of_depth in runs.items()}
lesson.number(f"plain: training error %, {shallow} -> {deep} layers", ends["plain"], "grows", "shi fig1")
lesson.number(f"residual: training error %, {shallow} -> {deep} layers", ends["residual"], "stays low", "shi fig4")
assert ends["plain"][1] > max(ends["plain"][0], ends["residual"][1])

# %% shi fig1: the deeper plain net is worse on the training set too, so it isn't overfitting
fig, (left, right) = plot.subplots(1, 2)
chosen = {f"{depth} layers": runs["plain"][depth] for depth in (8, 32)}
for ax, what in ((left, "loss"), (right, "errors")):
    plot.curves(ax, range(1, epochs + 1), {name: run[what] for name, run in chosen.items()}, legend="lower left")
    ax.xaxis.get_major_locator().set_params(integer=True)
left.set(xlabel="epoch", ylabel="training loss (nats)", title="Plain nets, training", ylim=(0, None))
right.set(xlabel="epoch", ylabel="test error (%)", title="Plain nets, test", ylim=(0, 100))
lesson.save(fig, "shi_fig1_degradation")

# %% shi fig4, fig5 and csc321 cifar: plain nets decline with depth, residual nets don't
fig, axes = plot.subplots(1, 3, sharey=True)
for ax, corner, (name, of_depth) in zip(axes, ("lower left", "upper right"), runs.items(), strict=False):
    curves = {f"{depth} layers": run["errors"] for depth, run in of_depth.items() if depth >= 8}
    plot.curves(ax, range(1, epochs + 1), curves, legend=corner)
    ax.set(xlabel="epoch", title=f"{name.capitalize()} nets", ylim=(0, 100))
for colour, (name, of_depth) in zip(plot.COLOURS, runs.items(), strict=False):
    for which, dash in (("train", "--"), ("test", "-")):
        axes[2].plot(depths, [run[which] for run in of_depth.values()], dash, color=colour, label=f"{name}, {which}")
axes[2].set(xlabel="layers of weights", title=f"After {epochs} epochs", xscale="log", xticks=depths, xticklabels=depths)
axes[2].minorticks_off()
axes[2].legend(loc="upper left")
axes[0].set(ylabel="test error (%)")
lesson.save(fig, "shi_fig4_fig5_training")
lesson.shown(f"from {shallow} to {deep} layers the training error of plain nets goes from {ends['plain'][0]:.0f} to "
             f"{ends['plain'][1]:.0f} %, that of residual nets from {ends['residual'][0]:.1f} to "
             f"{ends['residual'][1]:.1f} %; 1.5 as printed fails the check")
