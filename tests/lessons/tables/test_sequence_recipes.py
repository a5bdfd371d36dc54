"""The recipes of the sequence tables, on data made up on the spot: they run, resume, and measure what they say."""

import numpy as np
import pytest

from lessons.tables.sequences import recipes, tables
from tinynet.data import toys
from tinynet.data.flickr8k import Captioned
from tinynet.data.multi30k import Pairs
from tinynet.metrics import bleu
from tinynet.models.images.efficient_net_lite import EfficientNetLite


@pytest.fixture
def made_up(monkeypatch):
    """Multi30k of 60 headlines, whose translation is the same read backwards."""
    def load(part, root=None):
        found = toys.headlines(np.random.default_rng(len(part)), 60 if part == "train" else 12)
        return Pairs([" ".join(h) for h in found], [" ".join(h[::-1]) for h in found])

    recipes.pairs.cache_clear()
    monkeypatch.setattr(recipes, "multi30k", load)
    yield
    recipes.pairs.cache_clear()


@pytest.mark.parametrize("name", recipes.NETS)
def test_a_translation_is_trained_measured_and_resumed(made_up, tmp_path, name):
    pytest.importorskip("sacrebleu")
    found = recipes.translation(name, 0, tmp_path, None, epochs=1)
    assert {f"{what} x{n}" for what in ("BLEU", "perplexity") for n in (1, 2, 3, 4)} <= found.keys()
    assert found["signature"].rpartition("|")[0] == recipes.SIGNATURE["13a"]
    assert len(found["BLEU by words"]) == len(found["perplexity by words"]) > 1
    again = recipes.translation(name, 0, tmp_path, None, epochs=1)
    assert again == found


def test_the_signatures_that_the_tables_print_are_sacrebleus():
    pytest.importorskip("sacrebleu")
    for way, references, rule in (("none", 1, "none"), ("13a", 1, "13a"), ("captions", 5, "none")):
        assert bleu(["a b"], [["a b"] * references], rule)[1].rpartition("|")[0] == recipes.SIGNATURE[way]
        assert any(recipes.SIGNATURE[way] in table.about for table in tables.TABLES)


def test_every_epoch_joins_the_pairs_anew_and_has_as_many_batches_as_it_says(made_up):
    parts, german, english = recipes.pairs(None)
    data = recipes.Joined(*parts["train"], german, english)
    for seed in (0, 1):
        batches = list(data.epoch(np.random.default_rng(seed)))
        assert len(batches) == len(data)
        assert all(len(batch) == 4 and weight == batch[3].sum() for batch, weight in batches)


def test_outputs_come_in_the_order_of_the_sources(made_up):
    parts, german, english = recipes.pairs(None)
    net = recipes.NETS["GRU, no attention"](len(german), len(english), rng=0).eval()
    sources = parts["val"][0]
    together = recipes.translated(net, sources, german, english)
    assert together[3] == recipes.translated(net, [sources[3]], german, english)[0]


@pytest.mark.parametrize("recipe", [recipes.flickr_captions, recipes.flickr_frozen])
def test_captions_are_learnt_and_measured_beside_one_caption_for_all(monkeypatch, tmp_path, recipe):
    pytest.importorskip("sacrebleu")

    def load(part, root=None):
        drawn = toys.shapes(np.random.default_rng(len(part)), 12, size=56)
        captions = [[" ".join(c)] * 5 for c in drawn.captions]
        return Captioned((255 * drawn.images).astype(np.uint8), captions, [""] * 12)

    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(recipes, "flickr8k", load)
    monkeypatch.setattr(recipes, "efficient_net_lite0", lambda: EfficientNetLite(10, rng=0).eval())
    found = recipe(0, tmp_path, None, epochs=1, size=12, least=1)
    assert found["BLEU-1"] >= found["BLEU-4"]
    assert found["BLEU-1 of one caption"] > 0
    assert found == recipe(0, tmp_path, None, epochs=1, size=12, least=1)


def test_the_transformers_schedule_is_nanogpts():
    factor = recipes.warm_cosine(2000)
    assert factor(0) == pytest.approx(1 / 101)
    assert factor(99) == pytest.approx(100 / 101)
    assert factor(100) == pytest.approx(1)
    assert factor(2000) == pytest.approx(0.1)


def test_the_language_models_run(monkeypatch, tmp_path):
    text = "to be or not to be, that is the question: " * 80
    monkeypatch.setattr(recipes, "shakespeare", lambda *_, **__: text)
    found = recipes.shakespeare_gpt(0, tmp_path, None, steps=8)
    assert 1 < found["validation loss"] < np.log(30)
    assert recipes.shakespeare_gpt(0, tmp_path, None, steps=8) == found
    assert recipes.character_gru(0, tmp_path / "gru", epochs=2)["validation loss"] < np.log(30)
