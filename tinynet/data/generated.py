"""A citation graph made up on the spot, in the form of Cora: for tests and lessons where the real files aren't there.

Papers cite mostly papers of their own subject, a few of them very often, and say a few words, some on their subject:
neither the words nor the citations alone tell the subject well.
"""

import numpy as np

from tinynet.data.citation import Citation
from tinynet.graph import Graph
from tinynet.sparse import SparseRows

PER_CLASS = 20      # labelled papers of a class, as in the public split
WITHIN = 0.8        # the chance of a citation to stay within its subject
LENGTH = 12         # words drawn for a paper
ON_TOPIC = 0.25     # the chance of a word to be drawn from those of the subject


def generated_citation(seed=0, nodes=600, classes=4, words=300):
    """A Citation with this many papers, subjects and words; the same seed gives the same arrays.

    The first 20 papers of each class are train, the next nodes/5 papers val, and the rest, at the end, test.
    Raises ValueError unless there are two classes, a word for each, and papers enough for the three parts.

    >>> papers = generated_citation()
    >>> papers.features.shape, len(papers.train), len(papers.val), len(papers.test), papers.classes
    ((600, 300), 80, 120, 400, 4)
    """
    train, val = PER_CLASS * classes, nodes // 5
    if classes < 2 or words < classes or nodes <= train + val:
        raise ValueError(f"generated_citation: {nodes} nodes, {classes} classes and {words} words don't do; give 2 "
                         f"classes or more, a word for each, and over {25 * classes} nodes (20 labelled ones a class, "
                         "a fifth for val, the rest for test)")
    rng = np.random.default_rng(seed)
    labels = np.append(rng.permutation(np.arange(train) % classes), rng.integers(classes, size=nodes - train))
    return Citation(_words(rng, labels, classes, words), labels, _citations(rng, labels, classes),
                    *np.split(np.arange(nodes), [train, train + val]), classes)


def _citations(rng, labels, classes):
    """Every paper cites one or more, two on average, drawn by their fame: most are cited rarely, a few very often."""
    citing = np.repeat(np.arange(len(labels)), 1 + rng.poisson(1, len(labels)))
    away = (rng.random(len(citing)) > WITHIN) * rng.integers(1, classes, len(citing))
    subject = (labels[citing] + away) % classes
    fame, cited = 1 + rng.pareto(1.5, len(labels)), np.empty_like(citing)
    for c in range(classes):
        chance = fame * (labels == c)
        cited[subject == c] = rng.choice(len(labels), (subject == c).sum(), p=chance / chance.sum())
    return Graph.from_edges(np.stack([citing, cited], axis=1), len(labels)).undirected().without_self_loops()


def _words(rng, labels, classes, words):
    """Word w has rank w: drawn with a chance like 1 / rank, from all words or from those of the paper's subject."""
    topic, chance = np.arange(words) % classes, 1 / (10 + np.arange(words))
    said = np.zeros((len(labels), words), np.float32)
    for c in range(classes):
        papers = np.repeat(np.flatnonzero(labels == c), LENGTH)
        mixed = (1 - ON_TOPIC) * chance / chance.sum() + ON_TOPIC * chance * (topic == c) / chance[topic == c].sum()
        said[papers, rng.choice(words, len(papers), p=mixed)] = 1
    return SparseRows.from_dense(said)
