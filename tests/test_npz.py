import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from tinynet import npz
from tinynet.npz import CheckpointError

NOTES = {"format": npz.FORMAT, "epoch": 3}


def npy(array=None, header=None):
    """The bytes of an .npy file; `header` replaces what it says of itself."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.zeros(3) if array is None else array)
    if header is None:
        return file.getvalue()
    text = (header + "\n").encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(24)


def make_zip(path, entries, compression=zipfile.ZIP_STORED, notes=NOTES):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(npz.NOTES, json.dumps(notes))
        for name, content in entries:
            archive.writestr(name, content)
    return path


def claim(shape, descr="<f8"):
    return npy(header=repr({"descr": descr, "fortran_order": False, "shape": shape}))


def test_what_is_saved_comes_back_bitwise(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b.0": np.array(1.5), "none": np.zeros((0, 2)),
              "int": np.arange(3), "nan": np.array([np.nan, -0.0, np.inf])}
    notes = {"epoch": 2, "loss": [0.1, float("inf")], "rng": np.random.default_rng(0).bit_generator.state}
    npz.save(tmp_path / "run.npz", arrays, notes)
    found, back = npz.load(tmp_path / "run.npz")
    assert back == {"format": npz.FORMAT, **notes}
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    with np.load(tmp_path / "run.npz") as same:
        np.testing.assert_array_equal(same["a"], arrays["a"])
    assert os.listdir(tmp_path) == ["run.npz"]


@pytest.mark.parametrize("kind", ["PCG64", "MT19937", "Philox", "SFC64", "PCG64DXSM"])
def test_the_state_of_every_kind_of_generator_survives(tmp_path, kind):
    rng, other = (np.random.Generator(getattr(np.random, kind)(seed)) for seed in (1, 2))
    rng.random(5)
    npz.save(tmp_path / "run.npz", {}, {"rng": rng.bit_generator.state})
    other.bit_generator.state = npz.load(tmp_path / "run.npz")[1]["rng"]
    assert rng.random(4).tolist() == other.random(4).tolist()


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    npz.save(path, {"a": np.ones(2)}, {})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        npz.save(path, {"a": np.zeros(2)}, {})
    assert npz.load(path)[0]["a"].tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["run.npz"]


def test_an_unwritable_place_is_told_before_work(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "run.npz", tmp_path):
        with pytest.raises(CheckpointError, match=r"it can't be written \(.*; choose a file"):
            npz.prepare(path)
    npz.prepare(tmp_path / "new" / "run.npz")
    assert os.listdir(tmp_path / "new") == []


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    npz.save(path, {"a": np.arange(20.0), "b": np.ones((2, 2))}, {"epoch": 1})
    whole = path.read_bytes()
    for length in range(0, len(whole), 23):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="truncated, damaged or no file of tinynet's"):
            npz.load(path)


def test_a_flipped_bit_never_goes_unseen_in_an_array(tmp_path):
    path = tmp_path / "run.npz"
    npz.save(path, {"a": np.arange(20.0)}, {})
    whole = path.read_bytes()
    place = whole.index(np.arange(20.0).tobytes()) + 50
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
    with pytest.raises(CheckpointError, match="damaged"):
        npz.load(path)


class _Bomb:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


HOSTILE = {
    "pickled array": [("a.npy", npy(np.array([_Bomb()], object)))],
    "pickle bytes": [("a.npy", pickle.dumps(_Bomb()))],
    "structured": [("a.npy", npy(np.zeros(3, [("x", "f8")])))],
    "strings": [("a.npy", npy(np.array(["abc"])))],
    "10^12 entries": [("a.npy", claim((10 ** 12,)))],
    "huge product": [("a.npy", claim((2 ** 32, 2 ** 32)))],
    "negative": [("a.npy", claim((-3, -1)))],
    "no tuple": [("a.npy", claim("3"))],
    "huge entry type": [("a.npy", claim((0,), "V2000000000"))],
    "longer than its claim": [("a.npy", claim((2,)))],
    "deep header": [("a.npy", npy(header="(" * 5000))],
    "code in the header": [("a.npy", npy(header="__import__('os').mkdir('executed')"))],
    "version 9": [("a.npy", b"\x93NUMPY\x09\x00" + bytes(40))],
    "no array": [("../../a.txt", b"text")],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_entries_are_refused_without_running_or_taking_anything(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = make_zip(tmp_path / "run.npz", HOSTILE[kind])
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="truncated, damaged or no file of tinynet's"):
        npz.load(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    assert not (tmp_path / "executed").exists()


def refused(path):
    with pytest.raises(CheckpointError) as caught:
        npz.load(path)
    return str(caught.value)


def test_bombs_duplicates_and_lies_of_the_zip_itself(tmp_path):
    path = tmp_path / "run.npz"
    make_zip(path, [("a.npy", npy(np.zeros(10 ** 6)))], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    assert "its entries are compressed" in refused(path)
    with pytest.warns(UserWarning, match="Duplicate name"):
        make_zip(path, [("a.npy", npy()), ("a.npy", npy())])
    assert "an entry is there twice" in refused(path)
    make_zip(path, [("a.npy", npy())])
    whole = path.read_bytes()
    size = struct.pack("<L", len(npy()))
    path.write_bytes(whole.replace(size, struct.pack("<L", 2 ** 31)))      # every header claims 2 GB
    assert "claim more than the file's" in refused(path)
    directory = whole.rindex(b"PK\x05\x06") + 12
    path.write_bytes(whole[:directory] + struct.pack("<L", 2 ** 32 - 2) + whole[directory + 4:])
    assert "truncated, damaged" in refused(path)


def test_huge_parts_of_a_file_with_holes_are_not_read(tmp_path):
    path = make_zip(tmp_path / "run.npz", [("a.npy", npy())])
    end = path.read_bytes()[-22:]
    directory = 2 ** 30
    with open(path, "r+b") as file:                 # a gigabyte of nothing that the zip calls its directory
        file.truncate(directory)
        file.seek(directory)
        file.write(end[:12] + struct.pack("<LL", directory, 0) + end[20:])
    tracemalloc.start()
    assert "a part that should be small claims to be huge" in refused(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_an_array_larger_than_what_is_read_at_once_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "AT_ONCE", 2 ** 19)
    array = np.arange(2 ** 18, dtype=np.float64)
    npz.save(tmp_path / "run.npz", {"a": array}, {})
    np.testing.assert_array_equal(npz.load(tmp_path / "run.npz")[0]["a"], array)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "run.npz"
    np.savez(path, a=np.ones(3))
    assert "there is no tinynet.json in it" in refused(path)
    make_zip(path, [], notes=["something", "else"])
    assert "its notes don't say 'tinynet checkpoint 1'" in refused(path)
    path.write_bytes(pickle.dumps(_Bomb()))
    assert "no file of tinynet's" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(npz.NOTES, "[" * 100_000)
    assert "no file of tinynet's" in refused(path)
    path.unlink()
    assert "can't be read (No such file" in refused(path)
