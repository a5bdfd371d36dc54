"""Cases of the single layers and units."""

import numpy as np

from tinynet.blocks.units import activations as _activations
from tinynet.blocks.units import apl as _apl
from tinynet.blocks.units import dropout as _dropout
from tinynet.blocks.units import layer_norm as _layer_norm
from tinynet.blocks.units import linear as _linear
from tinynet.blocks.units import lp_unit as _lp_unit
from tinynet.blocks.units import maxout as _maxout
from tinynet.blocks.units import residual as _residual
from tinynet.blocks.units import softmax as _softmax
from tinynet.blocks.units import stochastic_maxout as _stochastic_maxout
from tinynet.cases.registry import case, plain


@case(_linear.linear)
def linear(rng, N, D, C):
    return rng.normal(size=(N, D)), rng.normal(size=(C, D)), rng.normal(size=C)


@case(_linear.linear)
def linear_without_bias(rng, B, N, D, C):
    return rng.normal(size=(B, N, D)), rng.normal(size=(C, D))


plain("linear_batch", _linear.linear, "B N D, C D, C")
plain("linear_vector", _linear.linear, "D, C D, C")


plain("apl", _apl.apl, "N D, S D, S D")
plain("apl_vector", _apl.apl, "D, S D, S D")
plain("apl_batch", _apl.apl, "B N D, S D, S D")

plain("residual", _residual.residual, "N D, H D, D H, H")
plain("residual_without_bias", _residual.residual, "B N D, H D, D H")
plain("residual_vector", _residual.residual, "D, H D, D H, H", activation="tanh")
plain("residual_sigmoid", _residual.residual, "N D, H D, D H, H", activation="sigmoid")
plain("residual_tanh", _residual.residual, "N D, H D, D H, H", activation="tanh")
plain("residual_stack", _residual.residual_stack, "N D, L H D, L D H, L H", activation="tanh")
plain("residual_stack_relu", _residual.residual_stack, "N D, L H D, L D H, L H")
plain("residual_stack_without_bias", _residual.residual_stack, "N D, L H D, L D H", activation="sigmoid")


# %% Activation functions, pooling units, dropout
for _op in (_activations.sigmoid, _activations.tanh, _activations.relu, _activations.leaky_relu, _activations.elu,
            _activations.gelu):
    plain(_op.name, _op, "N D")
    plain(f"{_op.name}_number", _op, "")
plain("leaky_relu_slope", _activations.leaky_relu, "B N D", slope=0.2)
plain("leaky_relu_slope_0", _activations.leaky_relu, "N D", slope=0)
plain("elu_alpha", _activations.elu, "B N D", alpha=0.5)

plain("maxout", _maxout.maxout, "N D, C K D, C K", never_empty="K")
plain("maxout_without_bias", _maxout.maxout, "B N D, C K D", never_empty="K")
plain("maxout_vector", _maxout.maxout, "D, C K D, C K", never_empty="K")

plain("lp_unit", _lp_unit.lp_unit, "N C K, C K, C", never_empty="K")
plain("lp_unit_batch", _lp_unit.lp_unit, "B N C K, C K, C", never_empty="K")
plain("lp_unit_vector", _lp_unit.lp_unit, "C K, C K, C", never_empty="K")


@case(_dropout.dropout)
def dropout(rng, N, D):
    return [rng.normal(size=(N, D)), rng.random((N, D)) < 0.7], dict(p=0.3)


@case(_dropout.dropout)
def dropout_rows(rng, B, N, D):
    return [rng.normal(size=(B, N, D)), rng.random((N, 1)) < 0.5], dict(p=0.5)


@case(_dropout.dropout)
def dropout_none(rng, N, D):
    return [rng.normal(size=(N, D)), np.ones((N, D), bool)], dict(p=0)


# %% Softmax and layer norm
plain("softmax", _softmax.softmax, "N C", never_empty="C")
plain("softmax_batch", _softmax.softmax, "B N C", never_empty="C")
plain("softmax_first_axis", _softmax.softmax, "C N D", never_empty="C", axis=0)
plain("log_sum_exp", _softmax.log_sum_exp, "N C", never_empty="C")
plain("log_sum_exp_vector", _softmax.log_sum_exp, "C", never_empty="C")
plain("log_sum_exp_middle_axis", _softmax.log_sum_exp, "N C D", never_empty="C", axis=1)


@case(_layer_norm.layer_norm, never_empty="D")
def layer_norm(rng, N, D):
    x = np.arange(D) + 0.3 * rng.normal(size=(N, D))        # not all nearly equal: there the slope is steep
    return x, rng.normal(size=D), rng.normal(size=D)


plain("layer_norm_batch", _layer_norm.layer_norm, "B N D, D, D", never_empty="D", eps=0.1)
plain("layer_norm_vector", _layer_norm.layer_norm, "D, D, D", never_empty="D", eps=0.1)


plain("stochastic_maxout_evaluation", _stochastic_maxout.stochastic_maxout, "N C K", never_empty="K")


@case(_stochastic_maxout.stochastic_maxout, never_empty="K")
def stochastic_maxout(rng, N, C, K):
    return [rng.normal(size=(N, C, K))], dict(u=rng.random((N, C)), lam=0.7)


@case(_stochastic_maxout.stochastic_maxout, never_empty="K")
def stochastic_maxout_vector(rng, C, K):
    return [rng.normal(size=(C, K))], dict(u=rng.random(C))
