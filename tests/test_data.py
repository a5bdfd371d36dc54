import subprocess
import sys

import numpy as np
import pytest

from tinynet import data
from tinynet.data.digits import _table


def test_digits_have_the_promised_shapes_types_and_range():
    X_train, y_train, X_test, y_test = data.digits()
    assert X_train.shape == (1297, 64)
    assert X_test.shape == (500, 64)
    assert (y_train.shape, y_test.shape) == ((1297,), (500,))
    assert X_train.dtype == X_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    assert (X_train.min(), X_train.max()) == (0, 1)
    assert set(y_train) == set(y_test) == set(range(10))


def test_every_scanned_digit_is_there_once():
    split, other = data.digits(seed=3), data.digits(seed=4)
    y = np.concatenate([split.y_train, split.y_test])
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]     # scikit-learn's manual
    np.testing.assert_array_equal(_sorted_rows(split), _sorted_rows(other))


def _sorted_rows(split):
    rows = np.column_stack([np.concatenate([split.X_train, split.X_test]),
                            np.concatenate([split.y_train, split.y_test])])
    return rows[np.lexsort(rows.T)]


def test_the_seed_decides_the_split():
    first, same, other = data.digits(1), data.digits(1), data.digits(2)
    np.testing.assert_array_equal(first.X_test, same.X_test)
    assert not np.array_equal(first.y_test, other.y_test)


def test_what_a_caller_does_to_the_arrays_stays_with_the_caller():
    data.digits().X_train[:] = 7
    assert data.digits().X_train.max() == 1


def test_scikit_learn_is_read_but_not_imported():
    code = "import sys, tinynet.data as d; d.digits(); assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    _table.cache_clear()
    monkeypatch.setitem(_table.__wrapped__.__globals__, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "tinynet\[lessons\]"'):
        data.digits()
