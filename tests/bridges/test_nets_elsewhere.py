"""Our nets elsewhere: weights under PyTorch's names, ONNX files that onnxruntime runs, arrays shared by DLPack."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn, ops
from tinynet.blocks.images.batch_norm import BatchNorm
from tinynet.blocks.images.conv import Conv
from tinynet.blocks.images.conv_residual import ConvResidual
from tinynet.blocks.images.group_norm import GroupNorm
from tinynet.blocks.images.pool import AveragePool, GlobalAverage, MaxPool
from tinynet.blocks.sequences.attention import ScaledDotProductAttention
from tinynet.blocks.sequences.embedding import Embedding
from tinynet.blocks.sequences.gru import GRU
from tinynet.blocks.sequences.lstm import LSTM
from tinynet.blocks.sequences.rnn import RNN
from tinynet.blocks.tasks.cross_stitch import CrossStitch
from tinynet.blocks.units import activations
from tinynet.blocks.units.apl import APL
from tinynet.blocks.units.dropout import Dropout
from tinynet.blocks.units.layer_norm import LayerNorm
from tinynet.blocks.units.linear import Linear
from tinynet.blocks.units.maxout import Maxout
from tinynet.blocks.units.residual import Residual, ResidualStack
from tinynet.blocks.units.softmax import log_sum_exp, softmax
from tinynet.bridges import dlpack, onnx, pytorch, safetensors, weights


def trained(net, seed=0):
    """The net with random numbers in place of its first ones, so that no weight is 0 or 1 by chance."""
    rng = np.random.default_rng(seed)
    state = {name: rng.uniform(0.5, 1.5, a.shape) * np.where(rng.random(a.shape) < 0.5, 1, -1) if "var" not in name
             else rng.uniform(0.5, 1.5, a.shape) for name, a in net.state_dict().items()}
    net.load_state_dict(state)
    return net


class Taken(nn.Module):
    """A function of tensors, with modules below it, as a net."""

    def __init__(self, function, *modules):
        self.function, self.modules = function, list(modules)

    def forward(self, x):
        return self.function(x, *self.modules)


# %% Weights
LAYERS = {
    "linear": (lambda: Linear(3, 4), lambda torch: torch.nn.Linear(3, 4)),
    "conv": (lambda: Conv(2, 3, 3), lambda torch: torch.nn.Conv2d(2, 3, 3)),
    "batch_norm": (lambda: BatchNorm(3), lambda torch: torch.nn.BatchNorm2d(3)),
    "layer_norm": (lambda: LayerNorm(5), lambda torch: torch.nn.LayerNorm(5)),
    "group_norm": (lambda: GroupNorm(2, 4), lambda torch: torch.nn.GroupNorm(2, 4)),
    "embedding": (lambda: Embedding(6, 3), lambda torch: torch.nn.Embedding(6, 3)),
    "rnn": (lambda: RNN(3, 4), lambda torch: torch.nn.RNN(3, 4, batch_first=True)),
    "gru": (lambda: GRU(3, 4), lambda torch: torch.nn.GRU(3, 4, batch_first=True)),
    "lstm": (lambda: LSTM(3, 4), lambda torch: torch.nn.LSTM(3, 4, batch_first=True)),
}
INPUTS = {"linear": (2, 3), "conv": (2, 2, 5, 5), "batch_norm": (2, 3, 4, 4), "layer_norm": (2, 5),
          "group_norm": (2, 4, 3, 3), "rnn": (2, 5, 3), "gru": (2, 5, 3), "lstm": (2, 5, 3)}


@pytest.mark.parametrize("name", LAYERS)
def test_pytorchs_layer_with_our_weights_computes_what_ours_does_and_the_other_way_round(name):
    torch = pytest.importorskip("torch")
    ours, theirs = trained(LAYERS[name][0]()).eval(), LAYERS[name][1](torch).eval()
    rng = np.random.default_rng(1)
    x = rng.integers(0, 6, (2, 4)) if name == "embedding" else rng.normal(size=INPUTS[name]).astype(np.float32)

    def both():
        y, z = ours(x if name == "embedding" else tn.Tensor(x)), theirs(torch.from_numpy(x))
        y, z = (out[0] if isinstance(out, tuple) else out for out in (y, z))
        np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-4, atol=1e-5)
    state = {n: torch.from_numpy(np.array(a)) for n, a in weights.to_pytorch(ours).items()}
    theirs.load_state_dict(state, strict=False)
    assert not {n for n, _ in theirs.named_parameters()} - state.keys()
    both()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.uniform_(-1, 1)
    weights.from_pytorch(ours, {n: a.numpy() for n, a in theirs.state_dict().items()})
    both()


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".pth"])
def test_a_nets_weights_come_back_from_a_file(tmp_path, ending):
    def made():
        return nn.Sequential(Conv(2, 3, 3), BatchNorm(3), GlobalAverage(), Linear(3, 4), APL(4, 2), Residual(4))
    net, other = trained(made()), made()
    weights.save(net, tmp_path / f"net{ending}")
    assert weights.load(other, tmp_path / f"net{ending}") is other
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)


def test_pytorch_reads_what_is_written_without_it(tmp_path):
    torch = pytest.importorskip("torch")
    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "f8": np.array([1.5]), "n": np.array(7),
              "none": np.zeros((0, 3), np.float32), "flag": np.array([True, False]), "turned": np.eye(3)[:, ::-1]}
    pytorch.save(tmp_path / "net.pt", arrays)
    found = torch.load(tmp_path / "net.pt", weights_only=True)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name].numpy(), array)
        np.testing.assert_array_equal(pytorch.load(tmp_path / "net.pt")[name], array)
        assert found[name].numpy().dtype == array.dtype


def test_what_cannot_be_written_or_does_not_fit_is_told(tmp_path):
    with pytest.raises(pytorch.PyTorchError, match="holds complex128, which PyTorch has not"):
        pytorch.save(tmp_path / "net.pt", dict(a=np.array([1j])))
    with pytest.raises(ValueError, match=r"net\.npz ends in none of \.safetensors, \.pt, \.pth"):
        weights.save(Linear(2, 3), tmp_path / "net.npz")
    net = Linear(2, 3)
    before = net.state_dict()
    with pytest.raises(ValueError, match="bias is only in the net"):
        weights.from_pytorch(net, dict(weight=np.zeros((3, 2))))
    with pytest.raises(ValueError, match="more is only in the state"):
        weights.from_pytorch(net, dict(weight=np.zeros((3, 2)), bias=np.zeros(3), more=np.zeros(1)))
    with pytest.raises(ValueError, match=r"weight has shape \(2, 3\) in the state and needs \(3, 2\)"):
        weights.from_pytorch(net, dict(weight=np.zeros((2, 3)), bias=np.zeros(3)))
    np.testing.assert_array_equal(net.state_dict()["W"], before["W"])


def test_a_gru_that_resets_before_the_product_keeps_our_names():
    assert set(weights.to_pytorch(GRU(2, 3, reset="before"))) == {"W", "U", "b"}


def test_the_names_of_a_file_are_pytorchs(tmp_path):
    weights.save(nn.Sequential(Linear(2, 3), activations.ReLU()), tmp_path / "net.safetensors")
    assert set(safetensors.load(tmp_path / "net.safetensors")[0]) == {"0.weight", "0.bias"}


# %% ONNX
def attend(x, attention):
    return attention(x, x * 0.5, x + 1.0)


def moves(x):
    y = ops.concatenate(x[:, 1:3], x[..., :1] * 2.0, axis=1)
    y = ops.stack(y, -y, axis=1).transpose(0, 2, 1)
    return y.reshape(len(y), -1).mean(axis=1, keepdims=True) + y.sum(axis=2) - y[:, 0].max(axis=1, keepdims=True)


def numbers(x):
    y = ops.maximum(x, 0.1) / (x * x + 1.0) - ops.minimum(x, 0.3)
    return (y.exp() + (y.abs() + 1).log()).sqrt() ** 3 + ops.softplus(y) @ np.eye(5, dtype=np.float32)


NETS = {
    "digits": (lambda: nn.Sequential(Linear(5, 6), activations.ReLU(), Dropout(0.5), Linear(6, 3)), (4, 5)),
    "sequence of linear": (lambda: Linear(5, 3), (2, 4, 5)),
    "no bias": (lambda: Linear(5, 3, bias=False), (4, 5)),
    "sigmoid": (lambda: activations.Sigmoid(), (4, 5)),
    "tanh": (lambda: activations.Tanh(), (4, 5)),
    "leaky relu": (lambda: activations.LeakyReLU(0.1), (4, 5)),
    "elu": (lambda: activations.ELU(), (4, 5)),
    "gelu": (lambda: activations.GELU(), (4, 5)),
    "softmax": (lambda: Taken(softmax), (4, 5)),
    "log_sum_exp": (lambda: Taken(log_sum_exp), (4, 5)),
    "apl": (lambda: APL(5, 3), (4, 5)),
    "maxout": (lambda: Maxout(5, 3, 2), (4, 5)),
    "residual": (lambda: Residual(5, 4, activation="tanh"), (4, 5)),
    "stack": (lambda: ResidualStack(3, 5, 4), (4, 5)),
    "layer norm": (lambda: LayerNorm(5), (4, 5)),
    "convolutions": (lambda: nn.Sequential(Conv(2, 4, 3, stride=2, padding=1), BatchNorm(4, relu=True), MaxPool(2),
                                           Conv(4, 4, 1, groups=2), GroupNorm(2, 4), AveragePool(2, 1, 1),
                                           GlobalAverage()), (3, 2, 9, 8)),
    "residual, A": (lambda: nn.Sequential(ConvResidual(2, 5, stride=2), ConvResidual(5, 5)), (2, 2, 7, 6)),
    "residual, B": (lambda: ConvResidual(2, 4, stride=2, inner=3, shortcut="B"), (2, 2, 8, 8)),
    "pre-activated": (lambda: ConvResidual(2, 3, preactivated=True), (2, 2, 5, 5)),
    "rnn": (lambda: Taken(lambda x, layer: layer(x)[0], RNN(5, 3)), (2, 4, 5)),
    "gru": (lambda: Taken(lambda x, layer: layer(x)[0], GRU(5, 3)), (2, 4, 5)),
    "gru before": (lambda: Taken(lambda x, layer: layer(x)[0], GRU(5, 3, reset="before")), (2, 4, 5)),
    "lstm": (lambda: Taken(lambda x, layer: layer(x)[0], LSTM(5, 3)), (2, 4, 5)),
    "attention": (lambda: Taken(attend, ScaledDotProductAttention()), (2, 4, 5)),
    "causal attention": (lambda: Taken(attend, ScaledDotProductAttention(causal=True)), (2, 4, 5)),
    "moves": (lambda: Taken(moves), (4, 5)),
    "numbers": (lambda: Taken(numbers), (4, 5)),
}


def run(path, x):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


@pytest.fixture
def runtime():
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("name", NETS)
def test_onnxruntime_computes_what_the_net_does_for_a_batch_of_any_size(runtime, tmp_path, name):
    make, shape = NETS[name]
    net, rng = trained(make()).eval(), np.random.default_rng(2)
    onnx.save(tmp_path / "net.onnx", net, rng.normal(size=shape).astype(np.float32))
    for batch in (shape[0], 1, 7):
        x = rng.normal(size=(batch, *shape[1:])).astype(np.float32)
        with tn.no_grad():
            y = net(tn.Tensor(x)).data
        found = run(tmp_path / "net.onnx", x)
        assert found.shape == y.shape
        np.testing.assert_allclose(found, y, rtol=2e-3, atol=2e-4 * abs(y).max())


def test_tokens_and_tasks_come_through_onnx_too(runtime, tmp_path):
    words = trained(nn.Sequential(Embedding(7, 3), Linear(3, 2)))
    tokens = np.array([[1, 2, 0], [6, 5, 4]])
    onnx.save(tmp_path / "words.onnx", words, tokens)
    np.testing.assert_allclose(run(tmp_path / "words.onnx", tokens[::-1].copy()), words(tokens[::-1].copy()).data,
                               rtol=1e-5, atol=1e-6)
    for channels in (None, 4):
        unit = trained(CrossStitch(2) if channels is None else CrossStitch(2, channels=channels))
        X = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
        onnx.save(tmp_path / "unit.onnx", unit, X)
        np.testing.assert_allclose(run(tmp_path / "unit.onnx", X), unit(tn.Tensor(X)).data, rtol=1e-5, atol=1e-6)


def test_the_net_is_as_it_was_and_ops_are_called_as_before(runtime, tmp_path):
    net, call = nn.Sequential(Linear(3, 3), Dropout(0.5)), tn.Op.__call__
    onnx.save(tmp_path / "net.onnx", net, np.ones((2, 3), np.float32))
    assert net.training
    assert net[1].training
    assert tn.Op.__call__ is call


def test_what_has_no_counterpart_is_told(runtime, tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    with pytest.raises(onnx.NotInONNX, match=r"the op cumsum has no counterpart; known are .*linear"):
        onnx.save(tmp_path / "a", Taken(ops.cumsum), x)
    with pytest.raises(onnx.NotInONNX, match="depends on the numbers it is given"):
        onnx.save(tmp_path / "a", Taken(lambda x: x * np.tanh(x.data)), x)
    with pytest.raises(onnx.NotInONNX, match="depends on the numbers it is given"):
        onnx.save(tmp_path / "a", Taken(lambda x: x + x if x.data[0, 0] > 0.2 else x * 2.0), x)
    with pytest.raises(onnx.NotInONNX, match="depends on the numbers it is given"):
        onnx.save(tmp_path / "a", Taken(lambda x: x[:, int(abs(x.data[0, 0]) < 0.2)]), x)
    with pytest.raises(onnx.NotInONNX, match="depends on the numbers it is given"):
        onnx.save(tmp_path / "a", Taken(lambda x: x + tn.Tensor(x.data * 2)), x)
    with pytest.raises(onnx.NotInONNX, match="the net returns tuple"):
        onnx.save(tmp_path / "a", Taken(lambda x: (x, x)), x)
    assert not (tmp_path / "a").exists()


def test_a_missing_package_is_told_with_its_command(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"onnx is missing; install it with  pip install -e \"\.\[onnx\]\""):
        onnx.save(tmp_path / "net.onnx", Linear(2, 3), np.ones((1, 2), np.float32))


# %% DLPack
def test_arrays_share_their_memory():
    x = np.ones(3)
    assert np.shares_memory(dlpack.tensor(x).data, x)
    torch = pytest.importorskip("torch")
    theirs = torch.arange(4.0)
    ours = dlpack.tensor(theirs, requires_grad=True)
    theirs[0] = 9
    assert ours.data.tolist() == [9, 1, 2, 3]
    assert ours.requires_grad
    back = torch.from_dlpack(dlpack.array(ours.detach()))
    back[1] = 7
    assert ours.data.tolist() == [9, 7, 2, 3]


def test_what_cannot_be_shared_is_told():
    with pytest.raises(TypeError, match="list can't be shared"):
        dlpack.tensor([1.0])
    with pytest.raises(TypeError, match=r"lose this tensor's gradient; give t\.detach"):
        dlpack.array(tn.Tensor([1.0], requires_grad=True))
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"Tensor can't be shared .*x\.detach\(\)\.cpu\(\)"):
        dlpack.tensor(torch.ones(2, requires_grad=True))
