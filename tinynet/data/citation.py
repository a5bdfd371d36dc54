"""Cora, Citeseer and Pubmed as published for Planetoid, read without running anything that stands in the files.

Papers, the citations between them, and a subject each (Sen et al. 2008).  The public split has 20 labelled papers a
class to learn from, 500 for validation and 1,000 to test on (Yang et al. 2016, arXiv:1603.08861).
"""

from typing import NamedTuple

import numpy as np

from tinynet.data import files
from tinynet.data.pickles import ARRAYS, GRAPHS, admitted
from tinynet.graph import Graph
from tinynet.sparse import SparseRows

PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
SOURCE = "https://github.com/kimiyoung/planetoid, folder data"
ADDRESS = "https://raw.githubusercontent.com/kimiyoung/planetoid/af6abf468a772cc055bec88c52e4d6f51b7c37e3/data/"
SHA256 = {      # the files at that commit, in the order of PARTS
    "cora": """
        23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab
        b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a
        9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543
        94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1
        41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad
        2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71
        58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d
        297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875""",
    "citeseer": """
        d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6
        539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21
        2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668
        8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924
        55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce
        f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95
        d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7
        2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4""",
    "pubmed": """
        fbe9cb5c47200d1b7769a26e579be3b7130b556831f9d850e77c4c74f2599b33
        4eb5f5d0f30f26497eb0ac6ac9719d09c67e284f1ed0385c93f3ef27a671da3d
        508e538e2abdccdd54c4d3e9f49d638b4af7107d85845f66ddea5a5152658b7e
        e6c807633307a07ed659249006536a147c7999c797f11a2560752990181b41b3
        ee2e0d4819d9fbcc403689c3bf2e49face401b605932f093bc58ab6461130fdd
        0c37bbe3b5014ec365e9d393cf4791925e5ed94fb194305d74f064a8d7b50f0e
        5b89f0036ca22909471f1e6558eb42fa06e0c730a577bde5b058b40638f81dc9
        b101d421688bbaecbd82e8a18f1e282378d6830f3a37666f28ebc47f844341b5""",
}

COUNTS = {      # papers, words in them, citations seen from either end
    "cora": (2708, 49216, 10556), "citeseer": (3327, 105165, 9104), "pubmed": (19717, 988031, 88648)}


class Citation(NamedTuple):
    """A citation graph of N papers.

    features (N, D) float32 SparseRows   labels (N) int64, -1 where a paper has none   graph undirected, no self-loops
    train, val, test   numbers of the papers of the public split   classes   how many
    """

    features: SparseRows
    labels: np.ndarray
    graph: Graph
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    classes: int


def citation(name, root=None):
    """Load "cora", "citeseer" or "pubmed" from the folder `root`, else from $TINYNET_DATA (or planetoid/ in it).

    Where neither is given, the files are downloaded, if pooch is installed.  What was read once is kept in the user's
    cache ($TINYNET_CACHE names another folder) as arrays, without pickles.

    Citeseer has 15 papers in its test range that its index doesn't list: they keep their citations, without features
    or label.  Citations given twice count once.  Raises ValueError for another name and for a file that isn't the
    published one, FileNotFoundError naming the files that are missing and where they are to be had.

    >>> papers = citation("cora")                       # doctest: +SKIP
    >>> papers.graph, papers.features.shape             # doctest: +SKIP
    (Graph(2708 nodes, 10556 edges), (2708, 1433))
    """
    if name not in SHA256:
        raise ValueError(f"citation: there is no dataset {name!r}; choose one of {', '.join(SHA256)}")
    hashes = {f"ind.{name}.{part}": sha256 for part, sha256 in zip(PARTS, SHA256[name].split(), strict=True)}
    folder = files.find_folder("citation", hashes, "planetoid", root, SOURCE)
    raw = folder and files.published("citation", folder, hashes, SOURCE)

    def read():
        papers = _converted(raw or files.download("citation", ADDRESS, hashes, SOURCE))
        counted = len(papers.labels), len(papers.features.values), len(papers.graph.indices)
        if counted != COUNTS[name]:
            raise ValueError(f"citation: {name} came out as {counted} papers, numbers and edges, but must be "
                             f"{COUNTS[name]}; take the files from {SOURCE}")
        return _arrays(papers)

    return _citation(files.kept(name, hashes, LAYOUT, read))


# %% The cache
LAYOUT = 1      # raise it when _converted changes, so that what older versions kept isn't believed
PLAIN = ("labels", "train", "val", "test")


def _arrays(papers):
    x, graph = papers.features, papers.graph
    return {name: getattr(papers, name) for name in PLAIN} | {
        "values": x.values, "indices": x.indices, "indptr": x.indptr, "words": x.shape[1],
        "graph_indices": graph.indices, "graph_indptr": graph.indptr, "classes": papers.classes}


def _citation(a):
    nodes = len(a["labels"])
    return Citation(features=SparseRows(a["indptr"], a["indices"], a["values"], (nodes, int(a["words"]))),
                    graph=Graph(a["graph_indptr"], a["graph_indices"], (nodes, nodes)),
                    classes=int(a["classes"]), **{name: a[name] for name in PLAIN})


# %% From eight parts to one graph
def _converted(raw):
    """Test paper test[k] is row k of tx and ty; the test papers come after the rows of allx."""
    *pickles, (_, listed) = raw.items()
    part = {name.rpartition(".")[2]: admitted("citation", data, name, ARRAYS | GRAPHS, SOURCE)
            for name, data in pickles}
    test, known, first = np.array(listed.split(), np.int64), part["ally"], len(part["ally"])
    nodes = max(part["graph"]) + 1
    labels = np.full(nodes, -1, np.int64)
    labels[:first], labels[test] = known.argmax(axis=1), part["ty"].argmax(axis=1)
    order = np.full(nodes - first, -1)
    order[test - first] = np.arange(len(test))
    edges = [(i, j) for i, neighbours in part["graph"].items() for j in neighbours if i != j]
    train = np.arange(len(part["y"]))
    return Citation(_rows(part["allx"]).then(_rows(part["tx"]).take(order)), labels,
                    Graph.from_edges(edges, nodes).undirected(),
                    train, len(train) + np.arange(500), np.sort(test), known.shape[1])


def _rows(matrix):
    return SparseRows(matrix.indptr, matrix.indices, matrix.data.astype(np.float32), matrix._shape)
