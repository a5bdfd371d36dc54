"""State dicts of PyTorch (.pt, .pth), read and written without PyTorch; nothing that stands in a file is run.

Since version 1.6 such a file is a zip: `data.pkl` says which tensors there are, `data/0`, `data/1`, ... hold their
numbers.  Before, it was five pickles (a mark, a version, the machine, the state dict, the numbers' keys) and behind
them, for each key, how many numbers there are and the numbers.  The pickles may name what a state dict needs and
nothing else; a tensor is rebuilt here, from bytes that are checked.
"""

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np

STORAGES = dict(DoubleStorage="<f8", FloatStorage="<f4", HalfStorage="<f2", BFloat16Storage="<u2", LongStorage="<i8",
                IntStorage="<i4", ShortStorage="<i2", CharStorage="i1", ByteStorage="u1", BoolStorage="?")

MARK = 0x1950a86a20f9469cfc6c       # with which old files begin


class PyTorchError(ValueError):
    """A file that isn't a state dict, or that names what a state dict doesn't need."""


def load(path):
    """{name: array} of a state dict, nested dictionaries joined by dots; what isn't a tensor is left out.

    Raises PyTorchError, having run nothing, for a file that is damaged, names anything but tensors and dictionaries or
    claims more than it holds; FileNotFoundError where there is none.
    """
    try:
        if _is_pickle(path):
            found = _old(path)
        else:
            with zipfile.ZipFile(path) as archive:
                found = _zipped(path, archive)
    except PyTorchError:
        raise
    except (OSError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise
        what = "a folder" if Path(path).is_dir() else "no zip file but damaged"
        raise PyTorchError(f"state dict {path}: it is {what}; name a file that torch.save wrote") from error
    except Exception as error:      # what damaged pickles raise is any of a dozen kinds
        why = " ".join(str(error).split()) or type(error).__name__
        raise PyTorchError(f"state dict {path}: it can't be read and was not run: {why}; save the state dict alone, by "
                           "torch.save(net.state_dict(), path)") from error
    return dict(_flat("", found))


def _is_pickle(path):
    with open(path, "rb") as file:
        return file.read(1) == b"\x80"


def _zipped(path, archive):
    place = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
    if place is None:
        raise PyTorchError(f"state dict {path}: there is no data.pkl in it; save it by torch.save")
    return _InZip(archive, place).load()


def _old(path):
    """The state dict of a file from before version 1.6: its tensors are made first, then filled."""
    with open(path, "rb") as file:
        if _Admitting(file).load() != MARK or _Admitting(file).load() != 1001:
            raise PyTorchError(f"state dict {path}: it is a pickle, but none of torch.save's; save the state dict "
                               "alone, by torch.save(net.state_dict(), path)")
        _Admitting(file).load()                             # of the machine that wrote it
        reader = _Inline(file, Path(path).stat().st_size)
        found, keys = reader.load(), _Admitting(file).load()
        if sorted(keys) != sorted(reader.storages):
            raise pickle.UnpicklingError("its numbers belong to other tensors")
        for key in keys:
            numbers = reader.storages[key]
            count = int.from_bytes(file.read(8), "little")
            if count != numbers.size or file.readinto(numbers) != numbers.nbytes:
                raise pickle.UnpicklingError(f"the numbers of {key} are cut short: {numbers.size} were claimed")
    return found


def _flat(prefix, thing):
    if isinstance(thing, np.ndarray):
        yield prefix, thing.copy()
    elif isinstance(thing, dict):
        for name, part in thing.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), part)


# %% Writing
def save(path, arrays):
    """Write {name: array} as torch.save writes a state dict.

    Raises PyTorchError for numbers of a kind that PyTorch has not.
    """
    kinds = {np.dtype(form): name for name, form in STORAGES.items() if name != "BFloat16Storage"}
    text = [b"\x80\x02ccollections\nOrderedDict\n)R("]      # protocol 2, an empty OrderedDict, and what it is to hold
    blobs = []
    for name, array in arrays.items():
        array = np.asarray(array, order="C")
        if array.dtype not in kinds:
            raise PyTorchError(f"state dict {path}: {name} holds {array.dtype}, which PyTorch has not; convert it to "
                               "floating or whole numbers")
        text.append(_text(name) + _rebuild(kinds[array.dtype], len(blobs), array))
        blobs.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    text.append(b"u.")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", b"".join(text))
        archive.writestr("archive/byteorder", "little")
        for key, blob in enumerate(blobs):
            archive.writestr(f"archive/data/{key}", blob)
        archive.writestr("archive/version", "3\n")


def _rebuild(storage, key, array):
    """Pickle's words for _rebuild_tensor_v2(storage number `key`, 0, shape, strides, False, OrderedDict())."""
    persistent = (_text("storage") + b"ctorch\n" + storage.encode() + b"\n" + _text(str(key)) + _text("cpu")
                  + _number(array.size))
    strides = [stride // array.itemsize for stride in array.strides] if array.size else [1] * array.ndim
    return (b"ctorch._utils\n_rebuild_tensor_v2\n((" + persistent + b"tQ" + _number(0) + _numbers(array.shape)
            + _numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR")


def _text(text):
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _number(n):
    """In 8 bytes, the longest that a count of numbers takes."""
    return b"\x8a\x08" + struct.pack("<q", n)


def _numbers(several):
    return b"(" + b"".join(map(_number, several)) + b"t"


# %% Reading
class _Storage:
    """The class that a pickle names for its numbers: only its name counts."""

    def __init__(self, form):
        self.form = form


class _Admitting(pickle.Unpickler):
    """Refuses every name that a state dict doesn't need."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in (("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_parameter")):
            return _rebuilt if name == "_rebuild_tensor_v2" else lambda tensor, *_: tensor
        if module in ("torch", "torch.storage") and name in STORAGES:
            return _Storage(STORAGES[name])
        raise pickle.UnpicklingError(f"it names {module}.{name}, which a state dict doesn't need")

    def persistent_load(self, saved):
        """The numbers of one storage: ("storage", class, key, device, count), and in old files None."""
        kind, storage, key, _, count, *part = saved
        if kind != "storage" or not isinstance(storage, _Storage) or not str(key).isdigit() or part not in ([], [None]):
            raise pickle.UnpicklingError("it refers to something else than numbers")
        return self.numbers(storage.form, str(key), count)

    def numbers(self, form, key, count):
        raise pickle.UnpicklingError("it has numbers where there should be none")


class _InZip(_Admitting):
    def __init__(self, archive, place):
        super().__init__(io.BytesIO(archive.read(place)))
        self.archive, self.folder = archive, place.removesuffix("data.pkl")

    def numbers(self, form, key, count):
        info = self.archive.getinfo(f"{self.folder}data/{key}")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != count * np.dtype(form).itemsize:
            raise pickle.UnpicklingError(f"data/{key} claims {count} numbers in {info.file_size} bytes")
        numbers = np.frombuffer(self.archive.read(info), form)
        return (numbers.astype(np.uint32) << 16).view(np.float32) if form == "<u2" else numbers


class _Inline(_Admitting):
    """Of an old file: `storages` are made for as many numbers as are claimed, and filled when they are reached."""

    def __init__(self, file, size):
        super().__init__(file)
        self.left, self.storages = size, {}

    def numbers(self, form, key, count):
        if form == "<u2":
            raise pickle.UnpicklingError("it holds bfloat16, which this old form isn't read with")
        if key not in self.storages:
            if type(count) is not int or not 0 <= count * np.dtype(form).itemsize <= self.left:
                raise pickle.UnpicklingError(f"{key} claims {count} numbers, more than the file holds")
            self.storages[key] = np.zeros(count, form)
            self.left -= self.storages[key].nbytes
        return self.storages[key]


def _rebuilt(storage, first, shape, strides, *_):
    """The tensor that looks at its storage from `first` on; raises UnpicklingError where it would look beyond it."""
    whole = (first, *shape, *strides)
    if len(shape) != len(strides) or not all(type(i) is int and i >= 0 for i in whole):
        raise pickle.UnpicklingError(f"a tensor has the shape {shape} and the strides {strides}")
    if 0 in shape:
        return np.zeros(shape, storage.dtype)
    last = first + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if last >= storage.size:
        raise pickle.UnpicklingError(f"a tensor of shape {shape} looks at number {last} of {storage.size}")
    if math.prod(shape) > storage.size:     # with a stride of 0 a few bytes could claim all the memory there is
        raise pickle.UnpicklingError(f"a tensor of shape {shape} repeats the {storage.size} numbers that it has")
    return np.lib.stride_tricks.as_strided(storage[first:], shape, [s * storage.itemsize for s in strides])
