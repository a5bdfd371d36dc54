"""Parts of one job over several threads, each with one of BLAS."""

import threading

import numpy as np
import pytest

import tinynet as tn
from tinynet import threads


@pytest.fixture
def blas(monkeypatch):
    """An OpenBLAS that claims two threads and writes down what it is told."""
    told = [2]
    monkeypatch.setattr(threads, "_openblas", lambda: (lambda: told[-1], told.append))
    return told


def test_two_threads_share_the_parts_and_blas_gets_its_threads_back(blas):
    both, done = threading.Barrier(2, timeout=60), []
    threads.each(lambda part: (both.wait(), done.append((part, blas[-1]))), range(2))       # alone neither would end
    assert sorted(done) == [(0, 1), (1, 1)]
    assert blas == [2, 1, 2]


def test_an_error_in_a_part_is_raised_and_blas_gets_its_threads_back(blas):
    with pytest.raises(ZeroDivisionError):
        threads.each(lambda part: 1 / part, [1, 0])
    assert blas == [2, 1, 2]


def test_one_part_or_another_blas_runs_here(blas, monkeypatch):
    here = []
    threads.each(lambda part: here.append(threading.current_thread()), [0])
    monkeypatch.setattr(threads, "_openblas", lambda: None)
    threads.each(lambda part: here.append(threading.current_thread()), [0, 1])
    assert here == 3 * [threading.current_thread()]
    assert blas == [2]


@pytest.mark.parametrize(("a", "b", "told"), [
    ((128, 64), (64, 64), [2, 1, 2]),           # OpenBLAS would take two threads
    ((64, 64), (64, 32), [2]),                  # here it takes one by itself
    ((2, 512, 512), (512, 512), [2]),           # here two pay
    ((64, 64, 64), (64, 2), [2]),               # of a batch each product is small
    ((512, 512), (512,), [2, 1, 2]),
    ((64, 64), (64,), [2]),
])
def test_a_product_too_small_for_two_threads_takes_one(blas, a, b, told):
    product = tn.Tensor(np.ones(a, np.float32)) @ np.ones(b, np.float32)
    assert (product.data == a[-1]).all()
    assert blas == told


def test_attention_has_the_same_bits_over_two_threads(blas, monkeypatch):
    """Where NumPy has another BLAS: in blocks of queries."""
    from tinynet.blocks.sequences import attention as block

    monkeypatch.setattr(block.attention_tiles, "fit", lambda *arrays: False)
    Q, K, V = np.random.default_rng(0).normal(size=(3, 2, 4, 70, 8)).astype(np.float32)
    y, cache = block.attention_forward_fast(Q, K, V, causal=True)
    grads = block.attention_backward_fast(np.cos(y), cache)
    assert len(blas) == 5
    monkeypatch.setattr(threads, "_openblas", lambda: None)
    alone, cache = block.attention_forward_fast(Q, K, V, causal=True)
    np.testing.assert_array_equal(alone, y)
    for a, b in zip(block.attention_backward_fast(np.cos(y), cache)[:3], grads[:3], strict=True):
        np.testing.assert_array_equal(a, b)


def test_kernels_get_blas_by_its_address_and_on_one_thread(blas, monkeypatch):
    from tinynet.blocks.sequences import attention_tiles as tiles

    Q, K, V = np.random.default_rng(0).normal(size=(3, 1, 20, 4))
    if tiles.fit(Q, K, V):              # NumPy has OpenBLAS
        tiles.forward(Q, K, V, None, None, False, 0.0, 1.0)
        assert blas == [2, 1, 2]
    assert not tiles.fit(Q[:0], K, V)
    assert not tiles.fit(Q.astype(int), K.astype(int), V.astype(int))
    monkeypatch.setattr(threads, "_openblas", lambda: None)
    assert not tiles.fit(Q, K, V)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_address_is_that_of_the_matrix_product(dtype):
    gemm = threads.gemm(dtype)
    if gemm is None:
        pytest.skip("NumPy has another BLAS than OpenBLAS")
    A, B, C = np.random.default_rng(0).normal(size=(3, 4, 4)).astype(dtype)
    expected = 2 * A[:3] @ B[:, :2] + 3 * C[:3, :2]
    gemm(101, 111, 111, 3, 2, 4, 2.0, A.ctypes.data, 4, B.ctypes.data, 4, 3.0, C.ctypes.data, 4)
    np.testing.assert_allclose(C[:3, :2], expected, rtol=1e-5)


def test_blas_gets_its_threads_back_from_callers_that_overlap(blas):
    """The second comes while the first is at work, and goes last."""
    inside, leave = threading.Event(), threading.Event()
    first = threading.Thread(target=threads.each, args=(lambda part: inside.set() or leave.wait(60), range(2)))
    first.start()
    assert inside.wait(60)

    def second():
        leave.set()
        first.join(60)
        assert blas == [2, 1]

    threads.with_one(second)
    assert blas == [2, 1, 2]
