"""Wrong backwards of attention over a graph, of sparse input and of input dropped for each head."""

import numpy as np

from tinynet.blocks.graphs.dropout_matmul import dropout_matmul_backward
from tinynet.blocks.graphs.graph_attention import graph_attention_backward
from tinynet.blocks.graphs.half_scores import half_scores_backward
from tinynet.blocks.graphs.sparse_matmul import sparse_matmul_backward

from ..registry import mutant


@mutant("graph_attention", "swapped")
def score_halves_exchanged(dy, cache):
    dh, ds, dr, _ = graph_attention_backward(dy, cache)
    return dh, dr, ds, None


@mutant("graph_attention", "sign")
def left_score_negative(dy, cache):
    dh, ds, dr, _ = graph_attention_backward(dy, cache)
    return dh, -ds, dr, None


@mutant("graph_attention", "zero")
def right_score_forgotten(dy, cache):
    dh, ds, dr, _ = graph_attention_backward(dy, cache)
    return dh, ds, np.zeros_like(dr), None


@mutant("graph_attention", "factor")
def mean_over_the_nodes(dy, cache):
    dh, ds, dr, _ = graph_attention_backward(dy, cache)
    return dh / len(dh), ds, dr, None


@mutant("graph_attention", "upstream ignored")
def upstream_of_ones(dy, cache):
    return graph_attention_backward(np.ones_like(dy), cache)


@mutant("graph_attention", "transposed")
def along_the_edges_again(dy, cache):
    h, _, _, _, beta, graph, *_ = cache
    dh = np.zeros_like(h)
    np.add.at(dh, graph.rows, beta[:, :, None] * dy[graph.indices])
    return dh, *graph_attention_backward(dy, cache)[1:]


@mutant("graph_attention_dropout", "factor")
def kept_but_not_scaled_up(dy, cache):
    dh, ds, dr, _ = graph_attention_backward(dy, cache)
    return dh * (1 - cache[-1]), ds, dr, None


@mutant("half_scores", "sign")
def nodes_pulled_the_wrong_way(dy, cache):
    dh, da, db = half_scores_backward(dy, cache)
    return -dh, da, db


@mutant("half_scores", "not summed")
def score_bias_of_the_first_node(dy, cache):
    dh, da, _ = half_scores_backward(dy, cache)
    return dh, da, dy[:, 0]


@mutant("half_scores", "factor")
def attention_vector_averaged(dy, cache):
    dh, da, db = half_scores_backward(dy, cache)
    return dh, da / len(dh), db


@mutant("sparse_matmul", "sign")
def sparse_negative(dy, cache):
    return -sparse_matmul_backward(dy, cache)[0], None


@mutant("sparse_matmul", "upstream ignored")
def sparse_upstream_of_ones(dy, cache):
    return sparse_matmul_backward(np.ones_like(dy), cache)


@mutant("sparse_matmul_dropout", "factor")
def sparse_not_scaled_up(dy, cache):
    return sparse_matmul_backward(dy, cache)[0] * 0.6, None         # the case's 1 - p


@mutant("dropout_matmul", "sign")
def weights_of_the_heads_negative(dy, cache):
    dx, dW, _ = dropout_matmul_backward(dy, cache)
    return dx, -dW, None


@mutant("dropout_matmul", "mask")
def input_dropped_forward_only(dy, cache):
    return np.einsum("nmf,dmf->nd", dy, cache[1]), *dropout_matmul_backward(dy, cache)[1:]


@mutant("dropout_matmul", "factor")
def kept_entries_not_scaled_up(dy, cache):
    dx, dW, _ = dropout_matmul_backward(dy, cache)
    return dx * (1 - cache[-1]), dW, None
