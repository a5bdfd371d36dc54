"""What the checker can measure: scales, edges of domains, kinks, jumps, float32, and inputs of every form."""

import functools

import numpy as np
import pytest

from tinynet.check import gradcheck
from tinynet.check.numeric import measure


def entrywise(f, slope):
    return (lambda x: (f(x), x)), lambda d, x: d * slope(x)


def real(f):
    """f without complex numbers, so that differences measure it."""
    return lambda x: f(np.asarray(x, float))


# %% Scales
@pytest.mark.parametrize("wrap", [lambda f: f, real])
@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e-8, 1e-4, 1.0, 1e4, 1e8, 1e30])
@pytest.mark.parametrize(("f", "slope"), [
    (np.log, lambda x: 1 / x), (np.sqrt, lambda x: 0.5 / np.sqrt(x)), (np.square, lambda x: 2 * x),
    (np.reciprocal, lambda x: -1 / x ** 2)])
def test_arguments_of_every_size(f, slope, scale, wrap):
    x = scale * np.array([0.5, 1.0, 3.0])
    assert gradcheck(*entrywise(wrap(f), slope), x).ok
    assert gradcheck(*entrywise(wrap(f), lambda x: 1.01 * slope(x)), x).kinds == ["factor"]


@pytest.mark.parametrize("wrap", [lambda f: f, real])
@pytest.mark.parametrize("far", [1e3, 1e6, 1e8])
def test_a_sine_far_out(far, wrap):
    x = far + np.array([0.1, 0.9, 2.0])
    assert gradcheck(*entrywise(wrap(np.sin), np.cos), x).ok
    assert gradcheck(*entrywise(wrap(np.sin), lambda x: 1.01 * np.cos(x)), x).kinds == ["factor"]


def test_entries_of_very_different_sizes():
    assert gradcheck(*entrywise(lambda p: -np.log(p), lambda p: -1 / p), np.array([0.5, 1e-7])).ok


def test_the_derivative_of_a_noisy_function_has_an_error():
    x, rng = np.array([0.3, 1.0]), np.random.default_rng(0)
    noise = dict()

    def noisy(x):
        return np.array([np.sin(v) + 1e-8 * noise.setdefault(float(v), rng.normal()) for v in x])
    measured = measure(noisy, [x], 0, analytic=False)
    off = np.abs(np.diag(measured.jacobian) - np.cos(x))
    assert (off < 1e-4).all()
    assert (off <= 8 * np.diag(measured.error)).all()


# %% Edges of the domain
@pytest.mark.parametrize("refuse", [ValueError, AssertionError, ZeroDivisionError])
def test_an_entry_near_the_edge_of_the_domain_is_measured_with_smaller_steps(refuse):
    def nll(p):
        if (np.real(p) <= 0).any():
            raise refuse("p must be above 0")
        return -np.log(p), p

    p = np.array([5e-4, 0.5, 0.2])
    assert gradcheck(nll, lambda d, p: -d / p, p).ok
    assert gradcheck(nll, lambda d, p: 5 * d / p, p).kinds == ["factor"]


@pytest.mark.parametrize("wrap", [lambda f: f, real])
def test_an_entry_on_the_edge_is_measured_to_one_side(wrap):
    def inside(p):
        if (np.real(p) < 0).any() or (np.real(p) > 1).any():
            raise ValueError("p must be in 0..1")
        return p * (1 - p)

    p = np.array([0.0, 0.3, 1.0])
    assert str(gradcheck(*entrywise(wrap(inside), lambda p: 1 - 2 * p), p)) == "<lambda>: right"
    assert not gradcheck(*entrywise(wrap(inside), lambda p: 1 - 2 * p + 0.1 * (p == 1)), p).ok


def test_an_entry_that_can_not_be_moved_is_named():
    def forward(p, x):
        if p[1] != 0.25:
            raise ValueError("p[1] is fixed")
        return p * x, (p, x)

    def backward(d, c):
        return d * c[1], d * c[0]

    inputs = np.array([0.5, 0.25, 0.3]), np.array([1.0, 2, 3])
    report = gradcheck(forward, backward, *inputs)
    assert report.ok
    assert "not checked: p[1]: forward refuses every step (ValueError: p[1] is fixed)" in str(report)
    assert gradcheck(forward, lambda d, c: (2 * d * c[1], d * c[0]), *inputs).kinds == ["factor"]


def test_where_no_entry_can_be_moved_nothing_is_right():
    def forward(p):
        if abs(p.sum() - 1) > 1e-15:
            raise ValueError("the sum must be 1")
        return np.log(p), p
    assert gradcheck(forward, lambda d, p: d / p, np.array([0.25, 0.75])).kinds == ["unchecked"]


def test_a_slope_that_is_too_large_for_a_number_is_not_called_wrong():
    with np.errstate(all="ignore"):
        report = gradcheck(*entrywise(np.reciprocal, lambda x: -1 / x / x), np.array([1e-200, 2e-200]))
    assert report.verdict == "unchecked"
    assert "the slope there is too large for float64" in str(report)


# %% Kinks, jumps, small terms
@pytest.mark.parametrize("near", [1e-3, 1e-5, 1e-7, 1e-9, 1e-12])
def test_a_kink_close_by(near):
    x = np.array([near, -near, 1.0])
    assert gradcheck(*entrywise(lambda x: np.maximum(x, 0), lambda x: x > 0), x).ok
    assert not gradcheck(*entrywise(lambda x: np.maximum(x, 0), lambda x: x < 0), x).ok


def test_a_jump_is_told_from_a_kink():
    step = entrywise(lambda x: x + 3 * (x >= 1), lambda x: 1)
    report = gradcheck(*step, np.array([1.0, 0.5]))
    assert report.ok
    assert "not checked: x[0]: y jumps there" in str(report)
    assert "kinks" not in str(report)
    assert not gradcheck(*entrywise(lambda x: x + 3 * (x >= 1), lambda x: 2), np.array([1.0, 0.5])).ok


def test_a_slope_without_bound_is_told():
    report = gradcheck(*entrywise(np.sqrt, lambda x: 0.5 / np.sqrt(np.where(x > 0, x, 1))), np.array([0.0, 1.0]))
    assert report.ok
    assert "not checked: x[0]: the slope grows without bound there" in str(report)


def test_a_small_term_that_complex_numbers_pass_over():
    w = np.array([1.0, -2, 3])

    def loss(w):
        return (w ** 2).sum() + 1e-6 * np.abs(w).sum(), w
    assert gradcheck(loss, lambda d, w: d * (2 * w + 1e-6 * np.sign(w)), w).ok
    assert not gradcheck(loss, lambda d, w: d * 2 * w, w).ok


@pytest.mark.parametrize("drops", [np.var, np.linalg.norm, lambda x: np.abs(x).sum()])
def test_functions_that_drop_the_imaginary_part_are_measured_by_differences(drops):
    assert not measure(drops, [np.array([1.0, -2, 4])], 0).exact


def test_all_slopes_zero_is_noted():
    report = gradcheck(*entrywise(lambda x: np.maximum(x, 0), lambda x: x > 0), np.array([-1.0, -2]))
    assert report.ok
    assert "all slopes of y in x are 0 on these inputs: choose others" in str(report)


# %% float32 and iterated forwards
@pytest.mark.parametrize("back", [np.float32, np.float64])
@pytest.mark.parametrize("out", [np.float32, np.float64])
def test_a_forward_in_float32(out, back):
    def forward(x):
        return np.tanh(x.astype(np.float32)).astype(out), x

    x = np.random.default_rng(0).normal(size=(3, 4))
    report = gradcheck(forward, lambda d, x: (d * (1 - np.tanh(x) ** 2)).astype(back), x)
    assert report.ok, str(report)
    assert "forward computes in float32" in str(report)
    assert gradcheck(forward, lambda d, x: 1.01 * d * (1 - np.tanh(x) ** 2), x).kinds == ["factor"]


def test_a_tolerance_for_a_forward_that_iterates():
    def root(a):
        x = np.ones_like(a)
        while np.abs(x * x - a).max() > 1e-4:
            x = (x + a / x) / 2
        return x, x

    a = np.array([2.0, 3.0])
    assert not gradcheck(root, lambda d, x: d / (2 * x), a).ok
    assert gradcheck(root, lambda d, x: d / (2 * x), a, tolerance=1e-2).ok
    assert not gradcheck(root, lambda d, x: d / x, a, tolerance=1e-2).ok


# %% Inputs of every form
def cube(k, x):
    return x ** k, (k, x)


def cube_backward(d, c):
    return d * c[0] * c[1] ** (c[0] - 1)


class Twice:
    def __call__(self, x):
        return 2 * x, None


def test_partials_objects_and_builtins():
    x = np.array([1.0, 2, 3])
    assert str(gradcheck(functools.partial(cube, 3), cube_backward, x)) == "cube: right"
    assert str(gradcheck(Twice(), lambda d, _: 2 * d, x)) == "Twice: right"
    assert gradcheck(lambda x: (4.0 * x, 4.0), np.multiply, x).ok


def affine(x, params):
    return x @ params["W"] + params["b"], (x, params)


def test_dictionaries_of_arrays():
    rng = np.random.default_rng(0)
    x, params = rng.normal(size=(4, 3)), dict(W=rng.normal(size=(3, 2)), b=rng.normal(size=2))

    def backward(d, c, sign=1):
        return d @ c[1]["W"].T, {"W": sign * c[0].T @ d, "b": d.sum(0)}
    assert gradcheck(affine, backward, x, params).ok
    report = gradcheck(affine, functools.partial(backward, sign=-1), x, params)
    assert report.kinds == ["sign"]
    assert "dparams['W']: the sign is flipped" in str(report)
    forgotten = gradcheck(affine, lambda d, c: (d @ c[1]["W"].T, {"W": c[0].T @ d}), x, params)
    assert "dparams['b']: backward returns None, but y depends on this input" in str(forgotten)


def test_lists_of_arrays():
    rng = np.random.default_rng(0)
    x, Ws = rng.normal(size=(4, 3)), [rng.normal(size=(3, 5)), rng.normal(size=(5, 2))]

    def backward(d, c):
        x, (W1, W2) = c
        return d @ W2.T @ W1.T, [x.T @ (d @ W2.T), (x @ W1).T @ d]
    assert gradcheck(lambda x, Ws: (x @ Ws[0] @ Ws[1], (x, Ws)), backward, x, Ws).ok
    swapped = gradcheck(lambda x, Ws: (x @ Ws[0] @ Ws[1], (x, Ws)), lambda d, c: backward(d, c)[::-1], x, Ws)
    assert swapped.kinds == ["count"]
    assert "what backward returns for x is no array of numbers" in str(swapped)


def test_one_tuple_of_arrays():
    pair = np.ones(3), np.full(3, 2.0)
    for backward in (lambda d, p: (d * p[1], d * p[0]), lambda d, p: [[d * p[1], d * p[0]]]):
        assert gradcheck(lambda p: (p[0] * p[1], p), backward, pair).ok


def test_gradients_in_a_dictionary_by_name():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(4, 3)), rng.normal(size=(3, 2))
    assert gradcheck(lambda x, w: (x @ w, (x, w)), lambda d, c: {"dw": c[0].T @ d, "dx": d @ c[1].T}, *inputs).ok


def test_python_numbers_and_lists_in_and_out():
    assert gradcheck(lambda x: (float((x ** 2).sum()), x), lambda d, x: 2 * d * x, np.ones(3)).ok
    assert gradcheck(lambda x: ([float(v) ** 2 for v in x], x),
                     lambda d, x: [2 * a * b for a, b in zip(d, x, strict=True)], np.ones(3)).ok
    assert gradcheck(lambda a, x: (a * x, (a, x)), lambda d, c: (float((d * c[1]).sum()), c[0] * d), 2.0, np.ones(3)).ok
    assert gradcheck(lambda x, k: (x ** k, (x, k)), lambda d, c: (d * c[1] * c[0] ** (c[1] - 1), None),
                     np.ones(3), 3).ok


def test_data_has_no_gradient_to_compare():
    x, w = np.ones((4, 3)), np.ones(3)
    pair = (lambda x, w: (x @ w, x)), lambda d, x: (np.zeros_like(x), d @ x)
    assert not gradcheck(*pair, x, w).ok
    assert gradcheck(*pair, x, w, data="x").ok
    with pytest.raises(ValueError, match="data=z, but its inputs are x, w"):
        gradcheck(*pair, x, w, data=["z"])


def test_a_backward_may_leave_the_gradients_of_data_out():
    x, t, w = np.ones((4, 3)), np.zeros((4, 3)), np.ones(3)

    def loss(t, x, w):
        return (((x * w - t) ** 2).mean(), (t, x, w))

    def backward(d, cache):
        t, x, w = cache
        e = 2 * d * (x * w - t) / x.size
        return e * w, (e * x).sum(axis=0)

    assert gradcheck(loss, backward, t, x, w, data="t").ok
    assert gradcheck(lambda x, t: (((x - t) ** 2).mean(), (x, t)), lambda d, c: 2 * d * (c[0] - c[1]) / c[0].size,
                     x, t, data="t").ok
    wrong = gradcheck(loss, lambda d, c: (backward(d, c)[0], 3 * backward(d, c)[1]), t, x, w, data=["t"])
    assert wrong.kinds == ["factor"]
    assert "dw: off by a constant factor" in str(wrong)
    few = gradcheck(loss, lambda d, c: backward(d, c)[0], t, x, w, data=["t"])
    assert few.kinds == ["count"]
    assert "backward returns 1 gradients for 2 arrays that aren't data (x, w)" in str(few)


def test_a_forward_may_have_settings_called_data_and_tolerance():
    def forward(x, data, tolerance):
        return x * data * tolerance, data * tolerance
    assert gradcheck(forward, lambda d, c: d * c, np.ones(3), data=2.0, tolerance=5.0).ok


def test_a_complex_output_is_refused():
    with pytest.raises(ValueError, match="y is complex; return its real and imaginary part"):
        gradcheck(lambda x: (np.fft.fft(x), None), lambda d, _: d.real, np.ones(4))


# %% Cut-down arrays
def linear(x, w, b):
    return x @ w + b, (x, w)


def test_an_axis_of_size_1_that_broadcasts_stays():
    x = np.random.default_rng(0).normal(size=(5, 4))
    report = gradcheck(linear, lambda d, c: (d @ c[1].T, c[0].T @ d, d.sum(axis=0, keepdims=True)),
                       x, np.ones((4, 3)), np.ones((1, 3)))
    assert str(report) == "linear: right"


def test_closures_halves_and_quarters_that_do_not_fit_the_cut():
    x, t = np.random.default_rng(0).normal(size=(2, 5, 4)), np.ones((2, 5, 4))
    assert gradcheck(lambda x: (((x - t) ** 2).sum(), x), lambda d, x: 2 * d * (x - t), x).ok
    half = (lambda x: (x[:, :x.shape[1] // 2] * x[:, x.shape[1] // 2:], x)), (
        lambda d, x: np.hstack([d * x[:, x.shape[1] // 2:], d * x[:, :x.shape[1] // 2]]))
    assert str(gradcheck(*half, x[0])) == "<lambda>: right"
