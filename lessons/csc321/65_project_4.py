# %% [markdown]
# # Project 4: a text autoencoder

# %% [markdown]
"""Project 4: what does a net that repeats sentences learn, and what is noise good for?

Slides: csc321 augment, generate, teacher, seq2seq, erratum 13
Blocks: gru, embedding, cross_entropy
Run time: 14 s, --quick 2 s (one core)
Figures: csc321_augment_noise.png, csc321_generate_codes.png

The deck's last part: a text autoencoder of news headlines.  Its encoder reads a headline, its decoder writes the same
headline from the encoder's last state, the code.  The headlines here are made up, because Reuters' aren't free.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import optim, plot
from tinynet.blocks.sequences.masking import BEGIN, END
from tinynet.data.text import Vocabulary, padded, teacher
from tinynet.data.toys import WHO, headlines
from tinynet.lesson import lesson
from tinynet.models.sequences.generate import Sampled, best, generate
from tinynet.models.sequences.text_autoencoder import TextAutoencoder, between, noisy
from tinynet.train.batches import Generated
from tinynet.train.loop import fit

train, held_out = headlines(np.random.default_rng(1), 600), headlines(np.random.default_rng(2), 200)
vocabulary = Vocabulary.of(train)
coded = [vocabulary.encode(h) for h in train]
lesson.number("words in the vocabulary", len(vocabulary))

# %% [markdown]
# ## seq2seq, teacher: the model
# $$\text{code} = \mathrm{GRU}_{enc}(x_1 \dots x_T),\quad s_0 = \text{code},\quad
#   s_i = \mathrm{GRU}_{dec}(y_{i-1}, s_{i-1}),\quad p(y_i) = \mathrm{softmax}(W s_i + b)$$
# While training the decoder gets the right word before: inputs `begin x1 x2`, targets `x1 x2 end`. In the project the
# vocabulary had 10,000 words and both nets 128 units:

# %%
size = sum(p.size for p in TextAutoencoder(10_000, 128, 128, rng=0).parameters())
lesson.number("parameters with the project's sizes, in millions", size / 1e6, 2.77, "the project")
sentence, mask = padded([vocabulary.encode(["nurses", "reject", "new", "rules"])])
inputs, targets = teacher(sentence, mask)
print("  inputs ", [vocabulary.words[i] for i in inputs[0]])
print("  targets", [vocabulary.words[i] for i in targets[0]])

# %% [markdown]
# ## First exercise: learn one headline by heart
# If the net can't do that, something is wrong.


# %%
def learn(net, draw, steps, lr=1e-2, seed=0, moved=True):
    """Train on draw(rng) -> (sentences to read, sentences to write), with a falling learning rate.

    moved   False: the decoder's inputs are the very words that it is to write
    """
    def make(rng):
        read, write = draw(rng)
        target, real = padded(write)
        inputs, wanted = teacher(target, real)
        return *padded(read), inputs if moved else target, wanted

    return fit(net, lambda net, *batch: net.loss(*batch), Generated(make, steps), optim.Adam(net.parameters(), lr=lr),
               steps=steps, every=20, schedule=optim.LinearDecay(steps), clip=1, rng=seed, progress=False)


def decoded(net, codes, pick=best):
    """What the decoder writes from these codes."""
    codes = tn.Tensor(np.asarray(codes, np.float32))
    found = generate(net, [[BEGIN]] * len(codes.data), 14, pick, (END,), codes)
    return [vocabulary.decode(f) for f in found]


def codes_of(net, sentences):
    with tn.no_grad():
        return net.encode(*padded(sentences)).data


net = TextAutoencoder(len(vocabulary), 32, 48, rng=lesson.seed)
history = learn(net, lambda rng: (coded[:1], coded[:1]), 80)
lesson.number("one headline: mean loss of 20 steps, four times", history["loss"])
print("  wrote:", " ".join(decoded(net, codes_of(net, coded[:1]))[0]))
assert decoded(net, codes_of(net, coded[:1]))[0] == train[0]

# %% [markdown]
# ## augment: noise, on training data only
# Words change places (by i + 3u, so none moves further than 3), then each is dropped with chance .1, else blanked with
# .1, else replaced with .1. "10 % each" is not what comes out, because one follows the other: .1, .09, .081.

# %%
rng = np.random.default_rng(lesson.seed)
for _ in range(3):
    print("  noisy:", " ".join(vocabulary.words[i] for i in noisy(coded[3], rng, len(vocabulary))[:-1]))
body = np.full(20_001, 5)
found = noisy(body, rng, len(vocabulary), distance=0)
shares = [len(body) - len(found), (found == 1).sum(), (found[:-1] > 5).sum() + (found == 4).sum()] / np.float64(20_000)
lesson.number("dropped, blanked, replaced", shares, [0.1, 0.09, 0.081], "one after the other")

# %% [markdown]
# **Erratum 13.** The project's public version puts the noise on the *target*, too: that net learns to repeat noisy
# text. Denoising reads the noisy sentence and writes the clean one. Three nets, equal but for what they read and write,
# are given noisy headlines that they have never seen, and should write the clean ones.

# %%
steps, seeds = (40, 1) if lesson.quick else (440, 3)
KINDS = {"clean to clean": (False, False), "noisy to noisy": (True, True), "noisy to clean": (True, False)}
clean = [vocabulary.encode(h) for h in held_out]
spoilt = [noisy(c, np.random.default_rng([3, i]), len(vocabulary)) for i, c in enumerate(clean)]


def trained(kind, seed):
    """A net that learnt to write one kind of sentence from another; noise is drawn anew every time."""
    net, (noise_in, noise_out) = TextAutoencoder(len(vocabulary), 32, 64, rng=seed), KINDS[kind]

    def draw(rng):
        right = [coded[i] for i in rng.integers(len(coded), size=30)]
        changed = [noisy(s, rng, len(vocabulary)) for s in right] if noise_in else right
        return changed, changed if noise_out else right

    learn(net, draw, steps, seed=seed)
    return net


def words_right(net, read):
    """The share of the clean headlines' words that stand in their places in what the net writes from `read`."""
    found = decoded(net, codes_of(net, read))
    return np.mean([right == own for f, h in zip(found, held_out, strict=True)
                    for right, own in zip(h, f + [None] * len(h), strict=False)])


nets = {kind: [trained(kind, lesson.seed + s) for s in range(seeds)] for kind in KINDS}
from_noisy = {kind: [words_right(net, spoilt) for net in found] for kind, found in nets.items()}
from_clean = {kind: [words_right(net, clean) for net in found] for kind, found in nets.items()}
for kind in KINDS:
    lesson.number(f"{kind}: words right, read clean, {seeds} seeds", np.sort(from_clean[kind]))
    lesson.number(f"{kind}: words right, read noisy, {seeds} seeds", np.sort(from_noisy[kind]))

# %%
fig, ax = plot.subplots()
for j, (label, results) in enumerate((("reads clean headlines", from_clean), ("reads noisy headlines", from_noisy))):
    place = np.arange(len(KINDS)) + (j - 0.5) * 0.36
    ax.bar(place, [np.mean(r) for r in results.values()], 0.34, color=plot.COLOURS[j], label=label,
           hatch="//" if j else None, edgecolor="white")
    for x, r in zip(place, results.values(), strict=True):
        ax.plot([x] * len(r), r, "o", color="black", markersize=4)
ax.set_xticks(range(len(KINDS)), [f"trained\n{kind}" for kind in KINDS])
plot.legend_below(fig, ax)
ax.set(ylabel="share of right words (dots: seeds)", ylim=(0, 1.02), title="Held-out headlines: is it the clean one?")
lesson.save(fig, "csc321_augment_noise")

# %% [markdown]
# The other half of **erratum 13** is teacher forcing off by one: inputs that are not moved *are* the words to write.
# The loss falls to 0 and nothing is learnt, for when the net writes by itself nobody tells it the next word.

# %%
def given_away(seed):
    """(the last loss, the share of right words that the net writes) after inputs that were not moved."""
    net = TextAutoencoder(len(vocabulary), 32, 64, rng=seed)
    history = learn(net, lambda rng: [[coded[i] for i in rng.integers(len(coded), size=30)]] * 2, steps // 4, seed=seed,
                    moved=False)
    return history["loss"][-1], words_right(net, clean)


losses, right = np.array([given_away(lesson.seed + s) for s in range(seeds)]).T
lesson.number(f"inputs not moved: loss after {steps // 4} steps, {seeds} seeds", losses, 0, "nothing left to learn")
lesson.number(f"inputs not moved: words right, read clean, {seeds} seeds", right, np.mean(from_clean["clean to clean"]),
              "moved by one")

# %% [markdown]
# **The deck's two questions**: are validation and test data augmented? No: the loss that is watched would be another
# one. And the public version's code of a short headline is the state after its *padding*.

# %%
net = nets["noisy to clean"][0]
with tn.no_grad():
    watched = [net.loss(*padded(read), *teacher(*padded(clean))).item() for read in (clean, spoilt)]
    sentences, mask = padded(clean)
    short = mask.sum(axis=1).argmin()
    gap = abs(net.encode(sentences, mask).data - net.encode(sentences).data)[short].max()
lesson.number("validation loss of clean, of augmented headlines", watched)
lesson.number("a short headline's code: after its end - after its padding", gap)

# %% [markdown]
# ## generate: between two headlines, near one, and at temperatures
# Codes on the straight line between those of two headlines, decoded.

# %%
first, last = codes_of(net, clean[:2])
line = between(first, last, 7)
for text in decoded(net, line):
    print("  ", " ".join(text))
codes = codes_of(net, coded)
near = codes / np.linalg.norm(codes, axis=1, keepdims=True) @ (first / np.linalg.norm(first))
print("  nearest to", " ".join(held_out[0]), "is", " ".join(train[near.argmax()]))
for temperature in (0.7, 1.5, 4.0):
    text, = decoded(net, first[None], Sampled(temperature, rng=lesson.seed))
    print(f"  temperature {temperature}:", " ".join(text))

# %% [markdown]
# The codes in a plane (their two main directions): what the net was never told, who the headline is about, has places.

# %%
main = np.linalg.svd(codes - codes.mean(axis=0), full_matrices=False)[2][:2]
flat, path = (codes - codes.mean(axis=0)) @ main.T, (line - codes.mean(axis=0)) @ main.T
fig, ax = plot.subplots(height=5)
for i, who in enumerate(WHO[:4]):
    own = [h[0] == who for h in train]
    ax.plot(*flat[own].T, plot.MARKERS[i], color=plot.COLOURS[i], label=who, alpha=0.7, linestyle="none")
ax.plot(*path.T, "-k", marker=".", label="between two headlines")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
ax.set(xlabel="first main direction", ylabel="second", title="Codes of headlines about four kinds of people")
lesson.save(fig, "csc321_generate_codes")

# %%
means = {kind: np.mean(found) for kind, found in from_noisy.items()}
lesson.shown(f"of noisy headlines' words {means['noisy to clean']:.0%} are written right by a net that reads noisy and "
             f"writes clean ones, {means['noisy to noisy']:.0%} with noise on the target, too, and "
             f"{means['clean to clean']:.0%} without noise")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.models.sequences.generate import Sampled
# from tinynet.models.sequences.text_autoencoder import between, noisy
#
# scores = np.log(np.array([[0.7, 0.2, 0.1]]))        # of three words
# ```
#
# **1.** The temperature is 1: with which chances are words of the scores log 0.7, log 0.2, log 0.1 drawn?
#
# <details><summary>Answer</summary>
#
# With 0.7, 0.2, 0.1.
#
# ```python
# Sampled(1.0, rng=0).probabilities(scores).ravel()      # -> [0.7, 0.2, 0.1]
# ```
#
# </details>
#
# **2.** And at temperature 0.1?
#
# <details><summary>Answer</summary>
#
# Nearly always the first.
#
# ```python
# Sampled(0.1, rng=0).probabilities(scores).ravel()[0]      # -> 1
# ```
#
# </details>
#
# **3.** And at temperature 100?
#
# <details><summary>Answer</summary>
#
# Nearly evenly: noise.
#
# ```python
# Sampled(100.0, rng=0).probabilities(scores).ravel()      # -> [0.336, 0.332, 0.331]
# ```
#
# </details>
#
# **4.** Codes (0, 0) and (4, 8): the middle one of five on the line between them?
#
# <details><summary>Answer</summary>
#
# (2, 4).
#
# ```python
# between(np.array([0.0, 0.0]), np.array([4.0, 8.0]))[2]      # -> [2, 4]
# ```
#
# </details>
#
# **5.** A word is dropped with a chance of 0.1. How many words has a sentence of 10 after 1,000 draws of noise, on
# average?
#
# <details><summary>Answer</summary>
#
# 9.
#
# ```python
# np.mean([len(noisy(np.arange(11), np.random.default_rng(i), 50)) - 1 for i in range(1000)])      # -> 9
# ```
#
# </details>
