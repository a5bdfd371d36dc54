"""Convolution: csc321 cnn-jacobian's products written out, the three fast forms, what they round, and bad input."""

import numpy as np
import pytest

from tinynet.backend import use_backend
from tinynet.blocks.images.conv import Conv, conv, conv_backward, conv_backward_fast, conv_forward, conv_forward_fast
from tinynet.blocks.images.conv_transpose import conv_transpose_forward
from tinynet.blocks.images.windows import walk
from tinynet.check import gradcheck
from tinynet.engine import Tensor

rng = np.random.default_rng(0)


def drawn(N=20, C=8, H=9, W=7, K=6, R=3, dtype=float):
    return [rng.normal(size=size).astype(dtype) for size in ((N, C, H, W), (K, C, R, R), (K,))]


def test_seven_loops_give_the_same():
    X, W, b = drawn(N=2, C=4, H=5, W=6, K=6)
    Y, _ = conv_forward(X, W[:, :2], b, stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    Xp = np.pad(X, [(0, 0), (0, 0), (1, 1), (0, 0)])
    expected = np.zeros(Y.shape)
    for n, k, i, j in np.ndindex(Y.shape):
        for c, r, s in np.ndindex(2, 3, 3):
            expected[n, k, i, j] += W[k, c, r, s] * Xp[n, 2 * (k // 3) + c, 2 * i + r, j + 2 * s]
    np.testing.assert_allclose(Y, expected + b[:, None, None], rtol=1e-12)


@pytest.mark.parametrize("method", ["winograd", "direct", "im2col", "few_images"])
@pytest.mark.parametrize(("N", "C", "H", "W", "K"), [(1, 1, 1, 1, 1), (3, 5, 6, 11, 7), (130, 9, 8, 4, 5),
                                                     (17, 16, 13, 10, 16)])
def test_each_form_gives_what_the_taps_give(method, N, C, H, W, K):
    X, w, b = drawn(N, C, H, W, K)
    Y, plain = conv_forward(X, w, b, padding=1)
    dY = rng.normal(size=Y.shape)
    y, cache = conv_forward_fast(X, w, b, padding=1, method=method)
    expected = Y, *conv_backward(dY, plain)
    for ours, theirs in zip((y, *conv_backward_fast(dY, cache)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13 * abs(theirs).max())


# The direct sum of 9 C products rounds to some units in the last place (6e-8) of its norm; Winograd's intermediate
# numbers are up to 8 x 8 / 4 times larger than what is left of them, so its error may be that much larger.
@pytest.mark.parametrize(("method", "allowed"), [("direct", 5e-7), ("im2col", 5e-7), ("winograd", 4e-6),
                                                 ("few_images", 4e-6)])
def test_what_each_form_rounds_in_float32(method, allowed):
    X, W, _ = drawn(N=32, C=32, H=16, W=16, K=32, dtype=np.float32)
    exact, cache = conv_forward(X.astype(float), W.astype(float), padding=1)
    dY = rng.normal(size=exact.shape).astype(np.float32)
    y, fast = conv_forward_fast(X, W, padding=1, method=method)
    grads, exact_grads = conv_backward_fast(dY, fast)[:2], conv_backward(dY.astype(float), cache)[:2]
    for ours, theirs in zip((y, *grads), (exact, *exact_grads), strict=True):
        assert ours.dtype == np.float32
        assert np.linalg.norm(ours - theirs) < allowed * np.linalg.norm(theirs)


@pytest.mark.parametrize("settings", [dict(padding=1), dict(padding=1, stride=2), dict(padding=1, method="direct"),
                                      dict(padding=1, method="im2col")])
def test_one_and_two_threads_give_the_same_bits(settings):
    numba = pytest.importorskip("numba")
    X, W, b = drawn(N=32, C=8, H=16, W=16, K=8, dtype=np.float32)
    before, results = numba.get_num_threads(), []
    for threads in (1, min(2, before)):
        numba.set_num_threads(threads)
        y, cache = conv_forward_fast(X, W, b, **settings)
        results.append([y, *conv_backward_fast(y, cache)])
    numba.set_num_threads(before)
    assert all(np.array_equal(one, two) for one, two in zip(*results, strict=True))


def test_the_cache_holds_no_more_than_images_and_filters():
    X, W, b = drawn()
    _, cache = conv_forward_fast(X, W, b, padding=1)
    assert [a is X or a is W for a in cache if isinstance(a, np.ndarray)] == [True, True]


def test_a_result_lies_batch_last_so_that_the_next_layer_copies_nothing():
    X, W, b = drawn()
    y, _ = conv_forward_fast(X, W, b, padding=1)
    assert y.transpose(1, 2, 3, 0).flags.c_contiguous
    assert np.maximum(y, 0).transpose(1, 2, 3, 0).flags.c_contiguous


def test_the_first_layer_computes_no_gradient_of_the_images():
    layer, X = Conv(8, 4, 3, padding=1, rng=0), drawn(dtype=np.float32)[0]
    y = layer(X)
    assert y.step.backward(np.ones(y.shape, np.float32), y.step.cache)[0] is None
    x = Tensor(X, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.shape == X.shape


def test_the_module_and_its_parameters_pass_the_check():
    layer = Conv(4, 6, (2, 3), stride=(1, 2), padding=1, groups=2, rng=0, dtype=float)
    gradcheck(layer, rng.normal(size=(2, 4, 3, 4))).raise_if_wrong()


def test_a_transposed_convolution_turns_a_strided_one_round():
    X, W, _ = drawn(N=2, C=3, H=8, W=8, K=5)
    Y, _ = conv_forward(X, W, stride=2, padding=1)
    back, _ = conv_transpose_forward(Y, W, stride=2, padding=1, extra=1)
    assert back.shape == X.shape
    np.testing.assert_allclose((back * X).sum(), (Y * Y).sum(), rtol=1e-12)        # <A'y, x> = <y, A x>


# %% Bad input
X, W, b = np.zeros((2, 3, 8, 6)), np.zeros((4, 3, 3, 3)), np.zeros(4)


@pytest.mark.parametrize(("arrays", "settings", "sentence"), [
    ((X, np.zeros((4, 3, 9, 9))), {}, "conv: the window covers 9 x 9 pixels and the padded image (H, W) has 8 x 6"),
    ((X, W), dict(stride=0), "conv: stride is 0; give a whole number, 1 or more"),
    ((X, W), dict(padding=-1), "conv: padding is -1; give a whole number, 0 or more"),
    ((X, W), dict(dilation=(1, 0.5)), "conv: dilation is (1, 0.5); give a whole number"),
    ((X, np.zeros((4, 2, 3, 3))), {}, "X (N C H W) = (2, 3, 8, 6) has C = 3 channels and W (K C R S) = (4, 2, 3, 3)"),
    ((X, np.zeros((4, 1, 3, 3))), dict(groups=2), "with groups=2 needs 2; make them equal"),
    ((X, W), dict(groups=3), "K = 4 filters, which don't fall into 3 groups"),
    ((X.transpose(0, 2, 3, 1), W), {}, "X looks like (N, H, W, C), so turn it by X.transpose(0, 3, 1, 2)"),
    ((X.astype(np.uint8), W), {}, "conv: X holds uint8, bytes of 0 to 255; convert them"),
    ((X[0], W), {}, "conv: X has shape (3, 8, 6), but needs 4 axes (N C H W)"),
    ((X, W, np.zeros(3)), {}, "conv: W (K C R S) = (4, 3, 3, 3) and b (K) = (3,): K is 4 and 3"),
])
def test_bad_input_is_told_in_one_sentence(arrays, settings, sentence):
    for forward in (conv_forward, conv_forward_fast):
        with pytest.raises((ValueError, TypeError)) as error:
            forward(*arrays, **settings)
        assert sentence in str(error.value)
        assert "\n" not in str(error.value)


def test_a_method_that_does_not_do_it_says_so():
    with pytest.raises(ValueError, match="there is no method 'fft'"):
        conv_forward_fast(X, W, method="fft")
    with pytest.raises(ValueError, match="the method winograd does 3 x 3 filters of stride 1"):
        conv_forward_fast(X, W, stride=2, method="winograd")
    with pytest.raises(ValueError, match="4 channels and 6 filters don't fall into 4 groups"):
        Conv(4, 6, 3, groups=4)
    with pytest.raises(ValueError, match="conv_transpose: extra is 2 and the stride 2"):
        conv_transpose_forward(X, W[:3], stride=2, extra=2)
    with pytest.raises(ValueError, match="would give images of -1 x -3 pixels"):
        conv_transpose_forward(X[:, :, :3, :1], W[:3], padding=3)


def test_windows_count_as_pytorch_counts_them():
    way = walk(X, size=(3, 2), stride=(2, 3), padding=(1, 0), dilation=(2, 1))
    assert way.out == (3, 2)


def test_the_op_runs_the_fast_twin_from_4096_numbers_on():
    with use_backend("auto"):
        assert conv.pair(np.zeros((1, 1, 64, 64)), W)[0] is conv_forward_fast
        assert conv.pair(X, W)[0] is conv_forward
