"""1,797 scanned digits of 8 x 8 pixels: the file that scikit-learn carries, read without importing scikit-learn.

Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI repository (its test part).
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

N_TRAIN = 1297


class Split(NamedTuple):
    """X_train (1297, 64) and X_test (500, 64) float32 in 0..1, y_train and y_test int64 in 0..9."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def digits(seed=0):
    """The digits, shuffled by `seed` and split into 1,297 for training and 500 for testing.

    A row of X is an image of 8 x 8 pixels (`X.reshape(-1, 8, 8)`), 0 paper and 1 ink.
    Raises ModuleNotFoundError where scikit-learn isn't installed.

    >>> X_train, y_train, X_test, y_test = digits()
    >>> X_train.shape, X_test.shape, y_train[:5].dtype
    ((1297, 64), (500, 64), dtype('int64'))
    """
    table = _table()
    order = np.random.default_rng(seed).permutation(len(table))
    X, y = table[order, :64].astype(np.float32) / 16, table[order, 64].astype(np.int64)
    return Split(X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:], y[N_TRAIN:])


@cache
def _table():
    """(1797, 65) whole numbers: 64 pixels in 0..16 and the digit."""
    spec = find_spec("sklearn")
    folders = spec.submodule_search_locations or () if spec else ()
    for folder in folders:
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            return np.loadtxt(path, np.int16, delimiter=",", ndmin=2)
    raise ModuleNotFoundError('digits: the scanned digits come with scikit-learn, which is not installed here; '
                              'run pip install "tinynet[lessons]"')
