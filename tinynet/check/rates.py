"""The checker checked: how many planted mistakes it catches and names, how many right backwards it rejects.

Every mutant is a wrong backward with the case it is for and the kind of mistake it makes; they
stand in the repository under tests/mutants.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np

from tinynet import cases
from tinynet.check.gradient import gradcheck

MUTANTS = Path(__file__).resolve().parents[2] / "tests" / "mutants"


def load_mutants(folder=MUTANTS):
    """The registry of the package in `folder`: a list of objects with case, kind, name and backward."""
    name = "tinynet_mutants"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py",
                                                      submodule_search_locations=[str(folder)])
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name].MUTANTS


def judge(mutant, seed=0):
    """The report on a mutant, on inputs whose axes all have different sizes."""
    case = cases.CASES[mutant.case]
    op, arrays, settings = cases.draw(case, np.random.default_rng(seed), **cases.distinct(case))
    return gradcheck(op.forward, mutant.backward, *arrays, **settings)


def false_alarms(draws, seed=0, progress=iter):
    """The reports of right backwards that were rejected: random cases, sizes and values."""
    rng, names, found = np.random.default_rng(seed), list(cases.CASES), []
    for _ in progress(range(draws)):
        op, arrays, settings = cases.draw(cases.CASES[names[rng.integers(len(names))]], rng)
        report = gradcheck(op.forward, op.backward, *arrays, **settings)
        if not report.ok:
            found.append(report)
    return found


def print_rates(draws=2000, out=print):
    """Print both rates; returns 0 when every mutant is rejected, 90 % are named, and no right backward is rejected."""
    wrong = false_alarms(draws, progress=_progress)
    for report in wrong:
        out(str(report))
    out(f"right backwards rejected: {len(wrong)} of {draws:,} random draws from {len(cases.CASES)} cases")
    if not MUTANTS.exists():
        out("planted mistakes: none here, they are in the repository under tests/mutants")
        return 1 if wrong else 0
    mutants = load_mutants()
    reports = [judge(m) for m in _progress(mutants)]
    missed = [m.name for m, r in zip(mutants, reports, strict=True) if r.ok]
    right = [(m.kind is None, set(r.kinds) == {m.kind}) for m, r in zip(mutants, reports, strict=True)]
    nameless, named = sum(n for n, _ in right), sum(r for n, r in right if not n)
    out(f"planted mistakes rejected: {len(mutants) - len(missed)} of {len(mutants)}{' but ' if missed else ''}"
        + ", ".join(missed))
    of = len(mutants) - nameless
    out(f"planted mistakes of a known kind whose kind is named right: {named} of {of} ({100 * named / of:.1f} %)")
    out(f"planted mistakes of no known kind for which none is named: {sum(r for n, r in right if n)} of {nameless}")
    return 1 if wrong or missed or named < 0.9 * of else 0


def _progress(items):
    """Yield the items, with a line of progress where there is a terminal."""
    for done, item in enumerate(items, 1):
        if sys.stderr.isatty() and done % 20 == 0:
            print(f"\r{done:,} of {len(items):,}", end="", file=sys.stderr, flush=True)
        yield item
    if sys.stderr.isatty():
        print("\r" + " " * 30 + "\r", end="", file=sys.stderr)
