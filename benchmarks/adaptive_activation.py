"""Adaptive activation beside PyTorch's dense and sorted forms, and a whole step of TAAN at the deck's size."""

import numpy as np
import torch
import torch.nn.functional as F

import tinynet as tn
from benchmarks.blocks import normal, ours, pytorch, same_work
from benchmarks.timing import benchmark
from tinynet.blocks.losses.binary_cross_entropy import binary_cross_entropy
from tinynet.blocks.tasks.adaptive_activation import adaptive_activation
from tinynet.blocks.tasks.functional_regularization import cosine_regularizer, distance_regularizer
from tinynet.models.tasks.taan import TAAN
from tinynet.optim import Adam

CLASSES = (525, 734, 466, 167, 278, 302, 259, 150, 132, 86, 116, 26, 120, 116, 48, 32)


def dense(z, alpha, b):
    """As the formula reads: every number meets every hinge at once."""
    hinges = torch.relu(b - z[..., None])
    return torch.relu(z) + torch.einsum("tndm,tm->tnd", hinges, alpha)


def by_sorting(z, alpha, b):
    """Sums of slopes from the right, looked up by where a number stands among the hinges."""
    T = len(z)
    b, order = b.sort()
    alpha = alpha[:, order]
    P, Q = (F.pad(v.flip(1).cumsum(1).flip(1), (0, 1)) for v in (alpha * b, alpha))
    k = torch.bucketize(z.detach(), b.detach(), right=True).reshape(T, -1)
    left = P.gather(1, k) - Q.gather(1, k) * z.reshape(T, -1)
    return torch.relu(z) + left.reshape(z.shape)


def arrays(T, N, D, M):
    rng = np.random.default_rng(0)
    alpha, b = 0.01 * rng.normal(size=(T, M)), rng.uniform(-0.5, 0.5, M)
    return normal(T, N, D), alpha.astype(np.float32), b.astype(np.float32)


@benchmark("adaptive activation (16 tasks, batch 256, 1024 units, 64 hinges)", goal=3)
def taan_activation():
    given, dy = arrays(16, 256, 1024, 64), normal(16, 256, 1025)[..., :1024].copy()
    return same_work({"tinynet": ours(adaptive_activation, given, dy),
                      "PyTorch, dense": pytorch(dense, given, dy),
                      "PyTorch, sorted": pytorch(by_sorting, given, dy)})


# %% A whole step
def parameters(ours_):
    return torch.nn.ParameterList(torch.from_numpy(p.data.copy()) for p in ours_)


class TorchTAAN(torch.nn.Module):
    """The same net as a PyTorch user would write it with the sorted form, with the same first weights."""

    def __init__(self, net):
        super().__init__()
        self.W, self.c = (parameters(getattr(layer.weights, name) for layer in net.layers) for name in "Wb")
        self.alpha, self.b = (parameters(getattr(f, name) for f in net.activations()) for name in ("alpha", "b"))
        self.V, self.d = (parameters(getattr(head, name) for head in net.heads) for name in "Wb")

    def forward(self, x):
        for W, c, alpha, b in zip(self.W, self.c, self.alpha, self.b, strict=True):
            x = by_sorting(F.linear(x, W, c), alpha, b)
        return [F.linear(h, V, d) for h, V, d in zip(x, self.V, self.d, strict=True)]


def the_step():
    """(our step, PyTorch's step), each a function that returns its loss; 16 tasks of 256 examples."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 256, 1152)).astype(np.float32)
    labels = [(rng.random((256, c)) < 0.01).astype(np.float32) for c in CLASSES]
    net = TAAN(1152, (1024,) * 3, CLASSES, hinges=64, rng=0)
    theirs, tx, their_labels = TorchTAAN(net), torch.from_numpy(x), [torch.from_numpy(y) for y in labels]
    adam = Adam(net.parameters(), lr=1e-4, l2=0.005)
    their_adam = torch.optim.Adam(theirs.parameters(), lr=1e-4, weight_decay=0.005)

    def step():
        losses = [binary_cross_entropy(y, t) * float(t.shape[1]) for y, t in zip(net(x), labels, strict=True)]
        loss = sum(losses[1:], losses[0]) * (1 / 16)
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.item()

    def pytorch_step():
        losses = [F.binary_cross_entropy_with_logits(y, t) * t.shape[1]
                  for y, t in zip(theirs(tx), their_labels, strict=True)]
        loss = sum(losses) / 16
        their_adam.zero_grad()
        loss.backward()
        their_adam.step()
        return loss.item()

    return step, pytorch_step


@benchmark("a training step of TAAN at the deck's size (16 x 256, 1152-1024-1024-1024)", goal=1.2)
def taan_step():
    step, pytorch_step = the_step()
    for _ in range(3):
        assert abs(step() / pytorch_step() - 1) < 1e-3
    return {"tinynet": step, "PyTorch": pytorch_step}


@benchmark("Lcos and Ldis of three layers beside a whole step: above 50 is under 2 %")
def taan_regularizers():
    step, _ = the_step()
    _, alpha, b = arrays(16, 1, 1, 64)
    alphas, hinges = ([tn.Tensor(v, requires_grad=True) for _ in range(3)] for v in (alpha, b))

    def both():
        for regularizer in (cosine_regularizer, distance_regularizer):
            terms = [regularizer(*layer) for layer in zip(alphas, hinges, strict=True)]
            sum(terms[1:], terms[0]).backward()

    return {"tinynet": both, "a whole step of TAAN": step}
