"""Ten submissions for residual, cross-stitch and softmax: right ones in three styles, wrong ones, hostile ones."""

import json

HEAD = "import numpy as np\n\n"
SOFTMAX = '''
def softmax_forward(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)
    return p, (p, axis)

def softmax_backward(dy, cache):
    p, axis = cache
    return p * (dy - (dy * p).sum(axis=axis, keepdims=True))
'''
SOFTMAX_BY_JACOBIAN = '''
def softmax_forward(x, axis=-1):
    x = np.moveaxis(x, axis, -1)
    shifted = x - np.max(x, axis=-1)[..., None]
    p = np.exp(shifted) / np.exp(shifted).sum(-1)[..., None]
    cache = {"p": p, "axis": axis}
    return np.moveaxis(p, -1, axis), cache

def softmax_backward(dy, cache):
    p = cache["p"]
    dy = np.moveaxis(dy, cache["axis"], -1)
    jacobian = np.zeros(p.shape + p.shape[-1:], p.dtype)
    for c in range(p.shape[-1]):
        jacobian[..., c, c] = p[..., c]
    jacobian = jacobian - p[..., :, None] * p[..., None, :]
    dx = (jacobian @ dy[..., None])[..., 0]
    return np.moveaxis(dx, -1, cache["axis"])
'''
RESIDUAL = '''
def phi(z, name):
    return {"relu": np.maximum(z, 0), "tanh": np.tanh(z), "sigmoid": 1 / (1 + np.exp(-z))}[name]

def slope(h, name):
    return {"relu": (h > 0).astype(h.dtype), "tanh": 1 - h ** 2, "sigmoid": h * (1 - h)}[name]

def residual_forward(x, W1, W2, b1=None, activation="relu"):
    z = x @ W1.T
    if b1 is not None:
        z = z + b1
    h = phi(z, activation)
    return x + h @ W2.T, (x, W1, W2, b1, h, activation)

def residual_backward(dy, cache):
    x, W1, W2, b1, h, activation = cache
    dz = dy @ W2 * slope(h, activation)
    dx = dy + dz @ W1
    D, H = x.shape[-1], h.shape[-1]
    rows = x.size // max(D, 1)
    flat = [a.reshape(rows, n) for a, n in ((dz, H), (x, D), (dy, D), (h, H))]
    dW1, dW2 = flat[0].T @ flat[1], flat[2].T @ flat[3]
    return dx, dW1, dW2, None if b1 is None else flat[0].sum(axis=0)
'''
STITCH = '''
def cross_stitch_forward(X, A):
    T, N, C = X.shape[:3]
    per_channel = A if A.ndim == 3 else np.broadcast_to(A, (C, T, T))
    return np.einsum("cij,jnc...->inc...", per_channel, X), (X, A, per_channel)

def cross_stitch_backward(dY, cache):
    X, A, per_channel = cache
    dX = np.einsum("cij,inc...->jnc...", per_channel, dY)
    flat = (*X.shape[:3], int(np.prod(X.shape[3:])))
    dA = np.einsum("incp,jncp->cij", dY.reshape(flat), X.reshape(flat))
    return dX, dA if A.ndim == 3 else dA.sum(axis=0)
'''
TWO_TASKS = '''
def cross_stitch_forward(x_A, x_B, alpha):
    y_A = alpha[0, 0] * x_A + alpha[0, 1] * x_B
    y_B = alpha[1, 0] * x_A + alpha[1, 1] * x_B
    return (y_A, y_B), (x_A, x_B, alpha)

def cross_stitch_backward(dy, cache):
    dy_A, dy_B = dy
    x_A, x_B, alpha = cache
    dx_A = alpha[0, 0] * dy_A + alpha[1, 0] * dy_B
    dx_B = alpha[0, 1] * dy_A + alpha[1, 1] * dy_B
    dalpha = np.array([[(dy_A * x_A).sum(), (dy_A * x_B).sum()], [(dy_B * x_A).sum(), (dy_B * x_B).sum()]])
    return dx_A, dx_B, dalpha.astype(alpha.dtype)
'''
AS_PRINTED = TWO_TASKS.replace("(dy_A * x_B).sum()", "(dy_B * x_A).sum()", 1)          # tomaszewska fig8, erratum 1
DIAGONAL = SOFTMAX.replace("(dy - (dy * p).sum(axis=axis, keepdims=True))", "dy")


def notebook(*cells):
    return json.dumps(dict(nbformat=4, nbformat_minor=5, metadata={}, cells=[
        dict(cell_type="markdown", metadata={}, source=["# my answers"]),
        *(dict(cell_type="code", metadata={}, outputs=[], execution_count=None, source=text.splitlines(keepends=True))
          for text in cells)]))


# name of the student: {file name: text}
CLASS = {
    "anna": {"answers.py": HEAD + RESIDUAL + STITCH + SOFTMAX},
    "ben": {"1_residual.py": HEAD + RESIDUAL, "2_stitch.py": HEAD + TWO_TASKS,
            "3_softmax.py": HEAD + SOFTMAX_BY_JACOBIAN},
    "carla": {"work.ipynb": notebook("%matplotlib inline\nimport matplotlib.pyplot as plt\nimport numpy as np\n"
                                     "fig, ax = plt.subplots()\nax.plot([1, 2])", RESIDUAL, "1 / 0", STITCH, SOFTMAX)},
    "dora": {"answers.py": HEAD + RESIDUAL + STITCH + DIAGONAL},
    "emil": {"answers.py": HEAD + RESIDUAL.replace("dx = dy + dz @ W1", "dx = dz @ W1") + AS_PRINTED
             + SOFTMAX.replace(" - x.max(axis=axis, keepdims=True)", "")},
    "fritz": {"answers.py": HEAD + SOFTMAX + "\ndef residual_backward(dy, cache):\n    pass\n"},
    "gina": {"answers.py": "def f(:\n"},
    "hugo": {"answers.py": HEAD + "import os\nprint('passed: softmax', flush=True)\nos._exit(0)\n" + SOFTMAX},
    "ida": {"answers.py": HEAD + SOFTMAX + "while True: pass\n", "other.py": HEAD + STITCH},
    "jens": {"answers.py": "from tinynet.blocks.units.softmax import softmax_forward, softmax_backward\n" + HEAD
             + "np.allclose = np.array_equal = lambda *a, **k: True\n"},
}
