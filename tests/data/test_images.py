"""CIFAR-10, MNIST, pictures and what changes training batches: csc321 augment, and damaged files."""

import gzip
import hashlib
import io
import lzma
import os
import pickle
import struct
import sys
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from tinynet.data import cifar, images, mnist

rng = np.random.default_rng(0)
X = rng.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
y = np.arange(12) % 10


# %% Changes of training batches
@pytest.mark.parametrize("change", [images.pad_and_crop, images.flip, images.noise, images.cutout])
def test_a_change_keeps_shape_and_dtype_and_leaves_the_batch_as_it_was(change):
    batch = X.astype(np.float32)
    before = batch.copy()
    one, two = (change(batch, np.random.default_rng(seed)) for seed in (1, 1))
    assert (one.shape, one.dtype) == (batch.shape, np.float32)
    assert np.array_equal(one, two)
    assert np.array_equal(batch, before)
    assert not np.array_equal(one, batch)
    assert change(batch[:0], np.random.default_rng(1)).shape == (0, 3, 32, 32)


def test_a_crop_is_a_window_of_the_padded_image():
    padded = np.pad(X, [(0, 0), (0, 0), (4, 4), (4, 4)])
    for image, whole in zip(images.pad_and_crop(X, np.random.default_rng(2)), padded, strict=True):
        assert any(np.array_equal(image, whole[:, i:i + 32, j:j + 32]) for i in range(9) for j in range(9))


def test_about_half_of_the_images_are_mirrored_and_the_others_are_not():
    many = np.repeat(X[:1], 1000, axis=0)
    same = (images.flip(many, np.random.default_rng(0)) == many).all(axis=(1, 2, 3))
    assert 450 < same.sum() < 550


def test_cutout_takes_a_square_out_of_every_channel():
    hole = images.cutout(np.ones((50, 3, 32, 32)), np.random.default_rng(0), size=8) == 0
    assert (hole.all(axis=1) == hole.any(axis=1)).all()
    rows, columns = hole[:, 0].any(axis=2), hole[:, 0].any(axis=1)
    assert (hole[:, 0] == rows[:, :, None] & columns[:, None, :]).all()
    for side in (rows, columns):
        assert (abs(np.diff(side.astype(int), prepend=0, append=0)).sum(axis=1) == 2).all()         # in one piece
        assert side.sum(axis=1).min() >= 4                              # the centre lies inside the image
        assert side.sum(axis=1).max() == 8


def test_bytes_become_numbers_near_1():
    Z = images.normalised(X, cifar.MEAN, cifar.STD)
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z[0, 0, 0, 0], (X[0, 0, 0, 0] / 255 - 0.49140) / 0.24703, rtol=1e-5)


F = X.astype(np.float32)


@pytest.mark.parametrize("change", [images.pad_and_crop, images.flip, images.noise, images.cutout,
                                    lambda X, rng: images.normalised(X, cifar.MEAN, cifar.STD)])
def test_a_batch_of_another_layout_is_told(change):
    with pytest.raises(ValueError, match=r"looks like \(N, H, W, C\), but needs \(N, C, H, W\); turn it"):
        change(F.transpose(0, 2, 3, 1), np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"X has shape \(3, 32, 32\), but needs 4 axes \(N C H W\)"):
        change(F[0], np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(2, 64, 48, 1), (2, 32, 32, 4), (2, 8, 8, 3)])
def test_images_with_their_channels_last_are_told_of_every_size(shape):
    with pytest.raises(ValueError, match="looks like"):
        images.flip(np.zeros(shape, np.float32), np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(2, 16, 5, 1), (2, 2, 10, 3), (2, 64, 8, 4), (2, 3, 40, 3), (2, 1, 28, 28)])
def test_narrow_maps_are_taken(shape):
    assert images.flip(np.zeros(shape, np.float32), np.random.default_rng(0)).shape == shape


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int8, bool])
def test_whole_numbers_take_no_noise(dtype):
    with pytest.raises(TypeError, match=rf"noise: X holds {np.dtype(dtype)}, .* convert it to floating numbers near 1"):
        images.noise(X.astype(dtype), np.random.default_rng(0))


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_only_bytes_are_divided_by_255(dtype):
    with pytest.raises(TypeError, match=rf"normalised: X holds {np.dtype(dtype)}, but must hold uint8"):
        images.normalised(X.astype(dtype), cifar.MEAN, cifar.STD)


@pytest.mark.parametrize("pad", [-1, 1.5, (1, 2), True])
def test_a_pad_that_is_no_whole_number_is_told(pad):
    with pytest.raises(ValueError, match=r"pad_and_crop: pad is .*; give a whole number, 0 or more"):
        images.pad_and_crop(X, np.random.default_rng(0), pad)
    assert np.array_equal(images.pad_and_crop(X, np.random.default_rng(0), 0), X)


@pytest.mark.parametrize(("batch", "settings", "sentence"), [
    (X, dict(size=-2), "cutout: size is -2; give a whole number, 0 or more"),
    (X, dict(size=2.5), r"cutout: size is 2\.5; give a whole number"),
    (X, dict(value=300), "cutout: value is 300, but X holds uint8; give one number that uint8 can hold"),
    (X, dict(value=-1), "cutout: value is -1"),
    (X, dict(value=0.5), r"cutout: value is 0\.5, but X holds uint8"),
    (X, dict(value=float("nan")), "cutout: value is nan, but X holds uint8"),
    (F, dict(value=[1, 2, 3]), r"cutout: value is \[1, 2, 3\], but X holds float32; give one number"),
    (F, dict(value="grey"), "cutout: value is 'grey'"),
    (X[:, :, :0], {}, r"cutout: X \(N C H W\) = \(12, 3, 0, 32\) has no pixels; give images of 1 x 1 or more"),
])
def test_a_hole_that_cannot_be_is_told(batch, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        images.cutout(batch, np.random.default_rng(0), **settings)


@pytest.mark.parametrize(("batch", "value"), [(X, 255), (X, np.uint8(7)), (X, 128.0), (F, 0.5), (F, np.float32(0.1)),
                                              (F, -3), (F, X.mean())])
def test_a_hole_is_filled_with_any_number_of_the_batch(batch, value):
    out = images.cutout(batch, np.random.default_rng(0), size=80, value=value)
    assert out.dtype == batch.dtype
    assert (out == batch.dtype.type(value)).all()


def test_grey_images_have_no_mean_of_red():
    with pytest.raises(ValueError, match=r"normalised: .* C is 1 and 3; make them equal"):
        images.normalised(X[:, :1], cifar.MEAN, cifar.STD)


# %% CIFAR-10 in both forms
class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, which is how the published files hold them."""

    dispatch = dict(pickle._Pickler.dispatch)           # noqa: RUF012

    def save_bytes(self, data):
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(data)

    dispatch[bytes] = save_bytes


def batches(folder, monkeypatch):
    """The published form, of 12 images a part."""
    hashes = {}
    for name in cifar.BATCHES:
        file = io.BytesIO()
        Python2Pickler(file, protocol=2).dump({"data": X.reshape(12, 3072), "labels": y.tolist()})
        data = file.getvalue()
        data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")        # as it was called then
        (folder / name).write_bytes(data)
        hashes[name] = hashlib.sha256(data).hexdigest()
    monkeypatch.setattr(cifar, "BATCHES", hashes)


def arrays(folder):
    """The form of differences."""
    red, green, blue = (X[:, c].astype(int) for c in range(3))
    planes = np.stack([green, red - green, blue - green])
    planes = np.diff(np.diff(planes, axis=3, prepend=0), axis=2, prepend=0).astype(np.uint8)
    for part in cifar.PARTS:
        with lzma.open(folder / part, "wb") as file:
            np.save(file, planes)
    np.savez(folder / "labels.npz", **{part.partition(".")[0]: y.astype(np.uint8) for part in cifar.PARTS})


def rewritten(path, change):
    path.write_bytes(change(path.read_bytes()))


def with_labels(folder, labels):
    np.savez(folder / "labels.npz", **{part.partition(".")[0]: np.array(labels) for part in cifar.PARTS})


def in_the_middle(data):
    """One byte of the file is another."""
    return data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 255]) + data[len(data) // 2 + 1:]


@pytest.mark.parametrize("form", ["batches", "arrays"])
def test_both_forms_give_the_images(form, tmp_path, monkeypatch):
    batches(tmp_path, monkeypatch) if form == "batches" else arrays(tmp_path)
    data = cifar.cifar10(tmp_path)
    assert np.array_equal(data.X_train, np.concatenate([X] * 5))
    assert np.array_equal(data.X_test, X)
    assert np.array_equal(data.y_test, y)
    assert data.y_train.dtype == np.int64


def test_a_changed_batch_is_not_opened(tmp_path, monkeypatch):
    batches(tmp_path, monkeypatch)
    (tmp_path / "data_batch_3").write_bytes(b"cos\nsystem\n(S'echo opened'\ntR.")
    with pytest.raises(ValueError, match="data_batch_3 is not the published file"):
        cifar.cifar10(tmp_path)


@pytest.mark.parametrize("name", ["train_2.npy.xz", "labels.npz"])
@pytest.mark.parametrize("damage", [in_the_middle, lambda data: data[:-50], lambda data: b""])
def test_damaged_arrays_are_told(name, damage, tmp_path):
    arrays(tmp_path)
    np.savez_compressed(tmp_path / "labels.npz", **np.load(tmp_path / "labels.npz"))
    rewritten(tmp_path / name, damage)
    with pytest.raises(ValueError, match=rf"cifar10: .*{name} is damaged .*; copy it again from where it came, or get"):
        cifar.cifar10(tmp_path)


@pytest.mark.parametrize(("labels", "sentence"), [
    (y[:7], r"train_1\.npy\.xz holds images \(12, 3, 32, 32\), and labels\.npz has labels \(7,\) for them"),
    (y + 1, r"labels\.npz has labels from 1 to 10 for train_1\.npy\.xz, but the classes are 0 to 9"),
    (y - 1, "labels from -1 to 8"),
    (y + 0.5, r"labels\.npz has labels of float64 for train_1\.npy\.xz, but the classes are whole numbers; copy it"),
    (y.astype(str), r"labels\.npz has labels of <U21 for train_1\.npy\.xz"),
])
def test_labels_of_other_images_are_told(labels, sentence, tmp_path):
    arrays(tmp_path)
    with_labels(tmp_path, labels)
    with pytest.raises(ValueError, match=sentence):
        cifar.cifar10(tmp_path)


@pytest.mark.parametrize("planes", [np.full((3, 12, 32, 32), np.nan), np.zeros((3, 12, 32, 32), np.int64) + 1000])
def test_images_that_are_no_bytes_are_told(planes, tmp_path):
    arrays(tmp_path)
    with lzma.open(tmp_path / "train_3.npy.xz", "wb") as file:
        np.save(file, planes)
    with pytest.raises(ValueError, match=rf"train_3\.npy\.xz is damaged \(its planes are {planes.dtype}, not uint8\)"):
        cifar.cifar10(tmp_path)


def test_images_of_another_size_are_told(tmp_path):
    arrays(tmp_path)
    with lzma.open(tmp_path / "train_3.npy.xz", "wb") as file:
        np.save(file, np.zeros((3, 12, 28, 28), np.uint8))
    with pytest.raises(ValueError, match=r"train_3\.npy\.xz holds images \(12, 3, 28, 28\)"):
        cifar.cifar10(tmp_path)


def test_the_archive_is_downloaded_and_kept(tmp_path, monkeypatch):
    batches(tmp_path, monkeypatch)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name in cifar.BATCHES:
            tar.add(tmp_path / name, f"cifar-10-batches-py/{name}")
    fetched = []

    def download(who, address, hashes, source):
        fetched.append((who, address))
        return dict.fromkeys(hashes, archive.getvalue())

    monkeypatch.delenv("TINYNET_DATA", raising=False)
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar.files, "download", download)
    for _ in range(2):
        data = cifar.cifar10()
        assert np.array_equal(data.X_train, np.concatenate([X] * 5))
        assert np.array_equal(data.y_test, y)
    assert fetched == [("cifar10", cifar.ADDRESS)]


def test_a_folder_without_the_files_names_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cifar10: .* lacks data_batch_1, .*; get them from"):
        cifar.cifar10(tmp_path)
    arrays(tmp_path)
    (tmp_path / "train_5.npy.xz").unlink()
    with pytest.raises(FileNotFoundError, match=r"cifar10: .* lacks train_5\.npy\.xz; get them from"):
        cifar.cifar10(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"fashion_mnist: .* lacks train-images-idx3-ubyte\.gz"):
        mnist.fashion_mnist(tmp_path)


# %% IDX
def idx(array):
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("ending", [".gz", ""])
def test_idx_files_are_read_zipped_and_not(ending, tmp_path):
    for name in mnist.NAMES:
        data = idx(X[:, 0, :28, :28].copy() if "images" in name else y.astype(np.uint8))
        (tmp_path / f"{name}{ending}").write_bytes(gzip.compress(data) if ending else data)
    data = mnist.mnist(tmp_path)
    assert np.array_equal(data.X_train[:, 0], X[:, 0, :28, :28])
    assert np.array_equal(data.y_test, y)
    assert all(array.flags.writeable for array in data)
    for labels, sentence in ((y[:5], r"hold images \(12, 28, 28\) and labels \(5,\)"),
                             (y + 191, "hold a label 200, but the classes are 0 to 9")):
        (tmp_path / f"{mnist.NAMES[1]}{ending}").write_bytes(idx(labels.astype(np.uint8)))
        with pytest.raises(ValueError, match=sentence):
            mnist.mnist(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b broken", idx(X[:, 0])[:-1], b"\0\0\x0d\x03" + bytes(20)])
def test_another_or_cut_idx_file_is_told(data):
    with pytest.raises(ValueError, match="mnist: images is no whole IDX file of bytes"):
        mnist.read_idx(data, "mnist", "images")


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_the_other_sets_files_are_told(part, tmp_path, monkeypatch):
    for name in mnist.NAMES:
        labels = (y + name.startswith(part)) % 10
        (tmp_path / name).write_bytes(idx((X[:, 0, :28, :28] if "images" in name else labels).astype(np.uint8)))
    assert len(mnist.mnist(tmp_path).y_train) == len(mnist.fashion_mnist(tmp_path).y_train)     # labels nobody knows
    data = (tmp_path / f"{part}-labels-idx1-ubyte").read_bytes()
    monkeypatch.setitem(mnist.LABELLED, hashlib.sha256(data).hexdigest(), "fashion_mnist")
    with pytest.raises(ValueError, match=r"mnist: .* are those of fashion_mnist, .*, or call fashion_mnist\(\)"):
        mnist.mnist(tmp_path)
    assert len(mnist.fashion_mnist(tmp_path).y_train) == 12


@pytest.mark.skipif(not os.environ.get("TINYNET_DATA"), reason="needs the real files: set TINYNET_DATA")
@pytest.mark.parametrize(("load", "other"), [(mnist.mnist, "fashion_mnist"), (mnist.fashion_mnist, "mnist")])
def test_the_real_files_of_the_other_set_are_told(load, other):
    assert load().X_train.shape == (60000, 1, 28, 28)
    with pytest.raises(ValueError, match=f"are those of {other}, which have the same names"):
        load(Path(os.environ["TINYNET_DATA"], other))


def test_there_are_two_sets():
    with pytest.raises(ValueError, match="no images named 'letters'; choose one of mnist, fashion_mnist"):
        mnist.mnist(name="letters")


# %% Pictures
def test_pictures_of_the_readers_own(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.fromarray(X[0].transpose(1, 2, 0)).resize((48, 64)).save(tmp_path / name / "one.png")
    found, labels, classes = images.folder(tmp_path)
    assert (found.shape, found.dtype) == ((2, 3, 32, 32), np.uint8)
    assert (labels.tolist(), classes) == ([0, 1], ["cat", "dog"])
    one = images.photo(tmp_path / "cat" / "one.png")
    assert (one.shape, one.dtype) == ((1, 3, 224, 224), np.float32)
    (tmp_path / "cat" / "one.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"photo: .* can't be read as a picture"):
        images.photo(tmp_path / "cat" / "one.png")
    with pytest.raises(ValueError, match=r"folder: .* can't be read as a picture"):
        images.folder(tmp_path)
    (tmp_path / "cat" / "one.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"folder: .* has no pictures; put them into"):
        images.folder(tmp_path / "cat")
    with pytest.raises(ValueError, match="photo: size is 300 and shorter 256"):
        images.photo(tmp_path / "dog" / "one.png", size=300)


def save_picture(path):
    path.parent.mkdir(exist_ok=True)
    pytest.importorskip("PIL.Image").fromarray(X[0].transpose(1, 2, 0)).save(path)
    return path


def test_a_hidden_folder_is_no_class(tmp_path):
    for name in (".ipynb_checkpoints", "cat", "dog"):
        save_picture(tmp_path / name / "one.png")
    _, labels, classes = images.folder(tmp_path)
    assert (labels.tolist(), classes) == ([0, 1], ["cat", "dog"])


def test_an_empty_class_is_told(tmp_path):
    save_picture(tmp_path / "cat" / "one.png")
    for name in ("dog", "emu"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=r"folder: .* has no pictures of dog, emu; put some into each"):
        images.folder(tmp_path)


def test_pictures_beside_the_classes_are_told(tmp_path):
    for name in ("cat/one.png", "two.png", "three.png"):
        save_picture(tmp_path / name)
    with pytest.raises(ValueError, match=r"folders of classes \(cat\) and pictures beside them, of which the first is "
                                         r"three\.png; move these 2 to their classes or elsewhere"):
        images.folder(tmp_path)


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "one.png").touch()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match=r'photo: .* by Pillow, .* run pip install "tinynet\[pictures\]"'):
        images.photo(tmp_path / "one.png")
    with pytest.raises(ModuleNotFoundError, match="folder: pictures are read by Pillow"):
        images.folder(tmp_path)


def test_a_picture_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"photo: there is no file .*nowhere\.png; give the path of a picture"):
        images.photo(tmp_path / "nowhere.png")


@pytest.mark.parametrize("length", [-1, 0, 1.5, True])
def test_a_length_that_is_no_whole_number_is_told(length, tmp_path):
    path = save_picture(tmp_path / "one.png")
    for call, sentence in ((lambda: images.photo(path, size=length), "photo: size is "),
                           (lambda: images.photo(path, shorter=length), "photo: shorter is "),
                           (lambda: images.folder(tmp_path, size=length), "folder: size is ")):
        with pytest.raises(ValueError, match=f"{sentence}{length}; give a whole number, 1 or more"):
            call()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *chunks):
    """The beginning of a PNG of grey pixels."""
    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks)


@pytest.mark.parametrize("data", [
    png(30_000, 30_000, chunk(b"IDAT", b"")),                                   # Pillow's DecompressionBombError
    png(9, 9, chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(1 << 21)))),      # its ValueError: too large a text
], ids=["pixels", "text"])
def test_whatever_pillow_raises_is_told_in_one_sentence(data, tmp_path):
    pytest.importorskip("PIL.Image")
    (tmp_path / "one.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"photo: .*one\.png can't be read as a picture \(.*\); give e\.g\. a JPEG"):
        images.photo(tmp_path / "one.png")


@pytest.mark.parametrize("shape", [(1, 60_000), (100, 1)])
def test_a_strip_is_told(shape, tmp_path):
    Image = pytest.importorskip("PIL.Image")
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "strip.png")
    with pytest.raises(ValueError, match=rf"photo: .*strip\.png is a strip of {shape[1]} x {shape[0]} pixels; give a "
                                         "picture whose longer side is less than 100 times the shorter"):
        images.photo(tmp_path / "strip.png")
    Image.fromarray(np.zeros((2, 199), np.uint8)).save(tmp_path / "strip.png")
    assert images.folder(tmp_path, size=2)[0].shape == (1, 3, 2, 2)


def test_a_folder_without_classes_has_no_labels(tmp_path):
    save_picture(tmp_path / "one.png")
    (tmp_path / "notes").mkdir()
    found, labels, classes = images.folder(tmp_path)
    assert np.array_equal(found, X[:1])
    assert (labels, classes) == (None, [])


def test_a_picture_is_cut_where_torchvision_cuts_it(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    columns = np.arange(50, dtype=np.uint8)                             # 50 x 30 becomes 35 x 21, so 7 are left of 21
    Image.fromarray(np.repeat(columns[None], 30, axis=0)).save(tmp_path / "one.png")
    wide = np.asarray(Image.open(tmp_path / "one.png").convert("RGB").resize((35, 21), Image.Resampling.BILINEAR))
    found, *_ = images.folder(tmp_path, size=21)
    assert np.array_equal(found[0], wide[:, 7:28].transpose(2, 0, 1))
    Image.fromarray(np.repeat(columns[None], 31, axis=0)).save(tmp_path / "one.png")
    wide = np.asarray(Image.open(tmp_path / "one.png").convert("RGB").resize((33, 21), Image.Resampling.BILINEAR))
    found, *_ = images.folder(tmp_path, size=21)                        # 50 * 21 / 31 = 33.9 is cut to 33
    assert np.array_equal(found[0], wide[:, 6:27].transpose(2, 0, 1))


def test_doubled_images_are_those_of_pytorchs_bilinear_interpolation():
    torch = pytest.importorskip("torch")
    X = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    theirs = torch.nn.functional.interpolate(torch.from_numpy(X), scale_factor=2, mode="bilinear").numpy()
    np.testing.assert_allclose(images.doubled(X), theirs, atol=1e-12)
    assert images.doubled(X.astype(np.float32)).dtype == np.float32
