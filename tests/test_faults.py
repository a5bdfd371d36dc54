"""Small inputs that an earlier version got wrong, each with the right value."""

import glob
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn, npz, ops, optim, threads, train
from tinynet.blocks.graphs.graph_attention import graph_attention
from tinynet.blocks.units.activations import elu
from tinynet.blocks.units.layer_norm import layer_norm_forward_fast
from tinynet.blocks.units.linear import Linear, linear
from tinynet.blocks.units.softmax import log_sum_exp, softmax
from tinynet.graph import Graph


def test_long_float32_sums_are_exact_along_any_axis_in_both_twins():
    x = np.full((1_000_000, 2), 0.1, np.float32)
    np.testing.assert_allclose(tn.Tensor(x).mean(axis=0).data, 0.1, rtol=1e-6)
    W, b = nn.Parameter(np.ones((2, 2), np.float32)), nn.Parameter(np.zeros(2, np.float32))
    linear(x, W, b).backward(x)
    np.testing.assert_allclose(b.grad, 1e5, rtol=1e-6)
    for pair in tn_layer_norm():
        _, cache = pair[0](x, np.ones(2, np.float32), np.zeros(2, np.float32))
        np.testing.assert_allclose(pair[1](x, cache)[2], 1e5, rtol=1e-6)


def tn_layer_norm():
    from tinynet.blocks.units.layer_norm import layer_norm

    return (layer_norm.forward, layer_norm.backward), layer_norm.fast


def test_a_truncated_kernel_cache_is_made_anew_with_one_warning(tmp_path):
    code = """import numpy as np; from tinynet.blocks.units.layer_norm import layer_norm_forward_fast as f
f(np.ones((2, 3)), np.ones(3), np.zeros(3)); print("ok")"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}

    def run():
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)

    run()
    for ending in ("nbi", "nbc"):
        for file in glob.glob(f"{tmp_path}/**/*.{ending}", recursive=True):
            os.truncate(file, 40)
        damaged, after = run(), run()
        assert damaged.stdout == "ok\n", damaged.stderr
        assert damaged.stderr.count("was damaged") == 1
        assert (after.stdout, after.stderr) == ("ok\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_forked_after_a_kernel_ran_works():
    def work():
        assert layer_norm_forward_fast(np.ones((2, 3)), np.ones(3), np.zeros(3))[0].shape == (2, 3)

    work()
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    assert child.exitcode == 0


@pytest.mark.parametrize("clip", [np.float64(1.0), np.sqrt(2), np.int64(1)])
def test_clip_of_any_number_keeps_float32(clip):
    net = Linear(2, 1, rng=0)
    x = np.ones((4, 2), np.float32)
    sgd = optim.SGD(net.parameters(), 0.1)
    train.fit(net, lambda net, x: (net(x) ** 2).mean(), x, sgd, 1, clip=clip, progress=False)
    assert net.W.data.dtype == np.float32


def test_no_flipped_bit_of_a_checkpoint_loses_arrays_silently(tmp_path):
    path, arrays = tmp_path / "a.npz", {"a": np.arange(3.0), "b": np.arange(2)}
    npz.save(path, arrays, {})
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 3):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found, _ = npz.load(path)
        except npz.CheckpointError:
            continue
        assert found.keys() == arrays.keys()
        assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize("backend", ["plain", "fast"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_sum_exp_of_inf(backend, dtype):
    with tn.use_backend(backend):
        x = nn.Parameter(np.array([np.inf, 0], dtype))
        y = log_sum_exp(x)
        y.backward()
        assert y.item() == np.inf
        assert x.grad.tolist() == [1, 0]
        assert softmax(np.array([[np.inf, 0, np.inf]], dtype)).data.tolist() == [[0.5, 0, 0.5]]


def test_the_norm_of_tiny_gradients():
    p = nn.Parameter(np.zeros(4, np.float32))
    p.grad = np.full(4, 1e-30, np.float32)
    assert optim.clip_grad_norm([p], 1.0) == pytest.approx(2e-30, rel=1e-6)


def test_a_module_may_hold_its_parent():
    class Child(nn.Module):
        def __init__(self, parent):
            self.parent, self.w = parent, nn.Parameter(np.ones(1))

    class Parent(nn.Module):
        def __init__(self):
            self.child = Child(self)

    assert [name for name, _ in Parent().named_parameters()] == ["child.w"]


@pytest.mark.parametrize("size", [3, 300])
def test_float16_takes_the_plain_twin_at_every_size(size):
    x = nn.Parameter(np.ones((size, size), np.float16))
    for op in (softmax, elu):
        op(x).backward(np.ones((size, size), np.float16))
    assert tn.Tensor(np.ones(70_000, np.float16)).mean().item() == 1


def test_the_maximum_takes_a_list_of_axes():
    assert ops.max(np.arange(6.0).reshape(2, 3), axis=[0, 1]).item() == 5


def test_elu_with_a_large_alpha_has_slope_1_above_0():
    x = nn.Parameter(np.array([2.0], np.float32))
    with tn.use_backend("plain"):
        elu(x, alpha=1e10).sum().backward()
    assert x.grad.tolist() == [1]


@pytest.mark.parametrize("backend", ["plain", "fast"])
def test_a_nan_node_reaches_its_neighbours_alone(backend):
    graph = Graph.from_edges([(0, 0), (1, 1), (1, 2), (2, 2)], 3)
    h = np.ones((3, 1, 1))
    h[2] = np.nan
    with tn.use_backend(backend):
        y = graph_attention(h, np.zeros((3, 1)), np.zeros((3, 1)), graph=graph).data
    assert np.isnan(y[:, 0, 0]).tolist() == [False, True, True]


def test_ctrl_c_at_any_moment_gives_blas_its_threads_back(monkeypatch):
    told = [2]

    def interrupted(number):
        told.append(number)
        if number == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(threads, "_openblas", lambda: (lambda: told[-1], interrupted))
    with pytest.raises(KeyboardInterrupt):
        threads.with_one(lambda: None)
    assert (threads._callers, told[-1]) == (0, 2)


def test_a_generator_in_a_list_is_saved():
    class Noisy(nn.Module):
        def __init__(self):
            self.rngs = [np.random.default_rng(0)]

    assert [name for name, _ in Noisy().named_rngs()] == ["rngs.0"]


def test_einsum_cumsum_and_repeat_sum_exactly_too():
    x = np.full((1_000_000, 2), 0.1, np.float32)
    np.testing.assert_allclose(ops.einsum("ij->j", x).data, 1e5, rtol=1e-6)
    np.testing.assert_allclose(ops.cumsum(x, axis=0).data[-1], 1e5, rtol=1e-6)
    one = nn.Parameter(np.ones((1, 2), np.float32))
    ops.repeat(one, count=1_000_000, axis=0).backward(x)
    np.testing.assert_allclose(one.grad, 1e5, rtol=1e-6)
