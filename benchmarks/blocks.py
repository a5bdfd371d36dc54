"""The blocks, forward and backward, beside PyTorch's natural code (and HIPS autograd and MyGrad).

Every contender gets the same float32 arrays; before anything is timed its gradients are compared with
tinynet's, so that all are known to do the same work.
"""

import autograd
import autograd.numpy as anp
import mygrad
import numpy as np
import torch
import torch.nn.functional as F

import tinynet as tn
from benchmarks.timing import benchmark
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.sequences.additive_attention import additive_attention
from tinynet.blocks.sequences.attention import attention
from tinynet.blocks.tasks.cross_stitch import cross_stitch
from tinynet.blocks.units.apl import apl
from tinynet.blocks.units.layer_norm import layer_norm
from tinynet.blocks.units.softmax import softmax


def normal(*shape):
    return np.random.default_rng(len(shape) + sum(shape)).normal(size=shape).astype(np.float32)


def ours(function, arrays, dy):
    def run():
        leaves = [tn.Tensor(a, requires_grad=True) for a in arrays]
        function(*leaves).backward(dy)
        return [leaf.grad for leaf in leaves]
    return run


def pytorch(function, arrays, dy):
    tensors, upstream = [torch.from_numpy(a.copy()) for a in arrays], torch.from_numpy(np.array(dy))

    def run():
        leaves = [t.detach().requires_grad_() for t in tensors]
        function(*leaves).backward(upstream)
        return [leaf.grad.numpy() for leaf in leaves]
    return run


def hips(function, arrays, dy):
    pullback = autograd.make_vjp(lambda parts: function(*parts))
    return lambda: pullback(tuple(arrays))[0](dy)


def my_grad(function, arrays, dy):
    def run():
        leaves = [mygrad.tensor(a) for a in arrays]
        function(*leaves).backward(dy)
        return [leaf.grad for leaf in leaves]
    return run


def same_work(contenders):
    """Raise AssertionError unless all contenders return tinynet's gradients."""
    expected = contenders["tinynet"]()
    for name, run in contenders.items():
        for ours_, theirs in zip(expected, run(), strict=True):
            scale = np.abs(ours_).max() + 1e-12
            worst = np.abs(np.asarray(theirs) - ours_).max() / scale
            assert worst < 1e-4, f"{name} computes something else: {worst:.1e} off"
    return contenders


# %% APL: h(x) = max(0, x) + sum_s a_s max(0, b_s - x)
def apl_broadcast(relu):
    return lambda x, a, b: relu(x) + (a * relu(b - x[:, None, :])).sum(1)


def apl_loop(relu):
    def run(x, a, b):
        h = relu(x)
        for s in range(len(a)):
            h = h + a[s] * relu(b[s] - x)
        return h
    return run


def bending(N, S, *others):
    """tinynet, PyTorch and the others that are named, on N rows of 512 units with S hinges each."""
    arrays, dy = (normal(N, 512), normal(S, 512), normal(S, 1, 512)[:, 0]), normal(N, 512)
    contenders = {
        "tinynet": ours(apl, arrays, dy),
        "PyTorch, a loop": pytorch(apl_loop(torch.relu), arrays, dy),
        "PyTorch, broadcast": pytorch(apl_broadcast(torch.relu), arrays, dy),
        "autograd": hips(apl_loop(lambda x: anp.maximum(0, x)), arrays, dy),
        "MyGrad": my_grad(apl_loop(lambda x: mygrad.maximum(np.float32(0), x)), arrays, dy)}
    return same_work({name: contenders[name] for name in ("tinynet", "PyTorch, a loop", "PyTorch, broadcast", *others)})


@benchmark("APL forward + backward (256 x 512, S = 5)", goal=3)
def apl_unit():
    return bending(256, 5, "autograd", "MyGrad")


@benchmark("APL forward + backward (256 x 512, S = 64)", goal=3)
def apl_of_many_hinges():
    return bending(256, 64)


# %% Cross-stitch
def stitched(tasks):
    arrays = normal(tasks, 32, 64, 28, 28), normal(64, tasks, tasks)
    dy = normal(tasks, 32, 64, 28, 28)[::-1].copy()

    def sums(x, a):
        a = a.permute(1, 2, 0)[:, :, None, :, None, None]
        return torch.stack([sum(a[i, j] * x[j] for j in range(tasks)) for i in range(tasks)])

    x, d = (torch.from_numpy(a) for a in (arrays[0], dy))
    return same_work({
        "tinynet": ours(cross_stitch, arrays, dy),
        "PyTorch, sums": pytorch(sums, arrays, dy),
        "PyTorch, einsum": pytorch(lambda x, a: torch.einsum("cij,jnchw->inchw", a, x), arrays, dy),
    }) | {"limit: x to y, dy and x to dx, once each": lambda: (x.clone(), d + x)}


@benchmark("cross-stitch (2 tasks, 32 x 64 x 28 x 28, per channel)", goal=5)
def tasks_cross_stitch_2():
    return stitched(2)


@benchmark("cross-stitch (4 tasks, 32 x 64 x 28 x 28, per channel)", goal=3)
def tasks_cross_stitch_4():
    return stitched(4)


# %% Attention
def attending(heads, T, causal, *others):
    """tinynet, PyTorch and the others that are named, on Q, K, V (1, heads, T, 64)."""
    *arrays, dy = (normal(1, heads, T, 64 + i)[..., :64].copy() for i in range(4))

    def plain(q, k, v):
        scores = anp.matmul(q, anp.swapaxes(k, -1, -2)) / np.float32(8)
        p = anp.exp(scores - scores.max(axis=-1, keepdims=True)) * np.tril(np.ones((T, T), bool), 0 if causal else T)
        return anp.matmul(p / p.sum(axis=-1, keepdims=True), v)

    contenders = {
        "tinynet": ours(lambda q, k, v: attention(q, k, v, causal=causal), arrays, dy),
        "PyTorch": pytorch(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal), arrays, dy),
        "autograd": hips(plain, arrays, dy)}
    return same_work({name: contenders[name] for name in ("tinynet", "PyTorch", *others)})


@benchmark("attention, causal (64 heads, T 256, d 64)", goal=1.7)
def dot_product_attention():
    return attending(64, 256, True, "autograd")


@benchmark("attention, full (64 heads, T 256, d 64)", goal=1.2)
def attention_full():
    return attending(64, 256, False, "autograd")


@benchmark("attention, causal (256 heads, T 64, d 64)", goal=1.5)
def attention_of_short_sequences():
    return attending(256, 64, True)


@benchmark("attention, full (2 heads, T 4096, d 64)", goal=1)
def attention_of_long_sequences():
    return attending(2, 4096, False)


@benchmark("additive attention (batch 16, 32 queries, 64 keys, all 128 wide)")
def bahdanau_attention():
    arrays = (normal(16, 32, 128), normal(16, 64, 128), normal(128, 129)[:, :128].copy() / 11,
              normal(128, 130)[:, :128].copy() / 11, normal(128))
    dy = normal(16, 32, 129)[..., :128].copy()

    def natural(s, h, W, U, v):
        e = torch.tanh((s @ W.T)[:, :, None] + (h @ U.T)[:, None]) @ v
        return torch.softmax(e, -1) @ h

    def plain(s, h, W, U, v):
        e = anp.matmul(anp.tanh(anp.matmul(s, W.T)[:, :, None] + anp.matmul(h, U.T)[:, None]), v)
        p = anp.exp(e - e.max(axis=-1, keepdims=True))
        return anp.matmul(p / p.sum(axis=-1, keepdims=True), h)

    return same_work({
        "tinynet": ours(additive_attention, arrays, dy),
        "PyTorch": pytorch(natural, arrays, dy),
        "autograd": hips(plain, arrays, dy)})


# %% Normalisation and loss
@benchmark("layer norm (4096 x 1024)", goal=1.3)
def normalisation():
    arrays, dy = (normal(4096, 1024), normal(1024), normal(1025)[:1024]), normal(4096, 1025)[:, :1024].copy()

    def plain(x, g, b):
        z = x - x.mean(axis=-1, keepdims=True)
        return z / anp.sqrt((z * z).mean(axis=-1, keepdims=True) + np.float32(1e-5)) * g + b

    return same_work({
        "tinynet": ours(layer_norm, arrays, dy),
        "PyTorch": pytorch(lambda x, g, b: F.layer_norm(x, (1024,), g, b), arrays, dy),
        "autograd": hips(plain, arrays, dy)})


def choosing(N, C, *others):
    """tinynet, PyTorch and the others that are named, on the cross-entropy of N rows of C classes."""
    X, targets = normal(N, C), np.random.default_rng(0).integers(0, C, N)
    classes, one = torch.from_numpy(targets), np.float32(1)

    def plain(x):
        z = x - x.max(axis=1, keepdims=True)
        return anp.mean(anp.log(anp.sum(anp.exp(z), axis=1)) - z[np.arange(N), targets])

    contenders = {
        "tinynet": ours(lambda x: cross_entropy(x, targets), [X], one),
        "PyTorch": pytorch(lambda x: F.cross_entropy(x, classes), [X], one),
        "autograd": hips(plain, [X], one),
        "MyGrad": my_grad(lambda x: mygrad.nnet.losses.softmax_crossentropy(x, targets), [X], one)}
    return same_work({name: contenders[name] for name in ("tinynet", "PyTorch", *others)})


@benchmark("softmax cross-entropy (4096 x 8000)", goal=1.5)
def softmax_cross_entropy():
    return choosing(4096, 8000, "autograd", "MyGrad")


@benchmark("softmax cross-entropy (960 x 8000)", goal=1.5)
def cross_entropy_of_a_batch():
    return choosing(960, 8000)


@benchmark("softmax cross-entropy (768 x 65)", goal=1)
def cross_entropy_of_characters():
    return choosing(768, 65)


@benchmark("softmax (4096 x 8000)")
def softmax_of_rows():
    arrays, dy = [normal(4096, 8000)], normal(4096, 8001)[:, :8000].copy()
    return same_work({"tinynet": ours(softmax, arrays, dy),
                      "PyTorch": pytorch(lambda x: torch.softmax(x, -1), arrays, dy)})
