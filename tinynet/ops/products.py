"""The matrix product, and products of any axes (einsum)."""

from collections import Counter

import numpy as np

from tinynet import threads
from tinynet.engine import Op
from tinynet.ops.broadcasting import needs, summed, unbroadcast
from tinynet.shapes import ShapeError


@needs("a's last axis must be as long as b's last but one (or only) one, and the axes before them equal or 1; "
       "transpose one, e.g. with .swapaxes(-1, -2)")
def matmul_forward(a, b):
    return threads.matmul(a, b), (a, b)


def matmul_backward(dy, cache):
    """dA = dY B', dB = A' dY, with a vector taken as a row on the left and a column on the right."""
    a, b = cache
    A, B = (a[None, :] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    dY = dy[..., None] if b.ndim == 1 else dy
    dY = dY[..., None, :] if a.ndim == 1 else dY
    dA, dB = threads.matmul(dY, B.swapaxes(-1, -2)), threads.matmul(A.swapaxes(-1, -2), dY)
    return unbroadcast(dA, A.shape).reshape(a.shape), unbroadcast(dB, B.shape).reshape(b.shape)


# %% Einsum
def _letters(subscripts, shapes):
    """(letters of each array, letters of the result): spaces gone, `...` spelled out, the result written."""
    inputs, arrow, result = subscripts.replace(" ", "").partition("->")
    inputs = inputs.split(",")
    if len(inputs) != len(shapes):
        raise ShapeError(f"einsum: {subscripts!r} names {len(inputs)} arrays, and {len(shapes)} are given")
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in subscripts]
    spare = [len(shape) - len(term.replace("...", "")) for term, shape in zip(inputs, shapes, strict=True)]
    dots = "".join(free[:max([n for n, term in zip(spare, inputs, strict=True) if "..." in term], default=0)])
    if not arrow:
        count = Counter("".join(inputs).replace(".", ""))
        result = "..." * ("..." in subscripts) + "".join(sorted(c for c, n in count.items() if n == 1))
    inputs = [term.replace("...", dots[len(dots) - n:] if n > 0 else "") for term, n in zip(inputs, spare, strict=True)]
    return inputs, result.replace("...", dots)


@needs("a letter must mean the same size (or 1) wherever it stands")
def einsum_forward(*arrays, subscripts=""):
    """Sums of products over the letters that the result lacks, e.g. subscripts="ij,jk->ik" for a matrix product."""
    terms, result = _letters(subscripts, [a.shape for a in arrays])
    short = [_alone_summed(i, arrays, terms, result) for i in range(len(arrays))]
    y = np.einsum(",".join(term for term, _ in short) + "->" + result, *(a for _, a in short), optimize=len(arrays) > 1)
    return y, (arrays, terms, result)


def _alone_summed(i, arrays, terms, result):
    """(letters, array) of array i, summed over the letters that stand nowhere else: in blocks, which is more exact."""
    others = "".join(term for k, term in enumerate(terms) if k != i) + result
    axes = tuple(k for k, c in enumerate(terms[i]) if c not in others and terms[i].count(c) == 1)
    return "".join(c for k, c in enumerate(terms[i]) if k not in axes), summed(arrays[i], axes) if axes else arrays[i]


def einsum_backward(dy, cache):
    """For each array: the same sum, with dy in its place and its letters as the result."""
    arrays, terms, result = cache
    return tuple(_through(dy, arrays, terms, result, i) for i in range(len(arrays)))


def _through(dy, arrays, terms, result, i):
    others = [a for k, a in enumerate(arrays) if k != i]
    known = [result, *(term for k, term in enumerate(terms) if k != i)]
    own = "".join(dict.fromkeys(terms[i]))                  # each letter once: of a diagonal there is one gradient
    shared = "".join(c for c in own if any(c in term for term in known))
    d = np.einsum(",".join(known) + "->" + shared, dy, *others, optimize=len(others) > 0)
    size = dict(zip(terms[i], arrays[i].shape, strict=True))
    for axis, c in enumerate(own):
        if c not in shared:                                 # summed over in this array alone
            d = np.expand_dims(d, axis)
    d = unbroadcast(d, tuple(1 if size[c] == 1 else n for c, n in zip(own, d.shape, strict=True)))
    d = np.broadcast_to(d, tuple(size[c] for c in own))
    if own == terms[i]:
        return d
    dx = np.zeros(arrays[i].shape, d.dtype)
    np.einsum(f"{terms[i]}->{own}", dx)[...] = d            # a view of the diagonal
    return dx


class Einsum(Op):
    """An op called as np.einsum is, with the subscripts first."""

    def __call__(self, subscripts, *arrays):
        return super().__call__(*arrays, subscripts=subscripts)


matmul = Op(matmul_forward, matmul_backward)
einsum = Einsum(einsum_forward, einsum_backward)


# %% Put together from these
def dot(a, b):
    """np.dot for vectors and matrices."""
    if max(np.ndim(a.data), np.ndim(b.data)) > 2:
        raise ShapeError(f"dot: a has shape {a.shape}, b {b.shape}; for more than two axes use matmul or einsum")
    return matmul(a, b)


def outer(a, b):
    """a[i] b[j] for two vectors."""
    return einsum("i,j->ij", a, b)
