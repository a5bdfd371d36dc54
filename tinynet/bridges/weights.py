"""A net's weights in files that others read, and theirs in our nets: .safetensors, and PyTorch's state dicts.

    save(net, "net.safetensors")        or .pt, .pth: written without PyTorch
    load(net, "net.pt")

Layers that PyTorch has, too, get its names and layouts, so that `torch_net.load_state_dict` takes what is written here
where both nets are built alike; what it doesn't have keeps our names.
"""

from pathlib import Path

import numpy as np

from tinynet.blocks.images.batch_norm import BatchNorm
from tinynet.blocks.images.conv import Conv
from tinynet.blocks.images.group_norm import GroupNorm
from tinynet.blocks.sequences.embedding import Embedding
from tinynet.blocks.sequences.gru import GRU
from tinynet.blocks.sequences.lstm import LSTM
from tinynet.blocks.sequences.rnn import RNN
from tinynet.blocks.units.layer_norm import LayerNorm
from tinynet.blocks.units.linear import Linear
from tinynet.bridges import pytorch, safetensors

RENAMED = {
    Linear: dict(W="weight", b="bias"),
    Conv: dict(W="weight", b="bias"),
    Embedding: dict(E="weight"),
    LayerNorm: dict(gain="weight", bias="bias"),
    GroupNorm: dict(gain="weight", bias="bias"),
    BatchNorm: dict(gain="weight", bias="bias", mean="running_mean", var="running_var"),
}
RECURRENT = (RNN, GRU, LSTM)
FORMS = {".safetensors": safetensors, ".pt": pytorch, ".pth": pytorch}


def to_pytorch(net):
    """{PyTorch's name: array} of all that `net.state_dict()` holds."""
    state, found = net.state_dict(), {}
    for prefix, module in net.named_modules():
        own = _of(prefix, state)
        if type(module) in RENAMED:
            given = {RENAMED[type(module)][name]: array for name, array in own.items()}
        else:
            given = _recurrent(own) if _is_recurrent(module) else own
        found |= {_joined(prefix, name): array for name, array in given.items()}
    return found


def from_pytorch(net, state):
    """Fill the net from {PyTorch's name: array} and return it.

    Raises ValueError where arrays are missing, unknown or of another shape; nothing is changed then.
    """
    state = {name: np.asarray(array) for name, array in state.items() if not name.endswith("num_batches_tracked")}
    wanted, ours = to_pytorch(net), net.state_dict()
    for name in sorted(wanted.keys() | state.keys()):
        if name not in state or name not in wanted:
            raise ValueError(f"from_pytorch: {type(net).__name__} and the state differ: {name} is only in the "
                             f"{'net' if name in wanted else 'state'}; build the net that the weights belong to")
        if wanted[name].shape != state[name].shape:
            raise ValueError(f"from_pytorch: {name} has shape {state[name].shape} in the state and needs "
                             f"{wanted[name].shape}; build the net that the weights belong to")
    filled = {}
    for prefix, module in net.named_modules():
        for name in _of(prefix, ours):
            if _is_recurrent(module):
                array = _from_recurrent(name, _of(prefix, state), module)
            else:
                array = state[_joined(prefix, RENAMED.get(type(module), {}).get(name, name))]
            filled[_joined(prefix, name)] = array
    net.load_state_dict(filled)
    return net


def save(net, path):
    """Write the net's weights to a .safetensors, .pt or .pth file, under PyTorch's names.

    Raises ValueError for another ending.
    """
    _form(path).save(path, to_pytorch(net))


def load(net, path):
    """Fill the net from such a file and return it.  Raises what the readers and `from_pytorch` raise."""
    return from_pytorch(net, read(path))


def read(path):
    """{name: array} of such a file, under the names that stand in it.  Raises what its reader raises."""
    form = _form(path)
    return form.load(path)[0] if form is safetensors else form.load(path)


def _form(path):
    if Path(path).suffix not in FORMS:
        raise ValueError(f"weights: {path} ends in none of {', '.join(FORMS)}; choose one of them")
    return FORMS[Path(path).suffix]


def _joined(prefix, name):
    return f"{prefix}.{name}" if prefix else name


def _of(prefix, state):
    """What the state holds of one module itself, by the names in that module."""
    start = f"{prefix}." if prefix else ""
    rest = ((name.removeprefix(start), array) for name, array in state.items() if name.startswith(start))
    return {name: array for name, array in rest if "." not in name}


# %% Recurrent layers: PyTorch keeps the products the other way round, and a bias for each of the two
def _is_recurrent(module):
    """GRUs with the reset gate before the product are not PyTorch's."""
    return type(module) in RECURRENT and getattr(module, "reset", "after") == "after"


def _recurrent(own):
    second = np.zeros_like(own["b"])
    if "c" in own:
        second[-len(own["c"]):] = own["c"]
    return dict(weight_ih_l0=own["W"].T, weight_hh_l0=own["U"].T, bias_ih_l0=own["b"], bias_hh_l0=second)


def _from_recurrent(name, state, module):
    first, second = state["bias_ih_l0"], state["bias_hh_l0"]
    if name in ("W", "U"):
        return state["weight_ih_l0" if name == "W" else "weight_hh_l0"].T
    if not isinstance(module, GRU):
        return first + second
    H = len(second) // 3                # the new state's second bias stands behind the reset gate
    return second[2 * H:] if name == "c" else first + np.concatenate([second[:2 * H], np.zeros(H, second.dtype)])
