"""NDDR: the convolution that it is, its start near the identity, and the cross-stitch unit inside it."""

import numpy as np
import pytest

from tinynet.blocks.tasks.cross_stitch import cross_stitch_forward
from tinynet.blocks.tasks.nddr import NDDR, nddr, nddr_backward, nddr_forward
from tinynet.shapes import ShapeError

rng = np.random.default_rng(0)


@pytest.mark.parametrize("T", [1, 2, 4])
def test_it_is_concatenation_and_one_1x1_convolution_a_task(T):
    torch = pytest.importorskip("torch")
    X, W, b = rng.normal(size=(T, 3, 5, 4, 2)), rng.normal(size=(T, 6, T * 5)), rng.normal(size=(T, 6))
    x, w, c = (torch.tensor(a, requires_grad=True) for a in (X, W, b))
    theirs = torch.stack([torch.nn.functional.conv2d(torch.cat(list(x), 1), w[t, :, :, None, None], c[t])
                          for t in range(T)])
    dY = rng.normal(size=theirs.shape)
    theirs.backward(torch.tensor(dY))
    Y, cache = nddr_forward(X, W, b)
    np.testing.assert_allclose(Y, theirs.detach(), rtol=1e-12, atol=1e-13)
    for ours, leaf in zip(nddr_backward(dY, cache), (x, w, c), strict=True):
        np.testing.assert_allclose(ours, leaf.grad, rtol=1e-11, atol=1e-12)


def test_it_starts_as_the_cross_stitch_unit_with_the_same_start():
    X = rng.normal(size=(3, 5, 4))
    A = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    layer = NDDR(3, 4, same=0.8, dtype=float)
    np.testing.assert_allclose(layer(X).data, cross_stitch_forward(X, A)[0], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("T", [1, 2])
def test_same_1_and_a_single_task_are_the_identity(T):
    X = rng.normal(size=(T, 5, 4, 3))
    np.testing.assert_array_equal(NDDR(T, 4, same=1, dtype=float)(X).data, X)


def test_features_and_layers_that_do_not_fit_are_told():
    with pytest.raises(ShapeError, match=r"nddr: .* stack the tasks' features first"):
        nddr(np.ones((5, 4)), np.ones((2, 4, 8)))
    with pytest.raises(ShapeError, match=r"nddr: .*W needs T = 2 layers and K = T C = 8 inputs each"):
        nddr(np.ones((2, 5, 4)), np.ones((2, 4, 4)))
