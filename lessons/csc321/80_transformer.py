# %% [markdown]
# # The transformer

# %% [markdown]
"""What is left of a net when attention is all it has?

Slides: csc321 transformer, lm, erratum 15
Blocks: multi_head, positions, transformer_block, attention
Run time: 17 s, --quick 4 s (one core)
Figures: csc321_transformer_positions.png, csc321_transformer_heads.png, csc321_lm_transformer.png

Attention sees a set of words. Positions tell it what stands where, a mask keeps it from looking ahead, heads let it
look at several things at once. A small one learns to write; then its heads are looked into and its time is measured.
"""

# %%
import time

import numpy as np

import tinynet as tn
from tinynet import optim, plot
from tinynet.blocks.sequences.attention import attention
from tinynet.blocks.sequences.gru import GRU
from tinynet.blocks.sequences.multi_head import MultiHeadAttention
from tinynet.blocks.sequences.positions import rotary, sinusoid
from tinynet.data.shakespeare import shakespeare, split
from tinynet.data.text import Characters
from tinynet.lesson import lesson
from tinynet.models.sequences.generate import Sampled, generate
from tinynet.models.sequences.transformer import GPT
from tinynet.train.batches import Windows
from tinynet.train.loop import fit

rng = np.random.default_rng(lesson.seed)

# %% [markdown]
# ## transformer: heads
# $$Y_m = \mathrm{softmax}\!\left(\frac{Q_m K_m^\top}{\sqrt{d}}\right) V_m,\qquad y = [Y_1 \dots Y_H]\,W_o^\top$$
# Each head has queries, keys and values of its own: C/H features, the m-th part of $x W_{qkv}$.

# %%
net, x = MultiHeadAttention(8, 2, bias=False, rng=0, dtype=float), rng.normal(size=(1, 5, 8))
Q, K, V = np.split(x @ net.qkv.W.data.T, 3, axis=2)
heads = [attention(Q[..., part], K[..., part], V[..., part]).data for part in (slice(0, 4), slice(4, 8))]
gap = abs(np.concatenate(heads, axis=2) @ net.out.W.data.T - net(x).data).max()
assert gap < 1e-12, "two heads by the equation - by the block"

# %% [markdown]
# ## transformer: a set, not a sequence
# Other words in other places: the outputs move with them and are otherwise the same. So the order must be told.

# %%
order = rng.permutation(5)
gap = abs(net(x[:, order]).data - net(x).data[:, order]).max()
assert gap < 1e-12, "outputs of shuffled words - shuffled outputs"

# %% [markdown]
# ## transformer: positions
# $$P_{t,2i} = \sin(t\,\omega_i),\quad P_{t,2i+1} = \cos(t\,\omega_i),\quad \omega_i = 10000^{-2i/D}$$
# Rotary positions turn pairs of features by the same angles: then a query meets a key by their *distance* alone.

# %%
P = sinusoid(100, 64, dtype=float)
lesson.number("|P_t|^2: the same everywhere", [(P ** 2).sum(axis=1).min(), (P ** 2).sum(axis=1).max()], 32, "D / 2")
q, k = rng.normal(size=(2, 1, 64))
products = [(rotary(q, first=t).data @ rotary(k, first=t + 5).data.T).item() for t in (0, 10, 90)]
lesson.number("q at t and k at t + 5, turned: their product at t = 0, 10, 90", products, products[0], "all equal")
assert np.allclose(products, products[0])
fig, (left, right) = plot.subplots(1, 2)
plot.image(left, P, "P", signed=True, aspect="auto")
left.set(xlabel="feature", ylabel="position t", title="Sinusoids")
left.grid(False)
plot.curves(right, range(100), {f"t = {t}": P @ P[t] for t in (20, 50, 80)}, marker=None, legend="upper center")
right.set(ylim=(10, 42), xlabel="position t'", ylabel=r"$P_t \cdot P_{t'}$", title="Near positions are alike")
lesson.save(fig, "csc321_transformer_positions")

# %% [markdown]
# ## lm: a transformer that writes
# Layers of attention and of a small network, each added to what comes in (residual), with the norm before them:
# $$x \leftarrow x + \mathrm{heads}(\mathrm{norm}(x)),\qquad x \leftarrow x + W_2\,\phi(W_1\,\mathrm{norm}(x))$$
# The mask is causal: letter t is scored from letters up to t - 1. The output matrix is the table of letters' vectors.

# %%
text = shakespeare()
letters = Characters(text)
train, held_out = (letters.encode(part) for part in split(text[:40_000] if lesson.quick else text))
T, steps = 32, 30 if lesson.quick else 800
gpt = GPT(len(letters), T, 64, 4, 3, bias=False, rng=lesson.seed)
everything = held_out[:len(held_out) // T * T - T + 1]
windows = np.arange(0, len(everything) - 1, T)[:, None] + np.arange(T)


def losses(rows):
    """Cross-entropy of each of these held-out windows."""
    with tn.no_grad():
        return np.array([gpt.loss(everything[w[None]], everything[w[None] + 1]).item() for w in windows[rows]])


rate = optim.WarmUp(steps // 10, optim.CosineDecay(steps - steps // 10, end=0.1))
adam = optim.Adam(gpt.parameters(), lr=3e-3, betas=(0.9, 0.99))
history = fit(gpt, lambda gpt, *batch: gpt.loss(*batch), Windows(train, T, 16), adam, steps=steps, every=steps // 10,
              schedule=rate, clip=1, val=Windows(held_out[:5000], T, 32), rng=lesson.seed, progress=False)
each = losses(slice(None))
lesson.number("parameters", sum(p.size for p in gpt.parameters()))
lesson.number(f"validation loss, all {len(each)} windows, nats", each.mean(), np.log(len(letters)), "all letters alike")

# %% [markdown]
# **Erratum 15.** nanoGPT's README gives 1.88 for its small model: one estimate on 240 windows. How much does such an
# estimate scatter? Drawn 200 times from the windows above:

# %%
draws = [rng.choice(each, 240).mean() for _ in range(200)]
lesson.number("240 windows: standard deviation of the estimate", np.std(draws), 0.015, "measured for nanoGPT")
written, = generate(gpt, [letters.encode("ROMEO:\n")], 40 if lesson.quick else 200, Sampled(0.8, rng=lesson.seed))
print(f"  --- temperature 0.8\n  {letters.decode(written)!r}")
fig, ax = plot.subplots()
plot.curves(ax, history["step"], {"training": history["loss"], "held-out windows": history["val_loss"]},
            legend="center right")
ax.axhline(np.log(len(letters)), color="black", linestyle=":")
ax.text(steps, np.log(len(letters)) - 0.02, "all letters alike", ha="right", va="top")
ax.set(xlabel="step", ylabel="loss (nats a letter)", title="A transformer of 3 layers learns to write")
lesson.save(fig, "csc321_lm_transformer")

# %% [markdown]
# ## What do heads look at?
# The map of every head on held-out text: how much weight is on the letter itself, on the one before, and further back.

# %%
sample = everything[windows[:64]]
maps = gpt.maps(sample).mean(axis=1)                # (layers, heads, T, T)
back = np.array([[[np.diagonal(m, -d)[8:].mean() for d in range(8)] for m in layer] for layer in maps])
previous = back[:, :, 1]
lesson.number("most weight on the letter before, of all heads", previous.max(), 1 / (T / 2), "all letters alike")
fig, (left, right) = plot.subplots(1, 2, width_ratios=(1, 1.15))
layer, head = np.unravel_index(previous.argmax(), previous.shape)
one = gpt.maps(sample[3:4, :20])[layer, 0, head]
signs = [{"\n": "⏎", " ": "␣"}.get(c, c) for c in letters.decode(sample[3, :20])]
plot.image(left, one, "attention weight", vmin=0, vmax=1, aspect="auto")
left.set(xlabel="letter looked at", ylabel="letter read", title=f"Layer {layer + 1}, head {head + 1}")
left.set_xticks(range(20), signs)
left.set_yticks(range(20), signs)
left.grid(False)
flat = back.reshape(-1, 8)
plot.image(right, flat, "mean weight", aspect="auto")
right.set(xlabel="letters back", ylabel="head", title="Where the heads look on average")
right.set_yticks(range(len(flat)), [f"{l + 1}.{h + 1}" for l in range(len(back)) for h in range(back.shape[1])])
right.grid(False)
lesson.save(fig, "csc321_transformer_heads")

# %% [markdown]
# ## Why it parallelises
# A recurrent net needs state t - 1 before it can begin with state t: T products in a row, each small. Attention has all
# of a layer's T positions in one product. The price: T x T weights. Times of one forward and backward pass, batch 1:

# %%


def seconds(run, repeats=3 if lesson.quick else 7):
    """The least of several times of the processor."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


gru, layer = GRU(128, 128, rng=0), MultiHeadAttention(128, 4, causal=True, rng=0)
for length in (16, 64, 256):
    x = rng.normal(size=(1, length, 128)).astype(np.float32)
    ratio = seconds(lambda x=x: gru(x)[0].sum().backward()) / seconds(lambda x=x: layer(x).sum().backward())
    lesson.number(f"T = {length}: time of a GRU layer / of an attention layer", ratio)

# %% [markdown]
# For *writing* it's the other way round: one letter after another. Keys and values of the letters before are kept in
# the state; without them every step would read everything again.

# %%
whole = np.random.default_rng(0).integers(len(letters), size=(1, T - 1))


def without_a_cache():
    with tn.no_grad():
        for t in range(1, T):
            gpt(whole[:, :t])


ratio = seconds(without_a_cache) / seconds(lambda: generate(gpt, [whole[0, :1]], T - 1))
lesson.number(f"writing {T - 1} letters: time without a cache / with it", ratio)

# %%
lesson.shown(f"a transformer of 3 layers gets from {np.log(len(letters)):.2f} to {each.mean():.2f} nats a letter in "
             f"{steps} steps; one head has {previous.max():.0%} of its weight on the letter before")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.sequences.attention import attention_forward
# from tinynet.blocks.sequences.positions import rotary_forward, sinusoid
#
# rng = np.random.default_rng(0)
# x = rng.normal(size=(5, 4))
# ```
#
# **1.** A causal mask: what does the first letter's output depend on?
#
# <details><summary>Answer</summary>
#
# On itself alone, so it is its own value.
#
# ```python
# np.abs(attention_forward(x, x, x, causal=True)[0][0] - x[0]).max()      # -> 0
# ```
#
# </details>
#
# **2.** Keys 1,000 times as long: the largest weight of a row, on average?
#
# <details><summary>Answer</summary>
#
# Nearly 1: the soft look-up becomes hard.
#
# ```python
# attention_forward(x, 1000 * x, np.eye(5))[0].max(axis=1).mean()      # -> 1
# ```
#
# </details>
#
# **3.** |P_t|^2 of sinusoids with 64 features?
#
# <details><summary>Answer</summary>
#
# 32 at every place: a sine and a cosine for each of 32 pairs.
#
# ```python
# (sinusoid(100, 64, dtype=float) ** 2).sum(axis=1)[[0, 50, 99]]      # -> [32, 32, 32]
# ```
#
# </details>
#
# **4.** Rotary positions: how does the length of a vector change?
#
# <details><summary>Answer</summary>
#
# Not at all: it is turned.
#
# ```python
# y = rotary_forward(x)[0]
# np.abs(np.linalg.norm(y, axis=1) - np.linalg.norm(x, axis=1)).max() < 1e-12      # -> True
# ```
#
# </details>
#
# **5.** T = 1,000 letters, 64 features: multiplications for the scores of one head, and of an RNN's 64 x 64 state
# matrix?
#
# <details><summary>Answer</summary>
#
# 64 million and 4 million. Attention's grow with the square of T, but no step waits for another.
#
# ```python
# [1000 * 1000 * 64 / 1e6, 1000 * 64 * 64 / 1e6]      # -> [64, 4.1]
# ```
#
# </details>
