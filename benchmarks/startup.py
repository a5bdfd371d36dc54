"""What a newcomer waits for: the import, and each lesson with an empty and with a warm kernel cache."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import Row
from lessons.tools.catalogue import catalogue


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
    """Each lesson --quick with an empty kernel cache (the time of "other") and with a warm one (ours).

    The difference is what its kernels take to be compiled; the name says how large they are in the cache.
    """
    for lesson in catalogue():
        with tempfile.TemporaryDirectory() as folder:
            run = ("-m", "lessons", lesson.name, "--quick", "--figures", folder)
            environment = dict(NUMBA_CACHE_DIR=str(Path(folder, "kernels")), MPLBACKEND="Agg")
            empty, warm = milliseconds(*run, **environment), milliseconds(*run, **environment)
            size = sum(file.stat().st_size for file in Path(folder, "kernels").rglob("*") if file.is_file()) / 1e6
        yield Row(f"{lesson.name} --quick, {size:.2f} MB of kernels", warm, "empty kernel cache", empty, empty / warm,
                  None)
