"""Encoder and decoder (csc321 seq2seq): one recurrent net reads a sentence, another writes its translation.

    h[j] = [forward GRU; backward GRU]                          csc321 birnn
    s[0] = tanh(W [last forward state; last backward state])
    attention="before": c[i] from s[i-1], then s[i] = GRU([e[i]; c[i]], s[i-1])         csc321 context, score
    attention="after":  s[i] = GRU(e[i], s[i-1]), then c[i] from s[i]                   Luong et al. 2015
    attention=None:     s[i] = GRU(e[i], s[i-1]), c[i] = [last forward; last backward] for all i
    scores of the next word = V tanh(P [s[i]; c[i]; e[i]])      e[i] the vector of the word before

The three differ in where c comes from and in nothing else, so that they can be compared (csc321 length).
"""

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.sequences.additive_attention import AdditiveAttention, additive_attention_weights
from tinynet.blocks.sequences.attention_gru import AttentionGRU
from tinynet.blocks.sequences.bidirectional import Bidirectional
from tinynet.blocks.sequences.embedding import Embedding
from tinynet.blocks.sequences.gru import GRU
from tinynet.blocks.sequences.masking import PAD, check_sentences
from tinynet.blocks.units.activations import tanh
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.linear import Linear
from tinynet.models.sequences.word_loss import word_loss


class EncoderDecoder(nn.Module):
    """source (B, S), its mask (B, S), inputs (B, T) -> what stands before the output layer, (B, T, features).

    source_words, target_words    sizes of the vocabularies
    features     of the words' vectors and of the layer before the output
    width        of each direction of the encoder; the decoder's is twice that
    hidden       units of the score
    attention    "before", "after" or None, as above
    p            dropout of the words' vectors and before the output; rng is a seed or np.random.Generator
    """

    def __init__(self, source_words, target_words, features=96, width=80, hidden=64, attention="before", p=0.0,
                 rng=None, dtype=np.float32):
        if attention not in ("before", "after", None):
            raise ValueError(f'EncoderDecoder: attention is {attention!r}; choose "before", "after" or None')
        rng = np.random.default_rng(rng)
        given, E, H = dict(rng=rng, dtype=dtype), features, 2 * width
        self.attention = attention
        self.source = Embedding(source_words, E, padding=PAD, **given)
        self.target = Embedding(target_words, E, **given)
        self.encoder = Bidirectional(GRU(E, width, **given), GRU(E, width, **given))
        self.first = Linear(H, H, **given)
        self.decoder = AttentionGRU(E, H, H, hidden, **given) if attention == "before" else GRU(E, H, **given)
        self.attend = AdditiveAttention(H, H, hidden, **given) if attention == "after" else None
        self.before_output = Linear(H + H + E, E, **given)
        self.output = Linear(E, target_words, **given)
        self.drop = Dropout(p, rng)

    def encode(self, source, mask=None):
        """The state before the first word.  A state is (the decoder's state, features of the scores).

        Raises ValueError for a sentence without a word, ShapeError for a mask that doesn't fit.
        """
        check_sentences("EncoderDecoder", source, mask)
        h, ends = self.encoder.run(self.drop(self.source(source)), None, mask)
        summary = ops.concatenate(*ends, axis=1)
        s0 = tanh(self.first(summary))
        if self.attention == "before":
            return self.decoder.begun(s0, h, mask), None
        return (s0, summary, h, mask), None

    def decode(self, inputs, state):
        """(features (B, T, E) of the scores after each word, maps (B, T, S) or None, state)."""
        check_sentences("EncoderDecoder", inputs)
        e = self.drop(self.target(inputs))
        inner, maps = state[0], None
        if self.attention == "before":
            y, inner = self.decoder.run(e, inner)
            maps = inner[2]
        else:
            s, summary, h, mask = inner
            states, s = self.decoder.run(e, s)
            c = self._context(states, summary, h, mask)
            y, inner = ops.concatenate(states, c, axis=2), (s, summary, h, mask)
        features = tanh(self.before_output(self.drop(ops.concatenate(y, e, axis=2))))
        return features, maps, (inner, features[:, -1])

    def _context(self, s, summary, h, mask):
        if self.attend is not None:
            return self.attend(s, h, None if mask is None else mask[:, None])
        B, T, _ = s.shape
        return ops.broadcast_to(summary.reshape(B, 1, summary.shape[1]), shape=(B, T, summary.shape[1]))

    def forward(self, source, mask, inputs):
        return self.decode(inputs, self.encode(source, mask))[0]

    def loss(self, source, mask, inputs, targets):
        """Mean cross-entropy of the target's real words, under teacher forcing (csc321 teacher)."""
        return word_loss(self(source, mask, inputs), self.output.W, self.output.b, targets)

    def step(self, tokens, state):
        """One more word of the target (B) -> state."""
        return self.decode(tokens[:, None], state)[2]

    def scores(self, state):
        """Logits (B, V) of the next word."""
        return self.output(state[1]).data

    def map(self, source, mask, inputs):
        """The attention map (B, T, S) of these words (csc321 map), an array; None without attention."""
        state = self.encode(source, mask)
        if self.attention == "after":
            s0, _, h, _ = state[0]
            s, _ = self.decoder.run(self.drop(self.target(inputs)), s0)
            W, U, v = (p.data for p in (self.attend.W, self.attend.U, self.attend.v))
            return additive_attention_weights(s.data, h.data, W, U, v, None if mask is None else mask[:, None])
        return None if self.attention is None else self.decode(inputs, state)[1].data
