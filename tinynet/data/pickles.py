"""Pickles of other people, opened without running anything: an unpickler that admits what a loader names."""

import pickle
from collections import defaultdict
from io import BytesIO

import numpy as np


class Csr:
    """What becomes of a scipy.sparse matrix: indptr, indices, data and _shape."""


ARRAYS = {
    ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
GRAPHS = {
    ("scipy.sparse.csr", "csr_matrix"): Csr,
    ("collections", "defaultdict"): defaultdict,
    ("__builtin__", "list"): list,
}


class _Admitting(pickle.Unpickler):
    def __init__(self, file, names):
        super().__init__(file, encoding="latin1")
        self.names = names

    def find_class(self, module, name):
        if (module, name) not in self.names:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which these files don't need")
        return self.names[module, name]


def admitted(who, data, name, names, source):
    """Unpickle bytes that use nothing but `names`, {(module, name): what stands for it}.

    Raises ValueError in the name of the loader `who`, having run nothing, for bytes that name anything else or are
    cut short; it says that the file `name` is to be had again from `source`.
    """
    try:
        return _Admitting(BytesIO(data), names).load()
    except Exception as error:      # what damaged pickles raise is any of a dozen kinds
        why = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{who}: {name} can't be read and was not run: {why}; get it again from {source}") from error
