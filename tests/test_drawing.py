"""draw_graph: the same tensor is one box, and quotes in names don't break the text."""

import shutil

import pytest

import tinynet as tn


def drawing():
    x = tn.Tensor([1.0], requires_grad=True, name='the "x"')
    return tn.draw_graph(x * x + x)


def test_every_tensor_and_op_appears_once():
    text = drawing()
    assert text.count("shape=box") == 3
    assert text.count("shape=ellipse") == 2
    assert text.count("style=bold") == 1
    assert r'the \"x\"' in text


def test_svg_or_a_clear_word(monkeypatch):
    if shutil.which("dot"):
        assert "<svg" in drawing().svg()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert drawing()._repr_svg_() is None
    with pytest.raises(RuntimeError, match="install graphviz"):
        drawing().svg()
