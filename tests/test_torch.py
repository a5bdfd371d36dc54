"""PyTorch as an oracle: our forwards and gradients beside its own, wherever it has the op or can compose it."""

import numpy as np
import pytest

from tinynet import cases

torch = pytest.importorskip("torch")
torch.set_num_threads(1)        # for arrays this small, threads only wait for each other
F = torch.nn.functional


def cross_entropy(x, t, ignore=-1):
    return F.cross_entropy(x.reshape(-1, x.shape[-1]), t.reshape(-1), ignore_index=ignore)


def attention(Q, K, V, mask=None, causal=False, scale=None):
    if mask is not None and causal:
        mask, causal = mask & torch.ones(Q.shape[-2], K.shape[-2], dtype=bool).tril(), False
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=mask, is_causal=causal, scale=scale)


def residual(x, W1, W2, b1=None, activation="relu"):
    return x + F.linear(getattr(torch, activation)(F.linear(x, W1, b1)), W2)


def residual_stack(x, W1, W2, b1=None, activation="relu"):
    for l in range(len(W1)):
        x = residual(x, W1[l], W2[l], None if b1 is None else b1[l], activation)
    return x


def maxout(x, W, b=None):
    z = torch.einsum("...d,ckd->...ck", x, W)
    return (z if b is None else z + b).amax(dim=-1)


def lp_unit(x, c, r):
    p = 1 + F.softplus(r)[:, None]
    return ((x - c).abs() ** p).mean(dim=-1) ** (1 / p[:, 0])


def apl(x, a, b):
    return F.relu(x) + sum(a[s] * F.relu(b[s] - x) for s in range(len(a)))


def cross_stitch(X, A):
    if A.ndim == 2:
        return torch.einsum("ij,jnc...->inc...", A, X)
    return torch.einsum("cij,jnc...->inc...", A, X)


def additive_attention(s, h, W, U, v, mask=None):
    e = torch.tanh((s @ W.T)[..., :, None, :] + (h @ U.T)[..., None, :, :]) @ v
    if mask is None:
        return torch.softmax(e, dim=-1) @ h
    alpha = torch.softmax(e.masked_fill(~mask, -1e30), dim=-1) * mask.any(dim=-1, keepdim=True)
    return alpha @ h


def lstm(x, W, U, b):
    start = torch.zeros(1, x.shape[1], len(U), dtype=x.dtype)
    parameters = W.T, U.T, b, torch.zeros_like(b)       # its gates stand in our order; its second bias adds to b
    return torch.lstm(x, (start, start), parameters, True, 1, 0.0, True, False, False)[0]


def graph_attention(h, s, r, keep=None, graph=None, slope=0.2, p=0):
    i, j = (torch.from_numpy(a.astype(np.int64)) for a in (graph.rows, graph.indices))
    alpha = F.leaky_relu(s[i] + r[j], slope)
    top = np.full(s.shape, -np.inf)
    np.maximum.at(top, graph.rows, alpha.detach().numpy())
    e = torch.exp(alpha - torch.from_numpy(top)[i])
    beta = e / torch.zeros_like(s).index_add(0, i, e)[i] * (1 if keep is None else keep.double() / (1 - p))
    return torch.zeros_like(h).index_add(0, i, beta[:, :, None] * h[j])


def sparse_matmul(W, keep=None, x=None, p=0):
    rows, columns = (torch.from_numpy(a.astype(np.int64)) for a in (x.rows, x.indices))
    values = torch.from_numpy(x.values)[:, None] * (1 if keep is None else keep.double() / (1 - p))
    terms = values[:, :, None] * W[columns]
    return torch.zeros(x.shape[0], *W.shape[1:], dtype=W.dtype).index_add(0, rows, terms)


def getitem(x, index):
    parts = [torch.from_numpy(np.asarray(i)) if isinstance(i, (list, np.ndarray)) else i
             for i in (index if isinstance(index, tuple) else (index,))]
    return x[tuple(parts)]


def reduced(function):
    return lambda x, axis=None, keepdims=False: function(
        x, dim=tuple(range(x.ndim)) if axis is None else axis, keepdim=keepdims)


def one_by_one(function, x, axis, keepdims):
    """A function that PyTorch has for one axis, over several."""
    for a in sorted(range(x.ndim) if axis is None else [i % x.ndim for i in np.atleast_1d(axis)], reverse=True):
        x = function(x, dim=int(a), keepdim=keepdims)
    return x


def pad(x, widths, value=0):
    return F.pad(x, [int(n) for pair in np.broadcast_to(widths, (x.ndim, 2))[::-1] for n in pair], value=value)


ORACLES = dict(
    add=torch.add, subtract=torch.sub, multiply=torch.mul, divide=torch.div, maximum=torch.maximum,
    minimum=torch.minimum, where=lambda c, a, b: torch.where(c.bool(), a, b), negative=torch.neg, exp=torch.exp,
    log=torch.log, sqrt=torch.sqrt, absolute=torch.abs, power=lambda x, exponent: x ** exponent, matmul=torch.matmul,
    sum=reduced(torch.sum), mean=reduced(torch.mean), max=reduced(torch.amax), getitem=getitem,
    reshape=lambda x, shape: x.reshape(shape), broadcast_to=lambda x, shape: torch.broadcast_to(x, shape),
    transpose=lambda x, axes=None: x.permute(tuple(reversed(range(x.ndim))) if axes is None else axes),
    concatenate=lambda *xs, axis=0: torch.cat(xs, dim=axis), stack=lambda *xs, axis=0: torch.stack(xs, dim=axis),
    linear=F.linear, sigmoid=torch.sigmoid, tanh=torch.tanh, relu=F.relu, gelu=F.gelu,
    leaky_relu=lambda x, slope=0.01: F.leaky_relu(x, slope), elu=F.elu, maxout=maxout, lp_unit=lp_unit,
    dropout=lambda x, keep, p=0.5: x * keep / (1 - p),
    half_scores=lambda h, a, b: torch.einsum("imf,smf->sim", h, a) + b[:, None],
    dropout_matmul=lambda x, W, keep, p: torch.einsum("mnd,dmf->nmf", x * keep / (1 - p), W),
    softmax=lambda x, axis=-1: torch.softmax(x, dim=axis),
    log_sum_exp=lambda x, axis=-1: torch.logsumexp(x, dim=axis), cross_entropy=cross_entropy,
    binary_cross_entropy=lambda x, t: F.binary_cross_entropy_with_logits(x, t.double()),
    mean_squared_error=lambda y, t: F.mse_loss(y, t.double()),
    layer_norm=lambda x, gain, bias, eps=1e-5: F.layer_norm(x, gain.shape, gain, bias, eps), residual=residual,
    residual_stack=residual_stack, attention=attention, additive_attention=additive_attention, apl=apl,
    cross_stitch=cross_stitch, graph_attention=graph_attention, sparse_matmul=sparse_matmul, lstm=lstm)
ORACLES |= dict(
    sin=torch.sin, cos=torch.cos, log1p=torch.log1p, expm1=torch.expm1, softplus=F.softplus, sign=torch.sign,
    floor=torch.floor, clip=lambda x, low=None, high=None: torch.clamp(x, low, high), min=reduced(torch.amin),
    var=lambda x, axis=None, keepdims=False, ddof=0: torch.var(x, axis, correction=ddof, keepdim=keepdims),
    std=lambda x, axis=None, keepdims=False, ddof=0: torch.std(x, axis, correction=ddof, keepdim=keepdims),
    norm=lambda x, axis=None, keepdims=False: torch.linalg.vector_norm(x, dim=axis, keepdim=keepdims),
    prod=lambda x, axis=None, keepdims=False: one_by_one(torch.prod, x, axis, keepdims),
    cumsum=lambda x, axis=-1: torch.cumsum(x, axis), pad=pad, tril=lambda x, k: x.tril(k), triu=lambda x, k: x.triu(k),
    repeat=lambda x, count, axis: torch.repeat_interleave(x, count, axis),
    take_along_axis=lambda x, indices, axis=-1: torch.take_along_dim(x, indices, axis),
    einsum=lambda *xs, subscripts: torch.einsum(subscripts, *xs))
# slices with a negative step; axis=(), which NumPy takes as "no axis" and PyTorch as "all"
PYTORCH_CANNOT = {"getitem_backwards", *(name for name in cases.CASES if "_no_axis" in name)}
COMPARED = [name for name in cases.CASES if name not in PYTORCH_CANNOT]


def tensor(a):
    return None if a is None else torch.tensor(a, requires_grad=a.dtype.kind == "f")


@pytest.mark.parametrize("name", COMPARED)
def test_forward_and_gradients_equal_pytorchs(name):
    for seed in range(2):
        op, arrays, settings = cases.draw(cases.CASES[name], np.random.default_rng(seed))
        y, cache = op.forward(*arrays, **settings)
        theirs = [tensor(a) for a in arrays]
        expected = ORACLES[op.name](*theirs, **settings)
        if expected.isnan().any():      # its mean over no counted target; ours is 0
            assert op.name == "cross_entropy"
            assert y == 0
            continue
        np.testing.assert_allclose(y, expected.detach(), rtol=1e-9, atol=1e-12)
        dy = np.random.default_rng(9).normal(size=np.shape(y))
        expected.backward(torch.as_tensor(dy))
        grads = op.backward(dy, cache)
        for g, t in zip(grads if isinstance(grads, tuple) else (grads,), theirs, strict=False):
            if g is not None and t.requires_grad:
                np.testing.assert_allclose(g, t.grad, rtol=1e-9, atol=1e-11)


def test_every_op_has_an_oracle():
    assert {case.op.name for case in cases.CASES.values()} == set(ORACLES)
