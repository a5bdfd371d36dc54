"""csc321/35_imagenet looks at the reader's own picture through the reader's own weights."""

import numpy as np
import pytest

from lessons.tools.catalogue import FOLDER
from tinynet.backend import no_grad
from tinynet.data.images import photo
from tinynet.lesson import lesson
from tinynet.models.images.res_net import ResNet


@pytest.fixture
def look(monkeypatch):
    """look(PICTURE=..., WEIGHTS=..., NET=...) runs the lesson's imports and its two cells for pictures."""
    monkeypatch.setattr(lesson, "numbers", [])

    def look(**given):
        for name in ("PICTURE", "WEIGHTS", "NET"):
            monkeypatch.delenv(f"TINYNET_{name}", raising=False)
        for name, value in given.items():
            monkeypatch.setenv(f"TINYNET_{name}", str(value))
        cells = (FOLDER / "csc321/35_imagenet.py").read_text(encoding="utf-8").split("# %%\n")
        space = {}
        for cell in cells:
            if cell.startswith(("import os", "if own:")) or "os.environ" in cell:
                exec(cell, space)
        return lesson.numbers
    return look


@pytest.fixture
def picture(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="pictures are read by Pillow")
    pixels = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    image.fromarray(pixels).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"


def test_the_five_most_probable_classes_are_those_of_the_net(look, picture, tmp_path, monkeypatch):
    net = ResNet(18, rng=0)
    np.savez(tmp_path / "weights.npz", **net.state_dict())
    monkeypatch.setattr(ResNet, "published_name", lambda self, name: name)         # the file has our own names
    found = look(PICTURE=picture, WEIGHTS=tmp_path / "weights.npz", NET=18)
    with no_grad():
        logits = net.eval()(photo(picture)).data[0].astype(float)
    chances = np.exp(logits) / np.exp(logits).sum()
    classes = [int(label.split()[1]) for label, *_ in found]
    assert classes == np.argsort(-logits)[:5].tolist()
    np.testing.assert_allclose([chance for _, chance, *_ in found], chances[classes], rtol=1e-4)


def test_without_a_picture_nothing_is_looked_at(look):
    assert look(NET=18) == []


@pytest.mark.parametrize(("given", "said"), [
    (dict(PICTURE="cat.jpg"), "TINYNET_PICTURE is cat.jpg, TINYNET_WEIGHTS None"),
    (dict(WEIGHTS="net.npz"), "TINYNET_PICTURE is None, TINYNET_WEIGHTS net.npz"),
    (dict(PICTURE="cat.jpg", WEIGHTS="net.npz", NET="vgg"), "TINYNET_NET vgg; .* out of alexnet, vgg16, 18, 34, 50"),
])
def test_what_is_missing_is_one_sentence(look, given, said):
    with pytest.raises(ValueError, match=f"a picture of your own: .*{said}"):
        look(**given)
