"""Cases of what several tasks share."""

from tinynet.blocks.tasks import activation_distance as _activation_distance
from tinynet.blocks.tasks import adaptive_activation as _adaptive_activation
from tinynet.blocks.tasks import cross_stitch as _cross_stitch
from tinynet.blocks.tasks import expert_mixture as _expert_mixture
from tinynet.blocks.tasks import functional_regularization as _functional_regularization
from tinynet.blocks.tasks import nddr as _nddr
from tinynet.blocks.tasks import soft_order as _soft_order
from tinynet.blocks.tasks import soft_sharing as _soft_sharing
from tinynet.blocks.tasks import task_linear as _task_linear
from tinynet.blocks.tasks import task_relationship as _task_relationship
from tinynet.blocks.tasks import tensor_factors as _tensor_factors
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

plain("adaptive_activation", _adaptive_activation.adaptive_activation, "T N D, T M, M")
plain("adaptive_activation_images", _adaptive_activation.adaptive_activation, "T N C H W, T M, M")
plain("adaptive_activation_one_number_each", _adaptive_activation.adaptive_activation, "T N, T M, M")

for _op in (_activation_distance.activation_inner, _activation_distance.activation_distance,
            _activation_distance.activation_cosine):
    plain(_op.name, _op, "T M, M")
    plain(f"{_op.name}_elsewhere", _op, "T M, M", mu=0.3, sigma=0.7)
for _op in (_functional_regularization.cosine_regularizer, _functional_regularization.distance_regularizer):
    plain(_op.name, _op, "T M, M", never_empty="T")
    plain(f"{_op.name}_elsewhere", _op, "T M, M", never_empty="T", mu=-0.4, sigma=1.3)

plain("soft_order", _soft_order.soft_order, "E T N D, T E", never_empty="E")
plain("soft_order_images", _soft_order.soft_order, "E T N C H W, T E", never_empty="E")

plain("latent_layers", _tensor_factors.latent_layers, "K I O, T K")
plain("tucker", _tensor_factors.tucker, "R P Q, I P, O Q, T R")
plain("tensor_train", _tensor_factors.tensor_train, "I P, Q P O, T Q")

plain("task_relationship_identity", _task_relationship.task_relationship, "T O I")


@case(_task_relationship.task_relationship)
def task_relationship(rng, T, O, I):
    P, Q, V = rng.normal(size=(T, T)), rng.normal(size=(O, O)), rng.normal(size=(I, I))
    return [rng.normal(size=(T, O, I))], dict(P=P, Q=Q, V=V)


@case(_task_relationship.task_relationship)
def task_relationship_of_tasks(rng, T, O, I):
    return [rng.normal(size=(T, O, I))], dict(P=rng.normal(size=(T, T)))


plain("trace_norm", _trace_norm.trace_norm, "T D")
plain("trace_norm_of_layers", _trace_norm.trace_norm, "T C D")


@case(_nddr.nddr)
def nddr(rng, T, N, C, D):
    return rng.normal(size=(T, N, C)), rng.normal(size=(T, D, T * C)), rng.normal(size=(T, D))


@case(_nddr.nddr)
def nddr_images_without_bias(rng, T, N, C, D, H, W):
    return rng.normal(size=(T, N, C, H, W)), rng.normal(size=(T, D, T * C))


plain("task_linear", _task_linear.task_linear, "T N D, T C D, T C")
plain("task_linear_same_examples", _task_linear.task_linear, "N D, T C D, T C")

plain("squared_distance", _soft_sharing.squared_distance, "T D")
plain("squared_distance_of_layers", _soft_sharing.squared_distance, "T C D")
plain("absolute_distance", _soft_sharing.absolute_distance, "T D")
plain("expert_mixture", _expert_mixture.expert_mixture, "E N D, T N E")
