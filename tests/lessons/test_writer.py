"""`python -m lessons language_model --prompt TEXT`: a net in a file, and what it writes."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from lessons.__main__ import main
from lessons.tools import writer
from lessons.tools.catalogue import FOLDER
from tinynet import npz
from tinynet.data.text import Characters
from tinynet.models.sequences.language_model import LanguageModel

LETTERS = Characters("\n abcdehlo:")


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A small untrained net, kept where the command looks."""
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path))
    writer.keep(writer.place(), LanguageModel(len(LETTERS), 4, 6, rng=0), LETTERS)
    return writer.place()


def test_a_net_comes_back_as_it_was_kept(file):
    net, letters = writer.load(file)
    assert letters.words == LETTERS.words
    kept = LanguageModel(len(LETTERS), 4, 6, rng=0).state_dict()
    assert net.state_dict().keys() == kept.keys()
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, kept[name])
    assert not net.training


def test_it_goes_on_with_the_prompt_and_the_seed_decides_how(file, capsys):
    """csc321 lm and generate: prompt in, text out."""
    texts = []
    for seed in ("0", "0", "1"):
        assert main(["language_model", "--prompt", "hello", "--letters", "40", "--seed", seed]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0].startswith("hello")
    assert len(texts[0]) == len("hello") + 40 + 1
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(("arguments", "said"), [
    (["residual", "--prompt", "a"], "--prompt goes with one lesson alone"),
    (["--prompt", "a"], "--prompt goes with one lesson alone"),
    (["language_model", "--prompt", ""], "a net must read a letter"),
    (["language_model", "--prompt", "a", "--letters", "0"], "a net must read a letter"),
    (["language_model", "--prompt", "a", "--temperature", "0"], "temperature 0.0"),
    (["language_model", "--prompt", "a", "--seed", "-1"], "--seed: -1 is negative"),
    (["language_model", "--prompt", "aß"], "'ß' isn't among the 11 characters"),
    (["language_model", "--prompt", "a", "--quick"], "no net has been trained yet"),
])
def test_what_cannot_be_done_is_one_sentence(file, capsys, arguments, said):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_without_a_file_it_tells_how_to_get_one(file, capsys):
    file.unlink()
    assert main(["language_model", "--prompt", "a"]) == 2
    assert "train one with  python -m lessons language_model" in capsys.readouterr().err


NET = LanguageModel(len(LETTERS), 4, 6, rng=0).state_dict()


@pytest.mark.parametrize(("arrays", "notes"), [
    (NET, {}), (NET, {"letters": LETTERS.words[1:]}), (NET, {"letters": LETTERS.words[::-1]}), (NET, {"letters": 7}),
    ({"a": np.ones(3)}, {"letters": LETTERS.words}),
    (NET | {"output.b": np.ones(3, np.float32)}, {"letters": LETTERS.words}),
    ({name: a.astype(float) for name, a in NET.items()}, {"letters": LETTERS.words}),
], ids=["no letters", "too few", "another order", "a number", "another net", "another size", "another dtype"])
def test_another_file_in_its_place_is_refused(file, arrays, notes):
    npz.save(file, arrays, notes)
    with pytest.raises(ValueError, match="isn't a net of this lesson; train one with"):
        writer.load(file)


def test_a_damaged_file_is_refused(file):
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ValueError, match="truncated, damaged"):
        writer.load(file)


def hear_ctrl_c():
    """A shell starts what runs in the background deaf to it, and so would be the processes of these tests."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_and_a_reader_who_has_seen_enough_end_it_without_a_traceback(file):
    command = [sys.executable, "-m", "lessons", "language_model", "--prompt", "a", "--letters", "100000000"]
    for stop, code in ((lambda p: p.send_signal(signal.SIGINT), 130), (lambda p: p.stdout.close(), 1)):
        with subprocess.Popen(command, cwd=FOLDER.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=hear_ctrl_c) as process:
            process.stdout.read(5)                  # it writes while it goes on
            stop(process)
            assert process.stderr.read() == b""
            assert process.wait() == code
