"""tinynet.debug(): the first NaN, and arrays changed behind the tape's back."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import backend, nn
from tinynet.blocks.tasks.cross_stitch import cross_stitch
from tinynet.blocks.units.linear import Linear


def test_the_first_nan_of_the_forward_names_op_place_and_line():
    x = tn.Tensor([4.0, -1.0], requires_grad=True)
    said = r"sqrt: the first nan .* at \[1\] .*np\.sqrt\(x\)\ninput 0 there: -1"
    with tn.debug(), pytest.raises(FloatingPointError, match=said):
        (x.sqrt() * 2).sum()


def test_an_input_that_came_with_nan_is_told():
    x = np.ones((2, 1, 1))
    x[1] = np.nan
    said = r"cross_stitch.*\(1\)  Y\[i\] = sum_j[^\n]*\ninput 0 already holds nan"
    with tn.debug(), pytest.raises(FloatingPointError, match=said):
        cross_stitch(x, np.eye(2))


def test_the_first_inf_of_the_backward_names_op_and_line():
    x = tn.Tensor([0.0, 1.0], requires_grad=True)
    with tn.debug():
        y = x.sqrt().sum()
        with pytest.raises(FloatingPointError, match=r"sqrt: the first inf of the backward .* input 0 at \[0\]"):
            y.backward()


def test_a_bad_upstream_gradient_is_told():
    x = tn.Tensor([1.0], requires_grad=True)
    with tn.debug():
        y = x * 2
        with pytest.raises(FloatingPointError, match="upstream gradient already holds nan"):
            y.backward(np.array([np.nan]))


def test_an_array_changed_in_place_is_noticed():
    net = nn.Sequential(Linear(3, 2, rng=0), Linear(2, 1, rng=1))
    with tn.debug():
        y = net(np.ones((4, 3), np.float32)).sum()
        net[1].W.data += 1
        with pytest.raises(RuntimeError, match=r"linear: an array .* changed in place between forward and backward"):
            y.backward()


def test_a_healthy_step_passes_and_the_switch_is_undone():
    x = tn.Tensor([1.0, 2.0], requires_grad=True)
    with tn.debug():
        (x * x).sum().backward()
    assert backend.watch is None
    assert np.array_equal(x.grad, [2, 4])
    (tn.Tensor([-1.0]) * np.inf).sum()          # outside, nothing is watched


@pytest.mark.parametrize("op", [lambda x: x / 0.0, lambda x: tn.ops.maximum(x, np.nan), lambda x: x * 1e300 * 1e300])
def test_the_first_nan_or_inf_beside_a_number_is_told(op):
    x = nn.Parameter(np.array([1.0, 2.0]))
    with tn.debug(), pytest.raises(FloatingPointError, match="appears in its output at"):
        op(x)
