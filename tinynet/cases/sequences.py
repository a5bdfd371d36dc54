"""Cases of attention and recurrent nets."""

import numpy as np

from tinynet.blocks.sequences import additive_attention as _additive_attention
from tinynet.blocks.sequences import attention as _attention
from tinynet.blocks.sequences import bidirectional as _bidirectional
from tinynet.blocks.sequences import embedding as _embedding
from tinynet.blocks.sequences import gru as _gru
from tinynet.blocks.sequences import lstm as _lstm
from tinynet.blocks.sequences import rnn as _rnn
from tinynet.blocks.sequences.masking import tokens
from tinynet.cases.registry import case, plain

plain("attention", _attention.attention, "M D, N D, N E")
plain("attention_batch_heads", _attention.attention, "B H M D, B H N D, B H N E", scale=0.7)
plain("attention_causal", _attention.attention, "B M D, B N D, B N E", causal=True)


@case(_attention.attention)
def attention_mask(rng, B, M, N, D, E):
    Q, K, V = rng.normal(size=(B, M, D)), rng.normal(size=(B, N, D)), rng.normal(size=(B, N, E))
    return Q, K, V, rng.random((B, M, N)) < 0.6


@case(_attention.attention)
def attention_padding_causal(rng, B, H, N, D):
    Q, K, V = rng.normal(size=(3, B, H, N, D))
    return (Q, K, V, rng.random((B, 1, 1, N)) < 0.6), dict(causal=True)


@case(_attention.attention)
def attention_row_without_keys(rng, M, N, D, E):
    may_attend = np.broadcast_to(np.arange(M)[:, None] > 0, (M, N))     # query 0 has nothing
    return rng.normal(size=(M, D)), rng.normal(size=(N, D)), rng.normal(size=(N, E)), may_attend


plain("additive_attention", _additive_attention.additive_attention, "M P, N Q, A P, A Q, A")
plain("additive_attention_batch", _additive_attention.additive_attention, "B M P, B N Q, A P, A Q, A")


@case(_additive_attention.additive_attention)
def additive_attention_mask(rng, B, M, N, P, Q, A):
    s, h = rng.normal(size=(B, M, P)), rng.normal(size=(B, N, Q))
    W, U, v = rng.normal(size=(A, P)), rng.normal(size=(A, Q)), rng.normal(size=A)
    return s, h, W, U, v, rng.random((B, M, N)) < 0.6


@case(_additive_attention.additive_attention)
def additive_attention_row_without_keys(rng, M, N, P, Q, A):
    may_attend = np.broadcast_to(np.arange(M)[:, None] > 0, (M, N))     # state 0 has nothing
    s, h = rng.normal(size=(M, P)), rng.normal(size=(N, Q))
    return s, h, rng.normal(size=(A, P)), rng.normal(size=(A, Q)), rng.normal(size=A), may_attend


# %% Embedding
@case(_embedding.embedding, never_empty="V")
def embedding(rng, V, D, B, T):
    return rng.normal(size=(V, D)), rng.integers(0, max(V, 1), (B, T))


@case(_embedding.embedding, never_empty="V")
def embedding_padding(rng, V, D, B, T):
    return (rng.normal(size=(V, D)), rng.integers(0, max(V, 1), (B, T))), dict(padding=0)


# %% Recurrent: from zero, and from a state with a mask (one sequence may be empty)
def _recurrent(rng, gates, B, T, D, H):
    G = gates * H
    return rng.normal(size=(B, T, D)), rng.normal(size=(D, G)), rng.normal(size=(H, G)), rng.normal(size=G)


def _ends(rng, B, T):
    return tokens(rng.integers(0, T + 1, B), T)


@case(_rnn.rnn)
def rnn(rng, B, T, D, H):
    return _recurrent(rng, 1, B, T, D, H)


@case(_rnn.rnn)
def rnn_start_and_mask(rng, B, T, D, H):
    return *_recurrent(rng, 1, B, T, D, H), rng.normal(size=(B, H)), _ends(rng, B, T)


@case(_gru.gru)
def gru(rng, B, T, D, H):
    return *_recurrent(rng, 3, B, T, D, H), rng.normal(size=H)


@case(_gru.gru)
def gru_start_and_mask(rng, B, T, D, H):
    return *_recurrent(rng, 3, B, T, D, H), rng.normal(size=H), rng.normal(size=(B, H)), _ends(rng, B, T)


@case(_gru.gru)
def gru_reset_before(rng, B, T, D, H):
    return (*_recurrent(rng, 3, B, T, D, H), None, rng.normal(size=(B, H)), _ends(rng, B, T)), dict(reset="before")


@case(_lstm.lstm)
def lstm(rng, B, T, D, H):
    return _recurrent(rng, 4, B, T, D, H)


@case(_lstm.lstm)
def lstm_start_and_mask(rng, B, T, D, H):
    return *_recurrent(rng, 4, B, T, D, H), *rng.normal(size=(2, B, H)), _ends(rng, B, T)


@case(_bidirectional.turned)
def turned(rng, B, T, D):
    return rng.normal(size=(B, T, D)), tokens(rng.integers(0, T + 1, B), T)


plain("turned_full_length", _bidirectional.turned, "B T D")
