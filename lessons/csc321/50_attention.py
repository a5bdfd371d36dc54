# %% [markdown]
# # Attention is a soft look-up

# %% [markdown]
"""How can a net look something up and still learn by gradient descent?

Slides: csc321 context, score, map, transformer
Blocks: attention, additive_attention
Run time: 3 s, --quick 2 s
Figures: csc321_context_look-up.png, csc321_score_jacobian.png, csc321_map_training.png, csc321_map.png

A dictionary look-up is made soft in three steps. Its equations are compared with the blocks and with measured
gradients. Then two nets learn to look up.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import nn, optim, plot
from tinynet.blocks.sequences.additive_attention import (
    AdditiveAttention,
    additive_attention,
    additive_attention_weights,
)
from tinynet.blocks.sequences.attention import attention, attention_weights
from tinynet.blocks.units.linear import Linear
from tinynet.blocks.units.softmax import softmax_backward, softmax_forward
from tinynet.lesson import lesson
from tinynet.train.batches import Generated, Whole
from tinynet.train.loop import fit

rng = np.random.default_rng(lesson.seed)

# %% [markdown]
# ## csc321 context: a look-up as one would program it (the three-step analogy)
# "Find me an adjective in the input." 1. Find the word that is most likely an adjective. 2. Look it up. 3. Translate
# it with a dictionary. Each word is described by how much it is a determiner, an adjective, a noun, a verb, an adverb.
# The query asks for adjectives.

# %%
words, french = ["the", "old", "dog", "barks", "loudly"], ["le", "vieux", "chien", "aboie", "fort"]
K = np.array([[1, .1, 0, 0, 0], [0, .9, .4, 0, .1], [0, .2, 1, .1, 0], [0, 0, .3, .9, 0], [0, .4, 0, .1, .9]])
q = np.array([0, 1.0, 0, 0, 0])
found = np.argmax(K @ q)                                                # 1. find
word = words[found]                                                     # 2. look up
translation = dict(zip(words, french, strict=True))[word]               # 3. translate
lesson.number(f"the hard look-up finds {word!r}, translated", translation)

# %% [markdown]
# ## csc321 context: the same, softly
# $$\alpha = \operatorname{softmax}(K q / \tau), \qquad c = \sum_j \alpha_j h_j$$
# A softmax finds, a weighted average looks up, a matrix translates. At the temperature $\tau \to 0$ this is the hard
# look-up. The words $h_j$ are one-hot vectors, so the context is a mixture of words, and so is its translation.

# %%
one_hot, dictionary = np.eye(5), np.eye(5)              # row w of the dictionary: its French word
temperatures = np.geomspace(0.02, 20, 13 if lesson.quick else 61)
maps = np.array([attention_weights(q[None], K, scale=1 / tau)[0] for tau in temperatures])      # softly 1
context = maps @ one_hot                                                                        # softly 2
translated = context @ dictionary                                                               # softly 3
lesson.number("weight of the right word at tau = 0.02", maps[0, found], 1, "hard look-up")
lesson.number("weight of the right word at tau = 20", maps[-1, found], 1 / 5, "uniform")
assert french[translated[0].argmax()] == translation

# %% [markdown]
# ## csc321 score: why soft? The hard look-up has no gradient
# $$\frac{\partial c}{\partial q} = \frac{1}{\tau}\, C^T \big(\operatorname{diag}(\alpha) - \alpha \alpha^T\big) K$$
# The rows of $C$ are the words. `argmax` doesn't change when $q$ moves a little. With a small $\tau$ nearly nothing
# changes either.

# %%
jacobians = [one_hot.T @ (np.diag(p) - np.outer(p, p)) @ K / tau for p, tau in zip(maps, temperatures, strict=True)]
sensitivity = np.linalg.norm(jacobians, axis=(1, 2))
lesson.number("|dc/dq| at tau = 0.02", sensitivity[0])
lesson.number("|dc/dq| at its largest, and the tau there", [sensitivity.max(), temperatures[sensitivity.argmax()]])

# %%
fig, (left, right) = plot.subplots(1, 2, height=4.8)
plot.curves(left, temperatures, dict(zip(words, maps.T, strict=True)), legend=None)
left.set(xscale="log", xlabel="temperature τ", ylabel="attention weight α", ylim=(0, 1.02), title="From hard to soft")
plot.curves(right, temperatures, {"|dc/dq|": sensitivity})
right.text(0.02, 0.85 * sensitivity.max(), "τ too small:\nno gradient")
right.text(20, 0.85 * sensitivity.max(), "τ too large:\nno choice", ha="right")
right.set(xscale="log", xlabel="temperature τ", ylabel="norm of dc/dq", ylim=(0, None), title="How much can be learned")
fig.suptitle("“Find me an adjective”")
plot.legend_below(fig, left)
lesson.save(fig, "csc321_context_look-up")

# %% [markdown]
# ## csc321 score: the softmax and its Jacobian
# $$\alpha_{ij} = \frac{\exp e_{ij}}{\sum_{j'} \exp e_{ij'}}, \qquad
# \frac{\partial \alpha_i}{\partial e_j} = \alpha_i\,(1[i = j] - \alpha_j)$$
# One class gains only what the others lose: every row and column sums to 0. The diagonal $p\,(1 - p)$ is largest, 1/4,
# at $p = 1/2$. Like the slope of a sigmoid, it is lost where the softmax is sure.

# %%
e = np.array([1.0, 0.2, 2.0, -0.5, 0.4])
peaks = {tau: softmax_forward(e / tau)[0] for tau in (2.0, 0.7, 0.3)}
jacobians = {tau: np.diag(p) - np.outer(p, p) for tau, p in peaks.items()}
for tau, J in jacobians.items():
    cache = softmax_forward(e / tau)[1]
    np.testing.assert_allclose(J, [softmax_backward(row, cache) for row in np.eye(5)], rtol=0, atol=1e-14)
    np.testing.assert_allclose(J.sum(axis=1), 0, atol=1e-15)
    lesson.number(f"tau = {tau}: largest entry of the Jacobian", J.max(), 0.25, "at most")

# %%
fig, axes = plot.subplots(2, 3, height=6, height_ratios=(1, 1.9))
for (top, below), (tau, p) in zip(axes.T, peaks.items(), strict=True):
    top.bar(range(5), p, color=plot.COLOURS[0])
    top.set(ylim=(0, 1), title=f"τ = {tau:g}", xticks=range(5))
    plot.image(below, 100 * jacobians[tau], signed=True, numbers=".0f", vmin=-25, vmax=25)
    below.set(xlabel="score j", xticks=range(5), yticks=range(5), title=r"$100\;\partial p_i / \partial e_j$")
axes[0, 0].set_ylabel("probability p")
axes[1, 0].set_ylabel("probability i")
lesson.save(fig, "csc321_score_jacobian")

# %% [markdown]
# ## csc321 context: the gradient goes to the weights and to the annotations
# $$c_i = \sum_j \alpha_{ij} h_j, \qquad d\alpha_{ij} = dc_i \cdot h_j, \qquad
# dh_j = \sum_i \alpha_{ij}\, dc_i \text{ (through the mixture)}$$
# In the block attention, $h$ comes as values V, so that dV is the second of them.

# %%
M, N, d = 3, 5, 4
Q, K, h, dc = (rng.normal(size=(n, d)) for n in (M, N, N, M))
_, cache = attention.forward(Q, K, h)
dQ, dK, dh, *_ = attention.backward(dc, cache)
alpha = attention_weights(Q, K)
written = np.einsum("ij,id->jd", alpha, dc)
lesson.number("dh of annotation 0", written[0], dh[0], "block")
np.testing.assert_allclose(dh, written, rtol=1e-12)

# %% [markdown]
# ## csc321 transformer: the score as a dot product
# $$e_{ij} = \frac{q_i \cdot k_j}{\sqrt{d}}, \qquad dq_i = \frac{1}{\sqrt{d}} \sum_j de_{ij}\, k_j, \qquad
# de_{ij} = \alpha_{ij} \Big(d\alpha_{ij} - \sum_{j'} \alpha_{ij'}\, d\alpha_{ij'}\Big)$$
# Queries and keys of $d$ independent entries of variance 1 give dot products of variance $d$. The root brings it back
# to 1, away from the flat ends of the softmax.

# %%
dalpha = np.einsum("id,jd->ij", dc, h)
de = alpha * (dalpha - (alpha * dalpha).sum(axis=1, keepdims=True))
lesson.number("dq of query 0", (de @ K / d ** 0.5)[0], dQ[0], "block")
np.testing.assert_allclose(dQ, de @ K / d ** 0.5, rtol=1e-11)
np.testing.assert_allclose(dK, de.T @ Q / d ** 0.5, rtol=1e-11)
products = (rng.normal(size=(1000, 64)) * rng.normal(size=(1000, 64))).sum(axis=1)
lesson.number("variance of q.k and of q.k / sqrt(d), d = 64", [products.var(), (products / 8).var()], [64, 1], "theory")

# %% [markdown]
# ## csc321 score: the additive score
# $$e_{ij} = v^T \tanh(W s_i + U h_j)$$

# %%
s, W, U, v = rng.normal(size=(M, 3)), rng.normal(size=(6, 3)), rng.normal(size=(6, d)), rng.normal(size=6)
e = np.array([[v @ np.tanh(W @ s_i + U @ h_j) for h_j in h] for s_i in s])
alpha = np.exp(e) / np.exp(e).sum(axis=1, keepdims=True)
lesson.number("alpha of state 0", alpha[0], additive_attention_weights(s, h, W, U, v)[0], "block")
np.testing.assert_allclose(alpha, additive_attention_weights(s, h, W, U, v), rtol=1e-12)
np.testing.assert_allclose(alpha @ h, additive_attention.forward(s, h, W, U, v)[0], rtol=1e-12)
assert tn.gradcheck(attention.forward, attention.backward, Q, K, h).ok
assert tn.gradcheck(additive_attention.forward, additive_attention.backward, s, h, W, U, v).ok

# %% [markdown]
# ## csc321 transformer: masks
# What may not be seen has no influence and gets no gradient. A padded key is hidden from all. A query that may attend
# to nothing fetches zero, not NaN.

# %%
padded = np.concatenate([K, rng.normal(size=(2, d))]), np.concatenate([h, rng.normal(size=(2, d))])
seen = np.arange(N + 2) < N
np.testing.assert_allclose(attention(Q, *padded, seen).numpy(), attention(Q, K, h).numpy(), rtol=1e-13)
assert not attention(Q, K, h, np.zeros((M, N), bool)).numpy().any()
causal = attention_weights(h, h, causal=True)
lesson.number("causal: weights of the third query", causal[2])
assert not np.triu(causal, 1).any()

# %% [markdown]
# ## csc321 map: a look-up task whose right alignment is known
# A sentence of 6 of 12 words, each with a value of 4 numbers. The queries name the same words in French and in another
# order. The net is told the values it should have fetched, never where they stood.

# %%
ENGLISH = "dog cat house tree river stone bread salt night star hand road".split()      # noqa: SIM905
FRENCH = "chien chat maison arbre fleuve pierre pain sel nuit étoile main route".split()    # noqa: SIM905
WORDS, LENGTH, VALUE = 12, 6, 4


def look_up_task(rng, batch):
    """Queries s, annotations h = [word, value], the wanted values, where they stand, and the words."""
    words = np.argsort(rng.random((batch, WORDS)), axis=1)[:, :LENGTH]
    place = np.argsort(rng.random((batch, LENGTH)), axis=1)
    values = rng.normal(size=(batch, LENGTH, VALUE)).astype(np.float32)
    one_hot = np.eye(WORDS, dtype=np.float32)
    s = one_hot[np.take_along_axis(words, place, 1)]            # the French words, in the order of the queries
    h = np.concatenate([one_hot[words], values], axis=2)
    return s, h, np.take_along_axis(values, place[..., None], 1), place, words


# %% [markdown]
# Two nets, which differ only in their score.

# %%
class DotProductLookUp(nn.Module):
    """c = softmax((Wq s) . (Wk h) / sqrt(d)) h"""

    def __init__(self, d, rng):
        self.Wq, self.Wk = Linear(WORDS, d, bias=False, rng=rng), Linear(WORDS + VALUE, d, bias=False, rng=rng)

    def forward(self, s, h):
        return attention(self.Wq(s), self.Wk(h), h)

    def map(self, s, h):
        return attention_weights(self.Wq(s).numpy(), self.Wk(h).numpy())


class AdditiveLookUp(AdditiveAttention):
    """c = softmax(v . tanh(W s + U h)) h"""

    def map(self, s, h):
        return additive_attention_weights(s, h, self.W.numpy(), self.U.numpy(), self.v.numpy())


# %% [markdown]
# Every step draws a new batch of sentences. The loss is the squared error between the value fetched and the value
# wanted. Every tenth step the nets look for the places of 100 new sentences, which nobody ever tells them.

# %%
def squared_error(net, s, h, wanted, *_):
    return ((net(s, h)[..., WORDS:] - wanted) ** 2).mean()


def alignment(net, s, h, wanted, place, words):
    return (net.map(s, h).argmax(axis=-1) == place).mean()


def train(net, seed, steps, batch=32):
    """The net, the mean loss of every ten steps, and the alignment accuracy at the start and after every ten."""
    new = look_up_task(np.random.default_rng(seed + 200), 100)
    at_the_start = alignment(net, *new)
    history = fit(net, squared_error, Generated(lambda rng: look_up_task(rng, batch), 10),
                  optim.Adam(net.parameters(), lr=0.01), steps=steps, every=10, rng=seed + 100,
                  val=Whole(new, 100), metrics={"alignment": alignment}, progress=False)
    return net, history["loss"], [at_the_start, *history["val_alignment"]]


# %%
steps, seeds = 80 if lesson.quick else 200, lesson.seed + np.arange(1 if lesson.quick else 4)
kinds = {"dot product": lambda seed: DotProductLookUp(16, np.random.default_rng(seed)),
         "additive": lambda seed: AdditiveLookUp(WORDS, WORDS + VALUE, 32, rng=seed)}
runs = {name: [train(make(seed), seed, steps) for seed in seeds] for name, make in kinds.items()}
losses, accuracies = ({name: np.mean([run[k] for run in of_kind], axis=0) for name, of_kind in runs.items()}
                      for k in (1, 2))
for name in kinds:
    lesson.number(f"{name}: alignment accuracy before training", accuracies[name][0], 1 / LENGTH, "chance")
    lesson.number(f"{name}: alignment accuracy after {steps} steps", accuracies[name][-1], 1, "right")

# %%
fig, (left, right) = plot.subplots(1, 2, height=4.6)
plot.curves(left, range(10, steps + 1, 10), losses, legend=None)
plot.curves(right, range(0, steps + 1, 10), accuracies, legend=None)
for ax, level, name in ((left, 1 - 1 / LENGTH, "all words alike"), (right, 1 / LENGTH, "chance, 1/6")):
    ax.axhline(level, color=plot.GREY, linestyle=":")
    ax.text(steps, level + 0.02, name, ha="right", color="#555555")
left.set(xlabel="training step", ylabel="squared error, mean of ten steps", ylim=(0, None), title="The value fetched")
right.set(xlabel="training step", ylabel="alignment accuracy", ylim=(0, 1.03), title="The place found (never told)")
fig.suptitle(f"Mean of {len(seeds)} seeds")
plot.legend_below(fig, left)
lesson.save(fig, "csc321_map_training")

# %% [markdown]
# ## csc321 map: the picture of alpha
# "Nothing forces the model to go linearly through the input": the queries come in any order. A ring marks the right
# place.

# %%
s, h, _, place, sentence = look_up_task(np.random.default_rng(lesson.seed + 300), 1)
pictures = {name: of_kind[0][0].map(s, h)[0] for name, of_kind in runs.items()}
fig, axes = plot.subplots(1, 2, sharey=True, height=4.8)
for ax, (name, alpha) in zip(axes, pictures.items(), strict=True):
    picture = plot.image(ax, alpha, vmin=0, vmax=1)
    ax.plot(place[0], range(LENGTH), "o", markersize=16, markerfacecolor="none", color=plot.COLOURS[1], linestyle="")
    ax.set(title=name, xticks=range(LENGTH), yticks=range(LENGTH), xlabel="input")
    ax.set_xticklabels([ENGLISH[w] for w in sentence[0]], rotation=45, ha="right", rotation_mode="anchor")
axes[0].set(ylabel="query", yticklabels=[FRENCH[w] for w in sentence[0][place[0]]])
fig.colorbar(picture, ax=axes, label="attention weight α", shrink=0.8)
lesson.save(fig, "csc321_map")
for name, alpha in pictures.items():
    lesson.number(f"{name}: mean weight on the right place", alpha[np.arange(LENGTH), place[0]].mean(), 1, "right")
lesson.shown(f"told only the values, dot-product and additive scores find the right place in "
             f"{min(values[-1] for values in accuracies.values()):.0%} of look-ups (chance {1 / LENGTH:.0%}, "
             f"mean of {len(seeds)} seeds)")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.sequences.attention import attention_forward
# from tinynet.blocks.units.softmax import softmax_backward, softmax_forward
#
# rng = np.random.default_rng(0)
# Q, K, V, p = rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), rng.normal(size=(5, 2)), rng.permutation(5)
# ```
#
# **1.** Add 1000 to all scores: what changes?
#
# <details><summary>Answer</summary>
#
# Nothing.
#
# ```python
# softmax_forward(np.array([1.0, 2, 3]))[0] - softmax_forward(np.array([1001.0, 1002, 1003]))[0]      # -> [0, 0, 0]
# ```
#
# </details>
#
# **2.** dy = (1, 1, 1): dx?
#
# <details><summary>Answer</summary>
#
# 0, because the weights always sum to 1.
#
# ```python
# softmax_backward(np.ones(3), softmax_forward(np.array([1.0, 2, 3]))[1])      # -> [0, 0, 0]
# ```
#
# </details>
#
# **3.** All keys are equal: what comes out?
#
# <details><summary>Answer</summary>
#
# The mean of the values.
#
# ```python
# attention_forward(Q, np.tile(K[:1], (5, 1)), V)[0] - V.mean(axis=0)      # -> np.zeros((3, 2))
# ```
#
# </details>
#
# **4.** Keys and values are shuffled together: what changes?
#
# <details><summary>Answer</summary>
#
# Nothing: attention sees a set.
#
# ```python
# attention_forward(Q, K[p], V[p])[0] - attention_forward(Q, K, V)[0]      # -> np.zeros((3, 2))
# ```
#
# </details>
#
# **5.** Scores times 0, 1, 100: the largest weight?
#
# <details><summary>Answer</summary>
#
# At 100 it no longer learns: hence the 1 / sqrt(d).
#
# ```python
# [softmax_forward(c * np.array([1.0, 2, 3]))[0].max() for c in (0, 1, 100)]      # -> [1 / 3, 0.665, 1]
# ```
#
# </details>
