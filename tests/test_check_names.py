"""What the checker must not accept, and the names that it gives to mistakes."""

import numpy as np
import pytest

from tinynet import Op, nn
from tinynet.blocks.sequences.attention import attention, attention_weights
from tinynet.blocks.units.apl import apl
from tinynet.check import KINDS, gradcheck


def kinds(forward, backward, *inputs, **settings):
    return gradcheck(forward, backward, *inputs, **settings).kinds


# %% Never accept a wrong one
@pytest.mark.parametrize("bend", [
    lambda d: np.clip(d, -5, 5), lambda d: np.round(d, 4), lambda d: np.where(np.abs(d) < 1e-2, 0, d),
    lambda d: np.where(np.abs(d) < 1e-5, 0, d),
    lambda d: np.clip(d, -1e5, 1e5),
    lambda d: d / max(1, np.abs(d).max()), np.tanh, np.sign])
def test_a_backward_that_is_not_linear_in_its_upstream(bend):
    assert kinds(lambda x: (2 * x, 0), lambda d, _: 2 * bend(d), np.ones(4)) == ["nonlinear"]


BUFFER = {}


def exp_forward(x):
    b = BUFFER.setdefault((x.shape, x.dtype), np.empty_like(x))
    np.exp(x, out=b)
    return b * 1, b


def test_a_cache_that_the_next_forward_overwrites():
    pair = exp_forward, lambda d, b: d * b
    assert kinds(*pair, np.array([0.0, 1, 2])) == ["overwritten cache"]
    op, x = Op(*pair), nn.Parameter(np.array([0.0, 1, 2]))
    (op(x) + op(-x)).sum().backward()
    assert not np.allclose(x.grad, 2 * np.sinh([0.0, 1, 2]))        # what it does in a net


@pytest.mark.parametrize("small", [1e-2, 1e-4, 1e-6])
def test_a_small_slope_beside_a_large_one(small):
    c = np.array([1e8, small])
    assert gradcheck(lambda x: (x @ c, 0), lambda d, _: d * c, np.ones(2)).ok
    assert not gradcheck(lambda x: (x @ c, 0), lambda d, _: d * c * [1, -3], np.ones(2)).ok
    by_rows = np.array([[1e8], [small]])
    assert gradcheck(lambda x: (by_rows @ x, 0), lambda d, _: by_rows.T @ d, np.ones(1)).ok
    assert not gradcheck(lambda x: (by_rows @ x, 0), lambda d, _: (by_rows * [[1], [-3]]).T @ d, np.ones(1)).ok


@pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN"), (np.inf, "inf")])
def test_nan_and_inf_are_called_that_with_their_entry(value, what):
    def backward(d, x):
        g = 2 * d * x
        g[1, 2] = value
        return g
    report = gradcheck(lambda x: (x * x, x), backward, np.ones((2, 3)))
    assert report.kinds == ["not finite"]
    assert f"{what} in the gradient at x[1, 2]" in str(report)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("f", "slope", "x"), [
    (np.exp, np.exp, [700.0, -700]), (np.exp, np.exp, [705.0, 0.5]),
    *((lambda x, c=c: c * x, lambda x, c=c: c + 0 * x, [0.5, 2.5]) for c in (1e305, 1e300, 1e294, 1e-300)),
    (np.exp, np.exp, [709.5, 0.5]), (lambda x: 1e308 * x, lambda x: 1e308 + 0 * x, [0.5, 1.5])])
def test_slopes_near_overflow(f, slope, x):
    def report(factor):
        return gradcheck(lambda x: (f(x), x), lambda d, x: factor * d * slope(x), np.array(x))
    assert report(1).ok, report(1)
    assert report(0.25).kinds == ["factor"]
    assert report(-1).kinds == ["sign"]
    assert not report(np.array([1 + 1e-6, 1])).ok
    assert not report(np.array([1, 1.01])).ok       # the slope 1e-304 itself has few digits


def test_an_inf_that_is_no_overflow_of_the_right_gradient():
    with np.errstate(over="ignore"):
        report = gradcheck(lambda x: (x * 1e305, 0), lambda d, _: d * 1e305 * 1e5, np.array([0.5, 2.5]))
    assert report.kinds == ["not finite"]


def test_the_norm_of_nothing():
    with np.errstate(all="ignore"):
        report = gradcheck(lambda x: (np.sqrt((x * x).sum(-1)), x), lambda d, x: d[:, None] * x / np.sqrt(
            (x * x).sum(-1))[:, None], np.array([[0.0, 0], [1, 2]]))
    assert report.kinds == ["not finite"]


# %% Names
def test_a_factor_of_one_is_never_named():
    def backward(d, x):
        return (d * np.exp(x.astype("f"))).astype(float)
    report = gradcheck(lambda x: (np.exp(x), x), backward, np.array([0.3]))
    assert report.kinds == ["dtype"]
    assert "something is computed in float32" in str(report)
    assert "times" not in str(report)
    nearly = gradcheck(lambda x: (np.exp(x), x), lambda d, x: d * np.exp(x) * (1 + 1e-9), np.array([0.3, 1]))
    assert not nearly.ok
    assert "times" not in str(nearly)


def test_where_all_entries_lie_on_kinks():
    zeros, relu = np.zeros(3), lambda x: (np.maximum(x, 0), x)
    assert kinds(relu, lambda d, x: 2 * d * (x >= 0), zeros) == ["factor"]
    assert kinds(relu, lambda d, x: -d * (x >= 0), zeros) == ["sign"]
    assert kinds(relu, lambda d, x: np.array([7.0, -3, 2]) * d, zeros) == [None]
    assert kinds(relu, lambda d, x: d * (x >= 0), zeros) == []


def test_an_axis_too_many_is_named_so():
    report = gradcheck(lambda x, b: (x + b, 0), lambda d, _: (d, d.sum(0, keepdims=True)), np.ones((3, 2)), np.ones(2))
    assert report.kinds == ["shape"]
    assert "an axis of size 1 too many, as keepdims=True leaves it" in str(report)


def test_summed_to_a_number():
    assert kinds(lambda x, b: (x + b, 0), lambda d, _: (d, d.sum()), np.ones((3, 2)), np.ones(2)) == ["summed too far"]


def test_an_upstream_passed_straight_through_a_step():
    x = np.array([0.3, 1.2])               # np.round of it sums to 1, as a softmax does
    for step in (np.round, np.sign, np.floor):
        report = gradcheck(lambda x, f=step: (f(x), x), lambda d, x: d, x)
        assert not report.ok
        assert report.kinds == [None]
        assert "dx: y is flat there and its slope is 0: backward passes the upstream gradient through" in str(report)
        assert "identity" not in str(report)
    twice = gradcheck(lambda x: (x + np.tanh(x), x), lambda d, x: d * (3 - np.tanh(x) ** 2), x)
    assert twice.kinds == ["identity"]


def test_the_mask_of_a_relu_forgotten():
    report = gradcheck(lambda x: (np.maximum(x, 0), x), lambda d, x: d.copy(), np.array([[1.0, -2], [-3, 4]]))
    assert report.kinds == ["mask"]
    assert "forgotten" in str(report)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True), e / e.sum(1, keepdims=True)


@pytest.mark.parametrize(("backward", "kind", "said"), [
    (lambda d, p: p - d, "p - t", "p - dy is the gradient of softmax and cross-entropy together"),
    (lambda d, p: p * (d - (p * d).sum(0)), "softmax axis", "runs over axis 0, where the softmax is taken over axis 1"),
    (lambda d, p: d, "skipped", "the softmax's backward is skipped"),
    (lambda d, p: p * (d + (p * d).sum(1, keepdims=True)), "sign", "the term p (p . dy) has the wrong sign"),
    (lambda d, p: p * d, "softmax diagonal", "the term -p (p . dy) is missing"),
    (lambda d, p: d - (p * d).sum(1, keepdims=True), "softmax", "the factor p in front"),
])
def test_mistakes_in_a_softmax(backward, kind, said):
    report = gradcheck(softmax, backward, np.random.default_rng(0).normal(size=(4, 3)))
    assert report.kinds == [kind]
    assert said in str(report)


@pytest.mark.parametrize("f", [np.tanh, lambda x: 1 / (1 + np.exp(-x)), np.exp, np.sqrt])
def test_an_input_where_the_output_belongs(f):
    formulas = {np.tanh: lambda y: 1 - y * y, np.exp: lambda y: y, np.sqrt: lambda y: 0.5 / y}
    slope = formulas.get(f, lambda y: y * (1 - y))
    x = np.random.default_rng(0).uniform(0.2, 1.5, (3, 4))
    assert kinds(lambda x: (f(x), x), lambda d, x: d * slope(x), x) == ["input for output"]


def test_an_output_where_the_input_belongs():
    x = np.random.default_rng(0).normal(size=(3, 4))
    assert kinds(lambda x: (np.sin(x), np.sin(x)), lambda d, y: d * np.cos(y), x) == ["input for output"]


def test_overwritten_where_it_should_be_accumulated():
    ids = np.array([0, 2, 2, 1])

    def backward(d, shape):
        g = np.zeros(shape)
        g[ids] = d
        return g
    report = gradcheck(lambda W: (W[ids], W.shape), backward, np.ones((3, 2)))
    assert report.kinds == ["not summed"]
    assert "overwrites" in str(report)


def test_a_mistake_of_one_hinge_alone():
    rng = np.random.default_rng(0)
    x, a, b = rng.normal(size=(6, 4)), rng.normal(size=(3, 4)), rng.normal(size=(3, 4))

    def backward(dy, cache):
        dx, da, db = apl.backward(dy, cache)
        da[1] = -da[1]
        return dx, da, db
    report = gradcheck(apl.forward, backward, x, a, b)
    assert report.kinds == ["sign"]
    assert "da: in the entries 1 along axis 0 alone: the sign is flipped" in str(report)


def test_one_step_left_out():
    def backward(d, _):
        d = d.copy()
        d[0] = 0
        return np.cumsum(d[::-1], axis=0)[::-1]
    report = gradcheck(lambda x: (np.cumsum(x, axis=0), None), backward, np.ones((4, 2)))
    assert report.kinds == ["term"]
    assert "what entry 0 along axis 0 of y contributes is missing" in str(report)


def test_a_softmax_inside_a_block():
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), rng.normal(size=(5, 2))

    def backward(dY, cache):
        Q, K, V, *_, scale = cache
        P, dP = attention_weights(Q, K), dY @ V.T
        dS = P * (dP - (P * dP).sum(0, keepdims=True)) * scale
        return dS @ K, dS.T @ Q, P.T @ dY
    report = gradcheck(attention.forward, backward, *arrays)
    assert report.kinds == ["softmax axis"] * 2
    assert "the softmax of the scores: the sum p . dy of the softmax runs over axis 0" in str(report)


def test_every_kind_has_a_sentence():
    assert all(kind and sentence for kind, sentence in KINDS.items())
