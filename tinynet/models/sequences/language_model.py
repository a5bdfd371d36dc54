"""A recurrent language model (csc321 lm, stacked): after each token, scores of the one that comes next.

    e[t] = E[token t],  h[t] = layers(e[t], h[t-1]),  scores = W h[t] + b
"""

import numpy as np

from tinynet import nn
from tinynet.backend import no_grad
from tinynet.blocks.sequences.embedding import Embedding
from tinynet.blocks.sequences.gru import GRU
from tinynet.blocks.sequences.lstm import LSTM
from tinynet.blocks.sequences.masking import check_sentences
from tinynet.blocks.sequences.rnn import RNN
from tinynet.blocks.sequences.stacked import Stacked
from tinynet.blocks.sequences.state import detached, mapped
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.linear import Linear
from tinynet.models.sequences.word_loss import word_loss

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
        self.embedding = Embedding(words, features, scale=1.0, **given)         # at .1 the net ends .08 nats higher
        sizes = [features, *[width] * layers]
        self.layers = Stacked(*(CELLS[cell](d, width, **given) for d in sizes[:-1]), p=p, rng=rng)
        self.drop, self.output = Dropout(p, rng), Linear(width, words, **given)

    def features(self, tokens, state=None):
        """What the output layer is applied to, (B, T, width), and the state."""
        check_sentences("LanguageModel", tokens)
        h, state = self.layers.run(self.drop(self.embedding(tokens)), state)
        return self.drop(h), state

    def forward(self, tokens, state=None):
        h, state = self.features(tokens, state)
        return self.output(h), state

    def loss(self, tokens, targets, state=None):
        """(mean cross-entropy of the next tokens, state): truncated backpropagation goes on from detached(state)."""
        h, state = self.features(tokens, state)
        return word_loss(h, self.output.W, self.output.b, targets), state

    def read(self, tokens, state=None):
        return self.layers.run(self.embedding(tokens), state)[1]

    def step(self, tokens, state=None):
        return self.layers.step(self.embedding(tokens), state)

    def scores(self, state):
        """Logits (B, words) of the next token."""
        return self.output(self.layers.shown(state)).data


class Carried(nn.Module):
    """A language model that goes on reading: truncated backpropagation over the batches of train.batches.Streams.

    Its buffers hold the state of B streams after the last batch, so that a checkpoint of `fit` has it, too.
    Evaluation carries a state of its own, of any number of streams.
    """

    def __init__(self, net, B):
        self.net, self.read = net, None
        self.state = mapped(lambda s: nn.Buffer(s.data), net.layers.start(B, net.output.W.dtype))

    def loss(self, tokens, targets, begins=True):
        """The mean cross-entropy of the next tokens; where nothing begins, behind the batch before."""
        before = self.state if self.training else self.read
        loss, state = self.net.loss(tokens, targets, None if begins else detached(before))
        if self.training:
            mapped(_keep, self.state, state)
        else:
            self.read = detached(state)
        return loss


def _keep(buffer, new):
    buffer.data = new.data


def nats(net, tokens, T=256):
    """The mean cross-entropy in nats of a text, each token after all before it.

    Raises ValueError for a text of fewer than two tokens, where none comes after another.
    """
    if len(tokens) < 2:
        raise ValueError(f"nats: the text has {len(tokens)} token(s), so none comes after another; give 2 or more")
    total, state = 0.0, None
    with no_grad():
        for t in range(0, len(tokens) - 1, T):
            part, nxt = tokens[None, t:min(t + T, len(tokens) - 1)], tokens[None, t + 1:t + T + 1]
            loss, state = net.loss(part, nxt, state)
            total += loss.item() * part.size
    return total / (len(tokens) - 1)
