"""The README's examples do what it says."""

import doctest
from pathlib import Path


def test_the_examples_of_the_readme():
    result = doctest.testfile(str(Path(__file__).parent.parent / "README.md"), module_relative=False)
    assert result.attempted > 20
    assert result.failed == 0
