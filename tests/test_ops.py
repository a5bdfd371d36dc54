"""The operators and methods of Tensor; the ops' gradients are checked over their cases in test_blocks.py."""

import math
import operator

import numpy as np
import pytest

import tinynet as tn
from tinynet import Tensor, nn, ops
from tinynet.shapes import ShapeError

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv]
NUMBERS = [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.float16(2.5), np.int64(2), np.uint8(2), np.bool_(True)]


def leaf(*shape, dtype=np.float32, seed=0):
    return tn.Tensor(np.random.default_rng(seed).uniform(0.5, 2, shape).astype(dtype), requires_grad=True)


# %% dtypes
@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{type(n).__name__}")
@pytest.mark.parametrize("op", ARITHMETIC)
@pytest.mark.parametrize("shape", [(2, 3), ()], ids=str)
def test_float32_stays_float32_beside_a_number(op, number, shape):
    x = leaf(*shape)
    like = np.float32(number)
    for y, expected in ((op(x, number), op(x.data, like)), (op(number, x), op(like, x.data))):
        assert isinstance(y, tn.Tensor), f"{op.__name__} of a tensor and {number!r} is a {type(y)}"
        assert y.dtype == np.float32, f"{op.__name__} with {number!r} gave {y.dtype}"
        np.testing.assert_array_equal(y.data, expected)
        x.zero_grad()
        y.sum().backward()
        assert x.grad.dtype == np.float32


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{type(n).__name__}")
def test_functions_of_a_number_keep_float32(number):
    x, condition = leaf(2, 3), np.array([True, False, True])
    results = [ops.maximum(x, number), ops.minimum(number, x), ops.where(condition, x, number),
               ops.where(condition, number, x), x ** number]
    assert [y.dtype for y in results] == [np.float32] * 5


def test_float64_and_integer_tensors_follow_numpy():
    assert (leaf(2, dtype=np.float64) * np.float32(2)).dtype == np.float64
    assert (tn.Tensor([1, 2]) + 1).dtype.kind == "i"
    assert (tn.Tensor([1, 2]) * 0.5).dtype == np.float64
    assert (leaf(2) + np.ones(2)).dtype == np.float64, "arrays, unlike numbers, bring their own dtype"


@pytest.mark.parametrize("f", [
    operator.neg, abs, tn.Tensor.exp, tn.Tensor.log, tn.Tensor.sqrt, tn.Tensor.sum, tn.Tensor.mean, tn.Tensor.max,
    lambda x: x ** 3, lambda x: x[0], lambda x: x[[0, 0]], lambda x: x.T, lambda x: x @ x.T, lambda x: x.mean(axis=0),
    lambda x: ops.stack([x, x]), lambda x: ops.concatenate(x, x, axis=1)])
def test_every_other_op_keeps_float32_forward_and_backward(f):
    x = leaf(2, 3)
    y = f(x)
    assert y.dtype == np.float32
    upstream = np.ones(y.shape, np.float32)
    for d in y.step.gradients(upstream):
        assert d.dtype == np.float32, f"{y.step.op.name} returned a {d.dtype} gradient"


# %% the other side
@pytest.mark.parametrize("op", [*ARITHMETIC, operator.matmul])
def test_an_array_on_the_left_gives_one_tensor(op):
    a, x = np.full((2, 2), 3, np.float32), leaf(2, 2)
    y = op(a, x)
    assert isinstance(y, tn.Tensor)
    np.testing.assert_allclose(y.data, op(a, x.data))
    y.sum().backward()
    assert x.grad.shape == (2, 2)


def test_lists_count_as_numbers():
    y = [1, 2, 3] * leaf(2, 3)
    assert (y.shape, y.dtype) == ((2, 3), np.float32)


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne])
def test_comparisons_answer_with_booleans(compare):
    x = tn.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    for other in (2, np.float32(2), np.array([3, 2, 1]), tn.Tensor([2.0])):
        y = compare(x, other)
        assert type(y) is np.ndarray
        np.testing.assert_array_equal(y, compare(x.data, np.asarray(other)))
    np.testing.assert_array_equal(compare(np.array([3, 2, 1]), x), compare(np.array([3, 2, 1]), x.data))
    assert {x: 1}[x] == 1, "a tensor can still be a dictionary's key"


# %% slices and shapes
@pytest.mark.parametrize("index", [
    1, -1, slice(None, None, -1), (slice(None), 2), ..., (..., None), (0, 1, 2), [0, 1, 0], np.array([[0, 1], [1, 1]]),
    (np.array([0, 1]), slice(None), np.array([3, 0])), np.arange(24).reshape(2, 3, 4) % 2 == 0, np.array([True, False]),
    slice(0, 0), np.int64(1), np.zeros((0,), int)], ids=str)
def test_an_index_takes_what_numpy_takes_and_returns_its_gradient(index):
    x = leaf(2, 3, 4, dtype=np.float64)
    y = x[index]
    np.testing.assert_array_equal(y.data, x.data[index])
    upstream = np.random.default_rng(1).normal(size=y.shape)
    y.backward(upstream)
    expected = np.zeros(x.shape)
    np.add.at(expected, index, upstream)
    np.testing.assert_array_equal(x.grad, expected)


def test_tensors_as_index():
    x, rows = leaf(4, 2), tn.Tensor([3, 0])
    np.testing.assert_array_equal(x[rows].data, x.data[[3, 0]])
    np.testing.assert_array_equal(x[rows, tn.Tensor([1, 1])].data, x.data[[3, 0], [1, 1]])
    assert [row.shape for row in x] == [(2,)] * 4


@pytest.mark.parametrize("axes", [(2, 0, 1), (-1, 0, 1), (1, -1, 0), (0, 1, 2)], ids=str)
def test_transpose_is_undone_on_the_way_back(axes):
    x = leaf(2, 3, 4)
    y = x.transpose(*axes)
    np.testing.assert_array_equal(y.data, x.data.transpose(axes))
    y.backward(y.data)
    np.testing.assert_array_equal(x.grad, x.data)


def test_shape_methods_spell_as_in_numpy():
    x = leaf(2, 3, 4)
    assert x.T.shape == x.transpose().shape == (4, 3, 2)
    assert x.transpose((1, 0, 2)).shape == x.transpose([1, 0, 2]).shape == (3, 2, 4)
    assert x.swapaxes(0, -1).shape == (4, 3, 2)
    assert x.reshape(6, -1).shape == x.reshape((6, 4)).shape == (6, 4)
    assert x.reshape(-1).shape == (24,)
    np.testing.assert_array_equal(x.swapaxes(-1, -2).data, x.data.swapaxes(-1, -2))


def test_joining_takes_arrays_one_by_one_or_as_a_list():
    a, b = leaf(2, 3), leaf(1, 3)
    for y in (ops.concatenate(a, b, axis=0), ops.concatenate([a, b]), ops.concatenate((a, b.data))):
        y.sum().backward()
    assert (a.grad == 3).all(), "each of the three spellings reaches a"
    assert (b.grad == 2).all()
    assert ops.stack([a, a], axis=-1).shape == (2, 3, 2)


def test_reductions_of_empty_batches_that_have_an_answer():
    x = leaf(0, 3)
    assert x.mean(axis=1).shape == x.max(axis=-1).shape == (0,)
    assert x.sum().item() == 0
    x.mean(axis=1).backward(np.zeros(0))
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, (), 0, 1, -1, (0, 1), (-1, 0)])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32, float])
def test_a_sum_is_numpys(axis, dtype, keepdims):
    x = np.random.default_rng(0).integers(-99, 99, (300, 4, 3)).astype(dtype)
    for layout in (x, x.T, x[:, :, :1]):
        y, expected = ops.sum(layout, axis=axis, keepdims=keepdims).data, layout.sum(axis=axis, keepdims=keepdims)
        np.testing.assert_array_equal(y, expected, strict=True)         # dtype and shape, too
        assert not np.shares_memory(x, y)


def test_sums_of_many_numbers_stay_exact_in_every_layout():
    for x in (np.full((10**6, 2), 0.1, np.float32, order="F"), np.full((2, 10**6, 1), 0.1, np.float32)):
        axis = x.shape.index(10**6)
        np.testing.assert_allclose(ops.sum(x, axis=axis).data, 10**5, rtol=1e-6)


def test_ties_share_the_gradient():
    x = tn.Tensor([2.0, 1.0, 2.0], requires_grad=True)
    x.max().backward()
    np.testing.assert_array_equal(x.grad, [0.5, 0, 0.5])
    a, b = tn.Tensor([1.0, 3.0], requires_grad=True), tn.Tensor([1.0, 2.0], requires_grad=True)
    ops.maximum(a, b).sum().backward()
    np.testing.assert_array_equal(a.grad, [0.5, 1])
    np.testing.assert_array_equal(b.grad, [0.5, 0])


# %% errors say what to do
@pytest.mark.parametrize(("wrong", "error", "says"), [
    (lambda x: x + np.ones(4), ValueError, r"add: a has shape \(2, 3\), b has shape \(4,\); .* reshape"),
    (lambda x: np.ones((3, 2)) / x, ValueError, r"divide: a has shape \(3, 2\), b has shape \(2, 3\)"),
    (lambda x: ops.where(np.ones(5), x, 0), ValueError, r"where: condition has shape \(5,\), a has shape \(2, 3\)"),
    (lambda x: x @ x, ValueError, r"matmul: a has shape \(2, 3\), b has shape \(2, 3\); .*swapaxes"),
    (lambda x: x @ 2.0, ValueError, r"matmul: .* b has shape \(\)"),
    (lambda x: x.reshape(4), ValueError, r"reshape: x has shape \(2, 3\), shape=\(4,\)"),
    (lambda x: x.transpose(0, 0), ValueError, r"transpose: .* each axis of x once"),
    (lambda x: x.swapaxes(0, 2), ValueError, r"swapaxes: x has shape \(2, 3\), .* 0 and 2"),
    (lambda x: ops.broadcast_to(x, shape=(2,)), ValueError, r"broadcast_to: x has shape \(2, 3\), shape=\(2,\)"),
    (lambda x: ops.concatenate(x, x.T), ValueError, r"concatenate: array 1 has shape \(2, 3\), array 2 .*\(3, 2\)"),
    (lambda x: ops.stack([x, x.T]), ValueError, r"stack: array 1 has shape \(2, 3\), array 2 .* equal"),
    (lambda x: ops.stack(), ValueError, "stack: there are no arrays"),
    (lambda x: x[:0].mean(), ValueError, r"mean: x has shape \(0, 3\), .* leave out empty batches"),
    (lambda x: x[:, :0].mean(axis=-1), ValueError, "mean over no entries"),
    (lambda x: x[:0].max(axis=0), ValueError, "max over no entries"),
    (lambda x: x ** x, TypeError, "one constant number.*exp"),
    (lambda x: x ** np.ones(3), TypeError, "one constant number"),
    (lambda x: x ** x[0, 0], TypeError, "one constant number"),
    (lambda x: 2 ** x, TypeError, "exponent can't be a tensor"),
    (lambda x: x.sum(axis=2), ValueError, "axis 2 is out of bounds"),
    (lambda x: ops.concatenate(x, x, axis=2), ValueError, "axis 2 is out of bounds"),
    (lambda x: x[2], IndexError, "index 2 is out of bounds"),
])
def test_errors_name_the_op_the_shapes_and_the_remedy(wrong, error, says):
    with pytest.raises(error, match=says):
        wrong(leaf(2, 3))


@pytest.mark.parametrize("number", [2.0, np.float64(2), np.array(2.0), tn.Tensor(2.0)])
def test_numbers_without_axes_leave_float32_alone(number):
    x = tn.Tensor(np.ones(3, np.float32), requires_grad=True)
    (number * x).sum().backward()
    assert (number * x).dtype == x.grad.dtype == np.float32
    scale = tn.Tensor(np.array(2.0), requires_grad=True)        # one that learns keeps its own
    assert (x * scale).dtype == np.float64


# %% NumPy's functions
def test_numpy_functions_run_our_ops_and_keep_the_gradient():
    a, b, w = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(1)), nn.Parameter(np.arange(3.0))
    (w * np.concatenate([a, b])).sum().backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([0.0, 1.0], [2.0])
    x = np.random.default_rng(0).uniform(0.5, 2, (3, 4))
    for function in (np.sum, np.mean, np.max, np.exp, np.log, np.sqrt, np.square, np.transpose, np.squeeze, np.ravel,
                     np.linalg.norm, np.var, np.std, np.prod, np.tril, np.sort, np.cumsum, np.abs, np.negative,
                     lambda x: np.stack([x, x]), lambda x: np.where(x > 1, x, 0), lambda x: np.maximum(x, 1),
                     lambda x: np.einsum("ij,kj->ik", x, x), lambda x: np.dot(x, x.T), lambda x: np.clip(x, 0.7, 1.5),
                     lambda x: np.outer(x[0], x[1]), lambda x: np.reshape(x, (4, 3)), lambda x: np.tile(x, (2, 1)),
                     lambda x: np.take(x, [0, 2], axis=1), lambda x: np.split(x, 2, axis=1)[1], lambda x: x.std(axis=0),
                     lambda x: np.pad(x, 1), lambda x: np.repeat(x, 2, axis=0), lambda x: np.expand_dims(x, 1),
                     lambda x: np.add(np.ones(4), x), lambda x: np.ones(4) * x, lambda x: np.float64(2) - x,
                     lambda x: np.linalg.norm(x, axis=1, keepdims=True), lambda x: np.moveaxis(x, 0, 1)):
        p = nn.Parameter(x)
        y = function(p)
        assert isinstance(y, Tensor)
        assert y.requires_grad
        np.testing.assert_allclose(y.data, function(x), rtol=1e-12)


@pytest.mark.parametrize(("lose", "sentence"), [
    (np.array, "lose its gradient"), (np.asarray, "lose its gradient"), (lambda x: np.array([x, x]), "lose"),
    (float, r"use t\.item\(\)"), (math.exp, r"use t\.item\(\)"), (np.cbrt, "np.cbrt would lose the gradient"),
    (np.fft.fft, "would lose the gradient"), (lambda x: np.sum(x, dtype=np.float32), "takes no such argument"),
    (np.add.reduce, "np.add.reduce would lose"), (lambda x: np.exp(x, out=np.ones(1)), "can't be written into"),
    (lambda x: operator.iadd(np.ones(1), x), "can't be written into an array"),
    (lambda x: np.linalg.norm(x, 1), "Euclidean norm alone"), (lambda x: np.pad(x, 1, "edge"), "with a constant alone"),
    (lambda x: list(x.sum()), "no length"),
])
def test_what_would_lose_the_gradient_is_refused(lose, sentence):
    with pytest.raises(TypeError, match=sentence):
        lose(nn.Parameter(np.ones(1)))


def test_what_has_no_gradient_to_lose_is_answered():
    x = nn.Parameter(np.array([3.0, 1.0]))
    assert np.argmax(x) == x.argmax() == 0
    assert np.shape(x) == (2,)
    assert np.isfinite(x).all()
    assert np.zeros_like(x).tolist() == [0, 0]
    assert np.array(x.detach()).tolist() == [3, 1]
    assert float(x.sum().detach()) == 4


# %% Ops put together from others
def test_split_sort_topk_tile_and_the_rest_are_numpys():
    x = np.random.default_rng(0).normal(size=(4, 6))
    p = nn.Parameter(x)
    assert [part.data.tolist() for part in p.split([1, 4], axis=1)] == [a.tolist() for a in np.split(x, [1, 4], axis=1)]
    assert [part.shape for part in ops.split(p, 2)] == [(2, 6), (2, 6)]
    with pytest.raises(ShapeError, match="axis 1 has 6 entries, which 4 equal parts don't share"):
        ops.split(p, 4, axis=1)
    values, places = p.topk(2, axis=1)
    np.testing.assert_array_equal(values.data, -np.sort(-x, axis=1)[:, :2])
    np.testing.assert_array_equal(np.take_along_axis(x, places, 1), values.data)
    values.sum().backward()
    assert p.grad.sum() == 8
    np.testing.assert_array_equal(ops.tile(p, (2, 1, 3)).data, np.tile(x, (2, 1, 3)))
    assert p.squeeze().unsqueeze(0).flatten(1).shape == (1, 24)
    assert ops.dot(p, x.T).shape == (4, 4)
    with pytest.raises(ShapeError, match=r"widths are .*; they must be 0 or more"):
        ops.pad(p, widths=-1)


def test_flatten_takes_an_axis_of_the_tensor():
    x = Tensor(np.zeros((2, 3, 4, 5)))
    assert [x.flatten(*start).shape for start in ((), (1,), (3,), (-2,), (np.int64(2),))] == [
        (120,), (2, 60), (2, 3, 4, 5), (2, 3, 20), (2, 3, 20)]
    assert Tensor(np.array(1.0)).flatten().shape == (1,)
    for start in (9, 4, -5, 1.0, None):
        with pytest.raises(ShapeError, match=rf"flatten: x has shape \(2, 3, 4, 5\), which has no axis {start}; give"):
            x.flatten(start)


def test_the_norm_neither_overflows_nor_vanishes():
    x = Tensor(np.array([[3e-30, 4e-30], [3e30, 4e30]], np.float32))
    np.testing.assert_allclose(x.norm(axis=1).data, [5e-30, 5e30], rtol=1e-6)


def test_pytorchs_words_are_known():
    x = nn.Parameter(np.arange(6.0).reshape(2, 3))
    assert x.clamp(min=2).data.min() == 2
    assert x.clip(max=3).data.max() == 3
    assert x.sum(dim=1, keepdim=True).shape == (2, 1)
    assert x.std(dim=0).shape == (3,)
    assert x.permute(1, 0).shape == (3, 2)
    assert x.softmax(dim=0).data.sum() == pytest.approx(3)
    assert x.relu().numel() == 6
    assert tn.exp is ops.exp
    assert x[:, :1].expand(-1, 4).shape == (2, 4)
    assert np.clip(x, min=1).data.min() == 1
    assert np.concatenate([x, x[0]], axis=None).shape == (9,)
    with pytest.raises(TypeError, match=r"use tn\.tanh"):
        np.tanh(x)
