"""What a newcomer waits for: the import, and lessons with an empty and with a warm kernel cache."""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.timing import Row


def milliseconds(*command, **environment):
    """Of a process of its own, which starts as a user's does."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=os.environ | environment)
    return (time.perf_counter() - start) * 1e3


def import_rows(rounds=5):
    """`import tinynet` beside `import torch`, each in a process of its own, in turn."""
    times = [(milliseconds("-c", "import tinynet"), milliseconds("-c", "import torch")) for _ in range(rounds)]
    ours, torch = map(statistics.median, zip(*times, strict=True))
    return [Row("import", ours, "PyTorch", torch, torch / ours, 1 / 0.3)]


def lesson_rows():
    """Lessons --quick with an empty kernel cache (the time of "other") and with a warm one (ours)."""
    rows = []
    for title, names in (("the first lesson", ["autograd"]), ("all lessons", [])):
        with tempfile.TemporaryDirectory() as folder:
            run = ("-m", "lessons", *names, "--quick", "--figures", folder)
            environment = dict(NUMBA_CACHE_DIR=folder, MPLBACKEND="Agg")
            empty, warm = milliseconds(*run, **environment), milliseconds(*run, **environment)
        rows.append(Row(f"{title} --quick, warm kernel cache", warm, "empty kernel cache", empty, empty / warm, None))
    return rows
