"""How each system is trained on PPI, 24 graphs with 121 labels of which several may hold.

Recipes: Velickovic et al. 2018 (GAT, Const-GAT, and the MLP with the same training) and Hamilton et al. 2017.
"""

from functools import lru_cache

import numpy as np

from tinynet import optim, train
from tinynet.backend import no_grad
from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy
from tinynet.data.ppi import ppi
from tinynet.graph import Graph
from tinynet.metrics import micro_f1
from tinynet.models.graphs.gat import InductiveGAT
from tinynet.models.graphs.graph_sage_net import GraphSAGE
from tinynet.train.rules import EarlyStopping


@lru_cache(maxsize=1)
def proteins(folder):
    """(all graphs: 20 train, 2 val, 2 test; the numbers of each part)"""
    parts = ppi(folder)
    ends = np.cumsum([len(part) for part in parts])
    return [g for part in parts for g in part], np.split(np.arange(ends[-1]), ends[:-1])


def side_by_side(graphs):
    """(features, labels, graph) of several graphs."""
    return (np.concatenate([g.features for g in graphs]), np.concatenate([g.labels for g in graphs]),
            Graph.union([g.graph for g in graphs]))


def random_on_ppi(run):
    """Each label said with the share of training proteins that have it: scikit-learn's DummyClassifier, as it was when
    GraphSAGE's public evaluation printed it as "Random baseline".
    """
    graphs, (learn, _, test) = proteins(run.data)
    shares = np.concatenate([graphs[i].labels for i in learn]).mean(axis=0)
    labels = np.concatenate([graphs[i].labels for i in test])
    said = np.random.default_rng(run.seed).random(labels.shape) < shares
    return {"micro-F1": micro_f1(said - 0.5, labels)}


def gat_on_ppi(run, make=InductiveGAT):
    """Two graphs a step, Adam .005, the weights with the lowest loss on val within 100 epochs of waiting."""
    graphs, (learn, val, test) = proteins(run.data)
    net = make(graphs[0].features.shape[1], graphs[0].labels.shape[1], rng=run.seed)

    def loss(net, rows):
        x, labels, graph = side_by_side([graphs[row] for row in rows])
        return binary_cross_entropy(net(x, graph.with_self_loops()), labels)

    train.fit(net, loss, (learn,), optim.Adam(net.parameters(), lr=0.005), 100_000, batch_size=2, val=(val,),
              rule=EarlyStopping(100), rng=run.seed, progress=False)
    x, labels, graph = side_by_side([graphs[row] for row in test])
    with no_grad():
        return {"micro-F1": micro_f1(net.eval()(x, graph.with_self_loops()).data, labels)}


def sage_on_ppi(run, make=GraphSAGE, **settings):
    """512 proteins a step, Adam .01, 10 epochs."""
    graphs, (learn, _, test) = proteins(run.data)
    x, labels, graph = side_by_side([graphs[row] for row in learn])
    net = make(x.shape[1], labels.shape[1], rng=run.seed, **settings)
    fit_sage(net, x, graph.without_self_loops(), np.arange(len(x)), labels, binary_cross_entropy, run.seed)
    x, labels, graph = side_by_side([graphs[row] for row in test])
    return {"micro-F1": micro_f1(logits_of(net, x, graph.without_self_loops(), np.arange(len(x))), labels)}


def fit_sage(net, x, graph, nodes, labels, loss, seed):
    train.fit(net, lambda net, some: loss(net(x, graph, some), labels[some]), (nodes,),
              optim.Adam(net.parameters(), lr=0.01), 10, batch_size=512, rng=seed, progress=False)


def logits_of(net, x, graph, nodes):
    """Of GraphSAGE, in evaluation, 512 nodes at once."""
    net.eval()
    with no_grad():
        return np.concatenate([net(x, graph, nodes[i:i + 512]).data for i in range(0, len(nodes), 512)])
