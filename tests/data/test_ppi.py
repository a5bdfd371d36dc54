"""PPI: small files of its form, what is said of damaged ones, and the real graphs' structure where it is."""

import json
import os

import numpy as np
import pytest

from tinynet.data.ppi import GRAPHS, STRUCTURE, ppi, ppi_structure

HERE = pytest.mark.skipif("TINYNET_DATA" not in os.environ, reason="TINYNET_DATA names no folder with ppi_structure/")


@pytest.fixture
def folder(tmp_path):
    """Graphs of three proteins each: 0 - 1, given twice, and 2 with itself; feature 7 is 3 for all."""
    rng = np.random.default_rng(0)
    for split, graphs in GRAPHS.items():
        n = 3 * graphs
        X = rng.normal(5, 2, (n, 50))
        X[:, 7] = 3
        links = [(i, j) for k in range(0, n, 3) for i, j in ((k, k + 1), (k + 1, k), (k + 2, k + 2))]
        write(tmp_path, split, range(n), links)
        np.save(tmp_path / f"{split}_feats.npy", X)
        np.save(tmp_path / f"{split}_labels.npy", rng.integers(2, size=(n, 121)))
        np.save(tmp_path / f"{split}_graph_id.npy", np.repeat(np.arange(graphs), 3) + 21)
    return tmp_path


def write(folder, split, nodes, links):
    written = dict(directed=True, multigraph=False, graph={}, nodes=[dict(id=i) for i in nodes],
                   links=[dict(source=i, target=j) for i, j in links])
    (folder / f"{split}_graph.json").write_text(json.dumps(written))


def test_small_files_of_that_form(folder, monkeypatch):
    monkeypatch.setenv("TINYNET_DATA", str(folder))
    tissues = ppi()
    assert [len(part) for part in tissues] == [20, 2, 2]
    for part, split in zip(tissues, GRAPHS, strict=True):
        assert all(tissue.graph.edges.tolist() == [[0, 1], [1, 0], [2, 2]] for tissue in part)
        y = np.concatenate([tissue.labels for tissue in part])
        np.testing.assert_array_equal(y, np.load(folder / f"{split}_labels.npy"))
        assert part[0].features.dtype == part[0].labels.dtype == np.float32
        assert (part[1].features.shape, part[1].labels.shape) == ((3, 50), (3, 121))


def test_features_are_standardised_by_the_training_proteins(folder):
    tissues, known = ppi(folder), np.load(folder / "train_feats.npy")
    X = np.concatenate([tissue.features for tissue in tissues.train])
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(X.std(axis=0), [1] * 7 + [0] + [1] * 42, atol=1e-6)
    expected = (np.load(folder / "test_feats.npy")[3:, :7] - known.mean(axis=0)[:7]) / known.std(axis=0)[:7]
    np.testing.assert_allclose(tissues.test[1].features[:, :7], expected, rtol=1e-5)


def test_the_proteins_of_a_graph_may_stand_anywhere(folder):
    np.save(folder / "valid_graph_id.npy", [1, 2, 1, 2, 1, 2])
    write(folder, "valid", range(6), [(0, 4), (3, 5)])
    first, second = ppi(folder).val
    assert first.graph.edges.tolist() == [[0, 2], [2, 0]]
    assert second.graph.edges.tolist() == [[1, 2], [2, 1]]
    np.testing.assert_array_equal(second.labels, np.load(folder / "valid_labels.npy")[1::2])


def change(name, function):
    def damage(folder):
        array = function(np.load(folder / name))
        np.save(folder / name, array, allow_pickle=True)
    return damage


def cut(name):
    def damage(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:-20])
    return damage


def two(y):
    y[4, 3] = 2
    return y


@pytest.mark.parametrize(("damage", "said"), [
    (change("valid_feats.npy", lambda X: X[1:]),
     r"valid_feats\.npy has shape \(5, 50\), but must be \(6, 50\), a row for each of the 6 nodes of valid_g"),
    (change("test_labels.npy", lambda y: y[:, 1:]), r"test_labels\.npy has shape \(6, 120\), but must be \(6, 121\)"),
    (change("test_labels.npy", two), r"test_labels\.npy holds the label 2, but labels are 0 or 1"),
    (change("train_graph_id.npy", lambda g: g[:, None]), r"graph_id\.npy has shape \(60, 1\), but must be \(60,\)"),
    (change("train_graph_id.npy", lambda g: g // 2), r"train_graph_id\.npy numbers 11 graphs, but there are 20"),
    (change("train_feats.npy", lambda X: X * np.nan), r"train_feats\.npy can't be read.*\(.*aren't finite\)"),
    (change("train_feats.npy", lambda X: X.astype(object)), r"train_feats\.npy can't be read.*Object arrays"),
    (change("train_feats.npy", lambda X: X.astype(str)), r"train_feats\.npy can't be read"),
    (cut("train_feats.npy"), r"train_feats\.npy can't be read, it is truncated"),
    (cut("train_graph.json"), r"train_graph\.json can't be read, it is truncated"),
    (lambda f: write(f, "test", range(6), [(0, 1), (0, 6)]),
     r"test_graph\.json has the edge \[0, 6\], but only the nodes 0\.\.5"),
    (lambda f: write(f, "test", range(6), [(-1, 0)]), r"has the edge \[-1, 0\], but only the nodes 0\.\.5"),
    (lambda f: write(f, "test", range(6), [(2, 3)]), r"has the edge \[2, 3\] from one graph to another"),
    (lambda f: write(f, "test", range(6), [(0, 1.5)]), r"the ends of its links aren't whole numbers"),
    (lambda f: write(f, "test", [0, 1, 2, 3, 4, 4], []), r"its 6 nodes don't have the ids 0, 1, 2, \.\.\."),
    (lambda f: (f / "test_graph.json").write_text("{}"), r"test_graph\.json can't be read.*\('nodes'\)"),
])
def test_damaged_files(folder, damage, said):
    damage(folder)
    with pytest.raises(ValueError, match=f"^ppi: .*{said}.*; get .* again from https"):
        ppi(folder)


def test_missing_files_and_folders(folder, monkeypatch):
    (folder / "valid_labels.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"^ppi: .* lacks valid_labels\.npy; get them from https.*unpacked"):
        ppi(folder)
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    for load, name in (ppi, "train_graph.json"), (ppi_structure, STRUCTURE):
        with pytest.raises(FileNotFoundError, match=rf"{load.__name__}: no folder is given; pass root=.* {name}.* get"):
            load()


# %% The structure of the real ones
def test_a_small_structure(tmp_path):
    np.savez(tmp_path / STRUCTURE, split=["train", "test", "train"], node_ptr=[0, 3, 4, 6], edge_ptr=[0, 2, 2, 3],
             edges=np.array([[0, 1], [2, 2], [0, 1]], np.uint16))
    graphs = ppi_structure(tmp_path)
    assert [graph.edges.tolist() for graph in graphs["train"]] == [[[0, 1], [1, 0], [2, 2]], [[0, 1], [1, 0]]]
    assert ([graph.nodes for graph in graphs["test"]], graphs["val"]) == ([1], [])
    whole = dict(np.load(tmp_path / STRUCTURE))
    for wrong in (dict(split=["train", "valid", "train"]), dict(edge_ptr=[0, 2, 2, 2])):
        np.savez(tmp_path / STRUCTURE, **whole | wrong)
        with pytest.raises(ValueError, match=r"it has 3 edges, but uses [23], or parts other than train, val, test"):
            ppi_structure(tmp_path)
    cut(STRUCTURE)(tmp_path)
    with pytest.raises(ValueError, match=rf"ppi_structure: {STRUCTURE} can't be read, it is truncated"):
        ppi_structure(tmp_path)


@HERE
def test_the_published_counts():
    graphs = ppi_structure()
    assert {name: (len(its), sum(graph.nodes for graph in its)) for name, its in graphs.items()} == {
        "train": (20, 44906), "val": (2, 6514), "test": (2, 5524)}
    both_ways = sum(len(graph.indices) for its in graphs.values() for graph in its)
    loops = sum((graph.rows == graph.indices).sum() for its in graphs.values() for graph in its)
    assert (loops, (both_ways + loops) // 2) == (25084, 818716)
