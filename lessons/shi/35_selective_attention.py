# %% [markdown]
# # Is attention selective?

# %% [markdown]
"""Which neighbours does a node attend to, and is attention really selective?

Slides: shi 2.3, 2.5, fig7
Blocks: graph_attention_layer, sparse_matmul, dropout_matmul
Run time: 9 s, --quick 4 s; on Cora, with --data, 45 s
Figures: shi_2.5_karate-club.png, shi_2.3_entropy.png, shi_fig7_hidden-features.png

A club that broke in two, and papers that cite each other: generated ones, or Cora with --data.
"""

# %%
import networkx
import numpy as np
from sklearn.manifold import TSNE

import tinynet as tn
from tinynet import optim, plot
from tinynet.blocks.units.activations import elu
from tinynet.data.citation import citation
from tinynet.data.generated import generated_citation
from tinynet.data.karate import karate_club
from tinynet.lesson import lesson
from tinynet.models.graphs.gat import GAT
from tinynet.train.nodes import fit_nodes, measure
from tinynet.train.rules import Patience

papers, source = (citation("cora", lesson.data), "Cora") if lesson.data else (generated_citation(), "generated papers")
topics = [f"subject {c + 1}" for c in range(papers.classes)]
if lesson.data:
    topics = ["theory", "reinforcement", "genetic", "neural nets", "probabilistic", "case-based", "rule learning"]

# %% [markdown]
# ## The karate club: 34 members, who meets whom, and a quarrel between the instructor (0) and the officer (33)
# A net that is told the side of four members, and stops by six others, names the side of the rest. A member's feature
# is his number, one-hot: the net sees nothing but who meets whom.

# %%
club = karate_club()
friends, members = club.graph.with_self_loops(), np.eye(34, dtype=np.float32)
told, stop_by = np.array([0, 1, 32, 33]), np.array([2, 3, 7, 23, 29, 30])
rest = np.setdiff1d(np.arange(34), np.concatenate([told, stop_by]))
gat = GAT(34, 2, heads=3, width=4, p=0.3, rng=lesson.seed)
adam = optim.Adam(gat.parameters(), lr=0.02, l2=5e-4)
fit_nodes(gat, members, friends, club.factions, told, stop_by, adam, Patience(), 50 if lesson.quick else 300)
found = measure(gat, members, friends, club.factions, rest)["accuracy"]
lesson.number(f"karate club: sides named right, of {len(rest)}", round(found * len(rest)))

# %% [markdown]
# ## shi 2.3: how even is attention?
# $$H_i = -\sum_{j \in N_i} \beta_{ij} \log \beta_{ij} \;\le\; \log d_i$$
# The entropy $H_i$ of a node's attention is at most $\log d_i$ for $d_i$ neighbours, and reaches it where all weigh the
# same: $\beta_{ij} = 1/d_i$. So $H_i / \log d_i$ is 1 for uniform attention, and $\beta_{ij}\, d_i$ is 1, too.

# %%
def hidden_and_weights(net, x, graph):
    """What layer 1 hands on (N, heads width), and beta (E, heads) of both layers."""
    with tn.no_grad():
        hidden = elu(net.first(x, graph)).data
    return hidden, [net.first.weights(x, graph), net.last.weights(hidden, graph)]


def entropies(beta, graph):
    """H (N, heads) in nats; every node has a neighbour here, itself."""
    return np.add.reduceat(-beta * np.log(beta + 1e-30), graph.indptr[:-1])


def evenness(beta, graph):
    """The mean of H_i / log d_i for each head."""
    d = np.diff(graph.indptr)
    return (entropies(beta, graph)[d > 1] / np.log(d[d > 1, None])).mean(axis=0)


def relative(beta, graph):
    """beta_ij d_i (E, heads)."""
    return beta * np.diff(graph.indptr)[graph.rows, None]


# %%
_, (first, last) = hidden_and_weights(gat, members, friends)
even = evenness(first, friends)
lesson.number("karate club, layer 1: H / log d of each head", even)
lesson.number("karate club, last layer: H / log d", evenness(last, friends))
head = int(even.argmin())
received = np.bincount(friends.indices, relative(first, friends)[:, head]) / np.bincount(friends.indices)
top = received.argsort()[::-1][:3]
lesson.number(f"members that head {head + 1} attends to most", top)
lesson.number("    their weight, 1 = uniform", received[top])

# %% [markdown]
# ## shi 2.5: every head has one order of merit for all nodes
# $\sigma$ grows everywhere, so $\alpha_{ij} = \sigma(s_i + r_j)$ orders the neighbours $j$ by $r_j$, whichever node $i$
# asks (Brody et al. 2022, arXiv:2105.14491, who put the nonlinearity of the layer elsewhere for that reason). No pair
# of neighbours is ranked differently by $\beta$ and by $r$.

# %%
_, r = (score.data for score in gat.first.scores(gat.first.features(members)))
for i in range(34):
    mine = slice(*friends.indptr[i:i + 2])
    for by_beta, by_r in zip(first[mine].T, r[friends.indices[mine]].T, strict=True):           # head by head
        assert (np.subtract.outer(by_beta, by_beta) * np.subtract.outer(by_r, by_r) >= 0).all()

# %% [markdown]
# Places for the members: distances on paper like the steps between them (Kamada and Kawai 1989), then those who stand
# on one another are pushed apart.

# %%
spots = networkx.kamada_kawai_layout(networkx.Graph(club.graph.edges.tolist()))
place = np.array([spots[i] for i in range(34)])
for _ in range(100):
    apart = place[:, None] - place
    distance = np.linalg.norm(apart, axis=2) + np.eye(34)
    place = place + 0.3 * (apart / distance[..., None] * (0.2 - distance).clip(0)[..., None]).sum(axis=1)

# %%
fig, ax = plot.subplots(height=6.2)
for i, j in club.graph.edges:
    ax.plot(*place[[i, j]].T, color="#bbbbbb", linestyle="-", linewidth=1, zorder=1)
for side, marker in enumerate("os"):
    who = np.flatnonzero(club.factions == side)
    points = ax.scatter(*place[who].T, c=received[who], cmap=plot.MAP + "_r", vmin=0, vmax=2.5, s=620, marker=marker,
                        edgecolors="black", linewidths=1 + 3 * np.isin(who, [0, 33]), zorder=2,
                        label=("instructor's side", "officer's side")[side])
    for k in who:
        ax.text(*place[k], f"{received[k]:.1f}", ha="center", va="center", color="kw"[int(received[k] > 1.2)])
ax.axis("off")
ax.set_title(f"Attention that a member receives (layer 1, head {head + 1}); 1 = uniform\n"
             "bold frames: the instructor and the officer")
fig.colorbar(points, ax=ax, label=r"mean of $\beta_{ij}\,d_i$", shrink=0.7, ticks=[0, 1, 2])
fig.legend(loc="outside lower center", ncols=2, frameon=False, markerscale=0.5)
lesson.save(fig, "shi_2.5_karate-club")

# %% [markdown]
# ## Papers that cite each other: with attention, and without (Const-GAT)
# The paper's recipe, on the same seeds. Const-GAT gives every neighbour the same weight: $\beta_{ij} = 1/d_i$.

# %%
words, cites = papers.features.normalised(), papers.graph.with_self_loops()
quick, full = (200, 100_000) if lesson.data else (20, 80)       # Patience ends Cora's, generated papers need no more
epochs = quick if lesson.quick else full
seeds = lesson.seed + np.arange(2 if lesson.quick else 3 if lesson.data else 8)


def accuracy(net):
    return 100 * measure(net, words, cites, papers.labels, papers.test)["accuracy"]


def trained(attend, seed):
    net = GAT(words.shape[1], papers.classes, attend=attend, rng=seed)
    adam = optim.Adam(net.parameters(), lr=0.005, l2=5e-4)
    fit_nodes(net, words, cites, papers.labels, papers.train, papers.val, adam, Patience(100), epochs)
    return net


gats, constants = ([trained(attend, seed) for seed in seeds] for attend in (True, False))

# %% [markdown]
# ## shi 2.3: entropy of every node's attention against log d
# An honest word about Cora: trained by the paper's recipe, attention is almost uniform there. Its entropy is 99.9 % of
# the maximum in both layers (--data shows it), and a node's favourite neighbour gets about $1.02/d_i$ instead of
# $1/d_i$. The author of GAT says so, too (issue 64 of the published code): where neighbours have mostly the same
# subject, uniform weights are to be expected.

# %%
hidden, betas = hidden_and_weights(gats[0], words, cites)
for which, beta in zip(("layer 1", "last layer"), betas, strict=True):
    lesson.number(f"{source}, {which}: H / log d of each head", evenness(beta, cites).round(4))
    favourite = np.maximum.reduceat(relative(beta, cites), cites.indptr[:-1])[np.diff(cites.indptr) > 1]
    lesson.number("    weight of a node's favourite, 1 = uniform", favourite.mean())
heads = {f"layer 1, head {m + 1}": betas[0][:, m:m + 1] for m in range(8)} | {"last layer": betas[1][:, :1]}
least = min(heads, key=lambda name: evenness(heads[name], cites)[0])

# %%
fig, ax = plot.subplots()
log_d = np.log(np.diff(cites.indptr))
counted, bins = np.histogram(log_d, bins=np.linspace(0, log_d.max() + 0.1, 30))
ax.stairs(counted, bins, fill=True, color="#c4c4c4", label=r"$\log d_i$: uniform attention")
spread = np.histogram(entropies(heads[least], cites), bins)[0]
ax.stairs(spread, bins, color=plot.COLOURS[0], linewidth=2, label="$H_i$")
share = evenness(heads[least], cites)[0]
ax.set(xlabel="entropy (nats)", ylabel="nodes",
       title=f"{source}, {least}, the least even of {len(heads)}: {share:.2%} of the maximum")
plot.legend_below(fig, ax)
lesson.save(fig, "shi_2.3_entropy")

# %% [markdown]
# Does a paper attend to its own subject more than uniform weights would? And what remains if attention is switched off
# after training?

# %%
own = papers.labels[cites.rows] == papers.labels[cites.indices]
of_own, uniform = (100 * weights @ own / cites.nodes for weights in (betas[0].mean(axis=1), cites.means.values))
lesson.number("layer 1: % of the weight on the own subject", of_own, uniform, "uniform")
on, never = (np.array([accuracy(net) for net in nets]) for nets in (gats, constants))
for net in gats:
    net.first.attend = net.last.attend = False
off = np.array([accuracy(net) for net in gats])
for kind, values in {"GAT": on, "GAT, switched off after training": off, "Const-GAT": never}.items():
    paper = "83.0 +- 0.7" if lesson.data and kind == "GAT" else None
    lesson.number(f"{kind}: test accuracy %", f"{values.mean():.1f} +- {values.std(ddof=1):.1f}", paper, "fig9")
gain = on - never
error = gain.std(ddof=1) / len(seeds) ** 0.5
lesson.number("GAT - Const-GAT: mean, standard error", f"{gain.mean():+.1f}, {error:.1f}")
lesson.number("GAT - GAT switched off: mean", f"{(on - off).mean():+.1f}")

# %% [markdown]
# Switching attention off changes next to nothing. So where GAT is better than Const-GAT, the gain comes from training
# with attention, not from selecting neighbours in use.

# %% [markdown]
# ## shi fig7: the hidden features in the plane (t-SNE), and the strongest attention between them
# As in the paper a line's strength is $\beta$ summed over all heads and both directions. While attention is nearly
# uniform that is $1/d_i + 1/d_j$ times the heads: strong lines join papers with few neighbours.

# %%
drawn = 200 if lesson.quick else cites.nodes
flat = TSNE(random_state=lesson.seed).fit_transform(hidden[:drawn])
there_and_back = cites.transposed[2]            # where the edge j <- i stands, for each edge i <- j
strength, uniform = ((b + b[there_and_back]).sum(axis=1) for b in (betas[0], cites.means.values[:, None].repeat(8, 1)))
lines = np.flatnonzero((cites.rows < cites.indices) & (cites.indices < drawn))
lesson.number("correlation of edge strength with uniform attention", np.corrcoef(strength[lines], uniform[lines])[0, 1])
strong = lines[strength[lines].argsort()[-len(lines) // 10:]]
lesson.number("% within a subject, strongest tenth", 100 * own[strong].mean(), 100 * own[lines].mean(), "all")

# %%
fig, ax = plot.subplots(height=6.2)
for i, j in cites.edges[strong]:
    ax.plot(*flat[[i, j]].T, color="#999999", linestyle="-", linewidth=1, zorder=1)
for topic, marker, colour in zip(range(papers.classes), "osD^vP*", (*plot.COLOURS, "#f2d16b"), strict=False):
    who = papers.labels[:drawn] == topic
    ax.scatter(*flat[who].T, s=34, color=colour, marker=marker, edgecolors="black", linewidths=0.5, label=topics[topic])
ax.set(title=f"{source}: hidden features of GAT (dots), strongest tenth of the attention (lines)", xticks=[], yticks=[],
       xlabel="t-SNE, first direction", ylabel="t-SNE, second direction")
fig.legend(loc="outside lower center", ncols=4, frameon=False, markerscale=1.5)
lesson.save(fig, "shi_fig7_hidden-features")
lesson.shown(f"on the karate club a head attends to some members {received[top[0]]:.1f} times as much as uniformly; on "
             f"{source} attention keeps {evenness(betas[0], cites).mean():.2%} of the maximal entropy; GAT - Const-GAT "
             f"{gain.mean():+.1f} points (standard error {error:.1f}), also with attention switched off")

# %% [markdown]
# ## Five questions: predict, then run
#
# ```python
# import numpy as np
#
# from tinynet.blocks.graphs.graph_attention import graph_attention_forward
# from tinynet.data.karate import karate_club
# from tinynet.graph import Graph
#
#
# def entropy(beta):
#     beta = np.asarray(beta)
#     return -(beta[beta > 0] * np.log(beta[beta > 0])).sum()
#
#
# h = np.array([[[0.0]], [[1.0]], [[3.0]]])
# triangle = Graph.from_edges([[i, j] for i in range(3) for j in range(3)], 3)
# ```
#
# **1.** Four neighbours, all of weight 1/4: the entropy beside log 4?
#
# <details><summary>Answer</summary>
#
# 1: as even as can be.
#
# ```python
# entropy([0.25] * 4) / np.log(4)      # -> 1
# ```
#
# </details>
#
# **2.** One of the four has weight 0.97, the others 0.01 each?
#
# <details><summary>Answer</summary>
#
# Still 0.12: entropy falls slowly.
#
# ```python
# entropy([0.97, 0.01, 0.01, 0.01]) / np.log(4)      # -> 0.121
# ```
#
# </details>
#
# **3.** How many of the club's 34 members have more than ten friends?
#
# <details><summary>Answer</summary>
#
# Three. Most members have few to choose from.
#
# ```python
# int((karate_club().graph.degrees > 10).sum())      # -> 3
# ```
#
# </details>
#
# **4.** All scores r grow by 5 (s = 1, r > 0): what changes?
#
# <details><summary>Answer</summary>
#
# Nothing: a softmax sees differences only.
#
# ```python
# y = [graph_attention_forward(h, np.ones((3, 1)), c + np.arange(1.0, 4)[:, None], graph=triangle)[0] for c in (0, 5)]
# np.abs(y[0] - y[1]).max() < 1e-12      # -> True
# ```
#
# </details>
#
# **5.** r is 1 for node 0 and 0 for the others. How much more does node 0 weigh for a node with s = 0, and how much for
# one with s = -7?
#
# <details><summary>Answer</summary>
#
# e times, and only e^0.2 times below the kink of the leaky ReLU. The order is the same.
#
# ```python
# h0, r = np.array([[[1.0]], [[0.0]], [[0.0]]]), np.array([[1.0], [0], [0]])
# b = [graph_attention_forward(h0, np.full((3, 1), s), r, graph=triangle)[0][0, 0, 0] for s in (0.0, -7.0)]
# [2 * beta / (1 - beta) for beta in b]      # -> [2.718, 1.221]
# ```
#
# </details>
