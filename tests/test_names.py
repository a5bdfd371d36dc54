"""The blocks where a PyTorch user looks for them."""

import subprocess
import sys

import numpy as np
import pytest

import tinynet as tn
from tinynet import names, nn


@pytest.mark.parametrize("name", names.places(names.LAYERS))
def test_layers_are_found_in_nn(name):
    assert issubclass(getattr(nn, name), nn.Module)
    assert name in dir(nn)


@pytest.mark.parametrize("name", names.places(names.FUNCTIONS))
def test_functions_are_found_at_the_top(name):
    assert callable(getattr(tn, name))
    assert name in dir(tn)


def test_what_users_type_is_listed_and_a_misspelt_name_is_told():
    assert {"Tensor", "gradcheck", "no_grad", "Op", "nn", "train"} <= set(dir(tn))
    with pytest.raises(AttributeError, match=r"'tinynet.nn' has no attribute 'Linaer'; did you mean Linear"):
        nn.Linaer  # noqa: B018
    with pytest.raises(AttributeError, match="did you mean cross_entropy"):
        tn.cross_entrpy  # noqa: B018


def test_importing_loads_no_block():
    code = "import sys, tinynet, tinynet.nn; print([m for m in sys.modules if m.startswith('tinynet.blocks.')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_flatten_joins_all_axes_but_the_first_of_any_batch_too():
    for N in (0, 1, 5):
        X = tn.Tensor(np.arange(N * 12.0).reshape(N, 3, 2, 2), requires_grad=True)
        Y = nn.Sequential(nn.Flatten())(X)
        np.testing.assert_array_equal(Y.data, X.data.reshape(N, 12))
        Y.backward(np.ones((N, 12)))
        np.testing.assert_array_equal(X.grad, np.ones(X.shape))


def test_a_net_prints_as_its_tree_of_layers_with_shapes_and_the_number_of_parameters():
    net = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Sequential(nn.ReLU(), nn.Linear(4, 2, bias=False, rng=1)))
    assert repr(net).splitlines() == [
        "Sequential(): 24 parameters", "  0  Linear(W (4, 3), b (4,))", "  1  Sequential()", "    0  ReLU()",
        "    1  Linear(W (2, 4))"]
