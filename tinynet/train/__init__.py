"""Training: the names that users type; the loop, its batches and its rules stand in this folder."""

from tinynet.train.evaluation import evaluate
from tinynet.train.history import History
from tinynet.train.loop import fit

__all__ = ["History", "evaluate", "fit"]
