"""SGD and Adam against PyTorch's, step by step."""

import numpy as np
import pytest

from tinynet import nn, optim

torch = pytest.importorskip("torch")

SHAPES = [(3, 4), (4,), (5, 1)]
PAIRS = [
    (lambda p: optim.SGD(p, 0.1), lambda p: torch.optim.SGD(p, 0.1)),
    (lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
     lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01)),
    (lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
     lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01)),
    (lambda p: optim.Adam(p, 0.01), lambda p: torch.optim.Adam(p, 0.01)),
    (lambda p: optim.Adam(p, 0.01, l2=0.1), lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1)),
    (lambda p: optim.Adam(p, 0.01, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
     lambda p: torch.optim.AdamW(p, 0.01, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1)),
]


@pytest.mark.parametrize("pair", PAIRS)
def test_ten_steps_equal_pytorchs(pair):
    rng = np.random.default_rng(0)
    first = [rng.normal(size=s) for s in SHAPES]
    ours, theirs = [nn.Parameter(a) for a in first], [torch.tensor(a, requires_grad=True) for a in first]
    our_optimizer, their_optimizer = pair[0](ours), pair[1](theirs)
    for i in range(10):
        for j, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            g = rng.normal(size=p.shape)
            skipped = j == 1 and i < 3          # a parameter that gets its first gradient later
            p.grad, q.grad = (None, None) if skipped else (g, torch.tensor(g))
        our_optimizer.step()
        their_optimizer.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-12, atol=1e-13)


def test_clipping_equals_pytorchs():
    rng = np.random.default_rng(1)
    grads = [rng.normal(size=s) for s in SHAPES]
    ours, theirs = [nn.Parameter(np.zeros(s)) for s in SHAPES], [torch.zeros(s, dtype=torch.float64) for s in SHAPES]
    for p, q, g in zip(ours, theirs, grads, strict=True):
        p.grad, q.grad = g, torch.tensor(g)
    norm = optim.clip_grad_norm(ours, 0.5)
    assert norm == pytest.approx(float(torch.nn.utils.clip_grad_norm_(theirs, 0.5)))
    for p, q in zip(ours, theirs, strict=True):     # PyTorch divides by norm + 1e-6
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-6)
