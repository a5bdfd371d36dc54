"""Batch norm: statistics that are kept, evaluation, what is fused (shi fig3), threads, and bad input."""

import os
import re

import numpy as np
import pytest

from tinynet import nn, use_backend
from tinynet.blocks.images.batch_norm import (
    BatchNorm,
    batch_norm_backward,
    batch_norm_backward_fast,
    batch_norm_forward,
    batch_norm_forward_fast,
)
from tinynet.blocks.images.group_norm import GroupNorm, group_norm_backward, group_norm_forward
from tinynet.blocks.units.layer_norm import layer_norm_forward
from tinynet.check import gradcheck

rng = np.random.default_rng(0)


def drawn(N=4, C=3, H=5, W=6, dtype=float):
    sizes = (N, C, H, W), (C,), (C,), (N, C, H, W)
    return [(2 + 3 * rng.normal(size=size)).astype(dtype) for size in sizes]


def test_every_channel_gets_mean_0_and_variance_1():
    X, *_ = drawn()
    Y, _ = batch_norm_forward(X, np.ones(3), np.zeros(3), eps=0)
    np.testing.assert_allclose(Y.mean(axis=(0, 2, 3)), 0, atol=1e-14)
    np.testing.assert_allclose(Y.var(axis=(0, 2, 3)), 1, rtol=1e-12)


@pytest.mark.parametrize("backend", ["plain", "fast"])
def test_the_buffers_follow_the_batches_and_evaluation_uses_them(backend):
    norm, X = BatchNorm(3, momentum=0.25, dtype=float), drawn()[0]
    with use_backend(backend):
        norm(X)
        mean, var = X.mean(axis=(0, 2, 3)), X.var(axis=(0, 2, 3), ddof=1)
        np.testing.assert_allclose(norm.mean.data, 0.25 * mean, rtol=1e-12)
        np.testing.assert_allclose(norm.var.data, 0.75 + 0.25 * var, rtol=1e-12)
        kept = norm.state_dict()
        one = norm.eval()(X[:1]).data                                   # one image is enough now
        assert all(np.array_equal(kept[name], array) for name, array in norm.state_dict().items())
    expected = (X[:1] - kept["mean"][:, None, None]) / np.sqrt(kept["var"] + 1e-5)[:, None, None]
    np.testing.assert_allclose(one, expected, rtol=1e-10)


def test_the_buffers_are_saved_but_not_learnt():
    net = nn.Sequential(BatchNorm(2))
    assert [name for name, _ in net.named_parameters()] == ["0.gain", "0.bias"]
    assert list(net.state_dict()) == ["0.gain", "0.bias", "0.mean", "0.var"]


def test_fused_equals_one_after_the_other():
    X, gain, bias, skip = drawn()
    fused, cache = batch_norm_forward(X, gain, bias, skip, relu=True)
    apart, alone = batch_norm_forward(X, gain, bias)
    np.testing.assert_allclose(fused, np.maximum(apart + skip, 0), rtol=1e-14)
    dY = rng.normal(size=X.shape)
    *ours, dskip = batch_norm_backward(dY, cache)
    *theirs, _ = batch_norm_backward(dY * (apart + skip > 0), alone)
    assert np.array_equal(dskip, dY * (apart + skip > 0))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


LOOPS = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0",
                           reason="loops in Python add one number after the other, and lose more digits")


@pytest.mark.parametrize("forward", [batch_norm_forward, pytest.param(batch_norm_forward_fast, marks=LOOPS)])
def test_a_mean_far_from_0_costs_no_digits(forward):
    X, gain, bias, _ = (a.astype(np.float32) for a in drawn(N=16, H=16, W=16))
    X, u = 1000 + X, 2**-24
    known = X.mean(axis=(0, 2, 3)), X.var(axis=(0, 2, 3))
    size = abs(gain) / np.sqrt(known[1] + 1e-5)
    for fixed, of_the_mean in ((known, 0), (None, 4 * u * 1000 * size.max())):      # a long sum is wrong by some units
        exact, _ = batch_norm_forward(X.astype(float), gain.astype(float), bias.astype(float), fixed=fixed)
        terms = size[:, None, None] * abs(X - known[0][:, None, None]) + abs(bias)[:, None, None]
        ours, _ = forward(X, gain, bias, fixed=fixed)
        assert (abs(ours - exact) < 4 * u * terms + of_the_mean).all()              # Y comes out of four operations


@pytest.mark.parametrize("with_skip", [False, True])
def test_what_is_not_a_number_is_seen_behind_the_relu(with_skip):
    X, gain, bias, skip = drawn()
    X[0, 1, 2, 3] = np.nan
    for forward in (batch_norm_forward, batch_norm_forward_fast):
        for fixed, spoilt in ((None, X[:, 1].size), ((bias, gain**2), 1)):
            Y, _ = forward(X, gain, bias, skip if with_skip else None, relu=True, fixed=fixed)
            assert np.isnan(Y).sum() == np.isnan(Y[:, 1]).sum() == spoilt


@pytest.mark.parametrize("backward", [batch_norm_backward, batch_norm_backward_fast])
def test_what_the_relu_cuts_off_is_0_whatever_comes_back(backward):
    X, gain, bias, _ = drawn()
    Y, cache = batch_norm_forward(X, gain, bias, relu=True, fixed=(bias, gain**2))
    dX = backward(np.where(Y > 0, 1, np.inf), cache)[0]
    assert np.isfinite(dX).all()
    with pytest.raises(ValueError, match=r"batch_norm: dY has shape \(3, 3, 5, 6\) and Y \(N C H W\)"):
        backward(Y[1:], cache)


def test_float16_overflows_no_count():
    X, gain, bias, _ = drawn(N=2, C=1, H=256, W=256)
    small, dY = [a.astype(np.float16) for a in (X, gain, bias)], rng.normal(size=X.shape) / 100
    exact = batch_norm_backward(dY, batch_norm_forward(X, gain, bias)[1])[0]
    ours = batch_norm_backward(dY.astype(np.float16), batch_norm_forward(*small)[1])[0]
    assert np.linalg.norm(ours - exact) < 0.01 * np.linalg.norm(exact)


@pytest.mark.parametrize(("forward", "backward"), [
    (batch_norm_forward, batch_norm_backward), (batch_norm_forward_fast, batch_norm_backward_fast),
    (batch_norm_forward_fast, batch_norm_backward), (group_norm_forward, group_norm_backward)])
def test_whole_numbers_are_computed_in_the_gains_dtype(forward, backward):
    X, gain, bias, _ = drawn(dtype=np.float32)
    Y, cache = forward(X.astype(int), gain, bias)
    assert [a.dtype for a in (Y, *backward(Y, cache)) if a is not None] == 4 * [np.float32]


def test_one_and_two_threads_give_the_same_bits():
    numba = pytest.importorskip("numba")
    X, gain, bias, skip = drawn(N=32, C=5, H=16, W=16, dtype=np.float32)
    before, results = numba.get_num_threads(), []
    if before < 2:
        pytest.skip("numba has one thread here")
    for threads in (1, 2):
        numba.set_num_threads(threads)
        y, cache = batch_norm_forward_fast(X, gain, bias, skip, relu=True)
        results.append([y, *batch_norm_backward_fast(X, cache)])
    numba.set_num_threads(before)
    assert all(np.array_equal(one, two) for one, two in zip(*results, strict=True))


def test_the_module_passes_the_check_in_both_modes():
    norm = BatchNorm(3, relu=True, eps=0.1, dtype=float)
    X = drawn()[0]
    gradcheck(norm, X).raise_if_wrong()
    gradcheck(norm.eval(), X).raise_if_wrong()


def test_group_norm_of_one_group_is_layer_norm_and_does_not_see_other_images():
    X, gain, bias, _ = drawn()
    Y, _ = group_norm_forward(X, gain, bias)
    flat, _ = layer_norm_forward(X.reshape(4, -1), np.ones(90), np.zeros(90))
    np.testing.assert_allclose(Y, gain[:, None, None] * flat.reshape(X.shape) + bias[:, None, None], rtol=1e-10)
    np.testing.assert_allclose(GroupNorm(3, 3, dtype=float)(X).data[1], GroupNorm(3, 3, dtype=float)(X[1:2]).data[0])


X, C = np.zeros((1, 3, 1, 1)), np.zeros(3)


@pytest.mark.parametrize("forward", [batch_norm_forward, batch_norm_forward_fast])
@pytest.mark.parametrize(("arrays", "settings", "sentence"), [
    ((X, C, C), {}, "batch_norm: X (N C H W) = (1, 3, 1, 1) has N H W = 1 numbers a channel, and their variance needs"),
    ((X.transpose(0, 2, 3, 1), C, C), {}, "X (N C H W) = (1, 1, 1, 3) has C = 1 channels and gain (C) = (3,) has 3; "
                                          "X looks like (N, H, W, C)"),
    ((X.astype(np.uint8), C, C), {}, "batch_norm: X holds uint8"),
    ((X, C, C, np.zeros((2, 3, 1, 1))), {}, "N is 1 and 2; make them equal"),
    ((X, C, C), dict(fixed=(C, np.zeros(2))), "C is 3 and 2; make them equal"),
    ((X, C, C), dict(fixed=(C,)), "batch_norm: fixed has length 1; give two arrays, (mean, variance)"),
    ((X, C, C), dict(eps=-1), "batch_norm: eps is -1; give 0 or more"),
    ((X, C, C), dict(eps="a"), "batch_norm: eps is 'a'; give 0 or more"),
])
def test_bad_input_is_told_in_one_sentence(forward, arrays, settings, sentence):
    with pytest.raises((ValueError, TypeError)) as error:
        forward(*arrays, **settings)
    assert sentence in str(error.value)


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: group_norm_forward(X, C, C, groups=2), "group_norm: X (N C H W) = (1, 3, 1, 1) has C = 3, which doesn't"),
    (lambda: group_norm_forward(X, C, C, groups=3), "has C H W / groups = 1 numbers a group, and their variance needs"),
    (lambda: group_norm_backward(X[:, :1], group_norm_forward(np.zeros((1, 3, 2, 1)), C, C)[1]),
     "group_norm: dY has shape (1, 1, 1, 1) and Y (N C H W) = (1, 3, 2, 1); make them equal"),
    (lambda: GroupNorm(2, 3), "GroupNorm: channels = 3, which doesn't fall into 2 groups"),
    (lambda: GroupNorm(1, 3.0), "GroupNorm: channels is 3.0; give a whole number, 0 or more"),
    (lambda: BatchNorm(True), "BatchNorm: channels is True; give a whole number, 0 or more"),
    (lambda: BatchNorm(3, eps=None), "BatchNorm: eps is None; give 0 or more"),
    (lambda: BatchNorm(3, eps="a"), "BatchNorm: eps is 'a'; give 0 or more"),
    (lambda: group_norm_forward(X, C, C, eps=-1), "group_norm: eps is -1; give 0 or more"),
    (lambda: group_norm_forward(X, C, C, eps=None), "group_norm: eps is None; give 0 or more"),
    (lambda: GroupNorm(1, 3, eps=-1), "GroupNorm: eps is -1; give 0 or more"),
    (lambda: BatchNorm(3, momentum="a"), "BatchNorm: momentum is 'a'; give the share"),
    (lambda: BatchNorm(3, momentum=3), "BatchNorm: momentum is 3; give the share"),
    (lambda: BatchNorm(3, momentum=None), "BatchNorm: momentum is None; give the share"),
])
def test_settings_that_cannot_be_are_told(call, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()
