"""Batches of images that are changed a little each time they are seen, and pictures of the reader's own.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.zeros((4, 3, 32, 32), np.float32)
    >>> flip(pad_and_crop(X, rng), rng).shape
    (4, 3, 32, 32)

Each function takes a batch X (N, C, H, W) and a generator and returns another batch of the same shape and dtype; X
stays as it is.  They are for training batches alone (csc321 augment): an image of the validation or test set that is
changed is no longer the one whose class is asked for, and its error no longer comparable from run to run.
All but `doubled` raise ShapeError for a batch that looks like (N, H, W, C): its last axis has 1, 3 or 4 entries, and
the two before it are H and W of a usual image, 8 or more and neither more than twice the other.  A shape can't say
more: smaller or longer images of that layout aren't noticed, and 16 channels of 16 x 3 pixels are taken for it.
"""

from numbers import Real
from pathlib import Path

import numpy as np

from tinynet.shapes import ShapeError, block_name, must_be_whole, sizes


def _must_be_images(X):
    """N, C, H, W of a batch; raises ShapeError where it has other axes, e.g. red, green and blue last."""
    N, C, H, W = sizes("X: N C H W", X)
    shorter, longer = sorted((C, H))
    if W in (1, 3, 4) and shorter >= 8 and longer <= 2 * shorter:
        raise ShapeError(f"{block_name()}: X has shape {X.shape} and looks like (N, H, W, C), but needs (N, C, H, W); "
                         "turn it by X.transpose(0, 3, 1, 2)")
    return N, C, H, W


# %% For training batches
def pad_and_crop(X, rng, pad=4):
    """Each image moved by up to `pad` pixels each way, with 0 where nothing comes in.  He et al. 2016, section 4.2."""
    N, C, H, W = _must_be_images(X)
    must_be_whole("pad_and_crop", "pad", pad, 0)
    padded = np.zeros((N, C, H + 2 * pad, W + 2 * pad), X.dtype)
    padded[:, :, pad:pad + H, pad:pad + W] = X
    tops, lefts = rng.integers(0, 2 * pad + 1, (2, N))
    return np.stack([padded[n, :, i:i + H, j:j + W] for n, (i, j) in enumerate(zip(tops, lefts, strict=True))]) \
        if N else X.copy()


def flip(X, rng):
    """Each image with probability 1/2 seen in a mirror (left and right change places)."""
    _must_be_images(X)
    mirrored = rng.random(len(X)) < 0.5
    return np.where(mirrored[:, None, None, None], X[..., ::-1], X)


def noise(X, rng, sigma=0.1):
    """Normal noise of standard deviation sigma on every number; raises TypeError for bytes and other whole numbers."""
    _must_be_images(X)
    if X.dtype.kind != "f":
        raise TypeError(f"noise: X holds {X.dtype}, which would cut the noise off to whole numbers; convert it to "
                        "floating numbers near 1 first, e.g. (X / 255).astype(np.float32)")
    return (X + sigma * rng.standard_normal(X.shape)).astype(X.dtype)


def cutout(X, rng, size=8, value=0):
    """A square of `size` pixels with its centre anywhere becomes `value`.

    DeVries and Taylor 2017, arXiv:1708.04552.
    """
    N, _, H, W = _must_be_images(X)
    must_be_whole("cutout", "size", size, 0)
    _must_fit(value, X.dtype)
    if 0 in (H, W):
        raise ShapeError(f"cutout: X (N C H W) = {X.shape} has no pixels; give images of 1 x 1 or more")
    rows, columns = np.arange(H), np.arange(W)
    centre = rng.integers(0, (H, W), (N, 2))
    out = [(axis >= c[:, None] - size // 2) & (axis < c[:, None] - size // 2 + size)
           for axis, c in zip((rows, columns), centre.T, strict=True)]
    return np.where((out[0][:, :, None] & out[1][:, None, :])[:, None], X.dtype.type(value), X)


def _must_fit(value, dtype):
    """Raises ValueError unless `value` is one number that an array of this dtype can hold."""
    fits = isinstance(value, Real)
    if fits and dtype.kind in "iu":
        fits = np.iinfo(dtype).min <= value <= np.iinfo(dtype).max and value % 1 == 0
    if not fits:
        raise ValueError(f"cutout: value is {value!r}, but X holds {dtype}; give one number that {dtype} can hold")


def normalised(X, mean, std):
    """Bytes (N, C, H, W) of 0 to 255 as float32 with each channel's mean and standard deviation (of 1) taken out.

    Raises ShapeError unless there are a mean and a deviation for each channel, TypeError unless X holds bytes.
    """
    _must_be_images(X)
    if X.dtype != np.uint8:
        raise TypeError(f"normalised: X holds {X.dtype}, but must hold uint8, bytes of 0 to 255, which are divided by "
                        "255; give the images as they were read")
    mean, std = (np.asarray(a, np.float32) for a in (mean, std))
    sizes("X: N C H W, mean: C, std: C", X, mean, std)
    return (X.astype(np.float32) / 255 - mean[:, None, None]) / std[:, None, None]


# %% For nets that were trained on larger pictures
def doubled(X):
    """X (N, C, H, W) with twice as many rows and columns, each between its two neighbours (bilinear).

    >>> doubled(np.array([[[[0.0, 4.0]]]]))[0, 0, 0]
    array([0., 1., 3., 4.])
    """
    sizes("X: N C H W", X)
    for axis in (2, 3):
        n, last = np.arange(X.shape[axis]), X.shape[axis] - 1
        before, after = (X.take(i, axis) for i in (np.maximum(n - 1, 0), np.minimum(n + 1, last)))
        pairs = np.stack([0.75 * X + 0.25 * before, 0.75 * X + 0.25 * after], axis=axis + 1)
        X = pairs.reshape(*X.shape[:axis], 2 * len(n), *X.shape[axis + 1:])
    return X


# %% The reader's own pictures
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)         # mean and deviation of red, green and blue, of 1
SUFFIXES = ".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"
LONGEST = 100           # times the shorter side: a longer strip, its shorter side scaled up, would fill the memory


def photo(path, size=224, shorter=256):
    """One picture as (1, 3, size, size) float32, prepared as torchvision does for its nets: the shorter side scaled to
    `shorter`, the middle cut out, IMAGENET's mean and deviation taken out.

    Raises ModuleNotFoundError without Pillow, FileNotFoundError where there is no file, ValueError for a file that
    isn't a picture, for a strip (one side LONGEST times the other or more), and for a size that is larger than
    `shorter` or no whole number.
    """
    return normalised(_pixels(path, size, shorter)[None], *IMAGENET)


def folder(path, size=32):
    """(images (N, 3, size, size) bytes, labels (N), names of the classes): a folder with one folder a class, or with
    the pictures themselves; then labels is None and there are no names.

    The shorter side of each picture is scaled to `size` and the middle cut out.  Hidden folders are passed over.
    Raises FileNotFoundError where there is no folder or no picture, ValueError where the folder of a class is empty or
    pictures lie beside the folders, and what `photo` raises.
    """
    files, beside = _by_class(Path(path)), _pictures(Path(path))
    if not beside and not any(files.values()):
        raise FileNotFoundError(f"folder: {path} has no pictures; put them into {Path(path, 'CLASS', 'NAME.png')}, or "
                                f"into {Path(path, 'NAME.png')} where they have no classes")
    if not any(files.values()):
        return np.stack([_pixels(file, size, size) for file in beside]), None, []
    if beside:
        raise ValueError(f"folder: {path} has folders of classes ({', '.join(files)}) and pictures beside them, of "
                         f"which the first is {beside[0].name}; move these {len(beside)} to their classes or elsewhere")
    if empty := [name for name, found in files.items() if not found]:
        raise ValueError(f"folder: {path} has no pictures of {', '.join(empty)}; put some into each folder of a class, "
                         "or remove the folders that are none")
    labels = np.repeat(np.arange(len(files)), [len(found) for found in files.values()])
    return np.stack([_pixels(file, size, size) for found in files.values() for file in found]), labels, list(files)


def _by_class(path):
    """{name of a folder in `path`: the pictures in it}, without hidden folders such as .ipynb_checkpoints."""
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")) if path.is_dir() else []
    return {folder.name: _pictures(folder) for folder in folders}


def _pictures(path):
    return sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else []


def _pixels(path, size, shorter):
    """The middle of a picture as bytes (3, size, size); lengths are rounded as torchvision rounds them."""
    for name, length in (("size", size), ("shorter", shorter)):
        must_be_whole(block_name(), name, length)
    if size > shorter:
        raise ValueError(f"{block_name()}: size is {size} and shorter {shorter}; the middle of a picture can't be "
                         "larger than the picture, so give a size up to shorter")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{block_name()}: there is no file {path}; give the path of a picture")
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"{block_name()}: pictures are read by Pillow, which is not installed here; run "
                                  'pip install "tinynet[pictures]"') from None
    try:
        with Image.open(path) as picture:
            picture = picture.convert("RGB")
    except Exception as error:              # what damaged bytes can raise has no end
        raise ValueError(f"{block_name()}: {path} can't be read as a picture ({error}); give e.g. a JPEG or "
                         "PNG") from error
    if max(picture.size) >= LONGEST * min(picture.size):
        raise ValueError(f"{block_name()}: {path} is a strip of {picture.width} x {picture.height} pixels; give a "
                         f"picture whose longer side is less than {LONGEST} times the shorter")
    scaled = [shorter * n // min(picture.size) for n in picture.size]
    picture = picture.resize(scaled, Image.Resampling.BILINEAR)
    left, top = (round((n - size) / 2) for n in picture.size)
    return np.asarray(picture.crop((left, top, left + size, top + size))).transpose(2, 0, 1)
