"""Nets and rules for several tasks beside PyTorch with the same nets and the same weights.

Every contender does the same work: before anything is timed its gradients (or its weights and gradients) are compared.
"""

import numpy as np
import torch

from benchmarks.blocks import normal, same_work
from benchmarks.timing import benchmark
from tinynet.backend import no_grad
from tinynet.balancing.aligned_mtl import AlignedMTL
from tinynet.balancing.balanced_backward import balanced_backward
from tinynet.balancing.cagrad import CAGrad
from tinynet.balancing.dynamic_weight_average import DynamicWeightAverage
from tinynet.balancing.famo import FAMO
from tinynet.balancing.geometric_mean import GeometricMean
from tinynet.balancing.gradnorm import GradNorm
from tinynet.balancing.imtl import IMTLG, IMTLL
from tinynet.balancing.log_losses import LogLosses
from tinynet.balancing.mgda import MGDA
from tinynet.balancing.pcgrad import PCGrad
from tinynet.balancing.random_weights import RandomWeights
from tinynet.balancing.uncertainty import Uncertainty
from tinynet.balancing.weighted_sum import WeightedSum
from tinynet.blocks.losses.mean_squared_error import mean_squared_error
from tinynet.engine import Tensor
from tinynet.models.tasks.cross_stitch_net import CrossStitchNet
from tinynet.models.tasks.mixture_net import MMoE
from tinynet.models.tasks.nddr_net import NDDRNet
from tinynet.models.tasks.shared_trunk import SharedTrunk

# %% A step of a net
SIZES = dict(d_in=100, widths=(100, 100, 100, 100))


def a_step(net, of_torch, T, N=100):
    """Forward and backward of the sum of T squared errors, ours and PyTorch's with the same parameters."""
    x, targets = normal(N, 100), [normal(N, 10) + t for t in range(T)]
    parameters = net.parameters()
    mirrors = [torch.from_numpy(p.data.copy()).requires_grad_() for p in parameters]
    named = dict(zip((name for name, _ in net.named_parameters()), mirrors, strict=True))
    tx, tt = torch.from_numpy(x), [torch.from_numpy(t) for t in targets]

    def run():
        for p in parameters:
            p.grad = None
        sum((mean_squared_error(y, t) for y, t in zip(net(x), targets, strict=True)), 0.0).backward()
        return [p.grad for p in parameters]

    def theirs():
        for m in mirrors:
            m.grad = None
        sum(torch.nn.functional.mse_loss(y, t) for y, t in zip(of_torch(tx, named), tt, strict=True)).backward()
        return [m.grad.numpy() for m in mirrors]
    return same_work({"tinynet": run, "PyTorch": theirs})


def columns(x, p, layer):
    """Every task's, or every expert's, linear layer with ReLU, in one batched product as ours."""
    W, b = p[f"{layer}.weights.W"], p[f"{layer}.weights.b"]
    x = x.expand(len(W), *x.shape) if x.ndim == 2 else x
    return torch.relu(torch.baddbmm(b[:, None], x, W.transpose(1, 2)))


def heads(x, p, T):
    return [torch.nn.functional.linear(x if x.ndim == 2 else x[t], p[f"heads.{t}.W"], p[f"heads.{t}.b"])
            for t in range(T)]


def stitch_net(T):
    def forward(x, p):
        for l in range(4):
            x = torch.einsum("cij,jnc->inc", p[f"stitches.{l}.A"], columns(x, p, f"layers.{l}"))
        return heads(x, p, T)
    return a_step(CrossStitchNet(**SIZES, classes=(10,) * T, rng=0), forward, T)


def nddr_net(T):
    def forward(x, p):
        for l in range(4):
            z = torch.cat(list(columns(x, p, f"layers.{l}")), dim=1)
            W, b = p[f"fusions.{l}.W"], p[f"fusions.{l}.b"]
            x = torch.relu(torch.stack([torch.nn.functional.linear(z, W[t], b[t]) for t in range(T)]))
        return heads(x, p, T)
    return a_step(NDDRNet(**SIZES, classes=(10,) * T, rng=0), forward, T)


@benchmark("a step of a cross-stitch net (2 tasks, 4 x 100, batch 100)", goal=1.5)
def tasks_stitch_net_2():
    return stitch_net(2)


@benchmark("a step of a cross-stitch net (4 tasks, 4 x 100, batch 100)", goal=1.5)
def tasks_stitch_net_4():
    return stitch_net(4)


@benchmark("a step of an NDDR net (2 tasks, 4 x 100, batch 100)", goal=1.5)
def tasks_nddr_net_2():
    return nddr_net(2)


@benchmark("a step of an NDDR net (4 tasks, 4 x 100, batch 100)", goal=1.5)
def tasks_nddr_net_4():
    return nddr_net(4)


@benchmark("a step of MMoE (4 tasks, 4 experts of 4 x 100, batch 100)", goal=1.5)
def tasks_mmoe():
    def forward(x, p):
        gates = torch.softmax(torch.einsum("nd,ted->tne", x, p["gates.W"]) + p["gates.b"][:, None], -1)
        h = x
        for l in range(4):
            h = columns(h, p, f"experts.{l}")
        return heads(torch.einsum("tne,end->tnd", gates, h), p, 4)
    return a_step(MMoE(**SIZES, classes=(10,) * 4, experts=4, rng=0), forward, 4)


# %% A step with a balancing rule on a shared trunk
def combine_gradients(losses, w, trunk, own, shared_only):
    """PyTorch's gradient of each task, weighted by w[t], on the trunk and on the task's own head (W and b).

    shared_only  the heads' gradients are not weighted
    """
    total = None
    for t, L in enumerate(losses):
        head = own[2 * t:2 * t + 2]
        grads = torch.autograd.grad(L, [*trunk, *head], retain_graph=t < len(losses) - 1)
        flat = torch.cat([g.reshape(-1) for g in grads[:len(trunk)]])
        total = w[t] * flat if total is None else total + w[t] * flat
        for m, g in zip(head, grads[len(trunk):], strict=True):
            m.grad = g if shared_only else w[t] * g
    for m, g in zip(trunk, total.split([m.numel() for m in trunk]), strict=True):
        m.grad = g.reshape(m.shape)


def balanced(make, T):
    """A backward pass with this rule, beside PyTorch's gradients of each task, combined with the weights the rule gave.

    PyTorch is spared the rule's own arithmetic, so the ratio is a lower bound.  FAMO looks at the losses again.
    """
    net = SharedTrunk(**SIZES, classes=(10,) * T, rng=0)
    x, targets, rule = normal(100, 100), [normal(100, 10) * (t + 1) for t in range(T)], make(T)
    parameters, shared = net.parameters(), len(net.shared())
    mirrors = [torch.from_numpy(p.data.copy()).requires_grad_() for p in parameters]
    named = dict(zip((name for name, _ in net.named_parameters()), mirrors, strict=True))
    tx, tt, given = torch.from_numpy(x), [torch.from_numpy(t) for t in targets], {}

    def losses():
        return [mean_squared_error(y, t) for y, t in zip(net(Tensor(x)), targets, strict=True)]

    def run():
        for p in parameters:
            p.grad = None
        given["w"] = [float(w) for w in balanced_backward(losses(), rule)]
        if rule.looks_again:
            with no_grad():
                rule.after_step(np.array([L.item() for L in losses()]))
        return [p.grad for p in parameters]

    def their_losses():
        h = tx
        for l in range(4):
            W, b = (named[f"layers.{l}.weights.{letter}"] for letter in "Wb")
            h = torch.relu(torch.nn.functional.linear(h, W, b))
        return [torch.nn.functional.mse_loss(y, t) for y, t in zip(heads(h, named, T), tt, strict=True)]

    def theirs():
        for m in mirrors:
            m.grad = None
        losses, w = their_losses(), given["w"]
        if not rule.asks_gradients:
            sum(a * L for a, L in zip(w, losses, strict=True)).backward()
            if rule.looks_again:
                with torch.no_grad():
                    [L.item() for L in their_losses()]
            return [m.grad.numpy() for m in mirrors]
        combine_gradients(losses, w, mirrors[:shared], mirrors[shared:], rule.shared_only)
        return [m.grad.numpy() for m in mirrors]
    return same_work({"tinynet": run, "PyTorch": theirs})


class OneDraw(RandomWeights):
    """The weights of the first step in all steps."""

    def weigh(self, losses, gradients):
        self.step = np.zeros((), np.int64)
        return super().weigh(losses, gradients)


RULES = {       # learnt weights at rate 0, so that every run does the same work
    "equal weights": lambda T: WeightedSum(), "random weights": lambda T: OneDraw(),
    "uncertainty": lambda T: Uncertainty(["regression"] * T, lr=0),
    "GradNorm": lambda T: GradNorm(T, lr=0), "PCGrad": lambda T: PCGrad(), "MGDA": lambda T: MGDA(),
    "IMTL-G": lambda T: IMTLG(), "IMTL-L": lambda T: IMTLL(T, lr=0),
    "dynamic weight average": lambda T: DynamicWeightAverage(T, every=50), "geometric mean": lambda T: GeometricMean(),
    "log losses": lambda T: LogLosses(),
    "CAGrad": lambda T: CAGrad(), "Aligned-MTL": lambda T: AlignedMTL(), "FAMO": lambda T: FAMO(T, lr=0),
}


def _register(name, make, T):
    def make_contenders():
        return balanced(make, T)
    make_contenders.__name__ = f"tasks_{name.lower().replace('-', '_').replace(' ', '_')}_{T}"
    benchmark(f"a backward pass with {name} ({T} tasks, 4 x 100, batch 100)", goal=1.5)(make_contenders)


for _name, _make in RULES.items():
    for _T in (2, 10):
        _register(_name, _make, _T)
