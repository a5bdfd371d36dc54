"""The slide index agrees with the sources it is generated from."""

from types import SimpleNamespace

import pytest

from lessons.tools import slides
from lessons.tools.catalogue import FOLDER


def test_every_tag_has_an_equation_and_every_equation_a_tag():
    assert slides.complaints() == []


def test_the_index_is_up_to_date():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert readme == slides.index(), "run  python -m lessons --slides > lessons/README.md"


BLOCK = '''"""A block.

    (1)  y = 2 x,  x real      shi 1.1; csc321 block
    (2)  dx = 2 dy             the same, turned round
"""


def double_forward(x):
    return 2 * x, None          # (1)


def double_backward(dy, _):
    return 2 * dy               # (TAG)


double = Op(double_forward, double_backward)
'''
LESSON = '''"""Is twice twice?

Slides: shi 1.1-1.3; csc321 block
Blocks: double
Run time: 1 s, --quick 1 s
Figures: shi_1.2_twice.png, csc321_block.png

More, about figures: none.
"""
'''


def a_tree(tmp_path, tag="2", lesson=LESSON):
    for folder in ("tinynet/blocks/units", "tests", "lessons/start"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tinynet/blocks/units/double.py").write_text(BLOCK.replace("TAG", tag))
    (tmp_path / "tests/test_double.py").write_text('def test_it():\n    """What shi 1.1 and csc321 block say."""\n')
    (tmp_path / "lessons/start/01_twice.py").write_text(lesson)
    return tmp_path, tmp_path / "lessons"


@pytest.fixture
def cases(monkeypatch):
    """The battery's cases of the block above."""
    def double_forward(x):
        pass
    double_forward.__module__ = "tinynet.blocks.units.double"
    op = SimpleNamespace(forward=double_forward, backward=double_forward)
    monkeypatch.setattr(slides, "CASES", {"double": SimpleNamespace(op=op)})


def test_the_index_names_block_function_test_lesson_and_figure(tmp_path, cases):
    tree = a_tree(tmp_path)
    assert slides.complaints(*tree) == []
    text = slides.index(*tree)
    equation = "[double](../tinynet/blocks/units/double.py) (1) `double_forward`"
    tests = "battery of double; [test_double.py::test_it](../tests/test_double.py)"
    assert f"| 1.1 | {equation} | {tests} | [twice](start/01_twice.py) |  |" in text
    assert "| 1.2 |  |  | [twice](start/01_twice.py) | [shi_1.2_twice.png](../figures/shi_1.2_twice.png) |" in text
    assert text.count("| 1.3 |") == 1
    assert "| 1.4 | **owed** |  |  |  |" in text


def test_about_one_item_there_is_its_line_its_test_to_paste_its_cell_and_its_figure(tmp_path, cases):
    assert slides.about("shi 1.1", *a_tree(tmp_path)).splitlines() == [
        "shi 1.1", "", "double (1)  y = 2 x,  x real",
        "  line      tinynet/blocks/units/double.py:9  return 2 * x, None          # (1)   in double_forward",
        "  test      tests/blocks/test_battery.py::test_backward_is_the_derivative_of_forward[double]", "",
        "  test      tests/test_double.py::test_it", "  lesson    lessons/start/01_twice.py:1"]
    with pytest.raises(KeyError, match=r"no slide item 'shi 1\.7'; did you mean shi 2\.7 or shi 1\."):
        slides.about("shi 1.7")


def test_a_block_may_be_a_folder(tmp_path):
    root, folder = a_tree(tmp_path)
    block = root / "tinynet/blocks/units/double"
    block.mkdir()
    head, code = BLOCK.replace("TAG", "2").split('"""\n\n\n', 1)
    (block / "__init__.py").write_text(head + '"""\n')
    (block / "plain.py").write_text(code)
    (root / "tinynet/blocks/units/double.py").unlink()
    assert slides.complaints(root, folder) == []
    assert "[double](../tinynet/blocks/units/double/__init__.py) (1) `double_forward`" in slides.index(root, folder)


def test_running_text_names_items():
    assert sorted(slides.named("what shi 1.1-1.3 and csc321 block claim, not shift 1.4")) == [
        ("csc321", "block"), ("shi", "1.1"), ("shi", "1.2"), ("shi", "1.3")]
    assert list(slides.named("tomaszewska fig8, erratum 1: fails")) == [("tomaszewska", "fig8"),
                                                                         ("tomaszewska", "erratum 1")]


def test_a_tag_without_equation_and_an_equation_without_tag_are_named(tmp_path):
    assert slides.complaints(*a_tree(tmp_path, tag="3")) == [
        "double.py: line 13 is tagged (3), but the docstring has no equation (3)",
        "double: no code line ends with the tag of equation (2)"]


def test_an_item_that_no_deck_has_and_a_block_that_is_not_there_are_named(tmp_path):
    lesson = LESSON.replace("shi 1.1-1.3", "shi 1.1, fig99").replace("Blocks: double", "Blocks: treble")
    assert slides.complaints(*a_tree(tmp_path, lesson=lesson)) == [
        "start/01_twice: deck shi has no item 'fig99'", "start/01_twice: there is no block treble"]


def test_an_equation_has_the_cases_of_the_op_that_computes_it():
    blocks = {block.name: block for block in slides.blocks()}
    assert slides.cases_of(blocks["activations"], "7")[0] == "leaky_relu"
    assert all(name.startswith("tucker") for name in slides.cases_of(blocks["tensor_factors"], "3"))
    assert {"latent_layers", "tucker", "tensor_train"} <= set(slides.cases_of(blocks["tensor_factors"]))


@pytest.mark.parametrize(("heading", "items"), [
    ("shi 1.6; csc321 block: the gradient", {("shi", "1.6"), ("csc321", "block")}),
    ("fig1, shared-trunk: one trunk", {("tomaszewska", "fig1"), ("tomaszewska", "shared-trunk")}),
    ("Negative transfer, exactly", {("tomaszewska", "negative-transfer")}),
    ("fig10: who gains", set()),                            # not of this lesson, and not fig1
    ("Stochastic maxout draws a piece", {("saha", "stochastic-maxout")}),
    ("score, errata 10 and 11: some public code", {("csc321", "score"), ("csc321", "erratum 10"),
                                                   ("csc321", "erratum 11")}),
    ("What it brings", set()),
])
def test_a_heading_names_items_in_full_or_as_its_lesson_cites_them(heading, items):
    cited = set(slides.cited("tomaszewska fig1, shared-trunk, negative-transfer; csc321 score, erratum 10, erratum 11; "
                             "saha maxout, stochastic-maxout"))
    assert slides.of_heading(heading, cited) == items
