"""Flickr8k: 8,000 photographs of 56 x 56 pixels with five captions each.

The pictures are stored as quantised 8 x 8 blocks of a discrete cosine transform, as in a JPEG, with all three channels
at full resolution; NumPy decodes them.
Hodosh, Young and Hockenmaier 2013, JAIR 47.  For research and teaching, not for sale.
"""

import gzip
import io
import lzma
from typing import NamedTuple

import numpy as np

from tinynet.data import files

PARTS = ("train", "dev", "test")
SOURCE = "the corpus (Hodosh et al. 2013), averaged to 56 x 56 and stored as this file's docstring says"
SHA256 = {
    "train.npy.xz": "e31bcc07bb790197a54dcd6651d88d03eca5ff8e74c2492ed3434a39a66358fb",
    "dev.npy.xz": "20b439a53c34f741d92894cb4a6d549c527e4f758a60fa2275fc86fe7b79fb65",
    "test.npy.xz": "a637a436942a8f11c502e847b8d5ba5228472c2fd6c4bcf9fbe3cf5537fa27f6",
    "meta.npz": "da8e5cd988b83b9ac2614bc4f7bf3523b4610bcdb343fb0fb08f61916dcf1691",
    "Flickr8k.token.txt.gz": "57f28768b644fe7dc7a3324e3441ac5d8628d44431b6da60b0f165063e01d018",
}


class Captioned(NamedTuple):
    """N pictures: images (N, 3, 56, 56) uint8, captions N lists of five strings, names of the photographs."""

    images: np.ndarray
    captions: list
    names: list


def flickr8k(part="train", root=None):
    """The 6,000 pictures of "train", the 1,000 of "dev" or the 1,000 of "test".

    They are read from the folder `root`, else from $TINYNET_DATA (or flickr8k/ in it); decoded once, they are kept in
    the user's cache.  Raises ValueError for another part and for a file that isn't the right one, FileNotFoundError
    naming the files that are missing.
    """
    if part not in PARTS:
        raise ValueError(f"flickr8k: there is no part {part!r}; choose one of {', '.join(PARTS)}")
    hashes = {name: SHA256[name] for name in (f"{part}.npy.xz", "meta.npz", "Flickr8k.token.txt.gz")}
    folder = files.find_folder("flickr8k", hashes, "flickr8k", root, SOURCE)
    if folder is None:
        raise FileNotFoundError(f"flickr8k: no folder is given; name the one with {', '.join(hashes)} by root=... or "
                                "TINYNET_DATA")
    raw = files.published("flickr8k", folder, hashes, SOURCE)
    meta = np.load(io.BytesIO(raw["meta.npz"]))
    coefficients = np.load(io.BytesIO(lzma.decompress(raw[f"{part}.npy.xz"])))
    images = files.kept(f"flickr8k_{part}", hashes, LAYOUT,
                        lambda: {"images": _decoded(coefficients, meta["Q"])})["images"]
    names = meta[part].tolist()
    spoken = _captions(gzip.decompress(raw["Flickr8k.token.txt.gz"]).decode("utf-8"))
    return Captioned(images, [spoken[name] for name in names], names)


LAYOUT = 1      # raise it when _decoded changes, so that what older versions kept isn't believed


def _decoded(coefficients, Q, at_once=500):
    """uint8 (N, 3, 56, 56) from int8 (3, 8, 8, N, 7, 7): the inverse cosine transform, then colours from YCbCr."""
    k = np.arange(8)
    t = 0.5 * np.cos((2 * k[None] + 1) * k[:, None] * np.pi / 16)
    t[0] /= np.sqrt(2)
    t, images = t.astype(np.float32), np.empty((coefficients.shape[3], 3, 56, 56), np.uint8)
    for n in range(0, len(images), at_once):
        z = coefficients[:, :, :, n:n + at_once].transpose(3, 0, 4, 5, 1, 2)
        blocks = t.T @ (z * Q[None, :, None, None]).astype(np.float32) @ t
        y, cb, cr = blocks.transpose(1, 0, 2, 4, 3, 5).reshape(3, -1, 56, 56)
        y = y + 128
        rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=1)
        images[n:n + at_once] = np.clip(np.rint(rgb), 0, 255)
    return images


def _captions(text):
    """{name: [caption, ...]} of lines "NAME.jpg#0<TAB>caption"."""
    found = {}
    for line in text.splitlines():
        key, _, caption = line.partition("\t")
        found.setdefault(key.partition("#")[0], []).append(caption.strip())
    return found


def caption_words(caption):
    """Lower-cased words without punctuation: the form in which captions are learnt and measured."""
    return "".join(c if (c.isascii() and c.isalnum()) or c == "'" else " " for c in caption.lower()).split()
