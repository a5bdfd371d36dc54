"""Multi30k: 29,000 captions of pictures in English, with their translations into German and French.

Elliott et al. 2016, arXiv:1605.00459, and 2017, arXiv:1710.07177.  For research and teaching, not for sale.
"""

import gzip
from typing import NamedTuple

from tinynet.data import files
from tinynet.data.text import words

SOURCE = "https://github.com/multi30k/dataset, folder data/task1/raw"
PARTS = ("train", "val", "test_2016_flickr", "test_2017_flickr")
LANGUAGES = ("en", "de", "fr")
LINES = dict(train=29000, val=1014, test_2016_flickr=1000, test_2017_flickr=1000)
SHA256 = dict(zip([f"{part}.{language}.gz" for part in PARTS for language in LANGUAGES], (
    "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
    "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
    "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
    "76a444ee25172e72695cddb13ae4a3bda59430617be88e0bb46b60504f054074",
    "a2c89666db00c495cd8513b9d708d5a3acc205d7de312ef2bf5fb7ebc1540aee",
    "3ba671ceb2299f3304ffafefea7a833d08632fbaf0ba18546f8a2ec2391af496",), strict=True))


class Pairs(NamedTuple):
    """Sentences, as strings, and their translations: source[i] means target[i]."""

    source: list
    target: list


def multi30k(part="train", source="de", target="en", root=None):
    """The Pairs of a part, from the folder `root`, else from $TINYNET_DATA (or multi30k/ in it).

    part   "train", "val", "test_2016_flickr" or "test_2017_flickr"
    Raises ValueError for another part or language and for a file that isn't the published one, FileNotFoundError
    naming the files that are missing and where they are to be had.
    """
    if part not in PARTS or source not in LANGUAGES or target not in LANGUAGES:
        raise ValueError(f"multi30k: there is no part {part!r} from {source!r} to {target!r}; the parts are "
                         f"{', '.join(PARTS)} and the languages {', '.join(LANGUAGES)}")
    names = [f"{part}.{language}.gz" for language in (source, target)]
    folder = files.find_folder("multi30k", names, "multi30k", root, SOURCE)
    if folder is None:
        raise FileNotFoundError(f"multi30k: no folder is given; get {', '.join(names)} from {SOURCE} (compressed by "
                                "gzip -n), and name their folder by root=... or TINYNET_DATA")
    raw = files.published("multi30k", folder, {name: SHA256[name] for name in names}, SOURCE)
    return Pairs(*([line.strip() for line in gzip.decompress(raw[name]).decode("utf-8").split("\n")[:LINES[part]]]
                   for name in names))


def joined(source, target, rng, most=3):
    """Each sentence once, in random order, in groups of 1 to `most` joined pairs: (sources, targets), lists of words.

    Multi30k's own sentences are too short to show what length does to a net.
    """
    order, sources, targets, first = rng.permutation(len(source)), [], [], 0
    while first < len(order):
        group = order[first:first + int(rng.integers(1, most + 1))]
        sources.append([word for i in group for word in source[i]])
        targets.append([word for i in group for word in target[i]])
        first += len(group)
    return sources, targets


def in_words(pairs):
    """(sources, targets) as lists of words."""
    return tuple([words(sentence) for sentence in side] for side in pairs)
