"""Weights of other people: .safetensors, PyTorch's state dicts, GPT-2's names and its byte pairs, on tiny files."""

import io
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from tinynet.blocks.units.linear import Linear
from tinynet.bridges import gpt2 as writer
from tinynet.bridges import pytorch, safetensors
from tinynet.data.byte_pairs import BytePairs, pieces, printable_bytes
from tinynet.models.sequences.generate import generate
from tinynet.models.sequences.gpt2 import gpt2


def test_a_state_that_cannot_be_converted_leaves_the_net_as_it_was():
    net = Linear(2, 3, rng=0)
    before = net.state_dict()
    with pytest.raises(ValueError, match="could not convert string to float"):
        net.load_state_dict({"W": np.zeros((3, 2)), "b": np.full(3, "many")})
    assert np.array_equal(net.W.data, before["W"])


# %% .safetensors
def written(path, header, numbers=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + numbers)
    return path


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return dict(dtype=dtype, shape=list(shape), data_offsets=list(offsets))


ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b.c": np.array([1, -2], np.int64),
          "half": np.array([0.5, 1.5], np.float16), "flag": np.array([True, False]),
          "none": np.zeros((0, 3), np.float32), "one": np.array(3.0)}


def test_what_is_written_is_read_and_theirs_is_ours(tmp_path):
    safetensors.save(tmp_path / "x.safetensors", ARRAYS, {"format": "pt"})
    found, metadata = safetensors.load(tmp_path / "x.safetensors")
    assert metadata == {"format": "pt"}
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    reference = pytest.importorskip("safetensors.numpy")
    for name, array in reference.load_file(tmp_path / "x.safetensors").items():
        np.testing.assert_array_equal(array, ARRAYS[name])
    reference.save_file(ARRAYS, tmp_path / "y.safetensors")
    for name, array in safetensors.load(tmp_path / "y.safetensors")[0].items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_arrays_are_views_of_the_file_that_cant_be_changed(tmp_path):
    safetensors.save(tmp_path / "x", ARRAYS)
    found, _ = safetensors.load(tmp_path / "x")
    assert isinstance(found["a"].base, np.memmap) or isinstance(found["a"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found["a"][0] = 1


def test_bfloat16_becomes_float32(tmp_path):
    numbers = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype("<u2")
    path = written(tmp_path / "x", {"w": entry("BF16", (2,), (0, 4))}, numbers.tobytes())
    np.testing.assert_array_equal(safetensors.load(path)[0]["w"], np.array([1.5, -2.0], np.float32))


@pytest.mark.parametrize(("header", "numbers", "length", "said"), [
    ({"a": entry()}, b"1234", None, "a claims to hold F32 of shape \\[2\\] in the bytes 0 to 8 of 4"),
    ({"a": entry(shape=(3,))}, b"12345678", None, "a claims to hold"),
    ({"a": entry(shape=(2**40, 2**40), offsets=(0, 8))}, b"12345678", None, "a claims to hold"),
    ({"a": entry(shape=(-2,))}, b"12345678", None, "no whole numbers"),
    ({"a": entry(shape=(2.0,))}, b"12345678", None, "no whole numbers"),
    ({"a": entry("F99")}, b"12345678", None, "unknown type 'F99'"),
    ({"a": dict(dtype="F32")}, b"", None, "a lacks its dtype, shape or offsets"),
    ({"a": entry(), "b": entry()}, b"12345678", None, "begins at byte 0, but the tensor before it ends at 8"),
    ({"a": entry(offsets=(4, 12))}, b"123456789abc", None, "begins at byte 4, but the tensor before it ends at 0"),
    ({"a": entry()}, b"12345678more", None, "its tensors end at byte 8 of 12"),
    (b'{"a": 1, "a": 2}', b"", None, "a name twice"),
    (b"[1, 2]", b"", None, "names no tensors"),
    (b"{broken", b"", None, "its header is damaged"),
    (b"[" * 100_000, b"", None, "its header is damaged"),
    ({}, b"", 2**60, "its header claims 1152921504606846976 bytes"),
    ({"__metadata__": {"a": 1}}, b"", None, "something else than strings"),
    ({"a": entry([])}, b"12345678", None, r"unknown type \[\]"),
    ({"a": entry(shape=(0, 2**70), offsets=(0, 0))}, b"", None, "a has a shape that no array can have"),
    ({"a": entry(shape=(2,) + (1,) * 70)}, b"12345678", None, "a has a shape that no array can have"),
    (b'{"a": ' + b"1" * 5000 + b"}", b"", None, "its header is damaged"),
])
def test_a_damaged_or_hostile_file_is_refused(tmp_path, header, numbers, length, said):
    with pytest.raises(safetensors.SafetensorsError, match=said):
        safetensors.load(written(tmp_path / "x", header, numbers, length))


@pytest.mark.parametrize("length", [0x0280, 0x0480, int.from_bytes(b"PK", "little")])
def test_a_header_whose_length_looks_like_the_beginning_of_a_pickle_or_a_zip(tmp_path, length):
    header = json.dumps({"a": entry()}).encode().ljust(length)
    found, _ = safetensors.load(written(tmp_path / "x", header, np.array([1, 2], "<f4").tobytes()))
    np.testing.assert_array_equal(found["a"], [1, 2])


def test_a_short_file_and_a_pickle(tmp_path):
    (tmp_path / "short").write_bytes(b"1234")
    with pytest.raises(safetensors.SafetensorsError, match="it has 4 bytes and no header"):
        safetensors.load(tmp_path / "short")
    for protocol in (2, 3, 4, 5):
        (tmp_path / "pickle").write_bytes(pickle.dumps({"a": list(range(20))}, protocol))
        with pytest.raises(safetensors.SafetensorsError, match="it is a pickle or a zip file"):
            safetensors.load(tmp_path / "pickle")
    with pytest.raises(safetensors.SafetensorsError, match="w holds complex128"):
        safetensors.save(tmp_path / "x", {"w": np.array([1j])})


# %% PyTorch's state dicts
def archive(path, pickled, **files):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("net/data.pkl", pickled)
        for name, data in files.items():
            file.writestr(f"net/data/{name[1:]}", data)
    return path


def test_a_state_dict_is_read_as_pytorch_wrote_it(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    found = pytorch.load(tmp_path / "net.pt")
    assert found.keys() == net.state_dict().keys()
    for name, tensor in net.state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.numpy())
    shared = torch.arange(12.0)
    torch.save({"epoch": 3, "net": {"turned": shared.reshape(3, 4).T, "part": shared[2:5]}, "p": torch.nn.Parameter(
        torch.ones(2)), "low": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "more.pt")
    found = pytorch.load(tmp_path / "more.pt")
    assert sorted(found) == ["low", "net.part", "net.turned", "p"]
    np.testing.assert_array_equal(found["net.turned"], np.arange(12.0).reshape(3, 4).T)
    np.testing.assert_array_equal(found["net.part"], [2, 3, 4])
    np.testing.assert_array_equal(found["low"], [1, 1])


class Evil:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_a_pickle_that_would_run_something_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pytorch.PyTorchError, match=r"was not run: it names (posix|nt)\.system"):
        pytorch.load(archive(tmp_path / "evil.pt", pickle.dumps({"w": Evil()}, 2)))
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Evil(), 2))
    with pytest.raises(pytorch.PyTorchError, match=r"was not run: it names (posix|nt)\.system"):
        pytorch.load(tmp_path / "old.pt")
    assert not (tmp_path / "ran").exists()


def test_a_state_dict_from_before_version_1_6(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    state = net.state_dict() | {"turned": net[0].weight.data.T, "same": net[0].weight.data[1:]}
    path = tmp_path / "net.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    found = pytorch.load(path)
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())
    found["0.weight"][...] = 0
    assert found["same"].any()                  # each array is its own
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(pytorch.PyTorchError, match="are cut short"):
        pytorch.load(path)
    path.write_bytes(pickle.dumps({"w": [1.0]}, 2))
    with pytest.raises(pytorch.PyTorchError, match=r"a pickle, but none of torch\.save's"):
        pytorch.load(path)
    begin = b"".join(pickle.dumps(part, 2) for part in (pytorch.MARK, 1001, {}))
    for pickled, said in ((pickle.dumps(Evil(), 2), r"was not run: it names (posix|nt)\.system"),
                          (hostile([2], [1], count=10 ** 9), "claims 1000000000 numbers, more than the file holds"),
                          (hostile([2], [1], count=2) + pickle.dumps(["1"], 2), "belong to other tensors"),
                          (hostile([2], [1], count=2) + pickle.dumps(["0"], 2), "the numbers of 0 are cut short")):
        path.write_bytes(begin + pickled)
        with pytest.raises(pytorch.PyTorchError, match=said):
            pytorch.load(path)


def hostile(shape, strides, count=4, first=0, kind="FloatStorage"):
    """A data.pkl with one tensor of these claims."""
    def number(i):
        return b"J" + struct.pack("<i", i)

    def numbers(several):
        return b"(" + b"".join(map(number, several)) + b"t"

    named = b"(X\x07\x00\x00\x00storagectorch\n" + kind.encode()
    storage = named + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + number(count)
    return (b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + number(first)
            + numbers(shape) + numbers(strides) + b"\x89NtRs.")


def test_a_tensor_that_claims_more_than_its_storage(tmp_path):
    data = np.arange(4, dtype="<f4").tobytes()
    found = pytorch.load(archive(tmp_path / "right.pt", hostile([2, 2], [2, 1]), _0=data))
    np.testing.assert_array_equal(found["w"], [[0, 1], [2, 3]])
    for pickled, said in ((hostile([2, 3], [2, 1]), "looks at number 4 of 4"),
                          (hostile([2], [1], first=3), "looks at number 4 of 4"),
                          (hostile([2], [-1], first=3), "the strides"),
                          (hostile([2], [1], count=9), "claims 9 numbers"),
                          (hostile([2 ** 30, 2 ** 30], [0, 0]), "repeats the 4 numbers that it has"),
                          (hostile([2], [1], kind="ObjectStorage"), "it names torch.ObjectStorage")):
        with pytest.raises(pytorch.PyTorchError, match=said):
            pytorch.load(archive(tmp_path / "wrong.pt", pickled, _0=data))


def test_a_damaged_file(tmp_path):
    (tmp_path / "noise").write_bytes(b"not a zip at all")
    with pytest.raises(pytorch.PyTorchError, match="it is no zip file but damaged"):
        pytorch.load(tmp_path / "noise")
    with zipfile.ZipFile(tmp_path / "empty.pt", "w"):
        pass
    with pytest.raises(pytorch.PyTorchError, match=r"there is no data\.pkl"):
        pytorch.load(tmp_path / "empty.pt")
    with pytest.raises(pytorch.PyTorchError, match="can't be read and was not run"):
        pytorch.load(archive(tmp_path / "cut.pt", pickle.dumps([1, 2, 3], 2)[:-3]))
    with pytest.raises(FileNotFoundError):
        pytorch.load(tmp_path / "nowhere.pt")
    with pytest.raises(pytorch.PyTorchError, match="it is a folder"):
        pytorch.load(tmp_path)
    with pytest.raises(safetensors.SafetensorsError, match="it is a folder"):
        safetensors.load(tmp_path)


# %% GPT-2's names
def toy_weights(rng, words=300, context=16, C=8, layers=2, prefix=""):
    shapes = {"wte.weight": (words, C), "wpe.weight": (context, C), "ln_f.weight": (C,), "ln_f.bias": (C,)}
    for i in range(layers):
        for name, shape in (("ln_1.weight", C), ("ln_1.bias", C), ("ln_2.weight", C), ("ln_2.bias", C),
                            ("attn.c_attn.weight", (C, 3 * C)), ("attn.c_attn.bias", 3 * C),
                            ("attn.c_proj.weight", (C, C)), ("attn.c_proj.bias", C), ("mlp.c_fc.weight", (C, 4 * C)),
                            ("mlp.c_fc.bias", 4 * C), ("mlp.c_proj.weight", (4 * C, C)), ("mlp.c_proj.bias", C)):
            shapes[f"h.{i}.{name}"] = shape
    found = {prefix + name: rng.normal(size=shape).astype(np.float32) / 2 for name, shape in shapes.items()}
    return found | {f"{prefix}h.0.attn.bias": np.tri(context, dtype=np.float32)[None, None]}


def by_the_papers_names(w, tokens, heads):
    """GPT-2 as its published code computes it, with the file's own names and matrices (in, out)."""
    def norm(x, name):
        z = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return z * w[f"{name}.weight"] + w[f"{name}.bias"]

    def dense(x, name):
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    T, C = len(tokens), w["wte.weight"].shape[1]
    x = w["wte.weight"][tokens] + w["wpe.weight"][:T]
    for i in range(2):
        q, k, v = np.split(dense(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn"), 3, axis=1)
        y = np.empty((T, C))
        for h in range(heads):
            part = slice(h * C // heads, (h + 1) * C // heads)
            e = np.where(np.tri(T, dtype=bool), q[:, part] @ k[:, part].T / np.sqrt(C / heads), -np.inf)
            p = np.exp(e - e.max(1, keepdims=True))
            y[:, part] = p / p.sum(1, keepdims=True) @ v[:, part]
        x = x + dense(y, f"h.{i}.attn.c_proj")
        u = dense(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        u = 0.5 * u * (1 + np.tanh(np.sqrt(2 / np.pi) * (u + 0.044715 * u ** 3)))
        x = x + dense(u, f"h.{i}.mlp.c_proj")
    return norm(x, "ln_f") @ w["wte.weight"].T


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_gpt2_from_a_file_is_what_its_published_code_computes(tmp_path, prefix):
    weights = toy_weights(np.random.default_rng(0), prefix=prefix)
    safetensors.save(tmp_path / "model.safetensors", weights)
    net = gpt2(safetensors.load(tmp_path / "model.safetensors")[0], heads=2)
    tokens = np.random.default_rng(1).integers(300, size=9)
    plain = {name.removeprefix("transformer."): a.astype(float) for name, a in weights.items()}
    np.testing.assert_allclose(net(tokens[None]).data[0], by_the_papers_names(plain, tokens, 2), atol=2e-4)
    assert len(generate(net, [tokens[:4]], 30)[0]) == 30


def test_one_command_writes_from_a_folder(tmp_path, capsys):
    pairs = toy_pairs()
    assert writer.main([str(tmp_path), "hello"]) == 1
    assert "has neither model.safetensors nor" in capsys.readouterr().err
    safetensors.save(tmp_path / "model.safetensors", toy_weights(np.random.default_rng(0), words=len(pairs)))
    assert writer.main([str(tmp_path), "hello"]) == 1
    assert "lacks encoder.json" in capsys.readouterr().err
    (tmp_path / "vocab.json").write_text(json.dumps(pairs.numbers), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("\n".join(map(" ".join, pairs.rank)), encoding="utf-8")
    assert writer.main([str(tmp_path), "hello", "--tokens", "5"]) == 0
    assert capsys.readouterr().out.startswith("hello")
    assert writer.main([str(tmp_path), "", "--tokens", "5"]) == 1
    assert "a prompt has no tokens" in capsys.readouterr().err
    assert writer.main([str(tmp_path), "hello" * 20]) == 1
    assert "prompt 0 has 20 tokens, more than the context of 16" in capsys.readouterr().err
    safetensors.save(tmp_path / "model.safetensors", toy_weights(np.random.default_rng(0), words=len(pairs) + 1))
    assert writer.main([str(tmp_path), "hello"]) == 1
    assert f"are of {len(pairs) + 1} tokens and its byte pairs of {len(pairs)}" in capsys.readouterr().err


def test_weights_that_arent_gpt2s():
    weights = toy_weights(np.random.default_rng(0))
    with pytest.raises(ValueError, match="so they aren't GPT-2's"):
        gpt2({"a": np.ones(3)})
    with pytest.raises(ValueError, match=r"gpt2: blocks\.1\.norm1\.bias is missing"):
        gpt2({n: a for n, a in weights.items() if n != "h.1.ln_1.bias"}, heads=2)
    with pytest.raises(ValueError, match=r"gpt2: h\.0\.extra is unknown"):
        gpt2(weights | {"h.0.extra": np.ones(2)}, heads=2)
    with pytest.raises(ValueError, match=r"wte\.weight has the shape \(300, 8\) and wpe\.weight \(16, 7\)"):
        gpt2(weights | {"wpe.weight": np.ones((16, 7), np.float32)}, heads=2)
    with pytest.raises(ValueError, match=r"gpt2: blocks\.2\..* is missing"):         # and no net of a billion layers
        gpt2(weights | {"h.999999999.ln_1.bias": np.ones(8)}, heads=2)
    turned = weights | {"h.0.mlp.c_fc.weight": weights["h.0.mlp.c_fc.weight"].T}
    with pytest.raises(ValueError, match=r"feed_forward\.inner\.W has the shape \(8, 32\)"):
        gpt2(turned, heads=2)


# %% Byte pairs
def toy_pairs():
    printable = list(printable_bytes().values())
    space = printable_bytes()[32]
    merges = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), (space, "w"), ("o", "r")]
    tokens = [*printable, *("".join(m) for m in merges), "<|endoftext|>"]
    return BytePairs({t: i for i, t in enumerate(tokens)}, merges)


def test_merges_in_their_order_and_back_for_any_text():
    pairs = toy_pairs()
    space = printable_bytes()[32]
    assert [pairs.tokens[n] for n in pairs.encode("hello world")] == ["hello", f"{space}w", "or", "l", "d"]
    for text in ("hello  world", "I'm 2½ years\n\told – ok?", "naïve 你好 🙂", " ", ""):
        assert pairs.decode(pairs.encode(text)) == text


def test_a_texts_pieces():
    assert pieces("I'm  here, 2 of us\n\nno ") == [
        "I", "'m", " ", " here", ",", " 2", " of", " us", "\n", "\n", "no", " "]
    assert pieces("x_1 don't") == ["x", "_", "1", " don", "'t"]


def test_the_published_files(tmp_path):
    pairs = toy_pairs()
    (tmp_path / "vocab.json").write_text(json.dumps(pairs.numbers), encoding="utf-8")
    merges = "\n".join(map(" ".join, pairs.rank))
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    np.testing.assert_array_equal(BytePairs.load(tmp_path).encode("hello"), pairs.encode("hello"))
    (tmp_path / "merges.txt").write_text("a b c\n")
    with pytest.raises(ValueError, match="aren't GPT-2's"):
        BytePairs.load(tmp_path)
    (tmp_path / "vocab.json").write_text("{")
    with pytest.raises(ValueError, match="isn't GPT-2's"):
        BytePairs.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"lacks encoder\.json"):
        BytePairs.load(tmp_path / "none")
    with pytest.raises(ValueError, match="no token for the byte"):
        BytePairs({"a": 0}, [])
    with pytest.raises(ValueError, match="there is no token 9999"):
        pairs.decode([9999])


def test_bytes_that_are_no_text_become_a_replacement_character():
    pairs = toy_pairs()
    assert pairs.decode([pairs.numbers[printable_bytes()[0xFF]]]) == "\ufffd"
    assert io.StringIO(pairs.decode(pairs.encode("x"))).read() == "x"
