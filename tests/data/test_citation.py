"""Planetoid's raw files: a small set of that form, damaged and hostile files, and the real ones where they are."""

import hashlib
import os
import pickle
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from tinynet import npz
from tinynet.data import files
from tinynet.data.citation import COUNTS, PARTS, SHA256
from tinynet.data.citation import citation as load
from tinynet.data.pickles import ARRAYS, GRAPHS, Csr, admitted
from tinynet.neighbourhoods import receptive_field
from tinynet.sparse import SparseRows

MODULE = sys.modules["tinynet.data.citation"]       # whose name in tinynet.data is the function's


# %% Files as Python 2 wrote them
class Old:
    """An array whose bytes are written as a string."""

    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        state = 1, self.array.shape, self.array.dtype, False, self.array.tobytes().decode("latin1")
        return np._core.multiarray._reconstruct, (np.ndarray, (0,), "b"), state


def old_pickle(thing):
    data = pickle.dumps(thing, protocol=2)
    return data.replace(b"numpy._core.", b"numpy.core.").replace(b"tinynet.data.pickles\nCsr",
                                                                 b"scipy.sparse.csr\ncsr_matrix")


def old_csr(dense):
    matrix, rows = Csr(), SparseRows.from_dense(dense)
    matrix.indptr, matrix.indices = Old(rows.indptr.astype(np.int32)), Old(rows.indices.astype(np.int32))
    matrix.data, matrix._shape = Old(rows.values.astype(np.float32)), rows.shape
    return matrix


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cora.npz"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Four known papers, 0 .. 3, and the test papers 7 and 5; 4 and 6 aren't listed."""
    graph = {0: [1, 1, 0], 1: [0], 2: [5], 3: [], 4: [7], 5: [2], 6: [], 7: [4]}
    things = dict(x=old_csr(np.eye(4, 3)[:2]), tx=old_csr(np.array([[0, 7.0, 7], [5, 0, 0]])),
                  allx=old_csr(np.eye(4, 3)), y=Old(np.eye(2, dtype=np.int32)),
                  ty=Old(np.array([[0, 1], [1, 0]], np.int32)), ally=Old(np.eye(2, dtype=np.int32)[[0, 1, 1, 0]]),
                  graph=graph)
    for part, thing in things.items():
        (tmp_path / f"ind.cora.{part}").write_bytes(old_pickle(thing))
    (tmp_path / "ind.cora.test.index").write_text("7\n5\n")
    publish(tmp_path, monkeypatch)
    monkeypatch.setitem(COUNTS, "cora", (8, 6, 6))
    return tmp_path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(folder, monkeypatch):
    """The folder's files at an address of this machine, and no folder given."""
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        monkeypatch.setattr(MODULE, "ADDRESS", f"http://127.0.0.1:{server.server_port}/")
        Thread(target=server.serve_forever).start()
        yield folder
        server.shutdown()


def publish(folder, monkeypatch):
    hashes = [hashlib.sha256((folder / f"ind.cora.{part}").read_bytes()).hexdigest() for part in PARTS]
    monkeypatch.setitem(SHA256, "cora", " ".join(hashes))


# %%
def test_small_files_of_that_form(folder, monkeypatch):
    monkeypatch.setenv("TINYNET_DATA", str(folder))
    papers = load("cora")
    assert papers.labels.tolist() == [0, 1, 1, 0, -1, 0, -1, 1]
    assert papers.graph.edges.tolist() == [[0, 1], [1, 0], [2, 5], [4, 7], [5, 2], [7, 4]]
    assert papers.features.dense()[4:].tolist() == [[0, 0, 0], [5, 0, 0], [0, 0, 0], [0, 7, 7]]
    assert papers.features.normalised().dense()[[0, 3, 7]].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0.5, 0.5]]
    assert (papers.train.tolist(), papers.test.tolist(), papers.classes) == ([0, 1], [5, 7], 2)
    assert papers.features.values.dtype == np.float32


def test_a_conversion_that_lost_something_is_not_believed(folder, monkeypatch):
    monkeypatch.setitem(COUNTS, "cora", (8, 6, 7))
    with pytest.raises(ValueError, match=r"citation: cora came out as \(8, 6, 6\) papers, .* be \(8, 6, 7\); take"):
        load("cora", folder)


def test_the_files_may_lie_in_a_folder_planetoid(folder):
    (folder / "planetoid").mkdir()
    for path in folder.glob("ind.*"):
        path.rename(folder / "planetoid" / path.name)
    assert load("cora", folder).classes == 2


def test_a_pickle_that_runs_a_command_is_refused_and_not_run(folder, monkeypatch):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(folder / "ran"),)

    (folder / "ind.cora.graph").write_bytes(pickle.dumps(Hostile(), protocol=2))
    with pytest.raises(ValueError, match="is not the published file"):
        load("cora", folder)
    publish(folder, monkeypatch)
    with pytest.raises(ValueError, match=r"ind\.cora\.graph can.t be read and was not run: it names \w+\.mkdir"):
        load("cora", folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("data", [b"", b"no pickle", old_pickle({1: [2, 3]})[:-3], b"cos\nsystem\n."])
def test_damaged_bytes(data):
    with pytest.raises(ValueError, match=r"citation: ind\.cora\.x can't be read and was not run"):
        admitted("citation", data, "ind.cora.x", ARRAYS | GRAPHS, "the publisher")


def test_missing_files_folders_and_names(folder, monkeypatch):
    (folder / "ind.cora.tx").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks ind\.cora\.tx; get them from https"):
        load("cora", folder)
    monkeypatch.setenv("TINYNET_DATA", str(folder))
    with pytest.raises(FileNotFoundError, match=r"lacks ind\.cora\.tx; get them from https"):
        load("cora")
    with pytest.raises(ValueError, match="there is no dataset 'corra'; choose one of cora, citeseer, pubmed"):
        load("corra", folder)


# %% The cache
def same(papers, others):
    def arrays(p):
        return [p.features.dense(), p.labels, p.graph.edges, p.train, p.val, p.test, p.classes]
    for one, other in zip(arrays(papers), arrays(others), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    assert (papers.features.shape, papers.graph.shape) == (others.features.shape, others.graph.shape)


def refuse(monkeypatch):
    def refused(*args):
        raise AssertionError("it is unpickled or downloaded again")
    monkeypatch.setattr(MODULE, "admitted", refused)
    monkeypatch.setattr(files, "download", refused)


def test_the_second_call_unpickles_nothing(folder, monkeypatch):
    first = load("cora", folder)
    refuse(monkeypatch)
    same(load("cora", folder), first)
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    same(load("cora"), first)
    (folder / "ind.cora.x").write_bytes(b"another file")
    with pytest.raises(ValueError, match=r"ind\.cora\.x is not the published file"):
        load("cora", folder)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-40],
                                    lambda data: data.replace(b"NUMPY", b"NUMPX")])
def test_a_damaged_cache_is_made_anew(folder, cache, damage):
    first, whole = load("cora", folder), cache.read_bytes()
    cache.write_bytes(damage(whole))
    same(load("cora", folder), first)
    assert len(npz.load(cache)[0]) == 11


def test_a_cache_of_other_files_or_of_another_layout_is_not_believed(folder, cache, monkeypatch):
    load("cora", folder)
    monkeypatch.setattr(MODULE, "LAYOUT", 2)
    load("cora", folder)
    assert npz.load(cache)[1]["layout"] == 2
    (folder / "ind.cora.y").write_bytes(old_pickle(Old(np.eye(2, dtype=np.int32)[:1])))
    publish(folder, monkeypatch)
    assert load("cora", folder).train.tolist() == [0]
    assert list(npz.load(cache)[1]["files"].values()) == SHA256["cora"].split()


def test_a_cache_folder_that_cannot_be_written_is_no_error(folder, tmp_path, monkeypatch):
    (tmp_path / "a file").touch()
    (tmp_path / "read-only").mkdir(mode=0o500)
    for place in "a file", "a file/cache", "read-only":
        monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / place))
        assert load("cora", folder).classes == 2


def test_the_place_of_the_cache(monkeypatch):
    pooch = pytest.importorskip("pooch")
    monkeypatch.delenv("TINYNET_CACHE")
    assert files.cache_folder() == Path(pooch.os_cache("tinynet"))
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert files.cache_folder() == Path("/somewhere/tinynet")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert files.cache_folder() == Path.home() / ".cache" / "tinynet"


# %% The download
def test_the_files_are_downloaded_once(served, monkeypatch):
    pytest.importorskip("pooch")
    first = load("cora")
    refuse(monkeypatch)
    same(load("cora"), first)
    same(load("cora", served), first)


def test_a_tampered_download_is_refused_and_not_run(served, cache, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setattr(MODULE, "admitted", None)
    (served / "ind.cora.graph").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(ValueError, match=r"what http.*ind\.cora\.graph sent is not the published file"):
        load("cora")
    assert not cache.exists()


def test_what_is_said_without_the_file_the_network_or_pooch(served, monkeypatch):
    pytest.importorskip("pooch")
    (served / "ind.cora.ty").unlink()
    with pytest.raises(FileNotFoundError, match=r"http.*ind\.cora\.ty can't be downloaded \(HTTPError\); connect to"):
        load("cora")
    monkeypatch.setattr(MODULE, "ADDRESS", "http://127.0.0.1:9/")
    with pytest.raises(FileNotFoundError, match=r"no folder.*\(ConnectionError\).* get ind\.cora\.x, .* TINYNET_DATA"):
        load("cora")
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(FileNotFoundError, match=r'without pooch.* pip install "tinynet\[data\]", or get ind\.cora\.x'):
        load("cora")


def test_a_given_folder_without_the_files_is_not_filled_from_the_network(served, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*cache with ind\.cora\.x, ind\.cora\.tx"):
        load("cora", tmp_path / "cache")


# %%
def test_sparse_rows():
    dense = np.array([[0, 1.0, 2], [0, 0, 0], [3, 0, 0]])
    sparse = SparseRows.from_dense(dense)
    np.testing.assert_array_equal(sparse.dense(), dense)
    np.testing.assert_array_equal(sparse.take(np.array([2, -1, 0, 0])).dense(), [*dense[[2, 1, 0, 0]]])
    np.testing.assert_array_equal(sparse.then(sparse).dense(), [*dense, *dense])
    assert sparse.take(np.array([], int)).dense().shape == sparse.take([]).dense().shape == (0, 3)
    for wrong in -2, 3:
        with pytest.raises(ValueError, match=f"SparseRows: there is no row {wrong} among 3; count from 0"):
            sparse.take([0, wrong])
    with pytest.raises(TypeError, match="SparseRows: the rows hold bool, but row numbers are integers"):
        sparse.take([True, False, True])


# %% The published files
@pytest.mark.skipif("TINYNET_DATA" not in os.environ, reason="TINYNET_DATA names no folder with the published files")
@pytest.mark.parametrize(("name", "shape", "values", "edges", "isolated", "unlabelled", "test_classes", "field"), [
    ("cora", (2708, 1433), 49216, 10556, 0, 0, [130, 91, 144, 319, 149, 103, 64], 1664),
    ("citeseer", (3327, 3703), 105165, 9228 - 124, 48, 15, [77, 182, 181, 231, 169, 160], 1092),
    ("pubmed", (19717, 500), 988031, 88651 - 3, 0, 0, [180, 413, 407], 2798),
])
def test_the_published_counts(name, shape, values, edges, isolated, unlabelled, test_classes, field):
    papers = load(name)
    assert (papers.features.shape, len(papers.features.values)) == (shape, values)
    assert len(papers.graph.indices) == edges
    assert (np.diff(papers.graph.indptr) == 0).sum() == isolated
    assert (papers.labels == -1).sum() == unlabelled
    assert np.bincount(papers.labels[papers.test]).tolist() == test_classes
    assert np.bincount(papers.labels[papers.train]).tolist() == [20] * papers.classes
    assert (len(papers.val), len(papers.test), papers.classes) == (500, 1000, len(test_classes))
    assert len(receptive_field(papers.graph, papers.train, hops=2)[0]) == field
    same(load(name), papers)            # from the cache
