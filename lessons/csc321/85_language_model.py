# %% [markdown]
# # A language model that writes

# %% [markdown]
"""Prompt in, text out: how does a net write that only scores the next letter?

Slides: csc321 lm, generate
Blocks: gru, embedding
Run time: 15 s, --quick 2 s
Figures: csc321_generate_temperature.png

A small net is trained on Shakespeare and kept in a file.  After this lesson

    python -m lessons language_model --prompt "ROMEO:"

lets it go on with a text of yours.  Who has the published files of GPT-2 in a folder gets the deck's article by

    python -m tinynet.bridges.gpt2 FOLDER "In a shocking finding, scientists discovered"
"""

# %%
import re

import numpy as np

from lessons.tools import writer
from tinynet import npz, optim, plot
from tinynet.data.shakespeare import shakespeare, split
from tinynet.data.text import Characters
from tinynet.lesson import lesson
from tinynet.models.sequences.generate import Sampled, best, generate, text_after
from tinynet.models.sequences.language_model import LanguageModel, nats
from tinynet.train.batches import Windows
from tinynet.train.loop import fit

text = shakespeare()
letters = Characters(text)
train, held_out = split(text)

# %% [markdown]
# ## lm: a probability for every text
# The net gives each letter a probability, from all letters before it. Their product is the probability of the text:
# $$p(x_1 \dots x_T) = \prod_t p(x_t \mid x_1 \dots x_{t-1}),\qquad
#   \text{nats a letter} = -\frac{1}{T} \log p(x_1 \dots x_T)$$
# Training makes the text probable, in pieces of 64 letters; the rest of the play is held out.

# %%
net, steps = LanguageModel(len(letters), 64, 128, rng=lesson.seed), 20 if lesson.quick else 700
adam = optim.Adam(net.parameters(), lr=4e-3)
fit(net, lambda net, x, y: net.loss(x, y)[0], Windows(letters.encode(train), 64, 32), adam, steps=steps, every=steps,
    schedule=optim.CosineDecay(steps, end=0.02), clip=1, rng=lesson.seed, progress=False)
net.eval()
loss = nats(net, letters.encode(held_out))
lesson.number("held-out text: nats a letter", loss, np.log(len(letters)), "all letters alike")
lesson.number("as if it chose among so many equally likely letters", np.exp(loss), len(letters), "all of them")

# %% [markdown]
# What is it that the net finds probable? Twenty held-out pieces of 120 letters, the same pieces with their words
# shuffled, and with their letters shuffled:

# %%
rng = np.random.default_rng(lesson.seed)
pieces = [held_out[i:i + 120] for i in range(0, 20 * 600, 600)]


def shuffled(parts):
    return [parts[i] for i in rng.permutation(len(parts))]


kinds = {"as they stand": pieces, "words shuffled": [" ".join(shuffled(p.split(" "))) for p in pieces],
         "letters shuffled": ["".join(shuffled(p)) for p in pieces]}
cost = {name: np.array([nats(net, letters.encode(p)) for p in found]) for name, found in kinds.items()}
for name, found in cost.items():
    lesson.number(f"{name}: nats a letter, mean of 20 pieces", found.mean())

# %% [markdown]
# ## generate: from probabilities to a text
# One letter after another: `step` reads a letter, `scores` tells of the next one, a rule picks it. Always the likeliest
# one (greedy), or a random one with
# $$p_c \propto \exp(s_c / \tau)$$
# of all letters, of the 5 likeliest (top-k), or of the fewest that have 90 % of the probability (top-p).

# %%
PROMPT, LENGTH, TEXTS = "ROMEO:\n", 60 if lesson.quick else 300, 4 if lesson.quick else 24
known = set(re.findall(r"[a-z']+", train.lower()))


def judged(pick):
    """Of several texts that the net writes: the share of words that are in the play, and of pieces that are new."""
    written = [letters.decode(w) for w in generate(net, [letters.encode(PROMPT)] * TEXTS, LENGTH, pick)]
    right, fresh = [], []
    for each in written:
        whole = re.findall(r"[a-z']+", each.lower())[:-1]           # the last one may be cut off
        right.append(np.mean([word in known for word in whole]) if whole else 0)
        parts = [each[i:i + 12] for i in range(len(each) - 11)]
        fresh.append(len(set(parts)) / len(parts))
    return np.mean(right), np.mean(fresh)


rules = {"greedy": best, "temperature 1": Sampled(rng=lesson.seed), "top-k 5": Sampled(top_k=5, rng=lesson.seed),
         "top-p 0.9": Sampled(top_p=0.9, rng=lesson.seed)}
marks = {name: judged(pick) for name, pick in rules.items()}
for name, (right, fresh) in marks.items():
    lesson.number(f"{name}: words that the play has, pieces of 12 not said before", [right, fresh])

# %%
temperatures = (0.1, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
curve = np.array([judged(Sampled(t, rng=lesson.seed)) for t in temperatures])
fig, ax = plot.subplots()
plot.curves(ax, temperatures, {"words that the play has": curve[:, 0],
                               "pieces of 12 letters not said before": curve[:, 1]}, legend="lower left")
ax.set(xlabel=r"temperature $\tau$", ylabel="share", ylim=(0, 1.05),
       title=f"Cold nets repeat themselves, hot ones invent words ({TEXTS} texts each)")
lesson.save(fig, "csc321_generate_temperature")

# %% [markdown]
# ## A text as it comes
# `text_after` hands out each letter as soon as it is picked, as the command above does.

# %%
for piece in text_after(net, PROMPT, letters, LENGTH, Sampled(0.7, rng=lesson.seed)):
    print(piece, end="", flush=True)
print()

# %% [markdown]
# The net and its letters go into one file, for `python -m lessons language_model --prompt`. A net is nothing without
# its letters: the same numbers read with another list of letters are noise.

# %%
try:
    writer.keep(writer.place(lesson.quick), net, letters)
    print(f"  kept: {writer.place(lesson.quick)}")
except npz.CheckpointError as error:            # the rest of the lesson needs no file
    print(f"  not kept: {error}")

# %%
cold, hot = curve[0], curve[-1]
lesson.shown(f"{loss:.2f} nats a letter on held-out text after {steps} steps; shuffled words cost "
             f"{cost['words shuffled'].mean() - cost['as they stand'].mean():.2f} more; at temperature "
             f"{temperatures[0]} {cold[0]:.0%} of the words are the play's and {cold[1]:.0%} of the pieces new, at "
             f"{temperatures[-1]:g} {hot[0]:.0%} and {hot[1]:.0%}")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.models.sequences.generate import Sampled
#
# scores = np.log([[0.5, 0.3, 0.2]])
# ```
#
# **1.** A net has learnt nothing: all 61 letters are alike. Nats a letter?
#
# <details><summary>Answer</summary>
#
# The logarithm of 61.
#
# ```python
# np.log(61)      # -> 4.11
# ```
#
# </details>
#
# **2.** 1.7 nats a letter: among how many equally likely letters does such a net choose?
#
# <details><summary>Answer</summary>
#
# Fewer than six.
#
# ```python
# np.exp(1.7)      # -> 5.47
# ```
#
# </details>
#
# **3.** One letter is three times as probable as the other. At temperature 0.5?
#
# <details><summary>Answer</summary>
#
# The ratio is squared: nine times.
#
# ```python
# Sampled(0.5).probabilities(np.log([[3.0, 1.0]]))[0]      # -> [0.9, 0.1]
# ```
#
# </details>
#
# **4.** Probabilities 0.5, 0.3 and 0.2, top-k with k = 2: what is left?
#
# <details><summary>Answer</summary>
#
# The two likeliest, in the same ratio.
#
# ```python
# Sampled(top_k=2).probabilities(scores)[0]      # -> [0.625, 0.375, 0]
# ```
#
# </details>
#
# **5.** The same with top-p = 0.9: how many letters are left, and at temperature 0.2?
#
# <details><summary>Answer</summary>
#
# All three, as the first two have 0.8. Cold, the first one has 0.92 alone.
#
# ```python
# [(Sampled(t, top_p=0.9).probabilities(scores) > 0).sum() for t in (1.0, 0.2)]      # -> [3, 1]
# ```
#
# </details>
