"""The residual block of convolutions: shi 1.1, 1.5 and 1.6, csc321 block and resmath, its shortcuts, and bad input."""

import numpy as np
import pytest

from tinynet import use_backend
from tinynet.blocks.images.conv_residual import (
    ConvResidual,
    conv_residual_backward,
    conv_residual_forward,
    residual_terms,
    shortcut_backward,
    shortcut_forward,
)
from tinynet.check import gradcheck
from tinynet.engine import Tensor

rng = np.random.default_rng(0)
X = rng.normal(size=(3, 4, 6, 6))


def weights(*shapes):
    return [a for K, C, R, *S in shapes
            for a in (rng.normal(size=(K, C, R, *(S or [R]))) / 6, np.ones(K), np.zeros(K))]


def test_where_F_is_0_a_block_hands_on_what_it_gets_csc321_block():
    W = weights((4, 4, 3), (4, 4, 3))
    W[4] = np.zeros(4)                                          # the last gain
    Y, cache = conv_residual_forward(X, *W)
    assert np.array_equal(Y, np.maximum(X, 0))
    dY = rng.normal(size=Y.shape)
    identity_term, through_weights, _ = residual_terms(dY, cache)
    assert np.array_equal(identity_term, dY * (X > 0))
    assert not through_weights.any()


def test_dx_is_the_identity_term_plus_the_term_through_the_weights_shi_1_6():
    W = weights((4, 4, 3), (4, 4, 3))
    Y, cache = conv_residual_forward(X, *W, preactivated=True)
    dY = rng.normal(size=Y.shape)
    identity_term, through_weights, _ = residual_terms(dY, cache)
    assert np.array_equal(identity_term, dY)                    # whatever the weights are
    step = 1e-6 * rng.normal(size=X.shape)
    F = [conv_residual_forward(x, *W, preactivated=True)[0] - x for x in (X + step, X - step)]
    np.testing.assert_allclose((dY * (F[0] - F[1])).sum() / 2, (through_weights * step).sum(), rtol=1e-5)
    np.testing.assert_allclose(conv_residual_backward(dY, cache)[0], identity_term + through_weights, rtol=1e-14)


def test_option_A_skips_pixels_and_adds_channels_of_zeros_in_the_middle_of_which_x_stands():
    Y, cache = shortcut_forward(X, 8, 2)
    assert Y.shape == (3, 8, 3, 3)
    assert np.array_equal(Y[:, 2:6], X[:, :, ::2, ::2])
    assert not Y[:, :2].any()
    assert not Y[:, 6:].any()
    dX, none = shortcut_backward(np.ones(Y.shape), cache)
    assert none == ()
    assert dX.sum() == X[:, :, ::2, ::2].size


@pytest.mark.parametrize("backend", ["plain", "fast"])
@pytest.mark.parametrize("settings", [dict(channels=4), dict(channels=6, stride=2), dict(channels=6, shortcut="B"),
                                      dict(channels=8, inner=2, stride=2, shortcut="B"),
                                      dict(channels=6, stride=2, preactivated=True)])
def test_the_module_passes_the_check_with_both_twins(backend, settings):
    block = ConvResidual(4, **settings, rng=0, dtype=float)
    for norm in block.norms:
        norm.eps = 0.1
    with use_backend(backend):
        gradcheck(block, X[:2, :, :4, :4]).raise_if_wrong()


def test_option_B_needs_no_settings():
    Ws, gain, bias = weights((8, 4, 1))
    Y, cache = shortcut_forward(X, 8, 2, (Ws, gain, bias))
    dX, grads = shortcut_backward(np.ones(Y.shape), cache)
    assert (dX.shape, [a.shape for a in grads]) == (X.shape, [Ws.shape, gain.shape, bias.shape])


def test_every_norm_keeps_its_own_statistics():
    block = ConvResidual(4, 8, stride=2, shortcut="B", rng=0)
    block(X.astype(np.float32))
    assert all(norm.mean.data.any() for norm in block.norms)
    before = block.eval().state_dict()
    block(X.astype(np.float32))
    assert all(np.array_equal(before[name], array) for name, array in block.state_dict().items())


@pytest.mark.parametrize("settings", [dict(channels=4), dict(channels=6, stride=2, preactivated=True),
                                      dict(channels=8, inner=2, stride=2, shortcut="B")])
def test_evaluation_takes_an_empty_batch(settings):
    block = ConvResidual(4, **settings, rng=0, dtype=float).eval()
    x = Tensor(X[:0], requires_grad=True)
    Y = block(x)
    Y.sum().backward()
    assert (Y.shape, x.grad.shape) == ((0, *block(X).shape[1:]), (0, 4, 6, 6))


@pytest.mark.parametrize(("arrays", "settings", "sentence"), [
    (weights((4, 4, 3)), {}, "conv_residual: 3 arrays of weights are given"),
    (weights((3, 3, 3), (3, 3, 3)), {}, "C = 4 channels and the first W (K C R S) = (3, 3, 3, 3) needs 3; make"),
    (weights((6, 6, 3), (6, 6, 3)), {}, "X looks like (N, H, W, C), so turn it by"),
    ([np.zeros((4, 4)), *weights((4, 4, 3))[1:], *weights((4, 4, 3))], {}, "W has shape (4, 4), but needs 4 axes"),
    (weights((4, 4, 3), (4, 5, 3)), {}, "reads C = 5 channels and the one before it gives 4; make them equal"),
    (weights((4, 4, 3), (8, 4, 3), (8, 3, 1)), dict(projected=True), "the projection reads 3 channels and X has 4"),
    (weights((4, 4, 3), (4, 4, 3)), dict(stride=0), "stride is 0; give a whole number"),
    (weights((4, 4, 3), (4, 4, 3)), dict(stride=(2, 2)), "stride is (2, 2); give a whole number"),
    (weights((4, 4, 3), (4, 4, 3)), dict(settings=[{}]), "settings are 1 and norms 2; give one for each norm"),
    (weights((4, 4, 3), (2, 4, 3)), {}, "F ends with 2 channels and X has 4; option A adds channels of zeros"),
    (weights((4, 4, 3), (8, 4, 3), (6, 4, 1)), dict(projected=True), "8 channels and the projection with 6"),
    (weights((4, 4, 3), (4, 4, 3), (4, 4, 1)), dict(projected=True, preactivated=True), "it takes no projection"),
    (weights((4, 4, 1, 3), (4, 4, 1)), dict(preactivated=True), "a W (K C R S) = (4, 4, 1, 3) has filters of 1 x 3; "
                                                                "make them odd squares, e.g. 3 x 3"),
    (weights((4, 4, 2), (4, 4, 2)), dict(preactivated=True), "a W (K C R S) = (4, 4, 2, 2) has filters of 2 x 2; make"),
    (weights((4, 4, 2), (4, 4, 2)), {}, "a W (K C R S) = (4, 4, 2, 2) has filters of 2 x 2; make them odd squares"),
    (weights((4, 4, 3), (8, 4, 3), (8, 4, 3)), dict(projected=True), "the projection's W (K C R S) = (8, 4, 3, 3) has "
                                                                     "filters of 3 x 3; make them 1 x 1"),
])
def test_bad_input_is_told_in_one_sentence(arrays, settings, sentence):
    with pytest.raises(ValueError, match="conv_residual: ") as error:
        conv_residual_forward(X, *arrays, **settings)
    assert sentence in str(error.value)


@pytest.mark.parametrize("stride", [0, "a"])
def test_a_shortcut_tells_a_stride_that_is_no_whole_number(stride):
    with pytest.raises(ValueError, match=f"conv_residual: stride is {stride!r}; give a whole number, 1 or more"):
        shortcut_forward(X, 8, stride)


def test_images_without_pixels_are_told():
    with pytest.raises(ValueError, match=r"conv_residual: X \(N C H W\) = \(3, 4, 0, 6\) has no pixels; give images"):
        conv_residual_forward(X[:, :, :0], *weights((4, 4, 3), (4, 4, 3)))


@pytest.mark.parametrize(("settings", "sentence"), [
    (dict(channels=8, shortcut="C"), "there is no shortcut 'C'"),
    (dict(channels=8, stride=0), "ConvResidual: stride is 0; give a whole number"),
    (dict(channels=2), "ConvResidual: F ends with 2 channels and X has 4; option A"),
    (dict(channels="8"), "ConvResidual: channels is '8'; give a whole number, 0 or more"),
    (dict(channels=None), "ConvResidual: channels is None; give a whole number, 0 or more"),
    (dict(channels=8, shortcut="B", preactivated=True), "ConvResidual: the pre-activation form keeps X free"),
])
def test_settings_that_cannot_be_are_told(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        ConvResidual(4, **settings)
