"""What the papers report on PPI, whose files a reader brings along, and a task of our own on Pubmed.

Slides: shi fig8
"""

from functools import partial

from lessons.tables.graphs.pieces import gat_in_pieces, sage_in_pieces
from lessons.tables.graphs.proteins import gat_on_ppi, random_on_ppi, sage_on_ppi
from lessons.tables.table import Column, Table
from tinynet.data.ppi import ppi_folder
from tinynet.models.graphs.gat import GAT, InductiveGAT
from tinynet.models.graphs.gcn import MLP
from tinynet.models.graphs.graph_sage_net import GraphSAGEStar

AGGREGATORS = {"GraphSAGE-GCN": "gcn", "GraphSAGE-mean": "mean", "GraphSAGE-LSTM": "lstm", "GraphSAGE-pool": "pool"}

FIG8 = Table("shi fig8", "micro-F1", ("ppi",), {
    "Random": dict(ppi="0.396"),
    "MLP": dict(ppi="0.422"),
    "GraphSAGE-GCN": dict(ppi="0.500"),
    "GraphSAGE-mean": dict(ppi="0.598"),
    "GraphSAGE-LSTM": dict(ppi="0.612"),
    "GraphSAGE-pool": dict(ppi="0.600"),
    "GraphSAGE*": dict(ppi="0.768"),
    "Const-GAT": dict(ppi="0.934 +- 0.006"),
    "GAT": dict(ppi="0.973 +- 0.002"),
}, {
    "Random": {"Random": random_on_ppi},
    "MLP": {"MLP": partial(gat_on_ppi, make=partial(MLP, width=512, p=0))},
    **{system: {system: partial(sage_on_ppi, aggregator=name)} for system, name in AGGREGATORS.items()},
    "GraphSAGE*": {"GraphSAGE*": partial(sage_on_ppi, make=GraphSAGEStar, samples=(25, 10, 10))},   # all: much memory
    "Const-GAT": {"Const-GAT": partial(gat_on_ppi, make=partial(InductiveGAT, attend=False))},
    "GAT": {"GAT": gat_on_ppi},
}, columns=(Column("micro-F1", digits=3),), needs=ppi_folder, names={"ppi": "PPI"}, about="PPI's features and labels "
         "have to be brought along; whoever has them gets this table with `python -m lessons.tables graphs --data DIR "
         '--runs 10 --only "on ppi"`.')


PUBMED = Table("ours inductive", "accuracy %", ("pubmed in pieces",), {
    system: {} for system in ("MLP", *AGGREGATORS, "Const-GAT", "GAT")
}, {
    "MLP": {"MLP": partial(gat_in_pieces, make=partial(MLP, width=64))},
    **{system: {system: partial(sage_in_pieces, aggregator=name)} for system, name in AGGREGATORS.items()},
    "Const-GAT": {"Const-GAT": partial(gat_in_pieces, make=partial(GAT, attend=False))},
    "GAT": {"GAT": gat_in_pieces},
}, names={"pubmed in pieces": "Pubmed in pieces"}, about="A task of our own, no paper's: Pubmed's graph cut into 24 "
         "pieces of nearby papers, 20 to learn from with "
         "all labels known, 2 for validation, 2 unseen ones to test on: 17,657, 272 and 1,788 papers, and the pieces "
         "differ in what they are about.  It is one cut, so the spread is that of the nets alone; differences of a "
         "point say little about another cut.  With so many labels the words alone tell "
         "much, and nets that keep a paper's own words apart (MLP, GraphSAGE-mean, -LSTM, -pool) do better than "
         "those that mix them with its neighbours' (GraphSAGE-GCN, Const-GAT, GAT); that this is the reason is our "
         "reading.")
