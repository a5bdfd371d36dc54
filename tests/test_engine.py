"""The engine: order, accumulation, memory, and what it says when asked for the impossible."""

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

import tinynet as tn
from tinynet import backend, engine, nn, ops, optim


def leaf(*values, dtype=np.float64):
    return tn.Tensor(np.array(values, dtype), requires_grad=True)


def test_a_tensor_used_twice_collects_both_gradients():
    x = leaf(3.0)
    (x * x + x).sum().backward()
    assert x.grad == 7


def test_a_diamond_waits_for_both_sides():
    x = leaf(2.0)
    a = x * 3
    b, c = a * a, a + 1
    (b * c).sum().backward()                    # 9x^2 (3x + 1), derivative 81x^2 + 18x
    assert x.grad == 81 * 4 + 18 * 2


def test_an_unused_leaf_keeps_no_gradient():
    x, unused = leaf(1.0), leaf(1.0)
    (x * 2).sum().backward()
    assert unused.grad is None


def test_backward_twice_adds_and_zero_grad_forgets():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward()
    y.backward()
    assert x.grad == 8
    x.zero_grad()
    assert x.grad is None


def test_gradients_of_two_leaves_never_share_memory():
    a, b = leaf(1.0), leaf(2.0)
    dy = np.array([1.0])
    (a + b).backward(dy)
    assert not np.shares_memory(a.grad, b.grad)
    assert not np.shares_memory(a.grad, dy)
    ((a.reshape(1, 1) + b) * 2).sum().backward()
    assert not np.shares_memory(a.grad, b.grad)
    assert a.grad.flags.writeable


def test_a_leaf_is_its_own_graph():
    x = leaf(1.0)
    x.backward()
    assert x.grad == 1


def test_a_chain_of_300_000_ops_needs_no_recursion():
    x = y = leaf(1.0)
    for _ in range(300_000):
        y = -y
    y.backward()
    assert x.grad == 1


@pytest.mark.parametrize("n", [10, 1000])
def test_each_step_runs_once_when_all_that_uses_it_has_run(n):
    """2^n ways lead from y back to x, and n steps."""
    order = []

    def both_backward(dy, cache):
        order.append(cache)
        return dy, dy

    x = y = leaf(1.0)
    for k in range(n):
        y = tn.Op(lambda a, b, k=k: ((a + b) / 2, k), lambda dy, k: both_backward(dy / 2, k))(y, y)
    y.backward()
    assert order == [*range(n)][::-1]
    assert x.grad == 1


def test_memory_is_freed_without_the_garbage_collector():
    gc.disable()
    try:
        x = leaf(1.0)
        y = (x * x).exp().sum()
        y.backward()
        data = weakref.ref(y.step.parents[0].cache)
        assert data() is not None
        del y
        assert data() is None
    finally:
        gc.enable()


def test_the_tape_keeps_no_array_that_no_backward_needs():
    """A sum's backward needs shapes alone, so ten of them in a row hold one array, the last."""
    x, alive = tn.Tensor(np.ones(1000), requires_grad=True), []
    y = x
    for _ in range(10):
        y = y + x
        alive.append(weakref.ref(y.data))
    assert [data() is not None for data in alive] == [False] * 9 + [True]
    y.sum().backward()
    assert (x.grad == 11).all()


def test_a_python_number_beside_an_array_wants_no_gradient():
    x = tn.Tensor(np.ones(3, np.float32), requires_grad=True)
    for y in (x * 2, 2 * x, x / 2.0, 2 / x, x + np.float64(2), 1 - x):
        assert y.dtype == np.float32
        grads = y.step.gradients(np.ones(3, np.float32))
        assert [g is None for g in grads] == [parent is None for parent in y.step.parents]


def test_non_scalar_without_dy_says_what_to_do():
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(ValueError, match=r"shape \(2,\).*sum\(\).backward\(\), or pass dy"):
        y.backward()
    with pytest.raises(ValueError, match=r"dy has shape \(3,\), the tensor \(2,\)"):
        y.backward(np.ones(3))


def test_integer_tensors_have_no_gradient():
    with pytest.raises(TypeError, match=r"int64.*astype\(np.float32\)"):
        tn.Tensor([1, 2], requires_grad=True)


def test_a_list_of_tensors_would_lose_gradients():
    with pytest.raises(TypeError, match=r"ops\.stack"):
        tn.Tensor([leaf(1.0), leaf(2.0)])


def test_nothing_to_differentiate():
    with pytest.raises(RuntimeError, match="requires_grad"):
        tn.Tensor([1.0]).backward()
    x = leaf(1.0)
    with tn.no_grad():
        y = x * 2
    assert not y.requires_grad
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


def test_detach_cuts_the_tape_and_shares_the_array():
    x = leaf(2.0)
    y = x * x.detach()
    y.sum().backward()
    assert x.grad == 2
    assert x.detach().data is x.data


def test_dtype_of_the_gradient_is_the_leafs():
    x = leaf(1.0, dtype=np.float32)
    (x * np.array([2.0])).sum().backward()      # a float64 array makes the product float64
    assert x.grad.dtype == np.float32


def test_numpy_sees_the_values():
    x = tn.Tensor([1.0, 2.0])
    assert np.asarray(x) is x.numpy()
    assert np.array(x, dtype=np.float32).dtype == np.float32
    assert np.allclose(np.sin(np.asarray(x)), np.sin([1, 2]))
    assert len(x) == 2
    assert x[0].item() == float(x[0]) == 1
    with pytest.raises(TypeError, match="no length"):
        len(x.sum())
    with pytest.raises(ValueError, match="without a copy"):
        np.array(x, dtype=np.float32, copy=False)


def test_repr_tells_values_shape_dtype_and_origin():
    x = tn.Tensor(np.ones(2, np.float32), requires_grad=True, name="w")
    assert repr(x) == "Tensor([1., 1.], shape=(2,), float32, name='w', requires_grad)"
    assert "from=add" in repr(x + 1)
    assert repr(ops.add) == "Op(add(a, b), plain)"


def test_a_backward_with_too_few_gradients_is_named():
    def half_forward(a, b):
        return a + b, None

    half = tn.Op(half_forward, lambda dy, cache: dy)
    with pytest.raises(TypeError, match="half: its backward returned 1 gradients for 2"):
        half(leaf(1.0), leaf(2.0)).sum().backward()


# %% Backends
def twin_op():
    def f_forward(x):
        return x, "plain"

    def f_forward_fast(x):
        return x, "fast"

    said = []
    return said, tn.Op(f_forward, lambda dy, cache: said.append(("plain", cache)) or dy,
                       fast=(f_forward_fast, lambda dy, cache: said.append(("fast", cache)) or dy),
                       fast_when=backend.at_least(3))


@pytest.mark.parametrize(("backend", "size", "runs"), [("plain", 9, "plain"), ("fast", 1, "fast"),
                                                       ("auto", 2, "plain"), ("auto", 3, "fast")])
def test_the_backend_chooses_the_twin(backend, size, runs):
    said, op = twin_op()
    with tn.use_backend(backend):
        op(leaf(*range(size))).backward(np.ones(size))
    assert said == [(runs, runs)]


def test_a_step_keeps_the_backward_its_forward_chose():
    said, op = twin_op()
    with tn.use_backend("fast"):
        y = op(leaf(1.0))
    with tn.use_backend("plain"):
        y.backward()
    assert said == [("fast", "fast")]


def test_use_backend_stays_or_is_undone():
    before = backend._backend
    with tn.use_backend("plain"):
        assert backend._backend == "plain"
        tn.use_backend("fast")
        assert backend._backend == "fast"
    assert backend._backend == before
    with pytest.raises(ValueError, match=r"no backend 'cuda'; choose one of 'auto', 'plain', 'fast'"):
        tn.use_backend("cuda")


def test_the_environment_sets_the_first_backend():
    def run(backend):
        return subprocess.run([sys.executable, "-c", "import tinynet; print(tinynet.backend._backend)"],
                              env=os.environ | {"TINYNET_BACKEND": backend}, capture_output=True, text=True)

    assert run("plain").stdout.strip() == "plain"
    wrong = run("gpu")
    assert wrong.returncode != 0
    assert "TINYNET_BACKEND: there is no backend 'gpu'" in wrong.stderr


def test_a_leaf_that_turns_integer_later_is_refused():
    x = tn.Tensor([1, 2, 3])
    x.requires_grad = True
    with pytest.raises(TypeError, match="a gradient needs floating numbers, and this tensor holds int"):
        (x * 0.5).sum().backward()


@pytest.mark.parametrize("data", [["a"], None, {"a": 1}])
def test_a_tensor_holds_numbers(data):
    with pytest.raises(TypeError, match="a tensor holds numbers, and this data is"):
        tn.Tensor(data)


def test_what_a_pair_returns_is_checked():
    def twice_forward(x):
        return 2 * x                    # an array of two entries is not y and a cache

    def sum_forward(x):
        return np.asarray(x.sum()), x

    x = tn.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="twice: its forward must return two things, y and the cache"):
        tn.Op(twice_forward, lambda dy, _: dy)(x)
    with pytest.raises(ValueError, match=r"sum: its backward returned a gradient of shape \(\) for an array of shape"):
        tn.Op(sum_forward, lambda dy, x: dy)(x).backward()
    tn.Op(sum_forward, lambda dy, x: [dy * np.ones_like(x)])(x).backward()
    assert x.grad.tolist() == [1, 1]


# %% gradients()
def test_gradients_of_leaves_and_of_what_is_between_leave_grad_alone():
    w, u = tn.Tensor([1.0, 2.0], requires_grad=True), tn.Tensor([3.0], requires_grad=True)
    h = w * w
    y = (h * 5).sum()
    dw, dh, du = engine.gradients(y, [w, h, u])
    assert (dw.tolist(), dh.tolist(), du.tolist()) == ([10, 20], [5, 5], [0])
    assert w.grad is None
    y.backward()
    assert w.grad.tolist() == [10, 20]
    assert engine.gradients(h, [w], np.array([1.0, 0.0]))[0].tolist() == [2, 0]
    dw[:] = 7
    assert w.grad.tolist() == [10, 20]
    with pytest.raises(RuntimeError, match="no tensor behind y has requires_grad"):
        engine.gradients(tn.Tensor(1.0), [w])


# %% What an op must return
def test_several_arrays_and_surplus_gradients_are_refused():
    def two_forward(x):
        return (x, x), None

    def one_forward(x):
        return 2 * x, None

    with pytest.raises(TypeError, match="two: its forward returned 2 arrays, but an op returns one; stack them"):
        tn.Op(two_forward, None)(np.ones(2))
    y = tn.Op(one_forward, lambda dy, _: (2 * dy, dy))(tn.Tensor(1.0, requires_grad=True))
    with pytest.raises(TypeError, match="one: its backward returned 2 gradients for 1 arrays"):
        y.backward()


# %% Changed in place
def test_an_optimisers_step_between_forward_and_backward_is_told():
    w = nn.Parameter(np.ones(1))
    sgd = optim.SGD([w], lr=1.0)
    y, z = (w * w).sum(), (w * w).sum()
    z.backward()
    sgd.step()
    with pytest.raises(RuntimeError, match="multiply: an array that its backward needs was changed in place"):
        y.backward()


def test_what_backward_does_not_need_may_change_and_new_arrays_are_no_change():
    w = nn.Parameter(np.ones(1))
    y = (w + 1).sum()
    w.data -= 0.5
    y.backward()
    assert w.grad.tolist() == [1]
    y = (w * w).sum()
    w.data = np.array([9.0])
    w.zero_grad()
    y.backward()
    assert w.grad.tolist() == [1]           # at 0.5, where y was computed
    y = (w * w).sum()
    w.data *= 2
    with pytest.raises(RuntimeError, match=r"multiply: an array that .* was changed in place .* p\.data -= "):
        y.backward()


@pytest.mark.parametrize("use", [lambda w: (w.T @ w).sum(), lambda w: (w.reshape(4) * w.reshape(4)).sum(),
                                 lambda w: (w[0] * w[1]).sum(), lambda w: (w * w.detach()).sum()])
def test_a_change_is_told_through_views_too(use):
    w = nn.Parameter(np.ones((2, 2)))
    y = use(w)
    w.data -= 0.5
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.backward()


def test_a_cache_that_is_a_dictionary_is_searched():
    def square_forward(x):
        return x * x, {"x": x}

    w = nn.Parameter(np.ones(1))
    y = tn.Op(square_forward, lambda d, cache: 2 * d * cache["x"])(w)
    w.data *= 2
    with pytest.raises(RuntimeError, match="square: an array that its backward needs was changed in place"):
        y.backward()


def test_gradients_wants_a_list():
    w = nn.Parameter(np.ones(2))
    with pytest.raises(TypeError, match="give a list"):
        engine.gradients((w * w).sum(), w)


# %% Numbers beside tensors
def test_a_float32_without_axes_stays_float32_with_and_without_a_tape():
    p = nn.Parameter(np.float32(0.3) * np.ones(3, np.float32))
    with tn.no_grad():
        without = p.mean() * 0.1 + 1
    assert without.dtype == (p.mean() * 0.1 + 1).dtype == np.float32
    assert without.item() == (p.mean() * 0.1 + 1).item()
    assert (tn.Tensor(np.float32(2)) * 2).dtype == np.float32


def test_whole_numbers_beside_float32_become_float32():
    x = tn.Tensor(np.ones(3, np.float32), requires_grad=True)
    for other in (np.arange(3), tn.Tensor([1, 2, 3]), [1, 2, 3], True, np.int64(2)):
        assert (x * other).dtype == (other + x).dtype == np.float32


@pytest.mark.parametrize("other", [None, "3", [None, 1.0, 2.0], 10**400])
def test_what_is_no_number_is_refused(other):
    x = tn.Tensor(np.ones(3, np.float32), requires_grad=True)
    with pytest.raises(TypeError, match="takes numbers, arrays and tensors"):
        x + other


def test_gradients_wants_leaves_that_want_one():
    w, x = nn.Parameter(np.ones(2, np.float32)), tn.Tensor([1.0, 2.0])
    with pytest.raises(TypeError, match="tensor 1 of leaves has no requires_grad"):
        engine.gradients((w * x).sum(), [w, x])
    assert engine.gradients((w * x).sum(), iter([w]))[0].dtype == np.float32
