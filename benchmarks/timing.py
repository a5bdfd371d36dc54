"""Interleaved timing: every contender runs once a round, so that a slow moment hits all alike."""

import statistics
import time
from typing import NamedTuple

import numpy as np

BENCHMARKS = {}


class Row(NamedTuple):
    """One comparison; ratio = other_ms / ours_ms, so above 1 tinynet is the faster."""

    name: str
    ours_ms: float
    other: str | None
    other_ms: float | None
    ratio: float | None
    goal: float | None


def benchmark(title, goal=None):
    """Register make() -> {"tinynet": function, "PyTorch": function, ...}; goal: the ratio to reach against PyTorch,
    in each form that it is given."""
    def register(make):
        BENCHMARKS[make.__name__] = (title, goal, make)
        return make
    return register


def the_same(ours, theirs):
    worst = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert worst < 1e-3, f"the two compute something else: {worst:.1e} off"


def compared(contenders, calls=1):
    """The contenders, once it has been seen that each returns at its last of some calls what tinynet does."""
    found = {name: _arrays([run() for _ in range(calls)][-1]) for name, run in contenders.items()}
    for theirs in found.values():
        for one, other in zip(found["tinynet"], theirs, strict=True):
            the_same(one, other)
    return contenders


def _arrays(found):
    return [np.asarray(a) for a in (found if isinstance(found, (tuple, list)) else [found])]


def medians(contenders, seconds=8.0, rounds=(5, 200)):
    """Median milliseconds by name: at least and at most `rounds`, within about `seconds` once the least is done."""
    for run in contenders.values():
        run(), run()                    # compile, allocate, settle
    times = {name: [] for name in contenders}
    start = time.perf_counter()
    while len(times["tinynet"]) < rounds[0] or (
            time.perf_counter() - start < seconds and len(times["tinynet"]) < rounds[1]):
        for name, run in contenders.items():
            run()                       # the one before has left its data in the caches and its threads spinning
            begin = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - begin) * 1e3)
    return {name: statistics.median(ms) for name, ms in times.items()}


def rows(name):
    """The rows of one benchmark, from the fastest alternative to the slowest."""
    title, goal, make = BENCHMARKS[name]
    ms = medians(make())
    ours = ms.pop("tinynet")
    return [Row(title, ours, other, theirs, theirs / ours, goal if other.startswith("PyTorch") else None)
            for other, theirs in sorted(ms.items(), key=lambda item: item[1])]
