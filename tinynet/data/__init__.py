"""Data: one loader a dataset, each a function that returns arrays."""

from tinynet.data.citation import Citation, citation
from tinynet.data.digits import Split, digits

__all__ = ["Citation", "Split", "citation", "digits"]
