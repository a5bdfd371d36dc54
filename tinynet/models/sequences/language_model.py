"""A recurrent language model (csc321 lm, stacked): after each token, scores of the one that comes next.

    e[t] = E[token t],  h[t] = layers(e[t], h[t-1]),  scores = W h[t] + b
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.sequences.embedding import Embedding
from tinynet.blocks.sequences.gru import GRU
from tinynet.blocks.sequences.lstm import LSTM
from tinynet.blocks.sequences.rnn import RNN
from tinynet.blocks.sequences.stacked import Stacked
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.linear import Linear
from tinynet.engine import no_grad

CELLS = dict(rnn=RNN, gru=GRU, lstm=LSTM)


class LanguageModel(nn.Module):
    """tokens (B, T), state or None -> scores (B, T, words), state.

    words, features, width   size of the vocabulary, of the tokens' vectors and of each layer
    cell                     "rnn", "gru" or "lstm"; `layers` of them, one above the other
    p                        dropout of vectors, between layers and before the output
    rng is a seed or np.random.Generator.
    """

    def __init__(self, words, features=64, width=128, cell="gru", layers=1, p=0.0, rng=None, dtype=np.float32):
        if cell not in CELLS:
            raise ValueError(f"LanguageModel: there is no cell {cell!r}; choose one of {', '.join(CELLS)}")
        rng = np.random.default_rng(rng)
        given = dict(rng=rng, dtype=dtype)
        self.embedding = Embedding(words, features, **given)
        sizes = [features, *[width] * layers]
        self.layers = Stacked(*(CELLS[cell](d, width, **given) for d in sizes[:-1]), p=p, rng=rng)
        self.drop, self.output = Dropout(p, rng), Linear(width, words, **given)

    def forward(self, tokens, state=None):
        h, state = self.layers.run(self.drop(self.embedding(tokens)), state)
        return self.output(self.drop(h)), state

    def loss(self, tokens, targets, state=None):
        """(mean cross-entropy of the next tokens, state): truncated backpropagation goes on from detached(state)."""
        scores, state = self(tokens, state)
        return cross_entropy(scores, targets), state

    def read(self, tokens, state=None):
        return self.layers.run(self.embedding(tokens), state)[1]

    def step(self, tokens, state=None):
        return self.layers.step(self.embedding(tokens), state)

    def scores(self, state):
        """Logits (B, words) of the next token."""
        return self.output(self.layers.shown(state)).data


def streams(tokens, B, T):
    """(inputs, targets), (B, T) each, of a long text cut into B streams that are read side by side, T steps at a time.

    The state of a stream is carried from one piece to the next, so that a net can remember for longer than T.
    """
    if len(tokens) <= B * T:
        raise ValueError(f"streams: a text of {len(tokens)} tokens is too short for {B} streams of {T} steps; give "
                         "more text, or fewer and shorter streams")
    length = (len(tokens) - 1) // B
    inputs, targets = (tokens[i:i + B * length].reshape(B, length) for i in (0, 1))
    for t in range(0, length - T + 1, T):
        yield inputs[:, t:t + T], targets[:, t:t + T]


def nats(net, tokens, T=256):
    """The mean cross-entropy in nats of a text, each token after all before it."""
    total, state = 0.0, None
    with no_grad():
        for t in range(0, len(tokens) - 1, T):
            part, nxt = tokens[None, t:min(t + T, len(tokens) - 1)], tokens[None, t + 1:t + T + 1]
            loss, state = net.loss(part, nxt, state)
            total += loss.item() * part.size
    return total / (len(tokens) - 1)
