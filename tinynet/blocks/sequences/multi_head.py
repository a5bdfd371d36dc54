"""Multi-head attention: several attentions side by side, each in a part of the features of its own.

    (1)  [Q K V] = x Wqkv' + bqkv                               csc321 transformer; Vaswani et al. 2017, section 3.2.2
    (2)  Y_m = attention(Q_m, K_m, V_m)                         csc321 transformer; head m sees its d = C / H features
    (3)  y = [Y_1 ... Y_H] Wo' + bo                             csc321 transformer; Vaswani et al. 2017, section 3.2.2
    (4)  [dQ_m dK_m dV_m] = the gradients of attention for dY_m     of head m, in its place

x (B, M, 3 C)    [Q K V] of one sequence that looks at itself
x (B, M, C)      or Q alone, for a sequence that looks at another:
z (B, N, 2 C)    whose [K V] are given beside it
Y (B, M, C)      what the heads fetch, side by side
mask   broadcast to (B, H, M, N); keep (B, H, M, N) as in attention; causal: query i sees keys j <= i only
B sequences of M queries and N keys, C features, H heads
Vaswani et al. 2017, arXiv:1706.03762.
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.sequences.attention import (
    attention,
    attention_backward,
    attention_forward,
    attention_weights,
    worth_tiles,
)
from tinynet.blocks.units.linear import Linear, linear
from tinynet.engine import Op, Tensor
from tinynet.jit import floating
from tinynet.masks import checked_chance, module_mask
from tinynet.shapes import ShapeError, sizes


def _parts(x, z, heads):
    """Q, K and V as views (B, H, length, C / H)."""
    sizes("x: B M E, z: B N F", x, z)
    thirds, C = (3, x.shape[2] // 3) if z is None else (1, x.shape[2])
    if x.shape[2] != thirds * C or C % heads or (z is not None and z.shape[2] != 2 * C):
        raise ShapeError(f"multi_head: x has shape {x.shape}{'' if z is None else f' and z {z.shape}'}, which doesn't "
                         f"split into {'[Q K V]' if z is None else 'Q and [K V]'} of {heads} heads; make the features "
                         f"a multiple of {heads}")
    found = [_heads(a.astype(floating(a), copy=False), n, heads) for a, n in ((x, thirds), (z, 2)) if a is not None]
    return [part for parts in found for part in parts]


def _heads(a, parts, heads):
    B, N, E = a.shape
    return a.reshape(B, N, parts, heads, E // (parts * heads)).transpose(2, 0, 3, 1, 4)


def _side_by_side(Y):
    """(B, H, M, d) -> (B, M, H d)."""
    B, H, M, d = Y.shape
    return Y.transpose(0, 2, 1, 3).reshape(B, M, H * d)


# %% 1. The mathematics
def multi_head_forward(x, z=None, mask=None, keep=None, heads=1, causal=False, p=0.0):
    return _forward(attention_forward, x, z, mask, keep, heads, causal, p)


def multi_head_backward(dY, cache):
    return _backward(attention_backward, dY, cache)


def _forward(attend, x, z, mask, keep, heads, causal, p):
    Q, K, V = _parts(x, z, heads)
    Y, inner = attend(Q, K, V, mask, keep, causal=causal, p=p)      # (2)
    return _side_by_side(Y), (inner, x.shape, None if z is None else z.shape, heads)


def _backward(through, dY, cache):
    inner, x_shape, z_shape, heads = cache
    B, M, C = dY.shape
    d = through(dY.reshape(B, M, heads, C // heads).transpose(0, 2, 1, 3), inner)[:3]
    dx, dz = (np.empty(shape, dY.dtype) if shape else None for shape in (x_shape, z_shape))
    found = [_heads(a, n, heads) for a, n in ((dx, 3 if z_shape is None else 1), (dz, 2)) if a is not None]
    for part, gradient in zip([part for parts in found for part in parts], d, strict=True):
        part[...] = gradient                                        # (4)
    return dx, dz, None, None


# %% 2. The fast twin: that of attention
def multi_head_forward_fast(x, z=None, mask=None, keep=None, heads=1, causal=False, p=0.0):
    return _forward(attention.fast[0], x, z, mask, keep, heads, causal, p)      # (2)


def multi_head_backward_fast(dY, cache):
    return _backward(attention.fast[1], dY, cache)                  # (4)


# %% 3. The op
def _worth_tiles(x, z=None, *_):
    if x.ndim != 3 or (z is not None and z.ndim != 3):
        return False
    B, M, C = x.shape
    return worth_tiles(M, B * M * (C // 3) * M if z is None else x.size * z.shape[1])


multi_head = Op(multi_head_forward, multi_head_backward, fast=(multi_head_forward_fast, multi_head_backward_fast),
                fast_when=_worth_tiles)


# %% 4. The module
class MultiHeadAttention(nn.Module):
    """x (B, M, features), memory (B, N, features) or None, mask -> (B, M, features).

    Without a memory x looks at itself.  `extend` does the same for the tokens that come next, with the keys and values
    of those before them in its state.
    causal   query i sees keys j <= i only
    p        chance that a weight is dropped while training
    rotary   positions (positions.py) turn queries and keys before they meet
    Matrices start Glorot-uniform; rng is a seed or np.random.Generator.
    """

    def __init__(self, features, heads, causal=False, p=0.0, bias=True, rotary=None, rng=None, dtype=np.float32):
        if features % heads:
            raise ValueError(f"MultiHeadAttention: {features} features don't split into {heads} heads; choose a "
                             "number of heads that divides them")
        self.rng = rng = np.random.default_rng(rng)
        self.heads, self.causal, self.p, self.rotary = heads, causal, checked_chance(p), rotary
        self.qkv = Linear(features, 3 * features, bias, rng=rng, dtype=dtype)
        self.out = Linear(features, features, bias, rng=rng, dtype=dtype)

    def forward(self, x, memory=None, mask=None):
        """mask  broadcast to (B, heads, M, N), e.g. tokens[:, None, None, :]"""
        keep = module_mask(self, len(x), self.heads, x.shape[1], (x if memory is None else memory).shape[1])
        given = dict(heads=self.heads, causal=self.causal, p=self.p)
        if memory is None:
            qkv = self.qkv(x)                                       # (1)
            qkv = qkv if self.rotary is None else self.rotary(qkv, self.heads)
            return self.out(multi_head(qkv, None, mask, keep, **given))             # (3)
        return self.out(multi_head(*self._apart(x, memory), mask, keep, **given))   # (3)

    def _apart(self, x, memory):
        C = x.shape[2]
        W, b = self.qkv.W, self.qkv.b
        return (linear(x, W[:C], None if b is None else b[:C]),    # (1)
                linear(memory, W[C:], None if b is None else b[C:]))               # (1)

    def weights(self, x, memory=None, mask=None):
        """The maps (B, heads, M, N), as an array: what each head looks at."""
        if memory is None:
            qkv = self.qkv(x)
            qkv = qkv if self.rotary is None else self.rotary(qkv, self.heads)
            Q, K, _ = _parts(qkv.data, None, self.heads)
        else:
            Q, K, _ = _parts(*(a.data for a in self._apart(x, memory)), self.heads)
        return attention_weights(Q, K, mask, self.causal)

    def memorised(self, memory):
        """Keys and values (B, heads, N, d) of a memory, made once for all steps."""
        C = memory.shape[2]
        kv = linear(memory, self.qkv.W[C:], None if self.qkv.b is None else self.qkv.b[C:])        # (1)
        return tuple(Tensor(a) for a in _heads(kv.data, 2, self.heads))

    def extend(self, x, state=None, fixed=False, mask=None):
        """T more tokens x (B, T, features) -> (y (B, T, features), state): keys and values (B, heads, t, d).

        fixed  True where the state is a memory, to which nothing is added
        A token sees those of the state and those of x before it.  Nothing of this is written on the tape: it is for
        generation.
        """
        qkv = self.qkv(x)                                           # (1)
        if self.rotary is not None:
            qkv = self.rotary(qkv, self.heads, 0 if state is None else state[0].shape[2])
        Q, K, V = _parts(qkv.data, None, self.heads)
        if fixed:
            K, V = (a.data for a in state)
        elif state is not None:
            K, V = (np.concatenate([old.data, new], axis=2) for old, new in zip(state, (K, V), strict=True))
        T, N = Q.shape[2], K.shape[2]
        mask = mask if fixed or T == 1 else np.tri(T, N, N - T, dtype=bool)
        y = attention_forward(Q, K, V, mask)[0]                     # (2)
        return self.out(Tensor(_side_by_side(y))), state if fixed else (Tensor(K), Tensor(V))       # (3)
