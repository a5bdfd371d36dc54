"""Captions with attention over a picture's places (csc321 caption): Xu et al. 2015, "Show, Attend and Tell".

    a[j] = encoder(image)[j]                                    one vector a place
    s[0] = tanh(W mean_j a[j])
    c[i] from s[i-1], s[i] = GRU([e[i]; c[i]], s[i-1])          attention_gru: which places to look at for word i
    scores of the next word = V tanh(P [s[i]; c[i]; e[i]])
    penalty = lambda mean over pictures of sum_j (1 - sum_i alpha[i,j])^2       each place is looked at about once

arXiv:1502.03044, sections 3.1.2 and 4.2.1.
"""

import numpy as np

from tinynet import nn, ops
from tinynet.blocks.sequences.attention_gru import AttentionGRU
from tinynet.blocks.sequences.embedding import Embedding
from tinynet.blocks.sequences.masking import check_sentences
from tinynet.blocks.units.activations import relu, tanh
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.linear import Linear
from tinynet.models.sequences.word_loss import word_loss
from tinynet.shapes import ShapeError


class WindowEncoder(nn.Module):
    """images (B, C, H, W) -> (B, places, features): two layers on every window of size x size pixels, `stride` apart.

    That is one convolution with stride, and one of 1 x 1, written as linear layers on the windows.
    """

    def __init__(self, channels, size, stride, hidden, features, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.size, self.stride = size, stride
        self.first = Linear(channels * size * size, hidden, rng=rng, dtype=dtype)
        self.second = Linear(hidden, features, rng=rng, dtype=dtype)

    def grid(self, height, width):
        """How many windows there are in each column and in each row."""
        if min(height, width) < self.size:
            raise ShapeError(f"WindowEncoder: images of {height} x {width} pixels are smaller than a window of "
                             f"{self.size} x {self.size}; give larger images")
        return (height - self.size) // self.stride + 1, (width - self.size) // self.stride + 1

    def forward(self, images):
        if images.ndim != 4 or images.dtype == np.uint8:
            raise ShapeError(f"WindowEncoder: images are {images.dtype} of shape {images.shape}, but must be floating "
                             "numbers (B, C, H, W); give one picture as images[None], and bytes as images / 255")
        rows, columns = self.grid(*images.shape[2:])
        windows = np.lib.stride_tricks.sliding_window_view(images, (self.size, self.size), axis=(2, 3))
        windows = windows[:, :, ::self.stride, ::self.stride].transpose(0, 2, 3, 1, 4, 5)
        return relu(self.second(relu(self.first(windows.reshape(len(images), rows * columns, -1)))))


class PixelEncoder(nn.Module):
    """images -> (B, places, channels) of any net that makes feature maps (B, channels, H, W): a place is a pixel."""

    def __init__(self, net):
        self.net = net

    def forward(self, images):
        maps = self.net(images)
        B, C = maps.shape[:2]
        return maps.reshape(B, C, -1).transpose(0, 2, 1)


class CaptionNet(nn.Module):
    """images, inputs (B, T) -> what stands before the output layer (B, T, features), maps (B, T, places).

    encoder    images -> (B, places, d_place)
    features   of the words' vectors and of the layer before the output
    width      of the decoder; hidden units of the score
    penalty    lambda of the doubly stochastic penalty
    p          dropout of the words' vectors and before the output; rng is a seed or np.random.Generator
    """

    def __init__(self, encoder, d_place, words, features=64, width=96, hidden=48, penalty=0.0, p=0.0, rng=None,
                 dtype=np.float32):
        rng = np.random.default_rng(rng)
        given = dict(rng=rng, dtype=dtype)
        self.encoder, self.penalty = encoder, penalty
        self.words = Embedding(words, features, **given)
        self.first = Linear(d_place, width, **given)
        self.decoder = AttentionGRU(features, d_place, width, hidden, **given)
        self.before_output = Linear(width + d_place + features, features, **given)
        self.output, self.drop = Linear(features, words, **given), Dropout(p, rng)

    def encode(self, images):
        """The state before the first word: (the decoder's state, features of the scores)."""
        places = self.encoder(images)
        return self.decoder.begun(tanh(self.first(places.mean(axis=1))), places), None

    def decode(self, inputs, state):
        """(features (B, T, features), maps (B, T, places), state)"""
        check_sentences("CaptionNet", inputs)
        e = self.drop(self.words(inputs))
        y, inner = self.decoder.run(e, state[0])
        features = tanh(self.before_output(self.drop(ops.concatenate(y, e, axis=2))))
        return features, inner[2], (inner, features[:, -1])

    def forward(self, images, inputs):
        return self.decode(inputs, self.encode(images))[:2]

    def loss(self, images, inputs, targets):
        """Mean cross-entropy of the real words, and the penalty over their maps."""
        features, maps = self(images, inputs)
        loss = word_loss(features, self.output.W, self.output.b, targets)
        if not self.penalty:
            return loss
        looked_at = (maps * (targets >= 0)[..., None].astype(maps.dtype)).sum(axis=1)
        return loss + ((1 - looked_at) ** 2).sum(axis=1).mean() * self.penalty

    def step(self, tokens, state):
        return self.decode(tokens[:, None], state)[2]

    def scores(self, state):
        """Logits (B, words) of the next word."""
        return self.output(state[1]).data
