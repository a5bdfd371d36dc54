"""Multi-head attention, positions and the transformer's layer; the battery checks the gradients."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn
from tinynet.backend import use_backend
from tinynet.blocks.sequences.attention import attention
from tinynet.blocks.sequences.masking import tokens
from tinynet.blocks.sequences.multi_head import MultiHeadAttention, multi_head
from tinynet.blocks.sequences.positions import LearntPositions, Rotary, Sinusoid, rotary, sinusoid
from tinynet.blocks.sequences.transformer_block import FeedForward, TransformerBlock
from tinynet.check import gradcheck
from tinynet.shapes import ShapeError


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# %% Heads
def test_each_head_sees_its_own_features():
    x = normal(2, 5, 12)
    y = multi_head(x, heads=2).data
    for head in range(2):
        Q, K, V = (x[:, :, 4 * part + 2 * head:4 * part + 2 * head + 2] for part in range(3))
        np.testing.assert_allclose(y[:, :, 2 * head:2 * head + 2], attention(Q, K, V).data)


def test_both_twins_agree_on_long_sequences():
    x = normal(2, 150, 96)
    with use_backend("auto"):
        forward, backward = multi_head.pair(x)
    assert (forward, backward) == multi_head.fast
    y, cache = forward(x, heads=2, causal=True)
    z, other = multi_head.forward(x, heads=2, causal=True)
    np.testing.assert_allclose(y, z, atol=1e-12)
    np.testing.assert_allclose(backward(z, cache)[0], multi_head.backward(z, other)[0], atol=1e-12)


@pytest.mark.parametrize("rotating", [False, True])
def test_step_by_step_gives_what_the_whole_sequence_gives(rotating):
    net = MultiHeadAttention(8, 2, causal=True, rotary=Rotary() if rotating else None, rng=0, dtype=float)
    x, state = normal(3, 6, 8), None
    whole = net(x).data
    for t in range(6):
        y, state = net.extend(tn.Tensor(x[:, t:t + 1]), state)
        np.testing.assert_allclose(y.data[:, 0], whole[:, t], atol=1e-13)
    _, state = net.extend(tn.Tensor(x[:, :2]))
    y, _ = net.extend(tn.Tensor(x[:, 2:]), state)
    np.testing.assert_allclose(y.data, whole[:, 2:], atol=1e-13)


def test_a_memory_is_the_same_step_by_step():
    net = MultiHeadAttention(8, 2, rng=0, dtype=float)
    x, memory, mask = normal(2, 3, 8), tn.Tensor(normal(2, 5, 8, seed=1)), tokens([5, 2])[:, None, None]
    whole, state = net(x, memory, mask).data, net.memorised(memory)
    for t in range(3):
        y, _ = net.extend(tn.Tensor(x[:, t:t + 1]), state, fixed=True, mask=mask)
        np.testing.assert_allclose(y.data[:, 0], whole[:, t], atol=1e-13)
    assert net.weights(x, memory, mask).shape == (2, 2, 3, 5)
    assert not net.weights(x, memory, mask)[1, :, :, 2:].any()


@pytest.mark.parametrize(("call", "said"), [
    (lambda: MultiHeadAttention(10, 4), "MultiHeadAttention: 10 features don't split into 4 heads"),
    (lambda: multi_head(normal(1, 2, 10), heads=2), r"multi_head: x has shape \(1, 2, 10\).*\[Q K V\] of 2 heads"),
    (lambda: multi_head(normal(1, 2, 4), normal(1, 3, 6), heads=2), r"multi_head: .*z \(1, 3, 6\)"),
    (lambda: multi_head(normal(1, 2, 4), normal(2, 3, 8), heads=2), "multi_head: .*B is 1 and 2"),
])
def test_heads_that_dont_fit(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# %% Positions
def test_sinusoids_are_the_papers():
    P = sinusoid(50, 6, dtype=float)
    np.testing.assert_allclose(P[7, :2], [np.sin(7), np.cos(7)])
    np.testing.assert_allclose(P[7, 4:], [np.sin(7 / 10000 ** (4 / 6)), np.cos(7 / 10000 ** (4 / 6))])
    np.testing.assert_array_equal(sinusoid(10, 6, first=40, dtype=float), P[40:])
    np.testing.assert_allclose((P ** 2).sum(axis=1), 3)


def test_after_rotation_a_product_depends_on_the_distance_alone():
    q, k = normal(1, 8), normal(1, 8, seed=1)
    products = [rotary(q, first=t).data @ rotary(k, first=t + 3).data.T for t in (0, 5, 40)]
    np.testing.assert_allclose(products, products[0] * np.ones((3, 1, 1)), rtol=1e-12)


def test_positions_are_added_from_the_first_on_and_run_out():
    x = np.zeros((2, 3, 4), np.float32)
    net = LearntPositions(5, 4, rng=0)
    np.testing.assert_array_equal(net(x, 2).data[1], net.P.data[2:])
    np.testing.assert_allclose(Sinusoid()(x, 2).data[0], sinusoid(3, 4, 2))
    with pytest.raises(ShapeError, match=r"LearntPositions: x has T = 3 steps from position 3 on, but .* 5 positions"):
        net(x, 3)
    with pytest.raises(ShapeError, match="sinusoid: 5 features"):
        sinusoid(3, 5)
    with pytest.raises(ShapeError, match="rotary: x has shape"):
        rotary(normal(2, 3))


# %% The layer
class Whole(nn.Module):
    """A layer over a memory, as a function of one array."""

    def __init__(self, first):
        self.layer = TransformerBlock(4, 2, hidden=5, causal=True, cross=True, first=first, rng=0, dtype=float)

    def forward(self, x):
        return self.layer(x, None, normal(2, 4, 4, seed=3), tokens([4, 1]))


@pytest.mark.parametrize("first", [True, False])
def test_the_whole_layers_gradient(first):
    gradcheck(Whole(first), normal(2, 3, 4)).raise_if_wrong()


@pytest.mark.parametrize("first", [True, False])
def test_a_layer_step_by_step_and_over_a_memory(first):
    net = TransformerBlock(8, 2, causal=True, cross=True, first=first, rng=0, dtype=float)
    x, memory, mask = normal(2, 5, 8), tn.Tensor(normal(2, 4, 8, seed=1)), tokens([4, 2])
    whole, state = net(x, None, memory, mask).data, net.begun(memory, mask)
    for t in range(5):
        y, state = net.extend(tn.Tensor(x[:, t:t + 1]), state)
        np.testing.assert_allclose(y.data[:, 0], whole[:, t], atol=1e-12)


def test_padding_changes_nothing_for_the_tokens():
    net = TransformerBlock(8, 2, rng=0, dtype=float)
    x = normal(2, 5, 8)
    y = net(x, tokens([5, 3])).data
    np.testing.assert_allclose(y[1, :3], net(x[1:, :3]).data[0], atol=1e-13)


def test_a_causal_layer_doesnt_look_ahead():
    net, x = TransformerBlock(8, 2, causal=True, rng=0, dtype=float), normal(1, 5, 8)
    moved = x.copy()
    moved[:, 3:] += 1
    np.testing.assert_array_equal(net(x).data[:, :3], net(moved).data[:, :3])


def test_an_unknown_activation():
    with pytest.raises(ValueError, match="FeedForward: there is no activation 'swish'"):
        FeedForward(4, 8, activation="swish")
