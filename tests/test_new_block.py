"""The skeletons of a new block: all five places, valid Python, and failing until they are filled."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinynet.new_block import TOPICS, new_block

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "tinynet" / "cases").is_dir(), reason="the package isn't in this tree")


@pytest.fixture
def checkout(tmp_path):
    for folder in ("tinynet", "tests/mutants", "tests/blocks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize("topic", TOPICS)
def test_the_five_places_are_written_and_parse(checkout, topic):
    written = new_block("my_block", topic, checkout)
    assert [path.relative_to(checkout).as_posix() for path in written] == [
        f"tinynet/blocks/{topic}/my_block.py", f"tinynet/cases/{topic}.py", f"tinynet/check/recipes/{topic}.py",
        f"tests/mutants/{topic}/my_block.py", f"tests/blocks/{topic}/test_my_block.py"]
    for path in written:
        compile(path.read_text(encoding="utf-8"), path, "exec")


def test_they_fail_until_they_are_filled(checkout):
    new_block("my_block", "tasks", checkout)
    code = """if True:
        import numpy as np
        from tinynet import cases
        from tinynet.check.recipes.search import RECIPES
        assert "my_block" in RECIPES
        op, arrays, settings = cases.draw(cases.CASES["my_block"], np.random.default_rng(0))
        op.forward(*arrays)"""
    run = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True,
                         env={"PYTHONPATH": str(checkout), "PATH": ""})
    assert "NotImplementedError: my_block_forward: write (1)" in run.stderr


@pytest.mark.parametrize(("name", "topic", "sentence"), [
    ("MyBlock", "tasks", "no name for a block"), ("class", "tasks", "no name for a block"),
    ("my_block", "task", "no topic 'task'"), ("cross_stitch", "tasks", "cross_stitch.py is there already"),
    ("conv", "images", "is there already")])
def test_what_cannot_be_made_is_told_and_nothing_is_written(checkout, name, topic, sentence):
    before = sorted(checkout.rglob("*"))
    with pytest.raises(ValueError, match=sentence):
        new_block(name, topic, checkout)
    assert sorted(checkout.rglob("*")) == before


def test_outside_of_a_checkout_it_says_where_to_run(tmp_path):
    with pytest.raises(ValueError, match="is no checkout of tinynet"):
        new_block("my_block", "tasks", tmp_path)
