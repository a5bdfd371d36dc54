"""What the deck reports of the twelve methods, and our runs beside it.

Slides: saha table1, table2

`python -m lessons.tables taan` runs Omniglot and the seconds; with Youtube-8M's files, table1 itself.
"""

from functools import partial

from lessons.tables.taan.recipes import AS_PUBLISHED, TWELVE, in_seconds, on_omniglot, on_youtube8m
from lessons.tables.table import Column, Table
from tinynet.data.youtube8m import youtube8m_folder

MAP_AND_MILLIONS = {        # mean mAP%10 on Youtube-8M, parameters in M
    "STL": ("0.675", "56.1"), "Hard-Share": ("0.775", "6.93"), "Soft-Order": ("0.783", "6.93"),
    "MRN_t": ("0.647", "56.1"), "MRN_full": ("0.648", "61.6"), "DMTRL-Tucker": ("0.669", "39.1"),
    "DMTRL-LAF": ("0.838", "20.1"), "DMTRL-TT": ("0.848", "46.2"), "TAAN": ("0.842", "6.93"),
    "TAAN + Ltn": ("0.749", "6.93"), "TAAN + Lcos": ("0.860", "6.93"), "TAAN + Ldis": ("0.851", "6.93")}
SECONDS = {                 # of training, of inference
    "MRN_t": (156.1, 8.83), "MRN_full": (157.6, 8.83), "DMTRL-Tucker": (66.02, 1.53), "DMTRL-LAF": (24.96, 0.30),
    "DMTRL-TT": (52.75, 1.44), "TAAN": (20.05, 0.88), "TAAN + Ltn": (22.86, 0.88), "TAAN + Lcos": (40.34, 0.88),
    "TAAN + Ldis": (38.35, 0.88)}


def ratios(method):
    """{"training", "inference"}: the deck's seconds of a method over those of TAAN."""
    return {name: f"{its / base:.2f}" for name, its, base in
            zip(("training", "inference"), SECONDS[method], SECONDS["TAAN"], strict=True)}


OMNIGLOT = Table("ours omniglot", "accuracy %", ("ten alphabets",), {
    method: {} for method in (*TWELVE, *AS_PUBLISHED)
}, {method: {method: partial(on_omniglot, method=method)} for method in (*TWELVE, *AS_PUBLISHED)},
    columns=(Column("mean accuracy"), Column("parameters", digits=0), Column("train seconds", digits=0)),
    about="The twelve methods of saha table1 on a task of our own: ten alphabets of Omniglot, drawn by the seed, are "
          "ten tasks; ten drawers train, ten others test, on the same characters.  No table prints these numbers; the "
          "ledger has each task's.  The authors' own runs (yingrliu/TAAN-MTL, Omniglot/Results-*.txt) have all 50 "
          "alphabets, 105 x 105 pixels, images split at random and the maximum over the test checks: TAAN 84.1 +- 0.9, "
          "with Ldis 85.5 to 86.7, with Lcos 80.7 to 83.0, with their \"Ltn\", a sum of row norms, 75.9 to 79.9, by "
          "its weight; no other method was run there.  Soft-Order has two dense layers more than the rest, because it "
          "permutes layers.  The rows behind TAAN + Ldis do what the published code does (errata 6 and 8).",
    beside="STL")

TABLE_1 = Table("saha table1", "mAP@10", ("youtube8m",), {
    method: dict(youtube8m={"mean mAP@10": found, "parameters": millions})
    for method, (found, millions) in MAP_AND_MILLIONS.items()
}, {method: {method: partial(on_youtube8m, method=method)} for method in TWELVE},
    columns=(Column("mean mAP@10", digits=3), Column("parameters", "parameters (M)", digits=2)),
    why={("MRN_full", "youtube8m"): "the printed count lacks one covariance of 1024 x 1024",
         ("DMTRL-Tucker", "youtube8m"): "the ranks are those of a random stack"},
    needs=youtube8m_folder, names={"youtube8m": "Youtube-8M"},
    about="Youtube-8M's files have to be brought along; whoever has them gets this table with `python -m "
          'lessons.tables taan --data DIR --runs 1 --only "saha table1"`.  Its three DMTRL rows are linear '
          "networks, its MRN rows STL with weight decay (erratum 8).  Its MRN_full counts one covariance of 1024 x "
          "1024 less than the method has.")

TABLE_2 = Table("saha table2", "a step's seconds over TAAN's", ("made-up input",), {
    method: {"made-up input": ratios(method)} if method in SECONDS else {} for method in TWELVE
}, {method: {method: partial(in_seconds, method=method)} for method in TWELVE},
    columns=(Column("training", digits=2), Column("inference", digits=2), Column("train seconds", digits=2)),
    about="H = 512, 16 tasks, 256 examples of each a step; seconds of the processor, one thread.  Inherent: Tucker and "
          "TT build every weight anew at every step, in training and after it; MRN_full multiplies by its "
          "covariances.  Not inherent: the rest of MRN's 7.8 and 7.9, and the 1.9 to 2.0 of Lcos and Ldis, because the "
          "published code adds the penalties of all layers once for each of the 16 tasks.  Nor are MRN's 10.0 at "
          "inference, where its net is STL's.")

SEEDS = 5
TABLES = (OMNIGLOT, TABLE_2, TABLE_1)
