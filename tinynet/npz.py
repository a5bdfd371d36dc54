"""Named arrays and notes in one .npz that holds no pickles: the files of checkpoints and of cached data.

The file is a plain zip: `tinynet.json` with the notes and one uncompressed `NAME.npy` an array, so
that `np.load(path)` opens it too.  It is written beside its place, forced to the disk and then
renamed, so that at any moment the old file or the new one is there, whole.

Nothing in a file is believed before it is checked: what every entry claims to hold is compared
with the bytes that are there and with what the reader expects, and only then is memory taken.
"""

import io
import json
import math
import os
import zipfile
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from tinynet.whole_file import whole_file

NOTES = "tinynet.json"
FORMAT = "tinynet checkpoint 1"
AT_ONCE = 2 ** 26       # the most bytes of directory, notes or header: far above a run of 100,000 epochs


class CheckpointError(ValueError):
    """A file that can't be written, or that isn't what it is to be loaded as."""


# %% Writing
def save(path, arrays, notes, what="checkpoint"):
    """Replace the file at `path` by one with `arrays` (by name) and `notes` (what JSON can hold).

    what  the word for the file in errors

    Returns when the data is on the disk.  Raises CheckpointError when it can't be written; the
    old file is untouched then.
    """
    path = Path(path).resolve()
    try:
        with whole_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            notes = {"format": FORMAT, "arrays": sorted(arrays), **notes}
            archive.writestr(NOTES, json.dumps(notes, default=np.ndarray.tolist))
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asarray(array, order="C"), allow_pickle=False)
    except OSError as error:
        raise CheckpointError(f"{what} {path}: it can't be written ({error.strerror}); "
                              "make room there or choose another folder") from error


def prepare(path, what="checkpoint"):
    """Make sure before any work that `path` can be written; makes its folder where there is none."""
    path = Path(path).resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise CheckpointError(f"{what} {path}: it can't be written ({error.strerror}); "
                              "choose a file in a folder that you may write to") from error


# %% Reading
def load(path, check=None, what="checkpoint"):
    """(arrays by name, notes) of the file at `path`.

    check  check(notes, {name: (shape, dtype)}) is called before any array is read, and may raise
           when the file isn't the one wanted

    Raises CheckpointError when the file is truncated, foreign, damaged, or claims more than it holds.
    """
    with _told(path, what), _Careful(path) as file, zipfile.ZipFile(file) as archive:
        entries = _entries(archive, os.path.getsize(path))
        notes = json.loads(archive.read(NOTES))
        if not isinstance(notes, dict) or notes.get("format") != FORMAT:
            raise ValueError(f"its notes don't say {FORMAT!r}")
        if sorted(entries) != notes.pop("arrays", sorted(entries)):     # files of 0.2.0 don't list them
            raise ValueError("arrays that its notes list are not there")
        claims = {name: _claim(archive, name, entry) for name, entry in entries.items()}
    if check:
        check(notes, claims)
    with _told(path, what), _Careful(path) as file, zipfile.ZipFile(file) as archive:
        return {name: _read(archive, entry) for name, entry in entries.items()}, notes


class _Careful(io.BufferedReader):
    """A file that hands out at most AT_ONCE bytes at once, however long it says that its parts are."""

    def __init__(self, path):
        super().__init__(io.FileIO(path))
        self.size = os.path.getsize(path)

    def read(self, n=-1):
        rest = self.size - self.tell()
        if (rest if n is None or n < 0 else min(n, rest)) > AT_ONCE:
            raise ValueError("a part that should be small claims to be huge")
        return super().read(n)


@contextmanager
def _told(path, what):
    """Whatever goes wrong inside is told in one sentence with the file's name."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{what} {path}: it can't be read ({error.strerror})") from error
    except Exception as error:              # what hostile bytes can raise has no end
        raise CheckpointError(f"{what} {path}: it is truncated, damaged or no file of tinynet's ({_words(error)}); "
                              "move it away or name another file to start anew") from error


def _words(error):
    return str(error.args[0] if error.args else type(error).__name__).rstrip(".")


def _entries(archive, size):
    """{name: zip entry} of the arrays, once it is sure that reading them takes no more than the file's size."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(set(names)) < len(names):
        raise ValueError("an entry is there twice")
    if NOTES not in names:
        raise ValueError(f"there is no {NOTES} in it")
    if any(info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size for info in infos):
        raise ValueError("its entries are compressed")
    if sum(info.file_size for info in infos) > size:
        raise ValueError(f"its entries claim more than the file's {size} bytes")
    if wrong := [name for name in names if name != NOTES and not name.endswith(".npy")]:
        raise ValueError(f"{wrong[0]!r} is no array")
    return {info.filename.removesuffix(".npy"): info for info in infos if info.filename != NOTES}


def _claim(archive, name, info):
    """(shape, dtype) in an entry's header, which must add up to the bytes that are there."""
    with archive.open(info) as entry:
        version = np.lib.format.read_magic(entry)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(entry)
        if dtype.hasobject:
            raise ValueError(f"{name} holds pickled Python objects, which are never opened")
        if dtype.kind not in "fiub" or min(shape, default=0) < 0:
            raise ValueError(f"{name} claims to hold {dtype} of shape {shape}")
        if math.prod(shape) * dtype.itemsize != info.file_size - entry.tell():
            raise ValueError(f"{name} claims to hold {dtype} of shape {shape} in {info.file_size - entry.tell()} bytes")
    return shape, dtype


def _read(archive, info):
    with archive.open(info) as entry:
        array = np.lib.format.read_array(entry, allow_pickle=False)
        entry.read(1)                       # reaching the end makes zipfile compare the checksum
    return array
