# %% [markdown]
# # Graph attention, followed by hand

# %% [markdown]
"""How does a node of a graph weigh its neighbours?

Slides: shi 2.1-2.7, fig6, erratum 3
Blocks: graph_attention, graph_attention_layer, activations
Run time: 2 s, --quick 2 s
Figures: shi_fig6_one-node.png

The deck's formulas on a graph of four nodes that can be followed by hand. The deck's alpha and beta are the paper's e
and alpha.
"""

# %%
import numpy as np

import tinynet as tn
from tinynet import diagrams, plot
from tinynet.blocks.graphs.graph_attention import graph_attention
from tinynet.blocks.graphs.graph_attention_layer import GraphAttention
from tinynet.blocks.units.activations import elu
from tinynet.graph import Graph
from tinynet.lesson import lesson


def compare(label, ours, by_hand):
    """Print the row of node 0, ours beside what was worked out by hand, and compare all rows."""
    lesson.number(label, np.asarray(ours)[0], np.array(by_hand, float)[0], "by hand")
    np.testing.assert_allclose(ours, by_hand, rtol=0, atol=1e-12)


# %% [markdown]
# ## Four nodes in a row
# 1 - 0 - 2 - 3. Each node is a neighbour of itself, too. $x_i$ is the deck's $h_i$: N = 4 nodes, F = 2 features.

# %%
four = Graph.from_edges([(0, 1), (0, 2), (2, 3)], nodes=4).undirected().with_self_loops()
x = np.array([[1.0, -1], [2, -1], [0, 1], [0, -5]])
lesson.number("neighbours of node 0", four.neighbours(0))
assert four.neighbours(0).tolist() == [0, 1, 2]

# %% [markdown]
# ## shi 2.1
# $$h'_i = W h_i$$

# %%
W = np.array([[1.0, 0], [1, 1]])
h = np.array([W @ x_i for x_i in x])
compare("h' of node 0", h, [[1, 0], [2, 1], [0, 1], [0, -5]])

# %% [markdown]
# ## shi 2.2
# $$\alpha_{ij} = a(h'_i, h'_j)$$
# The function $a$ of two vectors may be any. Here it is their dot product, times $\ln 2$: then $\exp$ makes powers of
# two of whole numbers.

# %%
def coefficients(a, h):
    return np.array([[a(h_i, h_j) for h_j in h] for h_i in h])


unit = np.log(2)
dots = coefficients(lambda u, v: unit * (u @ v), h)
compare("alpha / ln 2 of node 0", dots / unit, [[1, 2, 0, 0], [2, 5, 1, -5], [0, 1, 1, -5], [0, -5, -5, 25]])

# %% [markdown]
# ## shi 2.3
# $$\beta_{ij} = \frac{\exp \alpha_{ij}}{\sum_{k \in N_i} \exp \alpha_{ik}}$$
# The sum goes over the neighbours of $i$ and over no other nodes.

# %%
def normalised(alpha):
    weight = np.exp(alpha) * four.spread(np.ones(len(four.indices)))
    return weight / weight.sum(axis=1, keepdims=True)


compare("beta of node 0: 2/7 4/7 1/7 0", normalised(dots)[:1], [[2/7, 4/7, 1/7, 0]])

# %% [markdown]
# ## shi 2.4: a is one layer
# $$\alpha_{ij} = \sigma\big(a^T [h'_i \,\|\, h'_j]\big)$$
# $\sigma$ is leaky ReLU with slope 0.2. The product falls into a score of $i$ plus a score of $j$: for N nodes the
# block computes 2 N products, not N N. Here $a$ reads the first feature of $h'_i$ and the second of $h'_j$.

# %%
a = unit * np.array([1, 0, 0, 1])


def one_layer(u, v):
    z = a @ np.concatenate([u, v])
    return z if z > 0 else 0.2 * z


alpha = coefficients(one_layer, h)
beta = normalised(alpha)
compare("alpha / ln 2 of node 0", alpha / unit, [[1, 2, 2, -0.8], [2, 3, 3, -0.6], [0, 1, 1, -1], [0, 1, 1, -1]])
compare("beta of node 0: 1/5 2/5 2/5 0", beta,
        [[1/5, 2/5, 2/5, 0], [1/3, 2/3, 0, 0], [2/7, 0, 4/7, 1/7], [0, 0, 4/5, 1/5]])

# %% [markdown]
# ## shi 2.5: the neighbours are mixed
# $$h''_i = g\Big(\sum_{j \in N_i} \beta_{ij}\, h'_j\Big)$$
# $g$ is ELU. The block gets the two scores $s_i$ and $r_j$ and returns the sum, before $g$.

# %%
by_hand = np.array([[1, 4/5], [5/3, 2/3], [2/7, -1/7], [0, -1/5]])
compare("sum of node 0", beta @ h, by_hand)
s, r = unit * h[:, :1], unit * h[:, 1:]
mixed, (*_, weights, _, _, _) = graph_attention.forward(h[:, None], s, r, graph=four)
compare("sum of node 0, by the block", mixed[:, 0], by_hand)
compare("beta of node 0, by the block", four.spread(weights[:, 0]), beta)
compare("h'' of node 0", elu(mixed[:, 0]).data, np.where(by_hand > 0, by_hand, np.expm1(by_hand)))

# %% [markdown]
# ## shi 2.6: M heads, each with a W and an a of its own, one after the other
# $$h''_i = \big\Vert_{m=1}^{M}\; g\Big(\sum_{j \in N_i} \beta^m_{ij}\, W^m h_j\Big)$$
# Head 2 swaps the features and reads the second of $h'_j$ alone: $\alpha_{ij} / \ln 2 = 1, 2, 0, 0$ for j = 0, 1, 2, 3.

# %%
layer = GraphAttention(2, 2, heads=2, dtype=float)
layer.W.data[:] = np.stack([W, [[0, 1], [1, 0]]]).transpose(2, 0, 1)            # (F, M, F'): x W, not W x
layer.a.data[0] = unit * np.array([[1, 0], [0, 0]])
layer.a.data[1] = unit * np.array([[0, 1], [0, 1]])
second = np.array([[-5/7, 10/7], [-1, 5/3], [-3/2, 1/2], [-2, 0]])
compare("two heads of node 0, before g", layer(x, four).data, np.concatenate([by_hand, second], axis=1))

# %% [markdown]
# ## shi 2.7: the last layer takes the mean of the heads
# $$h''_i = g\Big(\frac{1}{M} \sum_{m=1}^{M} \sum_{j \in N_i} \beta^m_{ij}\, W^m h_j\Big)$$

# %%
layer.average = True
compare("mean of the heads of node 0, before g", layer(x, four).data,
        [[1/7, 39/35], [1/3, 7/6], [-17/28, 5/28], [-1, -1/10]])

# %% [markdown]
# ## shi 2.7, erratum 3: the number is used twice
# $$h'^{\,m}_i = W^m h_i$$
# This is 2.1 for each head.

# %%
compare("h' of node 0, head 2", layer.features(x).data[:, 1], [[-1, 1], [-1, 2], [1, 0], [-5, 0]])

# %% [markdown]
# ## shi fig6: single and multi-head attention, seen from node 0
# The two heads above. An arrow goes from a neighbour $j$ to the node $i = 0$, which is its own neighbour, too.

# %%
def draw_heads(ax, heads, title):
    """heads: [beta of node 0] of one or two heads."""
    diagrams.blank(ax, 6.4, 4.4)
    result = diagrams.box(ax, 5.8, 2.2, "$h''_0$", 1)
    places = (2.2,) if len(heads) == 1 else (3.3, 1.1)
    sums = [diagrams.box(ax, 4, y, f"head {m + 1}", 1.5) for m, y in enumerate(places)]
    for j, y in ((1, 3.9), (0, 2.2), (2, 0.5)):
        source = diagrams.box(ax, 0.6, y, f"$h'_{j}$", 0.9)
        for m, target in enumerate(sums):
            diagrams.arrow(ax, source, target, f"{heads[m][j]:.2f}", at=0.5 if len(heads) == 1 else 0.3,
                           color=plot.COLOURS[m], linestyle="-", linewidth=0.8 + 7 * heads[m][j])
    for target in sums:
        diagrams.arrow(ax, target, result)
    ax.set_title(title)


# %%
heads = [beta[0], four.spread(layer.weights(x, four)[:, 1])[0]]
np.testing.assert_allclose(heads[1], [2/7, 4/7, 1/7, 0])
fig, (left, right) = plot.subplots(1, 2, height=3.6)
draw_heads(left, heads[:1], r"One head: width and number are $\beta_{0j}$")
draw_heads(right, heads, "Two heads, then concatenated")
lesson.save(fig, "shi_fig6_one-node")

# %% [markdown]
# ## shi 2.5: three ways to be sure of the gradient
# The checker tries the NumPy pair, the compiled pair, both crossed, the op on the tape, and the layer with all its
# parameters.

# %%
rng = np.random.default_rng(lesson.seed)
arrays = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2)), rng.normal(size=(4, 2))
plain, fast = (graph_attention.forward, graph_attention.backward), graph_attention.fast
reports = [tn.gradcheck(forward, backward, *arrays, graph=four)
           for forward in (plain[0], fast[0]) for backward in (plain[1], fast[1])]
reports.append(tn.gradcheck(lambda h, s, r: graph_attention(h, s, r, graph=four), *arrays))
reports.append(tn.gradcheck(layer, rng.normal(size=(4, 2)), graph=four))
for report in reports:
    report.raise_if_wrong()
lesson.number("ways that the checker finds right", len(reports))

# %% [markdown]
# A backward that takes $\beta$ for a constant is rejected: the scores would get no gradient.

# %%
def beta_held_constant(dy, cache):
    dh, ds, dr, _ = graph_attention.backward(dy, cache)
    return dh, 0 * ds, 0 * dr, None


report = tn.gradcheck(graph_attention.forward, beta_held_constant, *arrays, graph=four)
print(report)
assert not report.ok

# %%
lesson.shown("the block computes what was worked out by hand for 2.1 to 2.7, and its gradients are right")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.graphs.graph_attention import graph_attention_backward, graph_attention_forward
# from tinynet.graph import Graph
#
# g, h = Graph.from_edges([[0, 1], [0, 2]], 3), np.array([[[1.0]], [[2.0]], [[4.0]]])     # node 0 listens to 1 and 2
# ```
#
# **1.** All scores are 0: y?
#
# <details><summary>Answer</summary>
#
# The mean of the neighbours. Who has none gets 0.
#
# ```python
# graph_attention_forward(h, np.zeros((3, 1)), np.zeros((3, 1)), graph=g)[0].ravel()      # -> [3, 0, 0]
# ```
#
# </details>
#
# **2.** All scores are equal, but not 0: y?
#
# <details><summary>Answer</summary>
#
# The same.
#
# ```python
# graph_attention_forward(h, np.full((3, 1), 7.0), np.ones((3, 1)), graph=g)[0].ravel()      # -> [3, 0, 0]
# ```
#
# </details>
#
# **3.** r = 0, 1, 2. Does the node's own score matter: s = 0, 7, -7?
#
# <details><summary>Answer</summary>
#
# Only by the kink of the leaky ReLU.
#
# ```python
# r = np.arange(3.0)[:, None]
# [graph_attention_forward(h, np.full((3, 1), s), r, graph=g)[0][0, 0, 0] for s in (0.0, 7.0, -7.0)]
# # -> [3.462, 3.462, 3.1]
# ```
#
# </details>
#
# **4.** One neighbour only: ds?
#
# <details><summary>Answer</summary>
#
# 0, because its weight is 1 whatever the score.
#
# ```python
# pair = Graph.from_edges([[0, 1]], 2)
# cache = graph_attention_forward(h[:2], np.zeros((2, 1)), np.array([[0.0], [1]]), graph=pair)[1]
# graph_attention_backward(np.ones((2, 1, 1)), cache)[1].ravel()      # -> [0, 0]
# ```
#
# </details>
#
# **5.** Everybody listens to everybody, and all scores are positive: how do the outputs differ?
#
# <details><summary>Answer</summary>
#
# Not at all: all rank the neighbours alike.
#
# ```python
# everybody = Graph.from_edges([[i, j] for i in range(3) for j in range(3)], 3)
# y = graph_attention_forward(h, np.full((3, 1), 0.5), np.arange(1.0, 4)[:, None], graph=everybody)[0]
# np.ptp(y)      # -> 0
# ```
#
# </details>
