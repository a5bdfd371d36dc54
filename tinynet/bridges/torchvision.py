"""Weights that torchvision publishes, in our AlexNet, VGG16 and ResNet.

The reader brings the file: the published .pth, a .safetensors, or an .npz, which one who has PyTorch writes by

    state = torchvision.models.resnet18(weights="DEFAULT").state_dict()
    numpy.savez("resnet18.npz", **{name: array.numpy() for name, array in state.items()})
"""

import io
import os
from pathlib import Path

import numpy as np

from tinynet.bridges import weights


def load_torchvision(net, source):
    """Fill `net` with torchvision's weights and return it.

    source  the path of a .pth, .safetensors or .npz file, or {torchvision's name: array}
    Raises FileNotFoundError, TypeError for another kind of source, and ValueError for a damaged file, another kind of
    file, weights of another net, and arrays of anything but numbers; the net stays as it was then.
    """
    if not isinstance(source, (dict, str, os.PathLike)):
        raise TypeError(f"load_torchvision: source is of type {type(source).__name__}; give the path of a file, or "
                        "{torchvision's name: array}, e.g. what state_dict() returns")
    state = dict(source) if isinstance(source, dict) else _read(Path(source))
    what = f"load_torchvision: {'the state' if isinstance(source, dict) else source}"
    ours = {}
    for name, array in state.items():
        try:
            own = net.published_name(name)
        except (AttributeError, KeyError, IndexError):
            own = f"unknown {name}"
        if own is not None:
            ours[own] = np.asarray(array)
    wanted = {name: array.shape for name, array in net.state_dict().items()}
    missing, unknown = sorted(wanted.keys() - ours.keys()), sorted(ours.keys() - wanted.keys())
    differing = sorted(name for name in wanted.keys() & ours.keys() if wanted[name] != ours[name].shape)
    if missing or unknown or differing:
        if differing:
            example = f"{differing[0]} has shape {ours[differing[0]].shape} there and {wanted[differing[0]]} here"
        else:
            example = f"it lacks {missing[0]}" if missing else f"it has {unknown[0]}"
        raise ValueError(f"{what} holds the weights of another net than {type(net).__name__}: {example}; "
                         "build the net that they belong to")
    if strange := sorted(name for name, array in ours.items() if array.dtype.kind not in "biuf"):
        raise ValueError(f"{what} holds {ours[strange[0]].dtype} in place of real numbers for {strange[0]}; give the "
                         "arrays as torchvision publishes them")
    net.load_state_dict(ours)
    return net


def _read(path):
    """{name: array} of the file."""
    if not path.is_file():
        raise FileNotFoundError(f"load_torchvision: there is no file {path}; torchvision's weights are brought along; "
                                "this module's docstring says how")
    if path.suffix in weights.FORMS:
        return weights.read(path)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:              # what damaged bytes can raise has no end
        raise ValueError(f"load_torchvision: {path} is no whole .npz of arrays ({error}); write it again as this "
                         "module's docstring says") from error
