"""The checker: what it accepts, what it rejects, and what it says."""

import re

import numpy as np
import pytest

import tinynet as tn
from tinynet import cases, nn, ops
from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy
from tinynet.blocks.sequences.attention import attention, attention_weights
from tinynet.blocks.tasks.cross_stitch import cross_stitch_forward
from tinynet.blocks.units.linear import Linear, linear, linear_backward, linear_forward
from tinynet.blocks.units.softmax import softmax_backward, softmax_forward
from tinynet.cases import distinct
from tinynet.check import GradientError, gradcheck
from tinynet.check.rates import false_alarms
from tinynet.check.recipes.search import RECIPES, alternatives


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def xWb(rng):
    return rng.normal(size=(4, 3)), rng.normal(size=(2, 3)), rng.normal(size=2)


def square_forward(x):
    return x * x, x


def square_backward(dy, x):
    return 2 * dy * x


def relu_forward(x):
    return np.maximum(x, 0), x


# %% What can be checked
def test_a_pair_an_op_a_function_of_tensors_and_a_module_pass(xWb, rng):
    assert gradcheck(linear_forward, linear_backward, *xWb).ok
    assert gradcheck(linear, *xWb).ok
    assert gradcheck(lambda x, W, b: (linear(x, W, b) ** 2).sum(axis=0), *xWb).ok
    assert gradcheck(nn.Sequential(Linear(3, 4, rng=0), Linear(4, 2, rng=1)), rng.normal(size=(5, 3))).ok
    assert tn.gradcheck is gradcheck


def test_tensors_and_float32_inputs_are_checked_in_float64(xWb):
    assert gradcheck(linear, *(tn.Tensor(a.astype(np.float32)) for a in xWb)).ok


def test_a_module_is_checked_with_its_parameters_and_left_as_it_was(rng):
    class Wrong(nn.Module):
        def __init__(self):
            self.layer = Linear(3, 2, rng=0)

        def forward(self, x):
            return tn.Op(linear_forward, lambda dy, c: (dy @ c[1], -dy.T @ c[0], dy.sum(axis=0)))(
                x, self.layer.W, self.layer.b)

    module = Wrong()
    before = module.layer.W.data
    report = gradcheck(module, rng.normal(size=(4, 3)))
    assert report.kinds == ["sign"]
    assert "dlayer.W" in str(report)
    assert module.layer.W.data is before
    assert module.layer.W.grad is None


@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (3, 0), (1, 1)])
def test_empty_and_single_inputs_pass(shape):
    assert gradcheck(square_forward, square_backward, np.full(shape, 1.5)).ok


def test_integers_masks_and_none_are_passed_over(rng):
    report = gradcheck(ops.where, np.array([True, False]), rng.normal(size=2), rng.normal(size=2))
    assert report.ok
    assert gradcheck(linear, rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), None).ok


def test_none_for_an_input_is_right_only_where_y_does_not_depend_on_it():
    report = gradcheck(ops.multiply.forward, lambda dy, c: (dy * c[1], None), np.ones(2), np.ones(2))
    assert report.kinds == ["count"]
    assert "db: backward returns None, but y depends on this input" in str(report)

    def first_forward(a, b):
        return 2 * a, None

    report = gradcheck(first_forward, lambda dy, _: (2 * dy, None), np.ones(2), np.ones(2))
    assert report.ok
    assert "backward returns None for b, and y doesn't depend on it" in str(report)


@pytest.mark.parametrize(("backward", "said"), [
    (lambda dy, x: dy * 2 if x.size > 1 else np.squeeze(dy * 2),
     "on size-1 arrays, which forward takes: has shape () where x has (1, 1)"),
    (lambda dy, x: dy * 2 if x.size > 1 else dy * 3, "on size-1 arrays, which forward takes: off by a constant factor"),
    (lambda dy, x: dy * 2 + 0 * dy.max(), "on empty arrays, which forward takes: backward fails (ValueError"),
])
def test_size_1_and_empty_arrays_are_tried(backward, said):
    def double_forward(x):
        return x * 2, x

    report = gradcheck(double_forward, backward, np.ones((2, 3)))
    assert report.ok
    assert said in str(report)
    ours = gradcheck(ops.negative.forward, lambda dy, c: -backward(dy / 2, np.ones(dy.shape)), np.ones((2, 3)))
    assert set(ours.kinds) == {"size"}
    assert said in str(ours)


def test_a_forward_may_refuse_smaller_arrays():
    def spread_forward(x):
        if len(x) < 2:
            raise ValueError("a spread needs two entries")
        return x - x.mean(), x

    assert gradcheck(spread_forward, lambda dy, x: dy - dy.mean(), np.array([1.0, 3, 4])).ok


def test_an_input_that_can_not_be_moved_is_neither_right_nor_wrong():
    report = gradcheck(binary_cross_entropy, np.array([0.3, -2]), np.array([1.0, 0]))
    assert report.ok
    assert str(report) == "binary_cross_entropy: right"         # a target of 1 or 0 can be moved to one side

    def sure_forward(p):
        if abs(p.sum() - 1) > 1e-15:
            raise ValueError("the chances must have the sum 1")
        return np.log(p), p

    def backward(dy, cache):
        x, p = cache
        return dy * np.log(p), dy * x / p

    pair = lambda x, p: (x * sure_forward(p)[0], (x, p)), backward, np.array([1.0, 2]), np.array([0.25, 0.75])
    report = gradcheck(*pair)
    assert (report.ok, report.verdict, report.kinds) == (False, "unchecked", ["unchecked"])
    assert "dp: could not be checked: forward refuses every step (ValueError: the chances must" in str(report)
    assert gradcheck(*pair, data="p").ok


def test_an_input_that_can_not_be_moved_hides_no_mistake_in_another():
    def forward(x, p):
        if p != 0.5:
            raise ValueError("p is fixed")
        return x * p, (x, p)

    report = gradcheck(forward, lambda dy, c: (2 * dy * c[1], (dy * c[0]).sum()), np.array([1.0, 2]), np.array(0.5))
    assert (report.verdict, report.kinds) == ("WRONG", ["factor", "unchecked"])


def test_whole_numbers_have_no_derivative():
    with pytest.raises(ValueError, match="no input holds floating numbers"):
        gradcheck(lambda x: (x * x, x), lambda dy, x: 2 * x * dy, np.array([1, 2, 3]))


def test_an_output_of_nan_and_a_huge_input_are_refused():
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="NaN or inf"):
        gradcheck(lambda x: (np.sqrt(x), x), lambda dy, x: dy / (2 * np.sqrt(x)), np.array([-1.0]))
    with pytest.raises(ValueError, match="smaller arrays"):
        gradcheck(square_forward, square_backward, np.ones(10_000))


# %% The report
def test_the_report_says_which_input_where_and_how_far(xWb):
    def backward(dy, cache):
        dx, dW, db = linear_backward(dy, cache)
        return dx, dW / 4, db

    report = gradcheck(linear_forward, backward, *xWb)
    assert not report
    assert str(report).startswith("linear: WRONG\n  dW: off by a constant factor: every entry is 1/4 times")
    for part in ("4 the size of axis 0 of x", "worst entry dW[", "analytic", "numeric", "ratio 0.25"):
        assert part in str(report)
    with pytest.raises(GradientError, match="constant factor"):
        report.raise_if_wrong()


def test_the_worst_entry_is_that_of_an_upstream_of_ordinary_size(rng):
    for _ in range(10):
        x = rng.normal(size=(3, 4))
        report = gradcheck(lambda x: (np.tanh(x), x), lambda d, x: d * (1 - np.tanh(x) ** 2) * 1.5, x)
        assert 1e-3 < abs(float(re.search(r"analytic (\S+),", str(report))[1])) < 10
    clipped = gradcheck(lambda x: (2 * x, x), lambda d, x: np.clip(2 * d, -1e4, 1e4), x)     # a large one shows it
    assert re.search(r"analytic -?10000,", str(clipped))


def test_a_right_report_returns_itself():
    report = gradcheck(square_forward, square_backward, np.ones(2))
    assert report.raise_if_wrong() is report
    assert str(report) == "square: right"


# %% Tolerances
def test_smooth_functions_are_measured_to_1e_10_by_complex_steps(rng):
    def slightly_off(dy, x):
        return dy * np.cos(x) * (1 + 3e-10)

    def sine(x):
        return np.sin(x), x

    assert not gradcheck(sine, slightly_off, rng.normal(size=5)).ok
    assert gradcheck(sine, lambda dy, x: dy * np.cos(x), rng.normal(size=5)).ok


@pytest.mark.parametrize("size", [4, 60])
def test_tolerances_do_not_grow_with_the_array(size, rng):
    def one_entry_off(dy, cache):
        dx, dW, _ = linear_backward(dy, cache)
        dW[0, 0] += 1e-8
        return dx, dW

    assert not gradcheck(linear_forward, one_entry_off, rng.normal(size=(size, 3)), rng.normal(size=(2, 3))).ok


def test_a_function_that_only_takes_real_numbers_is_measured_by_differences(rng):
    def forward(x):
        return np.exp(x.astype(np.float64)), x

    x = rng.normal(size=4)
    with np.errstate(all="ignore"):
        assert gradcheck(forward, lambda dy, x: dy * np.exp(x), x).ok
        assert not gradcheck(forward, lambda dy, x: dy * np.exp(x) * (1 + 1e-5), x).ok


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e6])
def test_the_scale_of_the_function_does_not_matter(scale, rng):
    def forward(x):
        return scale * np.abs(x) ** 1.5, x

    def backward(dy, x):
        return dy * scale * 1.5 * np.sqrt(np.abs(x)) * np.sign(x)

    x = rng.normal(size=6) + 3
    assert gradcheck(forward, backward, x).ok
    assert not gradcheck(forward, lambda dy, x: backward(dy, x) * (1 + 1e-5), x).ok


# %% Kinks
@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_at_a_kink_any_slope_between_the_sides_is_right_and_noted(slope):
    report = gradcheck(relu_forward, lambda dy, x: dy * np.where(x == 0, slope, x > 0), np.array([-1.0, 0.0, 2.0]))
    assert report.ok
    assert "kinks met at x[1]" in str(report)


@pytest.mark.parametrize("slope", [-0.1, 1.1])
def test_at_a_kink_a_slope_outside_the_sides_is_wrong(slope):
    assert not gradcheck(relu_forward, lambda dy, x: dy * np.where(x == 0, slope, x > 0), np.array([-1.0, 0.0, 2.0]))


@pytest.mark.parametrize("near", [1e-3, 1e-4, 1e-5, 1e-7])
def test_a_kink_nearby_is_no_reason_to_reject(near):
    assert gradcheck(relu_forward, lambda dy, x: dy * (x > 0), np.array([near, -near, 1.0])).ok


# %% Habits of a backward
def test_shapes_come_before_values(xWb):
    report = gradcheck(linear_forward, lambda dy, c: (dy @ c[1], -c[0].T @ dy, dy.sum(axis=0)), *xWb)
    assert "has shape (3, 2) where W has (2, 3)" in str(report)


def test_too_few_gradients_are_named(xWb):
    report = gradcheck(linear_forward, lambda dy, c: linear_backward(dy, c)[0], *xWb)
    assert report.kinds == ["count"]
    assert "1 gradients for 3 arrays (x, W, b)" in str(report)


def habits(forward, backward, *inputs):
    return gradcheck(forward, backward, *inputs or (np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),)).kinds


def test_a_forward_that_changes_its_input_is_rejected():
    def forward(x):
        x -= 1
        return x * x, x.copy()

    assert "changed" in habits(forward, square_backward)


def test_a_backward_that_changes_its_upstream_is_rejected():
    def backward(dy, x):
        dy *= 2
        return dy * x

    assert habits(square_forward, backward) == ["changed"]


def test_a_backward_that_changes_its_cache_is_rejected():
    def backward(dy, cache):
        cache[0] *= 2
        return dy * cache[0]

    assert habits(lambda x: (x * x, [x.copy()]), backward) == ["repeat"]


def test_a_zero_upstream_must_give_exactly_zero():
    assert habits(square_forward, lambda dy, x: 2 * dy * x + 1e-14) == ["zero upstream"]


def test_an_upstream_in_another_memory_layout_must_not_matter():
    kinds = habits(square_forward, lambda dy, x: 2 * dy.ravel(order="K").reshape(x.shape) * x)
    assert kinds == ["layout"]


def test_a_forward_that_reuses_its_output_is_rejected():
    buffer = np.empty((2, 3))

    def forward(x):
        return np.multiply(x, x, out=buffer) if x.dtype == float else x * x, x

    assert "alias" in habits(forward, square_backward)


def test_a_backward_that_reuses_its_gradient_is_rejected():
    buffer = np.empty((2, 3))
    assert habits(square_forward, lambda dy, x: np.multiply(2 * dy, x, out=buffer)) == ["alias"]


def test_a_random_forward_is_rejected_unless_its_generator_is_a_setting(rng):
    def forward(x, rng):
        keep = rng.random(x.shape) < 0.5
        return x * keep, keep

    assert gradcheck(forward, lambda dy, keep: dy * keep, np.ones(8), rng=rng).ok
    loose = gradcheck(lambda x: forward(x, rng), lambda dy, keep: dy * keep, np.ones(8))
    assert "random" in loose.kinds


# %% Diagnosis
@pytest.mark.parametrize(("factor", "named"), [
    (0.5, "1/2"), (2, "2"), (5, "5, the size of axis 0 of x"), (1 / 5, "1/5, 5 the size of axis 0 of x"),
    (7 ** 0.5, "sqrt(7), 7 the size of axis 1 of x"), (7 ** -0.5, "1/sqrt(7), 7 the size of axis 1 of x"),
    (35, "5 * 7"), (0.7, "1 - p"), (-1.234, "1.234 times what it should be and its sign is flipped")])
def test_a_constant_factor_is_named(factor, named, rng):
    def forward(x, p):
        return x * x * p, x

    report = gradcheck(forward, lambda dy, x: factor * 0.6 * dy * x, rng.normal(size=(5, 7)), p=0.3)
    assert report.kinds == ["factor"]
    assert named in str(report)


def test_what_does_not_fit_all_entries_is_not_named(rng):
    def half_of_it_has_the_wrong_sign(dy, x):
        return np.where(np.arange(x.size) % 2, 2, -1.5) * dy * x

    report = gradcheck(square_forward, half_of_it_has_the_wrong_sign, rng.normal(size=8))
    assert report.kinds == [None]
    assert "no known kind of mistake fits all entries" in str(report)


def test_a_summed_loss_passes_a_softmax_that_returns_zeros_and_ours_does_not(rng):
    x, h = rng.normal(size=(4, 3)), 1e-6

    def zeros(dy, cache):
        return np.zeros_like(dy)

    numeric = np.zeros_like(x)
    for k in np.ndindex(x.shape):
        for side in (h, -h):
            moved = x.copy()
            moved[k] += side
            numeric[k] += softmax_forward(moved)[0].sum() / (2 * side)
    np.testing.assert_allclose(zeros(np.ones_like(x), softmax_forward(x)[1]), numeric, atol=1e-9)
    assert gradcheck(softmax_forward, zeros, x).kinds == ["zero"]
    assert gradcheck(softmax_forward, softmax_backward, x).ok


def test_the_alpha_gradient_printed_on_the_slide_fails(rng):
    """tomaszewska fig8, erratum 1: dL/dalpha_AB is printed with the other task's upstream."""
    def printed(dY, cache):
        X, A = cache
        return np.einsum("ij,inc->jnc", A, dY), np.einsum("jnc,inc->ij", dY, X)

    report = gradcheck(cross_stitch_forward, printed, rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 2)))
    assert report.kinds == ["swapped"]
    assert "those of entries [0, 1] and [1, 0]" in str(report)


def test_a_block_of_ours_under_another_name_is_known(rng):
    def my_attention_backward(dY, cache):
        Q, K, V, *_, scale = cache
        P = attention_weights(Q, K)
        dS = P * (dY @ V.swapaxes(-1, -2)) * scale              # the other entries of the normaliser forgotten
        return dS @ K, dS.swapaxes(-1, -2) @ Q, P.swapaxes(-1, -2) @ dY

    def my_attention_forward(Q, K, V):
        return attention.forward(Q, K, V)

    arrays = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    assert gradcheck(my_attention_forward, my_attention_backward, *arrays).kinds == 2 * ["softmax diagonal"]


@pytest.mark.parametrize("name", [name for name, case in cases.CASES.items() if case.op.name in RECIPES])
def test_the_recipes_of_the_diagnosis_have_our_gradients(name):
    case = cases.CASES[name]
    op, arrays, settings = cases.draw(case, np.random.default_rng(0), **distinct(case))
    y, cache = op.forward(*arrays, **settings)
    dy = np.random.default_rng(1).normal(size=np.shape(y))
    grads = op.backward(dy, cache)
    for i, g in enumerate(grads if isinstance(grads, tuple) else (grads,)):
        if g is not None and arrays[i].dtype.kind == "f":
            np.testing.assert_allclose(alternatives(op.name, arrays, settings, i, [dy])[0][0], g, atol=1e-10)


# %% Rates
def test_no_right_backward_is_rejected():
    assert [str(report) for report in false_alarms(100, seed=1)] == []
