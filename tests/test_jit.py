"""Kernels: compiled late, cached where possible, safe from several threads, the same bits for any number of them."""

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinynet as tn
from tinynet import cases
from tinynet.jit import contiguous

COMPILED = os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"


def run(code, **environment):
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True,
                          env=os.environ | environment)


def test_contiguous_copies_only_what_needs_it_and_settles_the_dtype():
    x, y = np.ones((3, 4)), np.ones((4, 3), np.float32).T
    y.flags.writeable = False
    a, b, c, d = contiguous(x, y, None, np.arange(3))
    assert a is x
    assert b.flags.c_contiguous
    assert b.flags.writeable
    assert b.dtype == np.float64
    assert c is None
    assert d.dtype == np.float64
    assert contiguous(np.float32(2)).shape == ()


def test_four_threads_at_once():
    """numba's thread pool ends the process when parallel kernels start at once; ours take turns."""
    rng = np.random.default_rng(0)
    op, (X, A), _ = cases.draw(cases.CASES["cross_stitch_channels"], rng, T=2, N=8, C=8, H=8, W=8)

    def step(_):
        with tn.no_grad():
            return op(X.astype(np.float32), A.astype(np.float32)).data

    with tn.use_backend("fast"), ThreadPoolExecutor(4) as pool:
        results = list(pool.map(step, range(32)))
    assert all(np.array_equal(results[0], r) for r in results)


def test_one_and_two_kernel_threads_give_the_same_bits():
    """Every op with compiled twins, in float32, at sizes that really split over the threads."""
    code = """
        import sys, zlib
        import numpy as np
        from tinynet import cases
        for name, case in sorted(cases.CASES.items()):
            if case.op.fast is None:
                continue
            op, arrays, settings = cases.draw(case, np.random.default_rng(0), **{letter: 5 for letter in case.letters})
            single = [a.astype(np.float32) if a is not None and a.dtype.kind == "f" else a for a in arrays]
            y, cache = op.fast[0](*single, **settings)
            grads = op.fast[1](np.ones_like(y) * np.float32(0.3), cache)
            grads = grads if isinstance(grads, tuple) else (grads,)
            print(name, [zlib.crc32(np.ascontiguousarray(g)) for g in (y, *grads) if g is not None])
    """
    one, two = run(code, NUMBA_NUM_THREADS="1"), run(code, NUMBA_NUM_THREADS="2")
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    assert one.stdout == two.stdout
    assert "cross_stitch" in one.stdout


@pytest.mark.skipif(not COMPILED, reason="nothing is cached when nothing is compiled")
def test_work_goes_on_without_a_folder_for_the_kernel_cache():
    said = run("""
        import numpy as np
        from numba.core import caching
        import tinynet as tn
        from tinynet.blocks.tasks.cross_stitch import cross_stitch
        caching.CacheImpl._locator_classes = []         # as numba finds it when no folder can be written
        with tn.use_backend("fast"):
            print(cross_stitch(np.ones((2, 3, 4)), np.eye(2)).numpy().sum())
    """)
    assert float(said.stdout) == 24, said.stderr
    assert "set NUMBA_CACHE_DIR to a writable folder" in said.stderr


@pytest.mark.skipif(not COMPILED, reason="nothing is cached when nothing is compiled")
def test_work_goes_on_when_the_disk_is_full(tmp_path):
    said = run("""
        import errno
        import numpy as np
        from numba.core import caching
        import tinynet as tn
        from tinynet.blocks.tasks.cross_stitch import cross_stitch

        def full(self, name, data):
            raise OSError(errno.ENOSPC, "No space left on device")

        caching.IndexDataCacheFile._save_data = full
        with tn.use_backend("fast"):
            print(cross_stitch(np.ones((2, 3, 4)), np.eye(2)).numpy().sum())
    """, NUMBA_CACHE_DIR=str(tmp_path))
    assert float(said.stdout) == 24, said.stderr
    assert "set NUMBA_CACHE_DIR to a writable folder" in said.stderr


def test_other_dtypes():
    x = np.array([[1, -2, 3]])
    whole, floating = (contiguous(a, np.ones(3, np.float32))[0] for a in (x, x.astype(float)))
    assert (whole.dtype, floating.dtype) == (np.float32, np.float64)
    assert [a.dtype for a in contiguous(x > 0, np.ones(3, np.float32))] == [np.float32, np.float32]

    def stitch_forward(a):
        return contiguous(a)

    with pytest.raises(TypeError, match="stitch: compiled loops take float32 and float64, not float16"):
        stitch_forward(np.ones(3, np.float16))
