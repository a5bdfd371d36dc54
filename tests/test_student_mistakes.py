"""Mistakes as students write them: every one is rejected, nine in ten are named right."""

from pathlib import Path

import pytest

from tinynet.check import KINDS
from tinynet.check.rates import judge_pair, load_student_mistakes

MISTAKES = load_student_mistakes(Path(__file__).parent)


@pytest.fixture(scope="module")
def reports():
    return [judge_pair(m) for m in MISTAKES]


def test_there_are_enough_of_many_kinds():
    assert len(MISTAKES) >= 150
    assert len({m.name for m in MISTAKES}) == len(MISTAKES)
    assert {m.kind for m in MISTAKES} <= {*KINDS}
    assert len({m.kind for m in MISTAKES}) >= 20


def test_every_one_is_rejected(reports):
    assert [m.name for m, report in zip(MISTAKES, reports, strict=True) if report.ok] == []


def test_nine_in_ten_are_named_right(reports):
    misnamed = [f"{m.name}: {m.kind} expected\n{report}" for m, report in zip(MISTAKES, reports, strict=True)
                if set(report.kinds) != {m.kind}]
    assert len(misnamed) <= 0.1 * len(MISTAKES), "\n".join(misnamed)
