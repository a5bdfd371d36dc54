"""Sequences beside PyTorch: recurrent layers, a decoder with attention, a transformer's step, writing with a cache.

Every contender gets the same float32 arrays and first weights, and before anything is timed their gradients, losses or
outputs are compared.  `python -m benchmarks sequences` runs them all.
"""

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.blocks import normal, ours, same_work
from benchmarks.timing import benchmark
from tinynet import optim
from tinynet.blocks.losses.cross_entropy import cross_entropy
from tinynet.blocks.sequences.attention_gru import attention_gru
from tinynet.blocks.sequences.gru import gru
from tinynet.blocks.sequences.lstm import lstm
from tinynet.blocks.sequences.rnn import rnn
from tinynet.blocks.units.linear import linear
from tinynet.models.sequences.generate import generate
from tinynet.models.sequences.transformer import GPT

B = 64


# %% Recurrent layers: PyTorch's own modules, with the same weights
def layer(kind, gates, op, T, H):
    """Contenders for one layer, forward + backward, of B = 64 sequences of T steps; H features in and out."""
    x, dy = normal(B, T, H), normal(B, T + 1, H)[:, 1:].copy()
    W, U, b = normal(H, gates * H) / H ** 0.5, normal(H, gates * H + 1)[:, 1:].copy() / H ** 0.5, normal(gates * H)
    arrays = [x, W, U, b, *([normal(H + 1)[1:].copy()] if kind == "GRU" else [])]
    net = getattr(torch.nn, kind)(H, H, batch_first=True)
    second = np.zeros(gates * H, np.float32)
    if kind == "GRU":
        second[2 * H:] = arrays[4]
    for name, array in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), (W.T, U.T, b, second), strict=True):
        getattr(net, f"{name}_l0").data = torch.from_numpy(np.ascontiguousarray(array))
    net.flatten_parameters()
    upstream = torch.from_numpy(dy)

    def pytorch():
        leaf = torch.from_numpy(x).requires_grad_()
        net.zero_grad()
        net(leaf)[0].backward(upstream)
        grads = [leaf.grad, net.weight_ih_l0.grad.T, net.weight_hh_l0.grad.T, net.bias_ih_l0.grad]
        return [g.numpy() for g in ([*grads, net.bias_hh_l0.grad[2 * H:]] if kind == "GRU" else grads)]

    run = (lambda *a: op(*a)[0]) if kind == "LSTM" else op
    return same_work({"tinynet": ours(run, arrays, dy), "PyTorch": pytorch})


@benchmark("GRU layer (batch 64, T 15, H 256)", goal=1.1)
def sequences_gru():
    return layer("GRU", 3, gru, 15, 256)


@benchmark("GRU layer (batch 64, T 30, H 256)", goal=1.1)
def sequences_gru_long():
    return layer("GRU", 3, gru, 30, 256)


@benchmark("GRU layer (batch 64, T 15, H 512)", goal=1.1)
def sequences_gru_wide():
    return layer("GRU", 3, gru, 15, 512)


@benchmark("LSTM layer (batch 64, T 15, H 256)", goal=0.85)
def sequences_lstm():
    return layer("LSTM", 4, lstm, 15, 256)


@benchmark("LSTM layer (batch 64, T 30, H 256)", goal=0.85)
def sequences_lstm_long():
    return layer("LSTM", 4, lstm, 30, 256)


@benchmark("RNN layer (batch 64, T 15, H 256)", goal=1.1)
def sequences_rnn():
    return layer("RNN", 1, rnn, 15, 256)


# %% The decoder that looks before each step, with its output layer and loss
@benchmark("decoder with attention (batch 64, T 15, 15 annotations, all 256 wide, 8,000 words)", goal=1.2)
def sequences_decoder():
    T, N, C, V = 15, 15, 256, 8000
    small = C ** -0.5
    arrays = [normal(B, T, C), normal(B, N, C + 1)[..., 1:].copy(), normal(B, N, C + 2)[..., 2:].copy(),
              small * normal(C, C), normal(C), small * normal(2 * C, 3 * C), small * normal(C, 3 * C), normal(3 * C),
              normal(C + 1)[1:].copy(), normal(B, C), small * normal(V, 2 * C)]
    t = np.random.default_rng(0).integers(V, size=(B, T))
    classes, one = torch.from_numpy(t).reshape(-1), np.float32(1)

    def decode(x, h, k, A, v, W, U, b, c, s0, out):
        return cross_entropy(linear(attention_gru(x, h, k, A, v, W, U, b, c, s0)[..., :2 * C], out), t)

    tensors = [torch.from_numpy(a.copy()) for a in arrays]

    def pytorch():
        leaves = [a.detach().requires_grad_() for a in tensors]
        x, h, k, A, v, W, U, b, c, s, out = leaves
        Wt, Ut, second, rows = W.T, U.T, torch.cat([torch.zeros(2 * C), c]), []
        for i in range(T):
            alpha = torch.softmax(torch.tanh((s @ A.T)[:, None] + k) @ v, dim=1)
            ctx = (alpha[:, None] @ h)[:, 0]
            s = torch.gru_cell(torch.cat([x[:, i], ctx], dim=1), s, Wt, Ut, b, second)
            rows.append(torch.cat([s, ctx], dim=1))
        F.cross_entropy(F.linear(torch.stack(rows, dim=1), out).reshape(-1, V), classes).backward()
        return [leaf.grad.numpy() for leaf in leaves]

    return same_work({"tinynet": ours(decode, arrays, one), "PyTorch": pytorch})


# %% nanoGPT's small model
class TorchGPT(torch.nn.Module):
    """nanoGPT's form, without biases, as a PyTorch user would write it, with the same first weights."""

    def __init__(self, net):
        super().__init__()
        self.heads = net.blocks[0].attention.heads
        self.all = torch.nn.ParameterDict({name.replace(".", "_"): torch.nn.Parameter(torch.from_numpy(p.data.copy()))
                                           for name, p in net.named_parameters()})
        self.layers = len(net.blocks)

    def forward(self, tokens):
        p, T = self.all, tokens.shape[1]
        x = p["embedding_E"][tokens] + p["positions_P"][:T]
        C = x.shape[2]
        for i in range(self.layers):
            q, k, v = (a.reshape(*a.shape[:2], self.heads, -1).transpose(1, 2) for a in F.linear(
                F.layer_norm(x, (C,), p[f"blocks_{i}_norm1_gain"]), p[f"blocks_{i}_attention_qkv_W"]).chunk(3, dim=2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
            x = x + F.linear(y, p[f"blocks_{i}_attention_out_W"])
            y = F.layer_norm(x, (C,), p[f"blocks_{i}_norm2_gain"])
            y = F.gelu(F.linear(y, p[f"blocks_{i}_feed_forward_inner_W"]))
            x = x + F.linear(y, p[f"blocks_{i}_feed_forward_outer_W"])
        return F.linear(F.layer_norm(x, (C,), p["norm_gain"]), p["embedding_E"])


def small_gpt():
    net = GPT(65, 64, 128, 4, 4, bias=False, rng=0)
    return net, TorchGPT(net)


def training_step(optimizer, loss_of, clip, parameters):
    """One step of training, tinynet's or PyTorch's: a function that takes it and returns the loss."""
    parameters = list(parameters)

    def step():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        clip(parameters, 1)
        optimizer.step()
        return loss.item()
    return step


@benchmark("nanoGPT's small model, a step with AdamW and clipping (batch 12 x 64 letters)", goal=1.0)
def sequences_gpt_step():
    net, theirs = small_gpt()
    tokens = np.random.default_rng(0).integers(65, size=(12, 65))
    x, y = tokens[:, :-1], tokens[:, 1:]
    tx, ty = torch.from_numpy(x.copy()), torch.from_numpy(y.copy()).reshape(-1)
    adam = optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    their_adam = torch.optim.AdamW(theirs.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)

    contenders = {
        "tinynet": training_step(adam, lambda: net.loss(x, y), optim.clip_grad_norm, net.parameters()),
        "PyTorch": training_step(their_adam, lambda: F.cross_entropy(theirs(tx).reshape(-1, 65), ty),
                                 torch.nn.utils.clip_grad_norm_, theirs.parameters())}
    for _ in range(3):      # three steps on, both still agree: weights, gradients and updates are the same
        ours_now, theirs_now = (step() for step in contenders.values())
        assert abs(ours_now - theirs_now) < 1e-3
    return contenders


@benchmark("writing 500 letters with nanoGPT's small model (PyTorch: nanoGPT's own way, without a cache)", goal=2)
def sequences_writing():
    net, theirs = small_gpt()
    net.eval()

    def tinynet():
        return generate(net, [[1]], 500)[0]

    @torch.no_grad()
    def pytorch():
        tokens = torch.tensor([[1]])
        for _ in range(500):
            tokens = torch.cat([tokens, theirs(tokens[:, -64:])[:, -1:].argmax(dim=2)], dim=1)
        return tokens[0, 1:].numpy()

    # as long as the context isn't full both do the same; after that ours begins anew with the later half of it
    assert (tinynet()[:60] == pytorch()[:60]).all()
    return {"tinynet": tinynet, "PyTorch": pytorch}
