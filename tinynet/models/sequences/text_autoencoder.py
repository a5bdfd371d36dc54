"""Project 4's text autoencoder (csc321 augment, generate, teacher): a sentence in, the same sentence out.

    code = the encoder's state after the sentence's last word
    s[i] = GRU(e[i], s[i-1]), s[0] = code;  scores of the next word = W s[i] + b
    e    one table of words for both nets; under teacher forcing the decoder's inputs are the sentence moved by one

Denoising (Shen et al. 2020, arXiv:1905.12777): the encoder reads a noisy sentence, the decoder writes the clean one.
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.sequences.embedding import Embedding
from tinynet.blocks.sequences.gru import GRU
from tinynet.blocks.sequences.masking import PAD, UNKNOWN, check_sentences
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.linear import Linear
from tinynet.models.sequences.word_loss import word_loss


class TextAutoencoder(nn.Module):
    """sentences (B, S), mask (B, S), inputs (B, T) -> the decoder's states (B, T, width).

    words, features, width   size of the vocabulary, of the words' vectors and of both GRUs and the code
    p                        dropout of the words' vectors; rng is a seed or np.random.Generator
    """

    def __init__(self, words, features=128, width=128, p=0.0, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        given = dict(rng=rng, dtype=dtype)
        self.embedding = Embedding(words, features, padding=PAD, **given)
        self.encoder, self.decoder = GRU(features, width, **given), GRU(features, width, **given)
        self.output, self.drop = Linear(width, words, **given), Dropout(p, rng)

    def encode(self, sentences, mask=None):
        """The codes (B, width), which are also the decoder's first states.

        Raises ValueError for a sentence without a word, ShapeError for a mask that doesn't fit.
        """
        check_sentences("TextAutoencoder", sentences, mask)
        return self.encoder.run(self.drop(self.embedding(sentences)), None, mask)[1]

    def forward(self, sentences, mask, inputs):
        check_sentences("TextAutoencoder", inputs)
        return self.decoder.run(self.drop(self.embedding(inputs)), self.encode(sentences, mask))[0]

    def loss(self, sentences, mask, inputs, targets):
        """Mean cross-entropy of the real words of the target."""
        return word_loss(self(sentences, mask, inputs), self.output.W, self.output.b, targets)

    def step(self, tokens, state):
        return self.decoder.step(self.embedding(tokens), state)

    def scores(self, state):
        """Logits (B, words) of the next word."""
        return self.output(state).data


def noisy(sentence, rng, words, distance=3, drop=0.1, blank=0.1, replace=0.1):
    """A sentence's numbers with noise: words change places, then some are dropped, blanked or replaced.

    distance  no word moves further than this: they are sorted by i + distance u, u uniform in [0, 1)
    drop, blank, replace   chances, one after the other: dropped, else made UNKNOWN, else a random word of `words`
    The last number, END, stays where it is.  At least one word is left.
    """
    body, end = sentence[:-1], sentence[-1:]
    body = body[np.argsort(np.arange(len(body)) + distance * rng.random(len(body)), kind="stable")]
    dropped, blanked, replaced = (rng.random(len(body)) < chance for chance in (drop, blank, replace))
    body = np.where(blanked, UNKNOWN, np.where(replaced, rng.integers(4, words, len(body)), body))
    kept = body[~dropped]
    return np.concatenate([kept if len(kept) else body[:1], end])


def between(first, second, steps=5):
    """Codes (steps, width) on the straight line from one code to another, both included (csc321 generate)."""
    return first + np.linspace(0, 1, steps)[:, None].astype(first.dtype) * (second - first)
