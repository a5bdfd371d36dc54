"""How the systems that are older than graph convolutions are trained on the citation graphs, and MoNet.

Slides: shi fig9, erratum 17, erratum 18, erratum 19

Sources: Yang, Cohen and Salakhutdinov 2016 ("Planetoid", arXiv:1603.08861), from whose table 3 the papers' rows are;
Kipf and Welling 2017 (ICA); Monti et al. 2017 (MoNet).  Nothing is chosen by test accuracy: settings, weights and the
moment to stop are chosen by val.

*Unseen*: the citations of test papers are left out of training, as in the paper's rows of ManiReg, SemiEmb and
Planetoid-I ("inductive").  Where a setting is chosen by val, those of val are left out for the choice, too; otherwise
what fits val best would lean on citations that a test paper doesn't have.
"""

import warnings
from functools import lru_cache, partial

import numpy as np

from tinynet import optim
from tinynet.backend import no_grad
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.losses.skip_gram import skip_gram, skip_gram_descent
from tinynet.data.citation import citation
from tinynet.models.graphs.deep_walk import deep_walk, noise_of, pairs_of, random_walks, rows_of_length_1
from tinynet.models.graphs.iterative_classification import iterative_classification
from tinynet.models.graphs.label_propagation import label_propagation, unreached
from tinynet.models.graphs.mani_reg import Smoothness
from tinynet.models.graphs.monet import MoNet
from tinynet.models.graphs.planetoid import PlanetoidI, PlanetoidT, label_pairs
from tinynet.models.graphs.semi_emb import SemiEmb, drawn_pairs, semi_emb_loss
from tinynet.sparse import SparseRows
from tinynet.train.batches import Whole
from tinynet.train.loop import fit
from tinynet.train.nodes import fit_nodes, measure
from tinynet.train.rules import Patience


@lru_cache(maxsize=1)
def papers(dataset, folder):
    return citation(dataset, folder)


# %% What all need
def unseen(data, *parts):
    """The graph without the citations of these papers."""
    hidden = np.zeros(data.graph.nodes, bool)
    hidden[np.concatenate(parts)] = True
    return data.graph.only(~hidden[data.graph.rows] & ~hidden[data.graph.indices])


def length_1(x):
    """SparseRows with rows of length 1; a row of zeros stays."""
    square = np.bincount(x.rows, x.values.astype(float) ** 2, x.shape[0])
    values = x.values / np.sqrt(np.where(square > 0, square, 1))[x.rows]
    return SparseRows(x.indptr, x.indices, values.astype(x.values.dtype), x.shape)


def accuracies(said, data, **more):
    """{"val accuracy", "test accuracy"} in % of labels said for all papers (N)."""
    right = said == data.labels
    return more | {f"{part} accuracy": 100 * right[nodes].mean()
                   for part, nodes in (("val", data.val), ("test", data.test))}


def best(found):
    """Of [(val accuracy, anything)] what comes with the highest; the first of several."""
    return max(found, key=lambda pair: pair[0])[1]


class Best:
    """A rule: keep the weights of the best accuracy on val, of equal ones those with the lowest loss; stop when `looks`
    looks in a row were no better.
    """

    def __init__(self, looks):
        self.looks, self.top, self.waited = looks, (-1.0, -np.inf), 0

    def __call__(self, row):
        score = row["val_accuracy"], -row["val_loss"]
        better = score > self.top
        self.top, self.waited = max(score, self.top), 0 if better else self.waited + 1
        return better, self.waited >= self.looks


def descend(net, optimizer, loss, logits, data, steps, looks=30):
    """Train on `loss()`, which draws its own batches; each tenth step looks at val.  The net ends with the weights of
    the best look.  Returns the steps done.

    logits   logits(nodes) of the net
    """
    def loss_or_val(net, nodes=None):
        return loss() if nodes is None else cross_entropy(logits(nodes), data.labels[nodes])

    def accuracy(net, nodes):
        return (logits(nodes).data.argmax(axis=1) == data.labels[nodes]).mean()

    history = fit(net, loss_or_val, Whole((), 1), optimizer, steps=steps, every=10, val=Whole((data.val,), 1),
                  metrics={"accuracy": accuracy}, rule=Best(looks), progress=False)
    return history["step"][-1]


def _evaluated(net, logits, nodes):
    with no_grad():
        net.eval()
        return logits(nodes).data


def of_net(net, logits, data, **more):
    """Accuracies of a trained net."""
    return accuracies(_evaluated(net, logits, np.arange(data.graph.nodes)).argmax(axis=1), data, **more)


# %% LP: the quoted numbers are those of 4 to 6 rounds, erratum 18
def propagation(run, **settings):
    """Label propagation; "out of reach" is the share of test papers whose component has no label, erratum 19."""
    data = papers(run.dataset, run.data)
    with warnings.catch_warnings(action="ignore"):          # the column tells it
        scores = label_propagation(data.graph, data.train, data.labels[data.train], data.classes, **settings)
    out = np.isin(data.test, unreached(data.graph, data.train)).mean()
    return accuracies(scores.argmax(axis=1), data, **{"out of reach": 100 * out})


# %% ManiReg
RIDGES, SMOOTHS = (1e-4, 1e-3, 1e-2, 1e-1), (0, 0.01, 0.1, 1, 10, 100)


def mani_reg(run, seen=False):
    """LapRLS, rows of length 1; ridge and smooth by val."""
    data = papers(run.dataset, run.data)
    x, known = length_1(data.features), data.train
    dense = x.dense()
    labelled = known, data.labels[known], data.classes

    def said(prepared, setting):
        W, b = prepared.solve(*setting)
        return (dense @ W.astype(dense.dtype) + b).argmax(axis=1)

    choosing = Smoothness(x, data.graph if seen else unseen(data, data.val, data.test), *labelled)
    grid = [(ridge, smooth) for ridge in RIDGES for smooth in SMOOTHS]
    setting = best([(accuracies(said(choosing, s), data)["val accuracy"], s) for s in grid])
    final = choosing if seen else Smoothness(x, unseen(data, data.test), *labelled)
    hidden = {} if seen else {"citations of val hidden": accuracies(said(choosing, setting), data)["test accuracy"]}
    return accuracies(said(final, setting), data, ridge=setting[0], smooth=setting[1], **hidden)


# %% SemiEmb
def semi_emb(run, seen=False, weight=10.0, pairs=200):
    """Adam .01, l2 5e-4 on the first layer, 200 edges and 200 pairs a step, at most 1000 steps."""
    data, rng = papers(run.dataset, run.data), np.random.default_rng(run.seed)
    x, known = data.features.normalised(), data.train
    graph = data.graph if seen else unseen(data, data.test)
    nodes = np.arange(graph.nodes) if seen else np.setdiff1d(np.arange(graph.nodes), data.test)
    net = SemiEmb(x.shape[1], data.classes, rng=rng)
    adam = optim.Adam(net.parameters(), lr=0.01)

    def loss():
        drawn = drawn_pairs(graph, nodes, pairs, rng)
        l2 = (net.W * net.W).sum() * (5e-4 / 2)
        return semi_emb_loss(net, x, known, data.labels[known], *drawn, weight=weight) + l2

    def logits(nodes):
        return net(x.take(nodes))

    steps = descend(net, adam, loss, logits, data, 1000)
    return of_net(net, logits, data, steps=steps)


# %% DeepWalk
def walks_and_regression(run, **settings):
    """Logistic regression on rows of length 1, C by val."""
    from sklearn.linear_model import LogisticRegression

    data = papers(run.dataset, run.data)
    e = rows_of_length_1(deep_walk(data.graph, rng=run.seed, **settings))

    def said(C):
        return LogisticRegression(C=C, max_iter=1000).fit(e[data.train], data.labels[data.train]).predict(e)

    found = [(accuracies(labels, data), C) for C in (0.1, 1, 10, 100) for labels in [said(C)]]
    return best([(measured["val accuracy"], {"C": C} | measured) for measured, C in found])


# %% ICA
ICA = {"cora": (False, 0.1), "citeseer": (False, 0.01), "pubmed": (True, 10)}       # shares?, C: chosen by val


def ica(run, setting=None):
    """Words as they are, ten rounds in one random order; setting is (shares?, C)."""
    data = papers(run.dataset, run.data)
    shares, C = setting or ICA[run.dataset]
    found = iterative_classification(data.features, data.graph, data.train, data.labels[data.train], data.classes, C=C,
                                     shares=shares, rng=run.seed)
    return accuracies(found.labels, data)


# %% Planetoid
def planetoid_t(run, passes=10, pairs=200_000):
    """Descent pair by pair, step .025: pairs of labels, then walks of 10 from every paper; then the labels, step .1
    (Pubmed: rows of length 1, step 1).
    """
    data, rng = papers(run.dataset, run.data), np.random.default_rng(run.seed)
    pubmed, known = run.dataset == "pubmed", data.train
    x = length_1(data.features) if pubmed else data.features
    net = PlanetoidT(data.graph.nodes, x.shape[1], data.classes, rng=rng)
    e, w = net.e.data, net.contexts.data
    skip_gram_descent(e, w, *label_pairs(known, data.labels[known], pairs, rng), 0.025)
    for some in _walked(data.graph, passes, 200, rng):
        skip_gram_descent(e, w, *some, 0.025)
    sgd = optim.SGD([p for p in net.parameters() if p is not net.contexts], lr=1.0 if pubmed else 0.1)
    labelled = x.take(known)

    def logits(nodes):
        return net(x.take(nodes), nodes)[2]

    steps = descend(net, sgd, lambda: net.loss(labelled, known, data.labels[known]), logits, data, 2500, looks=60)
    return of_net(net, logits, data, steps=steps)


def planetoid_i(run, passes=5, pairs=20_000, seen=False):
    """The same with e = ReLU(x W): steps of length .01 on the pairs of 20 walks, no test paper in any pair; a tenth of
    the steps on the labels comes with 20 more walks.
    """
    data, rng = papers(run.dataset, run.data), np.random.default_rng(run.seed)
    pubmed, known = run.dataset == "pubmed", data.train
    x = length_1(data.features) if pubmed else data.features
    graph = data.graph if seen else unseen(data, data.test)
    net = PlanetoidI(graph.nodes, x.shape[1], data.classes, rng=rng)
    of_pairs = optim.SGD([net.W, net.contexts], lr=0.01)
    of_labels = optim.SGD([p for p in net.parameters() if p is not net.contexts], lr=1.0 if pubmed else 0.1)

    def step(pairs, gamma):
        """On the sum over these pairs; each row is computed once."""
        rows, i = np.unique(pairs[:, 0], return_inverse=True)
        net.zero_grad()
        skip_gram(net.embedding(x.take(rows), rows), net.contexts, pairs=np.stack([i, pairs[:, 1]], 1),
                  gamma=gamma).backward()
        of_pairs.step()

    drawn, gamma = label_pairs(known, data.labels[known], pairs, rng)
    for at in range(0, pairs, 100):
        step(drawn[at:at + 100], gamma[at:at + 100])
    for some in _walked(graph, passes, 20, rng):
        step(*some)
    more, labelled = _walked(graph, 10**9, 20, rng), x.take(known)

    def loss():
        if rng.random() < 0.1:
            step(*next(more))
            net.zero_grad()
        return net.loss(labelled, known, data.labels[known])

    def logits(nodes):
        return net(x.take(nodes), nodes)[2]

    steps = descend(net, of_labels, loss, logits, data, 2500, looks=60)
    return of_net(net, logits, data, steps=steps)


def _walked(graph, passes, at_once, rng, length=10, window=3):
    """Pairs and signs of so many walks at once, from every paper with citations in each pass; pairs as in the
    public code.
    """
    noise, joined = noise_of(np.ones(graph.nodes)), np.flatnonzero(graph.degrees)
    for _ in range(passes):
        starts = rng.permutation(joined)
        for at in range(0, len(starts), at_once):
            walks = random_walks(graph, starts[at:at + at_once], length, rng)
            yield pairs_of(walks, window, 1, noise, rng, whole=True)


# %% MoNet
def monet(run, self_loops=False, normalised=True):
    """Adam .01, l2 5e-4 on all, 200 epochs, weights with the lowest loss on val."""
    data = papers(run.dataset, run.data)
    x, graph = data.features.normalised(), data.graph.with_self_loops() if self_loops else data.graph
    net = MoNet(x.shape[1], data.classes, coordinates=3 if run.dataset == "pubmed" else 2, normalised=normalised,
                rng=run.seed)
    adam = optim.Adam(net.parameters(), lr=0.01, l2=5e-4)
    fit_nodes(net, x, graph, data.labels, data.train, data.val, adam, Patience(200, ("loss",)), 200)
    return {f"{part} accuracy": 100 * measure(net, x, graph, data.labels, nodes)["accuracy"]
            for part, nodes in (("val", data.val), ("test", data.test))}


# %% What FIG9 takes from here
ROUNDS = {f"LP {rounds} rounds": rounds for rounds in (4, 5, 6, 10, 20)} | {"LP to the end": 100_000}
RUN = {
    "ManiReg": {"ManiReg": mani_reg},
    "ManiReg, all citations": {"ManiReg, all citations": partial(mani_reg, seen=True)},
    "SemiEmb": {"SemiEmb": semi_emb, "SemiEmb, weight 0.1": partial(semi_emb, weight=0.1)},
    "SemiEmb, all citations": {"SemiEmb, all citations": partial(semi_emb, seen=True)},
    "LP": {variant: partial(propagation, at_most=rounds) for variant, rounds in ROUNDS.items()},
    "DeepWalk": {"DeepWalk": walks_and_regression,
                 "DeepWalk, short walks": partial(walks_and_regression, width=50, length=10, window=3)},
    "ICA": {"ICA": ica, "ICA, shares, C 1": partial(ica, setting=(True, 1))},
    "Planetoid": {"Planetoid-T": planetoid_t, "Planetoid-I": planetoid_i},
    "MoNet": {"MoNet": monet, "MoNet with self-loops": partial(monet, self_loops=True)},
}
DETERMINISTIC = ("LP", "ManiReg", "ManiReg, all citations")
LP_EARLY = "the quoted row is what 4 to 6 rounds give (erratum 18), see LP 4, 5 and 6 rounds in the ledger"
LIGHTER = "its penalty weighs 10 here; with a weight of 0.1 it gives less, see SemiEmb, weight 0.1 in the ledger"
FEWER_UPDATES = ("the quoted run had fewer updates, as it seems; ten walks of 10 with windows up to 3 give less than "
                 "quoted, see DeepWalk, short walks in the ledger")
LEANS_ON_VAL = ("its last training sees the citations of val papers and leans on them; without them it is nearer, see "
                "\"citations of val hidden\" in the ledger")
WHY = {
    **{("LP", dataset): LP_EARLY for dataset in ("cora", "citeseer", "pubmed")},
    **{("DeepWalk", dataset): FEWER_UPDATES for dataset in ("cora", "citeseer", "pubmed")},
    ("ICA", "pubmed"): "C is chosen by val; the public code's default gives less, see ICA, shares, C 1 in the ledger",
    ("ManiReg", "citeseer"): LEANS_ON_VAL, ("SemiEmb", "cora"): LIGHTER, ("SemiEmb", "citeseer"): LIGHTER,
    ("SemiEmb", "pubmed"): LIGHTER + "; both papers have 71.1, not 71.7 (erratum 17)"}
