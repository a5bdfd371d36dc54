"""Convolutions, norms, whole steps and single images, beside PyTorch in both of its layouts and what a student writes.

PyTorch's default layout is (N, C, H, W), its faster one channels last, (N, H, W, C).  `python -m benchmarks images`.
"""

import os
import subprocess
import sys
import tempfile
from functools import partial

import numpy as np

from benchmarks.images_in_torch import LAYOUTS, batch, in_layout, their_step
from benchmarks.timing import Row, benchmark, compared
from tinynet import Tensor, optim
from tinynet.backend import no_grad
from tinynet.blocks.images.batch_last import batch_first, batch_last
from tinynet.blocks.images.batch_norm import batch_norm_backward_fast, batch_norm_forward_fast
from tinynet.blocks.images.conv import conv, conv_forward_fast, filter_gradient_fast, image_gradient_fast
from tinynet.blocks.images.pool import max_pool_backward_fast, max_pool_forward_fast
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.models.images.cifar_net import CifarNet

# N, C, K, H = W and the stride: ResNet-20's, and one of ResNet-18's
SHAPES = {"stem": (128, 3, 16, 32, 1), "s1": (128, 16, 16, 32, 1), "s1_s2": (128, 16, 32, 32, 2),
          "s2": (128, 32, 32, 16, 1), "s2_s3": (128, 32, 64, 16, 2), "s3": (128, 64, 64, 8, 1),
          "large": (32, 64, 64, 28, 1)}


def images(N, C, H, seed=0):
    """Normal numbers that lie batch last, as within a net of ours."""
    return batch_first(batch_last(np.random.default_rng(seed).standard_normal((N, C, H, H), np.float32)))


# %% One convolution, part by part
def conv_parts(shape, part):
    import torch
    N, C, K, H, stride = SHAPES[shape]
    X, W, dY = images(N, C, H), images(K, C, 3, 1).copy(), images(N, K, H // stride, 2)
    way = conv_forward_fast(X, W, stride=stride, padding=1)[1][3]
    run = {"forward": lambda: conv_forward_fast(X, W, stride=stride, padding=1)[0],
           "dX": lambda: image_gradient_fast(dY, W, way, 1), "dW": lambda: filter_gradient_fast(dY, X, way, 1)}
    contenders = {"tinynet": run[part]}
    for layout in LAYOUTS:
        x, w, d = (in_layout(a, layout) for a in (X, W, dY))
        if part == "forward":
            contenders[layout] = lambda x=x, w=w: torch.nn.functional.conv2d(x, w, stride=stride, padding=1)
        else:
            wanted = [part == "dX", part == "dW", False]
            contenders[layout] = lambda x=x, w=w, d=d, wanted=wanted: torch.ops.aten.convolution_backward(
                d, x, w, None, [stride, stride], [1, 1], [1, 1], False, [0, 0], 1, wanted)[wanted.index(True)]
    return compared(contenders)


def _register(shape, part):
    def make():
        return conv_parts(shape, part)
    make.__name__ = f"image_conv_{shape}_{part}"
    N, C, K, H, stride = SHAPES[shape]
    step = f", stride {stride}" if stride > 1 else ""
    benchmark(f"convolution, {part}: N {N}, {C} to {K} channels, {H} x {H}, 3 x 3{step}")(make)


for _shape in SHAPES:
    for _part in ("forward", "dX", "dW") if _shape != "stem" else ("forward", "dW"):        # nobody needs its dX
        _register(_shape, _part)


# %% What a student would write, and other libraries
def student(X, W, dY):
    """im2col in NumPy: forward and all gradients."""
    (N, C, H, _), K = X.shape, len(W)
    Xp = np.pad(X, [(0, 0), (0, 0), (1, 1), (1, 1)])
    seen = np.lib.stride_tricks.sliding_window_view(Xp, (3, 3), axis=(2, 3))
    columns = seen.transpose(0, 2, 3, 1, 4, 5).reshape(N * H * H, C * 9)
    columns @ W.reshape(K, -1).T                # the forward pass, which nothing below needs
    dy = dY.transpose(0, 2, 3, 1).reshape(-1, K)
    dW, dcolumns = (dy.T @ columns).reshape(W.shape), (dy @ W.reshape(K, -1)).reshape(N, H, H, C, 3, 3)
    dXp = np.zeros_like(Xp)
    for r, s in np.ndindex(3, 3):
        dXp[:, :, r:r + H, s:s + H] += dcolumns[..., r, s].transpose(0, 3, 1, 2)
    return dXp[:, :, 1:-1, 1:-1], dW


@benchmark("convolution, forward and backward: N 32, 16 to 16 channels, 16 x 16")
def image_conv_others():
    X, W, dY = images(32, 16, 16), images(16, 16, 3, 1).copy(), images(32, 16, 16, 2)
    plain = [np.ascontiguousarray(a) for a in (X, W, dY)]

    def ours():
        x, w = Tensor(X, requires_grad=True), Tensor(W, requires_grad=True)
        conv(x, w, padding=1).backward(dY)
        return x.grad, w.grad

    contenders = {"tinynet": ours, "im2col in NumPy": lambda: student(*plain)}
    try:
        import mygrad
        from mygrad.nnet.layers import conv_nd

        def with_mygrad():
            x, w = mygrad.tensor(plain[0]), mygrad.tensor(plain[1])
            conv_nd(x, w, stride=1, padding=1).backward(plain[2])
            return x.grad, w.grad
        contenders["MyGrad"] = with_mygrad
    except ImportError:
        pass
    try:
        import autograd
        from autograd.scipy.signal import convolve
        padded = np.pad(plain[0], [(0, 0), (0, 0), (1, 1), (1, 1)])

        def with_autograd():
            def one(both):
                w = both[1][:, :, ::-1, ::-1].swapaxes(0, 1)        # it turns the filters, as in mathematics
                return convolve(both[0], w, axes=([2, 3], [2, 3]), dot_axes=([1], [0]), mode="valid")
            gradient, _ = autograd.make_vjp(one)((padded, plain[1]))
            dX, dW = gradient(plain[2])
            return dX[:, :, 1:-1, 1:-1], dW
        contenders["autograd"] = with_autograd
    except ImportError:
        pass
    return compared(contenders)


# %% Norm and pooling
def _norm(layout):
    import torch
    F = torch.nn.functional
    X, dY, one, zero = images(128, 16, 32), images(128, 16, 32, 1), np.ones(16, np.float32), np.zeros(16, np.float32)

    def ours():
        _, cache = batch_norm_forward_fast(X, one, zero, relu=True)
        return batch_norm_backward_fast(dY, cache)[:3]

    x, d = (in_layout(a, layout) for a in (X, dY))
    x.requires_grad_()
    g, b = (torch.from_numpy(a.copy()).requires_grad_() for a in (one, zero))
    return compared({"tinynet": ours, layout: lambda: torch.autograd.grad(
        F.relu(F.batch_norm(x, None, None, g, b, training=True)), (x, g, b), d)})


@benchmark("batch norm with relu, forward and backward: N 128, 16 channels, 32 x 32", goal=2)
def image_norm():
    return _norm(LAYOUTS[0])


@benchmark("the same, PyTorch channels last")
def image_norm_last():
    return _norm(LAYOUTS[1])


@benchmark("max pool 3 x 3, stride 2, forward and backward: N 128, 16 channels, 32 x 32")
def image_pool():
    import torch
    X, dY = images(128, 16, 32), images(128, 16, 16, 1)

    def ours():
        _, cache = max_pool_forward_fast(X, 3, 2, 1)
        return max_pool_backward_fast(dY, cache)

    contenders = {"tinynet": ours}
    for layout in LAYOUTS:
        x, d = (in_layout(a, layout) for a in (X, dY))
        x.requires_grad_()
        contenders[layout] = lambda x=x, d=d: torch.autograd.grad(torch.nn.functional.max_pool2d(x, 3, 2, 1), x, d)
    return compared(contenders)


# %% A whole step: forward, backward, SGD with momentum and decay
def our_step(depth, residual, X, t):
    net = CifarNet(depth, residual, rng=0)
    sgd = optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)

    def run():
        sgd.zero_grad()
        loss = cross_entropy(net(X), t)
        loss.backward()
        sgd.step()
        return loss.data
    return run


def _register_step(name, depth, residual, layout, goal):
    def make():
        weights = [p.data for p in CifarNet(depth, residual, rng=0).parameters()]
        return compared({"tinynet": our_step(depth, residual, *batch()),
                         layout: their_step(depth, residual, *batch(), layout, weights)}, calls=2)    # by the gradients
    kind = "ResNet" if residual else "plain"
    make.__name__ = f"image_step_{name}"
    benchmark(f"training step of {kind}-{depth}, N 128, 32 x 32", goal)(make)


_register_step("resnet20", 20, True, LAYOUTS[0], 1.3)
_register_step("resnet20_last", 20, True, LAYOUTS[1], 1.0)
_register_step("plain20", 20, False, LAYOUTS[0], 1.3)
_register_step("plain20_last", 20, False, LAYOUTS[1], 1.0)
_register_step("resnet56", 56, True, LAYOUTS[0], None)
_register_step("resnet56_last", 56, True, LAYOUTS[1], None)


# %% One image through the large nets
def _one_image(make, shapes_of):
    """Our net beside the same layers in PyTorch, which take the same arrays."""
    import torch
    net = make().eval()
    X = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    theirs = shapes_of(net)

    def ours():
        with no_grad():
            return net(X).data

    def pytorchs(x):
        with torch.inference_mode():
            return theirs(x)
    return compared({"tinynet": ours} | {layout: partial(pytorchs, in_layout(X, layout)) for layout in LAYOUTS})


def _sequential(net):
    """AlexNet or VGG: its layers one by one."""
    import torch
    from torch import nn

    def layer(ours):
        if hasattr(ours, "settings") and hasattr(ours, "W"):
            theirs = nn.Conv2d(ours.W.shape[1], ours.W.shape[0], ours.W.shape[2], ours.settings["stride"],
                               ours.settings["padding"])
        elif hasattr(ours, "W"):
            theirs = nn.Linear(ours.W.shape[1], ours.W.shape[0])
        elif hasattr(ours, "settings"):
            return nn.MaxPool2d(ours.settings["size"], ours.settings["stride"])
        else:
            return nn.Identity() if hasattr(ours, "p") else nn.ReLU()
        theirs.weight.data, theirs.bias.data = torch.from_numpy(ours.W.data), torch.from_numpy(ours.b.data)
        return theirs
    return nn.Sequential(*map(layer, net.features.layers), nn.Flatten(), *map(layer, net.classifier.layers)).eval()


def _residual(net):
    """ResNet, from PyTorch's functions on our arrays."""
    import torch
    F, T = torch.nn.functional, {name: torch.from_numpy(a) for name, a in net.state_dict().items()}

    def norm(x, place):
        return F.batch_norm(x, *(T[f"{place}.{n}"] for n in ("mean", "var", "gain", "bias")))

    def run(x):
        x = F.max_pool2d(F.relu(norm(F.conv2d(x, T["first.W"], stride=2, padding=3), "norm")), 3, 2, 1)
        for i, block in enumerate(net.blocks):
            layers, y, h = len(block.convs) - block.projected, x, x
            if block.projected:
                W = T[f"blocks.{i}.convs.{layers}.W"]
                h = norm(F.conv2d(x, W, stride=block.stride), f"blocks.{i}.norms.{layers}")
            for j in range(layers):
                W = T[f"blocks.{i}.convs.{j}.W"]
                stride = block.stride if j == layers - 2 else 1
                y = norm(F.conv2d(y, W, stride=stride, padding=W.shape[2] // 2), f"blocks.{i}.norms.{j}")
                y = F.relu(y + h if j == layers - 1 else y)
            x = y
        return F.linear(x.mean((2, 3)), T["last.W"], T["last.b"])
    return run


@benchmark("one image of 224 x 224 through AlexNet", goal=0.9)
def image_alexnet():
    from tinynet.models.images.alex_net import AlexNet
    return _one_image(lambda: AlexNet(rng=0), _sequential)


@benchmark("one image of 224 x 224 through VGG-16", goal=0.9)
def image_vgg16():
    from tinynet.models.images.vgg import VGG16
    return _one_image(lambda: VGG16(rng=0), _sequential)


@benchmark("one image of 224 x 224 through ResNet-152", goal=0.9)
def image_resnet152():
    from tinynet.models.images.res_net import ResNet
    return _one_image(lambda: ResNet(152, rng=0), _residual)


# %% What a process costs: compiling, and memory
OURS = "images.our_step(20, True, *images.batch())"
THEIRS = "images_in_torch.their_step(20, True, *images_in_torch.batch(), {layout!r})"
STEP = """
import pathlib, time
from benchmarks import {file}
start = time.perf_counter()
run = {make}
run()
first = time.perf_counter() - start
for _ in range(3): run()
print(first, pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])     # not the parent's
"""


def _process(make, **environment):
    """(seconds of the first step, MiB at most) of a process of its own."""
    code = STEP.format(make=make, file=make.partition(".")[0])
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                         env=os.environ | environment)
    first, kilobytes = map(float, ran.stdout.split())
    return first, kilobytes / 1024


def cold_rows():
    """The first step of ResNet-20 with nothing compiled, and the memory of steps beside PyTorch's."""
    with tempfile.TemporaryDirectory() as nothing:
        first, _ = _process(OURS, NUMBA_CACHE_DIR=nothing)
    yield Row("first step of ResNet-20, all kernels compiled", 1e3 * first, "limit of 60 s", 6e4, 60 / first, 1)
    _, ours = _process(OURS)
    for layout in LAYOUTS:
        _, theirs = _process(THEIRS.format(layout=layout))
        yield Row("memory of a process that trains ResNet-20, MiB", ours, layout, theirs, theirs / ours, None)
