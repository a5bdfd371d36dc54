"""Where a loader finds its files: in a folder of the user's, else where they are published; and the cache of what was
converted once.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tinynet import npz


def find_folder(who, names, subfolder, root, source):
    """The folder `root`, else $TINYNET_DATA, or `subfolder` in it, with all files `names`; None where neither is given.

    Raises FileNotFoundError naming the files that the given folder lacks and the source where they are to be had.
    """
    return find_form(who, [(names, subfolder)], root, source)[0]


def find_form(who, forms, root, source):
    """(folder, names) of the first of the forms [(names, subfolder), ...] in which the same data are whole there, as
    `find_folder`; (None, None) where no folder is given.  The error names what lacks for the form that lacks least.
    """
    root = root or os.environ.get("TINYNET_DATA")
    if not root:
        return None, None
    if not Path(root).is_dir():
        raise FileNotFoundError(f"{who}: there is no folder {root} with {', '.join(forms[0][0])}; get them from "
                                f"{source}")
    places = [(folder, names) for names, subfolder in forms for folder in (Path(root), Path(root, subfolder))]
    missing = [[name for name in names if not (folder / name).is_file()] for folder, names in places]
    for place, absent in zip(places, missing, strict=True):
        if not absent:
            return place
    raise FileNotFoundError(f"{who}: {root} lacks {', '.join(min(missing, key=len))}; get them from {source}")


def published(who, folder, hashes, source):
    """{name: bytes} of the files {name: SHA-256} in the folder; raises ValueError for a file with another SHA-256."""
    found = {name: Path(folder, name).read_bytes() for name in hashes}
    for name, data in found.items():
        if hashlib.sha256(data).hexdigest() != hashes[name]:
            raise ValueError(f"{who}: {Path(folder, name)} is not the published file (its SHA-256 differs), so it is "
                             f"not opened; get it again from {source}")
    return found


def download(who, address, hashes, source):
    """{name: bytes} of the files {name: SHA-256} at this address.

    Raises FileNotFoundError where pooch or the network is missing, ValueError for a file that isn't the published one.
    """
    remedy = f"get {', '.join(hashes)} from {source}, and name their folder by root=... or TINYNET_DATA"
    try:
        import pooch
    except ModuleNotFoundError:
        raise FileNotFoundError(f'{who}: no folder is given, and without pooch nothing can be downloaded; run '
                                f'pip install "tinynet[data]", or {remedy}') from None
    with TemporaryDirectory() as folder:
        there = pooch.create(folder, address, registry=hashes)
        try:
            for name in hashes:
                there.fetch(name)
        except OSError as error:
            raise FileNotFoundError(f"{who}: no folder is given, and {address}{name} can't be downloaded "
                                    f"({type(error).__name__}); connect to the network, or {remedy}") from error
        except ValueError as error:             # pooch's word for another SHA-256; it has deleted the file
            raise ValueError(f"{who}: what {address}{name} sent is not the published file (its SHA-256 differs), so "
                             f"it is not opened; try again later, or {remedy}") from error
        return published(who, folder, hashes, source)


def cache_folder():
    """$TINYNET_CACHE, else the user's own folder for what can be made anew."""
    if folder := os.environ.get("TINYNET_CACHE"):
        return Path(folder)
    try:
        import pooch
    except ModuleNotFoundError:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "tinynet")
    return Path(pooch.os_cache("tinynet"))


def kept(name, hashes, layout, make):
    """The arrays {name: array} that `make()` returns, read from the user's cache after the first time.

    name    of the file in the cache, without .npz
    hashes  {file: SHA-256} of what make() reads: a cache of other files isn't believed
    layout  a whole number that is raised when make() changes, so that what older versions kept isn't believed

    A cache that is damaged is made anew; one that can't be written is done without.
    """
    path = cache_folder() / f"{name}.npz"
    notes = {"layout": layout, "files": hashes}
    with suppress(npz.CheckpointError):
        arrays, found = npz.load(path, what="cache")
        if {key: found.get(key) for key in notes} == notes:
            return arrays
    arrays = make()
    with suppress(npz.CheckpointError):
        npz.prepare(path, what="cache")
        npz.save(path, arrays, notes, what="cache")
    return {key: np.asarray(array) for key, array in arrays.items()}
