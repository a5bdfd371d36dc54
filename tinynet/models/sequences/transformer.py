"""Transformers (csc321 transformer, lm): attention only, and positions to say what stands where.

GPT is the decoder alone, a language model: GPT-2's form with biases, nanoGPT's small one without.
Transformer has an encoder, too, and translates: Vaswani et al. 2017, arXiv:1706.03762.
Radford et al. 2019, "Language models are unsupervised multitask learners".
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.sequences.embedding import Embedding
from tinynet.blocks.sequences.masking import PAD, check_sentences
from tinynet.blocks.sequences.positions import LearntPositions, Rotary, Sinusoid
from tinynet.blocks.sequences.transformer_block import TransformerBlock
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.layer_norm import LayerNorm
from tinynet.blocks.units.linear import linear
from tinynet.models.sequences.word_loss import word_loss
from tinynet.shapes import ShapeError


def normal_start(module, layers, rng, scale=0.02):
    """GPT-2's first values: matrices N(0, 0.02^2), divided by sqrt(2 layers) where they feed the residual stream."""
    for name, parameter in module.named_parameters():
        if parameter.ndim == 2:
            feeds = name.endswith(("out.W", "outer.W"))
            deviation = scale / np.sqrt(2 * layers) if feeds else scale
            parameter.data = (deviation * rng.normal(size=parameter.shape)).astype(parameter.dtype)


def without_shift(module):
    """Turn the bias of every layer norm below into a constant 0: nanoGPT's form without any biases."""
    for _, part in module.named_modules():
        if isinstance(part, LayerNorm):
            part.bias = nn.Buffer(part.bias.data)


class GPT(nn.Module):
    """tokens (B, T) -> scores (B, T, words) of the token after each; T is at most `context`.

    words, features, heads, layers    size of the vocabulary, of the vectors, and how many heads and layers
    bias         False: no biases anywhere, as in nanoGPT; then 804,096 numbers with the settings of its small model
    positions    "learnt" or "rotary"
    activation   "gelu", or "gelu_tanh" as GPT-2 was trained with
    p            dropout; rng is a seed or np.random.Generator
    The output matrix is the table of the tokens' vectors ("tied").

    For writing, a state is (the last token's vector, the tokens so far, keys and values of all layers).  Where the
    context is full it begins anew with the later half of the tokens.
    """

    def __init__(self, words, context=64, features=128, heads=4, layers=4, bias=True, positions="learnt",
                 activation="gelu", p=0.0, rng=None, dtype=np.float32):
        if positions not in ("learnt", "rotary"):
            raise ValueError(f'GPT: positions are {positions!r}; choose "learnt" or "rotary"')
        rng = np.random.default_rng(rng)
        self.context = context
        self.embedding = Embedding(words, features, rng=rng, dtype=dtype)
        self.positions = LearntPositions(context, features, rng=rng, dtype=dtype) if positions == "learnt" else None
        turn = Rotary() if positions == "rotary" else None
        given = dict(causal=True, p=p, bias=bias, activation=activation, rotary=turn, rng=rng, dtype=dtype)
        self.blocks = [TransformerBlock(features, heads, **given) for _ in range(layers)]
        self.norm, self.drop = LayerNorm(features, dtype=dtype), Dropout(p, rng)
        if not bias:
            without_shift(self)
        normal_start(self, layers, rng)

    def _vectors(self, tokens, first=0):
        x = self.embedding(tokens)
        return self.drop(x if self.positions is None else self.positions(x, first))

    def features(self, tokens):
        """What the output matrix is applied to, (B, T, features)."""
        check_sentences("GPT", tokens)
        if tokens.shape[1] > self.context:
            raise ShapeError(f"GPT: {tokens.shape[1]} tokens are more than the context of {self.context}; shorten "
                             "them, or build a net with a longer context")
        x = self._vectors(tokens)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, tokens):
        return linear(self.features(tokens), self.embedding.E)

    def loss(self, tokens, targets):
        """Mean cross-entropy of the next tokens; targets -1 don't count."""
        return word_loss(self.features(tokens), self.embedding.E, None, targets)

    # %% Writing
    def read(self, tokens, state=None):
        """The state after these tokens (B, T), which may be at most `context`."""
        check_sentences("GPT", tokens)
        if tokens.shape[1] > self.context:
            raise ShapeError(f"GPT: a prompt of {tokens.shape[1]} tokens is longer than the context of {self.context}; "
                             "shorten it")
        _, so_far, layers = state or (None, np.empty((len(tokens), 0), np.int64), tuple(b.begun() for b in self.blocks))
        if so_far.shape[1] + tokens.shape[1] > self.context:
            kept = max(self.context // 2 - tokens.shape[1], 0)
            return self.read(np.concatenate([so_far[:, so_far.shape[1] - kept:], tokens], axis=1))
        x, new = self._vectors(tokens, so_far.shape[1]), []
        for block, old in zip(self.blocks, layers, strict=True):
            x, found = block.extend(x, old)
            new.append(found)
        return x[:, -1], np.concatenate([so_far, tokens], axis=1), tuple(new)

    def step(self, tokens, state=None):
        return self.read(tokens[:, None], state)

    def scores(self, state):
        """Logits (B, words) of the next token."""
        return linear(self.norm(state[0]), self.embedding.E).data

    def maps(self, tokens):
        """(layers, B, heads, T, T): what each head looks at."""
        x, found = self._vectors(tokens), []
        for block in self.blocks:
            found.append(block.attention.weights(block.norm1(x)))
            x = block(x)
        return np.stack(found)


class Transformer(nn.Module):
    """source (B, S), its mask (B, S), inputs (B, T) -> features (B, T, features) of the next words' scores.

    The same calls as EncoderDecoder: encode, loss, step, scores.  Vectors are scaled by sqrt(features), positions are
    sinusoids, the target's vectors are the output matrix, too.
    """

    def __init__(self, source_words, target_words, features=128, heads=4, layers=2, hidden=512, first=True, p=0.0,
                 smoothing=0.0, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        given = dict(hidden=hidden, first=first, p=p, activation="relu", rng=rng, dtype=dtype)
        self.source = Embedding(source_words, features, PAD, features ** -0.5, rng, dtype)
        self.target = Embedding(target_words, features, None, features ** -0.5, rng, dtype)
        self.positions, self.drop, self.smoothing = Sinusoid(), Dropout(p, rng), smoothing
        self.encoder = [TransformerBlock(features, heads, **given) for _ in range(layers)]
        self.decoder = [TransformerBlock(features, heads, causal=True, cross=True, **given) for _ in range(layers)]
        self.encoder_norm, self.decoder_norm = (LayerNorm(features, dtype=dtype) for _ in range(2))

    def _vectors(self, table, tokens, first=0):
        return self.drop(self.positions(table(tokens) * float(np.sqrt(table.E.shape[1])), first))

    def memory(self, source, mask=None):
        check_sentences("Transformer", source, mask)
        x = self._vectors(self.source, source)
        for block in self.encoder:
            x = block(x, mask)
        return self.encoder_norm(x)

    def forward(self, source, mask, inputs):
        check_sentences("Transformer", inputs)
        memory, x = self.memory(source, mask), self._vectors(self.target, inputs)
        for block in self.decoder:
            x = block(x, None, memory, mask)
        return self.decoder_norm(x)

    def loss(self, source, mask, inputs, targets):
        """Mean cross-entropy of the target's real words; smoothed while training."""
        return word_loss(self(source, mask, inputs), self.target.E, None, targets,
                         smoothing=self.smoothing if self.training else 0.0)

    # %% Writing
    def encode(self, source, mask=None):
        """The state before the first word: (the last word's vector, the next word's position, all layers' states)."""
        memory = self.memory(source, mask)
        return None, np.zeros(len(source), np.int64), tuple(block.begun(memory, mask) for block in self.decoder)

    def step(self, tokens, state):
        _, positions, layers = state
        x, new = self._vectors(self.target, tokens[:, None], int(positions[0])), []
        for block, old in zip(self.decoder, layers, strict=True):
            x, found = block.extend(x, old)
            new.append(found)
        return x[:, 0], positions + 1, tuple(new)

    def scores(self, state):
        """Logits (B, V) of the next word."""
        return linear(self.decoder_norm(state[0]), self.target.E).data

