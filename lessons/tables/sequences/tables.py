"""Translation, language models and captions, each beside what is known of the same work.

Slides: csc321 length, lm, caption

`python -m lessons.tables sequences --data DIR`: two to three hours of one core, reckoned from the ledger.
"""

from functools import partial

from lessons.tables.sequences.recipes import BINS, RUNS, SIGNATURE
from lessons.tables.table import Column, Table
from tinynet.bridges.efficient_net import weights
from tinynet.data.flickr8k import flickr8k
from tinynet.data.multi30k import multi30k
from tinynet.data.shakespeare import shakespeare


def on(run, recipe):
    """A recipe of the table: its numbers, with curves as points; what is text stays out of the ledger."""
    found = recipe(run.seed, run.folder, run.data)
    return {name: _points(name, value) for name, value in found.items() if not isinstance(value, str)}


def _points(name, value):
    if not isinstance(value, list):
        return value
    places = BINS if name.endswith("by words") else range(1, len(value) + 1)
    return [[x, y] for x, y in zip(places, value, strict=False)]


def _table(name, unit, work, key, columns, about, needs=None, paper="", why=""):
    """`paper` and `why` are those of every row."""
    return Table(name, unit, (work,), {system: {work: paper} if paper else {} for system in RUNS[key]},
                 {system: {system: partial(on, recipe=recipe)} for system, recipe in RUNS[key].items()},
                 columns=columns, about=about, needs=needs, why={(system, work): why for system in RUNS[key]})


MULTI30K = _table("csc321 length", "BLEU of 1 to 4 joined sentences", "Multi30k de-en", "multi30k", (
    *(Column(f"BLEU x{n}") for n in (1, 2, 3, 4)), Column("BLEU, beam 5"), Column("BLEU, beam 5, 13a"),
    Column("perplexity x1", digits=2), Column("BLEU by words", axis="words of the source")),
    "Trained on 1 to 3 joined pairs, tested on 1 to 4.  BLEU by sacrebleu, lower-cased.  All columns but one take our "
    f"own words ({SIGNATURE['none']}); the column 13a takes the detokenised text ({SIGNATURE['13a']}), and is the one "
    "to compare with other people's.",
    lambda folder: multi30k("val", root=folder))
SHAKESPEARE = _table("csc321 lm", "validation loss in nats", "tiny Shakespeare", "shakespeare", (
    Column("validation loss", digits=3), Column("curve", "validation loss", digits=3, axis="eighth of the steps")),
    "Over all windows.  PyTorch gave 1.905 +- .011 with the same setting.",
    lambda folder: shakespeare(folder, whole=True), "1.88",
    "nanoGPT's README has 1.88, one run measured on 240 windows drawn by chance (erratum 15)")
CHARACTERS = _table("ours characters", "validation loss in nats", "the embedded text", "characters", (
    Column("validation loss", digits=3),), "A GRU letter by letter; PyTorch gave 1.67 with the same setting.")
_BLEU = (*(Column(f"BLEU-{n}") for n in (1, 2, 3, 4)), Column("BLEU-4 of one caption"),
         Column("distinct captions", digits=0))
CAPTIONS = _table("csc321 caption", "BLEU", "Flickr8k", "flickr8k", _BLEU,
                  "From scratch on pictures of 56 x 56.  One caption for all pictures stands beside every number.  "
                  f"BLEU by sacrebleu against five references ({SIGNATURE['captions']}).",
                  lambda folder: flickr8k("dev", folder))
FEATURES = _table("csc321 caption with ImageNet", "BLEU", "Flickr8k", "flickr8k features", _BLEU,
                  "From features of a net that was trained on ImageNet and stays as it is.  PyTorch gave "
                  "50.1 / 30.7 / 17.8 / 10.8 after 8 epochs with one seed.  BLEU as above.",
                  lambda folder: flickr8k("dev", folder) and weights())
SEEDS = 3
TABLES = (MULTI30K, SHAKESPEARE, CHARACTERS, CAPTIONS, FEATURES)
