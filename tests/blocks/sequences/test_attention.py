"""Scaled dot-product and additive attention: masks, causality, extreme scores, precision, errors."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from tinynet import Tensor
from tinynet.backend import use_backend
from tinynet.blocks.sequences import additive_attention as additive
from tinynet.blocks.sequences import attention as dot
from tinynet.shapes import ShapeError

DOT = [(dot.attention_forward, dot.attention_backward), dot.attention.fast]
ADDITIVE = [(additive.additive_attention_forward, additive.additive_attention_backward),
            additive.additive_attention.fast]
TWINS = pytest.mark.parametrize("twin", [0, 1], ids=["numpy", "fast"])


def qkv(rng, *lead, M=5, N=6, d=3, e=4, dtype=np.float64):
    return [rng.normal(size=(*lead, *size)).astype(dtype) for size in ((M, d), (N, d), (N, e))]


def shWUv(rng, *lead, M=5, N=6, p=3, q=4, A=2, dtype=np.float64):
    shapes = (*lead, M, p), (*lead, N, q), (A, p), (A, q), (A,)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


PAIRS = [pytest.param(pairs[i], draw, id=f"{name}-{twin}") for pairs, draw, name in
         ((DOT, qkv, "dot"), (ADDITIVE, shWUv, "additive")) for i, twin in enumerate(("numpy", "fast"))]


@pytest.mark.parametrize(("pair", "draw"), PAIRS)
def test_query_that_may_attend_to_nothing_is_exactly_zero(pair, draw, rng):
    forward, backward = pair
    arrays, mask = draw(rng, 2), np.ones((2, 5, 6), bool)
    mask[0, 2] = False
    y, cache = forward(*arrays, mask)
    assert (y[0, 2] == 0).all()
    assert (y != 0).sum() == y.size - y[0, 2].size
    dy = np.zeros_like(y)
    dy[0, 2] = 1            # only the masked row is asked for
    assert all((g == 0).all() for g in backward(dy, cache) if g is not None)


@pytest.mark.parametrize(("pair", "draw"), PAIRS)
def test_hidden_key_has_no_influence_and_no_gradient(pair, draw, rng):
    forward, backward = pair
    arrays, mask = draw(rng), np.ones(6, bool)
    mask[3] = False
    y, cache = forward(*arrays, mask)
    dkey = backward(np.ones_like(y), cache)[1]
    assert (dkey[3] == 0).all()
    assert (dkey[2] != 0).any()
    arrays[1][3] += 10
    np.testing.assert_array_equal(forward(*arrays, mask)[0], y)


@pytest.mark.parametrize(("pair", "draw"), PAIRS)
def test_no_keys_at_all(pair, draw, rng):
    forward, backward = pair
    y, cache = forward(*draw(rng, N=0))
    assert y.shape == (5, 4)
    assert (y == 0).all()
    assert all((g == 0).all() for g in backward(np.ones_like(y), cache) if g is not None)


@pytest.mark.parametrize(("pair", "draw"), PAIRS)
@pytest.mark.parametrize("shape", [(6,), (5, 1), (2, 1, 1, 6), (3, 5, 6)])
def test_masks_broadcast(pair, draw, shape, rng):
    arrays = draw(rng, 2, 3)
    if draw is shWUv:
        arrays[2:] = shWUv(rng)[2:]
    mask = rng.random(shape) < 0.5
    y, _ = pair[0](*arrays, mask)
    full, _ = pair[0](*arrays, np.array(np.broadcast_to(mask, (2, 3, 5, 6))))
    np.testing.assert_array_equal(y, full)


@pytest.mark.parametrize(("pair", "draw"), PAIRS)
def test_float32_stays_float32(pair, draw, rng):
    y, cache = pair[0](*draw(rng, 2, dtype=np.float32), np.ones(6, bool))
    grads = pair[1](np.ones_like(y), cache)[:-1]
    assert {a.dtype for a in (y, *grads) if a is not None} == {np.dtype(np.float32)}


@TWINS
@pytest.mark.parametrize("N", [3, 5, 300])
def test_causal_equals_its_mask(twin, N, rng):
    forward, backward = DOT[twin]
    arrays = qkv(rng, 2, M=200, N=N)        # more than one block of queries
    y, cache = forward(*arrays, causal=True)
    masked, masked_cache = forward(*arrays, np.tri(200, N, dtype=bool))
    np.testing.assert_allclose(y, masked, atol=1e-12)
    for g, expected in zip(backward(np.cos(y), cache)[:3], backward(np.cos(y), masked_cache)[:3], strict=True):
        np.testing.assert_allclose(g, expected, atol=1e-12)
    np.testing.assert_allclose(y[:, 0], arrays[2][:, 0])      # the first query sees the first key alone


def test_twins_agree_over_several_blocks(rng):
    arrays = qkv(rng, 2, M=300, N=290, d=8)
    (y, cache), (other, other_cache) = (forward(*arrays, causal=True) for forward, _ in DOT)
    np.testing.assert_allclose(other, y, atol=1e-12)
    for g, expected in zip(DOT[1][1](y, cache)[:3], DOT[0][1](y, other_cache)[:3], strict=True):
        np.testing.assert_allclose(g, expected, atol=1e-11)


def test_additive_twins_agree_over_several_blocks(rng, monkeypatch):
    monkeypatch.setattr(additive, "BLOCK", 2 * 6 * 2)       # two of the five states at a time
    arrays = shWUv(rng, 2)
    (y, cache), (other, other_cache) = (forward(*arrays) for forward, _ in ADDITIVE)
    np.testing.assert_allclose(other, y, atol=1e-12)
    for g, expected in zip(ADDITIVE[1][1](y, cache)[:5], ADDITIVE[0][1](y, other_cache)[:5], strict=True):
        np.testing.assert_allclose(g, expected, atol=1e-12)


@TWINS
@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_of_ten_thousand(twin, size, dtype):
    Q, K = np.array([[size]], dtype), np.array([[1], [0.999], [-1]], dtype)
    V = np.arange(3, dtype=dtype)[:, None]
    y, cache = DOT[twin][0](Q, K, V)
    winner = 0 if size > 0 else 2
    np.testing.assert_allclose(y, [[winner]], atol=1e-4)        # exp(-10) at most from the runner-up
    assert all(np.isfinite(g).all() for g in DOT[twin][1](np.ones_like(y), cache)[:3])


def test_additive_scores_of_ten_thousand(rng):
    s, h, W, U, v = shWUv(rng)
    for forward, backward in ADDITIVE:
        c, cache = forward(s, h, W, U, v * 1e4)
        assert all(np.isfinite(a).all() for a in (c, *backward(np.ones_like(c), cache)[:5]))


def test_the_map_is_what_the_forward_uses(rng):
    Q, K, V = qkv(rng, 2)
    P = dot.attention_weights(Q, K, causal=True)
    np.testing.assert_allclose(P.sum(axis=-1), 1)
    np.testing.assert_array_equal(P @ V, dot.attention_forward(Q, K, V, causal=True)[0])
    s, h, *parameters = shWUv(rng)
    alpha = additive.additive_attention_weights(s, h, *parameters)
    np.testing.assert_allclose(alpha.sum(axis=-1), 1)
    np.testing.assert_array_equal(alpha @ h, additive.additive_attention_forward(s, h, *parameters)[0])


def test_modules_learn(rng):
    s, h, *_ = shWUv(rng, dtype=np.float32)
    net = additive.AdditiveAttention(3, 4, 2, rng=0)
    (net(s, h) ** 2).sum().backward()
    assert all(p.grad is not None and p.grad.dtype == np.float32 for p in net.parameters())
    Q, K, V = (Tensor(a, requires_grad=True) for a in qkv(rng))
    y = dot.ScaledDotProductAttention(causal=True)(Q, K, V)
    y.sum().backward()
    np.testing.assert_allclose(y.numpy()[0], V.numpy()[0])
    assert Q.grad.shape == Q.shape


def test_wrong_shapes_are_named(rng):
    Q, K, V = qkv(rng, 2)
    with pytest.raises(ShapeError, match=r"^attention: K .* N is 6 and 5"):
        dot.attention_forward(Q, K, V[:, :5])
    with pytest.raises(ShapeError, match=r"^attention: .* d is 3 and 2"):
        dot.attention(Q, K[..., :2], V)
    with pytest.raises(ShapeError, match="leading axes; broadcast"):
        dot.attention_forward(Q, K[:1], V[:1])
    with pytest.raises(ShapeError, match=r"^attention: mask has shape \(4, 6\)"):
        dot.attention_forward(Q, K, V, np.ones((4, 6), bool))
    s, h, W, U, v = shWUv(rng)
    with pytest.raises(ShapeError, match=r"^additive_attention: .* A is 2 and 1"):
        additive.additive_attention_forward(s, h, W, U, v[:1])
    with pytest.raises(ShapeError, match="leading axes; broadcast"):
        additive.additive_attention_forward(s[None], h, W, U, v)


def test_a_mask_of_numbers_is_refused(rng):
    with pytest.raises(TypeError, match=r"^attention: mask holds int64; give booleans.* or floating"):
        dot.attention_forward(*qkv(rng), np.ones((5, 6), int))
    with pytest.raises(TypeError, match=r"^additive_attention: mask holds int64; give booleans"):
        additive.additive_attention_forward(*shWUv(rng), np.ones((5, 6), int))


@pytest.mark.parametrize(("M", "twin"), [(15, 0), (127, 0), (128, 1)])
def test_small_heads_go_through_numpy(M, twin):
    N = 128 if M > 15 else 4096
    units = [np.ones((64, 64)), np.ones((M // 4, 5)), np.ones((2, 64)), np.ones((2, 5)), np.ones(2)]    # 64 x M/4 x 2
    with use_backend("auto"):
        assert dot.attention.pair(np.ones((M, 64)), np.ones((N, 64)), np.ones((N, 4))) == DOT[twin]
        assert additive.additive_attention.pair(*units) == ADDITIVE[twin]


# %% Tiles and blocks
MASKS = {"full": lambda rng, M, N: {}, "causal": lambda rng, M, N: dict(causal=True),
         "boolean": lambda rng, M, N: dict(mask=rng.random((M, N)) < 0.6),
         "a query with nothing": lambda rng, M, N: dict(mask=np.arange(M)[:, None] % 7 > 0, causal=True),
         "padding": lambda rng, M, N: dict(mask=rng.random((2, 1, 1, N)) < 0.6, causal=True),
         "added to heads": lambda rng, M, N: dict(mask=rng.normal(size=(3, M, N)).astype(np.float32)),
         "forbidden by -inf": lambda rng, M, N: dict(mask=np.where(rng.random(N) < 0.6, 1.0, -np.inf)),
         "dropout": lambda rng, M, N: dict(keep=rng.random((2, 3, M, N)) < 0.7, p=0.3, causal=True)}


@pytest.mark.parametrize("tiles", [True, False], ids=["tiles", "blocks"])
@pytest.mark.parametrize("settings", MASKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("M", "N"), [(70, 150), (130, 66)])
def test_tiles_and_blocks_agree_with_numpy_under_every_mask(tiles, settings, dtype, M, N, rng, monkeypatch):
    if not tiles:
        monkeypatch.setattr(dot.attention_tiles, "fit", lambda *arrays: False)
    arrays, settings = qkv(rng, 2, 3, M=M, N=N, d=4, e=3), MASKS[settings](rng, M, N)
    y, cache = dot.attention_forward(*arrays, **settings)
    dy = rng.normal(size=y.shape)
    expected = [y, *dot.attention_backward(dy, cache)[:3]]
    ours, cache = dot.attention_forward_fast(*(a.astype(dtype) for a in arrays), **settings)
    found = [ours, *dot.attention_backward_fast(dy.astype(dtype), cache)[:3]]
    rtol = 1e-12 if dtype == np.float64 else 3e-6
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.abs(b).max())


def test_no_array_of_all_scores_is_made_or_kept(rng):
    Q, K, V = qkv(rng, 1, M=400, N=400)
    for forward, backward in DOT[1:]:
        backward(*forward(Q, K, V))             # compiled, or imported
        tracemalloc.start()
        y, cache = forward(Q, K, V)
        backward(y, cache)
        assert tracemalloc.get_traced_memory()[1] < 400 * 400 * 8
        tracemalloc.stop()
        assert sum(a.size for a in cache if isinstance(a, np.ndarray)) == Q.size + K.size + V.size + y.size + 400


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_nan_comes_out(dtype, rng):
    Q, K, V = qkv(rng, 1, M=70, N=140, dtype=dtype)
    K[0, 3] = np.nan
    y, cache = dot.attention_forward_fast(Q, K, V, causal=True)
    assert np.isnan(y).any(axis=-1).tolist() == [[False] * 3 + [True] * 67]
    assert np.isnan(dot.attention_backward_fast(np.ones_like(y), cache)[1]).any()


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="loops in Python have one thread")
def test_one_and_two_threads_give_the_same_bits():
    """Of one head in several parts, and of more heads than threads."""
    code = """if True:
        import zlib
        import numpy as np
        from tinynet.blocks.sequences.attention import attention
        for heads in (1, 5):
            for causal in (True, False):
                Q, K, V = np.random.default_rng(0).normal(size=(3, heads, 150, 4)).astype(np.float32)
                y, cache = attention.fast[0](Q, K, V, causal=causal)
                print([zlib.crc32(a) for a in (y, *attention.fast[1](np.cos(y), cache)[:3])])
        """
    one, two = (subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                               env=os.environ | dict(NUMBA_NUM_THREADS=n, OPENBLAS_NUM_THREADS=n)).stdout for n in "12")
    assert one.count("[") == 4
    assert one == two


@pytest.fixture
def rng():
    return np.random.default_rng(0)
