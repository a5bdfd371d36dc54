"""Weighted sum: weights that stay as they were given, and the grid search that finds them.

    (1)  L = sum_k alpha[k] L[k]          tomaszewska weighted

A static weight can only say how much a task counts on average.  What it costs to find it is one
training run for each point of the grid.
"""

from itertools import product

import numpy as np

from tinynet.balancing.rule import Rule


class WeightedSum(Rule):
    """The given weights; equal ones, 1 a task, where none are given."""

    def __init__(self, weights=None):
        self.weights = None if weights is None else tuple(float(w) for w in weights)
        self.tasks = None if weights is None else len(self.weights)
        self._need(weights is None or (np.isfinite(self.weights).all() and min(self.weights, default=-1) >= 0),
                   f"the weights are {weights}; give one for each task, 0 or more")

    def weigh(self, losses, gradients):
        return np.ones(len(losses)) if self.weights is None else np.array(self.weights)        # (1)


def weight_grid(tasks, ratios=(0.01, 0.1, 1, 10, 100)):
    """All weights (points, T) whose ratios to the first task's are in `ratios`, scaled to sum to T.

    There are len(ratios) ** (T - 1) points: 5 for two tasks, 625 for five.
    Raises ValueError for no task.
    """
    if tasks < 1:
        raise ValueError(f"weight_grid: there are {tasks} tasks; give at least 1")
    points = np.array([(1, *point) for point in product(ratios, repeat=tasks - 1)], float)
    return points * (tasks / points.sum(axis=1, keepdims=True))


def grid_search(score, grid):
    """Try every point: (the weights with the lowest score, all scores).  score(weights) trains a net anew and
    returns how bad it is on validation data.  A run that fails by NaN counts as inf."""
    scores = np.array([_score_or_inf(score, weights) for weights in grid])
    return grid[int(scores.argmin())], scores


def _score_or_inf(score, weights):
    try:
        value = float(score(weights))
    except FloatingPointError:
        return np.inf
    return value if np.isfinite(value) else np.inf
