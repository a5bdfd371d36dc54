"""How can a net look something up and still learn by gradient descent?

Slides: csc321 context, score, map, transformer
Blocks: attention, additive_attention
Run time: 2 s, --quick 2 s (two cores)
Figures: csc321_context_look-up.png, csc321_score_jacobian.png, csc321_map_training.png, csc321_map.png

A dictionary look-up is made soft in three steps, its equations are checked three ways (by the
formula, by the engine from elementary ops, by finite differences), and two nets learn to look up.
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
from tinynet.lesson import lesson

rng = np.random.default_rng(lesson.seed)

# %% A look-up as one would program it (csc321, the three-step analogy)
# "Find me an adjective in the input."  1. find the word that is most likely an adjective,
# 2. look it up, 3. translate it with a dictionary.  Each word is described by how much it is a
# determiner, an adjective, a noun, a verb, an adverb; the query asks for adjectives.
words, french = ["the", "old", "dog", "barks", "loudly"], ["le", "vieux", "chien", "aboie", "fort"]
K = np.array([[1, .1, 0, 0, 0], [0, .9, .4, 0, .1], [0, .2, 1, .1, 0], [0, 0, .3, .9, 0], [0, .4, 0, .1, .9]])
q = np.array([0, 1.0, 0, 0, 0])
found = np.argmax(K @ q)                                # 1. find
word = words[found]                                     # 2. look up
translation = dict(zip(words, french, strict=True))[word]               # 3. translate
lesson.number(f"the hard look-up finds {word!r}, translated", translation)

# %% The same, softly: a softmax finds, a weighted average looks up, a matrix translates
# The attention weights are softmax(K q / tau); at temperature tau -> 0 this is the hard look-up.
# The words are one-hot vectors, so the context is a mixture of words, and so is its translation.
one_hot, dictionary = np.eye(5), np.eye(5)              # row w of the dictionary: its French word
temperatures = np.geomspace(0.02, 20, 13 if lesson.quick else 61)
maps = np.array([attention_weights(q[None], K, scale=1 / tau)[0] for tau in temperatures])     # soft 1
context = maps @ one_hot                                # soft 2
translated = context @ dictionary                       # soft 3
lesson.number("weight of the right word at tau = 0.02", maps[0, found], 1, "hard look-up")
lesson.number("weight of the right word at tau = 20", maps[-1, found], 1 / 5, "all words alike")
assert french[translated[0].argmax()] == translation

# %% Why soft?  The hard look-up has no gradient: argmax doesn't change when q moves a little
# How much the context moves with the query: the norm of dc/dq = C'(diag(p) - p p') K / tau.
softmax_jacobians = [np.diag(p) - np.outer(p, p) for p in maps]
sensitivity = np.array([np.linalg.norm(J @ K) / tau for J, tau in zip(softmax_jacobians, temperatures, strict=True)])
lesson.number("|dc/dq| at tau = 0.02: nearly nothing to learn from", sensitivity[0], 0, "hard look-up")
lesson.number("|dc/dq| at its largest", sensitivity.max())
lesson.number("reached at the temperature tau", temperatures[sensitivity.argmax()])

# %%
fig, (left, right) = plot.subplots(1, 2, figsize=(11, 4.2))
plot.curves(left, temperatures, dict(zip(words, maps.T, strict=True)))
left.set(xscale="log", xlabel="temperature τ", ylabel="attention weight α", ylim=(0, 1.02),
         title="“Find me an adjective”: hard → soft")
plot.curves(right, temperatures, {"|dc/dq|": sensitivity})
right.set(xscale="log", xlabel="temperature τ", ylabel="norm of dc/dq", ylim=(0, None),
          title="Only the soft look-up has a gradient")
lesson.save(fig, "csc321_context_look-up")

# %% Three ways to a gradient
# `explicit` is the formula on the slide or its derivative, written in NumPy; `engine` takes the
# forward apart into elementary ops and walks back; `numeric` moves every entry by h.  L = sum dY Y.


def numeric(f, x, h=1e-6):
    """Central differences of the number f(x), entry by entry."""
    moves = np.eye(x.size).reshape(x.size, *x.shape) * h
    return np.array([(f(x + m) - f(x - m)) / (2 * h) for m in moves]).reshape(x.shape)


def three_ways(label, forward, explicit, *arrays):
    """forward(*tensors) -> L from elementary ops; explicit holds one gradient for each array."""
    tensors = [tn.Tensor(a, requires_grad=True) for a in arrays]
    forward(*tensors).backward()
    gaps = np.zeros(2)
    for i, (t, g) in enumerate(zip(tensors, explicit, strict=True)):
        moved = numeric(lambda x, i=i: forward(*map(tn.Tensor, (*arrays[:i], x, *arrays[i + 1:]))).item(), arrays[i])
        gaps = np.maximum(gaps, [abs(g - t.grad).max(), abs(g - moved).max()])
    lesson.number(f"{label}: explicit - engine, - numeric", gaps, 0, "all equal")
    assert gaps[0] < 1e-12
    assert gaps[1] < 1e-7


def softmax(e):
    """Over the last axis, from elementary ops on tensors."""
    exponentials = (e - e.max(axis=-1, keepdims=True).detach()).exp()
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


# %% csc321 score: alpha_ij = exp e_ij / sum_j' exp e_ij', so d alpha = (diag(alpha) - alpha alpha') de
M, N = 3, 5
e, dalpha = rng.normal(size=(2, M, N))
alpha = np.exp(e) / np.exp(e).sum(axis=1, keepdims=True)
de = np.array([(np.diag(p) - np.outer(p, p)) @ d for p, d in zip(alpha, dalpha, strict=True)])
three_ways("softmax", lambda e: (softmax(e) * dalpha).sum(), [de], e)

# %% The Jacobian pictured: one class gains only what the others lose
# Every row and column sums to 0.  The diagonal p (1 - p) is largest, 1/4, at p = 1/2: like
# sigmoid', the gradient is lost where the softmax is sure.
scores = np.array([1.0, 0.2, 2.0, -0.5, 0.4, -1.0])
peaks = {tau: attention_weights(np.ones((1, 1)), scores[:, None] / tau)[0] for tau in (2.0, 0.7, 0.3)}
jacobians = {tau: np.diag(p) - np.outer(p, p) for tau, p in peaks.items()}
three = np.array(list(jacobians.values()))
lesson.number("largest |sum of a row|", abs(three.sum(axis=2)).max(), 0, "probabilities add up to 1")
lesson.number("largest entry", three.max(), 0.25, "at most")
lesson.number("norm of J at tau = 2, 0.7, 0.3", [np.linalg.norm(J) for J in three])

# %%
fig, axes = plot.subplots(2, 3, figsize=(11, 6.4), height_ratios=(1, 1.6))
for (top, below), (tau, p) in zip(axes.T, peaks.items(), strict=True):
    top.bar(range(6), p, color=plot.COLOURS[0])
    top.set(ylim=(0, 1), ylabel="probability p", title=f"τ = {tau:g}", xticks=range(6))
    plot.image(below, jacobians[tau], r"$\partial p_i / \partial e_j$", signed=True, aspect="auto", vmin=-1/4, vmax=1/4)
    below.set(xlabel="score j", ylabel="probability i", xticks=range(6), yticks=range(6))
lesson.save(fig, "csc321_score_jacobian")

# %% A trap: a loss that sums the probabilities can't see a wrong softmax
# sum_j p_j = 1 whatever the scores are, so its gradient is 0 - and a backward that returns zeros
# passes.  That is why every check here weighs the outputs with random dY.
lesson.number("largest gradient of sum_j p_j", abs(three.sum(axis=1)).max(), 0, "always")

# %% csc321 context: c_i = sum_j alpha_ij h_j, so d alpha_ij = dc_i . h_j and dh_j = sum_i alpha_ij dc_i
h, dc = rng.normal(size=(N, 4)), rng.normal(size=(M, 4))
explicit = np.einsum("id,jd->ij", dc, h), np.einsum("ij,id->jd", alpha, dc)
three_ways("context", lambda alpha, h: ((alpha @ h) * dc).sum(), explicit, alpha, h)

# %% csc321 score, additive: e_ij = v . tanh(W s_i + U h_j)
# With t = tanh(z): dz_ij = de_ij v (1 - t^2), and z is fed by W s_i for all j and by U h_j for all i.
s, W, U, v = rng.normal(size=(M, 3)), rng.normal(size=(6, 3)), rng.normal(size=(6, 4)), rng.normal(size=6)
t = np.tanh((s @ W.T)[:, None] + h @ U.T)
dz = de[..., None] * v * (1 - t ** 2)
explicit = (np.einsum("ija,ap->ip", dz, W), np.einsum("ija,aq->jq", dz, U), np.einsum("ija,ip->ap", dz, s),
            np.einsum("ija,jq->aq", dz, h), np.einsum("ij,ija->a", de, t))


def tanh(z):
    return 1 - 2 / ((2 * z).exp() + 1)


def scores_of(s, h, W, U, v):
    return tanh((s @ W.T)[:, None, :] + (h @ U.T)[None, :, :]) @ v


three_ways("additive score", lambda *x: (scores_of(*x) * de).sum(), explicit, s, h, W, U, v)

# %% csc321 transformer: the score as a dot product, e_ij = q_i . k_j / sqrt(d)
# Queries and keys of d independent entries of variance 1 give dot products of variance d; the root
# brings it back to 1, away from the flat ends of the softmax.
Q, K, V = rng.normal(size=(M, 4)), rng.normal(size=(N, 4)), rng.normal(size=(N, 4))
three_ways("dot-product score", lambda Q, K: ((Q @ K.T) * 0.5 * de).sum(), [de @ K * 0.5, de.T @ Q * 0.5], Q, K)
products = (rng.normal(size=(1000, 64)) * rng.normal(size=(1000, 64))).sum(axis=1)
lesson.number("variance of q.k and of q.k / sqrt(d), d = 64", [products.var(), (products / 8).var()], [64, 1], "theory")

# %% The whole blocks, held against the same put together from elementary ops
for name, block, parts, arrays in (
        ("attention", attention, lambda Q, K, V: softmax(Q @ K.T * 0.5) @ V, (Q, K, V)),
        ("additive_attention", additive_attention, lambda s, h, *p: softmax(scores_of(s, h, *p)) @ h, (s, h, W, U, v))):
    tensors = [tn.Tensor(a, requires_grad=True) for a in arrays]
    (block(*tensors) * dc).sum().backward()
    three_ways(name, lambda *x, parts=parts: (parts(*x) * dc).sum(), [t.grad for t in tensors], *arrays)

# %% Masks: what may not be seen has no influence and gets no gradient
# A padded key is hidden from all; a query that may attend to nothing fetches zero, not NaN.
padded = np.concatenate([K, rng.normal(size=(2, 4))]), np.concatenate([V, rng.normal(size=(2, 4))])
seen = np.arange(N + 2) < N
gap = abs(attention(Q, *padded, seen).numpy() - attention(Q, K, V).numpy()).max()
blind = abs(attention(Q, K, V, np.zeros((M, N), bool)).numpy()).max()
ahead = np.triu(attention_weights(V, V, causal=True), 1).max()
lesson.number("padding hidden by a mask changes the output by", gap, 0, "a mask")
lesson.number("largest output of queries that may see nothing", blind, 0, "a mask")
lesson.number("causal: weight on keys that lie ahead", ahead, 0, "csc321 transformer")

# %% A look-up task whose right alignment is known
# An input of 6 of 12 words, each with a value of 4 numbers; the queries name the same words in
# another language (a fixed, unknown permutation) and another order.  The net is told the values it
# should have fetched, never where they stood.
WORDS, LENGTH, VALUE = 12, 6, 4
other_language = rng.permutation(WORDS)


def look_up_task(rng, batch):
    """Queries s, annotations h = [word, value], the wanted values, and where they stand."""
    words = np.argsort(rng.random((batch, WORDS)), axis=1)[:, :LENGTH]
    place = np.argsort(rng.random((batch, LENGTH)), axis=1)
    values = rng.normal(size=(batch, LENGTH, VALUE))
    one_hot = np.eye(WORDS)
    s = one_hot[other_language[np.take_along_axis(words, place, 1)]]
    h = np.concatenate([one_hot[words], values], axis=2)
    wanted = np.take_along_axis(values, place[..., None], 1)
    return s.astype(np.float32), h.astype(np.float32), wanted.astype(np.float32), place


# %% Two nets, which differ only in their score


class DotProductLookUp(nn.Module):
    """c = softmax((Wq s)(Wk h)' / sqrt(d)) h"""

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


# %% Training: mean squared error between the value fetched and the value wanted


def train(net, steps, batch=32):
    """Losses and alignment accuracies on 100 held-out inputs, every step and every tenth."""
    rng, adam = np.random.default_rng(lesson.seed + 1), optim.Adam(net.parameters(), lr=0.01)
    s_new, h_new, _, place_new = look_up_task(np.random.default_rng(lesson.seed + 2), 100)
    losses, accuracies = [], []
    for step in range(steps + 1):
        if step % 10 == 0:
            accuracies.append((net.map(s_new, h_new).argmax(axis=-1) == place_new).mean())
        s, h, wanted, _ = look_up_task(rng, batch)
        loss = ((net(s, h)[..., WORDS:] - wanted) ** 2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses, accuracies


# %%
steps = 120 if lesson.quick else 200
weights = np.random.default_rng(lesson.seed)
nets = {"dot product": DotProductLookUp(16, weights), "additive": AdditiveLookUp(WORDS, WORDS + VALUE, 32, rng=weights)}
history = {name: train(net, steps) for name, net in nets.items()}
for name, (losses, accuracies) in history.items():
    lesson.number(f"{name}: alignment accuracy untrained", accuracies[0], 1 / LENGTH, "chance")
    lesson.number(f"{name}: alignment accuracy after {steps} steps", accuracies[-1], 1, "truth")
    lesson.number(f"{name}: squared error after {steps} steps", losses[-1], (LENGTH - 1) / LENGTH, "all words alike")

# %%
fig, (left, right) = plot.subplots(1, 2, figsize=(11, 4.2))
plot.curves(left, range(steps + 1), {name: losses for name, (losses, _) in history.items()})
left.axhline((LENGTH - 1) / LENGTH, color=plot.GREY, linestyle=":")
left.text(steps, (LENGTH - 1) / LENGTH + 0.02, "all words alike", ha="right", color="#555555", fontsize=11)
left.set(xlabel="step", ylabel="mean squared error", ylim=(0, None), title="The value fetched")
plot.curves(right, range(0, steps + 1, 10), {name: acc for name, (_, acc) in history.items()}, legend="center right")
right.axhline(1 / LENGTH, color=plot.GREY, linestyle=":")
right.set(xlabel="step", ylabel="alignment accuracy", ylim=(0, 1.03), title="The place found (never told)")
lesson.save(fig, "csc321_map_training")

# %% csc321 map: the picture of alpha, beside the truth
# "Nothing forces the model to go linearly through the input": the queries come in any order.
s, h, _, place = look_up_task(np.random.default_rng(lesson.seed + 3), 1)
truth = np.eye(LENGTH)[place[0]]
pictures = {"truth": truth} | {name: net.map(s, h)[0] for name, net in nets.items()}
fig, axes = plot.subplots(1, 3, figsize=(12, 4.2), sharey=True)
for ax, (name, picture) in zip(axes, pictures.items(), strict=True):
    plot.image(ax, picture, "attention weight α", vmin=0, vmax=1, aspect="auto")
    ax.set(xlabel="input position j", title=name, xticks=range(LENGTH), yticks=range(LENGTH))
axes[0].set_ylabel("query i")
lesson.save(fig, "csc321_map")
for name in nets:
    lesson.number(f"{name}: mean weight on the right place", (pictures[name] * truth).sum() / LENGTH, 1, "truth")

# %%
lesson.shown(f"told only the values, dot-product and additive scores find the right place in "
             f"{min(acc[-1] for _, acc in history.values()):.0%} of look-ups (chance {1 / LENGTH:.0%})")
