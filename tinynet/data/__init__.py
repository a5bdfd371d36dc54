"""Data: one loader a dataset, each a function that returns arrays."""

from tinynet.data.citation import Citation, citation
from tinynet.data.digits import Split, digits
from tinynet.data.generated import generated_citation
from tinynet.data.karate import Karate, karate_club
from tinynet.data.ppi import PPI, LabelledGraph, ppi, ppi_structure

__all__ = ["PPI", "Citation", "Karate", "LabelledGraph", "Split", "citation", "digits", "generated_citation",
           "karate_club", "ppi", "ppi_structure"]
