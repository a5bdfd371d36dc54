"""Metrics: what is measured beside the loss, in evaluation mode."""

import math

import numpy as np


def accuracy(model, X, y):
    """A metric: the share of rows whose largest output is at the right class."""
    return float((model(X).data.argmax(-1) == y).mean())


def map_at_k(scores, labels, k=10):
    """Mean average precision of the k highest scores of each example, as Youtube-8M's tasks are measured (saha table1).

        AP = 1/R sum_{i<=k} precision@i rel_i,   R = how many of the k are right; 0 where none is

    scores (N, C), labels (N, C) of 0 and 1.  A right label outside the k costs nothing unless all k are wrong.
    Equal scores count in the order of their classes.  Raises ValueError for other shapes, for N = 0 and for k < 1.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.shape != labels.shape or scores.ndim != 2 or not len(scores) or k < 1:
        raise ValueError(f"map_at_k: scores has shape {scores.shape}, labels {labels.shape} and k is {k}; give two "
                         "arrays (N, C) of one shape with N >= 1, and k >= 1")
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    right = np.take_along_axis(labels, top, axis=1).astype(float)
    precision = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
    return float(((precision * right).sum(axis=1) / np.maximum(right.sum(axis=1), 1)).mean())


def micro_f1(logits, labels):
    """2 hits / (2 hits + false alarms + misses), all labels (N, C) of 0 and 1 together; a logit above 0 says yes."""
    said, there = logits > 0, labels > 0
    return 2 * (said & there).sum() / max(said.sum() + there.sum(), 1)


def macro_f1(logits, labels):
    """The mean over the labels of each one's F1; (N, C) as in micro_f1.  A label that nobody has or says counts 0."""
    said, there = logits > 0, labels > 0
    return float((2 * (said & there).sum(axis=0) / np.maximum(said.sum(axis=0) + there.sum(axis=0), 1)).mean())


def top_k(k):
    """A metric: the share of rows whose right class is among the k largest outputs."""
    def measured(model, X, y):
        scores = model(X).data
        right = np.take_along_axis(scores, np.asarray(y)[..., None], axis=-1)
        return float(((scores > right).sum(axis=-1) < k).mean())
    return measured


def perplexity(loss):
    """A metric: exp of `loss`, a mean in nats, e.g. lambda model, x, t: cross_entropy(model(x), t)."""
    return lambda model, *batch: math.exp(loss(model, *batch).item())


# %% How good a translation is
def bleu(outputs, references, tokenise="13a", lowercase=True, order=4):
    """(corpus BLEU in per cent, sacrebleu's signature).  Papineni et al. 2002; Post 2018, arXiv:1804.08771.

    outputs      one string each
    references   one string each, or a list of strings each where there are several (all of one number)
    order        the longest n-grams that count: 1 for BLEU-1, ..., 4
    tokenise     sacrebleu's tokeniser: "13a" for detokenised text, "none" where words are split by spaces already

    A BLEU without its signature says little: one output gets 28.7 or 21.95 by the tokeniser alone.
    Raises ModuleNotFoundError where sacrebleu isn't installed, ValueError where the numbers differ.
    """
    try:
        from sacrebleu.metrics import BLEU
    except ModuleNotFoundError:
        raise ModuleNotFoundError('bleu: sacrebleu is not installed; run pip install "tinynet[text]"') from None
    if len(outputs) != len(references) or not outputs:
        raise ValueError(f"bleu: there are {len(outputs)} outputs and {len(references)} references; give one or more "
                         "outputs, and a reference for each")
    several = [[r] if isinstance(r, str) else list(r) for r in references]
    if len({len(r) for r in several}) > 1:
        raise ValueError("bleu: the outputs have different numbers of references; give each the same number")
    metric = BLEU(tokenize=tokenise, lowercase=lowercase, force=True, max_ngram_order=order)
    return (metric.corpus_score(list(outputs), list(map(list, zip(*several, strict=True)))).score,
            str(metric.get_signature()))
