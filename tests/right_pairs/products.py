"""Matrix products, einsum, attention by hand, distances."""

import functools
import operator

import numpy as np

from .registry import normal, positive, right, sizes_from


@right(normal((5, 4), (4, 3), (1, 3)))
def linear_with_a_bias_row():
    return (lambda x, w, b: (x @ w + b, (x, w))), (
        lambda d, c: (d @ c[1].T, c[0].T @ d, d.sum(axis=0, keepdims=True)))


@right(normal((2, 5, 4), (4, 3)))
def linear_of_sequences():
    return (lambda x, w: (x @ w, (x, w))), (
        lambda d, c: (d @ c[1].T, c[0].reshape(-1, c[0].shape[-1]).T @ d.reshape(-1, d.shape[-1])))


@right(normal((3, 4), (2, 4, 5)))
def einsum_of_three_axes():
    return (lambda a, b: (np.einsum("ij,kjl->kil", a, b), (a, b))), (
        lambda d, c: (np.einsum("kil,kjl->ij", d, c[1]), np.einsum("kil,ij->kjl", d, c[0])))


@right(normal((3, 4), (4, 5), 3))
def bilinear_form():
    return (lambda x, W, v: (np.einsum("i,ij,jk->k", v, x, W), (x, W, v))), (
        lambda d, c: (np.outer(c[2], c[1] @ d), np.outer(c[2] @ c[0], d), c[0] @ (c[1] @ d)))


@right(normal((4, 4)))
def trace():
    return (lambda a: (np.trace(a), len(a))), lambda d, n: d * np.eye(n)


@right(normal((4, 4)))
def diagonal():
    return (lambda a: (np.diag(a).copy(), None)), lambda d, _: np.diag(d)


@right(normal(3, 4))
def outer_product():
    return (lambda a, b: (np.outer(a, b), (a, b))), lambda d, c: (d @ c[1], d.T @ c[0])


@right(normal((2, 2), (3, 2)))
def kronecker_product():
    def backward(d, c):
        a, b = c
        blocks = d.reshape(a.shape[0], b.shape[0], a.shape[1], b.shape[1])
        return np.einsum("ikjl,kl->ij", blocks, b), np.einsum("ikjl,ij->kl", blocks, a)
    return (lambda a, b: (np.kron(a, b), (a, b))), backward


@right(normal((3, 3)))
def matrix_cubed():
    def backward(d, a):
        t = a.T
        return d @ t @ t + t @ d @ t + t @ t @ d
    return (lambda a: (a @ a @ a, a)), backward


@right(normal((4, 3), (5, 3)))
def squared_distances():
    def backward(d, c):
        diff = c[0][:, None] - c[1]
        return 2 * (d[:, :, None] * diff).sum(1), -2 * (d[:, :, None] * diff).sum(0)
    return (lambda a, b: (((a[:, None] - b) ** 2).sum(-1), (a, b))), backward


@right(normal((4, 3), (5, 3)))
def distances():
    def forward(a, b):
        r = np.sqrt(((a[:, None] - b) ** 2).sum(-1))
        return r, (a, b, r)

    def backward(d, c):
        g = (d / c[2])[:, :, None] * (c[0][:, None] - c[1])
        return g.sum(1), -g.sum(0)
    return forward, backward


@right(normal((4, 3), (5, 3)))
def gaussian_kernel():
    def forward(a, b):
        K = np.exp(-0.5 * ((a[:, None] - b) ** 2).sum(-1))
        return K, (a, b, K)

    def backward(d, c):
        g = (d * c[2])[:, :, None] * (c[1] - c[0][:, None])
        return g.sum(1), -g.sum(0)
    return forward, backward


@right(normal((3, 4), (5, 4), (5, 2)))
def attention_by_hand():
    def forward(Q, K, V):
        S = Q @ K.T / np.sqrt(Q.shape[1])
        E = np.exp(S - S.max(1)[:, None])
        A = E / E.sum(1)[:, None]
        return A @ V, dict(Q=Q, K=K, V=V, A=A)

    def backward(dY, cache):
        Q, K, V, A = (cache[k] for k in "QKVA")
        dA, dV = dY @ V.T, A.T @ dY
        dS = A * (dA - (dA * A).sum(1, keepdims=True)) / np.sqrt(Q.shape[1])
        return dS @ K, dS.T @ Q, dV
    return forward, backward


@right(normal((2, 6, 4), (2, 3, 4), (2, 3, 4)))
def attention_of_heads_that_share_keys():
    def forward(q, k, v):
        B, T, D = q.shape
        q2 = q.reshape(B, 2, T // 2, D)
        s = np.einsum("bhtd,bsd->bhts", q2, k)
        e = np.exp(s - s.max(-1, keepdims=True))
        a = e / e.sum(-1, keepdims=True)
        return np.einsum("bhts,bsd->bhtd", a, v).reshape(B, T, D), (q2, k, v, a)

    def backward(d, c):
        q2, k, v, a = c
        d = d.reshape(q2.shape)
        da = np.einsum("bhtd,bsd->bhts", d, v)
        ds = a * (da - (a * da).sum(-1, keepdims=True))
        dq = np.einsum("bhts,bsd->bhtd", ds, k)
        return dq.reshape(len(k), -1, k.shape[-1]), np.einsum("bhts,bhtd->bsd", ds, q2), np.einsum(
            "bhts,bhtd->bsd", a, d)
    return forward, backward


@right(normal((3, 4)))
def a_partial():
    def power(k, x):
        return x ** k, (x, k)
    return functools.partial(power, 3), lambda d, c: d * c[1] * c[0] ** (c[1] - 1)


@right(normal((3, 4)))
def a_callable_object():
    class Scale:
        def __init__(self, by):
            self.by = by

        def __call__(self, x):
            return self.by * x, None

    return Scale(3.0), lambda d, _: 3 * d


@right(normal((3, 2)))
def a_bound_method():
    class Layer:
        def forward(self, x):
            return np.sin(x), x

        def backward(self, d, x):
            return d * np.cos(x)
    layer = Layer()
    return layer.forward, layer.backward


@right(normal((3, 2)))
def a_builtin_as_backward():
    return (lambda x: (5.0 * x, 5.0)), operator.mul


@right(lambda rng: [rng.normal(size=(4, 3)), dict(W=rng.normal(size=(3, 2)), b=rng.normal(size=2))])
def a_dictionary_of_parameters():
    def backward(d, c):
        x, p = c
        return d @ p["W"].T, {"W": x.T @ d, "b": d.sum(0)}
    return (lambda x, params: (x @ params["W"] + params["b"], (x, params))), backward


@right(lambda rng: [rng.normal(size=(4, 3)), [rng.normal(size=(3, 5)), rng.normal(size=(5, 2))]])
def a_list_of_weights():
    def forward(x, Ws):
        hs = [x]
        for W in Ws:
            hs.append(np.tanh(hs[-1] @ W))
        return hs[-1], (hs, Ws)

    def backward(d, c):
        hs, Ws = c
        grads = []
        for h, h_in, W in zip(hs[:0:-1], hs[-2::-1], Ws[::-1], strict=True):
            g = d * (1 - h * h)
            grads.insert(0, h_in.T @ g)
            d = g @ W.T
        return d, grads
    return forward, backward


@right(lambda rng: [dict(a=rng.normal(size=3), b=dict(c=rng.normal(size=3)))])
def a_dictionary_in_a_dictionary():
    return (lambda p: (p["a"] * p["b"]["c"], p)), lambda d, p: {"a": d * p["b"]["c"], "b": {"c": d * p["a"]}}


@right(normal((3, 4), (4, 2), 2))
def a_dictionary_of_gradients():
    return (lambda x, w, b: (x @ w + b, {"x": x, "w": w})), (
        lambda d, c: {"dx": d @ c["w"].T, "dw": c["x"].T @ d, "db": d.sum(axis=0)})


@right(normal((3, 4)))
def a_python_float():
    return (lambda x: (float((x ** 2).sum()), x)), lambda d, x: 2 * d * x


@right(normal(4))
def a_list_of_floats():
    return (lambda x: ([float(v) ** 2 for v in x], x)), lambda d, x: [2 * a * b for a, b in zip(d, x, strict=True)]


@right(lambda rng: [float(rng.normal()), rng.normal(size=3)])
def a_number_and_an_array():
    return (lambda a, x: (a * x, (a, x))), lambda d, c: (float((d * c[1]).sum()), c[0] * d)


@right(sizes_from(1e-8, 1e8, (3, 4), (3, 4)))
def products_over_sixteen_decades():
    return (lambda a, b: (a * b, (a, b))), lambda d, c: (d * c[1], d * c[0])


@right(normal(4))
def weights_over_twelve_decades():
    w = np.array([1e8, 1.0, 1e-4, 1e-8])
    return (lambda x: (x @ w, None)), lambda d, _: d * w


@right(positive((3, 3)))
def geometric_mean():
    def forward(x):
        y = np.exp(np.log(x).mean(1))
        return y, (x, y)
    return forward, lambda d, c: (d * c[1])[:, None] / c[0] / c[0].shape[1]


@right(normal((5, 4), 4), data="x")
def x_is_data():
    """Only the weights have a gradient; what stands in the place of dx is never looked at."""
    return (lambda x, w: (x @ w, x)), lambda d, x: (np.zeros_like(x), d @ x)
