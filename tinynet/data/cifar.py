"""CIFAR-10: 50,000 and 10,000 colour images of 32 x 32 pixels in ten classes.  Krizhevsky 2009.

It reads the published files of the python version (data_batch_1 to data_batch_5 and test_batch, which are pickles), or
a folder of arrays of the same images (train_1.npy.xz to train_5.npy.xz, test.npy.xz and labels.npz), whose planes are
stored as differences: G, R - G and B - G, each from pixel to pixel, modulo 256.
"""

import io
import lzma
import tarfile
from typing import NamedTuple

import numpy as np

from tinynet.data import files
from tinynet.data.pickles import ARRAYS, admitted

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()      # noqa: SIM905
MEAN, STD = (0.49140, 0.48216, 0.44653), (0.24703, 0.24349, 0.26159)     # of the training images, of 1
SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html (the python version)"
ADDRESS = "https://www.cs.toronto.edu/~kriz/"
ARCHIVE = {"cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"}
BATCHES = {
    "data_batch_1": "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
    "data_batch_2": "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
    "data_batch_3": "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
    "data_batch_4": "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
    "data_batch_5": "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
    "test_batch": "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
}
PARTS = *(f"train_{i}.npy.xz" for i in range(1, 6)), "test.npy.xz"
FORMS = ((*PARTS, "labels.npz"), "cifar10"), (tuple(BATCHES), "cifar-10-batches-py")
COPY = f"copy it again from where it came, or get the published files from {SOURCE}"


class Split(NamedTuple):
    """X_train (50000, 3, 32, 32) and X_test (10000, 3, 32, 32) bytes, y_train and y_test int64 in 0..9."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def cifar10(root=None):
    """The images as bytes (red, green, blue) and their classes; `data.images.normalised(X, MEAN, STD)` makes them
    floats.

    root  a folder with the published batches or with the arrays, else TINYNET_DATA, else they are downloaded
    Raises FileNotFoundError where files are missing, ValueError for a file that is damaged or not the published one.
    """
    where, names = files.find_form("cifar10", FORMS, root, SOURCE)
    if where is None:
        kept = files.kept("cifar10", ARCHIVE, 1, _downloaded)
        parts = [(kept[f"X_{name}"], kept[f"y_{name}"]) for name in BATCHES]
    elif "labels.npz" in names:
        parts = _from_arrays(where)
    else:
        parts = [_batch(name, data) for name, data in files.published("cifar10", where, BATCHES, SOURCE).items()]
    *train, (X_test, y_test) = parts
    return Split(np.concatenate([X for X, _ in train]), np.concatenate([y for _, y in train]), X_test, y_test)


def _downloaded():
    """{"X_data_batch_1": images, "y_data_batch_1": labels, ...} of the published archive."""
    archive, = files.download("cifar10", ADDRESS, ARCHIVE, SOURCE).values()
    arrays = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for name in BATCHES:
            data = tar.extractfile(f"cifar-10-batches-py/{name}").read()
            arrays[f"X_{name}"], arrays[f"y_{name}"] = _batch(name, data)
    return arrays


def _batch(name, data):
    """(images (10000, 3, 32, 32), labels (10000)) of one published pickle."""
    found = admitted("cifar10", data, name, ARRAYS, SOURCE)
    try:
        X, y = np.asarray(found["data"], np.uint8), np.asarray(found["labels"], np.int64)
        return X.reshape(len(y), 3, 32, 32), y
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"cifar10: {name} holds no images and labels ({error}); get it again from {SOURCE}") from error


def _from_arrays(folder):
    """[(images (N, 3, 32, 32), labels (N))] of the six parts."""
    labels = _undamaged(folder / "labels.npz", _labels)
    return [_matching(part, _undamaged(folder / part, _unpacked), labels[part]) for part in PARTS]


def _undamaged(path, read):
    try:
        return read(path.read_bytes())
    except Exception as error:              # what damaged bytes can raise has no end
        raise ValueError(f"cifar10: {path} is damaged ({error}); {COPY}") from error


def _labels(data):
    with np.load(io.BytesIO(data), allow_pickle=False) as labels:
        return {part: labels[part.partition(".")[0]] for part in PARTS}


def _unpacked(data):
    """(N, 3, 32, 32) from the differences of the planes G, R - G, B - G; sums of bytes wrap, and are meant to."""
    planes = np.load(io.BytesIO(lzma.decompress(data)), allow_pickle=False)
    if planes.dtype != np.uint8:
        raise ValueError(f"its planes are {planes.dtype}, not uint8")
    planes = np.cumsum(np.cumsum(planes, axis=2, dtype=np.uint8), axis=3, dtype=np.uint8)
    green, red, blue = planes
    return np.stack([red + green, green, blue + green], axis=1)


def _matching(part, X, y):
    if X.shape[1:] != (3, 32, 32) or y.shape != X.shape[:1]:
        raise ValueError(f"cifar10: {part} holds images {X.shape}, and labels.npz has labels {y.shape} for them; they "
                         f"must be (N, 3, 32, 32) and (N,); {COPY}")
    if y.dtype.kind not in "iu":
        raise ValueError(f"cifar10: labels.npz has labels of {y.dtype} for {part}, but the classes are whole numbers; "
                         f"{COPY}")
    if y.size and not 0 <= y.min() <= y.max() < len(CLASSES):
        raise ValueError(f"cifar10: labels.npz has labels from {y.min()} to {y.max()} for {part}, but the classes are "
                         f"0 to 9; {COPY}")
    return X, y.astype(np.int64)
