"""Masks of attention: boolean, True where a query may attend to a key."""

import numpy as np

from tinynet.shapes import ShapeError


def check_mask(block, mask, shape):
    """Raises TypeError unless the mask is boolean, ShapeError unless it broadcasts to `shape` (..., M, N)."""
    if mask is None:
        return
    if mask.dtype != bool:
        raise TypeError(f"{block}: mask holds {mask.dtype}; give booleans, True where a query may attend to a key")
    try:
        np.broadcast_to(mask, shape)
    except ValueError:
        raise ShapeError(f"{block}: mask has shape {mask.shape}, which doesn't broadcast to queries and keys "
                         f"(..., M, N) = {shape}; add axes of size 1 where it is to be repeated") from None


def forbidden(mask, causal, M, N):
    """Where a query may not look, broadcastable to (..., M, N); None where it may look everywhere."""
    if mask is None and not causal:
        return None
    if mask is None:
        return ~np.tri(M, N, dtype=bool)
    return ~(mask & np.tri(M, N, dtype=bool)) if causal else ~mask
