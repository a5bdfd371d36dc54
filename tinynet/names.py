"""Where users look for the blocks: `nn.Linear`, `tn.relu`; each is found when it is first asked for.

So `import tinynet` loads no block, and importing stays as fast as it is.
"""

import difflib
import importlib

# {module under tinynet.blocks: names}
LAYERS = {
    "units.linear": "Linear", "units.activations": "ReLU LeakyReLU ELU GELU Sigmoid Tanh", "units.dropout": "Dropout",
    "units.layer_norm": "LayerNorm", "units.maxout": "Maxout", "units.lp_unit": "LpUnit", "units.apl": "APL",
    "units.residual": "Residual ResidualStack", "images.conv": "Conv", "images.conv_transpose": "ConvTranspose",
    "images.pool": "MaxPool AveragePool GlobalAverage", "images.batch_norm": "BatchNorm",
    "images.group_norm": "GroupNorm", "images.upsample": "Upsample", "images.conv_residual": "ConvResidual",
    "sequences.embedding": "Embedding", "sequences.rnn": "RNN", "sequences.gru": "GRU", "sequences.lstm": "LSTM",
    "sequences.multi_head": "MultiHeadAttention", "tasks.cross_stitch": "CrossStitch", "tasks.nddr": "NDDR",
    "graphs.graph_attention_layer": "GraphAttention"}
FUNCTIONS = {
    "units.activations": "relu leaky_relu elu gelu sigmoid tanh", "units.softmax": "softmax log_sum_exp",
    "units.linear": "linear", "units.dropout": "dropout", "units.layer_norm": "layer_norm",
    "images.conv": "conv", "images.conv_transpose": "conv_transpose",
    "images.pool": "max_pool average_pool global_average", "images.batch_norm": "batch_norm",
    "images.group_norm": "group_norm", "images.upsample": "upsample",
    "sequences.embedding": "embedding", "sequences.attention": "attention",
    "losses.cross_entropy": "cross_entropy", "losses.binary_cross_entropy": "binary_cross_entropy",
    "losses.mean_squared_error": "mean_squared_error"}


def places(table):
    """{name: module} of a table."""
    return {name: f"tinynet.blocks.{module}" for module, names in table.items() for name in names.split()}


def find(package, table, name, also=()):
    """The block of this name.  Raises AttributeError with the nearest name where there is none."""
    known = places(table)
    if name in known:
        return getattr(importlib.import_module(known[name]), name)
    near = difflib.get_close_matches(name, [*known, *also], 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise AttributeError(f"module {package!r} has no attribute {name!r}{meant}")
