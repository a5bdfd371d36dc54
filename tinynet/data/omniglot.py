"""Omniglot: 1,623 characters of 50 alphabets, each drawn once by 20 people; alphabets become tasks.

Lake, Salakhutdinov and Tenenbaum 2015, Science 350.
"""

import csv
import io
from typing import NamedTuple

import numpy as np

from tinynet.data.files import find_folder, kept, published

HASHES = {
    "alphabets.csv": "3ea32735498772b4a7c29dcca19a5a259d9d7fc78f65603c09eba11760050816",
    "images_background.npz": "8bf84167413cd00beacdce3fe582f780ab538d8dbef043a6d688f2527bbce199",
    "images_evaluation.npz": "0b84c7ffd94c4841c0040e529c86a82eaaccb986d8eadad5673f7991b7475276"}
SOURCE = ("the two .npz files from https://github.com/bitsandscraps/omniglot (commit b0481240b7eb), and alphabets.csv "
          "(split,alphabet,first_id,last_id,n_characters) from the names of the published folders")
FIRST = {"background": 1, "evaluation": 965}        # the number of the first character in each file
DRAWERS, SIDE = 20, 35


class Alphabet(NamedTuple):
    """A task: X (N, 1, 35, 35) float32 in 0..1, 0 paper and 1 ink, y (N) int64 in 0..classes-1, drawer (N) in 0..19.

    The characters of an alphabet are its classes, each drawn once by each drawer: N = 20 classes.
    """

    name: str
    X: np.ndarray
    y: np.ndarray
    drawer: np.ndarray

    classes = property(lambda self: int(self.y.max()) + 1)

    def drawn_by(self, drawers):
        """(X, y) of these drawers' images: a split by drawer trains and tests on the same characters."""
        chosen = np.isin(self.drawer, drawers)
        return self.X[chosen], self.y[chosen]


def omniglot(alphabets=None, root=None):
    """A list of Alphabets, by name or all 50, from the folder `root`, else $TINYNET_DATA (or omniglot/ in it).

    Images of 105 x 105 pixels are reduced to 35 x 35 by the means of blocks of 3 x 3, and ink becomes 1.  Nothing is
    downloaded; what was reduced once is kept in the cache.
    Raises FileNotFoundError naming missing files, ValueError for files that aren't the published ones and for
    alphabets that there aren't.

    >>> [task.name for task in omniglot(["Greek", "Braille"])]          # doctest: +SKIP
    ['Greek', 'Braille']
    """
    folder = find_folder("omniglot", list(HASHES), "omniglot", root, SOURCE)
    if folder is None:
        raise FileNotFoundError("omniglot: no folder is given; pass root=..., or set TINYNET_DATA to a folder with "
                                f"{', '.join(HASHES)}; get {SOURCE}")
    found = kept("omniglot", HASHES, 1, lambda: _reduced(published("omniglot", folder, HASHES, SOURCE)))
    rows = list(csv.DictReader(io.StringIO(bytes(found["table"]).decode("utf-8"))))
    names = [row["alphabet"] for row in rows]
    wanted = names if alphabets is None else list(alphabets)
    if unknown := [name for name in wanted if name not in names]:
        raise ValueError(f"omniglot: there is no alphabet {unknown[0]!r}; the {len(names)} are {', '.join(names)}")
    return [_alphabet(rows[names.index(name)], found) for name in wanted]


def _reduced(files):
    """{"background", "evaluation": (characters, 20, 35, 35) uint8, ink in ninths; "table": the bytes of the .csv}"""
    arrays = {"table": np.frombuffer(files["alphabets.csv"], np.uint8)}
    for part in FIRST:
        paper = np.load(io.BytesIO(files[f"images_{part}.npz"]))["images"]          # True is paper
        blocks = paper.reshape(*paper.shape[:2], SIDE, 3, SIDE, 3)
        arrays[part] = (9 - blocks.sum(axis=(3, 5), dtype=np.uint8)).astype(np.uint8)
    return arrays


def _alphabet(row, found):
    start = int(row["first_id"]) - FIRST[row["split"]]
    images = found[row["split"]][start:start + int(row["n_characters"])]
    X = (images / np.float32(9)).astype(np.float32).reshape(-1, 1, SIDE, SIDE)
    characters, drawers = np.mgrid[:len(images), :DRAWERS]
    return Alphabet(row["alphabet"], X, characters.ravel(), drawers.ravel())


def ten_alphabets(seed=0, root=None):
    """Ten alphabets drawn by `seed`, of the 30 of the background part in the order of their table."""
    everything = omniglot(root=root)[:30]
    chosen = np.sort(np.random.default_rng(seed).choice(len(everything), 10, replace=False))
    return [everything[i] for i in chosen]
