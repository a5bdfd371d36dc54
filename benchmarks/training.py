"""A training step, and what one op of the engine costs."""

import autograd
import mygrad
import numpy as np
import torch
import torch.nn.functional as F

import tinynet as tn
from benchmarks.timing import benchmark
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.models.images.plain_and_residual import ResidualNet
from tinynet.optim import SGD


class TorchResidualNet(torch.nn.Module):
    """The same net as a PyTorch user would write it, with the same first weights."""

    def __init__(self, ours):
        super().__init__()
        stack = ours.blocks
        self.first, self.last = (layer(end.W.data, end.b.data) for end in (ours.first, ours.last))
        self.inner = torch.nn.ModuleList(layer(*pair) for pair in zip(stack.W1.data, stack.b1.data, strict=True))
        self.outer = torch.nn.ModuleList(layer(W2) for W2 in stack.W2.data)

    def forward(self, x):
        x = torch.relu(self.first(x))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = x + outer(torch.relu(inner(x)))
        return self.last(x)


def layer(W, b=None):
    linear = torch.nn.Linear(W.shape[1], W.shape[0], bias=b is not None)
    linear.weight.data = torch.from_numpy(W.copy())
    if b is not None:
        linear.bias.data = torch.from_numpy(b.copy())
    return linear


@benchmark("training step of a 20-layer residual net (width 64, batch 128)", goal=1.5)
def residual_step():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(128, 64)).astype(np.float32), rng.integers(0, 10, 128)
    net = ResidualNet(depth=20, d_in=64, d_out=10, rng=0)
    theirs, tx, ty = TorchResidualNet(net), torch.from_numpy(x), torch.from_numpy(y)
    sgd = SGD(net.parameters(), lr=0.01, momentum=0.9)
    their_sgd = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9)

    def ours():
        loss = cross_entropy(net(x), y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        return loss.item()

    def pytorch():
        loss = F.cross_entropy(theirs(tx), ty)
        their_sgd.zero_grad()
        loss.backward()
        their_sgd.step()
        return loss.item()

    for _ in range(3):      # three steps on, both still agree: weights, gradients and updates are the same
        assert abs(ours() - pytorch()) < 1e-4
    return {"tinynet": ours, "PyTorch": pytorch}


# %% The overhead of one op
@benchmark("200 ops of the engine on one number, forward + backward")
def op_overhead():
    def chain(x):
        for _ in range(100):
            x = x + x * 0.5
        return x

    def ours():
        x = tn.Tensor(np.ones(1, np.float32), requires_grad=True)
        chain(x).backward()

    def pytorch():
        x = torch.ones(1, requires_grad=True)
        chain(x).backward()

    def my_grad():
        chain(mygrad.tensor(np.ones(1, np.float32))).backward()

    gradient, one = autograd.grad(lambda x: chain(x)[0]), np.ones(1, np.float32)
    return {"tinynet": ours, "PyTorch": pytorch, "autograd": lambda: gradient(one), "MyGrad": my_grad}
