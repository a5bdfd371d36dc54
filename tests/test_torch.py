"""PyTorch as an oracle: our forwards and gradients beside its own, wherever it has the op or can compose it."""

import numpy as np
import pytest

from tinynet import cases

torch = pytest.importorskip("torch")
torch.set_num_threads(1)        # for arrays this small, threads only wait for each other
F = torch.nn.functional


def cross_entropy(x, t, ignore=-1, smoothing=0.0, weights=None, reduction="mean"):
    C, w = x.shape[-1], None if weights is None else torch.from_numpy(weights)
    loss = F.cross_entropy(x.reshape(-1, C), t.reshape(-1, C) if t.is_floating_point() else t.reshape(-1), w,
                           ignore_index=ignore, label_smoothing=smoothing, reduction=reduction)
    return loss.reshape(x.shape[:-1]) if reduction == "none" else loss


def linear_cross_entropy(x, W, b, t, ignore=-1, smoothing=0.0, rows=None):
    return cross_entropy(F.linear(x, W, b), t, ignore, smoothing)


def attention(Q, K, V, mask=None, keep=None, causal=False, scale=None, p=0.0):
    mask = None if mask is None else torch.as_tensor(mask)
    if keep is not None or (mask is not None and mask.is_floating_point()):
        S = Q @ K.swapaxes(-1, -2) / Q.shape[-1] ** 0.5
        S = S + mask if mask is not None and mask.is_floating_point() else S
        if causal:
            S = S.masked_fill(~torch.ones(S.shape[-2:], dtype=bool).tril(), -np.inf)
        P = torch.softmax(S, dim=-1)
        if mask is not None and mask.dtype == torch.bool:
            P = torch.softmax(S.masked_fill(~mask, -1e30), dim=-1) * mask.any(dim=-1, keepdim=True)
        return (P * (1 if keep is None else keep.double() / (1 - p))) @ V
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


def rnn(x, W, U, b, h0=None, mask=None):
    h, states = torch.zeros(len(x), len(U), dtype=x.dtype) if h0 is None else h0, []
    for t in range(x.shape[1]):
        new = torch.tanh(x[:, t] @ W + h @ U + b)
        h = new if mask is None else torch.where(mask[:, t, None], new, h)
        states.append(h)
    return torch.stack(states, dim=1)


def gru(x, W, U, b, c=None, h0=None, mask=None, reset="after"):
    H = len(U)
    h = torch.zeros(len(x), H, dtype=x.dtype) if h0 is None else h0
    if reset == "after" and mask is None:       # PyTorch's own; its second bias has entries for the gates, too
        second = torch.cat([torch.zeros(2 * H, dtype=x.dtype), torch.zeros(H, dtype=x.dtype) if c is None else c])
        return torch.gru(x, h[None], (W.T, U.T, b, second), True, 1, 0.0, True, False, True)[0]
    states = []
    for t in range(x.shape[1]):
        g, u = x[:, t] @ W + b, h @ U
        r, z = torch.sigmoid(g + u)[:, :2 * H].split(H, dim=1)
        inner = r * (u[:, 2 * H:] + (0 if c is None else c)) if reset == "after" else (r * h) @ U[:, 2 * H:]
        new = (1 - z) * torch.tanh(g[:, 2 * H:] + inner) + z * h
        h = new if mask is None else torch.where(mask[:, t, None], new, h)
        states.append(h)
    return torch.stack(states, dim=1)


def lstm(x, W, U, b, h0=None, c0=None, mask=None):
    H, hs, cs = len(U), [], []
    h, c = (torch.zeros(len(x), H, dtype=x.dtype) if a is None else a for a in (h0, c0))
    for t in range(x.shape[1]):
        # its gates stand in our order; its second bias adds to b
        new_h, new_c = torch.lstm_cell(x[:, t], (h, c), W.T, U.T, b, torch.zeros_like(b))
        h, c = (new if mask is None else torch.where(mask[:, t, None], new, old)
                for new, old in ((new_h, h), (new_c, c)))
        hs.append(h)
        cs.append(c)
    return torch.stack([torch.stack(hs, dim=1), torch.stack(cs, dim=1)])


def embedding(E, t, padding=None):
    y = F.embedding(t, E)
    return y if padding is None else y * (t != padding)[..., None]


def turned(x, mask=None):
    lengths = [x.shape[1]] * len(x) if mask is None else mask.sum(dim=1).tolist()
    return torch.stack([torch.cat([row[:n].flip(0), row[n:]]) for row, n in zip(x, lengths, strict=True)])


def attention_gru(x, h, k, A, v, W, U, b, c, s0, mask=None):
    s, H, rows = s0, len(U), []
    for t in range(x.shape[1]):
        e = torch.tanh((s @ A.T)[:, None] + k) @ v
        alpha = torch.softmax(e, dim=1) if mask is None else (
            torch.softmax(e.masked_fill(~mask, -1e30), dim=1) * mask.any(dim=1, keepdim=True))
        ctx = (alpha[:, None] @ h)[:, 0]
        second = torch.cat([torch.zeros(2 * H, dtype=x.dtype), c])
        s = torch.gru_cell(torch.cat([x[:, t], ctx], dim=1), s, W.T, U.T, b, second)
        rows.append(torch.cat([s, ctx, alpha], dim=1))
    return torch.stack(rows, dim=1)


def multi_head(x, z=None, mask=None, keep=None, heads=1, causal=False, p=0.0):
    Q, K, V = x.chunk(3, dim=2) if z is None else (x, *z.chunk(2, dim=2))
    Y = attention(*(a.reshape(*a.shape[:2], heads, -1).transpose(1, 2) for a in (Q, K, V)), mask, keep, causal, p=p)
    return Y.transpose(1, 2).flatten(2)


def rotary(x, first=0):
    D = x.shape[-1]
    angle = (first + torch.arange(x.shape[-2]))[:, None] * 10000.0 ** (-2 * torch.arange(D // 2).double() / D)
    turned = torch.complex(*x.chunk(2, dim=-1)) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], dim=-1)


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
    linear_cross_entropy=linear_cross_entropy,
    binary_cross_entropy=lambda x, t: F.binary_cross_entropy_with_logits(x, t.double()),
    mean_squared_error=lambda y, t: F.mse_loss(y, t.double()),
    layer_norm=lambda x, gain, bias, eps=1e-5: F.layer_norm(x, gain.shape, gain, bias, eps), residual=residual,
    residual_stack=residual_stack, attention=attention, additive_attention=additive_attention, apl=apl,
    cross_stitch=cross_stitch, graph_attention=graph_attention, sparse_matmul=sparse_matmul, lstm=lstm)
ORACLES |= dict(rnn=rnn, gru=gru, embedding=embedding, turned=turned, attention_gru=attention_gru,
                multi_head=multi_head, rotary=rotary)
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


# %% Images
def batch_norm(X, gain, bias, skip=None, relu=False, eps=1e-5, fixed=None):
    mean, var = (None, None) if fixed is None else map(torch.from_numpy, fixed)
    Y = F.batch_norm(X, mean, var, gain, bias, training=fixed is None, eps=eps)
    Y = Y if skip is None else Y + skip
    return F.relu(Y) if relu else Y


def conv_residual(X, *weights, stride=1, projected=False, preactivated=False, settings=()):
    layers = [(*weights[i:i + 3], settings[i // 3]["eps"]) for i in range(0, len(weights), 3)]
    if projected:
        W, gain, bias, eps = layers.pop()
        h = batch_norm(F.conv2d(X, W, stride=stride), gain, bias, eps=eps)
    else:
        more = len(layers[-1][0]) - X.shape[1]
        h = F.pad(X[:, :, ::stride, ::stride], (0, 0, 0, 0, more // 2, more - more // 2))
    for i, (W, gain, bias, eps) in enumerate(layers):
        step = dict(stride=stride if i == len(layers) - 2 else 1, padding=W.shape[2] // 2)
        if preactivated:
            X = F.conv2d(batch_norm(X, gain, bias, relu=True, eps=eps), W, **step)
        else:
            last = i == len(layers) - 1
            X = batch_norm(F.conv2d(X, W, **step), gain, bias, h if last else None, relu=True, eps=eps)
    return X + h if preactivated else X


ORACLES |= dict(
    conv=lambda X, W, b=None, method=None, **settings: F.conv2d(X, W, b, **settings),
    conv_transpose=lambda X, W, b=None, stride=1, padding=0, dilation=1, groups=1, extra=0: F.conv_transpose2d(
        X, W, b, stride, padding, extra, groups, dilation),
    max_pool=lambda X, size=2, stride=None, padding=0: F.max_pool2d(X, size, stride, padding),
    average_pool=lambda X, size=2, stride=None, padding=0: F.avg_pool2d(X, size, stride, padding),
    global_average=lambda X: X.mean((2, 3)), batch_norm=batch_norm, conv_residual=conv_residual,
    group_norm=lambda X, gain, bias, groups=1, eps=1e-5: F.group_norm(X, groups, gain, bias, eps),
    upsample=lambda X, factor=2: F.interpolate(X, scale_factor=factor, mode="nearest"))


# %% What neighbours cost, who meets on walks, and mixtures over a graph
def laplacian_penalty(f, graph=None):
    A = torch.from_numpy(graph.adjacency.dense())
    return (A * ((f[:, None] - f[None]) ** 2).sum(dim=-1)).sum() / 2


def pair_penalty(h, g, near, margin):
    near, D = torch.from_numpy(near), torch.linalg.norm(h - g, dim=1)
    S, R = (max(int(kind.sum()), 1) for kind in (near, ~near))
    return (D[near] ** 2).sum() / S + (F.relu(margin - D[~near]) ** 2).sum() / R


def skip_gram(e, w, pairs, gamma):
    i, c = torch.from_numpy(pairs).T
    return -F.logsigmoid(torch.from_numpy(gamma) * (w[c] * e[i]).sum(dim=1)).sum()


def mixture_convolution(h, u, mu, sigma, graph=None, normalised=True):
    i, j = (torch.from_numpy(a.astype(np.int64)) for a in (graph.rows, graph.indices))
    w = torch.exp(-0.5 * (((u[:, None] - mu) / sigma) ** 2).sum(dim=2))
    if normalised:
        w = w / torch.zeros(len(h), len(mu), dtype=w.dtype).index_add(0, i, w)[i]
    return torch.zeros(len(h), h.shape[2], dtype=h.dtype).index_add(0, i, (w[:, :, None] * h[j]).sum(dim=1))


ORACLES |= dict(laplacian_penalty=laplacian_penalty, pair_penalty=pair_penalty, skip_gram=skip_gram,
                mixture_convolution=mixture_convolution)


# %% What several tasks share
def adaptive_activation(z, alpha, b):
    slopes = alpha.reshape(*alpha.shape, *[1] * (z.ndim - 1))
    return F.relu(z) + sum(slopes[:, m] * F.relu(b[m] - z) for m in range(len(b)))


def sampled(a, b, mu=0.0, sigma=1.0):
    """The functions' values (T, X) at the nodes of a quadrature: dots of rows are means of products under the Gaussian.

    The nodes lie between the kinks, so every piece is smooth.
    """
    t, w = map(torch.from_numpy, np.polynomial.legendre.leggauss(100))
    low, high = mu - 12 * sigma, mu + 12 * sigma
    kinks = torch.cat([torch.tensor([low, 0, high]).double(), b.detach()]).clamp(low, high).sort().values
    half = kinks.diff()[:, None] / 2
    x = (kinks[:-1, None] + half * (1 + t)).flatten()
    density = torch.exp(-0.5 * ((x - mu) / sigma) ** 2) / (sigma * (2 * np.pi) ** 0.5)
    return adaptive_activation(x.expand(len(a), -1), a, b) * ((half * w).flatten() * density).sqrt()


def activation_inner(*args, **gaussian):
    rows = sampled(*args, **gaussian)
    return rows @ rows.T


def activation_distance(*args, **gaussian):
    rows = sampled(*args, **gaussian)
    return torch.linalg.vector_norm(rows[:, None] - rows, dim=-1)


def activation_cosine(*args, **gaussian):
    rows = sampled(*args, **gaussian)
    return F.cosine_similarity(rows[:, None], rows, dim=-1)


def task_relationship(W, P=None, Q=None, V=None):
    P, Q, V = (torch.eye(n).double() if A is None else torch.as_tensor(A)
               for n, A in zip(W.shape, (P, Q, V), strict=True))
    return torch.einsum("st,po,ji,spj,toi->", P, Q, V, W, W)


def nddr(X, W, b=None):
    Z = torch.cat(list(X), dim=1)                   # (N, T C, ...); to the convolution all places are one axis
    places = Z.reshape(*Z.shape[:2], -1)
    Y = [F.conv1d(places, W[t, :, :, None], None if b is None else b[t]) for t in range(len(W))]
    return torch.stack(Y).reshape(*X.shape[:2], W.shape[1], *X.shape[3:])


def stochastic_maxout(x, u=None, lam=1.0):
    if u is None:
        return x.amax(dim=-1)
    below = torch.softmax(lam * x.detach(), dim=-1).cumsum(dim=-1)
    drawn = torch.searchsorted(below, torch.as_tensor(u)[..., None], right=True)
    return x.gather(-1, drawn.clamp(max=x.shape[-1] - 1))[..., 0]


ORACLES |= dict(
    adaptive_activation=adaptive_activation, activation_inner=activation_inner,
    activation_distance=activation_distance, activation_cosine=activation_cosine,
    cosine_regularizer=lambda *args, **gaussian: -activation_cosine(*args, **gaussian).mean(),
    distance_regularizer=lambda *args, **gaussian: activation_distance(*args, **gaussian).square().mean(),
    soft_order=lambda X, S: torch.einsum("te,et...->t...", torch.softmax(S, dim=1), X),
    latent_layers=lambda L, S: torch.einsum("kio,tk->tio", L, S),
    tucker=lambda S, U1, U2, U3: torch.einsum("rpq,ip,oq,tr->tio", S, U1, U2, U3),
    tensor_train=lambda G1, G2, G3: torch.einsum("ip,qpo,tq->tio", G1, G2, G3), task_relationship=task_relationship,
    trace_norm=lambda W: torch.linalg.matrix_norm(W.flatten(1), "nuc"), nddr=nddr,
    task_linear=lambda X, W, b: torch.stack([F.linear(X if X.ndim == 2 else X[t], W[t], b[t]) for t in range(len(W))]),
    squared_distance=lambda W: F.pdist(W.flatten(1)).square().sum(),
    absolute_distance=lambda W: F.pdist(W.flatten(1), p=1).sum(),
    expert_mixture=lambda X, P: torch.einsum("tne,end->tnd", P, X), stochastic_maxout=stochastic_maxout)


# %% Ours beside theirs
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
            assert op.name in ("cross_entropy", "linear_cross_entropy")
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
