"""Planted mistakes: wrong backwards for every block, which the checker must reject and name."""

from . import (
    activations,
    attention,
    cross_stitch_and_apl,
    elementary,
    graphs,
    linear_and_residual,
    losses,
    recurrent,
    softmax_and_norm,
)
from .registry import MUTANTS, Mutant

__all__ = ["MUTANTS", "Mutant", "activations", "attention", "cross_stitch_and_apl", "elementary", "graphs",
           "linear_and_residual", "losses", "recurrent", "softmax_and_norm"]
