"""MultiMNIST, SARCOS and School, from small files of the same form and, where they are, from the real ones."""

import gzip
import os

import numpy as np
import pytest

from tinynet.data import multitask
from tinynet.data.multitask import multi_mnist, sarcos, school

rng = np.random.default_rng(0)


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def tiny_mnist(tmp_path):
    for split, n in (("train", 6), ("t10k", 4)):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", rng.integers(0, 256, (n, 28, 28)).astype(np.uint8))
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", rng.integers(0, 10, n).astype(np.uint8))
    return tmp_path


def test_pairs_lie_over_each_other_and_keep_the_brighter_pixel():
    first, second = np.zeros((1, 28, 28), np.uint8), np.zeros((1, 28, 28), np.uint8)
    first[0, :2, :2], second[0, -2:, -2:] = 255, 255    # two corners: rows 0, 1 and 32, 33 of the canvas's 36
    X = multitask._pairs(first, second).reshape(28, 28) * multitask.DEVIATION + multitask.MEAN
    bright = np.argwhere(X > 0.5)
    np.testing.assert_array_equal(bright, [[0, 0], [0, 1], [1, 0], [1, 1], [25, 25]])
    both = multitask._pairs(np.full((1, 28, 28), 100, np.uint8), np.full((1, 28, 28), 200, np.uint8))
    values = np.unique((both * multitask.DEVIATION + multitask.MEAN).round(4))
    np.testing.assert_allclose(values, [0, 100 / 255, 200 / 255], atol=1e-4)


def test_each_digit_has_a_partner_of_its_split_and_a_seed_gives_the_same_pairs(tiny_mnist):
    pairs, again, other = (multi_mnist(tiny_mnist, seed=s) for s in (0, 0, 1))
    assert [a.shape for a in pairs] == [(6, 784), (2, 6), (4, 784), (2, 4)]
    assert pairs.X_train.dtype == np.float32
    assert all(np.array_equal(a, b) for a, b in zip(pairs, again, strict=True))
    assert not np.array_equal(pairs.X_train, other.X_train)
    few = multi_mnist(tiny_mnist, train=2, test=1)
    np.testing.assert_array_equal(few.X_train, pairs.X_train[:2])
    np.testing.assert_array_equal(few.y_test, pairs.y_test[:, :1])


def test_a_file_that_is_no_idx_file_is_refused(tiny_mnist):
    (tiny_mnist / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"no digits"))
    with pytest.raises(ValueError, match="is no IDX file of bytes with 3 axes; get it from"):
        multi_mnist(tiny_mnist)


@pytest.mark.parametrize("load", [multi_mnist, sarcos, school])
def test_missing_files_are_named_with_their_source(load, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=rf"{load.__name__}: .* lacks .*get them from"):
        load(tmp_path)
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=rf"{load.__name__}: name the folder with"):
        load()


def test_files_of_another_form_are_refused(tmp_path):
    np.savez(tmp_path / "sarcos_test.npz", X=np.ones((3, 21)), Y=np.ones((3, 7)))
    with pytest.raises(ValueError, match=r"sarcos: .* holds .*\(3, 21\).* but needs"):
        sarcos(tmp_path)


real = pytest.mark.skipif(not os.environ.get("TINYNET_DATA"), reason="needs the real files: set TINYNET_DATA")


@real
def test_the_real_files_have_the_known_numbers():
    data = sarcos()
    np.testing.assert_allclose(data.Y.std(axis=0), [20.35, 14.90, 9.95, 13.76, 0.97, 1.71, 2.59], atol=0.01)
    pupils = school()
    sizes = np.bincount(pupils.task)
    assert (len(sizes), sizes.min(), sizes.max()) == (139, 22, 251)
    np.testing.assert_allclose((pupils.y.mean(), pupils.y.std()), (20.60, 12.72), atol=0.01)
    assert (pupils.X[:, -1] == 1).all()
    assert multi_mnist(train=10, test=10).y_train[0].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
