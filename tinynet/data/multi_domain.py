"""Generated multi-domain, multi-label data in the form of Youtube-8M's tasks: for tests, the metric and the clock.

Inputs and hidden causes are common to all domains.  Each domain has labels of its own, which depend on the causes by
one of two bends, max(0, z) or |z|: domains of a group bend alike.
"""

from typing import NamedTuple

import numpy as np


class Domain(NamedTuple):
    """X (N, d) float32 and Y (N, classes) float32 of 0 and 1, for training and for testing; group 0 or 1."""

    X: np.ndarray
    Y: np.ndarray
    X_test: np.ndarray
    Y_test: np.ndarray
    group: int


def multi_domain(seed=0, tasks=8, d=24, causes=6, test=200):
    """A list of Domains of 40 to 400 examples with 12 to 20 labels; the same seed gives the same arrays.

    A label is on for the share of examples, 10 to 30 %, whose score is highest.  Raises ValueError for sizes below 1.

    >>> domains = multi_domain()
    >>> len(domains), domains[0].X.shape[1], sorted({domain.group for domain in domains})
    (8, 24, [0, 1])
    """
    if min(tasks, d, causes, test) < 1:
        raise ValueError(f"multi_domain: tasks={tasks}, d={d}, causes={causes}, test={test}; give 1 or more of each")
    rng = np.random.default_rng(seed)
    mix, bends = rng.normal(size=(d, causes)) / np.sqrt(d), (lambda z: np.maximum(z, 0), np.abs)
    shared = rng.normal(size=(causes, causes)) / np.sqrt(causes)
    domains = []
    for t in range(tasks):
        n, classes = int(rng.integers(40, 401)), int(rng.integers(12, 21))
        X = rng.normal(size=(n + test, d))
        scores = bends[t % 2](X @ mix @ shared) @ rng.normal(size=(causes, classes))
        share = rng.uniform(0.1, 0.3, classes)
        Y = scores > [np.quantile(s, 1 - q) for s, q in zip(scores.T, share, strict=True)]
        X, Y = X.astype(np.float32), Y.astype(np.float32)
        domains.append(Domain(X[:n], Y[:n], X[n:], Y[n:], t % 2))
    return domains
