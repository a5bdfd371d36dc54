"""How each system on citation graphs is trained where the whole graph is seen and few labels are known.

Recipes: Velickovic et al. 2018 (GAT, GCN-64*) and Kipf and Welling 2017 (GCN, Chebyshev, MLP), with their published
code.  Nothing is chosen by test accuracy: weights are kept, and one of a system's variants is taken, by val.
"""

from functools import lru_cache

from tinynet import optim
from tinynet.data.citation import citation
from tinynet.models.graphs.gat import GAT
from tinynet.models.graphs.gcn import GCN
from tinynet.train.nodes import fit_nodes, measure
from tinynet.train.rules import Patience, Window


@lru_cache(maxsize=1)
def papers(dataset, folder):
    """(features with rows that sum to 1, the graph, the graph with self-loops, everything else)"""
    data = citation(dataset, folder)
    return data.features.normalised(), data.graph, data.graph.with_self_loops(), data


def gat(run, by=None):
    """by  what of val decides which weights are kept; None: loss and accuracy, as in the published code, on Citeseer
        accuracy alone, as the authors say (github.com/PetarV-/GAT/issues/14)
    """
    by = by or (("accuracy",) if run.dataset == "citeseer" else ("loss", "accuracy"))
    x, _, graph, data = papers(run.dataset, run.data)
    pubmed = run.dataset == "pubmed"
    net = GAT(x.shape[1], data.classes, out_heads=8 if pubmed else 1, rng=run.seed)
    adam = optim.Adam(net.parameters(), lr=0.01 if pubmed else 0.005, l2=0.001 if pubmed else 0.0005)
    return _train(net, x, graph, data, adam, Patience(100, by), 100_000)


def convolutions(run, net=GCN, **settings):
    """Kipf and Welling's recipe, which they use for Chebyshev and the MLP too."""
    x, graph, _, data = papers(run.dataset, run.data)
    net = net(x.shape[1], data.classes, rng=run.seed, **settings)
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
