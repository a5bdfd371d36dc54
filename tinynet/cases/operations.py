"""Cases of the elementary ops."""

import numpy as np

from tinynet import ops
from tinynet.cases.registry import case, normal, plain, positive

for _op in (ops.add, ops.subtract, ops.multiply, ops.divide, ops.maximum, ops.minimum):
    for _name, _shapes in dict(same="B N D", right="N D, D", left="D, B N D", outer="N 1, 1 D", inner="N 1 D, B 1 1 D",
                               number=", N D", numbers=",").items():
        _shapes = f"{_shapes}, {_shapes}" if _name == "same" else _shapes
        plain(f"{_op.name}_{_name}", _op, _shapes, positive if _op is ops.divide else normal)


@case(ops.divide)
def divide_signs(rng, N, D):
    return rng.normal(size=(N, D)), positive(rng, D) * rng.choice([-1, 1], D)


@case(ops.where)
def where(rng, N, D):
    return rng.random((N, D)) < 0.5, rng.normal(size=(N, D)), rng.normal(size=(N, D))


@case(ops.where)
def where_rows(rng, B, N, D):
    return rng.random((N, 1)) < 0.5, rng.normal(size=(B, 1, D)), rng.normal(size=D)


@case(ops.where)
def where_mask_is_largest(rng, B, N, D):
    return rng.random((B, N, D)) < 0.5, rng.normal(size=(N, 1)), rng.normal(size=())


for _op in (ops.negative, ops.exp, ops.log, ops.sqrt, ops.absolute):
    _draw = positive if _op in (ops.log, ops.sqrt) else normal
    plain(_op.name, _op, "B N D", _draw)
    plain(f"{_op.name}_number", _op, "", _draw)
for _exponent in (-1.5, -1, 0, 0.5, 1):
    plain(f"power_{_exponent}", ops.power, "N D", positive, exponent=_exponent)
for _exponent in (2, 3):
    plain(f"power_{_exponent}", ops.power, "N D", exponent=_exponent)

for _name, _shapes in dict(matrices="N D, D C", batch="B N D, B D C", shared_right="B N D, D C",
                           shared_left="N D, B D C", broadcast="B 1 N D, H D C", one="1 N D, B D C", vectors="D, D",
                           row="D, D C", column="N D, D", row_batch="D, B D C", column_batch="B N D, D").items():
    plain(f"matmul_{_name}", ops.matmul, _shapes)

for _op, _all in ((ops.sum, ""), (ops.mean, "B N D"), (ops.max, "B N D")):
    for _name, _axis, _over in (("all", None, _all), ("first", 0, "B"), ("last", -1, "D"), ("two", (0, -1), "B D"),
                                ("three", (-2, 0, 2), "B N D"), ("no_axis", (), "")):
        _over = _over if _all else ""
        plain(f"{_op.name}_{_name}", _op, "B N D", never_empty=_over, axis=_axis)
        plain(f"{_op.name}_{_name}_kept", _op, "B N D", never_empty=_over, axis=_axis, keepdims=True)
    plain(f"{_op.name}_number", _op, "")

plain("reshape_flat", ops.reshape, "B N", shape=-1)
plain("reshape_number", ops.reshape, "1 1", shape=())
plain("transpose", ops.transpose, "B N D")
plain("transpose_axes", ops.transpose, "B N D", axes=(2, 0, 1))
plain("transpose_negative_axes", ops.transpose, "B N D", axes=(-1, 0, -2))
plain("transpose_number", ops.transpose, "")


@case(ops.reshape)
def reshape_split(rng, N, H, D):
    return [rng.normal(size=(N, H * D))], dict(shape=(N, H, D))


@case(ops.broadcast_to)
def broadcast_to_new_axis(rng, B, N, D):
    return [rng.normal(size=(N, 1))], dict(shape=(B, N, D))


@case(ops.broadcast_to)
def broadcast_to_from_number(rng, N, D):
    return [rng.normal(size=())], dict(shape=(N, D))


@case(ops.broadcast_to)
def broadcast_to_itself(rng, N, D):
    return [rng.normal(size=(N, D))], dict(shape=(N, D))


for _name, _index in dict(slice=slice(1, None), backwards=slice(None, None, -2), columns=(slice(None), slice(0, 2)),
                          new_axis=(None, ..., slice(None), None), nothing=slice(0, 0), everything=()).items():
    plain(f"getitem_{_name}", ops.getitem, "N D", index=_index)
plain("getitem_row", ops.getitem, "N D", index=-1, never_empty="N")
plain("getitem_entry", ops.getitem, "N D", index=(0, -1), never_empty="N D")
plain("getitem_repeated", ops.getitem, "3", index=np.array([0, 1, 0]))
plain("getitem_list", ops.getitem, "3 D", index=[2, 0, 2])
plain("getitem_pairs", ops.getitem, "3 2 D", index=(np.array([0, 2, 0]), np.array([1, 0, 1])))
plain("getitem_outer", ops.getitem, "3 N 2", index=(np.array([[0], [2]]), slice(None), np.array([1, 1, 0])))


@case(ops.getitem)
def getitem_boolean(rng, N, D):
    return [rng.normal(size=(N, D))], dict(index=rng.random((N, D)) < 0.5)


@case(ops.getitem)
def getitem_boolean_rows(rng, N, D):
    return [rng.normal(size=(N, D))], dict(index=(rng.random(N) < 0.5, slice(None, None, 2)))


plain("concatenate", ops.concatenate, "N D, M D, 1 D", axis=0)
plain("concatenate_last", ops.concatenate, "B N, B M", axis=-1)
plain("concatenate_one", ops.concatenate, "N D", axis=1)
plain("stack", ops.stack, "N D, N D, N D", axis=0)
plain("stack_last", ops.stack, "N D, N D", axis=-1)
plain("stack_numbers", ops.stack, ",", axis=0)


# %% Functions of one array
for _op in (ops.sin, ops.cos, ops.expm1, ops.softplus, ops.sign, ops.floor):
    plain(_op.name, _op, "B N D")
    plain(f"{_op.name}_number", _op, "")
plain("log1p", ops.log1p, "B N D", positive)
plain("clip", ops.clip, "B N D", low=-0.7, high=0.4)
plain("clip_below", ops.clip, "N D", low=0.1)

# %% More reductions
for _op, _never in ((ops.min, "B N D"), (ops.var, "B N D"), (ops.norm, ""), (ops.prod, "")):
    for _name, _axis, _over in (("all", None, _never), ("first", 0, "B"), ("two", (0, -1), "B D")):
        plain(f"{_op.name}_{_name}", _op, "B N D", never_empty=_over if _never else "", axis=_axis)
    plain(f"{_op.name}_last_kept", _op, "B N D", never_empty="D" if _never else "", axis=-1, keepdims=True)
plain("var_sample", ops.var, "N D", never_empty="N D", where="N > 1 or D == 0", axis=0, ddof=1)
plain("std", ops.std, "N D", never_empty="N", where="N > 1", axis=0)
plain("cumsum", ops.cumsum, "B N D", axis=1)
plain("cumsum_last", ops.cumsum, "N D")


@case(ops.norm)
def norm_zero_row(rng, N, D):
    return [rng.normal(size=(N, D)) * (np.arange(N) > 0)[:, None]], dict(axis=-1)


@case(ops.prod)
def prod_zeros(rng, N):
    x = rng.normal(size=(N, 3))
    x[0::2, 1] = 0          # one zero in a row: only its own entry has a slope
    return [x], dict(axis=-1)


# %% More moves
plain("pad", ops.pad, "N D", widths=((1, 0), (2, 3)), value=0.5)
plain("pad_all", ops.pad, "B N D", widths=1)
plain("repeat", ops.repeat, "B N D", count=3, axis=1)
plain("tril", ops.tril, "B N M", k=-1)
plain("triu", ops.triu, "N M", k=1)


@case(ops.take_along_axis, never_empty="N")
def take_along_axis(rng, N, M, D):
    return (rng.normal(size=(N, D)), rng.integers(0, max(N, 1), (M, D))), dict(axis=0)


# %% Einsum
for _name, (_subscripts, _shapes) in dict(
        matmul=("ij,jk->ik", "N D, D C"), batch=("bij,bkj->bik", "B N D, B M D"), trace=("ii->", "N N"),
        diagonal=("nii->ni", "B N N"), summed_alone=("ij,k->i", "N D, C"), implicit=("ij,jk", "N D, D C"),
        dots=("...ij,...jk->...ik", "B N D, D C"), three=("ni,oij,nj->no", "N D, C D E, N E"),
        scalar=(",ij->ij", ", N D"), broadcast=("ij,ij->i", "N 1, N D")).items():
    plain(f"einsum_{_name}", ops.einsum, _shapes, subscripts=_subscripts)
