"""DeepWalk beside gensim's word2vec, and MoNet's layer beside PyTorch Geometric's GMMConv, on the citation graphs.

DeepWalk is compared at equal settings, and the row says how well a classifier reads either embedding.  MoNet's two
layers get the same weights, and their outputs are compared before anything is timed.
"""

import os
import random

import numpy as np

from benchmarks.graph import edge_index
from benchmarks.timing import Row, benchmark, medians, the_same

WALKS = dict(walks=10, length=40)
SETTINGS = dict(width=64, window=10, negatives=1)


# %% DeepWalk
def walks_in_python(neighbours, seed=0):
    """Sentences for gensim, made as DeepWalk's public code makes them: lists, and random.choice."""
    draw = random.Random(seed)
    sentences, nodes = [], [node for node, others in enumerate(neighbours) if others]
    for _ in range(WALKS["walks"]):
        draw.shuffle(nodes)
        for node in nodes:
            walk = [node]
            while len(walk) < WALKS["length"]:
                walk.append(draw.choice(neighbours[walk[-1]]))
            sentences.append(walk)
    return sentences


def word2vec(sentences, nodes, threads):
    """e (N, width) of gensim, a row for each node."""
    from gensim.models import Word2Vec

    model = Word2Vec(sentences, vector_size=SETTINGS["width"], window=SETTINGS["window"], min_count=0, sg=1, hs=0,
                     negative=SETTINGS["negatives"], sample=0, epochs=1, workers=threads, seed=0)
    e = np.zeros((nodes, SETTINGS["width"]), np.float32)
    e[model.wv.index_to_key] = model.wv.vectors
    return e


def read_off(e, data):
    """Test accuracy (%) of a logistic regression on the rows."""
    from sklearn.linear_model import LogisticRegression

    from tinynet.models.graphs.deep_walk import rows_of_length_1

    e = rows_of_length_1(e)
    return 100 * LogisticRegression(max_iter=1000).fit(e[data.train], data.labels[data.train]).score(
        e[data.test], data.labels[data.test])


def deep_walk_rows(dataset="cora", seconds=20.0):
    """Walks and skip-gram together, and skip-gram alone on walks that are there."""
    import gensim  # noqa: F401  (an extra: without it the row is left out)

    from tinynet.data.citation import citation
    from tinynet.models.graphs.deep_walk import deep_walk

    data, threads = citation(dataset), int(os.environ.get("OMP_NUM_THREADS", 2))
    neighbours = [data.graph.neighbours(i).tolist() for i in range(data.graph.nodes)]
    sentences = walks_in_python(neighbours)

    def ours():
        return deep_walk(data.graph, rng=0, **WALKS, **SETTINGS)

    def theirs():
        return word2vec(walks_in_python(neighbours), data.graph.nodes, threads)

    def theirs_walked():
        return word2vec(sentences, data.graph.nodes, threads)

    told, told_theirs = read_off(ours(), data), read_off(theirs(), data)
    ms = medians({"tinynet": ours, "gensim": theirs, "walks given": theirs_walked}, seconds, rounds=(3, 20))
    name = f"DeepWalk on {dataset.capitalize()} ({told:.1f} %, gensim {told_theirs:.1f} %)"
    return [Row(name, ms["tinynet"], "walks and gensim", ms["gensim"], ms["gensim"] / ms["tinynet"], 1),
            Row(name + ", walks included in ours alone", ms["tinynet"], "gensim, walks given", ms["walks given"],
                ms["walks given"] / ms["tinynet"], None)]


# %% MoNet
def monet_pair(dataset, d_in=64, d_out=16, kernels=3):
    """{library: forward and backward of a layer in its plain sum}"""
    import torch
    from torch_geometric.nn import GMMConv

    from tinynet.blocks.graphs.mixture_convolution import MixtureConvolution, degree_coordinates
    from tinynet.blocks.units.activations import tanh
    from tinynet.data.citation import citation

    graph, rng = citation(dataset).graph, np.random.default_rng(0)
    x, dy = (rng.normal(size=(graph.nodes, d)).astype(np.float32) for d in (d_in, d_out))
    layer = MixtureConvolution(d_in, d_out, kernels, normalised=False, rng=0)
    u = torch.from_numpy(tanh(layer.A(degree_coordinates(graph))).data)         # ours computes these each time
    other = GMMConv(d_in, d_out, dim=2, kernel_size=kernels, aggr="add", root_weight=False)
    other.root = None           # without root_weight version 2.8 forgets to set it, and then asks for it
    with torch.no_grad():
        for theirs, ours in ((other.g, layer.Theta), (other.mu, layer.mu), (other.sigma, layer.sigma),
                             (other.bias, layer.b)):
            theirs.copy_(torch.from_numpy(ours.data))
    full, index, upstream = torch.from_numpy(x), edge_index(graph), torch.from_numpy(dy)
    the_same(layer(x, graph).data, other(full, index, u).detach().numpy())

    def step():
        layer.zero_grad()
        layer(x, graph).backward(dy)

    def their_step():
        other.zero_grad()
        other(full, index, u).backward(upstream)

    return {"tinynet": step, "PyTorch Geometric": their_step}


@benchmark("MoNet's layer on Cora, forward and backward", goal=2)
def graph_monet_cora():
    return monet_pair("cora")


@benchmark("MoNet's layer on Pubmed, forward and backward", goal=2)
def graph_monet_pubmed():
    return monet_pair("pubmed")
