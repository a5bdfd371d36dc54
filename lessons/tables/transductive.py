"""What the papers report on the citation graphs, and how each system that we built is trained.

Slides: shi fig9
Figures: shi_fig9_paper-beside-ours.png

Recipes: Velickovic et al. 2018 (GAT, GCN-64*) and Kipf and Welling 2017 (GCN, Chebyshev, MLP), with their published
code.  Nothing is chosen by test accuracy: weights are kept, and one of a system's variants is taken, by val.
"""

from functools import lru_cache, partial

from lessons.tables import graphs_baselines
from lessons.tables.report import Table
from tinynet import optim
from tinynet.blocks.units.activations import elu, relu
from tinynet.data.citation import citation
from tinynet.models.graphs.gat import GAT
from tinynet.models.graphs.gcn import GCN, MLP, ChebyshevNet
from tinynet.train.nodes import Patience, Window, fit_nodes, measure


# %% All papers are seen, few labels are known
@lru_cache(maxsize=1)
def papers(dataset, folder):
    """(features with rows that sum to 1, the graph, the graph with self-loops, everything else)"""
    data = citation(dataset, folder)
    return data.features.normalised(), data.graph, data.graph.with_self_loops(), data


def gat(dataset, seed, folder, by=None):
    """by  what of val decides which weights are kept; None: loss and accuracy, as in the published code, on Citeseer
        accuracy alone, as the authors say (github.com/PetarV-/GAT/issues/14)
    """
    by = by or (("accuracy",) if dataset == "citeseer" else ("loss", "accuracy"))
    x, _, graph, data = papers(dataset, folder)
    pubmed = dataset == "pubmed"
    net = GAT(x.shape[1], data.classes, out_heads=8 if pubmed else 1, rng=seed)
    adam = optim.Adam(net.parameters(), lr=0.01 if pubmed else 0.005, l2=0.001 if pubmed else 0.0005)
    return _train(net, x, graph, data, adam, Patience(100, by), 100_000)


def convolutions(dataset, seed, folder, net=GCN, **settings):
    """Kipf and Welling's recipe, which they use for Chebyshev and the MLP too."""
    x, graph, _, data = papers(dataset, folder)
    net = net(x.shape[1], data.classes, rng=seed, **settings)
    adam = optim.Adam(net.parameters(), lr=0.01)
    return _train(net, x, graph, data, adam, Window(10), 200, penalty=half_squared_norm)


def half_squared_norm(net, l2=5e-4):
    """l2/2 times the sum of squares of the first layer's parameters."""
    return sum((p * p).sum() for p in net.first.parameters()) * (l2 / 2)


def _train(net, x, graph, data, *how, **settings):
    history = fit_nodes(net, x, graph, data.labels, data.train, data.val, *how, **settings)
    return {"epochs": len(history["epoch"]),
            "val accuracy": 100 * measure(net, x, graph, data.labels, data.val)["accuracy"],
            "test accuracy": 100 * measure(net, x, graph, data.labels, data.test)["accuracy"]}


BY_BOTH = ("weights kept by loss and accuracy, as in the published code, for which others report 77.6 +- 0.8 "
           "(github.com/PetarV-/GAT/issues/21); the next row keeps them by loss alone")
STOPPED = "the published rule, val loss above the mean of the ten epochs before, can end a run in its first epochs"


FIG9 = Table("shi fig9", "accuracy %", ("cora", "citeseer", "pubmed"), {
    "MLP": dict(cora="55.1", citeseer="46.5", pubmed="71.4"),
    "ManiReg": dict(cora="59.5", citeseer="60.1", pubmed="70.7"),
    "ManiReg, all citations": {},
    "SemiEmb": dict(cora="59.0", citeseer="59.6", pubmed="71.7"),
    "SemiEmb, all citations": {},
    "LP": dict(cora="68.0", citeseer="45.3", pubmed="63.0"),
    "DeepWalk": dict(cora="67.2", citeseer="43.2", pubmed="65.3"),
    "ICA": dict(cora="75.1", citeseer="69.1", pubmed="73.9"),
    "Planetoid": dict(cora="75.7", citeseer="64.7", pubmed="77.2"),
    "Chebyshev": dict(cora="81.2", citeseer="69.8", pubmed="74.4"),
    "GCN": dict(cora="81.5", citeseer="70.3", pubmed="79.0"),
    "MoNet": dict(cora="81.7 +- 0.5", pubmed="78.8 +- 0.3"),
    "MoNet with self-loops": {},
    "GCN-64*": dict(cora="81.4 +- 0.5", citeseer="70.9 +- 0.5", pubmed="79.0 +- 0.3"),
    "GAT": dict(cora="83.0 +- 0.7", citeseer="72.5 +- 0.7", pubmed="79.0 +- 0.3"),
    # GAT's numbers once more, its weights kept by val loss alone, as PyTorch Geometric's benchmark/citation keeps them
    "GAT by loss": dict(cora="83.0 +- 0.7", citeseer="72.5 +- 0.7", pubmed="79.0 +- 0.3"),
}, {
    "MLP": {"MLP": partial(convolutions, net=MLP)},
    **graphs_baselines.RUN,
    "Chebyshev": {f"Chebyshev K={K}": partial(convolutions, net=ChebyshevNet, K=K) for K in (2, 3)},
    "GCN": {"GCN": convolutions},
    "GCN-64*": {"GCN-64 ReLU": partial(convolutions, width=64, activation=relu),
                "GCN-64 ELU": partial(convolutions, width=64, activation=elu)},
    "GAT": {"GAT": gat},
    "GAT by loss": {"GAT by loss": partial(gat, by=("loss",))},
}, deterministic=graphs_baselines.DETERMINISTIC, why=graphs_baselines.WHY | {
    ("GAT", "pubmed"): BY_BOTH, ("GCN", "citeseer"): STOPPED})
