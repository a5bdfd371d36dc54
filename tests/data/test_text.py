"""Words, vocabularies, padding, and the texts and toys that sequence models learn from."""

import doctest
import os

import numpy as np
import pytest

from tinynet.data import multi30k as loader
from tinynet.data import text, toys
from tinynet.data.flickr8k import caption_words, flickr8k
from tinynet.data.multi30k import in_words, joined, multi30k
from tinynet.data.shakespeare import shakespeare, split
from tinynet.data.text import Characters, Vocabulary, detokenised, padded, read_text, teacher, words
from tinynet.metrics import bleu

DATA = os.environ.get("TINYNET_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TINYNET_DATA names no folder with the files")


@pytest.mark.parametrize("module", [text, toys])
def test_the_examples_in_the_docstrings(module):
    assert doctest.testmod(module).failed == 0


# %% Words
def test_words_and_back():
    assert words("Ein Mann läuft;\u00a0er ist müde.") == ["ein", "mann", "läuft", ";", "er", "ist", "müde", "."]
    assert words("") == []
    assert detokenised(words("Two dogs, (both brown), run.")) == "two dogs, (both brown), run."


def test_a_vocabulary_comes_from_training_data_alone():
    v = Vocabulary.of([["b", "a", "a"], ["c", "a", "b"]], least=2)
    assert v.words == ["<pad>", "<unknown>", "<begin>", "<end>", "a", "b"]
    np.testing.assert_array_equal(v.encode(["a", "c", "b"]), [4, 1, 5, 3])
    np.testing.assert_array_equal(v.encode(["a"], end=False), [4])
    assert v.decode([2, 4, 1, 5, 3, 4, 0]) == ["a", "<unknown>", "b"]
    assert len(Vocabulary.of([["b", "a", "a"], ["c"]], most=1)) == 5


def test_another_vocabulary_than_the_checkpoints():
    v = Vocabulary(["a", "b"])
    v.must_equal(v.words)
    with pytest.raises(ValueError, match=r"7 words there, 6 here; word 5 is 'x' there and 'b' here\)"):
        v.must_equal([*v.words[:5], "x", "b"])
    with pytest.raises(ValueError, match="word 5 is nothing there and 'b' here"):
        v.must_equal(v.words[:5])
    with pytest.raises(ValueError, match="another vocabulary"):
        Characters("abc").must_equal(["a", "b", "d"])


def test_characters():
    c = Characters("hello\n")
    assert c.decode(c.encode("hole\n")) == "hole\n"
    with pytest.raises(ValueError, match="Characters: 'x' isn't among the 5 characters"):
        c.encode("hex")


@pytest.mark.parametrize(("call", "error", "said"), [
    (lambda: padded([[3], []]), ValueError, "padded: sequence 1 is empty"),
    (lambda: Vocabulary(["a", "a"]), ValueError, "Vocabulary: 'a' is there twice"),
    (lambda: Vocabulary(["a"]).encode("a dog"), TypeError, "Vocabulary: encode takes a list of words"),
    (lambda: Vocabulary(["a"]).decode([9]), ValueError, r"Vocabulary: there is no word 9, only 0\.\.4"),
    (lambda: Characters("ab").decode([0, 2]), ValueError, r"Characters: there is no character 2, only 0\.\.1"),
    (lambda: Characters("ab").decode([-1]), ValueError, "Characters: there is no character -1"),
    (lambda: teacher(np.ones((2, 3), int), np.ones((2, 2), bool)), ValueError, "teacher: target .*: T is 3 and 2"),
    (lambda: bleu(["a"], []), ValueError, "bleu: there are 1 outputs and 0 references"),
    (lambda: bleu(["a", "b"], [["a"], ["a", "b"]]), ValueError, "bleu: the outputs have different numbers"),
    (lambda: toys.reversal(np.random.default_rng(0), 1, 5, 3), ValueError, "reversal: lengths from 5 to 3"),
    (lambda: toys.shapes(np.random.default_rng(0), 1, 8), ValueError, "shapes: pictures of 8 x 8"),
    (lambda: multi30k("training"), ValueError, "multi30k: there is no part 'training'"),
    (lambda: flickr8k("val"), ValueError, "flickr8k: there is no part 'val'"),
])
def test_bad_input(call, error, said):
    if said.startswith("bleu"):
        pytest.importorskip("sacrebleu")
    with pytest.raises(error, match=said):
        call()


def test_a_file_in_another_encoding(tmp_path):
    (tmp_path / "latin.txt").write_bytes("läuft".encode("latin1"))
    with pytest.raises(ValueError, match=r"latin.txt isn't UTF-8 \(byte 0xe4 at position 1\); convert it"):
        read_text(tmp_path / "latin.txt")
    (tmp_path / "wide.txt").write_bytes("läuft".encode("utf-16"))
    with pytest.raises(ValueError, match="iconv -f utf-16 -t utf-8"):
        read_text(tmp_path / "wide.txt")
    (tmp_path / "right.txt").write_bytes("läuft".encode())
    assert read_text(tmp_path / "right.txt") == "läuft"


# %% Batches
def test_the_target_moved_by_one_is_the_input():
    target, mask = padded([[5, 6, 3], [7, 3]])
    inputs, wanted = teacher(target, mask)
    np.testing.assert_array_equal(inputs, [[2, 5, 6], [2, 7, 3]])
    np.testing.assert_array_equal(wanted, [[5, 6, 3], [7, 3, -1]])


# %% BLEU
def test_bleu_is_sacrebleus_and_says_how_it_was_taken():
    sacrebleu = pytest.importorskip("sacrebleu")
    outputs, right = ["The cat sat on a mat ."], ["the cat sat on the mat."]
    score, signature = bleu(outputs, right)
    assert score == pytest.approx(sacrebleu.corpus_bleu(outputs, [right], lowercase=True).score)
    assert "tok:13a" in signature
    assert "case:lc" in signature
    cased, _ = bleu(outputs, right, lowercase=False)
    split_by_space, _ = bleu(outputs, right, tokenise="none")
    assert len({round(b, 3) for b in (score, cased, split_by_space)}) == 3         # csc321 erratum 14
    assert bleu(["a b c d"], [["a b c d", "x"]])[0] == pytest.approx(100)


# %% Texts
def test_the_embedded_text():
    found = shakespeare()
    assert len(found) == 150_000
    assert found.startswith("First Citizen:\nBefore we proceed any further")
    train, held_out = split(found)
    assert train + held_out == found
    assert len(held_out) == 15_000


def test_without_a_folder_the_loaders_say_what_to_get(monkeypatch, tmp_path):
    monkeypatch.delenv("TINYNET_DATA", raising=False)
    for load, name in ((lambda root=None: multi30k(root=root), "train.de.gz"),
                       (lambda root=None: shakespeare(root, whole=True), "input.txt"),
                       (lambda root=None: flickr8k(root=root), "meta.npz")):
        with pytest.raises(FileNotFoundError, match=name):
            load()
        with pytest.raises(FileNotFoundError, match=name):
            load(tmp_path)


def test_a_file_that_isnt_the_published_one(tmp_path):
    for name in ("val.de.gz", "val.en.gz"):
        (tmp_path / name).write_bytes(b"not it")
    with pytest.raises(ValueError, match=r"val\.de\.gz is not the published file"):
        loader.multi30k("val", root=tmp_path)


def test_joined_pairs_hold_each_sentence_once():
    source = [[f"s{i}"] for i in range(10)]
    sources, targets = joined(source, [[f"t{i}"] for i in range(10)], np.random.default_rng(0))
    assert sorted(w for s in sources for w in s) == sorted(w for s in source for w in s)
    assert [[w[1:] for w in s] for s in sources] == [[w[1:] for w in t] for t in targets]
    assert max(map(len, sources)) <= 3


@needs_data
def test_the_real_files():
    pairs = multi30k("test_2016_flickr")
    assert len(pairs.source) == len(pairs.target) == 1000
    sources, _ = in_words(multi30k("train"))
    assert len(sources) == 29_000
    assert 13 < np.mean([len(s) for s in sources]) + 1 < 14
    assert len(shakespeare(whole=True)) == 1_115_394
    assert shakespeare(whole=True).startswith(shakespeare())
    photos = flickr8k("dev")
    assert photos.images.shape == (1000, 3, 56, 56)
    assert all(len(c) == 5 for c in photos.captions)
    assert 60 < photos.images.mean() < 160


def test_caption_words():
    assert caption_words("A man's dog , runs !") == ["a", "man's", "dog", "runs"]


# %% Toys
def test_reversal_reads_backwards():
    strings, backwards = toys.reversal(np.random.default_rng(0), 50, 3, 6)
    assert all(s == b[::-1] and 3 <= len(s) <= 6 for s, b in zip(strings, backwards, strict=True))


def test_dates_are_dates():
    written, iso = toys.dates(np.random.default_rng(0), 300)
    assert len({len(w.split()) for w in written}) > 2
    assert all(i[:4] in w or w.endswith(i[2:4]) for w, i in zip(written, iso, strict=True))


def test_shapes_stand_where_their_boxes_are():
    drawn = toys.shapes(np.random.default_rng(0), 20)
    assert drawn.images.shape == (20, 3, 28, 28)
    for image, caption, boxes in zip(drawn.images, drawn.captions, drawn.boxes, strict=True):
        assert caption[3:5] == ["left", "of"]
        for (top, left, bottom, right), colour in zip(boxes, (caption[1], caption[6]), strict=True):
            middle = image[:, (top + bottom) // 2, (left + right) // 2]
            np.testing.assert_allclose(middle, np.array(toys.COLOURS[colour]) / 255, atol=1e-6)
        assert boxes[0, 3] <= 14 <= boxes[1, 1]
