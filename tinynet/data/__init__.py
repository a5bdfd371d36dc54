"""Data: one loader a dataset, each a function that returns arrays."""

from tinynet.data.digits import Split, digits

__all__ = ["Split", "digits"]
