"""The loss of a net that writes words: cross-entropy of the real ones, behind an output layer (csc321 lm, teacher)."""

import numpy as np

from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.losses.linear_cross_entropy import linear_cross_entropy
from tinynet.blocks.sequences.embedding import embedding
from tinynet.blocks.units.linear import linear

WHOLE = 2 ** 25     # so many logits may stand in memory together: 128 MiB, and as much for their gradient


def real_tokens(h, targets):
    """(rows of h (B, T, D) whose target counts, those targets), gathered before the output layer, which costs most.

    targets (B, T), -1 where there is none
    """
    rows = np.flatnonzero(targets.reshape(-1) >= 0)
    return embedding(h.reshape(-1, h.shape[2]), rows), targets.reshape(-1)[rows]


def word_loss(h, W, b, targets, smoothing=0.0):
    """Mean cross-entropy in nats of the words (B, T), -1 where there is none.

    h (B, T, D)       what stands before the output layer W (V, D), b (V) or None
    smoothing         of the targets
    """
    if (targets < 0).any():
        h, targets = real_tokens(h, targets)
    if targets.size * len(W) > WHOLE:
        return linear_cross_entropy(h, W, b, targets, smoothing=smoothing)
    return cross_entropy(linear(h, W, b), targets, smoothing=smoothing)


def start_at_frequencies(b, tokens):
    """Let an output layer's bias b (V) begin as the log of the words' shares in `tokens`, counted with one more each.

    Otherwise the features before the layer learn these shares first, since each of their many weights moves as fast
    as the bias: tanh is saturated after some 25 steps of Adam, and a translator stays at the shares for epochs.
    """
    counts = np.bincount(tokens, minlength=len(b.data)) + 1
    b.data = np.log(counts / counts.sum()).astype(b.dtype)
