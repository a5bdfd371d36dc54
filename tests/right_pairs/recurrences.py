"""Recurrences, scans, dynamic programming, integrators."""

import itertools

import numpy as np

from .registry import normal, positive, right


def _sigma(z):
    return 1 / (1 + np.exp(-z))


@right(normal((4, 2, 3), (3, 5), (5, 5), 5))
def elman_network():
    def forward(x, W, U, b):
        hs = [np.zeros((x.shape[1], U.shape[0]))]
        for x_t in x:
            hs.append(np.tanh(x_t @ W + hs[-1] @ U + b))
        return np.array(hs[1:]), (x, W, U, hs)

    def backward(d, c):
        x, W, U, hs = c
        dx, dW, dU, db, back = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros(len(U)), 0
        for t in range(len(x) - 1, -1, -1):
            dz = (d[t] + back) * (1 - hs[t + 1] ** 2)
            dx[t], back = dz @ W.T, dz @ U.T
            dW += x[t].T @ dz
            dU += hs[t].T @ dz
            db += dz.sum(0)
        return dx, dW, dU, db
    return forward, backward


@right(normal((3, 2), (3, 2), (2, 3), (2, 3)))
def one_gru_step_with_gates_in_a_dictionary():
    def forward(x, h, W, U):
        z = _sigma(x @ W[:, :1] + h @ U[:, :1])
        r = _sigma(x @ W[:, 1:2] + h @ U[:, 1:2])
        n = np.tanh(x @ W[:, 2:] + (r * h) @ U[:, 2:])
        return (1 - z) * n + z * h, {"x": x, "h": h, "W": W, "U": U, "z": z, "r": r, "n": n}

    def backward(d, c):
        x, h, W, U, z, r, n = (c[k] for k in ("x", "h", "W", "U", "z", "r", "n"))
        dn = (d * (1 - z)).sum(1, keepdims=True) * (1 - n * n)
        dz = (d * (h - n)).sum(1, keepdims=True) * z * (1 - z)
        drh = dn @ U[:, 2:].T
        dr = (drh * h).sum(1, keepdims=True) * r * (1 - r)
        dgates = np.hstack([dz, dr, dn])
        dh = d * z + drh * r + np.hstack([dz, dr]) @ U[:, :2].T
        dU = np.hstack([h.T @ dz, h.T @ dr, (r * h).T @ dn])
        return dgates @ W.T, dh, x.T @ dgates, dU
    return forward, backward


@right(normal((2, 8), (2, 2)))
def lstm_step_with_quarters():
    def forward(z, c0):
        H = z.shape[1] // 4
        i, f, o, g = _sigma(z[:, :H]), _sigma(z[:, H:2 * H]), _sigma(z[:, 2 * H:3 * H]), np.tanh(z[:, 3 * H:])
        c1 = f * c0 + i * g
        return o * np.tanh(c1), (i, f, o, g, c0, c1)

    def backward(d, cache):
        i, f, o, g, c0, c1 = cache
        t = np.tanh(c1)
        dc = d * o * (1 - t * t)
        return np.concatenate([dc * g * i * (1 - i), dc * c0 * f * (1 - f), d * t * o * (1 - o), dc * i * (1 - g * g)],
                              axis=1), dc * f
    return forward, backward


@right(normal((3, 5)))
def running_sum():
    return (lambda x: (np.cumsum(x, axis=1), None)), lambda d, _: np.cumsum(d[:, ::-1], axis=1)[:, ::-1]


@right(positive((3, 4)))
def running_product():
    def forward(x):
        y = np.cumprod(x, axis=1)
        return y, (x, y)
    return forward, lambda d, c: np.cumsum((d * c[1])[:, ::-1], axis=1)[:, ::-1] / c[0]


@right(normal(7, ()))
def exponential_moving_average():
    def forward(x, a):
        s = _sigma(a)
        ys = [x[0]]
        for v in x[1:]:
            ys.append(s * ys[-1] + (1 - s) * v)
        return np.array(ys), (x, s, ys)

    def backward(d, c):
        x, s, ys = c
        dx, ds, back = np.zeros_like(x), 0.0, 0.0
        for t in range(len(x) - 1, 0, -1):
            back += d[t]
            dx[t] = (1 - s) * back
            ds += back * (ys[t - 1] - x[t])
            back = s * back
        dx[0] = d[0] + back
        return dx, ds * s * (1 - s)
    return forward, backward


@right(normal((4, 3), (3, 3)))
def forward_algorithm_of_a_chain():
    """The log of the sum over all paths."""
    def forward(emit, move):
        a = [emit[0]]
        for e in emit[1:]:
            a.append(e + np.log(np.exp(a[-1][:, None] + move).sum(0)))
        return np.log(np.exp(a[-1]).sum()), (emit, move, a)

    def backward(d, c):
        emit, move, a = c
        demit, dmove = np.zeros_like(emit), np.zeros_like(move)
        back = d * np.exp(a[-1]) / np.exp(a[-1]).sum()
        for t in range(len(emit) - 1, 0, -1):
            demit[t] = back
            p = np.exp(a[t - 1][:, None] + move)
            p = p / p.sum(0) * back
            dmove += p
            back = p.sum(1)
        demit[0] = back
        return demit, dmove
    return forward, backward


@right(normal((4, 3), (3, 3)))
def best_path_of_a_chain():
    def forward(emit, move):
        score, back = emit[0], []
        for e in emit[1:]:
            back.append((score[:, None] + move).argmax(0))
            score = e + (score[:, None] + move).max(0)
        path = [int(score.argmax())]
        for b in back[::-1]:
            path.insert(0, int(b[path[0]]))
        return score.max(), (path, emit.shape)

    def backward(d, c):
        path, shape = c
        demit, dmove = np.zeros(shape), np.zeros((shape[1], shape[1]))
        for t, k in enumerate(path):
            demit[t, k] += d
        for a, b in itertools.pairwise(path):
            dmove[a, b] += d
        return demit, dmove
    return forward, backward


@right(normal(3, (3, 3)))
def euler_steps_of_an_equation():
    h = 0.1

    def forward(x, A):
        xs = [x]
        for _ in range(4):
            xs.append(xs[-1] + h * np.tanh(A @ xs[-1]))
        return xs[-1], (xs, A)

    def backward(d, c):
        xs, A = c
        dA = np.zeros_like(A)
        for x in xs[-2::-1]:
            g = h * d * (1 - np.tanh(A @ x) ** 2)
            dA += np.outer(g, x)
            d = d + A.T @ g
        return d, dA
    return forward, backward


@right(normal((3, 2)))
def leapfrog_of_springs():
    h, n = 0.1, 5

    def forward(s):
        q, p = s[:, 0], s[:, 1]
        for _ in range(n):
            p = p - h / 2 * q
            q = q + h * p
            p = p - h / 2 * q
        return np.stack([q, p], 1), None

    def backward(d, _):
        dq, dp = d[:, 0], d[:, 1]
        for _ in range(n):
            dq = dq - h / 2 * dp
            dp = dp + h * dq
            dq = dq - h / 2 * dp
        return np.stack([dq, dp], 1)
    return forward, backward


@right(normal((4, 4), 4))
def power_iterations():
    def forward(A, v):
        vs = [v]
        for _ in range(3):
            w = A @ vs[-1]
            vs.append(w / np.sqrt(w @ w))
        return vs[-1], (A, vs)

    def backward(d, c):
        A, vs = c
        dA = np.zeros_like(A)
        for v, u in zip(vs[-2::-1], vs[:0:-1], strict=True):
            w = A @ v
            g = (d - u * (u @ d)) / np.sqrt(w @ w)
            dA += np.outer(g, v)
            d = A.T @ g
        return dA, d
    return forward, backward


@right(positive(3), tolerance=1e-6)
def a_root_found_by_iteration():
    """x = exp(-a x), found by Newton's method to about 7 digits."""
    def forward(a):
        x = np.full_like(a, 0.5)
        for _ in range(100):
            step = (x - np.exp(-a * x)) / (1 + a * np.exp(-a * x))
            x = x - step
            if np.abs(step).max() < 1e-5:
                break
        return x, (a, x)
    return forward, lambda d, c: -d * c[1] ** 2 / (1 + c[0] * c[1])


@right(normal((3, 4)), tolerance=1e-5)
def balanced_by_iteration():
    """Sinkhorn's scaling, differentiated step by step."""
    def forward(x):
        z, kept = x, []
        for k in range(6):
            p = np.exp(z - np.log(np.exp(z).sum(k % 2, keepdims=True)))
            kept.append(p)
            z = np.log(p)
        return kept[-1], kept

    def backward(d, kept):
        d = d * kept[-1]
        for k in range(5, -1, -1):
            d = d - kept[k] * d.sum(k % 2, keepdims=True)
        return d
    return forward, backward
