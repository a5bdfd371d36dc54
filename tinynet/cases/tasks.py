"""Cases of what several tasks share."""

from tinynet.blocks.tasks import cross_stitch as _cross_stitch
from tinynet.blocks.tasks import expert_mixture as _expert_mixture
from tinynet.blocks.tasks import nddr as _nddr
from tinynet.blocks.tasks import soft_sharing as _soft_sharing
from tinynet.blocks.tasks import trace_norm as _trace_norm
from tinynet.cases.registry import case, plain


@case(_cross_stitch.cross_stitch)
def cross_stitch(rng, T, N, C):
    return rng.normal(size=(T, N, C)), rng.normal(size=(T, T))


@case(_cross_stitch.cross_stitch)
def cross_stitch_channels(rng, T, N, C, H, W):
    return rng.normal(size=(T, N, C, H, W)), rng.normal(size=(C, T, T))


plain("cross_stitch_channels_only", _cross_stitch.cross_stitch, "T N C, C T T")
plain("cross_stitch_images_one_alpha", _cross_stitch.cross_stitch, "T N C H W, T T")

plain("trace_norm", _trace_norm.trace_norm, "T D")
plain("trace_norm_of_layers", _trace_norm.trace_norm, "T C D")


@case(_nddr.nddr)
def nddr(rng, T, N, C, D):
    return rng.normal(size=(T, N, C)), rng.normal(size=(T, D, T * C)), rng.normal(size=(T, D))


@case(_nddr.nddr)
def nddr_images_without_bias(rng, T, N, C, D, H, W):
    return rng.normal(size=(T, N, C, H, W)), rng.normal(size=(T, D, T * C))


plain("squared_distance", _soft_sharing.squared_distance, "T D")
plain("squared_distance_of_layers", _soft_sharing.squared_distance, "T C D")
plain("absolute_distance", _soft_sharing.absolute_distance, "T D")
plain("expert_mixture", _expert_mixture.expert_mixture, "E N D, T N E")
