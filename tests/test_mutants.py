"""Every planted mistake is rejected, and the right kind is named for at least nine in ten."""

from pathlib import Path

import pytest

from tinynet import cases
from tinynet.check import KINDS, rates
from tinynet.check.rates import judge, load_mutants

TESTS = Path(__file__).parent
MUTANTS = load_mutants(TESTS)


@pytest.fixture(scope="module")
def reports():
    return [judge(m) for m in MUTANTS]


def test_there_are_enough_of_every_kind_and_for_every_block():
    assert len(MUTANTS) >= 100
    assert len({m.name for m in MUTANTS}) == len(MUTANTS)
    common = {"sign", "factor", "transposed", "not summed", "upstream ignored", "identity", "softmax diagonal",
              "softmax off-diagonal", "swapped", "term", "mask", "zero"}
    assert common <= {m.kind for m in MUTANTS} <= {None, *KINDS}
    blocks = {c.op.name for c in cases.CASES.values() if "blocks" in c.op.forward.__module__}
    assert blocks <= {cases.CASES[m.case].op.name for m in MUTANTS}


def test_every_mutant_is_rejected(reports):
    assert [m.name for m, report in zip(MUTANTS, reports, strict=True) if report.ok] == []


def test_the_right_kind_is_named_for_nine_in_ten(reports):
    misnamed = [f"{m.name}: {m.kind} expected\n{report}" for m, report in zip(MUTANTS, reports, strict=True)
                if set(report.kinds) != {m.kind}]
    assert len(misnamed) <= 0.1 * len(MUTANTS), "\n".join(misnamed)


def test_where_no_kind_fits_none_is_named(reports):
    unnamed = [report for m, report in zip(MUTANTS, reports, strict=True) if m.kind is None]
    assert len(unnamed) >= 10
    assert all("no known kind of mistake fits" in str(report) for report in unnamed)


def test_the_rates_are_printed_and_decide_the_exit_code(monkeypatch):
    few, students, lines = MUTANTS[:4], rates.load_student_mistakes(TESTS)[:4], []
    monkeypatch.setattr(rates, "load_mutants", lambda: few)
    monkeypatch.setattr(rates, "load_student_mistakes", lambda: students)
    assert rates.print_rates(6, out=lines.append) == 0
    assert lines[0].startswith("right backwards rejected: 0 of 3 random draws from")
    assert "planted mistakes rejected: 4 of 4" in lines
    assert "students' mistakes rejected: 4 of 4" in lines
    right = [m._replace(backward=cases.CASES[m.case].op.backward) for m in few]
    monkeypatch.setattr(rates, "load_mutants", lambda: right)
    assert rates.print_rates(0, out=lines.append) == 1
