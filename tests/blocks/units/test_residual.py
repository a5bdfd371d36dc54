"""Residual blocks: what shi 1.1-1.6 and csc321 claim beyond right gradients."""

import numpy as np
import pytest

from tinynet import nn
from tinynet.blocks.units.residual import (
    Residual,
    ResidualStack,
    residual,
    residual_backward,
    residual_forward,
    residual_stack_backward,
    residual_stack_forward,
    residual_terms,
)
from tinynet.engine import Tensor
from tinynet.models.images.plain_and_residual import PlainNet, ResidualNet
from tinynet.shapes import ShapeError


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return [rng.normal(size=s) for s in [(5, 4), (3, 6, 4), (3, 4, 6), (3, 6)]]


def test_where_F_is_zero_a_block_is_the_identity_forward_and_backward(arrays):
    x, W1, W2, b1 = arrays
    y, cache = residual_forward(x, W1[0], 0 * W2[0], b1[0])
    dy = np.random.default_rng(1).normal(size=y.shape)
    dx, dW1, dW2, db1 = residual_backward(dy, cache)
    assert np.array_equal(y, x)
    assert np.array_equal(dx, dy)
    assert not dW1.any()
    assert not db1.any()
    assert dW2.any()


def test_the_two_terms_add_up_to_dx_and_the_first_is_the_upstream_gradient(arrays):
    x, W1, W2, b1 = arrays
    y, cache = residual_forward(x, W1[0], W2[0], b1[0], activation="tanh")
    dy = np.random.default_rng(1).normal(size=y.shape)
    identity_term, through_weights, _ = residual_terms(dy, cache)
    assert np.array_equal(identity_term, dy)
    assert np.array_equal(identity_term + through_weights, residual_backward(dy, cache)[0])


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_a_stack_is_its_blocks_one_after_the_other(arrays, activation):
    x, W1, W2, b1 = arrays
    y, cache = residual_stack_forward(x, W1, W2, b1, activation=activation)
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    out = leaves[0]
    for l in range(3):
        out = residual(out, *(w[l] for w in leaves[1:]), activation=activation)
    assert np.array_equal(out.data, y)
    out.backward(np.ones(y.shape))
    for leaf, d in zip(leaves, residual_stack_backward(np.ones(y.shape), cache), strict=True):
        np.testing.assert_allclose(leaf.grad, d, rtol=1e-12, atol=1e-12)


def test_large_arguments_saturate_without_a_warning():
    x, W = np.array([[1e4]]), np.ones((1, 1))
    for sign, sigma in [(1, 1.0), (-1, 0.0)]:
        assert residual_forward(x, sign * W, W, activation="sigmoid")[0] == x + sigma


def test_modules_start_where_they_say():
    x = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    assert np.array_equal(Residual(8, 5, gain=0, rng=0)(x).data, x)
    deep = ResidualStack(64, 8, rng=0)(x)
    assert deep.dtype == np.float32
    assert 0.5 < np.linalg.norm(deep.data) / np.linalg.norm(x) < 8       # not 2 ** 32


@pytest.mark.parametrize("make", [Residual, lambda d, **s: ResidualStack(2, d, **s)])
def test_an_unknown_activation_is_refused_with_the_choices(make):
    with pytest.raises(ValueError, match="residual: there is no activation 'gelu'; choose one of relu, sigmoid, tanh"):
        make(4, activation="gelu")


def test_wrong_shapes_name_the_block(arrays):
    x, W1, W2, b1 = arrays
    with pytest.raises(ShapeError, match=r"residual_stack: .*H is 6 and 5"):
        residual_stack_forward(x, W1, W2[:, :, :5], b1)
    with pytest.raises(ShapeError, match="residual: "):
        residual_forward(x[:, :3], W1[0], W2[0])


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_plain_and_residual_nets_of_depth_two_are_the_same_net(activation):
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    plain, residual_net = (net(2, 5, 4, width=6, activation=activation, init=nn.glorot_uniform, rng=1)
                           for net in (PlainNet, ResidualNet))
    assert np.array_equal(plain(x).data, residual_net(x).data)


def test_depth_counts_the_layers_of_weights():
    for depth in (2, 8, 20):
        residual_net = ResidualNet(depth, 5, 4, rng=0)
        assert 2 + 2 * len(residual_net.blocks.W1.data) == depth
        assert len(PlainNet(depth, 5, 4, rng=0).layers) == depth
    with pytest.raises(ValueError, match="ResidualNet: depth is 7"):
        ResidualNet(7, 5, 4)
    with pytest.raises(ValueError, match="PlainNet: depth is 0"):
        PlainNet(0, 5, 4)


@pytest.mark.parametrize("net", [PlainNet, ResidualNet])
def test_deep_nets_keep_float32_and_give_every_parameter_a_gradient(net):
    deep = net(64, 5, 4, width=8, rng=0)
    y = deep(np.ones((3, 5), np.float32))
    y.sum().backward()
    assert y.dtype == np.float32
    assert all(p.grad is not None and p.grad.dtype == np.float32 for p in deep.parameters())
