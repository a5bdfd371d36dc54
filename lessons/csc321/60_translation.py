# %% [markdown]
# # Translation with attention

# %% [markdown]
"""How does a net translate a sequence, and why does it need to look back?

Slides: csc321 seq2seq, birnn, context, score, map, length, teacher, erratum 10, erratum 11, erratum 13, erratum 14
Blocks: bidirectional, attention_gru, additive_attention, embedding, cross_entropy
Run time: 22 s, --quick 4 s (one core)
Figures: csc321_length_reversal.png, csc321_map_reversal.png, csc321_map_dates.png, csc321_teacher_exposure.png

An encoder and a decoder learn to read strings backwards, where the right alignment is known, once with attention and
once without.  Then mistakes of public code are executed.  With --data a net learns German to English from Multi30k.
"""

# %%
import time

import numpy as np

import tinynet as tn
from tinynet import ops, optim, plot
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.sequences.additive_attention import additive_attention_weights
from tinynet.blocks.sequences.attention_gru import attention_gru_forward
from tinynet.blocks.sequences.bidirectional import Bidirectional
from tinynet.blocks.sequences.gru import GRU
from tinynet.blocks.sequences.masking import BEGIN, END, tokens
from tinynet.data import toys
from tinynet.data.text import Vocabulary, detokenised, padded, teacher, words
from tinynet.lesson import lesson
from tinynet.metrics import bleu
from tinynet.models.sequences.encoder_decoder import EncoderDecoder
from tinynet.models.sequences.generate import beam_search, best, generate
from tinynet.models.sequences.word_loss import word_loss
from tinynet.train.batches import ByLength, Generated
from tinynet.train.loop import fit

rng = np.random.default_rng(lesson.seed)

# %% [markdown]
# ## birnn: annotations
# A GRU reads forward, another backward, and the annotation of word j is both of their states:
# $$h_j = [\overrightarrow{h}_j; \overleftarrow{h}_j]$$
# The backward one begins at the sentence's own last word, not at the padding behind it.

# %%
net = Bidirectional(GRU(3, 4, rng=0, dtype=float), GRU(3, 4, rng=1, dtype=float))
x = rng.normal(size=(2, 6, 3))
annotations, _ = net(x, mask=tokens([6, 3]))
alone, _ = net(x[1:, :3])
gap = abs(annotations.data[1, :3] - alone.data[0]).max()
assert gap < 1e-12, "annotations of a short sentence, in a batch - alone"

# %% [markdown]
# ## score, context: one step of the decoder, by the equations
# $$e_{ij} = v^\top \tanh(A s_{i-1} + U h_j),\quad \alpha_{ij} = \frac{\exp e_{ij}}{\sum_k \exp e_{ik}},\quad
#   c_i = \sum_j \alpha_{ij} h_j,\quad s_i = \mathrm{GRU}([y_{i-1}; c_i], s_{i-1})$$
# These are the three steps of a look-up, made soft: find (score), look up (context), translate (the output layer).

# %%
h, s0, word = rng.normal(size=(1, 5, 4)), rng.normal(size=(1, 3)), rng.normal(size=(1, 1, 2))
A, U, v = rng.normal(size=(6, 3)), rng.normal(size=(6, 4)), rng.normal(size=6)
e = np.array([v @ np.tanh(A @ s0[0] + U @ h[0, j]) for j in range(5)])
alpha = np.exp(e) / np.exp(e).sum()
context = alpha @ h[0]
gru = [rng.normal(size=s) for s in ((6, 9), (3, 9), 9, 3)]
y, _ = attention_gru_forward(word, h, h @ U.T, A, v, *gru, s0)
assert abs(context - y[0, 0, 3:7]).max() < 1e-12, "context by the equations - by the block"
assert abs(alpha - y[0, 0, 7:]).max() < 1e-12, "weights by the equations - by the block"

# %% [markdown]
# ## seq2seq, length: reading backwards by attention, and by one vector for all
# Strings of 3 to 10 letters. The plain net must carry the whole string in one vector; the other looks back at each
# step. Everything else is equal. A new batch at every step, so that nothing can be learnt by heart.

# %%
letters = Vocabulary(toys.LETTERS)


def encoded(sources, targets):
    """(source, its mask, inputs, targets) of a batch of strings."""
    source, mask = padded([letters.encode(list(s)) for s in sources])
    target, real = padded([letters.encode(list(t)) for t in targets])
    return source, mask, *teacher(target, real)


def learn(net, draw, steps, lr=5e-3, seed=0, loss=EncoderDecoder.loss):
    """Train on a new batch draw(rng) at every step, with a falling learning rate."""
    fit(net, loss, Generated(draw, steps), optim.Adam(net.parameters(), lr=lr), steps=steps,
        schedule=optim.LinearDecay(steps), clip=1, rng=seed, progress=False)
    return net.eval()


def strings(rng):
    return encoded(*toys.reversal(rng, 64))


def written(net, sources, longest=20, vocabulary=letters):
    """What the net writes, greedily, for each of these strings."""
    source, mask = padded([vocabulary.encode(list(s)) for s in sources])
    with tn.no_grad():
        found = generate(net, [[BEGIN]] * len(sources), longest, best, (END,), net.encode(source, mask))
    return ["".join(vocabulary.decode(f)) for f in found]


steps, seeds, lengths = (25, 1, [4, 8]) if lesson.quick else (260, 3, [3, 4, 5, 6, 8, 10, 12, 14])
kinds = {"attention": "before", "no attention": None}


def trained(kind, seed, loss=EncoderDecoder.loss):
    net = EncoderDecoder(len(letters), len(letters), 32, 32, 64, kind, rng=lesson.seed + seed)
    return learn(net, strings, steps, seed=lesson.seed + seed, loss=loss)


def right_strings(net, length):
    sources, targets = toys.reversal(np.random.default_rng(99), 200, length, length)
    return np.mean([a == b for a, b in zip(written(net, sources), targets, strict=True)])


nets = {name: [trained(kind, seed) for seed in range(seeds)] for name, kind in kinds.items()}
exact = {name: np.array([[right_strings(net, length) for length in lengths] for net in found])
         for name, found in nets.items()}
for name, found in exact.items():
    for length in lengths:
        right = np.sort(found[:, lengths.index(length)])
        lesson.number(f"{name}: right strings of {length} letters, {seeds} seeds", right)

# %% [markdown]
# **length**: without attention the share of right strings falls with the length; with it, it stays, up to the lengths
# that were trained. Beyond them both fail: attention by content knows no positions but those that the states count.

# %%
fig, ax = plot.subplots()
plot.curves(ax, lengths, {name: found.mean(axis=0) for name, found in exact.items()}, legend=(0.2, 0.5))
for i, found in enumerate(exact.values()):
    ax.fill_between(lengths, found.min(axis=0), found.max(axis=0), color=plot.COLOURS[i], alpha=0.15)
ax.axvline(10.5, color="black", linestyle=":")
ax.text(10.6, 0.12, "longer than any\ntrained string", fontsize=11)
ax.set(xlabel="letters in the string", ylabel="share of strings read backwards", ylim=(-0.02, 1.04),
       title=f"After {steps} batches (band: {seeds} seeds)")
lesson.save(fig, "csc321_length_reversal")

# %% [markdown]
# **map**: which letter the decoder looks at when it writes each letter. The truth is the other diagonal.

# %%


def draw_map(ax, alpha, source, target):
    """alpha (T, S) with the source's letters along x and the target's along y."""
    plot.image(ax, alpha, "attention weight α", vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(len(source)), source)
    ax.set_yticks(range(len(target)), target)
    ax.grid(False)


source = "attention"
batch = encoded([source], [source[::-1]])
alpha = nets["attention"][0].map(*batch[:3])[0]
right = np.mean([alpha[i, len(source) - 1 - i] for i in range(len(source))])
lesson.number("mean weight on the letter that is written", right, 1, "truth")
fig, ax = plot.subplots(height=5)
draw_map(ax, alpha, [*source, "end"], [*source[::-1], "end"])
ax.set(xlabel="letter read", ylabel="letter written", title="Reading backwards")
lesson.save(fig, "csc321_map_reversal")

# %% [markdown]
# **map of dates**: "the 3rd of june, 1962" becomes 1962-06-03. Nothing forces the net to go through the input in order.

# %%
known = toys.dates(np.random.default_rng(0), 2000)[0]
characters = Vocabulary(sorted({c for date in known for c in date} | set("-0123456789")))


def draw_dates(rng):
    read, write = toys.dates(rng, 48)
    source, mask = padded([characters.encode(list(s)) for s in read])
    return source, mask, *teacher(*padded([characters.encode(list(t)) for t in write]))


net = EncoderDecoder(len(characters), len(characters), 32, 32, 48, "before", rng=lesson.seed)
learn(net, draw_dates, 20 if lesson.quick else 300, 8e-3, lesson.seed)
read, iso = toys.dates(np.random.default_rng(7), 100)
share = np.mean([a == b for a, b in zip(written(net, read, 12, characters), iso, strict=True)])
lesson.number("dates written right", share, 1, "truth")
day, right = "wednesday, 27th june 1962", "1962-06-27"
source, mask = padded([characters.encode(list(day))])
inputs, _ = teacher(*padded([characters.encode(list(right))]))
fig, ax = plot.subplots()
draw_map(ax, net.map(source, mask, inputs)[0], [*(c if c != " " else "␣" for c in day), "end"], [*right, "end"])
ax.set(xlabel="character read", ylabel="character written", title=f"Dates ({share:.0%} right)")
lesson.save(fig, "csc321_map_dates")

# %% [markdown]
# ## teacher: what the decoder is given
# While training it gets the *right* letter before, moved by one: inputs `begin a b c`, targets `a b c end`.
# **Erratum 13**: not moved, the input *is* the answer, and the loss falls to 0 with nothing learnt (the next lesson
# does it). **Erratum 14**: a score of outputs that were written with the right letter before them is not the score of
# what the net writes.
# Where a net errs, its own letters lead it further astray (exposure bias); where it doesn't err there is no such bias.

# %%
sources, targets = toys.reversal(np.random.default_rng(5), 400, 8, 8)
batch = encoded(sources, targets)


def letters_right(net):
    """(2, 8) the share of right letters at each of 8 places: given the right letters before, and its own."""
    with tn.no_grad():
        forced = net.output(net(*batch[:3])).data.argmax(axis=2)[:, :8] == batch[3][:, :8]
    own = np.array([[a == b for a, b in zip(o.ljust(8), t, strict=False)] for o, t in
                    zip(written(net, sources, 8), targets, strict=True)])
    return np.array([forced.mean(axis=0), own.mean(axis=0)])


shares = {name: np.array([letters_right(net) for net in found]) for name, found in nets.items()}
for name, found in shares.items():
    lesson.number(f"{name}: letters right, given the right ones, {seeds} seeds", found[:, 0].mean(axis=1))
    lesson.number(f"{name}: letters right, given its own, {seeds} seeds", found[:, 1].mean(axis=1))

# %%
fig, ax = plot.subplots()
GIVEN = "right letters before", "its own letters before"
curves = {f"{name}, {given}": found[:, i].mean(axis=0) for name, found in shares.items()
          for i, given in enumerate(GIVEN)}
plot.curves(ax, range(1, 9), curves, legend=(0.02, 0.6))
ax.set(xlabel="place in the output", ylabel="share of right letters", ylim=(0, 1.04),
       title=f"Strings of 8 letters: exposure bias exists where a net errs ({seeds} seeds)")
lesson.save(fig, "csc321_teacher_exposure")

# %% [markdown]
# **The ratio** of teacher forcing: with this chance the letter before is the right one, else the decoder's own. A net
# without attention that was trained at 0.5 has met its own mistakes, so the two shares above come near each other. It
# pays twice: all steps at once become a loop, since a letter must be written before it can be read, and in as many
# batches it learns less.

# %%
RATIO = 0.5


def loss_by_steps(net, source, mask, inputs, targets, rng=rng):
    """The loss where each letter before is the right one with the chance RATIO, else the net's own."""
    state, given, features = net.encode(source, mask), inputs[:, 0], []
    for after in [*inputs.T[1:], None]:
        state = net.step(given, state)
        features.append(state[1])
        if after is not None:
            given = np.where(rng.random(len(after)) < RATIO, after, net.scores(state).argmax(axis=1))
    return word_loss(ops.stack(*features, axis=1), net.output.W, net.output.b, targets)


def seconds(loss, repeats=3 if lesson.quick else 7):
    """The least time of the processor for a forward and a backward pass."""
    found, data = [], strings(np.random.default_rng(0))
    for _ in range(repeats):
        start = time.process_time()
        loss(nets["no attention"][0], *data).backward()
        found.append(time.process_time() - start)
    return min(found)


mixed = [trained(None, seed, loss_by_steps) for seed in range(seeds)]
both = {1: (nets["no attention"], shares["no attention"]), RATIO: (mixed, np.array([letters_right(n) for n in mixed]))}
for ratio, (found, right) in both.items():
    lesson.number(f"ratio {ratio}: letters right, given the right ones, less given its own",
                  (right[:, 0] - right[:, 1]).mean(axis=1))
    lesson.number(f"ratio {ratio}: right strings of {lengths[0]} letters",
                  [right_strings(net, lengths[0]) for net in found])
lesson.number(f"time of a batch, ratio {RATIO} / ratio 1", seconds(loss_by_steps) / seconds(EncoderDecoder.loss))

# %% [markdown]
# ## score, errata 10 and 11: attention as some public code has it
# Without a mask padding gets weight, so the map of a sentence depends on the batch it stands in. A softmax over the
# *features* inside the score and a relu in place of the softmax over positions: weights that don't sum to 1.

# %%
short, long = "abc", "abcdefghij"
alone, together = encoded([short], [short]), encoded([short, long], [short, long])
masked = [nets["attention"][0].map(b[0], b[1], b[2][:, :3])[0, :, :4] for b in (alone, together)]
unmasked = [nets["attention"][0].map(b[0], None, b[2][:, :3])[0, :, :4] for b in (alone, together)]
assert abs(masked[0] - masked[1]).max() < 1e-6, "map of a sentence alone - in a batch, masked"
lesson.number("map of a sentence alone - in a batch, no mask", abs(unmasked[0] - unmasked[1]).max())
e = np.tanh((s0 @ A.T)[:, None] + h @ U.T)
inside = np.exp(e) / np.exp(e).sum(axis=2, keepdims=True)
relu = np.maximum(inside @ abs(v), 0)       # all of v positive: one such code draws it from U(0, 1)
right = additive_attention_weights(s0[:, None], h, A, U, v)
lesson.number("sum of the weights: softmax over positions", right.sum(), 1)
lesson.number("sum of the weights: softmax over features, then relu", relu.sum(), 1)

# %% [markdown]
# ## Erratum 14: numbers that look better than the net
# Padding counted in the loss, as if it were learnt: where half of the places are padding the loss is half as large, and
# the perplexity is its own square root.

# %%
net = nets["no attention"][0]
source, mask, inputs, real = encoded(*(a + b for a, b in zip(toys.reversal(rng, 64, 3, 3), toys.reversal(rng, 64, 9, 9),
                                                             strict=True)))
with tn.no_grad():
    each = cross_entropy(net.output(net(source, mask, inputs)), real, reduction="none").data
place = (real >= 0).mean()
lesson.number("share of places that are real letters", place)
lesson.number("perplexity over real letters", np.exp(each.sum() / (real >= 0).sum()))
lesson.number("perplexity over all places", np.exp(each.mean()), np.exp(each.sum() / (real >= 0).sum()) ** place,
              "the right one to the power of that share")

# %% [markdown]
# And BLEU says little without its signature: one output has three.

# %%
wrote = [words("two men in t-shirts play a game outside."), words("a young girl's dog is running in the snow.")]
meant = ["Two men in T-shirts play the game outside.", "A young girl's dog is running through the snow."]
try:
    for name, pair, rule, lower in (
            ("own tokens", ([" ".join(o) for o in wrote], [" ".join(words(m)) for m in meant]), "none", True),
            ("detokenised, lower-cased", ([detokenised(o) for o in wrote], meant), "13a", True),
            ("detokenised, as written", ([detokenised(o) for o in wrote], meant), "13a", False)):
        score, signature = bleu(*pair, tokenise=rule, lowercase=lower)
        lesson.number(f"BLEU, {name} ({signature.rpartition('|')[0]})", score)
except ModuleNotFoundError as error:
    print(f"  {error}")

# %% [markdown]
# ## With --data: German to English
# A few minutes of Multi30k; `python -m lessons.tables sequences` trains for long.

# %%
if lesson.data:
    from tinynet.data.multi30k import in_words, multi30k

    sources, targets = in_words(multi30k("train", root=lesson.data))
    german, english = Vocabulary.of(sources, least=4), Vocabulary.of(targets, least=4)
    net = EncoderDecoder(len(german), len(english), attention="after", p=0.2, rng=lesson.seed)
    pairs = [(german.encode(s), english.encode(t)) for s, t in zip(sources, targets, strict=True)]
    history = fit(net, lambda net, source, mask, target, real: net.loss(source, mask, *teacher(target, real)),
                  ByLength(pairs, 64), optim.Adam(net.parameters(), lr=3e-3), epochs=1 if lesson.quick else 3, clip=1)
    lesson.number("Multi30k: training loss of each epoch", history["loss"])
    net.eval()
    test, right = in_words(multi30k("test_2016_flickr", root=lesson.data))
    source, mask = padded([german.encode(s) for s in test[:200]])
    outputs = [english.decode(o) for o in beam_search(net, net.encode(source, mask), longest=40)]
    plain = [" ".join(o) for o in outputs], [" ".join(r) for r in right[:200]]
    for name, pair, rule in (("own tokens", plain, "none"), ("13a, detokenised", None, "13a")):
        pair = pair or ([detokenised(o) for o in outputs], [detokenised(r) for r in right[:200]])
        score, signature = bleu(*pair, tokenise=rule)
        lesson.number(f"BLEU, {name} ({signature})", score)

# %%
i = lengths.index(8)
lesson.shown(f"after {steps} batches {exact['attention'][:, i].mean():.0%} of strings of 8 letters are read backwards "
             f"with attention, {exact['no attention'][:, i].mean():.0%} without; unmasked padding changes the map")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.sequences.additive_attention import additive_attention_weights
# from tinynet.blocks.sequences.masking import BEGIN, END
# from tinynet.data.text import padded, teacher
#
# s, h, W, U, v = np.zeros((1, 1, 2)), np.zeros((1, 4, 2)), np.ones((3, 2)), np.ones((3, 2)), np.ones(3)
# ```
#
# **1.** All four annotations are equal: the weights?
#
# <details><summary>Answer</summary>
#
# A quarter each.
#
# ```python
# additive_attention_weights(s, h, W, U, v).ravel()      # -> [0.25, 0.25, 0.25, 0.25]
# ```
#
# </details>
#
# **2.** The last two of the four are padding, and masked: the weights?
#
# <details><summary>Answer</summary>
#
# One half for each real word.
#
# ```python
# mask = np.array([[True, True, False, False]])
# additive_attention_weights(s, h, W, U, v, mask[:, None]).ravel()      # -> [0.5, 0.5, 0, 0]
# ```
#
# </details>
#
# **3.** The words 7, 8 and the end: what does the decoder read, and what must it write?
#
# <details><summary>Answer</summary>
#
# begin, 7, 8; and 7, 8, end. It is one word behind.
#
# ```python
# inputs, targets = teacher(*padded([[7, 8, END]]))
# [inputs[0].tolist() == [BEGIN, 7, 8], targets[0].tolist() == [7, 8, END]]      # -> [True, True]
# ```
#
# </details>
#
# **4.** Every word is right with a chance of 0.9 each. The chance that a sentence of 3, of 20 words is right?
#
# <details><summary>Answer</summary>
#
# 0.73 and 0.12.
#
# ```python
# [0.9 ** 3, 0.9 ** 20]      # -> [0.729, 0.122]
# ```
#
# </details>
#
# **5.** A net that has learnt nothing finds 50 words alike: its loss in nats, and its perplexity?
#
# <details><summary>Answer</summary>
#
# log 50 nats. The perplexity, e to the loss, is 50: as unsure as among 50 words.
#
# ```python
# [-np.log(1 / 50), np.exp(-np.log(1 / 50))]      # -> [3.912, 50]
# ```
#
# </details>
