"""Training: the names that users type; the loop, its batches and its rules stand in this folder."""

from tinynet.train.loop import History, evaluate, fit

__all__ = ["History", "evaluate", "fit"]
