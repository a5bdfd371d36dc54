"""The decoder that looks before each step, and multiplicative scores; the battery checks the gradients."""

import math

import numpy as np
import pytest

import tinynet as tn
from tinynet.blocks.sequences.additive_attention import additive_attention_weights
from tinynet.blocks.sequences.attention import attention, attention_weights
from tinynet.blocks.sequences.attention_gru import AttentionGRU, attention_gru, attention_gru_forward
from tinynet.blocks.sequences.masking import tokens
from tinynet.blocks.sequences.multiplicative_attention import MultiplicativeAttention
from tinynet.blocks.sequences.state import chosen, repeated
from tinynet.shapes import ShapeError


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def decoder():
    return AttentionGRU(3, 4, 5, 6, rng=0, dtype=float)


def test_one_step_by_hand():
    h, s0, x = [0.5, -1.0], 0.3, 2.0                # two annotations of one number each
    e = [0.7 * math.tanh(0.4 * s0 + 0.9 * h_j) for h_j in h]
    alpha = [math.exp(e_j) / sum(map(math.exp, e)) for e_j in e]
    ctx = sum(a * h_j for a, h_j in zip(alpha, h, strict=True))
    W, U, b, c = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], [0.7, -0.8, 0.9], [0.1, 0.0, -0.1], 0.2
    g = [W[0][i] * x + W[1][i] * ctx + b[i] for i in range(3)]
    r, z = (1 / (1 + math.exp(-(g[i] + U[i] * s0))) for i in range(2))
    s = (1 - z) * math.tanh(g[2] + r * (U[2] * s0 + c)) + z * s0
    y, _ = attention_gru_forward(
        np.array([[[x]]]), np.array(h).reshape(1, 2, 1), 0.9 * np.array(h).reshape(1, 2, 1), np.array([[0.4]]),
        np.array([0.7]), np.array(W), np.array([U]), np.array(b), np.array([c]), np.array([[s0]]))
    np.testing.assert_allclose(y.ravel(), [s, ctx, *alpha], rtol=1e-14)


def test_the_state_before_the_step_asks_and_not_the_one_after_it():
    net, h = decoder(), normal(2, 7, 4)
    s0 = normal(2, 5)
    _, state = net.run(normal(2, 3, 3), net.begun(tn.Tensor(s0), tn.Tensor(h)))
    U, b = net.key.W.data, net.key.b.data
    first = additive_attention_weights(s0[:, None], h + np.linalg.lstsq(U, b, rcond=None)[0], net.A.data, U, net.v.data)
    np.testing.assert_allclose(state[2].data[:, 0], first[:, 0], atol=1e-12)


def test_a_run_is_the_step_repeated_and_goes_on_from_where_it_stopped():
    net, x, h, mask = decoder(), normal(2, 4, 3), tn.Tensor(normal(2, 6, 4)), tokens([6, 2])
    begin = net.begun(tn.Tensor(normal(2, 5)), h, mask)
    y, (s, ctx, maps, *_) = net.run(x, begin)
    g, state = repeated(net, x, begin)
    np.testing.assert_allclose(y.data, g.data, atol=1e-13)
    np.testing.assert_allclose(s.data, state[0].data, atol=1e-13)
    np.testing.assert_allclose(ctx.data, (maps.data[:, -1:] @ h.data)[:, 0], atol=1e-13)


def test_a_sentence_doesnt_depend_on_the_batch_it_is_in():
    net, x = decoder(), normal(3, 4, 3)
    h, s0 = normal(3, 6, 4), normal(3, 5)
    y, state = net.run(x, net.begun(tn.Tensor(s0), tn.Tensor(h), tokens([6, 2, 4])))
    alone, _ = net.run(x[1:2], net.begun(tn.Tensor(s0[1:2]), tn.Tensor(h[1:2, :2])))
    np.testing.assert_allclose(y.data[1], alone.data[0], atol=1e-13)
    assert not state[2].data[1, :, 2:].any()
    np.testing.assert_allclose(state[2].data.sum(axis=2), 1)


def test_a_source_of_padding_alone_gives_no_context_and_gets_no_gradient():
    h = tn.Tensor(normal(1, 3, 4), requires_grad=True)
    net = decoder()
    y, _ = net.run(normal(1, 2, 3), net.begun(tn.Tensor(normal(1, 5)), h, tokens([0], 3)))
    assert not y.data[..., 5:].any()
    (y * normal(*y.shape)).sum().backward()
    assert not h.grad.any()


def test_beams_take_their_annotations_with_them():
    net = decoder()
    begin = net.begun(tn.Tensor(normal(2, 5)), tn.Tensor(normal(2, 6, 4)), tokens([6, 3]))
    state = chosen(begin, np.array([1, 1, 0]))
    y, _ = net.run(normal(3, 1, 3), state)
    assert y.shape == (3, 1, 9)


def test_what_doesnt_fit_is_named():
    a = [normal(*s) for s in ((1, 2, 3), (1, 4, 5), (1, 4, 6), (6, 7), (6,), (8, 21), (7, 21), (21,), (7,), (1, 7))]
    attention_gru(*a)
    with pytest.raises(ShapeError, match=r"attention_gru: .*B is 1 and 2"):
        attention_gru(*a[:-1], normal(2, 7))
    with pytest.raises(ShapeError, match="attention_gru: W"):
        attention_gru(*a[:5], normal(7, 21), *a[6:])
    with pytest.raises(ShapeError, match=r"attention_gru: mask has shape \(1, 3\)"):
        attention_gru(*a, np.ones((1, 3), bool))


# %% Multiplicative scores
def test_general_and_dot_scores_by_their_equations():
    s, h, mask = normal(2, 3, 4), normal(2, 5, 6, seed=1), tokens([5, 2])[:, None]
    net = MultiplicativeAttention(4, 6, rng=0, dtype=float)
    e = np.where(mask, np.einsum("bmp,pq,bnq->bmn", s, net.G.data, h), -np.inf)
    alpha = np.exp(e) / np.exp(e).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(net.weights(s, h, mask), alpha)
    np.testing.assert_allclose(net(s, h, mask).data, alpha @ h)
    dot = MultiplicativeAttention(6, 6, general=False)
    np.testing.assert_allclose(dot(h, h).data, attention(h, h, h, scale=1.0).data)
    np.testing.assert_allclose(dot.weights(h, h), attention_weights(h, h, scale=1.0))


def test_a_dot_product_needs_equal_widths():
    with pytest.raises(ValueError, match="MultiplicativeAttention: states of 4 and annotations of 6"):
        MultiplicativeAttention(4, 6, general=False)


def test_dropout_of_weights_is_right_on_average_and_off_in_evaluation():
    from tinynet.blocks.sequences.attention import ScaledDotProductAttention
    net, Q = ScaledDotProductAttention(p=0.3, rng=0), normal(400, 6, 4)
    whole, dropped = attention(Q, Q, Q).data, net(Q, Q, Q).data
    assert abs((dropped - whole).mean()) < 0.02
    assert abs(dropped - whole).max() > 0.1
    np.testing.assert_array_equal(net.eval()(Q, Q, Q).data, whole)
    with pytest.raises(ShapeError, match=r"attention: keep is bool of shape \(3,\)"):
        attention(Q, Q, Q, None, np.ones(3, bool))
