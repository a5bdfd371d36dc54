"""Convolution: csc321 cnn-jacobian's products written out, the three fast forms, what they round, and bad input."""

import os
import re

import numpy as np
import pytest

from tinynet import threads
from tinynet.backend import use_backend
from tinynet.blocks.images.conv import (
    Conv,
    conv,
    conv_backward,
    conv_backward_fast,
    conv_forward,
    conv_forward_fast,
    use_winograd,
    winograd,
)
from tinynet.blocks.images.conv_transpose import (
    ConvTranspose,
    conv_transpose_backward,
    conv_transpose_backward_fast,
    conv_transpose_forward,
    conv_transpose_forward_fast,
)
from tinynet.blocks.images.upsample import Upsample, upsample_backward, upsample_forward
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


# %% Rounding
# In float32 one operation is wrong by up to u = 2^-24 of its result.  A sum of n random terms, one after the other, is
# wrong by less than u sqrt(n) / 2 of its norm: n errors, none above that of the whole sum, add like a random walk.
# direct and im2col sum n = 9 C = 288 products (in dw more, but in parts); Winograd n = C = 32 (in dw 32, too: a row of
# 4 tiles x 32 images in vectors of 4; uncompiled, without vectors, 128).
# Norms of its sums follow from squares, as x, w and dy are independent:
# M[a,b] has the variance C |B_a|^2 |B_b|^2 |G_a|^2 |G_b|^2, y[i,j] adds A[i,a]^2 A[j,b]^2 times as much of it, and y's
# own variance is 9 C.  So y has the error of M enlarged by mean_i (A^2 |B|^2 |G|^2)_i / 3.  In dw, D[a] has |A_a|^2 in
# place of |G_a|^2, (W7) has G in place of A, and 16 results of a tile stand in place of 9 taps.
BT = np.array([[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0],
               [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]])
AT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
A2, B2, G2 = AT**2, (BT**2).sum(axis=1), winograd.G**2
ENLARGED = (A2 @ (B2 * G2.sum(axis=1))).mean() / 3
ENLARGED_DW = (G2.T @ (B2 * A2.sum(axis=0))).mean() / 4
COMPILED = os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"


def rounded(n):
    return 2**-24 * np.sqrt(n) / 2


@pytest.mark.parametrize(("method", "allowed", "allowed_dw"), [
    ("direct", rounded(288), rounded(288)),
    ("im2col", rounded(288), rounded(288)),
    ("winograd", ENLARGED * rounded(32), ENLARGED_DW * rounded(32 if COMPILED else 128)),
    ("few_images", ENLARGED * rounded(32), rounded(288)),               # its dw is im2col's
])
def test_what_each_form_rounds_in_float32(method, allowed, allowed_dw):
    X, W, _ = drawn(N=32, C=32, H=16, W=16, K=32, dtype=np.float32)
    exact, cache = conv_forward(X.astype(float), W.astype(float), padding=1)
    dY = rng.normal(size=exact.shape).astype(np.float32)
    y, fast = conv_forward_fast(X, W, padding=1, method=method)
    grads, exact_grads = conv_backward_fast(dY, fast)[:2], conv_backward(dY.astype(float), cache)[:2]
    for ours, theirs, most in zip((y, *grads), (exact, *exact_grads), (allowed, allowed, allowed_dw), strict=True):
        assert ours.dtype == np.float32
        assert np.linalg.norm(ours - theirs) < most * np.linalg.norm(theirs)


WINOGRAD = pytest.mark.parametrize("method", ["winograd", "few_images"])


@WINOGRAD
def test_beside_a_bright_pixel_small_results_of_its_tile_are_lost(method):
    X, W, _ = (a.astype(np.float32) for a in drawn(N=1, C=1, H=12, W=12, K=8))
    X *= 1e-3
    X[0, 0, 6, 6] = 1e4
    exact, _ = conv_forward(X.astype(float), W.astype(float), padding=1)
    wrong = {m: abs(conv_forward_fast(X, W, padding=1, method=m)[0] - exact) / abs(exact).mean(axis=(2, 3), where=abs(
        exact) < 1, keepdims=True) for m in ("direct", method)}
    assert wrong[method][0, :, 4, 4].max() > 0.01           # 2 pixels away from the bright one, which it doesn't see
    assert wrong["direct"][0, :, 4, 4].max() < 1e-6
    assert wrong[method][0, :, 8, 8].max() < 1e-5           # as far away, in the next tile


@WINOGRAD
@pytest.mark.parametrize(("pixel", "spoilt"), [((6, 6), 16), ((6, 4), 20), ((4, 4), 25)])
def test_what_is_not_a_number_spoils_its_tile(method, pixel, spoilt):
    X, W, _ = drawn(N=1, C=1, H=12, W=12, K=1)
    X[0, 0][pixel] = np.nan
    count = [np.isnan(conv_forward_fast(X, W, padding=1, method=m)[0]).sum() for m in ("direct", method)]
    assert count == [9, spoilt]


@WINOGRAD
def test_pixels_overflow_100_times_earlier(method):
    row = np.abs(BT).sum(axis=1).max()
    assert row**2 == 100
    X = 1e37 * np.outer(*2 * [np.sign(BT[0])])[None, None].astype(np.float32)
    W = np.full((1, 1, 3, 3), 0.01, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        finite = [np.isfinite(conv_forward_fast(x, W, method=m)[0]).all() for x, m in
                  ((X, "im2col"), (X, method), (X / 1000, method))]
    assert finite == [True, False, True]


@pytest.mark.skipif(not COMPILED, reason="without compilation nets take the plain form")
def test_without_winograd_nets_are_as_exact_as_the_direct_sum():
    X, W, _ = drawn(N=32, C=32, H=16, W=16, K=32, dtype=np.float32)
    exact, _ = conv_forward(X.astype(float), W.astype(float), padding=1)

    def error():
        return np.linalg.norm(conv(X, W, padding=1).data - exact) / np.linalg.norm(exact)
    assert error() > rounded(288)
    with use_winograd(False):
        assert error() < rounded(288)
    assert error() > rounded(288)


@pytest.mark.parametrize(("forward", "backward"), [(conv_forward_fast, conv_backward_fast),
                                                   (conv_transpose_forward_fast, conv_transpose_backward_fast)])
@pytest.mark.parametrize("allowed", [True, False])
def test_a_backward_takes_the_form_that_its_forward_took(forward, backward, allowed):
    X, W, _ = drawn(K=8)
    with use_winograd(allowed):
        Y, cache = forward(X, W, padding=1)
        dX, dW, _ = backward(Y, cache)
    with use_winograd(not allowed):
        later_dX, later_dW, _ = backward(Y, cache)
        assert not np.array_equal(forward(X, W, padding=1)[0], Y)       # the other form rounds otherwise
    assert np.array_equal(dX, later_dX)
    assert np.array_equal(dW, later_dW)


def test_winograd_is_allowed_or_not():
    with pytest.raises(TypeError, match="use_winograd: allowed is 'no'; give True or False"):
        use_winograd("no")


# %% Threads, memory
@pytest.mark.parametrize(("N", "C", "settings"), [
    (32, 8, dict(padding=1)),
    (32, 8, dict(padding=1, stride=2)),
    (32, 8, dict(padding=1, method="direct")),
    (4, 32, dict(padding=1, method="im2col")),          # one large product
])
def test_one_and_two_threads_give_the_same_bits(N, C, settings):
    numba = pytest.importorskip("numba")
    X, W, b = drawn(N, C, H=16, W=16, K=32, dtype=np.float32)
    before, results = numba.get_num_threads(), []
    if before < 2:
        pytest.skip("numba has one thread here")
    for count in (1, 2):
        numba.set_num_threads(count)
        y, cache = conv_forward_fast(X, W, b, **settings)
        results.append([y, *conv_backward_fast(y, cache)])
    numba.set_num_threads(before)
    assert all(np.array_equal(one, two) for one, two in zip(*results, strict=True))


@pytest.mark.skipif(threads._openblas() is None or os.cpu_count() < 2, reason="BLAS can't be given two threads here")
@pytest.mark.parametrize(("method", "N", "H"), [("im2col", 64, 16), ("im2col", 4, 16), ("few_images", 2, 64)])
def test_one_and_two_threads_of_blas_give_the_same_bits(method, N, H):
    X, W, b = drawn(N, C=32, H=H, W=H, K=32, dtype=np.float32)          # im2col of 4 images: one large product
    get, set_ = threads._openblas()
    before, results = get(), []
    try:
        for count in (1, 2):
            set_(count)
            y, cache = conv_forward_fast(X, W, b, padding=1, method=method)
            results.append([y, *conv_backward_fast(y, cache)])
    finally:
        set_(before)
    assert all(np.array_equal(one, two) for one, two in zip(*results, strict=True))


def test_the_cache_holds_no_more_than_images_and_filters():
    X, W, b = drawn()
    _, cache = conv_forward_fast(X, W, b, padding=1)
    assert [a is X or a is W for a in cache if isinstance(a, np.ndarray)] == [True, True]


def test_a_result_lies_batch_last_so_that_the_next_layer_copies_nothing():
    X, W, b = drawn()
    y, cache = conv_forward_fast(X, W, b, padding=1, method="im2col")
    assert y.transpose(1, 2, 3, 0).flags.c_contiguous
    for dX in (conv_backward_fast(y, cache)[0], upsample_forward(y)[0]):
        assert dX.transpose(1, 2, 3, 0).flags.c_contiguous
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


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_one_tap_gives_the_same_in_both_twins(groups, stride):
    X, W, b = drawn(C=8, K=6, R=1)
    settings = dict(stride=stride, groups=groups)
    Y, plain = conv_forward(X, W[:, :8 // groups], b, **settings)
    y, fast = conv_forward_fast(X, W[:, :8 // groups], b, **settings)
    for ours, theirs in zip((y, *conv_backward_fast(Y, fast)), (Y, *conv_backward(Y, plain)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_whole_numbers_are_computed_in_the_filters_dtype_by_both_twins():
    X, W, b = drawn(N=1, dtype=np.float32)
    for forward, backward in ((conv_forward, conv_backward), (conv_forward_fast, conv_backward_fast)):
        Y, cache = forward((10 * X).astype(int), W, b)
        assert [a.dtype for a in (Y, *backward(Y, cache))] == 4 * [np.float32]


def test_the_transposed_module_takes_what_conv_takes():
    layer = ConvTranspose(4, 6, (2, 3), stride=(1, 2), padding=(0, 1), dilation=(2, 1), groups=2, extra=(0, 1), rng=0,
                          dtype=float)
    assert layer(np.zeros((2, 4, 3, 4))).shape == (2, 6, 5, 8)
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
    ((X, W), dict(groups=3), "conv: W (K C R S) = (4, 3, 3, 3) has K = 4, which doesn't fall into 3 groups; choose"),
    ((X, W), dict(groups=2.0), "K = 4, which doesn't fall into 2.0 groups; choose a whole number of groups"),
    ((X[:, :, :0], W), dict(padding=3), "conv: X (N C H W) = (2, 3, 0, 6) has no pixels; give images"),
    ((X.transpose(0, 2, 3, 1), np.zeros((4, 3, 5, 5))), {}, "X looks like (N, H, W, C), so turn it by"),
    ((X, W), dict(method="fft"), "conv: there is no method 'fft'; choose one of direct, winograd, few_images, im2col"),
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


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: Conv(4, 6, 3, groups=4), "Conv: C_out = 6, which doesn't fall into 4 groups"),
    (lambda: conv_forward_fast(X, W, stride=2, method="winograd"), "winograd does 3 x 3 filters of stride 1"),
    (lambda: Conv(3.0, 4, 3), "Conv: C_in is 3.0; give a whole number, 0 or more"),
    (lambda: Conv(3, 4, 2.5), "Conv: size is 2.5; give a whole number, 1 or more"),
    (lambda: Conv(3, 4, (3,)), "Conv: size is (3,); give"),
    (lambda: Conv(3, 4, 3, stride=0), "Conv: stride is 0; give a whole number, 1 or more"),
    (lambda: Conv(3, 4, 3, padding=-1), "Conv: padding is -1; give a whole number, 0 or more"),
    (lambda: Conv(3, 4, 3, method="fft"), "there is no method 'fft'"),
    (lambda: ConvTranspose(3, "4", 3), "ConvTranspose: C_out is '4'; give a whole number, 0 or more"),
    (lambda: ConvTranspose(3, 4, 3, stride=1.5), "ConvTranspose: stride is 1.5; give a whole number"),
    (lambda: ConvTranspose(3, 4, 3, groups=2), "ConvTranspose: C_in = 3, which doesn't fall into 2 groups"),
    (lambda: conv_transpose_forward(X, W[:3], stride=0, padding=2), "conv_transpose: stride is 0; give"),
    (lambda: conv_transpose_forward(X, W[:3], stride=(1, 2, 3)), "conv_transpose: stride is (1, 2, 3); give"),
    (lambda: conv_transpose_forward(X, W[:3], extra=-1), "conv_transpose: extra is -1; give a whole number, 0 or more"),
    (lambda: conv_transpose_forward(X, W[:3], stride=2, extra=2), "extra is (2, 2) and the stride (2, 2); extra must"),
    (lambda: conv_transpose_forward(X[:, :, :3, :1], W[:3], padding=3), "would give images of -1 x -3 pixels"),
    (lambda: Upsample(0), "Upsample: factor is 0; give a whole number, 1 or more"),
    (lambda: Upsample(1.5), "Upsample: factor is 1.5; give a whole number, 1 or more"),
])
def test_settings_that_cannot_be_are_told(call, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()


def test_a_gradient_of_another_shape_is_told():
    for forward, backward in ((conv_forward, conv_backward), (conv_forward_fast, conv_backward_fast)):
        Y, cache = forward(X, W)
        with pytest.raises(ValueError, match=r"conv: dY has shape \(1, 4, 6, 4\) and Y \(N C H W\) = \(2, 4, 6, 4\)"):
            backward(Y[:1], cache)
    for forward, backward in ((conv_transpose_forward, conv_transpose_backward),
                              (conv_transpose_forward_fast, conv_transpose_backward_fast)):
        Y, cache = forward(X, W[:3])
        with pytest.raises(ValueError, match="conv_transpose: dY has shape"):
            backward(Y[:, :, :-1], cache)
    with pytest.raises(ValueError, match="upsample: dY has shape"):
        upsample_backward(X, upsample_forward(X)[1])


def test_filters_may_be_of_no_channels():
    assert Conv(0, 4, 3).W.shape == (4, 0, 3, 3)
    assert ConvTranspose(0, 4, 3).W.shape == (0, 4, 3, 3)


def test_a_size_may_be_numpys():
    assert Conv(3, 4, np.int64(3)).W.shape == (4, 3, 3, 3)


def test_windows_count_as_pytorch_counts_them():
    way = walk(X, size=(3, 2), stride=(2, 3), padding=(1, 0), dilation=(2, 1))
    assert way.out == (3, 2)


def test_the_op_runs_the_fast_twin_from_4096_numbers_on():
    with use_backend("auto"):
        assert conv.pair(np.zeros((1, 1, 64, 64)), W)[0] is conv_forward_fast
        assert conv.pair(X, W)[0] is conv_forward
