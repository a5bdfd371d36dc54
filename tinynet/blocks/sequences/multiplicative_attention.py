"""Multiplicative attention: the score is a product of the decoder's state and the annotation.

    (1)  e[i,j] = s[i].h[j]                                     "dot": Luong et al. 2015, eq. 8; csc321 score
    (2)  e[i,j] = s[i].(G h[j])                                 "general": Luong et al. 2015, eq. 8; csc321 score
    (3)  c[i] = sum_j softmax_j(e[i,j]) h[j]                    csc321 context

s (..., M, p)    decoder states
h (..., N, q)    annotations; for "dot" q = p
G (p, q)         what of the one speaks to what of the other
c (..., M, q)    contexts
mask   boolean, broadcast to (..., M, N): True where state i may attend to annotation j
Luong, Pham and Manning 2015, arXiv:1508.04025.
"""

import numpy as np

from tinynet import nn
from tinynet.blocks.sequences.attention import attention, attention_weights
from tinynet.blocks.units.linear import linear

# %% 1. The mathematics, 2. the fast twin, and 3. the op: those of `attention` with scale 1, and of `linear`


# %% 4. The module
class MultiplicativeAttention(nn.Module):
    """s (..., M, d_state), h (..., N, d_annotation), optional mask (..., M, N) -> (..., M, d_annotation).

    G (d_state, d_annotation) starts Glorot-uniform; general=False leaves it out, and both widths must be equal.
    rng is a seed or np.random.Generator.
    """

    def __init__(self, d_state, d_annotation, general=True, rng=None, dtype=np.float32):
        if not general and d_state != d_annotation:
            raise ValueError(f"MultiplicativeAttention: states of {d_state} and annotations of {d_annotation} features "
                             "have no dot product; make the widths equal or general=True")
        self.G = nn.Parameter(nn.glorot_uniform(rng, (d_state, d_annotation), dtype)) if general else None

    def _keys(self, h):
        return h if self.G is None else linear(h, self.G)

    def forward(self, s, h, mask=None):
        return attention(s, self._keys(h), h, mask, scale=1.0)      # (1) (2) (3)

    def weights(self, s, h, mask=None):
        """The attention map (..., M, N) of arrays or tensors, as an array (csc321 map)."""
        return attention_weights(np.asarray(s), self._keys(h).data if self.G is not None else np.asarray(h), mask,
                                 scale=1.0)
