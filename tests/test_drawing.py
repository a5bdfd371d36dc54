"""draw_graph: the same tensor is one box, names are escaped, and nothing overlaps in the picture."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest

import tinynet as tn
from tinynet import drawing


def drawn():
    x = tn.Tensor([1.0], requires_grad=True, name='the "x" < y')
    return tn.draw_graph(x * x + x)


def test_every_tensor_and_op_appears_once():
    text = drawn()
    assert text.count("shape=box") == 3
    assert text.count("shape=ellipse") == 2
    assert text.count("style=bold") == 1
    assert r'the \"x\" < y (1)|[1]' in text


def test_a_notebook_gets_a_picture_with_every_box_and_arrow():
    picture = drawn()
    root = ET.fromstring(picture._repr_svg_())
    tags = [re.sub("{.*}", "", element.tag) for element in root]
    assert (tags.count("rect"), tags.count("ellipse")) == (1 + 3, 2)        # the first is the paper
    assert tags.count("path") == 6 == len(picture.edges)
    assert 'the "x" < y (1)' in [element.text for element in root]


def test_small_tensors_tell_their_values_and_gradients():
    x = tn.Tensor([1.0, -2.5], requires_grad=True, name="x")
    W = tn.Tensor(np.ones((3, 2)), requires_grad=True, name="W")
    y = (W @ x).sum()
    assert "grad" not in tn.draw_graph(y)
    y.backward()
    text = tn.draw_graph(y)
    assert "x (2)|[1 -2.5]|grad [3 3]" in text
    assert 'label="W (3, 2)"' in text


def test_boxes_do_not_overlap_and_arrows_go_down():
    x = tn.Tensor([1.0], requires_grad=True, name="x")
    h = x
    for _ in range(4):
        h = h * x - h * h
    picture = tn.draw_graph(h)
    rows, routes = drawing._rows(picture.nodes, picture.edges)
    sizes = {name: drawing._size(picture.nodes.get(name)) for row in rows for name in row}
    x = drawing._across(rows, routes, sizes)
    at = {name: i for i, row in enumerate(rows) for name in row}
    assert all(at[b] == at[a] + 1 for route in routes for a, b in pairwise(route))
    for row in rows:
        for left, right in pairwise(row):
            assert x[right] - x[left] >= (sizes[left][0] + sizes[right][0]) / 2


def test_a_long_chain_is_drawn_without_recursion():
    y = x = tn.Tensor(1.0, requires_grad=True)
    for _ in range(2000):
        y = y * 1.0
    assert tn.draw_graph(y).svg().count("<ellipse") == 2000
    assert x.grad is None


@pytest.mark.parametrize("value", [3, 2.5, [True, False]])
def test_a_leaf_alone_is_one_box(value):
    assert tn.draw_graph(tn.Tensor(value)).svg().count("<rect") == 2
