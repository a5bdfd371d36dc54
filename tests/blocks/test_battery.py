"""One battery over every op of tinynet.cases: the mathematics, its compiled twin, and every odd input."""

import subprocess
import sys

import numpy as np
import pytest

from tinynet import cases
from tinynet.check import gradcheck

TWINNED = [name for name, case in cases.CASES.items() if case.op.fast]


def drawn(name, seed=0, **sizes):
    return cases.draw(cases.CASES[name], np.random.default_rng(seed), **sizes)


def each_letter(case, size):
    """{letter: size} for each letter that may have this size."""
    return [{letter: size} for letter in case.letters if cases.possible(case, **{letter: size})]


def pairs(op):
    """(forward, backward) in NumPy, and in loops where there are any."""
    return [(op.forward, op.backward), *([op.fast] if op.fast else [])]


def run(forward, backward, arrays, settings, dtype=float):
    """[y, *gradients] for the same upstream every time."""
    y, cache = forward(*arrays, **settings)
    dy = np.random.default_rng(99).normal(size=np.shape(y)).astype(dtype)
    grads = backward(dy, cache)
    return [y, *(grads if isinstance(grads, tuple) else (grads,))]


def assert_same(ours, theirs, rtol=1e-10):
    """Equal to rtol of the largest entry, None where the other is None."""
    assert [g is None for g in ours] == [g is None for g in theirs]
    for a, b in zip(ours, theirs, strict=True):
        if a is not None:
            assert np.shape(a) == np.shape(b)
            np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.abs(b).max(initial=0.0))


def as_type(arrays, dtype):
    return [a.astype(dtype) if a is not None and a.dtype.kind == "f" else a for a in arrays]


@pytest.mark.parametrize("name", cases.CASES)
def test_backward_is_the_derivative_of_forward(name):
    case = cases.CASES[name]
    for seed, sizes in enumerate([{}, {}, *each_letter(case, 1)]):
        op, arrays, settings = drawn(name, seed, **sizes)
        gradcheck(op.forward, op.backward, *arrays, **settings).raise_if_wrong()


@pytest.mark.parametrize("name", TWINNED)
def test_twins_agree_crossed(name):
    for seed in range(3):
        op, arrays, settings = drawn(name, seed)
        expected = run(op.forward, op.backward, arrays, settings)
        for forward, backward in ((op.forward, op.fast[1]), (op.fast[0], op.backward), op.fast):
            assert_same(run(forward, backward, arrays, settings), expected)


@pytest.mark.parametrize("name", TWINNED)
def test_twins_agree_where_rows_share_a_part_and_fill_vectors(name):
    op, arrays, settings = drawn(name, **dict.fromkeys(cases.CASES[name].letters, 9))
    assert_same(run(*op.fast, arrays, settings), run(op.forward, op.backward, arrays, settings))


@pytest.mark.parametrize("name", TWINNED)
def test_the_twin_alone_passes_the_check(name):
    op, arrays, settings = drawn(name)
    gradcheck(*op.fast, *arrays, **settings).raise_if_wrong()


@pytest.mark.parametrize("name", cases.CASES)
def test_float32_stays_float32_and_agrees_with_float64(name):
    op, arrays, settings = drawn(name)
    arrays = as_type(as_type(arrays, np.float32), np.float64)       # numbers that float32 can hold
    for pair in pairs(op):
        single = run(*pair, as_type(arrays, np.float32), settings, np.float32)
        assert all(np.asarray(a).dtype == np.float32 for a in single if a is not None)
        assert_same(single, run(*pair, arrays, settings), rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in TWINNED if not name.startswith("cross_entropy")])
@pytest.mark.parametrize("dtype", [int, bool])
def test_whole_numbers_and_booleans_give_what_the_same_floats_give(name, dtype):
    op, arrays, settings = drawn(name)
    whole = [a if a is None or a.dtype == bool or i else np.round(3 * a).astype(dtype) for i, a in enumerate(arrays)]
    floats = [whole[0].astype(float), *whole[1:]]
    for forward, _ in pairs(op):
        assert_same([forward(*whole, **settings)[0]], [op.forward(*floats, **settings)[0]])


@pytest.mark.parametrize("name", cases.CASES)
def test_inputs_are_unchanged(name):
    op, arrays, settings = drawn(name)
    before = [None if a is None else a.copy() for a in arrays]
    for pair in pairs(op):
        run(*pair, arrays, settings)
    assert all(a is None or np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


@pytest.mark.parametrize("name", cases.CASES)
def test_each_axis_may_be_empty_or_the_block_says_why_not(name):
    case = cases.CASES[name]
    for sizes in each_letter(case, 0):
        (letter,), (op, arrays, settings) = sizes, drawn(name, **sizes)
        for pair in pairs(op):
            try:
                y, *grads = run(*pair, arrays, settings)
            except (ValueError, IndexError) as error:
                if letter in case.never_empty and str(error).startswith((f"{op.name}: ", "index ")):
                    continue
                raise
            assert np.isfinite(y).all()
            for a, g in zip(arrays, grads, strict=False):
                assert g is None or (g.shape == a.shape and np.isfinite(g).all())


@pytest.mark.parametrize("name", cases.CASES)
def test_each_axis_may_have_size_1_in_the_twin(name):
    case = cases.CASES[name]
    for sizes in each_letter(case, 1):
        op, arrays, settings = drawn(name, **sizes)
        expected = run(op.forward, op.backward, arrays, settings)
        for pair in pairs(op)[1:]:
            assert_same(run(*pair, arrays, settings), expected)


def strided(a):
    spread = np.zeros(tuple(2 * n for n in a.shape), a.dtype)[tuple(slice(None, None, 2) for _ in a.shape)]
    spread[...] = a
    return spread


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


@pytest.mark.parametrize("layout", [strided, np.asfortranarray, read_only])
@pytest.mark.parametrize("name", cases.CASES)
def test_memory_layout_of_the_inputs_does_not_matter(name, layout):
    op, arrays, settings = drawn(name, seed=1)
    laid_out = [a if a is None or not a.ndim else layout(a) for a in arrays]
    for pair in pairs(op):
        assert_same(run(*pair, laid_out, settings), run(*pair, arrays, settings))


@pytest.mark.parametrize("name", cases.CASES)
def test_inputs_may_be_broadcast_views_of_stride_0(name):
    op, arrays, settings = drawn(name, seed=1)
    views = [a if a is None or not a.ndim else np.broadcast_to(a[:1], a.shape) for a in arrays]
    copies = [None if a is None else a.copy() for a in views]
    for pair in pairs(op):
        assert_same(run(*pair, views, settings), run(*pair, copies, settings))


def test_nothing_of_this_needs_pytorch():
    code = "import sys, tinynet.cases, tinynet.check, tinynet.nn; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
