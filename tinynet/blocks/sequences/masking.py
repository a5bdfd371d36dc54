"""Masks of sequences: boolean, True where a query may attend to a key, or where a sequence has a token."""

import numpy as np

from tinynet.shapes import ShapeError

PAD, UNKNOWN, BEGIN, END = range(4)     # the numbers of the tokens that are no words, in all vocabularies


def check_mask(block, mask, shape, floating=False):
    """Raises TypeError unless the mask is boolean, ShapeError unless it broadcasts to `shape` (..., M, N).

    floating  True where numbers are right, too, which are added to the scores
    """
    if mask is None:
        return
    if mask.dtype != bool and not (floating and mask.dtype.kind == "f"):
        raise TypeError(f"{block}: mask holds {mask.dtype}; give booleans, True where a query may attend to a key"
                        f"{', or floating numbers to be added to the scores' if floating else ''}")
    try:
        np.broadcast_to(mask, shape)
    except ValueError:
        raise ShapeError(f"{block}: mask has shape {mask.shape}, which doesn't broadcast to queries and keys "
                         f"(..., M, N) = {shape}; add axes of size 1 where it is to be repeated") from None


def forbidden(mask, causal, M, N):
    """Where a query may not look, broadcastable to (..., M, N); None where it may look everywhere.

    Of a floating mask what is -inf is forbidden by being added to the scores, not here.
    """
    mask = None if mask is None or mask.dtype != bool else mask
    if mask is None and not causal:
        return None
    if mask is None:
        return ~np.tri(M, N, dtype=bool)
    return ~(mask & np.tri(M, N, dtype=bool)) if causal else ~mask


# %% Tokens
def check_tokens(block, mask, B, T):
    """Raises TypeError unless the mask of tokens is boolean, ShapeError unless it is (B, T)."""
    if mask is None:
        return
    if mask.dtype != bool:
        raise TypeError(f"{block}: mask holds {mask.dtype}; give booleans, True where a sequence has a token")
    if mask.shape != (B, T):
        raise ShapeError(f"{block}: mask has shape {mask.shape}, but x has (B T) = ({B}, {T}); "
                         "give one boolean for each step of each sequence")


def check_sentences(net, t, mask=None):
    """Raises ShapeError unless t is (B, T) and the mask fits, ValueError for a sentence without a token."""
    if np.ndim(t) != 2:
        raise ShapeError(f"{net}: the tokens have shape {np.shape(t)}, but must be (B, T), one row a text; give one "
                         "text as tokens[None]")
    B, T = np.shape(t)
    check_tokens(net, mask, B, T)
    empty = np.full(B, T == 0) if mask is None else ~mask.any(axis=1)
    if empty.any():
        raise ValueError(f"{net}: sentence {int(empty.argmax())} has no tokens; leave it out, or give it at least an "
                         "END")


def tokens(lengths, T=None):
    """The mask (B, T) of sequences with these lengths; T is the longest one's unless it is given.

    Raises TypeError for lengths that aren't whole numbers, ShapeError unless they are (B), ValueError for one below 0
    or above T.

    >>> tokens([2, 0, 1]).astype(int)
    array([[1, 1],
           [0, 0],
           [1, 0]])
    """
    lengths = np.asarray(lengths)
    if lengths.size and lengths.dtype.kind not in "iu":
        raise TypeError(f"tokens: the lengths are {lengths.dtype}, but a length is a whole number of tokens; give "
                        "integers")
    if lengths.ndim != 1:
        raise ShapeError(f"tokens: the lengths have shape {lengths.shape}, but must be (B), one number a sequence")
    T = int(lengths.max(initial=0)) if T is None else T
    if lengths.size and (lengths.min() < 0 or lengths.max() > T):
        wrong = int(np.flatnonzero((lengths < 0) | (lengths > T))[0])
        raise ValueError(f"tokens: sequence {wrong} has length {lengths[wrong]}, but there are T = {T} steps; "
                         "make the lengths fit the array that they describe")
    return np.arange(T) < lengths[:, None]


def reversed_steps(mask, B, T):
    """(B, T) numbers of steps: each sequence's own tokens from its last to its first, then its padding as it is.

    >>> reversed_steps(tokens([3, 2]), 2, 3)
    array([[2, 1, 0],
           [1, 0, 2]])
    """
    t, lengths = np.arange(T), np.full((B, 1), T) if mask is None else mask.sum(axis=1, keepdims=True)
    return np.where(t < lengths, lengths - 1 - t, t)
