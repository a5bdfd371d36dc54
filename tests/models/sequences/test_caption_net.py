"""The caption net: places of a picture, what is written about it, and where the net looks."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn, optim
from tinynet.blocks.sequences.masking import BEGIN, END
from tinynet.check import gradcheck
from tinynet.data.text import Vocabulary, padded, teacher
from tinynet.data.toys import shapes
from tinynet.models.sequences.caption_net import CaptionNet, PixelEncoder, WindowEncoder
from tinynet.models.sequences.generate import best, generate


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_a_place_is_a_window():
    net = WindowEncoder(2, 3, 2, 5, 4, rng=0, dtype=float)
    images = normal(2, 2, 7, 5)
    places = net(images).data
    assert places.shape == (2, 3 * 2, 4)
    window = images[1, :, 2:5, 2:5].reshape(-1)         # the second row of windows, the second column
    hidden = np.maximum(net.first.W.data @ window + net.first.b.data, 0)
    np.testing.assert_allclose(places[1, 3], np.maximum(net.second.W.data @ hidden + net.second.b.data, 0))
    with pytest.raises(ValueError, match="WindowEncoder: images of 2 x 9 pixels are smaller than a window of 3 x 3"):
        net(normal(1, 2, 2, 9))


def test_a_place_is_a_pixel_of_feature_maps():
    images = normal(2, 3, 4, 5)
    places = PixelEncoder(lambda x: tn.Tensor(x))(images).data
    np.testing.assert_array_equal(places[1, 7], images[1, :, 1, 2])


class Loss(nn.Module):
    def __init__(self, net, targets):
        self.net, self.targets = net, targets

    def forward(self, images):
        return self.net.loss(images, *self.targets)


@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_the_whole_nets_gradient(penalty):
    encoder = WindowEncoder(1, 2, 2, 3, 3, rng=0, dtype=float)
    net = CaptionNet(encoder, 3, 6, 2, 3, 2, penalty, rng=1, dtype=float)
    target, mask = padded([[4, 5, END], [5, END]])
    loss = Loss(net, teacher(target, mask))
    images = normal(2, 1, 4, 4)
    loss.forward = lambda scale: net.loss(images, *loss.targets) * scale
    gradcheck(loss, np.array([1.0])).raise_if_wrong()


def test_the_penalty_is_zero_where_each_place_is_looked_at_once():
    net = CaptionNet(WindowEncoder(1, 2, 2, 3, 3, rng=0), 3, 6, 2, 3, 2, rng=1)
    target, mask = padded([[4, 5, 4, END]])
    inputs, targets = teacher(target, mask)
    images = normal(1, 1, 4, 4).astype(np.float32)
    plain = net.loss(images, inputs, targets).item()
    _, maps = net(images, inputs)
    net.penalty = 2.0
    expected = 2 * ((1 - maps.data.sum(axis=1)) ** 2).sum(axis=1).mean()
    assert net.loss(images, inputs, targets).item() == pytest.approx(plain + expected, rel=1e-5)


def test_it_learns_a_few_pictures_by_heart():
    drawn = shapes(np.random.default_rng(0), 4)
    vocabulary = Vocabulary.of(drawn.captions)
    target, mask = padded([vocabulary.encode(c) for c in drawn.captions])
    net = CaptionNet(WindowEncoder(3, 14, 7, 24, 24, rng=0), 24, len(vocabulary), 16, 24, 16, rng=1)
    adam = optim.Adam(net.parameters(), lr=0.01)
    for _ in range(120):
        adam.zero_grad()
        net.loss(drawn.images, *teacher(target, mask)).backward()
        adam.step()
    net.eval()
    with tn.no_grad():
        found = generate(net, [[BEGIN]] * 4, 12, best, (END,), net.encode(drawn.images))
    assert [vocabulary.decode(f) for f in found] == drawn.captions


@pytest.mark.parametrize("images", [np.zeros((3, 28, 28), np.float32), np.zeros((2, 3, 28, 28), np.uint8)])
def test_pictures_of_another_form_are_told(images):
    net = CaptionNet(WindowEncoder(3, 14, 7, 8, 8, rng=0), 8, 9, rng=0)
    with pytest.raises(ValueError, match=r"WindowEncoder: images are .* must be floating numbers"):
        net.encode(images)
