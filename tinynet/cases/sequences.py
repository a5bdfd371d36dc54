"""Cases of attention and recurrent nets."""

import numpy as np

from tinynet.blocks.sequences import additive_attention as _additive_attention
from tinynet.blocks.sequences import attention as _attention
from tinynet.blocks.sequences import attention_gru as _attention_gru
from tinynet.blocks.sequences import bidirectional as _bidirectional
from tinynet.blocks.sequences import embedding as _embedding
from tinynet.blocks.sequences import gru as _gru
from tinynet.blocks.sequences import lstm as _lstm
from tinynet.blocks.sequences import multi_head as _multi_head
from tinynet.blocks.sequences import positions as _positions
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


@case(_attention.attention)
def attention_dropout(rng, B, M, N, D, E):
    Q, K, V = rng.normal(size=(B, M, D)), rng.normal(size=(B, N, D)), rng.normal(size=(B, N, E))
    return (Q, K, V, None, rng.random((B, M, N)) < 0.7), dict(p=0.3)


@case(_attention.attention)
def attention_added_mask(rng, B, N, D, E):
    Q, K, V = rng.normal(size=(B, N, D)), rng.normal(size=(B, N, D)), rng.normal(size=(B, N, E))
    nearness = -np.abs(np.arange(N)[:, None] - np.arange(N)) / 2.0     # a constant: it gets no gradient
    return (Q, K, V), dict(mask=nearness, causal=True)


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


# %% A decoder that looks before each step
def _attending(rng, B, T, N, D, Q, F, H):
    x, h, k = rng.normal(size=(B, T, D)), rng.normal(size=(B, N, Q)), rng.normal(size=(B, N, F))
    A, v = rng.normal(size=(F, H)), rng.normal(size=F)
    W, U = rng.normal(size=(D + Q, 3 * H)), rng.normal(size=(H, 3 * H))
    return x, h, k, A, v, W, U, rng.normal(size=3 * H), rng.normal(size=H), rng.normal(size=(B, H))


@case(_attention_gru.attention_gru)
def attention_gru(rng, B, T, N, D, Q, F, H):
    return _attending(rng, B, T, N, D, Q, F, H)


@case(_attention_gru.attention_gru)
def attention_gru_padding(rng, B, T, N, D, Q, F, H):
    return *_attending(rng, B, T, N, D, Q, F, H), _ends(rng, B, N)


# %% Transformer
@case(_multi_head.multi_head)
def multi_head(rng, B, M, D, H):
    return (rng.normal(size=(B, M, 3 * H * D)),), dict(heads=max(H, 1), causal=True)


@case(_multi_head.multi_head)
def multi_head_over_a_memory(rng, B, M, N, D, H):
    x, z = rng.normal(size=(B, M, H * D)), rng.normal(size=(B, N, 2 * H * D))
    return (x, z, rng.random((B, 1, 1, N)) < 0.7, rng.random((B, max(H, 1), M, N)) < 0.8), dict(heads=max(H, 1), p=0.2)


@case(_positions.rotary)
def rotary(rng, B, T, D):
    return (rng.normal(size=(B, T, 2 * D)),), dict(first=3)
