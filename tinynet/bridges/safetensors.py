"""Files of the form .safetensors, read without copying: names, shapes and numbers, and nothing that could run.

    8 bytes      the length n of the header, little-endian
    n bytes      JSON: {name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [a, b]}}, and __metadata__ of strings
    the rest     the numbers, row by row, little-endian; offsets count from here

Nothing in a file is believed before it is checked: the header against the file's size, each claim against the bytes
between its offsets, and all claims against each other.
"""

import json
import math
import os
import struct
from pathlib import Path

import numpy as np

from tinynet.whole_file import whole_file

DTYPES = dict(F64="<f8", F32="<f4", F16="<f2", BF16="<u2", I64="<i8", I32="<i4", I16="<i2", I8="i1", U64="<u8",
              U32="<u4", U16="<u2", U8="u1", BOOL="?")
LONGEST_HEADER = 100_000_000        # bytes, as in the reference
MOST_AXES, LARGEST = 64, 2 ** 59    # what NumPy can make, also where a size is 0


class SafetensorsError(ValueError):
    """A file that isn't what it claims to be."""


def load(path):
    """({name: array}, {metadata}) of the file; arrays are read-only views of it (BF16 becomes a float32 copy).

    Raises SafetensorsError for a file that is cut short, whose header is damaged or claims too much, whose tensors
    overlap or leave gaps; FileNotFoundError where there is none.
    """
    path = Path(path)
    if path.is_dir():
        _fail(path, "it is a folder")
    size = os.path.getsize(path)
    header, start = _header(path, size)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        _fail(path, "its __metadata__ holds something else than strings")
    claims = {name: _claim(path, name, entry, size - start) for name, entry in header.items()}
    _must_tile(path, claims, size - start)
    if not any(b > a for _, _, a, b in claims.values()):
        return {name: np.zeros(shape, _wide(kind)) for name, (kind, shape, _, _) in claims.items()}, metadata
    whole = np.memmap(path, np.uint8, "r", offset=start)
    return {name: _array(whole, *claim) for name, claim in claims.items()}, metadata


def save(path, arrays, metadata=None):
    """Write {name: array} to a file; strings may stand beside them as metadata."""
    kinds = {np.dtype(form): kind for kind, form in DTYPES.items() if kind != "BF16"}
    header, blobs, end = ({"__metadata__": dict(metadata)} if metadata else {}), [], 0
    for name, array in arrays.items():
        array = np.asarray(array, order="C")
        if array.dtype not in kinds:
            raise SafetensorsError(f"safetensors {path}: {name} holds {array.dtype}, which such a file can't; convert "
                                   "it to floating or whole numbers")
        blobs.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        header[name] = dict(dtype=kinds[array.dtype], shape=list(array.shape), data_offsets=[end, end + len(blobs[-1])])
        end += len(blobs[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with whole_file(path) as file:
        file.writelines([struct.pack("<Q", len(text)), text, *blobs])


def _fail(path, why):
    raise SafetensorsError(f"safetensors {path}: {why}; get the file again, or name another")


def _header(path, size):
    """(the header as a dictionary, where the numbers start)."""
    with open(path, "rb") as file:
        first = file.read(8)
        if len(first) < 8:
            _fail(path, f"it has {size} bytes and no header")
        n, = struct.unpack("<Q", first)
        if n > min(LONGEST_HEADER, size - 8):           # asked first: a header of 640 bytes begins as a pickle does
            if first[0] == 0x80 or first[:2] == b"PK":
                _fail(path, "it is a pickle or a zip file and not of this form, and was not opened; "
                            "for a state dict of PyTorch use tinynet.bridges.pytorch")
            _fail(path, f"its header claims {n} bytes, but the file has {size}")
        text = file.read(n)
    try:
        header = json.loads(text, object_pairs_hook=lambda pairs: _once(path, pairs))
    except SafetensorsError:
        raise
    except (ValueError, RecursionError) as error:           # no UTF-8, no JSON, a number of 5,000 digits
        _fail(path, f"its header is damaged ({type(error).__name__})")
    if not isinstance(header, dict):
        _fail(path, "its header names no tensors")
    return header, 8 + n


def _once(path, pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        _fail(path, "its header has a name twice")
    return found


def _claim(path, name, entry, size):
    """(kind, shape, first byte, last byte) of a tensor, which must agree."""
    try:
        kind, shape, (a, b) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        _fail(path, f"{name} lacks its dtype, shape or offsets")
    if not isinstance(kind, str) or kind not in DTYPES:
        _fail(path, f"{name} is of the unknown type {kind!r}")
    if not all(type(i) is int and i >= 0 for i in (*shape, a, b)):
        _fail(path, f"{name} has the shape {list(shape)} and the offsets {[a, b]}, which are no whole numbers")
    if not a <= b <= size or b - a != math.prod(shape) * np.dtype(DTYPES[kind]).itemsize:
        _fail(path, f"{name} claims to hold {kind} of shape {list(shape)} in the bytes {a} to {b} of {size}")
    if len(shape) > MOST_AXES or math.prod(filter(None, shape)) > LARGEST:
        _fail(path, f"{name} has a shape that no array can have")
    return kind, shape, a, b


def _must_tile(path, claims, size):
    """Sorted by their offsets the tensors follow each other from the first byte to the last."""
    end = 0
    for name, (_, _, a, b) in sorted(claims.items(), key=lambda item: item[1][2:]):
        if a != end:
            _fail(path, f"{name} begins at byte {a}, but the tensor before it ends at {end}")
        end = b
    if end != size:
        _fail(path, f"its tensors end at byte {end} of {size}")


def _wide(kind):
    return np.dtype(np.float32) if kind == "BF16" else np.dtype(DTYPES[kind])


def _array(whole, kind, shape, a, b):
    numbers = whole[a:b].view(DTYPES[kind]).reshape(shape)
    return (numbers.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else numbers
