"""MNIST and Fashion-MNIST: 60,000 and 10,000 grey images of 28 x 28 pixels in ten classes, as IDX files.

LeCun, Cortes and Burges 1998; Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.
"""

import gzip
import hashlib
import struct
import zlib
from typing import NamedTuple

import numpy as np

from tinynet.data import files

FASHION = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle-boot".split()      # noqa: SIM905
SOURCES = {"mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
           "fashion_mnist": "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"}
STATISTICS = {"mnist": ((0.1307,), (0.3081,)), "fashion_mnist": ((0.2860,), (0.3530,))}     # mean and deviation, of 1
NAMES = tuple(f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))
LABELLED = {            # SHA-256 of the unpacked files of labels: both sets give their files the same names
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5": "mnist",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2": "mnist",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9": "fashion_mnist",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34": "fashion_mnist",
}
IMAGES, LABELS = 0x0803, 0x0801         # the first number of an IDX file: bytes, with three axes or with one


class Split(NamedTuple):
    """X_train (60000, 1, 28, 28) and X_test (10000, 1, 28, 28) bytes, y_train and y_test int64 in 0..9."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def mnist(root=None, name="mnist"):
    """The images as bytes, 0 paper and 255 ink, and their classes.

    root  a folder with the four files, gzipped or not, or with a folder of this name that has them; else TINYNET_DATA
    name  "mnist" or "fashion_mnist"
    Raises FileNotFoundError where files are missing, ValueError for a file that is damaged and for the other set's.
    """
    if name not in SOURCES:
        raise ValueError(f"mnist: there are no images named {name!r}; choose one of {', '.join(SOURCES)}")
    zipped = [f"{n}.gz" for n in NAMES]
    where, names = files.find_form(name, [(zipped, name), (NAMES, name)], root, SOURCES[name])
    if where is None:
        raise FileNotFoundError(f"{name}: no folder is given; get {', '.join(zipped)} from {SOURCES[name]}, and name "
                                "their folder by root=... or TINYNET_DATA")
    arrays = [read_idx((where / n).read_bytes(), name, n) for n in names]
    for (X, y) in (arrays[:2], arrays[2:]):
        if X.shape[1:] != (28, 28) or y.shape != X.shape[:1]:
            raise ValueError(f"{name}: the files in {where} hold images {X.shape} and labels {y.shape}, but must hold "
                             f"(N, 28, 28) and (N,); get them again from {SOURCES[name]}")
        if (y > 9).any():
            raise ValueError(f"{name}: the files in {where} hold a label {y.max()}, but the classes are 0 to 9; get "
                             f"them again from {SOURCES[name]}")
        whose = LABELLED.get(hashlib.sha256(struct.pack(">2I", LABELS, len(y)) + y.tobytes()).hexdigest(), name)
        if whose != name:
            raise ValueError(f"{name}: the files in {where} are those of {whose}, which have the same names; give the "
                             f"folder with the files of {name}, or call {whose}()")
    X_train, y_train, X_test, y_test = arrays
    return Split(X_train[:, None], y_train.astype(np.int64), X_test[:, None], y_test.astype(np.int64))


def fashion_mnist(root=None):
    """Fashion-MNIST, as `mnist`; its classes are FASHION."""
    return mnist(root, "fashion_mnist")


def read_idx(data, who, name):
    """The array of bytes in an IDX file, gzipped or not; raises ValueError where it is another kind of file or cut."""
    try:
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        kind, = struct.unpack(">I", data[:4])
        if kind not in (IMAGES, LABELS):
            raise ValueError(f"it begins with {kind:#x}, not with {IMAGES:#x} or {LABELS:#x}")
        axes = kind & 0xFF
        shape = struct.unpack(f">{axes}I", data[4:4 + 4 * axes])
        array = np.frombuffer(data, np.uint8, offset=4 + 4 * axes)
        return array.reshape(shape).copy()              # the bytes themselves can't be written to
    except (ValueError, EOFError, OSError, struct.error, zlib.error) as error:
        raise ValueError(f"{who}: {name} is no whole IDX file of bytes ({error}); get it again from "
                         f"{SOURCES.get(who, 'where it came from')}") from error
