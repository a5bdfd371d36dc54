"""Sparse matrices as the blocks read them: for every row the list of the places that hold something.

    >>> import numpy as np
    >>> from tinynet.sparse import SparseRows
    >>> words = SparseRows.from_dense(np.array([[0, 2, 0], [1, 0, 3]]))
    >>> words.indptr.tolist(), words.indices.tolist(), words.values.tolist()
    ([0, 1, 3], [1, 0, 2], [2, 1, 3])
"""

from functools import cached_property

import numpy as np

from tinynet.shapes import ShapeError


class Rows:
    """Which places (row, indices[k]) of a matrix of this shape hold something: k from indptr[row] up to
    indptr[row+1] (compressed sparse rows, CSR).
    """

    def __init__(self, indptr, indices, shape):
        self.indptr, self.indices, self.shape = indptr, indices, shape

    @cached_property
    def rows(self):
        """(K) the row of each place."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def transposed(self):
        """(indptr, rows, order) by column: the rows that hold something in it, and where these places stand here."""
        order = np.argsort(self.indices, kind="stable")
        return pointers(self.indices, self.shape[1]), self.rows[order], order

    def spread(self, values):
        """Numbers on the places (K, ...) as a full matrix (N, D, ...), 0 elsewhere."""
        full = np.zeros((*self.shape, *values.shape[1:]), values.dtype)
        full[self.rows, self.indices] = values
        return full


def pointers(rows, count):
    return np.append(0, np.cumsum(np.bincount(rows, minlength=count)))


def numbers(block, what, given):
    """The numbers of nodes or rows as an array (B), in the name of `block`."""
    given = np.asarray(given)
    given = given.astype(np.int64) if given.size == 0 else given
    if given.ndim != 1:
        raise ShapeError(f"{block}: the {what}s have shape {given.shape}, but must be (B), a number each; flatten them")
    if given.dtype.kind not in "iu":
        raise TypeError(f"{block}: the {what}s hold {given.dtype}, but {what} numbers are integers; convert them, e.g. "
                        "a mask with np.flatnonzero(mask)")
    return given


def kind(thing):
    """What it is, and whose: there is more than one Graph."""
    return f"{type(thing).__module__}.{type(thing).__name__}".removeprefix("builtins.")


def must_be_sound_scipy(block, matrix):
    if not hasattr(matrix, "tocsr"):
        raise TypeError(f"{block}: this is a {kind(matrix)} and no scipy.sparse matrix; make one, or use from_dense "
                        "for features and from_edges for a graph")
    if hasattr(matrix, "check_format"):         # scipy looks only when it is asked to, and changes the matrix then
        try:
            matrix.copy().check_format(full_check=True)
        except ValueError as error:
            raise ValueError(f"{block}: the scipy.sparse matrix {matrix.shape} is damaged, its {error}; correct its "
                             "indices and indptr") from None


class SparseRows(Rows):
    """A matrix (N, D) of mostly zeros: the K numbers values[k] on the places of its rows.

    from_dense and from_scipy make what is right; the arrays given here are taken as they are, no place twice.
    """

    def __init__(self, indptr, indices, values, shape):
        super().__init__(indptr, indices, shape)
        self.values = values

    @classmethod
    def from_dense(cls, matrix):
        """The numbers of an array (N, D) that aren't 0; raises ShapeError for other than two axes."""
        matrix = np.asarray(matrix)
        if matrix.ndim != 2:
            raise ShapeError(f"SparseRows: the matrix has shape {matrix.shape}, but needs two axes (N D)")
        rows, columns = np.nonzero(matrix)
        return cls(pointers(rows, len(matrix)), columns, matrix[rows, columns], matrix.shape)

    @classmethod
    def from_scipy(cls, matrix):
        """A scipy.sparse matrix (N, D); numbers that it holds at the same place are added.

        Raises TypeError for another kind of matrix, ShapeError for other than two axes, ValueError for indices that
        point outside of it.
        """
        must_be_sound_scipy("SparseRows", matrix)
        if len(matrix.shape) != 2:
            raise ShapeError(f"SparseRows: the matrix has shape {matrix.shape}, but needs two axes (N D)")
        rows = matrix.tocsr(copy=True)
        rows.sum_duplicates()
        return cls(rows.indptr.astype(np.int64), rows.indices, rows.data, rows.shape)

    def take(self, rows):
        """The rows of these numbers; -1 stands for a row of zeros.

        Raises ShapeError unless they are (B), TypeError unless they are whole numbers and ValueError for a row that
        isn't there.
        """
        rows = numbers("SparseRows", "row", rows)
        wrong = rows[(rows < -1) | (rows >= self.shape[0])]
        if len(wrong):
            raise ValueError(f"SparseRows: there is no row {wrong[0]} among {self.shape[0]}; count from 0, or give -1 "
                             "for a row of zeros")
        counts = np.append(np.diff(self.indptr), 0)[rows]
        first = np.append(self.indptr[:-1], 0)[rows]
        indptr = np.append(0, np.cumsum(counts))
        where = np.arange(indptr[-1]) + np.repeat(first - indptr[:-1], counts)
        return SparseRows(indptr, self.indices[where], self.values[where], (len(rows), self.shape[1]))

    def then(self, other):
        """These rows and under them those of `other`."""
        return SparseRows(np.append(self.indptr, self.indptr[-1] + other.indptr[1:]),
                          np.append(self.indices, other.indices), np.append(self.values, other.values),
                          (self.shape[0] + other.shape[0], self.shape[1]))

    def normalised(self):
        """Each row divided by its sum; a row of zeros stays."""
        sums = np.bincount(self.rows, self.values, self.shape[0])
        values = self.values / np.where(sums == 0, 1, sums)[self.rows]
        return SparseRows(self.indptr, self.indices, values.astype(np.result_type(self.values, np.float32)), self.shape)

    @cached_property
    def T(self):
        """The transposed matrix (D, N)."""
        indptr, rows, order = self.transposed
        return SparseRows(indptr, rows, self.values[order], self.shape[::-1])

    def dense(self):
        """(N, D)"""
        return self.spread(self.values)
