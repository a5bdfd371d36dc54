"""GPT-2 from its published weights (csc321 lm: prompt in, article out).

Names in the file, with or without "transformer." before them; i is a layer, C the features:

    wte (V, C), wpe (context, C)                        tokens and positions; the output matrix is wte
    h.i.ln_1, h.i.ln_2, ln_f  .weight, .bias            layer norms
    h.i.attn.c_attn (C, 3 C), h.i.attn.c_proj (C, C)    q, k and v in this order; then what joins the heads
    h.i.mlp.c_fc (C, 4 C), h.i.mlp.c_proj (4 C, C)

Matrices are stored (in, out), so that x @ W needs no transpose; ours are (out, in).  h.i.attn.bias is the causal mask
and no bias.  Radford et al. 2019.
"""

import re

import numpy as np

from tinynet.models.sequences.transformer import GPT

NAMES = {
    "wte.weight": "embedding.E", "wpe.weight": "positions.P", "ln_f.weight": "norm.gain", "ln_f.bias": "norm.bias",
    "ln_1.weight": "norm1.gain", "ln_1.bias": "norm1.bias", "ln_2.weight": "norm2.gain", "ln_2.bias": "norm2.bias",
    "attn.c_attn.weight": "attention.qkv.W", "attn.c_attn.bias": "attention.qkv.b",
    "attn.c_proj.weight": "attention.out.W", "attn.c_proj.bias": "attention.out.b",
    "mlp.c_fc.weight": "feed_forward.inner.W", "mlp.c_fc.bias": "feed_forward.inner.b",
    "mlp.c_proj.weight": "feed_forward.outer.W", "mlp.c_proj.bias": "feed_forward.outer.b",
}


def gpt2(arrays, heads=None):
    """A GPT with these weights, {name: array}, e.g. of tinynet.bridges.safetensors.load.

    heads   how many; features / 64 unless it is given, as in all published sizes
    Raises ValueError for arrays that are missing, unknown, or of shapes that don't fit together.
    """
    arrays = {name.removeprefix("transformer."): a for name, a in arrays.items()}
    arrays = {name: a for name, a in arrays.items() if not name.endswith((".attn.bias", ".attn.masked_bias"))
              and name != "lm_head.weight"}
    if not {"wte.weight", "wpe.weight"} <= arrays.keys():
        raise ValueError("gpt2: these weights have no wte.weight and wpe.weight, so they aren't GPT-2's; take the file "
                         "published as model.safetensors")
    words, places = (np.shape(arrays[name]) for name in ("wte.weight", "wpe.weight"))
    if len(words) != 2 or len(places) != 2 or words[1] != places[1]:
        raise ValueError(f"gpt2: wte.weight has the shape {words} and wpe.weight {places}, but they must be (V, C) and "
                         "(context, C); take the file published as model.safetensors")
    features, context = words[1], places[0]
    layers = len({m[1] for m in (re.match(r"h\.(\d+)\.", name) for name in arrays) if m})
    net = GPT(1, 1, features, heads or max(features // 64, 1), layers, activation="gelu_tanh")
    net.context = context
    state = {_ours(name): _turned(name, a) for name, a in arrays.items()}
    own = dict(net.named_parameters())
    if missing := sorted(own.keys() - state.keys()) or sorted(state.keys() - own.keys()):
        raise ValueError(f"gpt2: {missing[0]} is {'missing' if missing[0] in own else 'unknown'} among these weights; "
                         "take the file published as model.safetensors")
    for name, parameter in own.items():
        table = name in ("embedding.E", "positions.P")
        if not table and parameter.shape != state[name].shape:
            raise ValueError(f"gpt2: {name} has the shape {state[name].shape} (out, in) in these weights, but with "
                             f"{features} features it must be {parameter.shape}")
        parameter.data = np.ascontiguousarray(state[name], np.float32)
    return net.eval()


def _ours(name):
    layer = re.match(r"h\.(\d+)\.(.+)", name)
    if layer and layer[2] in NAMES:
        return f"blocks.{layer[1]}.{NAMES[layer[2]]}"
    return NAMES.get(name, name)


def _turned(name, array):
    """Matrices of layers as (out, in)."""
    return array.T if name.startswith("h.") and np.ndim(array) == 2 else array
