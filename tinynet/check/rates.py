"""The checker checked: how many right backwards it rejects, how many wrong ones it catches and names.

Right ones are random draws of our own cases and of pairs from other fields (tests/right_pairs).  Wrong ones are
planted mistakes in our own blocks (tests/mutants) and students' mistakes with forwards of their own
(tests/student_mistakes).  The folders under tests stand in the repository, not in the installed package.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np

from tinynet import cases
from tinynet.check.gradient import gradcheck

TESTS = Path(__file__).resolve().parents[2] / "tests"
DRAWS = 10_000


def _loaded(folder, tests):
    """The package `folder` in the folder of the tests; None where there is none."""
    name, path = f"tinynet_{folder}", tests / folder
    if name not in sys.modules and path.exists():
        spec = importlib.util.spec_from_file_location(name, path / "__init__.py",
                                                      submodule_search_locations=[str(path)])
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules.get(name)


def load_mutants(tests=TESTS):
    """Planted mistakes: objects with case, kind, name and backward."""
    module = _loaded("mutants", tests)
    return module.MUTANTS if module else []


def load_right_pairs(tests=TESTS):
    """Right pairs of other fields: objects with name, forward, backward, draw(rng) -> inputs, and settings."""
    module = _loaded("right_pairs", tests)
    return module.RIGHT if module else []


def load_student_mistakes(tests=TESTS):
    """Students' mistakes: objects with name, kind, forward, backward, draw(rng) -> inputs, and settings."""
    module = _loaded("student_mistakes", tests)
    return module.MISTAKES if module else []


# %% One report
def judge(mutant, seed=0):
    """The report on a planted mistake, on inputs whose axes all have different sizes."""
    case = cases.CASES[mutant.case]
    op, arrays, settings = cases.draw(case, np.random.default_rng(seed), **cases.distinct(case))
    return gradcheck(op.forward, mutant.backward, *arrays, **settings)


def judge_pair(pair, seed=0):
    """The report on a right pair or on a student's mistake."""
    with np.errstate(all="ignore"):
        return gradcheck(pair.forward, pair.backward, *pair.draw(np.random.default_rng(seed)), **pair.settings)


# %% Rates
def false_alarms(draws, seed=0, progress=iter):
    """The reports of right backwards of our blocks that were rejected: random cases, sizes and values."""
    rng, names, found = np.random.default_rng(seed), list(cases.CASES), []
    for _ in progress(range(draws)):
        op, arrays, settings = cases.draw(cases.CASES[names[rng.integers(len(names))]], rng)
        report = gradcheck(op.forward, op.backward, *arrays, **settings)
        if not report.ok:
            found.append(report)
    return found


def false_alarms_of_pairs(draws, seed=0, progress=iter):
    """The same of right pairs of other fields, one after the other."""
    pairs = load_right_pairs()
    reports = [judge_pair(pairs[k % len(pairs)], seed + k) for k in progress(range(draws if pairs else 0))]
    return [report for report in reports if not report.ok]


def print_rates(draws=DRAWS, out=print):
    """Print all rates; returns 0 when no right backward is rejected, every wrong one is, and 90 % are named right."""
    ours, pairs = draws - draws // 2, load_right_pairs()
    wrong = false_alarms(ours, progress=_progress) + false_alarms_of_pairs(draws - ours, progress=_progress)
    for report in wrong:
        out(str(report))
    of_pairs = f" and {draws - ours:,} of {len(pairs)} pairs from other fields" if pairs else ""
    out(f"right backwards rejected: {len(wrong)} of {ours:,} random draws from {len(cases.CASES)} cases{of_pairs}")
    good = not wrong
    for what, found, judged in (("planted mistakes", load_mutants(), judge),
                                ("students' mistakes", load_student_mistakes(), judge_pair)):
        if found:
            good &= _print_found(what, found, [judged(m) for m in _progress(found)], out)
        else:
            out(f"{what}: none here, they stand in the repository under tests")
    return 0 if good else 1


def _print_found(what, mistakes, reports, out):
    """Print how many were rejected and named right; True when all are rejected and 90 % named."""
    missed = [m.name for m, r in zip(mistakes, reports, strict=True) if r.ok]
    known = [set(r.kinds) == {m.kind} for m, r in zip(mistakes, reports, strict=True) if m.kind]
    nameless = [set(r.kinds) == {None} for m, r in zip(mistakes, reports, strict=True) if not m.kind]
    out(f"{what} rejected: {len(mistakes) - len(missed)} of {len(mistakes)}{' but ' if missed else ''}"
        + ", ".join(missed))
    out(f"{what} of a known kind whose kind is named right: {sum(known)} of {len(known)} "
        f"({100 * sum(known) / len(known):.1f} %)")
    if nameless:
        out(f"{what} of no known kind for which none is named: {sum(nameless)} of {len(nameless)}")
    return not missed and sum(known) >= 0.9 * len(known)


def _progress(items):
    """Yield the items, with a line of progress where there is a terminal."""
    for done, item in enumerate(items, 1):
        if sys.stderr.isatty() and done % 20 == 0:
            print(f"\r{done:,} of {len(items):,}", end="", file=sys.stderr, flush=True)
        yield item
    if sys.stderr.isatty():
        print("\r" + " " * 30 + "\r", end="", file=sys.stderr)
