"""Stacked recurrent net: the states of a layer are the inputs of the layer above it.

    (1)  h_l[t] = layer_l(h_{l-1}[t], h_l[t-1]), h_0 = x        csc321 stacked; Graves 2013, arXiv:1308.0850

x (B, T, D)      the sequences
h_l (B, T, H)    the states of layer l
Between two layers, but not from step to step, entries are dropped with chance p while training (Zaremba et al. 2014,
arXiv:1409.2329).  The state of the stack is the tuple of its layers' states.
"""

from tinynet.blocks.sequences.state import Recurrent
from tinynet.blocks.units.dropout import Dropout

# %% 1. The mathematics, 2. the fast twin, and 3. the op: those of the layers


# %% 4. The module
class Stacked(Recurrent):
    """Layers one above the other: x (B, T, d_in), states of all layers or None, mask -> h of the top layer, all states.

    layers   recurrent layers; Bidirectional ones have a `run`, but no `step`
    p        chance that an entry between two layers is dropped; rng is a seed or np.random.Generator
    """

    def __init__(self, *layers, p=0.0, rng=None):
        if not layers:
            raise ValueError("Stacked: there are no layers; give at least one, e.g. Stacked(GRU(8, 16), GRU(16, 16))")
        self.layers, self.drop = list(layers), Dropout(p, rng)

    def start(self, B, dtype):
        return tuple(layer.start(B, dtype) for layer in self.layers)

    def shown(self, state):
        return self.layers[-1].shown(state[-1])

    def step(self, x, state):
        new = []
        for l, (layer, old) in enumerate(zip(self.layers, state or (None,) * len(self.layers), strict=True)):
            new.append(layer.step(self.drop(x) if l else x, old))           # (1)
            x = layer.shown(new[-1])
        return tuple(new)

    def run(self, x, state=None, mask=None):
        new = []
        for l, (layer, old) in enumerate(zip(self.layers, state or (None,) * len(self.layers), strict=True)):
            h, s = layer.run(self.drop(x) if l else x, old, mask)           # (1)
            new.append(s)
            x = h
        return x, tuple(new)
