"""The slide index agrees with the sources it is generated from."""

from lessons import slides
from lessons.catalogue import FOLDER


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
    for folder in ("tinynet/blocks", "tinynet/cases", "tests", "lessons"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tinynet/blocks/double.py").write_text(BLOCK.replace("TAG", tag))
    (tmp_path / "tinynet/cases/units.py").write_text("from tinynet.blocks import double\n")
    (tmp_path / "tests/test_double.py").write_text("from tinynet.blocks.double import double\n")
    (tmp_path / "lessons/01_twice.py").write_text(lesson)
    return tmp_path, tmp_path / "lessons"


def test_the_index_names_block_line_test_lesson_and_figure(tmp_path):
    tree = a_tree(tmp_path)
    assert slides.complaints(*tree) == []
    text = slides.index(*tree)
    tests = "test_battery.py, test_double.py, test_lessons.py"
    assert f"| 1.1 | (1) double.py:9 | {tests} | 01_twice |  |" in text
    assert "| 1.2 |  | test_lessons.py | 01_twice | shi_1.2_twice.png |" in text
    assert f"| block | (1) double.py:9 | {tests} | 01_twice | csc321_block.png |" in text
    assert text.count("| 1.3 |") == 1
    assert "| 1.4 |" not in text


def test_a_tag_without_equation_and_an_equation_without_tag_are_named(tmp_path):
    assert slides.complaints(*a_tree(tmp_path, tag="3")) == [
        "double.py: line 13 is tagged (3), but the docstring has no equation (3)",
        "double.py: no code line ends with the tag of equation (2)"]


def test_an_item_that_no_deck_has_and_a_block_that_is_not_there_are_named(tmp_path):
    lesson = LESSON.replace("shi 1.1-1.3", "shi 1.1, fig99").replace("Blocks: double", "Blocks: treble")
    assert slides.complaints(*a_tree(tmp_path, lesson=lesson)) == [
        "01_twice.py: deck shi has no item 'fig99'", "01_twice.py: there is no tinynet/blocks/treble.py"]
