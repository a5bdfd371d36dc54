"""Three data sets with several tasks: pairs of digits, the torques of a robot arm, the exams of 139 schools.

MultiMNIST: two digits on one picture (Sabour et al. 2017; this form Sener and Koltun 2018, arXiv:1810.04650).
SARCOS: seven torques from positions, velocities and accelerations (Vijayakumar and Schaal 2000).
School: exam scores, a school a task (Inner London Education Authority; Bakker and Heskes 2003).
"""

import gzip
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinynet.data.files import find_folder

MNIST_PARTS = tuple(f"{split}-{part}-ubyte.gz"
                    for split in ("train", "t10k") for part in ("images-idx3", "labels-idx1"))
MNIST_SOURCE = "http://yann.lecun.com/exdb/mnist or a copy of it"
SARCOS_SOURCE = ("https://github.com/probml/pmtkdata, sarcos_inv_test.mat, as sarcos_test.npz with X (4449, 21) and "
                 "Y (4449, 7)")
SCHOOL_SOURCE = ("https://github.com/jiayuzhou/MALSAR, data/school.mat, as school.npz with X (15362, 28), y (15362,) "
                 "and task (15362,)")
MEAN, DEVIATION = 0.1307, 0.3081        # of MNIST's training pixels in 0..1


class MultiMNIST(NamedTuple):
    """X (N, 784) float32, standardised; y (2, N) int64: the digit on the upper left, the one on the lower right."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


class Regressions(NamedTuple):
    """X (N, D) float32, Y (N, T) float32 targets of T tasks, in their own units."""

    X: np.ndarray
    Y: np.ndarray


class School(NamedTuple):
    """X (N, 28) float32, of which the last column is 1; y (N) float32 scores of 1 to 70; task (N) int64, 0 to 138."""

    X: np.ndarray
    y: np.ndarray
    task: np.ndarray


def multi_mnist(root=None, train=None, test=None, seed=0):
    """Pairs of digits from MNIST's four gzipped IDX files in `root`, else in $TINYNET_DATA (or mnist/ in it).

    Each picture gets one random partner of the same split.  The first digit stands at rows and columns 0..27 of a
    canvas of 36, the second at 6..33, the brighter pixel where they overlap; then every pixel of 28 x 28 takes the
    nearest of the 36 x 36.
    train, test  how many pairs, the first ones; all 60,000 and 10,000 if None
    seed         of the partners

    Raises FileNotFoundError naming missing files and where to get them, ValueError for files of another form.

    >>> X, y, *_ = multi_mnist(train=1000, test=100)    # doctest: +SKIP
    >>> X.shape, y.shape                                # doctest: +SKIP
    ((1000, 784), (2, 1000))
    """
    folder = _folder("multi_mnist", MNIST_PARTS, "mnist", root, MNIST_SOURCE)
    rng, parts = np.random.default_rng(seed), []
    for split, wanted in (("train", train), ("t10k", test)):
        images = _idx(folder / f"{split}-images-idx3-ubyte.gz", axes=3)
        labels = _idx(folder / f"{split}-labels-idx1-ubyte.gz", axes=1).astype(np.int64)
        partner = rng.integers(len(images), size=len(images))
        first, second = np.arange(len(images))[:wanted], partner[:wanted]
        parts += [_pairs(images[first], images[second]), np.stack([labels[first], labels[second]])]
    return MultiMNIST(*parts)


def _pairs(first, second):
    """(N, 784): the pictures (N, 28, 28) of both, laid over each other, standardised."""
    canvas = np.zeros((len(first), 36, 36), np.uint8)
    canvas[:, :28, :28] = first
    np.maximum(canvas[:, 6:34, 6:34], second, out=canvas[:, 6:34, 6:34])
    nearest = ((np.arange(28) + 0.5) * 36 / 28).astype(int)
    small = canvas[:, nearest[:, None], nearest].reshape(len(first), 784).astype(np.float32)
    return (small / np.float32(255) - np.float32(MEAN)) / np.float32(DEVIATION)


def _idx(path, axes):
    """The uint8 array of a gzipped IDX file with this many axes."""
    with gzip.open(path) as file:
        data = file.read()
    sizes = data[4:4 + 4 * axes]
    shape = tuple(int.from_bytes(sizes[4 * i:4 * i + 4], "big") for i in range(axes))
    if data[:4] != bytes([0, 0, 8, axes]) or len(data) != 4 + 4 * axes + math.prod(shape):
        raise ValueError(f"multi_mnist: {path} is no IDX file of bytes with {axes} axes; get it from {MNIST_SOURCE}")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def sarcos(root=None):
    """The 4,449 rows of SARCOS's test file from the folder `root`, else from $TINYNET_DATA (or multitask/ in it).

    The torques' deviations go from 1.0 to 20.4, which is what weighing losses is about.  Make a split of your own:
    results on this file can't be compared with those on the training file's 44,484 rows.
    Raises FileNotFoundError for a missing file, ValueError for one of another form.

    >>> sarcos().Y.shape                                # doctest: +SKIP
    (4449, 7)
    """
    arrays = _npz("sarcos", "sarcos_test.npz", root, SARCOS_SOURCE, X=(4449, 21), Y=(4449, 7))
    return Regressions(arrays["X"].astype(np.float32), arrays["Y"].astype(np.float32))


def school(root=None):
    """The 15,362 pupils of 139 schools from the folder `root`, else from $TINYNET_DATA (or multitask/ in it).

    Columns 3 and 4, percentages, are standardised; the others are 0 or 1.  There is no split: draw one a school.
    Raises FileNotFoundError for a missing file, ValueError for one of another form.

    >>> np.unique(school().task).size                   # doctest: +SKIP
    139
    """
    arrays = _npz("school", "school.npz", root, SCHOOL_SOURCE, X=(15362, 28), y=(15362,), task=(15362,))
    X = arrays["X"].astype(np.float32)
    X[:, 3:5] = (X[:, 3:5] - X[:, 3:5].mean(axis=0)) / X[:, 3:5].std(axis=0)
    return School(X, arrays["y"].astype(np.float32), arrays["task"].astype(np.int64))


def _npz(who, name, root, source, **shapes):
    with np.load(Path(_folder(who, (name,), "multitask", root, source), name)) as file:
        arrays = {key: file[key] for key in shapes if key in file}
    found = {key: a.shape for key, a in arrays.items()}
    if found != shapes:
        raise ValueError(f"{who}: {name} holds {found}, but needs {shapes}; get it from {source}")
    return arrays


def _folder(who, names, subfolder, root, source):
    folder = find_folder(who, names, subfolder, root, source)
    if folder is None:
        raise FileNotFoundError(f"{who}: name the folder with {', '.join(names)} by root=... or TINYNET_DATA; get them "
                                f"from {source}")
    return folder
