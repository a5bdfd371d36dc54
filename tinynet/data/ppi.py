"""Proteins that interact, in 24 human tissues: graphs to learn from and graphs that weren't seen in training.

Zitnik and Leskovec 2017, arXiv:1707.04638; made a benchmark by Hamilton et al. 2017, arXiv:1706.02216 (GraphSAGE).
"""

import json
from typing import NamedTuple

import numpy as np

from tinynet.data.files import find_folder
from tinynet.graph import Graph

GRAPHS = {"train": 20, "valid": 2, "test": 2}
FEATURES, LABELS = 50, 121
PARTS = ("graph.json", "feats.npy", "labels.npy", "graph_id.npy")
SOURCE = "https://data.dgl.ai/dataset/ppi.zip (unpacked; tinynet doesn't download it, as it knows no SHA-256 of it)"
STRUCTURE = "ppi_24graphs_structure.npz"
STRUCTURE_SOURCE = ("the graphs in https://github.com/ntalluri/GraphSagePPIAnalysis, folder data/matching-graphs, put "
                    "into one file of the form that ppi_structure describes")


class LabelledGraph(NamedTuple):
    """A tissue of N proteins: features (N, 50) float32, labels (N, 121) float32, each 0 or 1, and an undirected graph
    with the self-loops that the file has.
    """

    features: np.ndarray
    labels: np.ndarray
    graph: Graph


class PPI(NamedTuple):
    """Lists of 20, 2 and 2 LabelledGraphs."""

    train: list
    val: list
    test: list


def ppi(root=None):
    """Load the 24 graphs from the folder `root`, else from $TINYNET_DATA (or ppi/ in it).

    Each of train, valid and test is four files: _graph.json (networkx's node-link form), _feats.npy (N, 50),
    _labels.npy (N, 121) and _graph_id.npy (N), the graph each protein is in.  The features are standardised by mean
    and deviation over the proteins of the training graphs.  Nothing is downloaded.
    Raises FileNotFoundError naming missing files and where to get them, ValueError for files that aren't of this form.

    >>> tissues = ppi()                                 # doctest: +SKIP
    >>> len(tissues.train), sum(tissue.graph.nodes for tissue in tissues.train)         # doctest: +SKIP
    (20, 44906)
    """
    folder = ppi_folder(root)
    parts = {split: _part(folder, split) for split in GRAPHS}
    known = parts["train"][0]
    mean, deviation = known.mean(axis=0), np.where(known.min(axis=0) == known.max(axis=0), 1, known.std(axis=0))
    return PPI(*(list(_tissues((X - mean) / deviation, *rest)) for X, *rest in parts.values()))


def ppi_folder(root=None):
    """Where `ppi` would read its files; raises FileNotFoundError as it does."""
    return _folder("ppi", [f"{split}_{part}" for split in GRAPHS for part in PARTS], "ppi", root, SOURCE)


def ppi_structure(root=None):
    """{"train": 20 Graphs, "val": 2, "test": 2}: the true proteins' graphs, self-loops included, for speed and memory.

    They are read from ppi_24graphs_structure.npz in `root`, else in $TINYNET_DATA (or ppi_structure/ in it): `split`
    (24) names, `node_ptr` and `edge_ptr` (25) where each graph starts, `edges` (E, 2) numbered from 0 in each graph.
    It holds no features and no labels, and its proteins are in another order than those of `ppi`.
    Raises FileNotFoundError where it is missing, ValueError where it is damaged.
    """
    folder = _folder("ppi_structure", [STRUCTURE], "ppi_structure", root, STRUCTURE_SOURCE)
    return _read("ppi_structure", folder / STRUCTURE, _structure, STRUCTURE_SOURCE)


def _folder(who, names, subfolder, root, source):
    folder = find_folder(who, names, subfolder, root, source)
    if folder is None:
        raise FileNotFoundError(f"{who}: no folder is given; pass root=..., or set TINYNET_DATA to a folder with "
                                f"{', '.join(names)}; get them from {source}")
    return folder


# %% The files, read without pickles and not believed before they are checked
def _read(who, path, reader, source):
    try:
        with open(path, "rb") as file:
            return reader(file)
    except Exception as error:              # what damaged files raise is of many kinds
        raise ValueError(f"{who}: {path.name} can't be read, it is truncated, damaged or of another form ({error}); "
                         f"get it again from {source}") from error


def _array(file):
    array = np.asarray(np.load(file, allow_pickle=False))
    if not np.isfinite(array).all():
        raise ValueError("it holds numbers that aren't finite")
    return array


def _node_link(file):
    """(N, (E, 2)): how many nodes, and the ends of the links."""
    written = json.load(file)
    nodes = [node["id"] for node in written["nodes"]]
    links = np.array([(link["source"], link["target"]) for link in written["links"]] or np.empty((0, 2), int))
    if sorted(nodes) != list(range(len(nodes))):
        raise ValueError(f"its {len(nodes)} nodes don't have the ids 0, 1, 2, ...")
    if links.dtype.kind != "i" or links.ndim != 2:
        raise ValueError("the ends of its links aren't whole numbers")
    return len(nodes), links


def _structure(file):
    parts = "train", "val", "test"
    with np.load(file, allow_pickle=False) as found:
        edges, split = found["edges"], found["split"]
        nodes, pointers = np.diff(found["node_ptr"]), found["edge_ptr"]
    if not set(split.tolist()) <= {*parts} or pointers[-1] != len(edges):
        raise ValueError(f"it has {len(edges)} edges, but uses {pointers[-1]}, or parts other than {', '.join(parts)}")
    graphs = [Graph.from_edges(edges[start:stop], n).undirected()
              for n, start, stop in zip(nodes.tolist(), pointers[:-1], pointers[1:], strict=True)]
    return {name: [graph for graph, its in zip(graphs, split, strict=True) if its == name]
            for name in parts}


def _part(folder, split):
    """features, labels, graph numbers and links of a split, checked against each other."""
    def wrong(part, what):
        return ValueError(f"ppi: {split}_{part} {what}; get the four {split} files again from {SOURCE}")

    (N, links), X, y, number = (
        _read("ppi", folder / f"{split}_{part}", _node_link if part == "graph.json" else _array, SOURCE)
        for part in PARTS)
    for part, array, width in zip(PARTS[1:], (X, y, number), ((FEATURES,), (LABELS,), ()), strict=True):
        if array.shape != (N, *width):
            raise wrong(part, f"has shape {array.shape}, but must be {(N, *width)}, a row for each of the {N} nodes of "
                              f"{split}_graph.json")
    if not np.isin(y, (0, 1)).all():
        raise wrong("labels.npy", f"holds the label {y[~np.isin(y, (0, 1))][0]}, but labels are 0 or 1")
    if (graphs := len(np.unique(number))) != GRAPHS[split]:
        raise wrong("graph_id.npy", f"numbers {graphs} graphs, but there are {GRAPHS[split]}")
    if len(outside := links[((links < 0) | (links >= N)).any(axis=1)]):
        raise wrong("graph.json", f"has the edge {outside[0].tolist()}, but only the nodes 0..{N - 1}")
    if len(across := links[number[links[:, 0]] != number[links[:, 1]]]):
        raise wrong("graph.json", f"has the edge {across[0].tolist()} from one graph to another")
    return X.astype(np.float64), y, number, links


def _tissues(X, y, number, links):
    """A LabelledGraph for each graph number; its proteins are numbered anew from 0."""
    here = np.empty(len(number), np.int64)
    for tissue in np.unique(number):
        members = np.flatnonzero(number == tissue)
        here[members] = np.arange(len(members))
        edges = here[links[number[links[:, 0]] == tissue]]
        yield LabelledGraph(X[members].astype(np.float32), y[members].astype(np.float32),
                            Graph.from_edges(edges, len(members)).undirected())
