"""ResNet-20 to -56 and their plain nets in PyTorch.  It imports nothing of tinynet, so that its memory is its own.

PyTorch's default layout is (N, C, H, W), its faster one channels last, (N, H, W, C).
"""

import numpy as np

LAYOUTS = "PyTorch", "PyTorch, last"


def in_layout(array, layout):
    import torch
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.to(memory_format=torch.channels_last) if layout == LAYOUTS[1] and tensor.ndim == 4 else tensor


def torch_net(depth, residual):
    """The same net in PyTorch."""
    import torch
    from torch import nn
    F = torch.nn.functional

    class Block(nn.Module):
        def __init__(self, C, K, stride):
            super().__init__()
            self.conv1, self.conv2 = (nn.Conv2d(c, K, 3, u, 1, bias=False) for c, u in ((C, stride), (K, 1)))
            self.norm1, self.norm2, self.stride, self.more = nn.BatchNorm2d(K), nn.BatchNorm2d(K), stride, (K - C) // 2

        def forward(self, x):
            y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
            if residual:
                u = self.stride
                y = y + (F.pad(x[:, :, ::u, ::u], (0, 0, 0, 0, self.more, self.more)) if u > 1 else x)
            return F.relu(y)

    blocks, before = [], 16
    for stage, width in enumerate((16, 32, 64)):
        for i in range((depth - 2) // 6):
            blocks.append(Block(before, width, 2 if stage and not i else 1))
            before = width
    return nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def their_step(depth, residual, X, t, layout, weights=None):
    """run() -> the loss of one more step, from `weights`: those with equally many axes in the net's order."""
    import torch
    net, x, t = torch_net(depth, residual), in_layout(X, layout), torch.from_numpy(t)
    if weights:
        pairs = zip(*(sorted(arrays, key=lambda a: a.ndim) for arrays in (net.parameters(), weights)), strict=True)
        for p, w in pairs:
            p.data = torch.from_numpy(w.copy())
    if layout == LAYOUTS[1]:
        net = net.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)

    def run():
        sgd.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), t)
        loss.backward()
        sgd.step()
        return loss.detach()
    return run


def batch():
    rng = np.random.default_rng(0)
    return rng.standard_normal((128, 3, 32, 32), np.float32), rng.integers(0, 10, 128)
