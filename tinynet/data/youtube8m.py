"""Youtube-8M, video level: what a video looks and sounds like on average, and what it shows; 16 verticals as 16 tasks.

Abu-El-Haija et al. 2016, arXiv:1609.08675.  The files are TFRecords of tf.train.Example messages; both forms are read
here in a few lines each, with every length and every checksum checked, so that TensorFlow isn't needed.

All features of train are 18 GB.  So they stay in the files: what is kept of a video is where its record begins, and its
labels; a batch reads the rows that it asks for.
"""

import csv
import functools
import os
import struct
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinynet.jit import jit

TASKS = ("Arts & Entertainment", "Games", "Autos & Vehicles", "Sports", "Food & Drink", "Computers & Electronics",
         "Business & Industrial", "Pets & Animals", "Hobbies & Leisure", "Beauty & Fitness", "Shopping",
         "Internet & Telecom", "Home & Garden", "Science", "Travel", "Law & Government")      # ids 1..16 of saha table1
FEATURES = {"mean_rgb": 1024, "mean_audio": 128}
SOURCE = ("https://research.google.com/youtube8m/download.html (video-level features), vocabulary.csv with its column "
          "Vertical1 from the same page")


class Videos:
    """X (N, 1152) float32, whose rows stay in the files: X[rows] reads them there, and checks them anew.

    file (N)  which of the paths a video is in; at (N) where its record begins
    """

    dtype = np.dtype(np.float32)

    def __init__(self, paths, file, at):
        self.paths, self.file, self.at, self.shape = paths, file, at, (len(at), sum(FEATURES.values()))

    def __len__(self):
        return len(self.at)

    def __getitem__(self, rows):
        """Features (n, 1152) of rows: a slice, numbers or booleans."""
        file, at = self.file[rows], self.at[rows]
        X = np.empty((len(at), self.shape[1]), np.float32)
        for f in np.unique(file):
            with open(self.paths[f], "rb") as opened:
                for i in np.flatnonzero(file == f):
                    X[i], _ = video(_record_at(opened, int(at[i])))
        return X

    def of(self, rows):
        """These rows, without reading them."""
        return Videos(self.paths, self.file[rows], self.at[rows])


class Labels:
    """Y (N, classes) float32 of 0 and 1, of which only the places of the 1s are kept: Y[rows] fills in the 0s.

    Video i has the labels columns[start[i]:end[i]].
    """

    dtype = np.dtype(np.float32)

    def __init__(self, columns, start, end, classes):
        self.columns, self.start, self.end, self.shape = columns, start, end, (len(start), classes)

    def __len__(self):
        return len(self.start)

    def __getitem__(self, rows):
        """Labels (n, classes) of rows: a slice, numbers or booleans."""
        end = self.end[rows]
        counts = end - self.start[rows]
        Y = np.zeros((len(end), self.shape[1]), np.float32)
        at = np.repeat(end - counts.cumsum(), counts) + np.arange(counts.sum())
        Y[np.repeat(np.arange(len(end)), counts), self.columns[at]] = 1
        return Y

    def of(self, rows):
        """These rows."""
        return Labels(self.columns, self.start[rows], self.end[rows], self.shape[1])


class VideoTask(NamedTuple):
    """The videos with a label of this vertical: X (N, 1152), Y (N, classes), labels (classes) as numbered in the
    vocabulary.
    """

    name: str
    X: Videos
    Y: Labels
    labels: np.ndarray

    def of(self, rows):
        """The task with these videos only, by numbers or booleans."""
        return self._replace(X=self.X.of(rows), Y=self.Y.of(rows))


# %% The record format: length, its checksum, data, its checksum
@functools.cache
def _table():
    """What each byte does to a CRC-32C (Castagnoli's polynomial, bits reversed)."""
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, (crc >> 1) ^ np.uint32(0x82F63B78), crc >> 1).astype(np.uint32)
    return crc


@jit
def _crc(data, table):
    crc = np.uint32(0xFFFFFFFF)
    for byte in data:
        crc = table[(crc ^ byte) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)


def masked_crc(data):
    """The checksum of bytes as a TFRecord holds it."""
    crc = int(_crc(np.frombuffer(data, np.uint8), _table()))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    """Yield (where it begins, its data) of each record of a TFRecord file.  Raises ValueError for a damaged file."""
    with open(path, "rb") as file:
        size, at = os.fstat(file.fileno()).st_size, 0
        while at < size:
            data = _record_at(file, at)
            yield at, data
            at += len(data) + 16


def _record_at(file, at):
    """The data of the record that begins at this byte of an open file."""
    def damaged(what):
        return ValueError(f"youtube8m: the record at byte {at} of {Path(file.name).name} {what}; get the file again "
                          f"from {SOURCE}")
    file.seek(at)
    head, left = file.read(12), os.fstat(file.fileno()).st_size - at - 12
    if left < 0:
        raise damaged(f"ends after {len(head)} bytes of a length, which takes 12")
    length, checksum = struct.unpack("<QI", head)
    if masked_crc(head[:8]) != checksum:
        raise damaged("has a length whose checksum differs")
    if length <= left < length + 4:
        raise damaged(f"has its {length} bytes, but ends within its checksum")
    if length > left:
        raise damaged(f"says that it has {length} bytes, but the file ends after {left}")
    data, checksum = file.read(length), struct.unpack("<I", file.read(4))[0]
    if masked_crc(data) != checksum:
        raise damaged(f"has {length} bytes whose checksum differs")
    return data


# %% The message: fields (number, kind, value) of protocol buffers
def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def _fields(data):
    """Yield (field number, value): bytes of a length, or a whole number."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        else:
            size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            if at + size > len(data):
                raise IndexError("a field is longer than its message")
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def _whole_numbers(lists):
    """Those of an Int64List, packed or one by one."""
    found = []
    for _, value in lists:
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            found.append(number)
    return np.array(found, np.int64)


def example(data):
    """{name: array or list of bytes} of a tf.train.Example.  Raises ValueError where it is none."""
    found = {}
    try:
        for _, features in _fields(data):                       # Example.features
            for _, entry in _fields(features):                  # Features.feature, a map
                parts = dict(_fields(entry))
                (kind, values), = _fields(parts[2])             # Feature: 1 bytes, 2 floats, 3 whole numbers
                lists = list(_fields(values))
                found[parts[1].decode()] = ([value for _, value in lists] if kind == 1 else
                                            np.frombuffer(b"".join(v for _, v in lists), "<f4") if kind == 2 else
                                            _whole_numbers(lists))
    except (IndexError, KeyError, ValueError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"youtube8m: a record is no tf.train.Example ({error}); the file must be one of the "
                         f"video-level ones from {SOURCE}") from error
    return found


def video(data):
    """(x (1152) float32, labels) of a video's record.  Raises ValueError for one that lacks a feature."""
    found = example(data)
    for name, size in FEATURES.items():
        if len(found.get(name, ())) != size:
            raise ValueError(f"youtube8m: a video has {len(found.get(name, ()))} numbers of {name}, but needs {size}; "
                             f"take the video-level files from {SOURCE}")
    return np.concatenate([found[name] for name in FEATURES]), np.asarray(found.get("labels", ()), np.int64)


# %% The tasks
def verticals(path):
    """[the labels of each of the 16 TASKS] by the column Vertical1 of vocabulary.csv.

    Raises FileNotFoundError without the file, ValueError where a column or one of the verticals is missing and
    for an Index that is no whole number.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"youtube8m: there is no {path}; get it from {SOURCE}")
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"Index", "Vertical1"} <= rows[0].keys():
        raise ValueError(f"youtube8m: {Path(path).name} lacks the columns Index and Vertical1; get it from {SOURCE}")
    for row in rows:
        if not str(row["Index"]).isdecimal():
            raise ValueError(f"youtube8m: {Path(path).name} has the Index {row['Index']!r}, which is no whole number; "
                             f"get it again from {SOURCE}")
    its = {name: np.array([int(row["Index"]) for row in rows if row["Vertical1"] == name]) for name in TASKS}
    if missing := [name for name in TASKS if not len(its[name])]:
        raise ValueError(f"youtube8m: {Path(path).name} has no label of the vertical {missing[0]!r}; get the whole "
                         f"vocabulary from {SOURCE}")
    return list(its.values())


def youtube8m(part="train", root=None, videos=None):
    """The 16 VideoTasks of the files PART*.tfrecord in the folder `root`, else in $TINYNET_DATA (or youtube8m/ in it).

    part    "train" or "validate"; the deck's test set is a random half of validate
    videos  read so many and no more

    A video belongs to every task of which it has a label.  All files are read once, to check them and to find the
    labels.  Raises FileNotFoundError where files are missing, ValueError for damaged ones and where a task has no
    video.
    """
    folder = _folder(part, root)
    labels, paths = verticals(folder / "vocabulary.csv"), sorted(folder.glob(f"{part}*.tfrecord"))
    whole, found = _all_of(paths, videos)
    return [_task(name, its, whole, found) for name, its in zip(TASKS, labels, strict=True)]


def youtube8m_folder(root=None):
    """Where `youtube8m` would read its files; raises FileNotFoundError as it does."""
    return _folder("train", root)


def _folder(part, root):
    root = root or os.environ.get("TINYNET_DATA")
    for folder in (Path(root), Path(root, "youtube8m")) if root else ():
        if any(folder.glob(f"{part}*.tfrecord")):
            return folder
    where = f"{root} has no" if root else "no folder is given; pass root=..., or set TINYNET_DATA to a folder with"
    raise FileNotFoundError(f"youtube8m: {where} files {part}*.tfrecord; get them from {SOURCE}")


def _all_of(paths, most):
    """(the first `most` Videos of these files, the labels of all of them end to end with the video that has each)."""
    files, starts, labels, owners, count = [], [], [], [], 0
    for f, path in enumerate(paths):
        known = list(islice(((at, video(data)[1]) for at, data in records(path)),
                            None if most is None else most - count))
        files.append(np.full(len(known), f, np.int32))
        starts.append(np.array([at for at, _ in known], np.int64))
        labels.append(np.concatenate([np.zeros(0, np.int64), *(its for _, its in known)]))
        owners.append(count + np.repeat(np.arange(len(known)), [len(its) for _, its in known]))
        count += len(known)
    file, at, label, owner = (np.concatenate(parts) for parts in (files, starts, labels, owners))
    return Videos(paths, file, at), (label, owner)


def _task(name, its, videos, found):
    """The VideoTask of the labels `its`."""
    label, owner = found
    order = np.argsort(its)
    column = order[np.searchsorted(its, label, sorter=order).clip(max=len(its) - 1)]
    here = its[column] == label
    rows, counts = np.unique(owner[here], return_counts=True)
    if not len(rows):
        raise ValueError(f"youtube8m: none of {len(videos)} videos has a label of {name}; read more of them")
    end = counts.cumsum()
    return VideoTask(name, videos.of(rows), Labels(column[here], end - counts, end, len(its)), its)
