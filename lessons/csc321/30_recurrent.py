# %% [markdown]
# # Recurrent nets

# %% [markdown]
"""How does a net read a sequence, and what do gates change?

Slides: csc321 rnn-jacobian, stacked, lm, generate, erratum 12
Blocks: rnn, gru, lstm, stacked, embedding
Run time: 24 s, --quick 4 s (one core)
Figures: csc321_rnn-jacobian_gates.png, csc321_rnn-jacobian_recall.png, csc321_lm_characters.png

Three cells are computed equation by equation and held against the blocks.  Then the gradient is followed back through
time, nets must remember a number for many steps, and a net learns to write like Shakespeare, letter by letter.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import nn, optim, plot
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.sequences.gru import GRU, gru_forward
from tinynet.blocks.sequences.lstm import LSTM
from tinynet.blocks.sequences.rnn import RNN, rnn_backward, rnn_forward
from tinynet.blocks.units.linear import Linear
from tinynet.data.shakespeare import shakespeare, split
from tinynet.data.text import Characters
from tinynet.lesson import lesson
from tinynet.models.sequences.generate import Sampled, generate
from tinynet.models.sequences.language_model import Carried, LanguageModel, nats
from tinynet.train.batches import Generated, Streams, Windows
from tinynet.train.loop import fit

rng = np.random.default_rng(lesson.seed)
CELLS = dict(RNN=RNN, GRU=GRU, LSTM=LSTM)


def sigma(z):
    return 1 / (1 + np.exp(-z))


# %% [markdown]
# ## The plain recurrent net
# The state is a squashed sum of the input and of the state before:
# $$h_t = \tanh(x_t W + h_{t-1} U + b)$$

# %%
x, h = rng.normal(size=(1, 4, 3)), np.zeros(5)
W, U, b = rng.normal(size=(3, 5)), rng.normal(size=(5, 5)), rng.normal(size=5)
for t in range(4):
    h = np.tanh(x[0, t] @ W + h @ U + b)
states, cache = rnn_forward(x, W, U, b, np.zeros((1, 5)))
assert abs(h - states[0, -1]).max() < 1e-12, "RNN: by the equation - by the block"

# %% [markdown]
# ## rnn-jacobian: backward through time is a product of matrices
# $$\frac{\partial h_T}{\partial h_0} = \prod_{t} \mathrm{diag}(1 - h_t^2)\, U^\top$$
# One factor for each step: where its norm is below 1 the product vanishes, above 1 it can explode.

# %%
upstream = np.zeros_like(states)
upstream[0, -1] = dh = rng.normal(size=5)
for t in reversed(range(4)):
    dh = dh * (1 - states[0, t] ** 2) @ U.T
gap = abs(dh - rnn_backward(upstream, cache)[4][0]).max()
assert gap < 1e-12, "product of Jacobians - the block's dh0"

# %% [markdown]
# ## GRU: gates decide what is read and what is kept
# $$r = \sigma(x W_r + h U_r + b_r),\quad z = \sigma(x W_z + h U_z + b_z),\quad
#   n = \tanh(x W_n + b_n + r \odot (h U_n + c)),\quad h' = n + z \odot (h - n)$$

# %%
net, h = GRU(3, 5, rng=rng, dtype=float), np.zeros(5)
(Wr, Wz, Wn), (Ur, Uz, Un) = (np.split(p.data, 3, axis=1) for p in (net.W, net.U))
for t in range(4):
    r, z = sigma(x[0, t] @ Wr + h @ Ur), sigma(x[0, t] @ Wz + h @ Uz)
    n = np.tanh(x[0, t] @ Wn + r * (h @ Un))
    h = n + z * (h - n)
assert abs(h - net(x)[0].data[0, -1]).max() < 1e-12, "GRU: by the equations - by the block"

# %% [markdown]
# **Erratum 12.** The paper resets the state *before* the product, $n = \tanh(x W_n + (r \odot h) U_n)$; cuDNN and
# PyTorch *after* it. And PyTorch's z keeps the old state where Bahdanau's paper takes the new one. The same weights
# give other outputs, so a net trained with one form can't be loaded into the other.

# %%
arrays = x, net.W.data, net.U.data, net.b.data
after, before = gru_forward(*arrays)[0], gru_forward(*arrays, reset="before")[0]
lesson.number("GRU, reset before - after the product: largest gap", abs(after - before).max())
assert abs(after - before).max() > 1e-3

# %% [markdown]
# ## LSTM: a cell that nothing is multiplied with but the forget gate
# $$c' = f \odot c + i \odot g,\qquad h' = o \odot \tanh(c')$$

# %%
net, h, c = LSTM(3, 5, rng=rng, dtype=float), np.zeros(5), np.zeros(5)
for t in range(4):
    i, f, g, o = np.split(x[0, t] @ net.W.data + h @ net.U.data + net.b.data, 4)
    c = sigma(f) * c + sigma(i) * np.tanh(g)
    h = sigma(o) * np.tanh(c)
y, (_, cell) = net(x)
gaps = [abs(h - y.data[0, -1]).max(), abs(c - cell.data[0]).max()]
assert max(gaps) < 1e-12, "LSTM: by the equations - by the block (h, c)"

# %% [markdown]
# ## What gates change: the gradient of the last state, step by step back
# Five nets of each kind, untrained, 32 units, inputs N(0, 1): the norm of $\partial L / \partial x_t$ for a random
# $L = v \cdot h_T$. The forget gate begins open (its bias is 1), or wide open (3); the GRU's update gate likewise.

# %%
T, H, NETS = 60, 32, 2 if lesson.quick else 5


def made(cell, bias, d_in, width, rng, dtype=np.float32):
    """A cell whose second gate, the LSTM's forget or the GRU's update gate, has this bias."""
    net = CELLS[cell](d_in, width, rng=rng, dtype=dtype)
    if cell != "RNN":
        net.b.data[width:2 * width] = bias
    return net


def gradient_norms(cell, bias, seed):
    """|dL/dx[t]| for t = T-1, ..., 0, relative to the last."""
    rng = np.random.default_rng(seed)
    net = made(cell, bias, 8, H, rng, float)
    x = tn.Tensor(rng.normal(size=(16, T, 8)), requires_grad=True)
    (net(x)[0][:, -1] * rng.normal(size=H)).sum().backward()
    norms = np.linalg.norm(x.grad, axis=(0, 2))[::-1]
    return norms / norms[0]


kinds = {"RNN": ("RNN", 0), "GRU, z bias 0": ("GRU", 0), "GRU, z bias 3": ("GRU", 3),
         "LSTM, f bias 1": ("LSTM", 1), "LSTM, f bias 3": ("LSTM", 3)}
norms = {name: np.array([gradient_norms(*kind, lesson.seed + s) for s in range(NETS)]) for name, kind in kinds.items()}
factors = {}
for name, found in norms.items():
    per_step = (found[:, 40] / found[:, 10]) ** (1 / 30)
    factors[name] = per_step.mean()
    lesson.number(f"{name}: the gradient's factor a step, {NETS} nets", [per_step.min(), per_step.max()])

# %%
fig, ax = plot.subplots()
means = {name: np.exp(np.log(found).mean(axis=0)) for name, found in norms.items()}
plot.curves(ax, range(T), means, legend="lower left", marker=None)
ax.set(yscale="log", xlabel="steps back from the last", ylabel=r"$|\partial L/\partial x_t|$ relative to the last step",
       title="An open gate keeps the way back open")
lesson.save(fig, "csc321_rnn-jacobian_gates")

# %% [markdown]
# ## Does it matter? Remember the first of T numbers
# The first input is one of 4 symbols, then come T - 1 blanks of noise, and at the end the net must say which it was.
# Chance is 25 %. Each net sees 150 batches.

# %%
delays, steps, seeds = ([8, 32], 40, 1) if lesson.quick else ([5, 15, 45], 150, 3)


class Recall(nn.Module):
    """Scores of the 4 symbols, from the state after the last input."""

    def __init__(self, layer, readout):
        self.layer, self.readout = layer, readout

    def forward(self, x):
        return self.readout(self.layer(x)[0][:, -1])


def recall(cell, bias, T, seed):
    """Accuracy on 500 fresh sequences after training."""
    rng = np.random.default_rng(seed)
    net = Recall(made(cell, bias, 5, 24, rng), Linear(24, 4, rng=rng))

    def batch(rng, B=32):
        t = rng.integers(4, size=B)
        x = np.zeros((B, T, 5), np.float32)
        x[np.arange(B), 0, t] = 1
        x[:, 1:, 4] = rng.normal(size=(B, T - 1))
        return x, t

    fit(net, lambda net, x, t: cross_entropy(net(x), t), Generated(batch, steps), optim.Adam(net.parameters(), lr=0.01),
        steps=steps, clip=1, rng=seed, progress=False)
    x, t = batch(rng, 500)
    with tn.no_grad():
        return (net(x).data.argmax(axis=1) == t).mean()


remembered = {name: np.array([[recall(*kind, T, lesson.seed + s) for T in delays] for s in range(seeds)])
              for name, kind in kinds.items()}
for name, found in remembered.items():
    lesson.number(f"{name}: remembered over {delays[-1]} steps, {seeds} seeds", np.sort(found[:, -1]), 0.25, "chance")

# %%
fig, ax = plot.subplots()
for i, (name, found) in enumerate(remembered.items()):
    for row, place in enumerate(found.T):
        ax.bar(row + (i - 2) * 0.16, place.mean(), 0.15, color=plot.COLOURS[i], label=name if row == 0 else None)
        ax.plot([row + (i - 2) * 0.16] * seeds, place, "o", color="black", markersize=3.5)
ax.axhline(0.25, color="black", linestyle=":")
ax.set_xticks(range(len(delays)), [f"T = {T}" for T in delays])
ax.legend(ncols=3, loc="upper center", fontsize=10)
ax.set(xlabel="length of the sequence", ylabel="share remembered (dots: seeds)", ylim=(0, 1.3),
       title=f"The first of T inputs, after {steps} batches ({seeds} seeds)")
lesson.save(fig, "csc321_rnn-jacobian_recall")

# %% [markdown]
# ## lm, stacked: a net that writes
# The net reads letter after letter and scores the next one. Its state goes on from piece to piece of the text, its
# gradient stops at the piece's beginning (truncated backpropagation): `run(x, detached(state))` in `Carried`.
# **stacked**: one layer, and two layers with about as many numbers to learn:
# $$h^l_t = \mathrm{GRU}_l(h^{l-1}_t, h^l_{t-1})$$
# On so little text the second layer brings nothing.

# %%
text = shakespeare()
letters = Characters(text)
train, held_out = (letters.encode(part) for part in split(text[:30_000] if lesson.quick else text))


def learn(layers, width, epochs, seed, B=32, T=48):
    """(net, steps, validation loss in nats after each epoch, in pieces that begin with an empty state)."""
    net, pieces = LanguageModel(len(letters), 48, width, layers=layers, rng=seed), Streams(train, B, T)
    history = fit(Carried(net, B), Carried.loss, pieces, optim.Adam(net.parameters(), lr=4e-3), epochs=epochs, clip=1,
                  val=Windows(held_out[:6000], 256, 8), schedule=lambda t: 1 - t / epochs, progress=False)
    return net, len(pieces) * np.array(history["epoch"]), history["val_loss"]


epochs = 1 if lesson.quick else 3
shapes = {"one layer of 112": (1, 112), "two layers of 76": (2, 76)}
learnt = {name: [learn(*shape, epochs, lesson.seed + s) for s in range(seeds)] for name, shape in shapes.items()}
for name, found in learnt.items():
    lesson.number(f"{name}: parameters", sum(p.size for p in found[0][0].parameters()))
    lesson.number(f"{name}: validation loss in nats, {seeds} seeds", [nats(net, held_out[:6000]) for net, *_ in found],
                  np.log(len(letters)), "all letters alike")

# %%
fig, ax = plot.subplots()
for i, (name, found) in enumerate(learnt.items()):
    curves = np.array([curve for *_, curve in found])
    ax.plot(found[0][1], curves.mean(axis=0), label=name, marker=plot.MARKERS[i])
    ax.fill_between(found[0][1], curves.min(axis=0), curves.max(axis=0), color=plot.COLOURS[i], alpha=0.15)
ax.set(xlabel="step", ylabel="validation loss (nats a letter)",
       title=f"Shakespeare, letter by letter, in pieces of 48 (band: {seeds} seeds)")
ax.legend()
lesson.save(fig, "csc321_lm_characters")

# %% [markdown]
# ## generate: the temperature
# $p_c \propto \exp(s_c / \tau)$: cold samples repeat what is frequent, hot ones are noise.

# %%
net = learnt["one layer of 112"][0][0].eval()
for temperature in (0.3, 0.7, 1.0, 1.5, 4.0):
    written, = generate(net, [letters.encode("ROMEO:\n")], 60 if lesson.quick else 160,
                        Sampled(temperature, rng=lesson.seed))
    print(f"  --- temperature {temperature}\n  {letters.decode(written)!r}")

# %%
last = {name: found[:, -1].mean() for name, found in remembered.items()}
lesson.shown(f"untrained, a gradient keeps {factors['RNN']:.2f} of itself a step in an RNN, "
             f"{factors['GRU, z bias 0']:.2f} in a GRU, {factors['GRU, z bias 3']:.2f} in a GRU with an open gate; "
             f"over {delays[-1]} steps they remember "
             f"{last['RNN']:.0%}, {last['GRU, z bias 0']:.0%} and {last['GRU, z bias 3']:.0%} (chance 25%)")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.sequences.gru import gru_forward
# from tinynet.blocks.sequences.rnn import rnn_backward, rnn_forward
#
# x, one, none = np.zeros((1, 20, 1)), np.ones((1, 1)), np.zeros(1)
#
#
# def kept(u, h0):
#     """What is left after 20 steps of h0's gradient, in an RNN of one unit without input."""
#     y, cache = rnn_forward(x, one, u * one, none, h0 * one)
#     dy = np.zeros(y.shape)
#     dy[0, -1] = 1
#     return rnn_backward(dy, cache)[4].item()
#
#
# def gru(bias):
#     """The state after 20 steps from 0.5, all weights 0: the update gate alone decides."""
#     b = np.array([0.0, bias, 0.0])
#     return gru_forward(x, np.zeros((1, 3)), np.zeros((1, 3)), b, none, 0.5 * one)[0][0, -1, 0]
# ```
#
# **1.** One unit, u = 0.5, the state starts at 0: what is left of the gradient after 20 steps?
#
# <details><summary>Answer</summary>
#
# 0.5 to the power of 20.
#
# ```python
# kept(0.5, 0.0)      # -> 9.5e-7
# ```
#
# </details>
#
# **2.** And u = 2?
#
# <details><summary>Answer</summary>
#
# 2 to the power of 20: it explodes.
#
# ```python
# kept(2.0, 0.0)      # -> 1048576
# ```
#
# </details>
#
# **3.** u = 2, but the state starts at 1?
#
# <details><summary>Answer</summary>
#
# It vanishes: the state is near its fixed point 0.957, where tanh's slope is 0.083.
#
# ```python
# kept(2.0, 1.0) < 1e-14      # -> True
# ```
#
# </details>
#
# **4.** A GRU with all weights 0, state 0.5, update gate 1/2: the state after 20 steps?
#
# <details><summary>Answer</summary>
#
# Halved in every step.
#
# ```python
# gru(0.0)      # -> 4.8e-7
# ```
#
# </details>
#
# **5.** The same with a bias of 5 at the update gate?
#
# <details><summary>Answer</summary>
#
# 0.437: an open gate keeps 0.9933 a step.
#
# ```python
# gru(5.0)      # -> 0.437
# ```
#
# </details>
