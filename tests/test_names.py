"""The blocks where a PyTorch user looks for them."""

import subprocess
import sys

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


def test_a_net_prints_as_its_tree_of_layers_with_shapes_and_the_number_of_parameters():
    net = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Sequential(nn.ReLU(), nn.Linear(4, 2, bias=False, rng=1)))
    assert repr(net).splitlines() == [
        "Sequential(): 24 parameters", "  0  Linear(W (4, 3), b (4,))", "  1  Sequential()", "    0  ReLU()",
        "    1  Linear(W (2, 4))"]
