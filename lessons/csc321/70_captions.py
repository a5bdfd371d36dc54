# %% [markdown]
# # Captions: attention over pixels

# %% [markdown]
"""How does a net describe a picture, and where does it look for each word?

Slides: csc321 caption, context, score
Blocks: attention_gru, embedding
Run time: 15 s, --quick 2 s (one core)
Figures: csc321_caption_training.png, csc321_caption_words.png, csc321_caption_right-and-wrong.png

Pictures of two coloured shapes, made up on the spot, with captions such as "a red circle left of a blue cross".  Where
the net looks can be compared with where the shapes are, which it was never told.
"""

# %%
from collections import Counter

import numpy as np

import tinynet as tn
from tinynet import optim, plot
from tinynet.blocks.sequences.masking import BEGIN, END
from tinynet.data.text import Vocabulary, padded, teacher
from tinynet.data.toys import shapes
from tinynet.lesson import lesson
from tinynet.metrics import bleu
from tinynet.models.sequences.caption_net import CaptionNet, WindowEncoder
from tinynet.models.sequences.generate import best, generate
from tinynet.train.loop import fit

train = shapes(np.random.default_rng(1), 400 if lesson.quick else 3000)
test = shapes(np.random.default_rng(2), 100 if lesson.quick else 400)
vocabulary = Vocabulary.of(train.captions)

# %% [markdown]
# ## caption: an encoder whose annotations are places of the picture
# $$a_j = \text{encoder}(\text{image})_j,\quad e_{ij} = v^\top \tanh(A s_{i-1} + U a_j),\quad
#   c_i = \sum_j \alpha_{ij} a_j,\quad s_i = \mathrm{GRU}([y_{i-1}; c_i], s_{i-1})$$
# It is the translation net with pixels for words. A place here is a window of 12 x 12 pixels, 4 apart: 5 x 5 places.

# %%
SIZE, STRIDE = 12, 4


def made(seed, penalty=0.0):
    encoder = WindowEncoder(3, SIZE, STRIDE, 64, 48, rng=seed)
    return CaptionNet(encoder, 48, len(vocabulary), 32, 64, 32, penalty, rng=seed + 100)


places = made(0).encoder(test.images[:1])
lesson.number("places", places.shape[1], 25, "5 x 5")

# %% [markdown]
# ## Training

# %%
targets, mask = padded([vocabulary.encode(c) for c in train.captions])
inputs, wanted = teacher(targets, mask)


def written(net, images):
    """The captions that the net writes, greedily, as lists of words."""
    with tn.no_grad():
        found = generate(net, [[BEGIN]] * len(images), 12, best, (END,), net.encode(images))
    return [vocabulary.decode(f) for f in found]


def score(captions):
    """(share of right words, share of captions that are right as a whole)"""
    pairs = list(zip(captions, test.captions, strict=True))
    words = np.mean([a == b for own, right in pairs for a, b in zip(own + [None] * 12, right, strict=False)])
    return words, np.mean([own == right for own, right in pairs])


def learn(seed, epochs):
    """(net, its share of right words and of right captions after every epoch)"""
    net, curve = made(seed), []
    adam = optim.Adam(net.parameters(), lr=4e-3)
    for epoch in range(epochs):                 # an epoch at a time, to see what it writes after each
        adam.lr = 4e-3 * (1 - epoch / epochs)
        fit(net, lambda net, *batch: net.loss(*batch), (train.images, inputs, wanted), adam, epochs=1, batch_size=50,
            clip=1, rng=[seed, epoch], progress=False)
        curve.append(score(written(net.eval(), test.images)))
    return net, np.array(curve)


epochs, seeds = (2, 1) if lesson.quick else (7, 3)
learnt = [learn(lesson.seed + s, epochs) for s in range(seeds)]
net = learnt[0][0]
final = np.array([curve[-1] for _, curve in learnt])
lesson.number(f"held-out pictures: right words, {seeds} seeds", np.sort(final[:, 0]))
lesson.number(f"held-out pictures: right captions, {seeds} seeds", np.sort(final[:, 1]))

# %% [markdown]
# **The constant caption**: one and the same sentence for every picture has many right words, too. Print it beside every
# number: on Flickr8k it has BLEU-1 48.5, so a net with 50 has learnt next to nothing.

# %%
constant = [Counter(words).most_common(1)[0][0] for words in zip(*train.captions, strict=True)]
guessed = score([constant] * len(test.captions))
lesson.number(f"constant caption ({' '.join(constant)}): words, captions", guessed)
own = written(net, test.images)
distinct = [len(set(map(tuple, captions))) for captions in (own, test.captions)]
lesson.number("distinct captions written, and in the test", distinct)
try:
    for name, captions in (("net", own), ("constant caption", [constant] * len(own))):
        value, signature = bleu([" ".join(c) for c in captions], [" ".join(c) for c in test.captions], "none")
        lesson.number(f"BLEU of the {name} ({signature.rpartition('|')[0]})", value)
except ModuleNotFoundError as error:
    print(f"  {error}")
fig, ax = plot.subplots()
mean = np.mean([curve for _, curve in learnt], axis=0)
plot.curves(ax, range(1, epochs + 1), {"right words": mean[:, 0], "right captions": mean[:, 1]}, legend="center right")
ax.axhline(guessed[0], color="black", linestyle=":")
ax.text(1, guessed[0] - 0.02, "right words of the constant caption", va="top")
ax.set(xlabel="epoch", ylabel="share, held-out pictures", ylim=(0, 1.03), title=f"Mean of {seeds} seeds")
lesson.save(fig, "csc321_caption_training")

# %% [markdown]
# ## Where does it look for each word?
# The maps, and how much of their weight falls on windows whose middle lies in the box of the shape that is named: for
# the words of the first shape, and for those of the second. By chance it is the boxes' share of the places.

# %%
rows, columns = net.encoder.grid(28, 28)
middles = np.indices((rows, columns)).reshape(2, -1).T * STRIDE + SIZE / 2


def inside(box):
    """Which places have their middle in this box."""
    return ((middles >= box[:2]) & (middles <= box[2:])).all(axis=1)


coded, real = padded([vocabulary.encode(c) for c in test.captions])
with tn.no_grad():
    of_nets = [each(test.images, teacher(coded, real)[0])[1].data for each, _ in learnt]
named = {"first colour": (1, 0), "first shape": (2, 0), "second colour": (6, 1), "second shape": (7, 1)}
chance = np.mean([[inside(box).mean() for box in boxes] for boxes in test.boxes])
for word, (place, side) in named.items():
    weights = [np.mean([m[place, inside(boxes[side])].sum() for m, boxes in zip(maps, test.boxes, strict=True)])
               for maps in of_nets]
    lesson.number(f"weight on the named shape for the {word}, {seeds} seeds", np.sort(weights), chance, "chance")
maps = of_nets[0]


def show(ax, image, alpha=None):
    """A picture, darkened where the net doesn't look."""
    ax.imshow(image.transpose(1, 2, 0), interpolation="nearest")
    if alpha is not None:
        spread = np.zeros((28, 28))
        for weight, (y, x) in zip(alpha, middles, strict=True):
            yy, xx = np.mgrid[:28, :28] + 0.5
            spread += weight * np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / (2 * 3.0 ** 2))
        ax.imshow(np.zeros((28, 28)), cmap="gray", alpha=0.85 * (1 - spread / spread.max()), vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)


chosen = next((i for i, (a, b) in enumerate(zip(own, test.captions, strict=True)) if a == b), 0)
caption = test.captions[chosen]
fig, axes = plot.subplots(2, 5, height=5)
show(axes[0, 0], test.images[chosen])
axes[0, 0].set_title("the picture")
for ax, i in zip(axes.flat[1:], range(len(caption)), strict=False):
    show(ax, test.images[chosen], maps[chosen, i])
    ax.set_title(caption[i])
for ax in axes.flat[len(caption) + 1:]:
    ax.set_axis_off()
lesson.save(fig, "csc321_caption_words")

# %% [markdown]
# ## Six pictures right and six wrong
# The deck shows what attention tells of mistakes. Under a wrong caption stands what it should have been.

# %%
right = [i for i, (a, b) in enumerate(zip(own, test.captions, strict=True)) if a == b][:6]
wrong = [i for i, (a, b) in enumerate(zip(own, test.captions, strict=True)) if a != b][:6]


def short(words):
    return " ".join(words).replace(" left of ", "\nleft of ")


fig, axes = plot.subplots(4, 3, height=12)
for six, found in zip((axes[:2].ravel(), axes[2:].ravel()), (right, wrong), strict=True):
    for ax in six[len(found):]:
        ax.set_axis_off()
    for ax, i in zip(six, found, strict=False):
        show(ax, test.images[i])
        ax.set_title(short(own[i]))
        if own[i] != test.captions[i]:
            ax.set_xlabel(f"right: {short(test.captions[i])}")
for ax, kind in zip(axes[:, 0], ("right", "right", "wrong", "wrong"), strict=True):
    ax.set_ylabel(kind)
lesson.save(fig, "csc321_caption_right-and-wrong")

# %%
lesson.shown(f"{final[:, 0].mean():.0%} of the words and {final[:, 1].mean():.0%} of the whole captions of held-out "
             f"pictures are right (the constant caption's: {guessed[0]:.0%} and {guessed[1]:.0%})")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.data.toys import shapes
# from tinynet.models.sequences.caption_net import WindowEncoder
#
# drawn = shapes(np.random.default_rng(0), 500)
# ```
#
# **1.** Windows of 12 x 12 pixels, 4 apart, on 28 x 28: how many places?
#
# <details><summary>Answer</summary>
#
# 5 x 5.
#
# ```python
# WindowEncoder(3, 12, 4, 64, 48, rng=0).grid(28, 28)      # -> [5, 5]
# ```
#
# </details>
#
# **2.** No place stands out: how much does each weigh?
#
# <details><summary>Answer</summary>
#
# A twenty-fifth. That is what a map has to be compared with.
#
# ```python
# 1 / 25      # -> 0.04
# ```
#
# </details>
#
# **3.** How many words has a caption such as "a red circle left of a blue cross"?
#
# <details><summary>Answer</summary>
#
# Eight.
#
# ```python
# len('a red circle left of a blue cross'.split())      # -> 8
# ```
#
# </details>
#
# **4.** In how many of those eight places do all captions have the same word?
#
# <details><summary>Answer</summary>
#
# In four: a, left, of, a. So a constant caption has half of the words right, and more.
#
# ```python
# sum(len(set(words)) == 1 for words in zip(*drawn.captions, strict=True))      # -> 4
# ```
#
# </details>
#
# **5.** Each word is right with a chance of 0.95 in the four places that vary. How many captions are right?
#
# <details><summary>Answer</summary>
#
# 81 %.
#
# ```python
# 0.95 ** 4      # -> 0.8145
# ```
#
# </details>
