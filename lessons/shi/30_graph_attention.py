"""Whom does a node of a graph listen to, and how much does it choose?

Slides: shi 2.1-2.7, fig6, fig7, erratum 3
Blocks: graph_attention, sparse_matmul, dropout_matmul, activations
Run time: 6 s, --quick 4 s (two cores; most of it is drawing); on Cora, with --data, 35 s
Figures: shi_fig6_one-node.png, shi_2.5_karate-club.png, shi_2.3_entropy.png, shi_fig7_hidden-features.png

The deck's formulas on a graph of four nodes that can be followed by hand (its alpha and beta are the paper's e and
alpha), then a club that broke in two, and papers that cite each other: generated ones, or Cora with --data.
"""

# %%
import networkx
import numpy as np
from sklearn.manifold import TSNE

import tinynet as tn
from tinynet import optim, plot
from tinynet.blocks.graphs.graph_attention import graph_attention
from tinynet.blocks.graphs.graph_attention_layer import GraphAttention
from tinynet.blocks.units.activations import elu
from tinynet.check import gradcheck
from tinynet.data.citation import citation
from tinynet.data.generated import generated_citation
from tinynet.data.karate import karate_club
from tinynet.graph import Graph
from tinynet.lesson import lesson
from tinynet.models.graphs.gat import GAT
from tinynet.train.nodes import fit_nodes, measure
from tinynet.train.rules import Patience


def compare(label, ours, by_hand):
    gap = abs(np.asarray(ours) - np.array(by_hand, float)).max()
    lesson.number(f"{label}: largest difference", gap, 0, "by hand")
    assert gap < 1e-12, label


# %% Four nodes in a row, 1 - 0 - 2 - 3, each of which listens to itself too
four = Graph.from_edges([(0, 1), (0, 2), (2, 3)], nodes=4).undirected().with_self_loops()
x = np.array([[1.0, -1], [2, -1], [0, 1], [0, -5]])         # the deck's h: N = 4 nodes, F = 2 features
lesson.number("the neighbourhood of node 0", four.neighbours(0), [0, 1, 2], "by hand")

# %% shi 2.1: h'_i = W h_i
W = np.array([[1.0, 0], [1, 1]])
h = np.array([W @ x_i for x_i in x])
compare("2.1, h'", h, [[1, 0], [2, 1], [0, 1], [0, -5]])


# %% shi 2.2: alpha_ij = a(h'_i, h'_j), for any function a of two vectors - here their dot product, times ln 2
def coefficients(a, h):
    return np.array([[a(h_i, h_j) for h_j in h] for h_i in h])


unit = np.log(2)                # scores in units of ln 2, so that exp makes powers of two of whole numbers
dots = coefficients(lambda u, v: unit * (u @ v), h)
compare("2.2, alpha / ln 2", dots / unit, [[1, 2, 0, 0], [2, 5, 1, -5], [0, 1, 1, -5], [0, -5, -5, 25]])


# %% shi 2.3: beta_ij = exp alpha_ij / sum_k exp alpha_ik, over the neighbours k of i and no others
def normalised(alpha):
    weight = np.exp(alpha) * four.spread(np.ones(len(four.indices)))
    return weight / weight.sum(axis=1, keepdims=True)


compare("2.3, beta of node 0", normalised(dots)[0], [2/7, 4/7, 1/7, 0])


# %% shi 2.4: a is one layer, alpha_ij = sigma(a . [h'_i || h'_j]); sigma is leaky ReLU with slope 0.2
# The product falls into a score of i plus a score of j, which is how the block computes it: for N nodes
# 2 N products, not N N.  Here the first half of a reads h'_i's first feature and the second h'_j's second.
a = unit * np.array([1, 0, 0, 1])


def one_layer(u, v):
    z = a @ np.concatenate([u, v])
    return z if z > 0 else 0.2 * z


alpha = coefficients(one_layer, h)
beta = normalised(alpha)
compare("2.4, alpha / ln 2", alpha / unit, [[1, 2, 2, -0.8], [2, 3, 3, -0.6], [0, 1, 1, -1], [0, 1, 1, -1]])
compare("2.3, beta", beta, [[1/5, 2/5, 2/5, 0], [1/3, 2/3, 0, 0], [2/7, 0, 4/7, 1/7], [0, 0, 4/5, 1/5]])
s, r = unit * h[:, :1], unit * h[:, 1:]
mixed, (*_, weights, _, _, _) = graph_attention.forward(h[:, None], s, r, graph=four)
compare("the block's beta", four.spread(weights[:, 0]), beta)

# %% shi 2.5: h''_i = g(sum_j beta_ij h'_j), g is ELU
by_hand = np.array([[1, 4/5], [5/3, 2/3], [2/7, -1/7], [0, -1/5]])
compare("2.5, before g", beta @ h, by_hand)
compare("the block", mixed[:, 0], by_hand)
compare("2.5, h''", elu(mixed[:, 0]).data,
        [[1, 4/5], [5/3, 2/3], [2/7, np.exp(-1/7) - 1], [0, np.exp(-1/5) - 1]])

# %% shi 2.6: M heads, each with a W and an a of its own, one after the other
# Head 2 swaps the features and reads h'_j's second alone: alpha_ij / ln 2 = 1, 2, 0, 0 for j = 0, 1, 2, 3.
layer = GraphAttention(2, 2, heads=2, dtype=float)
layer.W.data[:] = np.stack([W, [[0, 1], [1, 0]]]).transpose(2, 0, 1)            # (F, M, F'): x W, not W x
layer.a.data[0] = unit * np.array([[1, 0], [0, 0]])
layer.a.data[1] = unit * np.array([[0, 1], [0, 1]])
second = np.array([[-5/7, 10/7], [-1, 5/3], [-3/2, 1/2], [-2, 0]])
compare("2.6, before g", layer(x, four).data, np.concatenate([by_hand, second], axis=1))
lesson.number("2.6: numbers a node, two heads of two", layer(x, four).shape[1], 4, "by hand")

# %% shi 2.7: the last layer takes the mean of the heads, and g comes after it
layer.average = True
compare("2.7, before g", layer(x, four).data, [[1/7, 39/35], [1/3, 7/6], [-17/28, 5/28], [-1, -1/10]])

# %% shi 2.7 once more (erratum 3): the same number stands at h^m'_i = W^m h_i, which is 2.1 for each head
compare("2.7 again, h' of head 2", layer.features(x).data[:, 1], [[-1, 1], [-1, 2], [1, 0], [-5, 0]])

# %% Three ways to be sure of the gradient: the NumPy pair, the compiled pair and both crossed, the op on the tape
rng = np.random.default_rng(lesson.seed)
arrays = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2)), rng.normal(size=(4, 2))
numpy_pair, compiled = (graph_attention.forward, graph_attention.backward), graph_attention.fast
ways = {"the NumPy pair": numpy_pair, "the compiled pair": compiled,
        "NumPy forward, compiled backward": (numpy_pair[0], compiled[1]),
        "compiled forward, NumPy backward": (compiled[0], numpy_pair[1])}
reports = {name: gradcheck(*pair, *arrays, graph=four) for name, pair in ways.items()}
reports["the op on the tape"] = gradcheck(lambda h, s, r: graph_attention(h, s, r, graph=four), *arrays)
reports["the layer with all its parameters"] = gradcheck(layer, rng.normal(size=(4, 2)), graph=four)
for name, report in reports.items():
    lesson.number(f"gradcheck, {name}: right", report.ok, True, "expected")
    report.raise_if_wrong()


# %% And a check that would notice: a backward that takes beta for a constant
def beta_held_constant(dy, cache):
    dh, ds, dr, _ = graph_attention.backward(dy, cache)
    return dh, 0 * ds, 0 * dr, None


report = gradcheck(graph_attention.forward, beta_held_constant, *arrays, graph=four)
print(report)
lesson.number("with beta held constant it passes the check", report.ok, False, "expected")
assert not report.ok

# %% The karate club: 34 members, who meets whom, and a quarrel between the instructor (0) and the officer (33)
# A net that is told the side of four members, and stops by six others, names the side of the rest.  A member's
# feature is his number, one-hot: the net sees nothing but who meets whom.
club = karate_club()
friends, members = club.graph.with_self_loops(), np.eye(34, dtype=np.float32)
told, stop_by = np.array([0, 1, 32, 33]), np.array([2, 3, 7, 23, 29, 30])
rest = np.setdiff1d(np.arange(34), np.concatenate([told, stop_by]))
gat = GAT(34, 2, heads=3, width=4, p=0.3, rng=lesson.seed)
adam = optim.Adam(gat.parameters(), lr=0.02, l2=5e-4)
fit_nodes(gat, members, friends, club.factions, told, stop_by, adam, Patience(), 100 if lesson.quick else 300)
found = measure(gat, members, friends, club.factions, rest)["accuracy"]
lesson.number(f"karate club: sides named right, of {len(rest)}", round(found * len(rest)))


# %% How even is attention?  Entropy H_i = -sum_j beta_ij log beta_ij, at most log d_i for d_i neighbours
def hidden_and_weights(net, x, graph):
    """What layer 1 hands on (N, heads width), and beta (E, heads) of both layers."""
    with tn.no_grad():
        hidden = elu(net.first(x, graph)).data
    return hidden, [net.first.weights(x, graph), net.last.weights(hidden, graph)]


def entropies(beta, graph):
    """(N, heads) in nats; every node has a neighbour here, itself."""
    return np.add.reduceat(-beta * np.log(beta + 1e-30), graph.indptr[:-1])


def evenness(beta, graph):
    """The mean of H_i / log d_i for each head: 1 where all neighbours weigh the same."""
    d = np.diff(graph.indptr)
    return (entropies(beta, graph)[d > 1] / np.log(d[d > 1, None])).mean(axis=0)


def shares(beta, graph):
    """beta in even shares: 1 is what a neighbour gets from a node that weighs all alike."""
    return beta * np.diff(graph.indptr)[graph.rows, None]


# %%
_, (first, last) = hidden_and_weights(gat, members, friends)
for which, weights in (("layer 1", first), ("last layer", last)):
    lesson.number(f"karate club, {which}: mean of H / log d, each head", evenness(weights, friends), 1, "even")
sharpest = int(evenness(first, friends).argmin())
every = np.concatenate([first, last], axis=1)
names = ["layer 1, head 1", "layer 1, head 2", "layer 1, head 3", "last layer"]
received = np.stack([np.bincount(friends.indices, share) / np.bincount(friends.indices)
                     for share in shares(every, friends).T])
for name, got in zip(names, received, strict=True):
    top = got.argsort()[::-1][:3]
    lesson.number(f"{name} looks most at members", top)
    lesson.number("    in even shares", got[top], 1, "even")

# %% Every head has one order of merit for all nodes
# sigma grows everywhere, so alpha_ij = sigma(s_i + r_j) orders the neighbours j by r_j, whichever node i asks.
# (Brody et al. 2022, arXiv:2105.14491, who put the layer's nonlinearity elsewhere for that reason.)
_, r = (score.data for score in gat.first.scores(gat.first.features(members)))
disagree = 0
for i in range(34):
    mine = slice(*friends.indptr[i:i + 2])
    for by_beta, by_r in zip(first[mine].T, r[friends.indices[mine]].T, strict=True):           # head by head
        disagree += int((np.subtract.outer(by_beta, by_beta) * np.subtract.outer(by_r, by_r) < 0).sum())
lesson.number("pairs of neighbours that a node ranks otherwise", disagree, 0, "expected")
assert disagree == 0


# %% shi fig6: single and multi-head attention, seen from member 8, whose friends are on both sides
def lines_to(ax, node, heads, bends):
    ring = friends.neighbours(node)
    turn = np.pi / 2 - 2 * np.pi * np.arange(len(ring)) / len(ring)
    for m, bend in zip(heads, bends, strict=True):
        for weight, angle in zip(first[friends.indptr[node]:friends.indptr[node + 1], m], turn, strict=True):
            place = np.cos(angle), np.sin(angle)
            look = dict(arrowstyle="-", color=plot.COLOURS[m], linestyle=plot.DASHES[m] if len(heads) > 1 else "-")
            ax.annotate("", (0, 0), place, arrowprops=look | dict(
                linewidth=0.8 + 14 * weight, connectionstyle=f"arc3,rad={bend}", capstyle="butt", shrinkA=0, shrinkB=0))
            if len(heads) == 1:
                ax.text(0.58 * place[0], 0.58 * place[1], f"{weight:.2f}", ha="center", va="center",
                        bbox=dict(boxstyle="round,pad=0.15", facecolor="white", edgecolor="none"))
    for j, angle in zip(ring, turn, strict=True):
        circle(ax, (np.cos(angle), np.sin(angle)), f"{j}" if j != node else f"{j}\nitself", club.factions[j])
    circle(ax, (0, 0), f"$h''_{{{node}}}$", club.factions[node])


def circle(ax, place, text, side):
    ax.plot(*place, "os"[side], markersize=38, color=("white", "#d9d9d9")[side], markeredgecolor="black", zorder=3)
    ax.text(*place, text, ha="center", va="center", zorder=4)


# %%
fig, (left, right) = plot.subplots(1, 2, figsize=(12, 6))
lines_to(left, 8, [sharpest], [0])
lines_to(right, 8, [0, 1, 2], [-0.3, 0, 0.3])
for m in range(3):
    right.plot([], [], color=plot.COLOURS[m], linestyle=plot.DASHES[m], linewidth=4, label=f"head {m + 1}")
right.legend(loc="lower right")
left.set_title(f"One head ({sharpest + 1}): width and number are $\\beta_{{8j}}$; even would be 1/6", y=0.96)
right.set_title("Three heads, then concatenated (2.6) or averaged (2.7)", y=0.96)
for ax in (left, right):
    ax.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal")
    ax.axis("off")
lesson.save(fig, "shi_fig6_one-node")


# %% Places for the members: distances on paper like the steps between them (Kamada and Kawai 1989)
spots = networkx.kamada_kawai_layout(networkx.Graph(club.graph.edges.tolist()))
place = np.array([spots[i] for i in range(34)])


# %% What each head looks at: the half of a line at i's end is as wide as beta_ij
# Colours tell even shares: of the halves what i gives to j, of the members what they get on average.
def draw(ax, weights, got):
    from matplotlib.collections import LineCollection
    others = friends.rows != friends.indices
    i, j = friends.edges[others].T
    halves = np.stack([place[i], (place[i] + place[j]) / 2], axis=1)
    colours = dict(cmap=plot.MAP + "_r", clim=(0, 2))
    ax.add_collection(LineCollection(halves, linewidths=0.8 + 7 * weights[others], capstyle="butt",
                                     array=shares(weights[:, None], friends)[others, 0], **colours))
    for side, marker in enumerate("os"):
        who = np.flatnonzero(club.factions == side)
        look = dict(s=290, marker=marker, edgecolors="black", zorder=3)
        points = ax.scatter(*place[who].T, c=got[who], cmap=colours["cmap"], vmin=0, vmax=2, **look)
        for k in who:
            ax.text(*place[k], k, ha="center", va="center", zorder=4, fontsize=11, color="kw"[int(got[k] > 1.1)])
    ax.axis("off")
    return points


# %%
fig, axes = plot.subplots(2, 2, figsize=(14, 9.6))
for ax, name, weights, got in zip(axes.ravel(), names, every.T, received, strict=True):
    fig.colorbar(draw(ax, weights, got), ax=ax, label="even shares", shrink=0.8, extend="max", ticks=range(3))
    ax.set_title(f"{name}: mean $H/\\log d$ = {evenness(weights[:, None], friends)[0]:.2f}")
fig.suptitle("A line's half at $i$: width $\\beta_{ij}$, colour its even shares.  A member: what he gets on average.  "
             "Circles and squares: the two factions")
lesson.save(fig, "shi_2.5_karate-club")

# %% Papers that cite each other: the paper's recipe, with attention and without (Const-GAT), on the same seeds
papers, source = (citation("cora", lesson.data), "Cora") if lesson.data else (generated_citation(), "made-up papers")
words, cites = papers.features.normalised(), papers.graph.with_self_loops()
quick, full = (200, 100_000) if lesson.data else (40, 80)       # Patience ends Cora's, the made-up papers need no more
epochs = quick if lesson.quick else full
seeds = lesson.seed + np.arange(2 if lesson.quick else 3)


def accuracy(net):
    return 100 * measure(net, words, cites, papers.labels, papers.test)["accuracy"]


def trained(attend, seed):
    net = GAT(words.shape[1], papers.classes, attend=attend, rng=seed)
    adam = optim.Adam(net.parameters(), lr=0.005, l2=5e-4)
    fit_nodes(net, words, cites, papers.labels, papers.train, papers.val, adam, Patience(100), epochs)
    return net


nets = {kind: [trained(kind == "GAT", seed) for seed in seeds] for kind in ("GAT", "Const-GAT")}

# %% Entropy of every node's attention against log d_i, for each head of both layers
# An honest word about Cora: trained by the paper's recipe, all heads keep 99.9 % or more of an even share's entropy in
# either layer (--data shows it), and a node's favourite gets about 1.02 of one even share.  So what GAT learns there is
# hardly whom to listen to: it comes close to Const-GAT, a plain mean over the neighbours.
hidden, betas = hidden_and_weights(nets["GAT"][0], words, cites)
untrained = GAT(words.shape[1], papers.classes, rng=lesson.seed).first.weights(words, cites)
lesson.number(f"{source}, layer 1 untrained: mean of H / log d", evenness(untrained, cites).mean(), 1, "even")
for which, weights in zip(("layer 1", "last layer"), betas, strict=True):
    even = evenness(weights, cites)
    lesson.number(f"{source}, {which}: mean of H / log d", even.mean(), 1, "even")
    lesson.number("    the least even head", even.min(), 1, "even")
    most = np.maximum.reduceat(shares(weights, cites), cites.indptr[:-1])[np.diff(cites.indptr) > 1]
    lesson.number("    a node's favourite gets, in even shares", most.mean(), 1, "even")

# %%
fig, axes = plot.subplots(3, 3, figsize=(13, 9), sharex=True, sharey=True)
heads = [(f"layer 1, head {m + 1}", betas[0][:, m:m + 1]) for m in range(8)] + [("last layer", betas[1])]
log_d = np.log(np.diff(cites.indptr))
counted, bins = np.histogram(log_d, bins=np.linspace(0, log_d.max() + 0.1, 30))
for ax, (title, weights) in zip(axes.ravel(), heads, strict=True):
    ax.stairs(counted, bins, fill=True, color="#c4c4c4", label=r"even: $\log d_i$")
    ax.stairs(np.histogram(entropies(weights, cites), bins)[0], bins, color=plot.COLOURS[0], linewidth=2, label="$H_i$")
    ax.set_title(f"{title}: {100 - 100 * evenness(weights, cites)[0]:.3f} % short of even")
for ax in axes[:, 0]:
    ax.set_ylabel("nodes")
for ax in axes[-1]:
    ax.set_xlabel("entropy (nats)")
axes[0, 0].legend()
fig.suptitle(f"{source}: entropy of each node's attention; where the line runs along the grey, it is an even one's")
lesson.save(fig, "shi_2.3_entropy")

# %% Does a paper at least listen to those of its own subject?
own = papers.labels[cites.rows] == papers.labels[cites.indices]
for which, weights in zip(("layer 1", "last layer"), betas, strict=True):
    of_own, evenly = (100 * b @ own / cites.nodes for b in (weights.mean(axis=1), cites.means.values))
    lesson.number(f"{which}: % of the weight on its own subject", of_own, evenly, "even")

# %% Attention switched off: after training, and from the start
on = np.array([accuracy(net) for net in nets["GAT"]])
for net in nets["GAT"]:
    net.first.attend = net.last.attend = False
off, never = np.array([[accuracy(net) for net in nets[kind]] for kind in ("GAT", "Const-GAT")])
for kind, values in (("GAT", on), ("GAT, switched off after training", off), ("Const-GAT", never)):
    paper = "83.0 +- 0.7" if lesson.data and kind == "GAT" else None
    lesson.number(f"{kind}: test accuracy %", f"{values.mean():.1f} +- {values.std():.1f}", paper, "fig9")
gain = on - never
lesson.number("GAT - Const-GAT, seed by seed", f"{gain.mean():+.1f} +- {gain.std():.1f}")
tie = abs(gain.mean()) <= 2 * gain.std()
lesson.number(f"{len(seeds)} seeds don't tell them apart: within twice the spread", tie)

# %% shi fig7: the hidden features in the plane (t-SNE), and the strongest attention between them
# As in the paper a line's strength is beta summed over all heads and both directions.  While attention is nearly
# even that is 1/d_i + 1/d_j times the heads: strong lines join papers with few neighbours.
drawn = 300 if lesson.quick else cites.nodes
flat = TSNE(random_state=lesson.seed).fit_transform(hidden[:drawn])
there_and_back = cites.transposed[2]            # where the edge j <- i stands, for each edge i <- j
strength, even = ((b + b[there_and_back]).sum(axis=1) for b in (betas[0], cites.means.values[:, None].repeat(8, 1)))
lines = np.flatnonzero((cites.rows < cites.indices) & (cites.indices < drawn))
lesson.number("fig7: strength's correlation with an even one", np.corrcoef(strength[lines], even[lines])[0, 1])
strong = lines[strength[lines].argsort()[-len(lines) // 3:]]
lesson.number("fig7: % within a subject, strongest third", 100 * own[strong].mean(), 100 * own[lines].mean(), "all")

# %%
fig, ax = plot.subplots(figsize=(11, 7.5))
for i, j, width in zip(*cites.edges[strong].T, strength[strong] / strength[strong].max(), strict=True):
    ax.plot(*flat[[i, j]].T, color="#999999", linestyle="-", linewidth=3 * width**2, zorder=1)
for c, marker, colour in zip(range(papers.classes), "osD^vP*", (*plot.COLOURS, "#ffffff"), strict=False):
    who = papers.labels[:drawn] == c
    look = dict(s=40, color=colour, marker=marker, edgecolors="black", linewidths=0.5, zorder=2)
    ax.scatter(*flat[who].T, label=f"subject {c + 1}", **look)
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
ax.set(title=f"{source}: hidden features of GAT; the strongest third of the attention", xticks=[], yticks=[],
       xlabel="t-SNE, first direction", ylabel="t-SNE, second direction")
lesson.save(fig, "shi_fig7_hidden-features")
lesson.shown("equations 2.1-2.7 are what was worked out by hand; on the karate club heads prefer some members, on "
             f"{source} they keep {100 * evenness(betas[0], cites).mean():.2f} % of an even share's entropy, and "
             + (f"{len(seeds)} seeds don't tell GAT from Const-GAT" if tie else
                f"GAT - Const-GAT is {gain.mean():+.1f} points"))
